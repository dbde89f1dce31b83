//! Content that comes in parts: bytes of the archive's tar stream, in any order, become
//! blocks of the `pack` and of blobs. A block counts once it has its checksum.

use super::{
    Cache,
    locked::Locked,
    presence::Presence,
    quota::Quota,
    version::{Present, Version},
};
use crate::store::files::{self, NEW_PACK, PACK, PRESENT};
use crate::store::{
    checksums::{BLOCK, blocks, checksum},
    crash::crash_point,
    seek::{Extent, SeekIndex},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc, time::Duration};

impl Cache {
    /// Makes an evicted version one whose content comes in parts, as long as its seek
    /// index is there. Does nothing where content is on disk.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where its files cannot be made.
    pub(in crate::store) fn prepare(&self, version: &Version, progress: &Progress) -> Result<()> {
        if version.present() != Present::None {
            return Ok(());
        }
        let header = version.index().header();
        let make = |charged| -> io::Result<()> {
            let directory = version.directory();
            // Another process may have been faster, or have removed the version.
            if !version.is_current() || files::exists(directory, PACK) {
                return Ok(());
            }
            Presence::create(directory, header.sums.into(), charged)?;
            crash_point("present-made");
            // Readers take no lock of the cache: a `pack` of another length is a damaged one.
            let pack = files::create(directory, NEW_PACK)?;
            crash_point("pack-without-length");
            pack.set_len(header.pack)?;
            files::rename(directory, NEW_PACK, PACK)?;
            crash_point("empty-pack-made");
            Ok(())
        };
        let quota = self.quota();
        quota.reserve("", 0, 0, progress, make).map(drop)
    }
}

/// Content that is to be fetched: whole blocks of the pack or of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    /// 0: the pack; n + 1: blob n.
    pub(in crate::store) part: usize,
    pub(in crate::store) bytes: Range<u64>,
}

/// The way of parts of a version's content to the disk.
pub(in crate::store) struct Partly<'a> {
    quota: &'a Quota,
    version: &'a Version,
    presence: Arc<Presence>,
    /// Keeps the content.
    lock: Arc<Locked>,
    seek: Arc<SeekIndex>,
    pack: File,
    /// The blob that was written last, and its number from 1 on.
    blob: Option<(usize, File)>,
    /// The block at work of the pack, and that of the blob.
    open: [Open; 2],
    wrong: bool,
}

/// Bytes of a block that have come.
#[derive(Default)]
struct Open {
    part: usize,
    /// Where they begin in the part.
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Partly<'a> {
    /// `None` where the content is evicted, or removed at this moment, or all of it has come,
    /// or there is no seek index.
    ///
    /// # Errors
    /// [`Error::Io`] if its files cannot be opened.
    pub(in crate::store) fn of(cache: &'a Cache, version: &'a Version) -> Result<Option<Self>> {
        let (Some(lock), Some(seek)) = (version.lock()?, version.seek()) else {
            return Ok(None);
        };
        let Some(presence) = lock.presence.clone() else {
            return Ok(None);
        };
        let pack = match files::open_to_write(version.directory(), PACK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            pack => pack.map_err(failed)?,
        };
        // Only now: a thread can have removed the content that was locked, and have put a new
        // `pack` in its place.
        if !lock.content.is_current() {
            return Ok(None);
        }
        version.touch();
        Ok(Some(Self {
            quota: cache.quota(),
            version,
            presence,
            lock,
            seek,
            pack,
            blob: None,
            open: Default::default(),
            wrong: false,
        }))
    }

    /// How content is found in the archive.
    pub(in crate::store) fn seek(&self) -> &Arc<SeekIndex> {
        &self.seek
    }

    /// Whether what has come is still that of its version.
    pub(in crate::store) fn is_current(&self) -> bool {
        self.lock.content.is_current()
    }

    /// The content that this adds to; that of the version is another one once it has been
    /// removed.
    pub(in crate::store) fn content(&self) -> Arc<Locked> {
        Arc::clone(&self.lock)
    }

    /// Whether bytes have come that are not those of the version.
    pub(in crate::store) fn is_wrong(&self) -> bool {
        self.wrong
    }

