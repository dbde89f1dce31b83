//! The sealed tree of a version: a memory-mapped `tree` file that opens
//! without parsing. No byte of it is trusted: whatever does not add up reads
//! as absent.
//!
//! The header's checksum is verified at every open. The body's is verified at
//! open only while that is cheap ([`EAGER_BODY`]), since a million entries
//! must open in milliseconds; beyond that, the exact file length, the fsync
//! before the sealing rename and the bounds checks here stand in for it, and
//! [`Index::verify`] can be run at leisure.

use super::format::{self, DIRENT, HEADER, Header, NODE, Record};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::{cmp::Ordering, fs::File};

/// Bodies up to this length are checksummed at open: 4 MiB is some 50,000
/// entries and takes 2 to 10 ms.
const EAGER_BODY: u64 = 4 << 20;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
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

/// A record's attributes; `None` for a dead one.
pub(super) fn node_of(record: &Record) -> Option<Node> {
    let kind = match record.kind {
        format::DIRECTORY => NodeKind::Directory,
        format::FILE => NodeKind::File,
        format::SYMLINK => NodeKind::Symlink,
        _ => return None,
    };
    Some(Node {
        kind,
        size: record.size,
        mtime: record.mtime,
        executable: record.flags & format::EXECUTABLE != 0,
        nlink: record.nlink,
        parent: record.parent,
        escapes: record.flags & format::ESCAPES != 0,
    })
}

/// Whether a directory can hold such a name (`NAME_MAX` of Linux).
fn is_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= 255
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Where a file's content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// At this offset of `pack`.
    Pack(u64),
    /// The file `blob-N`.
    Blob(u32),
}

/// The names and attributes of everything in one version. The root is node 0;
/// the others are numbered in the archive's order.
#[derive(Debug)]
pub struct Index {
    bytes: Mmap,
    header: Header,
}

impl Index {
    /// Maps a `tree` file; `None` where it is not whole.
    pub(super) fn open(file: &File) -> Option<Self> {
        // SAFETY: the file is ours (0600 in a 0700 directory), is never
        // written after the rename that sealed it, only unlinked, which leaves
        // a mapping whole.
        #[expect(unsafe_code, reason = "a mapping is what opens without parsing")]
        let bytes = unsafe { Mmap::map(file) }.ok()?;
        let header = Header::decode(&bytes)?;
        let index = Self { bytes, header };
        (header.file_length()? == index.bytes.len() as u64
            && index.record(0)?.kind == format::DIRECTORY
            && (index.bytes.len() as u64 > EAGER_BODY || index.verify()))
        .then_some(index)
    }

    /// Whether the body has the checksum that the header gives.
    pub fn verify(&self) -> bool {
        let body: [u8; 32] = match self.bytes.get(HEADER..) {
            Some(body) => Sha256::digest(body).into(),
            None => return false,
        };
        body == self.header.body
    }

    /// How many node numbers there are, the root included. Some may be unused.
    pub fn len(&self) -> u32 {
        self.header.nodes
    }

    /// Never true: there is always a root.
    pub fn is_empty(&self) -> bool {
        self.header.nodes == 0
    }

    /// A node's attributes; `None` where there is no such node.
    pub fn node(&self, node: u32) -> Option<Node> {
        node_of(&self.record(node)?)
    }

    /// The node of that name in a directory.
    pub fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let (first, count) = self.span(dir)?;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, node) = self.dirent(dir, first + u64::from(middle))?;
            match found.cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(node),
            }
        }
        None
    }

    /// How many entries a directory has; 0 for what is none.
    pub fn child_count(&self, dir: u32) -> u32 {
        self.span(dir).map_or(0, |(_, count)| count)
    }

    /// A directory's entry by position, in the order of the names' bytes;
    /// `None` where it is damaged.
    pub fn child_at(&self, dir: u32, position: u32) -> Option<(&[u8], u32)> {
        let (first, count) = self.span(dir)?;
        (position < count)
            .then(|| self.dirent(dir, first + u64::from(position)))
            .flatten()
            .filter(|(name, _)| is_component(name))
    }

    /// A symlink's target, as the archive gave it.
    pub fn target(&self, node: u32) -> Option<&[u8]> {
        let record = self.record(node)?;
        (record.kind == format::SYMLINK)
            .then(|| self.arena(record.location, record.size))
            .flatten()
    }

    /// Where a file's content lies, and its length.
    pub(super) fn location(&self, node: u32) -> Option<(Location, u64)> {
        let record = self.record(node)?;
        if record.kind != format::FILE {
            return None;
        }
        let location = if record.flags & format::BLOB != 0 {
            let blob = u32::try_from(record.location).ok()?;
            (blob < self.header.blobs).then_some(Location::Blob(blob))?
        } else {
            let end = record.location.checked_add(record.size)?;
            (end <= self.header.pack).then_some(Location::Pack(record.location))?
        };
        Some((location, record.size))
    }

    /// How many names there are in all.
    pub(super) fn dirents(&self) -> u32 {
        self.header.dirents
    }

    /// Length that the `pack` of this tree has.
    pub(super) fn pack_length(&self) -> u64 {
        self.header.pack
    }

    pub(super) fn record(&self, node: u32) -> Option<Record> {
        (node < self.header.nodes).then_some(())?;
        let at = HEADER + usize::try_from(node).ok()? * NODE;
        Record::decode(self.bytes.get(at..at.checked_add(NODE)?)?)
    }

    /// A directory's first dirent and their number.
    fn span(&self, dir: u32) -> Option<(u64, u32)> {
        let record = self.record(dir)?;
        let end = record.location.checked_add(u64::from(record.children))?;
        (record.kind == format::DIRECTORY && end <= u64::from(self.header.dirents))
            .then_some((record.location, record.children))
    }

    fn dirent(&self, dir: u32, position: u64) -> Option<(&[u8], u32)> {
        let start = HEADER as u64 + u64::from(self.header.nodes) * NODE as u64;
        let at = usize::try_from(start + position * DIRENT as u64).ok()?;
        let (name, length, node) =
            format::decode_dirent(self.bytes.get(at..at.checked_add(DIRENT)?)?)?;
        // Directories are numbered before what they hold: no walk can go in circles.
        (node > dir || self.record(node)?.kind != format::DIRECTORY).then_some(())?;
        Some((self.arena(u64::from(name), u64::from(length))?, node))
    }

    fn arena(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let end = offset.checked_add(length)?;
        (end <= self.header.arena).then_some(())?;
        let start = self.bytes.len() as u64 - self.header.arena;
        let from = usize::try_from(start + offset).ok()?;
        self.bytes.get(from..from + usize::try_from(length).ok()?)
    }
}
