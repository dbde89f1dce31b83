//! Reads files of sealed versions, and verifies that their bytes are those that were
//! written.
//!
//! A block of content is verified against its checksum when it is first read, and
//! again when the ctime of the file that holds it has changed. So no block is read or
//! summed twice, and a change that a program makes to a file of the cache is noticed, as
//! is damage on disk since an earlier mount. A bit flip on disk after a mount has
//! verified a block is not noticed by that mount. What a fetch of this process has written
//! counts as verified while it stays as it was written.
//!
//! Of content that is only partly on disk, a read tells what it misses
//! ([`Content::missing`]), for `fetch/fill` to bring.

use super::{
    checked::{Part, Stamp},
    locked::Locked,
    partly::Missing,
    version::Version,
};
use crate::error::{Error, Result};
use crate::store::checksums::{BLOCK, checksum};
use crate::store::files;
use crate::store::index::holes::{self, Failed, Full};
use crate::store::index::{Holes, Location, NodeKind, Seek};
use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, OnceLock},
};

/// How often a read begins anew where its file changes meanwhile, as one that is being
/// filled does.
const MOST_TRIES: usize = 1000;

/// Why bytes are not given.
enum Lack {
    /// They have not come yet.
    Absent,
    /// What is on disk is damaged, in this way.
    Damage(String),
}

impl From<&str> for Lack {
    fn from(why: &str) -> Self {
        Self::Damage(why.into())
    }
}

/// A file's content. While it lives, its version is not evicted.
#[derive(Debug)]
pub struct Content {
    version: Arc<Version>,
    lock: Arc<Locked>,
    /// The blob's number and the blob, for a file that is not in the pack. Of content that is
    /// partly on disk the blob is opened once it has come.
    blob: Option<(u32, OnceLock<File>)>,
    /// Where it begins in the pack or blob.
    offset: u64,
    size: u64,
    /// Bytes that are stored of it: of a file with holes, one piece after another.
    stored: u64,
    holes: Option<Holes>,
}

impl Version {
    /// Opens a file's content, which may be on disk only partly; `None` if it is evicted,
    /// or found damaged and given up: the version must be fetched again.
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
                let blob = match blob.filter(is_whole) {
                    Some(blob) => OnceLock::from(blob),
                    None if lock.presence.is_some() => OnceLock::new(),
                    None => {
                        self.give_up("a blob is missing or cut");
                        return Ok(None);
                    }
                };
                (Some((number, blob)), 0)
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
    /// the end of the content. `None` if [`Self::missing`] says what has not come yet, or
    /// if it is damaged and given up: the version must be fetched and the file opened
    /// again.
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
                    Failed::Map => Lack::from("its pieces are damaged"),
                    Failed::Read(why) => why,
                })
            }
        };
        match filled {
            Ok(()) => Some(most),
            Err(Lack::Absent) => None,
            // What has taken its place is not to go with it.
            Err(Lack::Damage(_)) if !self.lock.content.is_current() => None,
            Err(Lack::Damage(why)) => {
                self.version.give_up(&format!("{}: {why}", self.name()));
                None
            }
        }
    }

    /// Whether not all of its version's content was on disk when it was opened.
    pub fn is_partly_there(&self) -> bool {
        self.lock.presence.is_some()
    }

    /// What is to be fetched before `length` bytes from `offset` on can be read; `None`
    /// where all of them are on disk, and where the version must be fetched whole.
    pub fn missing(&self, offset: u64, length: usize) -> Option<Missing> {
        let presence = self.lock.presence.as_ref()?;
        // What was damaged has been removed, and is to be opened anew.
        self.lock.content.is_current().then_some(())?;
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut stored: Option<Range<u64>> = None;
        let mut note = |at: u64, length: usize| {
            let until = at + length as u64;
            let all = stored.get_or_insert(at..until);
            *all = all.start.min(at)..all.end.max(until);
        };
        match self.holes {
            None => note(offset, left.min(length)),
            Some(holes) => {
                let pieces = holes.of(self.version.index());
                let look = |at, part: &mut [u8]| {
                    note(at, part.len());
                    Ok::<_, ()>(())
                };
                holes::fill(&pieces, offset, &mut vec![0; left.min(length)], look).ok()?;
            }
        }
        let stored = stored.filter(|stored| !stored.is_empty())?;
        let part = self.part()?;
        let (size, start) = (BLOCK as u64, self.offset);
        let first = part.first + (start + stored.start) / size;
        let absent = presence.absent(first..part.first + (start + stored.end).div_ceil(size));
        let from = (absent.first()? - part.first) * size;
        let to = part.length.min((absent.last()? + 1 - part.first) * size);
        self.version
            .seek()
            .filter(|_| self.version.is_current())
            .map(|_| Missing {
                part: part.number,
                bytes: from..to,
            })
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
            Some((number, _)) => files::blob(*number),
            None => files::PACK.into(),
        }
    }

    fn part(&self) -> Option<Part> {
        let index = self.version.index();
        Some(match &self.blob {
            Some((number, _)) => Part {
                number: *number as usize + 1,
                first: index.first_block(*number)?,
                length: self.stored,
            },
            None => Part {
                number: 0,
                first: 0,
                length: index.header().pack,
            },
        })
    }

    /// The file that holds the content.
    fn file(&self) -> std::result::Result<&File, Lack> {
        let Some((number, blob)) = &self.blob else {
            return Ok(self.lock.content.pack());
        };
        if let Some(blob) = blob.get() {
            return Ok(blob);
        }
        let opened = files::open(self.version.directory(), &files::blob(*number));
        let opened = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Lack::Absent,
            _ => Lack::Damage(error.to_string()),
        })?;
        Ok(blob.get_or_init(|| opened))
    }

    /// Fills all of `buf` from `start` of the pack or blob on.
    fn fill(&self, start: u64, buf: &mut [u8]) -> std::result::Result<(), Lack> {
        if buf.is_empty() {
            return Ok(());
        }
        let file = self.file()?;
        let part = self.part().ok_or("its checksums are damaged")?;
        for _ in 0..MOST_TRIES {
            let stamp = self.lock.checked.renew(&part, file);
            let stamp = stamp.map_err(|error| Lack::Damage(error.to_string()))?;
            self.fill_as_checked(file, &part, stamp, start, buf)?;
            // Where the file has changed meanwhile, it was not verified as it was read.
            if self.lock.checked.is_at(&part, stamp) {
                return Ok(());
            }
        }
        Err("it changes all the time".into())
    }

    /// Fills all of `buf`, and verifies what is not known to be verified.
    fn fill_as_checked(
        &self,
        file: &File,
        part: &Part,
        stamp: Stamp,
        start: u64,
        buf: &mut [u8],
    ) -> std::result::Result<(), Lack> {
        let (index, checked) = (self.version.index(), &self.lock.checked);
        let size = BLOCK as u64;
        let end = start + buf.len() as u64;
        let presence = self.lock.presence.as_ref();
        let has = |block| checked.has(block) || presence.is_none_or(|known| known.has(block));
        let mut all = part.first + start / size..part.first + end.div_ceil(size);
        if !all.all(has) {
            return Err(Lack::Absent);
        }
        let read = |buf: &mut [u8], at: u64| {
            file.read_exact_at(buf, at)
                .map_err(|error| Lack::Damage(format!("{} bytes at {at}: {error}", buf.len())))
        };
        read(buf, start)?;
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
                let why = format!("block {block} of {BLOCK} bytes has another checksum");
                return Err(Lack::Damage(why));
            }
            checked.add(part, stamp, part.first + block);
        }
        Ok(())
    }
}
