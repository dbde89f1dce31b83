//! Opening and reading.

use super::{Answer, Kind, View, known::VersionId, node::Node, rows::Files};
use crate::{
    api::types::StorageKind,
    error::{Error, Result},
    store::{self, Content, Growing, GrowingContent, NodeKind, Progressed},
};
use std::{io, sync::Arc};

/// What an open file reads from. It stays good whatever is evicted or changes.
pub enum Handle {
    /// A file of ours, as it was when it was opened.
    Bytes(Arc<[u8]>),
    /// A file of a version, and its inode number.
    Content(Content, u64),
    /// A file of a version whose archive is, or was, still arriving.
    Growing(GrowingContent, VersionId),
}

/// An open file and how the kernel may treat it.
pub struct Opened {
    /// What it reads from.
    pub handle: Handle,
    /// The content can never change: pages of an earlier open are still good.
    pub is_final: bool,
}

/// How many of `size` bytes at `offset` there are in a file.
fn wanted(file: u64, offset: u64, size: usize) -> usize {
    let left = file.saturating_sub(offset);
    size.min(usize::try_from(left).unwrap_or(usize::MAX))
}

fn cut_short() -> Error {
    Error::Io {
        context: "reading the cache".into(),
        source: Arc::new(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What opening a version's node gives that needs no content.
fn without_content(entry: &store::Node) -> Result<Option<Opened>> {
    match entry.kind {
        NodeKind::Directory => Err(Error::IsDirectory),
        NodeKind::Symlink => Err(Error::Invalid("is a symbolic link".into())),
        NodeKind::File if entry.size > 0 => Ok(None),
        NodeKind::File => Ok(Some(Opened {
            handle: Handle::Bytes(Arc::from([])),
            is_final: true,
        })),
    }
}

impl View<'_> {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// EISDIR, EINVAL for a symlink, ESTALE, and whatever fetching fails with.
    pub fn open(&self, ino: u64) -> Answer<Opened> {
        let node = self.node(ino)?;
        let Node::Entry(kind, id, version, number) = &node else {
            let file = self.render(&node)?;
            return Ok(Opened {
                handle: Handle::Bytes(file.bytes),
                is_final: file.is_final,
            });
        };
        match self.files(*kind, id, version)? {
            Files::None => Err(Error::IsDirectory.into()),
            Files::Growing(growing) => self.open_growing(&growing, (*kind, id, version), *number),
            Files::Sealed(sealed) => {
                let entry = sealed.index().node(*number).ok_or(Error::Stale)?;
                if let Some(opened) = without_content(&entry)? {
                    return Ok(opened);
                }
                if let Some(content) = sealed.open(*number)? {
                    let handle = Handle::Content(content, ino);
                    return Ok(Opened {
                        handle,
                        is_final: true,
                    });
                }
                // Evicted, and perhaps on its way again, under the same numbers.
                let key = self.tree.version_key(*kind, id, version);
                match self.tree.store.growing(&key) {
                    Some(growing) => self.open_growing(&growing, (*kind, id, version), *number),
                    None => Err(self.content_miss(*kind, id, version)),
                }
            }
        }
    }

    fn open_growing(
        &self,
        growing: &Growing,
        (kind, id, version): (StorageKind, &Arc<str>, &Arc<str>),
        number: u32,
    ) -> Answer<Opened> {
        let not_yet = || self.content_miss(kind, id, version);
        let entry = growing.node(number).ok_or_else(not_yet)?;
        if let Some(opened) = without_content(&entry)? {
            // The end of the archive can still prove all of it wrong.
            return Ok(Opened {
                is_final: false,
                ..opened
            });
        }
        let content = growing.open(number).ok_or_else(not_yet)?;
        let handle = Handle::Growing(content, (kind, id.clone(), version.clone()));
        Ok(Opened {
            handle,
            is_final: false,
        })
    }

    /// Reads up to `size` bytes at `offset` into `buffer`, whose old content is
    /// dropped: fewer only at the end of the file, and of a file that is still
    /// arriving as many as are there.
    ///
    /// # Errors
    /// EIO where the cache's files cannot be read, and whatever the fetch of a
    /// file that is still arriving, or is damaged on disk, fails with.
    pub fn read(
        &self,
        handle: &Handle,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        buffer.clear();
        match handle {
            Handle::Bytes(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(size).min(bytes.len());
                buffer.extend_from_slice(&bytes[start..end]);
            }
            Handle::Content(content, ino) => {
                buffer.resize(wanted(content.size(), offset, size), 0);
                if content.read_at(offset, buffer).is_none() {
                    return self.read_anew(*ino, content.size(), offset, size, buffer);
                }
            }
            Handle::Growing(content, (kind, id, version)) => {
                buffer.resize(wanted(content.size(), offset, size), 0);
                if buffer.is_empty() {
                    return Ok(());
                }
                match content.read_at(offset, buffer)? {
                    Progressed::Read(0) => return Err(cut_short().into()),
                    Progressed::Read(read) => buffer.truncate(read),
                    Progressed::NotYet => return Err(self.content_miss(*kind, id, version)),
                }
            }
        }
        Ok(())
    }

    /// Reads, for a handle whose content turned out damaged, what has been
    /// fetched in its place since.
    fn read_anew(
        &self,
        ino: u64,
        file: u64,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        match self.open(ino)?.handle {
            Handle::Content(content, _) if content.size() == file => {
                // Twice in a row is more than an accident.
                let read = content.read_at(offset, buffer);
                read.map(drop).ok_or_else(|| cut_short().into())
            }
            Handle::Growing(content, version) if content.size() == file => {
                let (kind, id, number) = version.clone();
                self.read(&Handle::Growing(content, version), offset, size, buffer)?;
                // All or nothing: the kernel takes fewer bytes for the end of a
                // file that is in its page cache, and fills up with zeros.
                match buffer.len() < wanted(file, offset, size) {
                    true => Err(self.content_miss(kind, &id, &number)),
                    false => Ok(()),
                }
            }
            // Another file than the handle was opened on.
            _ => Err(cut_short().into()),
        }
    }

    /// Checks for `opendir` that the inode is a directory. Says whether its
    /// listing can never change.
    ///
    /// # Errors
    /// ENOTDIR, ESTALE.
    pub fn open_directory(&self, ino: u64) -> Answer<bool> {
        match self.node(ino)? {
            // The kernel opens as a directory only what it knows to be one.
            Node::Entry(..) => Ok(true),
            node if node.kind() == Some(Kind::Directory) => Ok(false),
            _ => Err(Error::NotDirectory.into()),
        }
    }
}
