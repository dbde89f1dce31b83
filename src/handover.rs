//! What one worker of a mount leaves to the next: all that the kernel or a process holds
//! of a worker means the same in the one that replaces it.
//!
//! It is memory that belongs to no process (a memfd), which the supervisor holds and
//! each worker inherits. A worker writes there what it is about to tell the kernel or a
//! process, before it does. A worker can be killed between any two instructions: records
//! become valid by their last store, and what is torn is dropped. The reader trusts no
//! byte of it, since a worker that crashes may have written anywhere.
//!
//! There are a [`journal`] of what is only ever added, [`slots`] of open handles,
//! [`extents`] for bytes of any size, and [`suspects`]: what has killed workers. What
//! the records mean is their owners' business, in [`crate::tree`] and [`crate::fs`].
//! Nothing is freed by dropping: a worker that ends leaves all to the next.

mod blobs;
mod codec;
mod extents;
mod frames;
mod journal;
mod layout;
mod memory;
mod slots;
mod suspects;

pub(crate) use self::{
    codec::{Fields, Reader},
    slots::LeftHandle,
    suspects::{Deadly, Guard, Running, Work},
};

#[cfg(test)]
pub(crate) use self::suspects::forget_work;

use self::{
    blobs::Blobs,
    extents::Place,
    journal::Journal,
    layout::{FIXED, MAGIC, WORD_EXTENT, WORD_FORMAT, WORD_HANDLE, WORD_MAGIC},
    memory::{Mapping, Memory, failed},
    slots::Slots,
    suspects::Suspects,
};
use crate::{error::Result, sync::Mutex};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

/// The owners of records in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owner {
    /// The table of inode numbers.
    Inodes = 1,
    /// The orders to the service.
    Orders,
    /// The logs that grow.
    Logs,
    /// The adapter to the kernel.
    Fs = 4,
    /// The last failures.
    Failures,
}

/// An extent with the records that its owner adds.
#[derive(Debug)]
pub(crate) struct Stream {
    place: Place,
    /// Where the next record goes; `None` once one could not be written.
    at: Mutex<Option<u64>>,
}

impl Stream {
    /// The number by which it is found again.
    pub(crate) fn number(&self) -> u64 {
        self.place.number()
    }
}

/// What one worker leaves to the next.
pub struct Handover {
    memory: Memory,
    fixed: Mapping,
    journal: Journal,
    slots: Slots,
    suspects: Suspects,
    blobs: Blobs,
    /// The handles that the earlier worker left, until their owner takes them.
    handles: Mutex<Vec<(LeftHandle, u32)>>,
    is_damaged: bool,
}

impl Handover {
    /// The format of what is left. A worker of another one cannot take over.
    pub const FORMAT: u32 = layout::FORMAT;

    /// For a first worker, and for a mount without a supervisor.
    ///
    /// # Errors
    /// Where the kernel gives no memory.
    pub fn new() -> Result<Self> {
        let memory = Memory::new()?;
        let fixed = match memory.is_closed() {
            true => Mapping::private(FIXED)?,
            false => memory
                .map(0, FIXED)
                .map_err(|error| failed("mapping", error))?,
        };
        let words = fixed.words();
        words[WORD_FORMAT].store(u64::from(Self::FORMAT), Ordering::Relaxed);
        words[WORD_EXTENT].store(layout::EXTENTS, Ordering::Relaxed);
        words[WORD_MAGIC].store(MAGIC, Ordering::Release);
        Ok(Self {
            memory,
            fixed,
            journal: Journal::default(),
            slots: Slots::new(),
            suspects: Suspects::default(),
            blobs: Blobs::default(),
            handles: Mutex::default(),
            is_damaged: false,
        })
    }

