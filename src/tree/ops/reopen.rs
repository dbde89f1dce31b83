//! What of an open file or directory is left to the next worker, and how that opens it
//! again: it is what it was when it was opened, or an error.

use crate::{
    error::Error,
    handover::{Fields, Reader},
    sync::Mutex,
    tree::{
        fetch_key::Answer,
        node::{Kind, Node, RunFile},
        ops::{
            directories::{Directory, DirectoryEntry, ListedNode},
            files::{Handle, OpenLog, Page},
        },
        view::View,
    },
};
use std::sync::Arc;

/// The size, in bytes, up to which a file that cannot change is left by its bytes: those
/// that are made of a run's row are no larger.
const SMALL: usize = 32 << 10;

/// What of an open file is left.
pub(crate) enum LeftFile {
    /// A file that cannot change, by its size.
    Fixed(u64),
    /// A file that can, with the bytes that it has for this handle.
    Page(Arc<[u8]>),
    /// A log that grows, by the number of what it is made of.
    Log(u64),
    /// A control file that is written, by the number of what has been written.
    Control(u64),
}

impl Handle {
    /// What of it is left to the next worker.
    pub(crate) fn left(&self) -> LeftFile {
        match self {
            Self::Page(page) => LeftFile::Page(page.bytes()),
            // One of a run that has ended is read from disk again.
            Self::Log(open) if open.logs.number() > 0 => LeftFile::Log(open.logs.number()),
            // What it is made of may have come in a listing that is not on disk yet.
            Self::Bytes(bytes) if (1..=SMALL).contains(&bytes.len()) => {
                LeftFile::Page(bytes.clone())
            }
            Self::Log(_) | Self::Bytes(_) | Self::Content(..) | Self::Partial(_) => {
                LeftFile::Fixed(self.size())
            }
            Self::Control(writing) => LeftFile::Control(writing.number()),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Page(page) => page.bytes().len() as u64,
            Self::Log(open) => open.logs.size(open.view),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Content(content, _) => content.size(),
            Self::Partial(open) => open.content.size(),
            Self::Control(_) => 0,
        }
    }
}

impl View<'_> {
    /// Opens a file again that an earlier worker had open.
    ///
    /// # Errors
    /// ESTALE where it is another file now; what opening it fails with.
    pub(crate) fn reopen(&self, ino: u64, left: LeftFile) -> Answer<Handle> {
        match left {
            LeftFile::Fixed(size) => {
                let handle = self.open(ino, true)?.handle;
                match handle.size() == size {
                    true => Ok(handle),
                    false => Err(Error::Stale.into()),
                }
            }
            LeftFile::Page(bytes) => Ok(Handle::Page(Page {
                node: self.node(ino)?,
                bytes: Mutex::new(bytes),
            })),
            LeftFile::Control(number) => match self.node(ino)? {
                Node::Control(control) => {
                    let writing = self.tree.orders.reopen(control, number)?;
                    Ok(Handle::Control(writing))
                }
                _ => Err(Error::Stale.into()),
            },
            LeftFile::Log(number) => match self.node(ino)? {
                Node::RunFile(run, RunFile::Log(view)) => {
                    let logs = self.tree.live.left_log(&run, number);
                    let logs = logs.ok_or(Error::Stale)?;
                    Ok(Handle::Log(OpenLog { run, view, logs }))
                }
                _ => Err(Error::Stale.into()),
            },
        }
    }

    /// The directory of which an earlier worker has given pages; `None` where these
    /// are not its bytes.
    pub(crate) fn left_directory(&self, bytes: &[u8]) -> Option<Directory> {
        let mut record = Reader::of(bytes);
        let count = record.small()?;
        let entry = |_| {
            let ino = record.number()?;
            let name = record.bytes()?.to_vec();
            let node = Node::of(ino, &self.tree.inodes)?;
            let kind = node.kind().unwrap_or(Kind::Directory);
            Some((DirectoryEntry { name, ino, kind }, ListedNode(node)))
        };
        let entries: Option<Vec<_>> = (0..count).map(entry).collect();
        Some(Directory::Listed(entries?))
    }
}

impl Directory {
    /// What is left of it to the next worker; `None` where that finds it on disk.
    pub(crate) fn left(&self) -> Option<Vec<u8>> {
        let Self::Listed(entries) = self else {
            return None;
        };
        let record = Fields::new().number(entries.len() as u64);
        let record = entries.iter().fold(record, |record, (entry, _)| {
            record.number(entry.ino).bytes(&entry.name)
        });
        Some(record.into_bytes())
    }
}
