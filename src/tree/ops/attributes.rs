//! What `stat` shows.

use crate::{
    api::types::Run,
    error::Error,
    store,
    tree::{
        Answer, Kind, View,
        cache::FOR_EVER,
        node::{Node, names::escape},
        ops::{
            control::{Control, not_yours},
            rows::{Age, Files},
        },
    },
};
use jiff::Timestamp;
use std::time::Duration;

/// Attributes of a node, without what is the same for the whole mount (owner,
/// block size).
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// Inode number.
    pub ino: u64,
    /// Kind of node.
    pub kind: Kind,
    /// Size in bytes: always true, which may take a fetch to know.
    pub size: u64,
    /// Bytes of it that are stored: all but the holes of a file.
    pub stored: u64,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Permissions, as in `st_mode`.
    pub mode: u16,
    /// Names that lead to the inode. 1 for directories, which tells `find` not
    /// to derive the number of subdirectories from it.
    pub links: u32,
}

/// Permissions of what is only read.
const READ: u16 = 0o444;
const READ_AND_ENTER: u16 = 0o555;
/// Permissions of a control file: what it does is done in its owner's name.
const OWNER: u16 = 0o600;
/// Those of a symlink mean nothing, and are these.
const LINK: u16 = 0o777;

/// Permissions where only the kind of node decides.
fn mode(kind: Kind) -> u16 {
    match kind {
        Kind::Directory => READ_AND_ENTER,
        Kind::File => READ,
        Kind::Symlink => LINK,
    }
}

/// Attributes and for how long they hold.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The attributes.
    pub attributes: Attributes,
    /// How long the kernel may answer with them.
    pub lasts: Duration,
}

/// An instant as `stat` has it.
fn mtime(at: Timestamp) -> (i64, u32) {
    let (second, nanosecond) = (at.as_second(), at.subsec_nanosecond());
    match u32::try_from(nanosecond) {
        Ok(nanosecond) => (second, nanosecond),
        // Before 1970 both are negative; stat counts nanoseconds upwards.
        Err(_) => (second - 1, (1_000_000_000 + nanosecond) as u32),
    }
}

/// When a run last changed, as far as its row tells.
pub(in crate::tree) fn last_change(run: &Run) -> Timestamp {
    run.completed_at
        .or(run.started_at)
        .unwrap_or(run.created_at)
}

/// What somebody asks to be allowed.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To run a file or enter a directory.
    pub execute: bool,
    /// Whether it is whoever has mounted, or root.
    pub is_owner: bool,
}

impl View<'_> {
    /// Whether an access is allowed.
    ///
    /// # Errors
    /// EROFS for writing to what is no control file; EACCES.
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
    /// ESTALE for an unknown number, and whatever fetching fails with.
    pub fn getattr(&self, ino: u64) -> Answer<Stat> {
        self.stat(&self.node(ino)?)
    }

    /// What the kernel may be told in passing of a node whose attributes are
    /// not known: the last known size or none, good for no time at all.
    pub(in crate::tree) fn stat_if_known(&self, node: &Node, kind: Kind) -> Stat {
        let passing = View {
            whatever_is_known: true,
            ..self.tree.at(self.since)
        };
        passing.stat(node).unwrap_or_else(|_| {
            let attributes = self.attributes(node, kind, 0, (0, 0));
            Stat {
                attributes,
                lasts: Duration::ZERO,
            }
        })
    }

    pub(in crate::tree) fn stat(&self, node: &Node) -> Answer<Stat> {
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
            Node::RunFile(id, file) if let Some(view) = file.log() => {
                let (logs, is_final) = self.log_file(id, view)?;
                let changed = last_change(&self.run(id, Age::Any)?.0.value);
                let at = logs.newest().map_or(changed, |newest| newest.max(changed));
                let lasts = if is_final { FOR_EVER } else { Duration::ZERO };
                Ok(self.plain(node, Kind::File, logs.size(view), mtime(at), lasts))
            }
            Node::Control(control) => {
                let file = self.render(node)?;
                let at = match control {
                    Control::Start(agent) => self.tree.controls.last_started(agent),
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
            Node::Latest(kind, id, version) => {
                let size = escape(version).len() as u64;
                // A link must not cost the list of versions: where that is not
                // at hand, the storage's own time is as good.
                let key = (*kind, id.clone());
                let versions = self.tree.known.versions.last(&key);
                let created = versions
                    .as_ref()
                    .and_then(|(versions, _)| versions.get(version).map(|row| row.created_at));
                let at = match created {
                    Some(at) => at,
                    None => {
                        let (_, row, _) = self.storage_item(*kind, id)?;
                        row.value.updated_at.unwrap_or(row.value.created_at)
                    }
                };
                Ok(self.plain(node, Kind::Symlink, size, mtime(at), FOR_EVER))
            }
            Node::Entry(kind, id, version, 0) => {
                let row = self.version_row(*kind, id, version)?;
                directory(mtime(row.created_at), FOR_EVER)
            }
            Node::Entry(kind, id, version, number) => match self.files(*kind, id, version)? {
                Files::None => Err(Error::Stale.into()),
                Files::Growing(growing) => {
                    let entry = growing.node(*number);
                    let entry = entry.ok_or_else(|| self.content_miss(*kind, id, version))?;
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
                table.changed.unwrap_or(self.tree.started)
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

/// The attributes of a version's node, from its index.
pub(in crate::tree) fn entry_stat(ino: u64, entry: &store::Node) -> Stat {
    let attributes = Attributes {
        ino,
        kind: entry_kind(entry),
        size: entry.size,
        stored: entry.stored,
        mtime: entry.mtime,
        mode: match entry.kind {
            store::NodeKind::File if entry.executable => READ_AND_ENTER,
            _ => mode(entry_kind(entry)),
        },
        // 1 for directories, as everywhere.
        links: if entry.kind == store::NodeKind::Directory {
            1
        } else {
            entry.nlink
        },
    };
    Stat {
        attributes,
        lasts: FOR_EVER,
    }
}

/// The kind of a version's node.
pub(in crate::tree) fn entry_kind(entry: &store::Node) -> Kind {
    match entry.kind {
        store::NodeKind::Directory => Kind::Directory,
        store::NodeKind::File => Kind::File,
        store::NodeKind::Symlink => Kind::Symlink,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_nanoseconds_upwards() {
        let at = |nanoseconds| mtime(Timestamp::from_nanosecond(nanoseconds).unwrap());
        assert_eq!(at(1_500_000_000), (1, 500_000_000));
        assert_eq!(at(-1_500_000_000), (-2, 500_000_000));
        assert_eq!(at(-1_000_000_000), (-1, 0));
    }
}