    /// What an earlier worker has left. It must have ended, or write nothing more.
    ///
    /// # Errors
    /// Where it is of another format, or cannot be read.
    pub fn take_over(fd: OwnedFd) -> Result<Self> {
        let memory = Memory::left(fd)?;
        let mapped = memory.map(0, FIXED);
        let fixed = mapped.map_err(|error| failed("mapping", error))?;
        let words = fixed.words();
        let word = |at: usize| words[at].load(Ordering::Acquire);
        let (magic, format) = (word(WORD_MAGIC), word(WORD_FORMAT));
        if magic != MAGIC || format != u64::from(Self::FORMAT) {
            let own = Self::FORMAT;
            let error = io::Error::other(format!("it has format {format}, and this is {own}"));
            return Err(failed("taking over", error));
        }
        let (journal, is_damaged) = Journal::left(&memory)?;
        suspects::count_deaths(&fixed);
        let slots = Slots::new();
        let handles = slots.left(&memory, &fixed);
        let last = handles.iter().map(|(handle, _)| handle.number).max();
        words[WORD_HANDLE].fetch_max(last.unwrap_or_default(), Ordering::Relaxed);
        let held = handles
            .iter()
            .filter_map(|(handle, _)| Place::of(handle.extent));
        let held = held.collect::<Vec<_>>().into_iter();
        Ok(Self {
            suspects: Suspects::of(&fixed),
            memory,
            fixed,
            journal,
            slots,
            blobs: Blobs::left(held),
            handles: Mutex::new(handles),
            is_damaged,
        })
    }

    /// The memory, for the supervisor to hold and the next worker to inherit.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    /// Whether a next worker can take over. Not where this process may write no large
    /// files (`ulimit -f`), and once this worker has stopped writing.
    pub fn is_kept(&self) -> bool {
        !self.memory.is_closed()
    }

    /// Whether this worker has stopped writing, and another is about to take over.
    pub(crate) fn is_left(&self) -> bool {
        self.must_tell() && !self.is_kept()
    }

    /// Whether another worker may take over, now or after this one has stopped writing:
    /// then nothing may be done that it would do again unless it is told.
    pub(crate) fn must_tell(&self) -> bool {
        self.memory.is_sized()
    }

    /// Writes nothing more: another worker takes over while this one ends.
    pub fn close(&self) {
        self.memory.close();
    }