    /// Whether content that was missing has come.
    pub(in crate::store) fn has(&self, missing: &Missing) -> bool {
        let extent = Extent {
            part: missing.part,
            at: missing.bytes.start,
            tar: 0,
            length: missing.bytes.end - missing.bytes.start,
        };
        let blocks = self.blocks(&extent);
        blocks.is_some_and(|blocks| self.presence.absent(blocks).is_empty())
    }

    /// How many of the blocks in these bytes of the tar stream have not come; for all
    /// blocks, `None`.
    pub(in crate::store) fn absent(&self, tar: Option<Range<u64>>) -> u64 {
        let presence = &self.presence;
        let Some(tar) = tar else {
            return presence.absent(presence.all()).len() as u64;
        };
        let mut sum = 0;
        // Small files share blocks, which follow one another.
        let mut counted = 0..0;
        for extent in self.seek.extents_of_output(tar) {
            let Some(mut all) = self.blocks(&extent) else {
                continue;
            };
            if counted.contains(&all.start) {
                all.start = counted.end;
            }
            sum += presence.absent(all.clone()).len() as u64;
            if !all.is_empty() {
                counted = all;
            }
        }
        sum
    }

    /// The numbers of the blocks that an extent touches.
    fn blocks(&self, extent: &Extent) -> Option<Range<u64>> {
        let first = self.first_block(extent.part)?;
        let size = BLOCK as u64;
        let end = blocks(extent.at + extent.length);
        Some(first + extent.at / size..first + end)
    }

    fn first_block(&self, part: usize) -> Option<u64> {
        let blocks = self.version.index().blocks_of(part)?;
        Some(blocks.start)
    }

    /// Has the quota count so many blocks beside those that have come. Waits so long for files
    /// to be closed.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where too much of the cache is in use.
    pub(in crate::store) fn charge(
        &self,
        planned: u64,
        patience: Duration,
        progress: &Progress,
    ) -> Result<()> {
        let presence = &self.presence;
        let all = presence.all();
        let come = all.end - presence.absent(all).len() as u64;
        let most = self.version.meta().content_bytes;
        let wanted = most.min((come + planned).saturating_mul(BLOCK as u64));
        let more = wanted.saturating_sub(presence.charged());
        if more == 0 {
            return Ok(());
        }
        let note = |more| presence.charge(most.min(presence.charged() + more));
        let reserved = self
            .quota
            .reserve_within(patience, "", (more, more), progress, note);
        reserved.map(drop)
    }

    /// Takes bytes of the tar stream from `at` on. Those that follow one another are to
    /// come in order.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where they cannot be written,
    /// [`Error::Internal`] where they are wrong.
    pub(in crate::store) fn place(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let seek = Arc::clone(&self.seek);
        for extent in seek.extents_of_output(at..at + bytes.len() as u64) {
            let from = (extent.tar - at) as usize;
            self.put(&extent, &bytes[from..from + extent.length as usize])?;
        }
        Ok(())
    }

    fn put(&mut self, extent: &Extent, mut bytes: &[u8]) -> Result<()> {
        let slot = usize::from(extent.part > 0);
        let mut at = extent.at;
        while !bytes.is_empty() {
            let open = &mut self.open[slot];
            if (open.part, open.at + open.bytes.len() as u64) != (extent.part, at) {
                self.close(slot)?;
                let open = &mut self.open[slot];
                (open.part, open.at) = (extent.part, at);
            }
            let size = BLOCK as u64;
            if at.is_multiple_of(size) && bytes.len() >= BLOCK {
                let whole = bytes.len() / BLOCK * BLOCK;
                self.put_blocks(extent.part, at, &bytes[..whole])?;
                (at, bytes) = (at + whole as u64, &bytes[whole..]);
                self.open[slot].at = at;
                continue;
            }
            let end = (at / size + 1) * size;
            let now = bytes.len().min((end - at) as usize);
            self.open[slot].bytes.extend_from_slice(&bytes[..now]);
            (at, bytes) = (at + now as u64, &bytes[now..]);
            if at == end || Some(at) == self.length(extent.part) {
                self.close(slot)?;
                (self.open[slot].part, self.open[slot].at) = (extent.part, at);
            }
        }
        Ok(())
    }

