//! What each thread works on, and what has killed workers before: a request that does
//! so comes again to the next worker, for ever.

use super::{
    layout::{DEATHS, THREADS, WORK_WORDS},
    memory::Mapping,
};
use crate::error::Error;
use std::{
    cell::Cell,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

/// So many deaths of a worker at the same work are no accident.
const MOST_DEATHS: u64 = 2;

/// The words of what a thread works on: its state, what it does, to which inode, where in
/// it, and the beginning of a name or another detail. Of what has killed workers,
/// the first word counts that, and the last bit of it says whether it was told.
const STATE: usize = 0;
const WHAT: usize = 1;
const INO: usize = 3;
const AT: usize = 4;
const LENGTH: usize = 5;
const DETAIL: usize = 6;
const MOST_DETAIL: usize = (WORK_WORDS - DETAIL) * 8;

/// The states of a thread's words, in the lowest byte; above it, which piece of work of
/// the thread it is, and above that the thread.
const FREE: u64 = 0;
const ACTIVE: u64 = 1;
const GUILTY: u64 = 2;
const STATE_BITS: u32 = 8;
const COUNT_BITS: u32 = 24;

/// Work that runs: a slot, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    slot: usize,
    state: u64,
    /// The thread, by the kernel's number.
    pub(crate) thread: u32,
}

fn kind(state: u64) -> u64 {
    state & ((1 << STATE_BITS) - 1)
}

thread_local! {
    /// Where this thread's words are, and whether it works on something. A signal
    /// handler reads it, so it needs no initialisation.
    static OWN: Cell<(usize, bool)> = const { Cell::new((0, false)) };
    /// This thread by the kernel's number, once it is known, and its pieces of work.
    static THREAD: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// What a thread works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    /// What it does, in up to 16 bytes: `read`.
    pub(crate) what: &'static str,
    /// With which inode; 0 where that says nothing.
    pub(crate) ino: u64,
    /// Where in it, or what else tells two pieces of work apart.
    pub(crate) at: u64,
    /// A name, in as many bytes as are kept.
    pub(crate) detail: &'a [u8],
}

impl<'a> Work<'a> {
    /// Work on an inode.
    pub(crate) fn on(what: &'static str, ino: u64) -> Self {
        Self {
            what,
            ino,
            at: 0,
            detail: &[],
        }
    }

    /// At a place in it.
    pub(crate) fn at(self, at: u64) -> Self {
        Self { at, ..self }
    }

    /// With a name in it.
    pub(crate) fn named(self, detail: &'a [u8]) -> Self {
        Self { detail, ..self }
    }

    /// The words that stand for it.
    fn words(&self) -> [u64; WORK_WORDS] {
        let mut words = [0; WORK_WORDS];
        let put = |words: &mut [u64], bytes: &[u8]| {
            for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
        };
        put(&mut words[WHAT..INO], self.what.as_bytes());
        put(&mut words[DETAIL..], self.detail);
        words[INO] = self.ino;
        words[AT] = self.at;
        words[LENGTH] = self.detail.len().min(MOST_DETAIL) as u64;
        words
    }
}

/// In a user's words.
fn told(words: &[u64; WORK_WORDS]) -> String {
    let bytes =
        |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let what = bytes(&words[WHAT..INO]);
    let what = String::from_utf8_lossy(&what);
    let mut text = what.trim_end_matches('\0').to_owned();
    if words[INO] > 0 {
        text += &format!(" of inode {}", words[INO]);
    }
    let length = (words[LENGTH] as usize).min(MOST_DETAIL);
    if length > 0 {
        let detail = bytes(&words[DETAIL..]);
        text += &format!(" {}", String::from_utf8_lossy(&detail[..length]));
    } else if words[AT] > 0 {
        text += &format!(" at {}", words[AT]);
    }
    text.replace(char::is_control, " ")
}

/// Says, when dropped, that the work has ended.
pub(crate) struct Guard<'a>(Option<&'a AtomicU64>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            state.store(FREE, Ordering::Release);
            let (slot, _) = OWN.get();
            OWN.set((slot, false));
        }
    }
}

fn group(fixed: &Mapping, (start, count): (usize, usize), at: usize) -> &[AtomicU64] {
    let start = start + at % count * WORK_WORDS;
    &fixed.words()[start..start + WORK_WORDS]
}