    /// Notes what this thread works on, until the guard is dropped.
    pub(crate) fn working_on(&self, work: &Work<'_>) -> Guard<'_> {
        suspects::working_on(&self.fixed, work)
    }

    /// Notes that what this thread works on has killed the worker. For a signal
    /// handler: a load and a store.
    pub fn mark_guilty(&self) {
        suspects::mark_guilty(&self.fixed);
    }

    /// The operations that run now.
    pub(crate) fn running(&self) -> Vec<Running> {
        suspects::running(&self.fixed)
    }

    /// Holds an operation that hangs to have killed the worker.
    pub(crate) fn blame(&self, running: &Running) {
        suspects::blame(&self.fixed, running);
    }

    /// What an operation is, in a user's words.
    pub(crate) fn told(&self, running: &Running) -> String {
        suspects::told_of(&self.fixed, running)
    }

    /// Whether some work is refused, since it has killed two workers.
    pub(crate) fn refuse(&self, work: &Work<'_>) -> Option<Deadly> {
        self.suspects.refuse(&self.fixed, work)
    }

    /// Whether records have been lost to damage, beside those that were not finished.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Adds a record to the journal, and says whether that could be done.
    pub(crate) fn add(&self, owner: Owner, record: Fields) -> bool {
        let mut whole = record;
        whole = whole.byte(owner as u8);
        self.journal.append(&self.memory, whole.as_bytes())
    }

    /// The records of an owner, oldest first.
    pub(crate) fn records(&self, owner: Owner, mut each: impl FnMut(&mut Reader<'_>)) {
        let replayed = journal::replay(&self.memory, |record| match record.split_last() {
            Some((by, record)) if *by == owner as u8 => each(&mut Reader::of(record)),
            _ => {}
        });
        if let Err(error) = replayed {
            tracing::error!("{}", failed("reading", error));
        }
    }

    /// The number of a new handle. Numbers are never reused.
    pub(crate) fn new_handle(&self) -> u64 {
        self.fixed.words()[WORD_HANDLE].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps an open handle, and gives its slot.
    pub(crate) fn add_handle(&self, handle: &LeftHandle) -> Option<u32> {
        self.slots.add(&self.memory, &self.fixed, handle)
    }

    /// Changes the size and the extent of a handle.
    pub(crate) fn change_handle(&self, slot: u32, size: u64, extent: u64) {
        self.slots.change(&self.memory, slot, size, extent);
    }

    /// Drops a handle.
    pub(crate) fn free_handle(&self, slot: u32) {
        self.slots.free(&self.memory, slot);
    }

    /// The handles that the earlier worker left, each with its slot. Given once.
    pub(crate) fn left_handles(&self) -> Vec<(LeftHandle, u32)> {
        std::mem::take(&mut self.handles.lock())
    }

    /// Keeps bytes for one more handle, once for all that hold the same; `None` where
    /// there is no memory, and of no bytes.
    pub(crate) fn keep(&self, bytes: &Arc<[u8]>) -> Option<u64> {
        let place = self.blobs.keep(&self.memory, &self.fixed, bytes);
        place.map(Place::number)
    }

    /// The bytes that the earlier worker kept for a handle; `None` where they are not
    /// whole.
    pub(crate) fn kept(&self, number: u64) -> Option<Arc<[u8]>> {
        self.blobs.kept(&self.memory, Place::of(number)?)
    }

    /// Frees what a number names, unless another handle holds it.
    pub(crate) fn let_go(&self, number: u64) {
        if let Some(place) = Place::of(number) {
            self.blobs.let_go(&self.memory, place);
        }
    }

    /// A new stream, which takes no memory before its first record.
    pub(crate) fn stream(&self) -> Option<Stream> {
        let place = extents::take(&self.fixed, STREAM).filter(|_| self.is_kept())?;
        Some(Stream {
            place,
            at: Mutex::new(Some(0)),
        })
    }

    /// A stream that the earlier worker left, whose records are given to `each`.
    pub(crate) fn left_stream(
        &self,
        number: u64,
        mut each: impl FnMut(&mut Reader<'_>),
    ) -> Option<Stream> {
        let place = Place::of(number)?;
        let end = extents::read(&self.memory, place, |record| each(&mut Reader::of(record)))?;
        Some(Stream {
            place,
            at: Mutex::new(Some(end)),
        })
    }

    /// Adds a record to a stream. Once one could not be added, none is: what comes
    /// after a gap is of no use.
    pub(crate) fn add_to(&self, stream: &Stream, record: &Fields) -> bool {
        let record = record.as_bytes();
        let mut at = stream.at.lock();
        let start = at.filter(|_| record.len() <= extents::LONGEST);
        *at = start.and_then(|start| extents::write(&self.memory, stream.place, start, record));
        at.is_some()
    }

    /// Frees a stream.
    pub(crate) fn free_stream(&self, stream: &Stream) {
        *stream.at.lock() = None;
        extents::free(&self.memory, stream.place);
    }

    /// Whether a handle that the earlier worker left names an extent.
    pub(crate) fn is_held(&self, number: u64) -> bool {
        let handles = self.handles.lock();
        handles.iter().any(|(handle, _)| handle.extent == number)
    }

    /// Gives back the memory of all but what handles and these own. To be called once,
    /// before anything new is kept.
    pub(crate) fn free_all_but(&self, owned: impl Iterator<Item = u64>) {
        let handles = self.handles.lock();
        let kept = handles.iter().map(|(handle, _)| handle.extent).chain(owned);
        let kept = kept.filter_map(Place::of).collect();
        extents::free_all_but(&self.memory, &self.fixed, kept);
    }
}

/// The bytes that a stream may have. It costs nothing but places.
const STREAM: u64 = 1 << 34;

#[cfg(test)]
mod tests;
