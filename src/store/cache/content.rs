//! Reads files of sealed versions, and verifies that their bytes are those that were
//! written.
//!
//! A block of content is verified against its checksum when it is first read, and
//! again when the ctime of the file that holds it has changed. So no block is read or
//! summed twice, and a change that a program makes to a file of the cache is noticed, as
//! is damage on disk since an earlier mount. A bit flip on disk after a mount has
//! verified a block is not noticed by that mount.

use super::{checked::Part, version::Version};
use crate::error::{Error, Result};
use crate::store::checksums::{BLOCK, checksum};
use crate::store::index::holes::{self, Failed, Full};
use crate::store::index::{Holes, Location, NodeKind, Seek};
use crate::store::{content_lock::ContentLock, files};
use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

/// A file's content. While it lives, its version is not evicted.
#[derive(Debug)]
pub struct Content {
    version: Arc<Version>,
    lock: Arc<ContentLock>,
    /// The blob and its number, for a file that is not in the pack.
    blob: Option<(File, u32)>,
    /// Where it begins in the pack or blob.
    offset: u64,
    size: u64,
    /// Bytes that are stored of it: of a file with holes, one piece after another.
    stored: u64,
    holes: Option<Holes>,
}

impl Version {
    /// Opens a file's content; `None` if it is evicted, or found damaged and given up:
    /// the version must be fetched again.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::IsDirectory`] and [`Error::Invalid`] for
    /// nodes that have no content, [`Error::Io`] if file descriptors have run out.
    pub fn open(self: &Arc<Self>, node: u32) -> Result<Option<Content>> {
        let found = self.index().node(node).ok_or(Error::Stale)?;
        match found.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(Error::IsDirectory),
            NodeKind::Symlink => return Err(Error::Invalid("a symlink has no content".into())),
        }
        let Some((location, stored)) = self.index().location(node) else {
            self.give_up("the tree points outside of the content");
            return Ok(None);
        };
        let Some(lock) = self.lock()? else {
            return Ok(None);
        };
        self.keep(&lock);
        let (blob, offset) = match location {
            Location::Pack(offset) => (None, offset),
            Location::Blob(number) => {
                let blob = files::open_existing(self.directory(), &files::blob(number))?;
                let is_whole = |blob: &File| blob.metadata().is_ok_and(|data| data.len() == stored);
                let Some(blob) = blob.filter(is_whole) else {
                    self.give_up("a blob is missing or cut");
                    return Ok(None);
                };
                (Some((blob, number)), 0)
            }
        };
        Ok(Some(Content {
            version: Arc::clone(self),
            lock,
            blob,
            offset,
            size: found.size,
            stored,
            holes: self.index().holes(node),
        }))
    }
}

impl Content {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset` on, and returns how many bytes: fewer only at
    /// the end of the content. `None` if it is damaged and given up: the version must be
    /// fetched and the file opened again.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<usize> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..most];
        let read = |at: u64, part: &mut [u8]| self.fill(self.offset.saturating_add(at), part);
        let filled = match self.holes {
            None => read(offset, buf),
            Some(holes) => {
                let pieces = holes.of(self.version.index());
                holes::fill(&pieces, offset, buf, read).map_err(|failed| match failed {
                    Failed::Map => "its pieces are damaged".into(),
                    Failed::Read(why) => why,
                })
            }
        };
        match filled {
            Ok(()) => Some(most),
            Err(why) => {
                self.version.give_up(&format!("{}: {why}", self.name()));
                None
            }
        }
    }

    /// The next stored byte or the next hole, from `offset` on; `None` if there is none,
    /// or if the index is damaged.
    pub fn seek(&self, offset: u64, what: Seek) -> Option<u64> {
        match self.holes {
            Some(holes) => holes::seek(&holes.of(self.version.index()), offset, what),
            None => holes::seek(&Full(self.size), offset, what),
        }
    }

    /// The name of its file in the version's directory.
    fn name(&self) -> String {
        match &self.blob {
            Some((_, number)) => files::blob(*number),
            None => files::PACK.into(),
        }
    }

    fn part(&self) -> Option<Part> {
        let index = self.version.index();
        Some(match self.blob {
            Some((_, number)) => Part {
                number: number as usize + 1,
                first: index.first_block(number)?,
                length: self.stored,
            },
            None => Part {
                number: 0,
                first: 0,
                length: index.header().pack,
            },
        })
    }

    /// Fills all of `buf` from `start` of the pack or blob on; the error is the damage.
    fn fill(&self, start: u64, buf: &mut [u8]) -> std::result::Result<(), String> {
        if buf.is_empty() {
            return Ok(());
        }
        let (index, checked) = (self.version.index(), self.version.checked());
        let file: &File = self
            .blob
            .as_ref()
            .map_or(self.lock.pack(), |(blob, _)| blob);
        let read = |buf: &mut [u8], at: u64| {
            file.read_exact_at(buf, at)
                .map_err(|error| format!("{} bytes at {at}: {error}", buf.len()))
        };
        let part = self.part().ok_or("its checksums are damaged")?;
        checked
            .renew(&part, file)
            .map_err(|error| error.to_string())?;
        read(buf, start)?;
        let size = BLOCK as u64;
        let end = start + buf.len() as u64;
        for block in start / size..end.div_ceil(size) {
            if checked.has(part.first + block) {
                continue;
            }
            let expected = index
                .checksum(part.first + block)
                .ok_or("its checksums are damaged")?;
            let (from, to) = (block * size, part.length.min((block + 1) * size));
            // The part of the block that was asked for, as offsets of the file.
            let (wanted, until) = (from.max(start), to.min(end));
            let asked = &mut buf[(wanted - start) as usize..(until - start) as usize];
            let is_good = if (wanted, until) == (from, to) {
                checksum(asked) == expected
            } else {
                let mut whole = vec![0; (to - from) as usize];
                read(&mut whole, from)?;
                // The bytes that are verified, not those that were read before.
                let here = (wanted - from) as usize;
                asked.copy_from_slice(&whole[here..here + asked.len()]);
                checksum(&whole) == expected
            };
            if !is_good {
                return Err(format!(
                    "block {block} of {BLOCK} bytes has another checksum"
                ));
            }
            checked.add(part.first + block);
        }
        Ok(())
    }
}
