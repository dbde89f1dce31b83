//! Extents: parts of the memory for what is not of a fixed size, such as the bytes of an
//! open file. Each has an owner, a handle or a record of the journal, which names it
//! by one number. Places are never used twice; what is freed takes no memory.

use super::{
    frames::{Records, WORD, frame, framed, head},
    layout::{END, EXTENTS, PAGE, WORD_EXTENT},
    memory::{Mapping, Memory},
};
use std::sync::atomic::Ordering;

/// The largest extent, as a power of two. It costs nothing but places.
const LARGEST: u32 = 36;
const SMALLEST: u32 = PAGE.trailing_zeros();

/// The bytes of an extent that are read at a time, unless a record is longer.
const FIRST: usize = 64 << 10;
/// The longest record of several in an extent.
pub(super) const LONGEST: usize = 64 << 20;
/// The longest record of an extent that has no other.
const MOST_ALONE: usize = 1 << 30;

/// An extent: where it is and, in the low bits, its size as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Place {
    /// The place that a number names; `None` where that can be none.
    pub(super) fn of(number: u64) -> Option<Self> {
        let place = Self(number);
        let size = number % PAGE;
        let is_one = (u64::from(SMALLEST)..=u64::from(LARGEST)).contains(&size)
            && place.start() >= EXTENTS
            && place.end() <= END;
        is_one.then_some(place)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    fn start(self) -> u64 {
        self.0 / PAGE * PAGE
    }

    fn end(self) -> u64 {
        self.start() + (1 << (self.0 % PAGE))
    }

    fn room(self) -> u64 {
        self.end() - self.start()
    }
}

/// Takes a new extent, for so many bytes of records.
pub(super) fn take(fixed: &Mapping, bytes: u64) -> Option<Place> {
    let size = bytes
        .max(PAGE)
        .checked_next_power_of_two()?
        .trailing_zeros();
    let next = fixed.words().get(WORD_EXTENT)?;
    let start = next.fetch_add(1 << size, Ordering::Relaxed);
    Place::of(start.checked_add(u64::from(size))?)
}

/// Writes a record into an extent, so many bytes from its beginning, and gives where the
/// next goes; `None` where it cannot be written.
pub(super) fn write(memory: &Memory, place: Place, at: u64, record: &[u8]) -> Option<u64> {
    let end = at + framed(record.len()) as u64;
    if record.is_empty() || end > place.room() || record.len() > MOST_ALONE {
        return None;
    }
    let start = place.start() + at;
    if record.len() < FIRST {
        memory.write(start, &frame(record)).ok()?;
    } else {
        memory.write(start + WORD as u64, record).ok()?;
        memory.write(start, &head(record).to_le_bytes()).ok()?;
    }
    Some(end)
}

/// Reads the only record of an extent; `None` where it is not whole.
pub(super) fn read_one(memory: &Memory, place: Place) -> Option<Vec<u8>> {
    let mut word = [0; WORD];
    memory.read(place.start(), &mut word).ok()?;
    let length = u64::from_le_bytes(word) as u32 as usize;
    // More than that is damage, and not worth the time.
    if length > MOST_ALONE || framed(length) as u64 > place.room() {
        return None;
    }
    let mut bytes = vec![0; framed(length)];
    memory.read(place.start(), &mut bytes).ok()?;
    Records::of(&bytes).next()?;
    bytes.drain(..WORD);
    bytes.truncate(length);
    Some(bytes)
}

/// Reads the records of an extent, oldest first, and gives where the next goes. What was
/// not written to its end is cleared.
pub(super) fn read(memory: &Memory, place: Place, mut each: impl FnMut(&[u8])) -> Option<u64> {
    let mut end = 0;
    let mut length = FIRST;
    loop {
        let rest = place.room() - end;
        let mut bytes = vec![0; length.min(usize::try_from(rest).ok()?)];
        memory.read(place.start() + end, &mut bytes).ok()?;
        let mut records = Records::of(&bytes);
        records.by_ref().for_each(&mut each);
        let read = records.at;
        end += read as u64;
        // The next record may go on behind what was read, or begin there.
        let goes_on = (length as u64) < rest
            && match records.is_torn() {
                true => length - read < LONGEST && reach(&bytes, read) > length,
                false => length - read < WORD,
            };
        if !goes_on {
            memory.clear(place.start() + end, place.end());
            return Some(end);
        }
        length = if read == 0 { length * 4 } else { FIRST };
    }
}

/// Where the record at `at` says that it ends.
fn reach(bytes: &[u8], at: usize) -> usize {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    let length = word.map_or(0, |word| u32::from_le_bytes(*word)) as usize;
    match length <= LONGEST {
        true => at + framed(length),
        false => 0,
    }
}

/// Gives the memory of an extent back.
pub(super) fn free(memory: &Memory, place: Place) {
    memory.clear(place.start(), place.end());
}

/// Gives the memory of all but these extents back.
pub(super) fn free_all_but(memory: &Memory, fixed: &Mapping, mut kept: Vec<Place>) {
    kept.sort();
    let mut start = EXTENTS;
    for place in kept {
        memory.clear(start, place.start());
        start = start.max(place.end());
    }
    memory.clear(start, END);
    // No place that is in use is taken again, even if a damaged header says so.
    if let Some(next) = fixed.words().get(WORD_EXTENT) {
        next.fetch_max(start, Ordering::Relaxed);
    }
}
