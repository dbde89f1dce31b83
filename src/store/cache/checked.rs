//! Which blocks of a version's content have been verified against their checksums, or
//! were written by this process and have not changed since.

use crate::store::{checksums::blocks, index::Index};
use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicU64, Ordering},
};

/// A file of the cache that holds content.
pub(super) struct Part {
    /// 0 for the pack, one more than its own for a blob.
    pub(super) number: usize,
    /// The number of its first block.
    pub(super) first: u64,
    pub(super) length: u64,
}

/// When a file last changed: its ctime in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        let now = data.ctime().wrapping_mul(1_000_000_000) + data.ctime_nsec();
        Ok(Self(now as u64))
    }
}

/// The files of a version's content as a fetch of this process has written them: until
/// they change, they hold what their checksums were computed from.
#[derive(Debug)]
pub(in crate::store) struct Written {
    /// The inode of the pack.
    inode: u64,
    pack: Stamp,
    blobs: Vec<Stamp>,
}

/// Notes the files of a version's content as they are written.
#[derive(Debug, Default)]
pub(in crate::store) struct Writings(Vec<Option<Stamp>>);

impl Writings {
    /// Notes a blob that has just been written to its end; blobs come in their order.
    pub(in crate::store) fn add_blob(&mut self, blob: &File) {
        self.0.push(Stamp::of(blob).ok());
    }

    /// Ends with the pack, which has just been written to its end. `None` where the file
    /// system does not tell when a file has changed.
    pub(in crate::store) fn finish(self, pack: &File) -> Option<Written> {
        Some(Written {
            inode: pack.metadata().ok()?.ino(),
            pack: Stamp::of(pack).ok()?,
            blobs: self.0.into_iter().collect::<Option<_>>()?,
        })
    }
}

impl Written {
    /// The inode of the pack.
    pub(super) fn inode(&self) -> u64 {
        self.inode
    }
}

/// The blocks that have been verified.
#[derive(Debug)]
pub(super) struct Checked {
    /// A bit for each block.
    bits: Box<[AtomicU64]>,
    /// The ctime of the pack and of each blob when they were verified.
    changed: Box<[AtomicU64]>,
}

impl Checked {
    /// No blocks yet.
    pub(super) fn none(index: &Index) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            bits: zeros(index.header().sums.div_ceil(64) as usize),
            changed: zeros(index.header().blobs as usize + 1),
        }
    }

    /// All blocks, as long as their files stay as they were written; `None` where these
    /// are not the files of the index.
    pub(super) fn all(index: &Index, written: Written) -> Option<Self> {
        let stamps = std::iter::once(written.pack).chain(written.blobs);
        let all = Self {
            bits: Self::none(index).bits,
            changed: stamps.map(|stamp| AtomicU64::new(stamp.0)).collect(),
        };
        for word in &all.bits {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        (all.changed.len() == index.header().blobs as usize + 1).then_some(all)
    }

    pub(super) fn has(&self, block: u64) -> bool {
        let word = usize::try_from(block / 64).ok();
        word.and_then(|word| self.bits.get(word))
            .is_some_and(|word| word.load(Ordering::Acquire) & (1 << (block % 64)) != 0)
    }

    /// Notes that a block was verified while its file had this stamp.
    pub(super) fn add(&self, part: &Part, stamp: Stamp, block: u64) {
        if !self.is_at(part, stamp) {
            return;
        }
        let word = usize::try_from(block / 64).ok();
        if let Some(word) = word.and_then(|word| self.bits.get(word)) {
            word.fetch_or(1 << (block % 64), Ordering::Release);
        }
    }

    /// Whether a file has not been seen with another stamp since: what [`Self::has`] said
    /// of it is of that state of it.
    pub(super) fn is_at(&self, part: &Part, stamp: Stamp) -> bool {
        let changed = self.changed.get(part.number);
        changed.is_none_or(|changed| changed.load(Ordering::Acquire) == stamp.0)
    }

    /// Forgets the blocks of a file that has changed since they were checked.
    pub(super) fn renew(&self, part: &Part, file: &File) -> io::Result<Stamp> {
        let stamp = Stamp::of(file)?;
        let Some(changed) = self.changed.get(part.number) else {
            return Ok(stamp);
        };
        if changed.load(Ordering::Acquire) != stamp.0 {
            for block in part.first..part.first + blocks(part.length) {
                if let Some(word) = self.bits.get(block as usize / 64) {
                    word.fetch_and(!(1 << (block % 64)), Ordering::AcqRel);
                }
            }
            changed.store(stamp.0, Ordering::Release);
        }
        Ok(stamp)
    }
}
