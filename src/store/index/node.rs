//! A node's attributes, as a record of the index has them.

use super::format::{self, Record};

/// What a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    #[default]
    File,
    /// A symbolic link.
    Symlink,
}

/// A node's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes: a file's content, a symlink's target; 0 for a directory.
    pub size: u64,
    /// Bytes of those that are stored: all but the holes of a file.
    pub stored: u64,
    /// Time of last change: seconds since 1970, nanoseconds. A directory that
    /// the archive does not mention has the newest time of its children.
    pub mtime: (i64, u32),
    /// Whether the archive had any execute bit on it.
    pub executable: bool,
    /// Names of a file or symlink; for a directory 2 and one for each subdirectory.
    pub nlink: u32,
    /// The directory it was first seen in; of the root, itself.
    pub parent: u32,
    /// A symlink that is absolute or leads out of its version.
    pub escapes: bool,
}

/// The attributes of a record; `None` for a dead one.
pub(in crate::store) fn node_of(record: &Record, stored: u64) -> Option<Node> {
    let kind = match record.kind {
        format::DIRECTORY => NodeKind::Directory,
        format::FILE => NodeKind::File,
        format::SYMLINK => NodeKind::Symlink,
        _ => return None,
    };
    Some(Node {
        kind,
        size: record.size,
        stored,
        mtime: record.mtime,
        executable: record.flags & format::EXECUTABLE != 0,
        nlink: record.nlink,
        parent: record.parent,
        escapes: record.flags & format::ESCAPES != 0,
    })
}