/// Notes what this thread works on. Work within work counts as the outer one.
pub(super) fn working_on<'a>(fixed: &'a Mapping, work: &Work<'_>) -> Guard<'a> {
    let (own, is_working) = OWN.get();
    if is_working {
        return Guard(None);
    }
    let (thread, count) = match THREAD.get() {
        (0, count) => (
            rustix::thread::gettid().as_raw_nonzero().get() as u64,
            count,
        ),
        known => known,
    };
    THREAD.set((thread, count + 1));
    let count = count & ((1 << COUNT_BITS) - 1);
    let active = ACTIVE | count << STATE_BITS | thread << (STATE_BITS + COUNT_BITS);
    // This thread's words of before, unless another has them.
    for slot in own..own + THREADS.1 {
        let words = group(fixed, THREADS, slot);
        let taken =
            words[STATE].compare_exchange(FREE, active, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_ok() {
            let work = work.words();
            let used = DETAIL + (work[LENGTH] as usize).div_ceil(8);
            for (word, value) in words.iter().zip(work).take(used).skip(WHAT) {
                word.store(value, Ordering::Relaxed);
            }
            OWN.set((slot % THREADS.1, true));
            return Guard(Some(&words[STATE]));
        }
    }
    Guard(None)
}

/// Notes that what this thread works on has killed the worker. For a signal handler: it
/// only stores.
pub(super) fn mark_guilty(fixed: &Mapping) {
    if let (slot, true) = OWN.get() {
        group(fixed, THREADS, slot)[STATE].store(GUILTY, Ordering::Release);
    }
}

/// The operations that run now: all work but fetches, which wait for the network.
pub(super) fn running(fixed: &Mapping) -> Vec<Running> {
    let slots = 0..THREADS.1;
    let running = slots.filter_map(|slot| {
        let words = group(fixed, THREADS, slot);
        let state = words[STATE].load(Ordering::Acquire);
        let is_operation = kind(state) == ACTIVE && loaded(words)[INO] > 0;
        is_operation.then_some(Running {
            slot,
            state,
            thread: (state >> (STATE_BITS + COUNT_BITS)) as u32,
        })
    });
    running.collect()
}

/// Holds work to have killed the worker, if it still runs.
pub(super) fn blame(fixed: &Mapping, running: &Running) {
    let state = &group(fixed, THREADS, running.slot)[STATE];
    let _ = state.compare_exchange(running.state, GUILTY, Ordering::AcqRel, Ordering::Relaxed);
}

/// What runs, in a user's words.
pub(super) fn told_of(fixed: &Mapping, running: &Running) -> String {
    told(&loaded(group(fixed, THREADS, running.slot)))
}

/// What has killed a worker, as its words without the first and without leftovers.
fn loaded(words: &[AtomicU64]) -> [u64; WORK_WORDS] {
    let mut loaded = [0; WORK_WORDS];
    for (value, word) in loaded.iter_mut().zip(words).skip(WHAT) {
        *value = word.load(Ordering::Acquire);
    }
    let used = DETAIL + (loaded[LENGTH] as usize).min(MOST_DETAIL).div_ceil(8);
    loaded[used..].fill(0);
    loaded
}

fn hash(words: &[u64; WORK_WORDS]) -> u64 {
    let mut hasher = DefaultHasher::new();
    words[WHAT..].hash(&mut hasher);
    hasher.finish()
}

/// Counts the deaths at the work of the threads that an earlier worker has left.
pub(super) fn count_deaths(fixed: &Mapping) {
    for thread in 0..THREADS.1 {
        let words = group(fixed, THREADS, thread);
        if words[STATE].swap(FREE, Ordering::AcqRel) == GUILTY {
            count(fixed, &loaded(words));
        }
    }
}

fn count(fixed: &Mapping, work: &[u64; WORK_WORDS]) {
    let deaths = || (0..DEATHS.1).map(|at| group(fixed, DEATHS, at));
    let own = |words: &&[AtomicU64]| {
        words[STATE].load(Ordering::Acquire) > 0 && hash(&loaded(words)) == hash(work)
    };
    let fewest = |words: &&[AtomicU64]| words[STATE].load(Ordering::Acquire);
    // Where the table is full, another that has killed seldom is forgotten.
    let Some(words) = deaths().find(own).or_else(|| deaths().min_by_key(fewest)) else {
        return;
    };
    if !own(&words) {
        words[STATE].store(0, Ordering::Release);
        for (word, value) in words.iter().zip(work).skip(WHAT) {
            word.store(*value, Ordering::Relaxed);
        }
    }
    words[STATE].fetch_add(2, Ordering::AcqRel);
}

/// Work that has killed workers, and is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deadly {
    /// What it is, in a user's words.
    pub(crate) work: String,
    /// How many workers it has killed.
    pub(crate) deaths: u64,
    /// Whether this has not been told before.
    pub(crate) is_news: bool,
}

impl From<&Deadly> for Error {
    fn from(deadly: &Deadly) -> Self {
        let Deadly { work, deaths, .. } = deadly;
        Self::Internal(format!(
            "{work} has ended {deaths} workers of this mount, and is not tried again before \
             the mount is made anew"
        ))
    }
}

/// The work that has killed workers, by what it is.
#[derive(Default)]
pub(super) struct Suspects(Vec<(u64, usize)>);

impl Suspects {
    /// Those that have killed so many workers that they are refused.
    pub(super) fn of(fixed: &Mapping) -> Self {
        let deadly = (0..DEATHS.1).filter_map(|at| {
            let words = group(fixed, DEATHS, at);
            let is_deadly = words[STATE].load(Ordering::Acquire) >> 1 >= MOST_DEATHS;
            is_deadly.then(|| (hash(&loaded(words)), at))
        });
        Self(deadly.collect())
    }

    /// Whether some work is refused. Only this worker's predecessors have added to the
    /// table, so that nearly always it is empty.
    pub(super) fn refuse(&self, fixed: &Mapping, work: &Work<'_>) -> Option<Deadly> {
        if self.0.is_empty() {
            return None;
        }
        let own = hash(&work.words());
        let &(_, at) = self.0.iter().find(|(hash, _)| *hash == own)?;
        let words = group(fixed, DEATHS, at);
        let before = words[STATE].fetch_or(1, Ordering::AcqRel);
        Some(Deadly {
            work: told(&loaded(words)),
            deaths: before >> 1,
            is_news: before & 1 == 0,
        })
    }
}

/// Forgets that this thread works on something, as its end would.
#[cfg(test)]
pub(crate) fn forget_work() {
    OWN.set((0, false));
}
