//! The open handles, one slot each: written by plain stores, the handle's number last.

use super::{
    layout::{SLOT_CHUNK, SLOT_CHUNKS, SLOT_WORDS, SLOTS, SLOTS_A_CHUNK, WORD_SLOTS},
    memory::{Mapping, Memory},
};
use crate::sync::Mutex;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// An open handle as a worker leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftHandle {
    /// The number that the kernel knows it by.
    pub(crate) number: u64,
    /// The inode number of its file or directory.
    pub(crate) ino: u64,
    /// What it is, in the words of its owner.
    pub(crate) kind: u8,
    /// The process that opened it to write; 0 for none.
    pub(crate) opener: u32,
    /// A size or count, in the words of its owner.
    pub(crate) size: u64,
    /// The extent that it owns or reads; 0 for none.
    pub(crate) extent: u64,
}

/// The words of a slot.
const NUMBER: usize = 0;
const INO: usize = 1;
const KIND: usize = 2;
const SIZE: usize = 3;
const EXTENT: usize = 4;

/// All slots.
pub(super) struct Slots {
    chunks: Vec<OnceLock<Mapping>>,
    free: Mutex<Vec<u32>>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            chunks: (0..SLOT_CHUNKS).map(|_| OnceLock::new()).collect(),
            free: Mutex::default(),
        }
    }

    fn words(&self, memory: &Memory, slot: u32) -> Option<&[AtomicU64]> {
        let (chunk, place) = (slot as usize / SLOTS_A_CHUNK, slot as usize % SLOTS_A_CHUNK);
        let cell = self.chunks.get(chunk)?;
        let mapping = match cell.get() {
            Some(mapping) => mapping,
            None => {
                let mapped = memory.map(SLOTS + chunk as u64 * SLOT_CHUNK, SLOT_CHUNK);
                // Another thread may have been faster.
                let _ = cell.set(mapped.ok()?);
                cell.get()?
            }
        };
        mapping
            .words()
            .get(place * SLOT_WORDS..(place + 1) * SLOT_WORDS)
    }

    /// Writes a handle into a free slot.
    pub(super) fn add(&self, memory: &Memory, fixed: &Mapping, handle: &LeftHandle) -> Option<u32> {
        if memory.is_closed() {
            return None;
        }
        let used = fixed.words().get(WORD_SLOTS)?;
        let free = self.free.lock().pop();
        let slot = match free {
            Some(slot) => slot,
            None => u32::try_from(used.fetch_add(1, Ordering::Relaxed)).ok()?,
        };
        let words = self.words(memory, slot)?;
        let kind = u64::from(handle.kind) | u64::from(handle.opener) << 32;
        for (at, value) in [
            (INO, handle.ino),
            (KIND, kind),
            (SIZE, handle.size),
            (EXTENT, handle.extent),
        ] {
            words[at].store(value, Ordering::Relaxed);
        }
        words[NUMBER].store(handle.number, Ordering::Release);
        Some(slot)
    }

    /// Changes the size and the extent of a handle. A worker that ends in the middle
    /// leaves the new extent with the old size.
    pub(super) fn change(&self, memory: &Memory, slot: u32, size: u64, extent: u64) {
        if let Some(words) = self.words(memory, slot).filter(|_| !memory.is_closed()) {
            words[EXTENT].store(extent, Ordering::Release);
            words[SIZE].store(size, Ordering::Release);
        }
    }

    /// Frees a slot.
    pub(super) fn free(&self, memory: &Memory, slot: u32) {
        if let Some(words) = self.words(memory, slot).filter(|_| !memory.is_closed()) {
            words[NUMBER].store(0, Ordering::Release);
            self.free.lock().push(slot);
        }
    }

    /// The handles that an earlier worker left, each with its slot; the other slots are
    /// free.
    pub(super) fn left(&self, memory: &Memory, fixed: &Mapping) -> Vec<(LeftHandle, u32)> {
        let Some(used) = fixed.words().get(WORD_SLOTS) else {
            return Vec::new();
        };
        let most = (SLOT_CHUNKS * SLOTS_A_CHUNK) as u64;
        let count = used.load(Ordering::Relaxed).min(most);
        used.store(count, Ordering::Relaxed);
        let mut left = Vec::new();
        // Read, not mapped: most chunks of a damaged count have never been written.
        let mut chunk = vec![0; SLOT_CHUNK as usize];
        for first in (0..count as u32).step_by(SLOTS_A_CHUNK) {
            let start = SLOTS + u64::from(first) * (SLOT_WORDS * 8) as u64;
            if memory.read(start, &mut chunk).is_err() {
                break;
            }
            let slots = chunk.as_chunks::<{ SLOT_WORDS * 8 }>().0.iter();
            for (slot, bytes) in (first..count as u32).zip(slots) {
                match handle(bytes) {
                    LeftHandle { number: 0, .. } => self.free.lock().push(slot),
                    handle => left.push((handle, slot)),
                }
            }
        }
        left
    }
}

fn handle(slot: &[u8; SLOT_WORDS * 8]) -> LeftHandle {
    let words = slot.as_chunks::<8>().0;
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word));
    LeftHandle {
        number: word(NUMBER),
        ino: word(INO),
        kind: word(KIND) as u8,
        opener: (word(KIND) >> 32) as u32,
        size: word(SIZE),
        extent: word(EXTENT),
    }
}
