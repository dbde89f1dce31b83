//! Attributes, and what is needed to make them.

use crate::{
    store,
    tree::{cache::FOR_EVER, node::Kind},
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
pub(super) const OWNER: u16 = 0o600;
/// Permissions of a symlink, which mean nothing.
const LINK: u16 = 0o777;

/// Permissions where only the kind of node decides.
pub(super) fn mode(kind: Kind) -> u16 {
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
pub(super) fn mtime(at: Timestamp) -> (i64, u32) {
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

/// The attributes of a version's node, from its index.
pub(super) fn entry_stat(ino: u64, entry: &store::Node) -> Stat {
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
pub(super) fn entry_kind(entry: &store::Node) -> Kind {
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
