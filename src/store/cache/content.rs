//! Reading a file of a sealed version, and whether its bytes are still those
//! that were written.
//!
//! A block of content is held against its checksum when it is first read, and
//! again once the file that holds it has changed, which its time of change
//! tells. So nothing is read or summed twice, and what a program does to a file
//! of the cache is seen, as is what the disk has lost since an earlier mount.
//! What the disk loses under a mount that has read it before, and once more from
//! the disk since, is not.

use super::version::{Pin, Version};
use crate::store::{
    checksums::sum,
    index::{
        format::BLOCK,
        holes::{self, Failed, Full, Seek},
        reader::{Holes, Index},
    },
};
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A file's content. While it lives, its version is not evicted.
#[derive(Debug)]
pub struct Content {
    pub(in crate::store) version: Arc<Version>,
    pub(in crate::store) pin: Arc<Pin>,
    /// The blob and its number, for what does not lie in the pack.
    pub(in crate::store) blob: Option<(File, u32)>,
    /// Where it begins in its file.
    pub(in crate::store) offset: u64,
    pub(in crate::store) size: u64,
    /// Bytes that are stored of it, one piece after another where it has holes.
    pub(in crate::store) stored: u64,
    pub(in crate::store) holes: Option<Holes>,
}

/// Which blocks have been found good.
#[derive(Debug)]
pub(in crate::store) struct Checked {
    /// A bit for each block.
    bits: Box<[AtomicU64]>,
    /// The time of change of the pack and of each blob for which they hold.
    changed: Box<[AtomicU64]>,
}

impl Checked {
    /// None of the blocks of an index.
    pub(in crate::store) fn none(index: &Index) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            bits: zeros(index.sums().div_ceil(64) as usize),
            changed: zeros(index.blobs() as usize + 1),
        }
    }

    fn has(&self, block: u64) -> bool {
        let word = usize::try_from(block / 64).ok();
        word.and_then(|word| self.bits.get(word))
            .is_some_and(|word| word.load(Ordering::Acquire) & (1 << (block % 64)) != 0)
    }

    fn add(&self, block: u64) {
        let word = usize::try_from(block / 64).ok();
        if let Some(word) = word.and_then(|word| self.bits.get(word)) {
            word.fetch_or(1 << (block % 64), Ordering::Release);
        }
    }

    /// Forgets the blocks of a file that has changed since they were checked.
    fn renew(&self, part: &Part, file: &File) -> io::Result<()> {
        let data = file.metadata()?;
        let now = data.ctime().wrapping_mul(1_000_000_000) + data.ctime_nsec();
        let Some(changed) = self.changed.get(part.number) else {
            return Ok(());
        };
        if changed.load(Ordering::Acquire) != now as u64 {
            for block in part.first..part.first + part.length.div_ceil(BLOCK as u64) {
                if let Some(word) = self.bits.get(block as usize / 64) {
                    word.fetch_and(!(1 << (block % 64)), Ordering::AcqRel);
                }
            }
            changed.store(now as u64, Ordering::Release);
        }
        Ok(())
    }
}

/// A file of the cache that holds content.
struct Part {
    /// 0 for the pack, one more than its own for a blob.
    number: usize,
    /// The number of its first block.
    first: u64,
    length: u64,
}

impl Content {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset` on, and gives how many bytes: fewer only at
    /// the end of the content. `None` where it is damaged, and given up: fetch
    /// the version again and open it anew.
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

    /// Where the next stored byte or the next hole is, from `offset` on; `None`
    /// where there is none, or where the index is damaged.
    pub fn seek(&self, offset: u64, what: Seek) -> Option<u64> {
        match self.holes {
            Some(holes) => holes::seek(&holes.of(self.version.index()), offset, what),
            None => holes::seek(&Full(self.size), offset, what),
        }
    }

    /// The name of its file in the version's directory.
    fn name(&self) -> String {
        match &self.blob {
            Some((_, number)) => format!("blob-{number}"),
            None => "pack".into(),
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
                length: index.pack_length(),
            },
        })
    }

    /// Fills all of `buf` from `start` of the file on; the error says what is wrong.
    fn fill(&self, start: u64, buf: &mut [u8]) -> Result<(), String> {
        if buf.is_empty() {
            return Ok(());
        }
        let (index, checked) = (self.version.index(), self.version.checked());
        let file: &File = self.blob.as_ref().map_or(self.pin.pack(), |(blob, _)| blob);
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
                .sum(part.first + block)
                .ok_or("its checksums are damaged")?;
            let (from, to) = (block * size, part.length.min((block + 1) * size));
            // What of the block was asked for, as offsets of the file.
            let (wanted, until) = (from.max(start), to.min(end));
            let asked = &mut buf[(wanted - start) as usize..(until - start) as usize];
            let is_good = if (wanted, until) == (from, to) {
                sum(asked) == expected
            } else {
                let mut whole = vec![0; (to - from) as usize];
                read(&mut whole, from)?;
                // What was checked, not what was read before.
                let here = (wanted - from) as usize;
                asked.copy_from_slice(&whole[here..here + asked.len()]);
                sum(&whole) == expected
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
