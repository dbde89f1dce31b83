//! Opening and reading.

use super::{Answer, Kind, View, node::Node, rows::Files};
use crate::{
    error::{Error, Result},
    store::{Content, NodeKind},
};
use std::sync::Arc;

/// What an open file reads from. It stays good whatever is evicted or changes.
pub enum Handle {
    /// A file of ours, as it was when it was opened.
    Bytes(Arc<[u8]>),
    /// A file of a version.
    Content(Content),
}

/// An open file and how the kernel may treat it.
pub struct Opened {
    /// What it reads from.
    pub handle: Handle,
    /// The content can never change: pages of an earlier open are still good.
    pub is_final: bool,
}

impl Handle {
    /// Reads up to `size` bytes at `offset`, fewer only at the end of the
    /// file, into `buffer`, whose old content is dropped.
    ///
    /// # Errors
    /// EIO where the cache's files cannot be read.
    pub fn read(&self, offset: u64, size: usize, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(size).min(bytes.len());
                buffer.extend_from_slice(&bytes[start..end]);
            }
            Self::Content(content) => {
                let left = content.size().saturating_sub(offset);
                let size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
                buffer.resize(size, 0);
                let read = content.read_at(offset, buffer)?;
                if read < size {
                    // Zeros in the place of lost bytes would be a lie.
                    return Err(Error::Io {
                        context: "reading the cache".into(),
                        source: Arc::new(std::io::ErrorKind::UnexpectedEof.into()),
                    });
                }
            }
        }
        Ok(())
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
        let Files::Sealed(sealed) = self.files(*kind, id, version)? else {
            return Err(Error::IsDirectory.into());
        };
        let entry = sealed.index().node(*number).ok_or(Error::Stale)?;
        match entry.kind {
            NodeKind::Directory => Err(Error::IsDirectory.into()),
            NodeKind::Symlink => Err(Error::Invalid("is a symbolic link".into()).into()),
            NodeKind::File if entry.size == 0 => Ok(Opened {
                handle: Handle::Bytes(Arc::from([])),
                is_final: true,
            }),
            NodeKind::File => match sealed.open(*number)? {
                Some(content) => Ok(Opened {
                    handle: Handle::Content(content),
                    is_final: true,
                }),
                None => Err(self.content_miss(*kind, id, version)),
            },
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
