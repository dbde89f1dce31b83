//! The journal: what is only ever added. It is written by plain stores to mapped memory,
//! the word that makes a record valid last.

use super::{
    frames::{Records, WORD, framed, head},
    layout::{JOURNAL, JOURNAL_CHUNK, JOURNAL_END},
    memory::{Mapping, Memory, failed},
};
use crate::{error::Result, sync::Mutex};
use std::{io, sync::atomic::Ordering};

/// The journal, of which one chunk is mapped.
#[derive(Default)]
pub(super) struct Journal(Mutex<Tail>);

/// Where the next record goes.
#[derive(Default)]
struct Tail {
    mapping: Option<Mapping>,
    /// Where the chunk begins in the memory, and the word in it.
    chunk: u64,
    at: usize,
}

impl Journal {
    /// The journal that an earlier worker left, and whether it is damaged: all is kept
    /// that comes before.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn left(memory: &Memory) -> Result<(Self, bool)> {
        let mut tail = Tail::default();
        let mut is_damaged = false;
        each_chunk(memory, |chunk, bytes| {
            let mut records = Records::of(bytes);
            let count = records.by_ref().count();
            is_damaged |= records.is_torn();
            if count > 0 {
                tail.chunk = chunk;
                tail.at = records.at / WORD;
            }
            count > 0 && !is_damaged
        })
        .map_err(|error| failed("reading", error))?;
        // What a record was to hold that never became valid.
        let end = JOURNAL + tail.chunk + (tail.at * WORD) as u64;
        memory.clear(end, JOURNAL_END);
        Ok((Self(Mutex::new(tail)), is_damaged))
    }

    /// Adds a record, and says whether that could be done.
    pub(super) fn append(&self, memory: &Memory, record: &[u8]) -> bool {
        let mut tail = self.0.lock();
        let words = framed(record.len()) / WORD;
        let most = JOURNAL_CHUNK as usize / WORD;
        if record.is_empty() || words > most || memory.is_closed() {
            return false;
        }
        if tail.at + words > most {
            tail.mapping = None;
            tail.chunk += JOURNAL_CHUNK;
            tail.at = 0;
        }
        let start = JOURNAL + tail.chunk;
        if tail.mapping.is_none() && start < JOURNAL_END {
            tail.mapping = memory.map(start, JOURNAL_CHUNK).ok();
        }
        let Some(mapping) = &tail.mapping else {
            return false;
        };
        let place = &mapping.words()[tail.at..tail.at + words];
        for (word, bytes) in place[1..].iter().zip(record.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        place[0].store(head(record).to_le(), Ordering::Release);
        tail.at += words;
        true
    }
}

/// Gives all records, oldest first.
///
/// # Errors
/// Where they cannot be read.
pub(super) fn replay(memory: &Memory, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    each_chunk(memory, |_, bytes| {
        let mut records = Records::of(bytes);
        let mut any = false;
        for record in records.by_ref() {
            any = true;
            each(record);
        }
        any && !records.is_torn()
    })
}

/// Reads the chunks, each with where it begins, as long as `each` says so.
fn each_chunk(memory: &Memory, mut each: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let mut bytes = vec![0; JOURNAL_CHUNK as usize];
    for chunk in (0..JOURNAL_END - JOURNAL).step_by(JOURNAL_CHUNK as usize) {
        memory.read(JOURNAL + chunk, &mut bytes)?;
        if !each(chunk, &bytes) {
            break;
        }
    }
    Ok(())
}
