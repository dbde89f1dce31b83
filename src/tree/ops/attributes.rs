//! What `stat` shows.

use crate::{
    error::Error,
    tree::{
        answers::{Versions, last_change},
        cache::FOR_EVER,
        content::Files,
        fetch_key::Answer,
        node::{Control, Kind, Node, RunFile, names::escape},
        ops::{
            control::not_yours,
            freshness::Age,
            stat::{Access, Attributes, OWNER, Stat, entry_stat, mode, mtime},
        },
        view::View,
    },
};
use jiff::Timestamp;
use std::time::Duration;

impl View<'_> {
    /// Whether an access is allowed.
    ///
    /// # Errors
    /// EROFS for writing to a file that is no control file; EACCES.
    pub fn access(&self, ino: u64, access: Access) -> Answer<()> {
        let node = self.node(ino)?;
        if matches!(node, Node::Control(_)) {
            if (access.read || access.write) && !access.is_owner {
                return Err(not_yours());
            }
        } else if access.write {
            return Err(Error::ReadOnly.into());
        }
        if access.execute && node.kind() != Some(Kind::Directory) {
            let mode = self.stat(&node)?.attributes.mode;
            if mode & 0o111 == 0 {
                return Err(Error::Denied("the file is not executable".into()).into());
            }
        }
        Ok(())
    }

    /// The attributes of an inode.
    ///
    /// # Errors
    /// ESTALE for an unknown number, and what a fetch fails with.
    pub fn getattr(&self, ino: u64) -> Answer<Stat> {
        self.stat(&self.node(ino)?)
    }

    /// The attributes of a node without a fetch: if need be as last known or with size
    /// 0, and then valid for no time.
    pub(super) fn stat_if_known(&self, node: &Node, kind: Kind) -> Stat {
        self.in_passing().stat(node).unwrap_or_else(|_| {
            let attributes = self.attributes(node, kind, 0, (0, 0));
            Stat {
                attributes,
                lasts: Duration::ZERO,
            }
        })
    }

    pub(super) fn stat(&self, node: &Node) -> Answer<Stat> {
        let started = mtime(self.tree.started);
        let directory = |at, lasts| Ok(self.plain(node, Kind::Directory, 0, at, lasts));
        match node {
            Node::Root
            | Node::Agents
            | Node::Runs
            | Node::Storages(_)
            | Node::Meta
            | Node::Guide
            | Node::ByStatus
            | Node::Status(_) => directory(started, FOR_EVER),
            Node::Agent(id) | Node::AgentRuns(id) => {
                let (_, row, left) = self.agent_item(id)?;
                let at = row.value.updated_at.unwrap_or(row.value.created_at);
                directory(mtime(at), left)
            }
            Node::Run(id) | Node::RunVolumes(id) => {
                let (row, left) = self.run(id, Age::Any)?;
                directory(mtime(last_change(&row.value)), left)
            }
            Node::Storage(kind, id) => {
                let (_, row, left) = self.storage_item(*kind, id)?;
                let at = row.value.updated_at.unwrap_or(row.value.created_at);
                directory(mtime(at), left)
            }
            Node::RunFile(id, RunFile::Log(view)) => {
                let (logs, is_final) = self.log_file(id, *view)?;
                let changed = last_change(&self.run(id, Age::Any)?.0.value);
                let at = logs.newest().map_or(changed, |newest| newest.max(changed));
                let lasts = if is_final { FOR_EVER } else { Duration::ZERO };
                Ok(self.plain(node, Kind::File, logs.size(*view), mtime(at), lasts))
            }
            Node::Control(control) => {
                let file = self.render(node)?;
                let at = match control {
                    Control::Start(agent) => self.tree.orders.last_started(agent),
                    Control::Cancel(_) => None,
                };
                let at = at.map_or(self.tree.started, |(_, at)| at);
                let size = file.bytes.len() as u64;
                let mut stat = self.plain(node, Kind::File, size, mtime(at), Duration::ZERO);
                stat.attributes.mode = OWNER;
                Ok(stat)
            }
            Node::MetaFile(_)
            | Node::GuidePage(_)
            | Node::RunsTable(..)
            | Node::AgentFile(..)
            | Node::RunFile(..)
            | Node::VersionsJson(..) => {
                let file = self.render(node)?;
                let size = file.bytes.len() as u64;
                let lasts = if file.is_final {
                    FOR_EVER
                } else {
                    Duration::ZERO
                };
                Ok(self.plain(node, Kind::File, size, mtime(self.file_time(node)?), lasts))
            }
            Node::RunOfAgent(id) | Node::RunOfStatus(id) => {
                let (row, left) = self.run(id, Age::Any)?;
                let target = self.readlink(self.ino(node))?;
                let at = mtime(last_change(&row.value));
                Ok(self.plain(node, Kind::Symlink, target.len() as u64, at, left))
            }
            Node::Link(target) => {
                Ok(self.plain(node, Kind::Symlink, target.len() as u64, started, FOR_EVER))
            }
            Node::Latest(version) => {
                let size = escape(&version.id).len() as u64;
                // A link must not cost the list of versions: where that is not
                // at hand, the storage's own time is as good.
                let versions = self.tree.answers.last::<Versions>(&version.of());
                let created = versions
                    .as_ref()
                    .and_then(|(versions, _)| Some(versions.get(&version.id)?.created_at));
                let at = match created {
                    Some(at) => at,
                    None => {
                        let (_, row, _) = self.storage_item(version.kind, &version.storage)?;
                        row.value.updated_at.unwrap_or(row.value.created_at)
                    }
                };
                Ok(self.plain(node, Kind::Symlink, size, mtime(at), FOR_EVER))
            }
            Node::Entry(version, 0) => {
                let row = self.version_row(version)?;
                directory(mtime(row.created_at), FOR_EVER)
            }
            Node::Entry(version, number) => match self.files(version)? {
                Files::None => Err(Error::Stale.into()),
                Files::Partial(partial) => {
                    let entry = partial.node(*number);
                    let entry = entry.ok_or_else(|| self.content_miss(version))?;
                    // A later entry of the archive may still change it.
                    let stat = entry_stat(self.ino(node), &entry);
                    Ok(Stat {
                        lasts: Duration::ZERO,
                        ..stat
                    })
                }
                Files::Sealed(sealed) => {
                    let entry = sealed.index().node(*number).ok_or(Error::Stale)?;
                    Ok(entry_stat(self.ino(node), &entry))
                }
            },
        }
    }

    /// When the object behind a file of ours last changed.
    fn file_time(&self, node: &Node) -> Answer<Timestamp> {
        Ok(match node {
            Node::RunFile(id, _) => last_change(&self.run(id, Age::Any)?.0.value),
            Node::AgentFile(id, _) => {
                let (_, row, _) = self.agent_item(id)?;
                row.value.updated_at.unwrap_or(row.value.created_at)
            }
            Node::VersionsJson(kind, id) => {
                let (_, row, _) = self.storage_item(*kind, id)?;
                row.value.updated_at.unwrap_or(row.value.created_at)
            }
            Node::MetaFile(file) => self.page_time(*file),
            Node::RunsTable(agent, form) => {
                let table = self.runs_table(agent.as_ref(), *form)?;
                table.changed().unwrap_or(self.tree.started)
            }
            _ => self.tree.started,
        })
    }

    fn plain(&self, node: &Node, kind: Kind, size: u64, at: (i64, u32), lasts: Duration) -> Stat {
        Stat {
            attributes: self.attributes(node, kind, size, at),
            lasts,
        }
    }

    fn attributes(&self, node: &Node, kind: Kind, size: u64, at: (i64, u32)) -> Attributes {
        Attributes {
            ino: self.ino(node),
            kind,
            size,
            stored: size,
            mtime: at,
            mode: mode(kind),
            links: 1,
        }
    }
}