    /// Writes whole blocks, those that have not come, and notes them: several that follow one
    /// another at once.
    fn put_blocks(&mut self, part: usize, at: u64, bytes: &[u8]) -> Result<()> {
        let (Some(first), Some(length)) = (self.first_block(part), self.length(part)) else {
            return Err(self.is_of_another());
        };
        let first = first + at / BLOCK as u64;
        let absent = self
            .presence
            .absent(first..first + blocks(bytes.len() as u64));
        for run in absent.chunk_by(|one, next| one + 1 == *next) {
            let from = (run[0] - first) as usize * BLOCK;
            let bytes = &bytes[from..bytes.len().min(from + run.len() * BLOCK)];
            let index = self.version.index();
            let expected = run.iter().map(|block| index.checksum(*block));
            if !expected.eq(bytes.chunks(BLOCK).map(|block| Some(checksum(block)))) {
                return Err(self.is_of_another());
            }
            self.write(part, length, bytes, at + from as u64)?;
            crash_point("block-written");
            let come = run[0]..run[0] + run.len() as u64;
            self.presence.add(come).map_err(failed)?;
        }
        Ok(())
    }

    /// Bytes of a part.
    fn length(&self, part: usize) -> Option<u64> {
        match part {
            0 => Some(self.version.index().header().pack),
            _ => {
                let mut all = self.seek.extents_of_part(part, 0..u64::MAX);
                all.next().map(|extent| extent.length)
            }
        }
    }

    /// Writes what has come of a block, and notes the block if it is complete by now.
    fn close(&mut self, slot: usize) -> Result<()> {
        let Open { part, at, bytes } = std::mem::take(&mut self.open[slot]);
        if bytes.is_empty() {
            return Ok(());
        }
        let size = BLOCK as u64;
        let (Some(first), Some(length)) = (self.first_block(part), self.length(part)) else {
            return Err(self.is_of_another());
        };
        let block = first + at / size;
        if !self.presence.has(block) {
            let (from, to) = (at / size * size, length.min((at / size + 1) * size));
            if (from, to) == (at, at + bytes.len() as u64) {
                self.put_blocks(part, at, &bytes)?;
            } else {
                self.write(part, length, &bytes, at)?;
                crash_point("block-written");
                let mut whole = vec![0; (to - from) as usize];
                let file = self.file(part, length)?;
                file.read_exact_at(&mut whole, from).map_err(failed)?;
                if self.version.index().checksum(block) == Some(checksum(&whole)) {
                    self.presence.add(block..block + 1).map_err(failed)?;
                }
            }
        }
        let mut bytes = bytes;
        bytes.clear();
        self.open[slot].bytes = bytes;
        Ok(())
    }

    fn is_of_another(&mut self) -> Error {
        self.wrong = true;
        Error::Internal("the seek index leads to bytes of another version".into())
    }

    /// Writes; if the disk is full below the cache's maximum size, evicts and tries again.
    fn write(&mut self, part: usize, length: u64, bytes: &[u8], at: u64) -> Result<()> {
        let quota = self.quota;
        quota.with_room(|| {
            let file = self.file(part, length)?;
            file.write_all_at(bytes, at).map_err(failed)
        })
    }

    /// The file of a part of so many bytes.
    fn file(&mut self, part: usize, length: u64) -> Result<&File> {
        let Some(number) = part.checked_sub(1) else {
            return Ok(&self.pack);
        };
        if self.blob.as_ref().is_none_or(|(known, _)| *known != part) {
            let name = files::blob(u32::try_from(number).unwrap_or(u32::MAX));
            let file = files::create(self.version.directory(), &name).map_err(failed)?;
            file.set_len(length).map_err(failed)?;
            self.blob = Some((part, file));
        }
        let blob = self.blob.as_ref().map(|(_, file)| file);
        blob.ok_or_else(|| Error::Internal("a blob was not opened".into()))
    }

    /// Writes what is left. Once all blocks have come, the version is a whole one.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub(in crate::store) fn finish(&mut self) -> Result<()> {
        self.close(0)?;
        self.close(1)?;
        // That of content which has been removed is not there any more.
        if self.absent(None) == 0 && self.is_current() {
            files::remove(self.version.directory(), PRESENT);
        }
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("writing to the cache", error)
}
