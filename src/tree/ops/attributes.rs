//! What `stat` shows.

use crate::{
    error::Error,
    store,
    tree::{
        answers::{Versions, last_change},
        cache::FOR_EVER,
        content::Files,
        fetch_key::Answer,
        live::Show,
        node::{Control, Kind, Node, RunFile, VersionId, names::escape},
        orders::not_yours,
        view::View,
    },
};
use jiff::Timestamp;
use std::time::Duration;

/// Attributes of a node, without what is the same for the whole mount (owner,
/// block size).
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Inode number.
    pub ino: u64,
    /// Kind of node.
    pub kind: Kind,
    /// Size in bytes: always the true one, which may take a fetch.
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
/// Permissions of a control file, which acts with its owner's token.
const OWNER: u16 = 0o600;
/// Permissions of what only its owner may read.
const OWNER_READS: u16 = 0o400;
/// Permissions of a symlink, which mean nothing.
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

/// What a process asks to be allowed.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To run a file or enter a directory.
    pub execute: bool,
    /// Whether its user is the one who mounted, or root.
    pub is_owner: bool,
}

impl View<'_> {
    /// Whether an access is allowed.
    ///
    /// # Errors
    /// EROFS for writing to a file that is no control file; EACCES.
    pub fn access(&self, ino: u64, access: Access) -> Answer<()> {
        let node = self.node(ino)?;
        if node.is_private() && (access.read || access.write) && !access.is_owner {
            return Err(not_yours().into());
        }
        if access.write && !matches!(node, Node::Control(_)) {
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
        let unknown = || self.plain(node, kind, 0, Timestamp::UNIX_EPOCH, Duration::ZERO);
        let known = self.in_passing().stat(node);
        known.unwrap_or_else(|_| unknown())
    }

    pub(super) fn stat(&self, node: &Node) -> Answer<Stat> {
        let lasts = |is_final| if is_final { FOR_EVER } else { Duration::ZERO };
        let (size, at, lasts) = match node {
            Node::Entry(version, number) if *number > 0 => {
                return self.stat_of_entry(node, version, *number);
            }
            Node::RunFile(id, RunFile::Log(view)) => {
                let (logs, is_final) = self.log_file(id, *view)?;
                let (changed, _) = self.changed(node)?;
                let at = logs.newest().map_or(changed, |newest| newest.max(changed));
                (logs.size(*view), at, lasts(is_final))
            }
            Node::RunOfAgent(_) | Node::RunOfStatus(_) => {
                let (at, left) = self.changed(node)?;
                (self.readlink(self.ino(node))?.len() as u64, at, left)
            }
            Node::Link(target) => (target.len() as u64, self.tree.started, FOR_EVER),
            Node::Latest(version) => {
                let (at, _) = self.changed(node)?;
                (escape(&version.id).len() as u64, at, FOR_EVER)
            }
            _ if node.kind() == Some(Kind::Directory) => {
                let (at, left) = self.changed(node)?;
                (0, at, left)
            }
            _ => {
                let file = self.render(node)?;
                let (at, _) = self.changed(node)?;
                (file.bytes.len() as u64, at, lasts(file.is_final))
            }
        };
        // Only entries of versions do not know their kind.
        let kind = node.kind().unwrap_or(Kind::Directory);
        Ok(self.plain(node, kind, size, at, lasts))
    }

    fn stat_of_entry(&self, node: &Node, version: &VersionId, number: u32) -> Answer<Stat> {
        match self.files(version)? {
            Files::None => Err(Error::Stale.into()),
            Files::Partial(partial) => {
                let entry = partial.node(number);
                let entry = entry.ok_or_else(|| self.content_miss(version))?;
                // A later entry of the archive may still change it.
                let stat = entry_stat(self.ino(node), &entry);
                Ok(Stat {
                    lasts: Duration::ZERO,
                    ..stat
                })
            }
            Files::Sealed(sealed) => {
                let entry = sealed.index().node(number).ok_or(Error::Stale)?;
                Ok(entry_stat(self.ino(node), &entry))
            }
        }
    }

    /// When the object that a node shows last changed, and for how long that is known.
    fn changed(&self, node: &Node) -> Answer<(Timestamp, Duration)> {
        let started = self.tree.started;
        let storage = |kind, id| {
            let (row, left) = self.storage_item(kind, id)?;
            Ok((row.value.updated_at.unwrap_or(row.value.created_at), left))
        };
        Ok(match node {
            Node::Agent(id) | Node::AgentRuns(id) | Node::AgentFile(id, _) => {
                let (row, left) = self.agent_item(id)?;
                (row.value.updated_at.unwrap_or(row.value.created_at), left)
            }
            Node::Run(id)
            | Node::RunVolumes(id)
            | Node::RunFile(id, _)
            | Node::RunOfAgent(id)
            | Node::RunOfStatus(id) => {
                let (row, left) = self.run(id, Show::Last)?;
                (last_change(&row.value), left)
            }
            Node::Storage(kind, id) | Node::VersionsJson(kind, id) => return storage(*kind, id),
            Node::Latest(version) => {
                // A link must not cost the list of versions: where that is not
                // at hand, the storage's own time is as good.
                let versions = self.tree.answers.of::<Versions>().last(&version.of());
                match versions.as_ref().and_then(|(all, _)| all.get(&version.id)) {
                    Some(row) => (row.created_at, FOR_EVER),
                    None => return storage(version.kind, &version.storage),
                }
            }
            Node::Entry(version, _) => (self.version_row(version)?.created_at, FOR_EVER),
            Node::MetaFile(file) => (self.page_time(*file), FOR_EVER),
            Node::RunsTable(agent, form) => {
                let table = self.runs_table(agent.as_ref(), *form)?;
                (table.changed.unwrap_or(started), FOR_EVER)
            }
            Node::Control(Control::Start(agent)) => {
                let last = self.tree.orders.last_started(agent);
                (last.map_or(started, |(_, at)| at), FOR_EVER)
            }
            _ => (started, FOR_EVER),
        })
    }

    fn plain(&self, node: &Node, kind: Kind, size: u64, at: Timestamp, lasts: Duration) -> Stat {
        let attributes = Attributes {
            ino: self.ino(node),
            kind,
            size,
            stored: size,
            mtime: mtime(at),
            mode: match node {
                Node::Control(_) => OWNER,
                _ if node.is_private() => OWNER_READS,
                _ => mode(kind),
            },
            links: 1,
        };
        Stat { attributes, lasts }
    }
}

/// The attributes of a version's node, from its index.
pub(super) fn entry_stat(ino: u64, entry: &store::Node) -> Stat {
    let attributes = Attributes {
        ino,
        kind: entry.kind,
        size: entry.size,
        stored: entry.stored,
        mtime: entry.mtime,
        mode: match entry.kind {
            Kind::File if entry.executable => READ_AND_ENTER,
            _ => mode(entry.kind),
        },
        // 1 for directories, as everywhere.
        links: match entry.kind {
            Kind::Directory => 1,
            _ => entry.nlink,
        },
    };
    Stat {
        attributes,
        lasts: FOR_EVER,
    }
}
