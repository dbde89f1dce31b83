//! Which processes use the mount now, and how: what `.vm0fs/activity.json` is made of.
//!
//! A read that is answered from what is known costs a few stores to memory here, to a
//! place that belongs to the reading thread alone: no lock, and no line of the CPU's
//! cache that threads of other readers write to. A thread that is seen for the first
//! time takes the place of the one that was seen the longest ago; only then is `/proc`
//! asked for its name, after its request has been answered.
//!
//! What the kernel answers from its own page cache never comes here. Nor do processes
//! count that look at what the mount tells of itself.

use crate::{proc::Process, sync::Mutex, text::one_line, tree::node::is_of_meta};
use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Threads that can be told apart, and the places that each can have.
const PLACES: usize = 128;
const WAYS: usize = 8;

/// A thread that has asked for nothing for this long, and waits for nothing, is not
/// shown any more.
const SHOWN: Duration = Duration::from_secs(10);

/// Characters of a process's name.
const NAME: usize = 32;

/// A thread that uses the mount.
#[repr(align(128))]
#[derive(Default)]
struct Place {
    /// Its number; 0 for none, and for one that is out of sight.
    tid: AtomicU32,
    /// Whether any thread has it.
    is_taken: AtomicU32,
    /// Its requests that wait for a fetch.
    waiting: AtomicU32,
    /// What it asked for last.
    ino: AtomicU64,
    opens: AtomicU64,
    reads: AtomicU64,
    bytes: AtomicU64,
    /// Those of the bytes for which it has waited.
    fetched: AtomicU64,
    /// When it was first and last seen, in milliseconds of the table's life.
    first: AtomicU64,
    last: AtomicU64,
}

/// Which process a thread belongs to.
#[derive(Clone, Debug, Default)]
struct Owner {
    pid: u32,
    name: Option<String>,
}

/// A process that uses the mount now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// Its id; 0 where it is out of sight.
    pub(super) pid: u32,
    /// Its name, where that can be seen, and whether it is gone.
    pub(super) name: Option<String>,
    pub(super) has_ended: bool,
    /// What it asked for last.
    pub(super) ino: u64,
    /// Its requests that wait for a fetch.
    pub(super) waiting: u32,
    pub(super) opens: u64,
    pub(super) reads: u64,
    pub(super) bytes: u64,
    /// Those of the bytes for which it has waited.
    pub(super) fetched: u64,
    /// How long it has been seen, and how long ago it was seen last.
    pub(super) since: Duration,
    pub(super) idle: Duration,
}

/// The threads that use the mount now or did a moment ago, and how many requests there
/// were.
pub struct Activity {
    places: Box<[Place]>,
    /// Who has each place; locked to take one, and to show them.
    owners: Mutex<Vec<Owner>>,
    born: Instant,
    requests: AtomicU64,
    waited: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            places: std::iter::repeat_with(Place::default)
                .take(PLACES)
                .collect(),
            owners: Mutex::new(vec![Owner::default(); PLACES]),
            born: Instant::now(),
            requests: AtomicU64::default(),
            waited: AtomicU64::default(),
        }
    }
}

/// The places that a thread may have.
fn ways(tid: u32) -> std::ops::Range<usize> {
    // Threads of one process have numbers that follow one another.
    let set = tid.wrapping_mul(0x9e37_79b9) as usize % (PLACES / WAYS);
    set * WAYS..(set + 1) * WAYS
}

impl Activity {
    /// Notes that a request has arrived.
    pub fn asked(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Notes that thread `tid` has opened a file, and was given so many bytes with that,
    /// for which it has waited or not. To be called after the reply.
    pub fn opened(&self, tid: u32, ino: u64, bytes: u64, has_waited: bool, now: Instant) {
        if is_of_meta(ino) {
            return;
        }
        let place = self.place(tid, now);
        place.opens.fetch_add(1, Relaxed);
        self.note(place, ino, bytes, has_waited, now);
    }

    /// Notes that thread `tid` has read so many bytes, for which it has waited or not. To
    /// be called after the reply.
    pub fn read(&self, tid: u32, ino: u64, bytes: u64, has_waited: bool, now: Instant) {
        if is_of_meta(ino) {
            return;
        }
        let place = self.place(tid, now);
        place.reads.fetch_add(1, Relaxed);
        self.note(place, ino, bytes, has_waited, now);
    }

    /// Notes that a request of thread `tid` begins to wait for a fetch, for the first time
    /// or again.
    pub fn waits(&self, tid: u32, ino: u64, is_first: bool, now: Instant) {
        self.waited.fetch_add(u64::from(is_first), Relaxed);
        let place = self.place(tid, now);
        place.waiting.fetch_add(1, Relaxed);
        self.note(place, ino, 0, false, now);
    }

    /// Notes that a request of thread `tid` waits no longer.
    pub fn goes_on(&self, tid: u32) {
        // Where another thread has its place, it counts as over already.
        if let Some(place) = self.find(tid) {
            let less = |waiting: u32| waiting.checked_sub(1);
            let _ = place.waiting.fetch_update(Relaxed, Relaxed, less);
        }
    }

    fn note(&self, place: &Place, ino: u64, bytes: u64, has_waited: bool, now: Instant) {
        place.ino.store(ino, Relaxed);
        place.bytes.fetch_add(bytes, Relaxed);
        if has_waited {
            place.fetched.fetch_add(bytes, Relaxed);
        }
        place.last.store(self.age(now), Relaxed);
    }

    fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.born).as_millis() as u64
    }

    fn find(&self, tid: u32) -> Option<&Place> {
        let mut places = self.places[ways(tid)].iter();
        places.find(|place| place.tid.load(Relaxed) == tid && place.is_taken.load(Relaxed) == 1)
    }

    /// The thread's place; another's, which was not seen for longest, where it has none.
    fn place(&self, tid: u32, now: Instant) -> &Place {
        let place = self.find(tid);
        let is_shown = |place: &&Place| {
            let idle = self.age(now).saturating_sub(place.last.load(Relaxed));
            place.waiting.load(Relaxed) > 0 || idle < SHOWN.as_millis() as u64
        };
        // The kernel gives numbers of threads again.
        place
            .filter(is_shown)
            .unwrap_or_else(|| self.take(tid, now))
    }

    fn take(&self, tid: u32, now: Instant) -> &Place {
        let owner = owner(tid);
        let mut owners = self.owners.lock();
        let own = self.find(tid);
        let (at, place) = {
            let ways = ways(tid);
            let places = ways.clone().zip(&self.places[ways]);
            let is_own = |place: &Place| own.is_some_and(|own| std::ptr::eq(own, place));
            // Its own, a free one, or the one that was last seen the longest ago.
            let key = |(_, place): &(usize, &Place)| {
                let last = place.last.load(Relaxed);
                (
                    !is_own(place),
                    place.is_taken.load(Relaxed) == 1,
                    place.waiting.load(Relaxed) > 0,
                    last,
                )
            };
            // There are some.
            places.min_by_key(key).unwrap_or((0, &self.places[0]))
        };
        place.is_taken.store(0, Relaxed);
        for counter in [&place.opens, &place.reads, &place.bytes, &place.fetched] {
            counter.store(0, Relaxed);
        }
        place.waiting.store(0, Relaxed);
        let age = self.age(now);
        place.first.store(age, Relaxed);
        place.last.store(age, Relaxed);
        place.tid.store(tid, Relaxed);
        place.is_taken.store(1, Relaxed);
        owners[at] = owner;
        place
    }

    /// How many requests there were, and how many of them had to wait for a fetch.
    pub(super) fn requests(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.waited.load(Relaxed))
    }

    /// The processes that use the mount now, those with the most bytes first; the threads
    /// of one are one.
    pub(super) fn readers(&self, now: Instant) -> Vec<Reader> {
        let age = self.age(now);
        let owners = self.owners.lock().clone();
        let mut readers: Vec<Reader> = Vec::new();
        for (place, owner) in self.places.iter().zip(owners) {
            let idle = Duration::from_millis(age.saturating_sub(place.last.load(Relaxed)));
            let waiting = place.waiting.load(Relaxed);
            if place.is_taken.load(Relaxed) == 0 || (waiting == 0 && idle >= SHOWN) {
                continue;
            }
            let since = Duration::from_millis(age.saturating_sub(place.first.load(Relaxed)));
            let other = readers.iter_mut().find(|other| other.pid == owner.pid);
            let Some(other) = other else {
                readers.push(Reader {
                    pid: owner.pid,
                    // What is out of sight may go on.
                    has_ended: owner.name.is_some() && !Process::new(owner.pid).exists(),
                    name: owner.name,
                    ino: place.ino.load(Relaxed),
                    waiting,
                    opens: place.opens.load(Relaxed),
                    reads: place.reads.load(Relaxed),
                    bytes: place.bytes.load(Relaxed),
                    fetched: place.fetched.load(Relaxed),
                    since,
                    idle,
                });
                continue;
            };
            if (waiting > 0, other.idle) > (other.waiting > 0, idle) {
                other.ino = place.ino.load(Relaxed);
            }
            other.waiting += waiting;
            other.opens += place.opens.load(Relaxed);
            other.reads += place.reads.load(Relaxed);
            other.bytes += place.bytes.load(Relaxed);
            other.fetched += place.fetched.load(Relaxed);
            other.since = other.since.max(since);
            other.idle = other.idle.min(idle);
        }
        readers.sort_by_key(|reader| (std::cmp::Reverse(reader.bytes), reader.pid));
        readers
    }
}

/// The process that a thread belongs to, as far as this process may see it. Its arguments
/// are not looked at: they can hold secrets.
fn owner(tid: u32) -> Owner {
    if tid == 0 {
        return Owner::default();
    }
    let pid = Process::new(tid).status().group.unwrap_or(tid);
    let name = Process::new(pid).name();
    Owner {
        pid,
        name: name.map(|name| one_line(&name, NAME)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_reads_is_added_up() {
        let activity = Activity::default();
        let own = nix::unistd::gettid().as_raw() as u32;
        let now = Instant::now();
        activity.opened(own, 70, 10, false, now);
        activity.opened(own, 8, 10, false, now);
        activity.read(own, 80, 100, true, now);
        activity.waits(own, 9, true, now);
        activity.asked();
        let [reader] = &activity.readers(now)[..] else {
            panic!("{:?}", activity.readers(now));
        };
        assert_eq!(
            (reader.pid, reader.ino, reader.waiting),
            (std::process::id(), 9, 1)
        );
        assert_eq!(
            (reader.opens, reader.reads, reader.bytes, reader.fetched),
            (1, 1, 110, 100)
        );
        assert!(reader.name.is_some() && !reader.has_ended);
        assert_eq!(activity.requests(), (1, 1));
        activity.goes_on(own);
        assert_eq!(activity.readers(now)[0].waiting, 0);
        assert!(activity.readers(now + SHOWN).is_empty());
        // Its number may be another's by then.
        activity.read(own, 80, 1, false, now + 2 * SHOWN);
        assert_eq!(activity.readers(now + 2 * SHOWN)[0].bytes, 1);
    }

    #[test]
    fn any_number_of_threads_takes_bounded_room() {
        let activity = Activity::default();
        let start = Instant::now();
        // None of these is a thread: they are above the kernel's highest number.
        let threads = (1 << 23)..(1 << 23) + 1_000;
        for (after, tid) in (0_u32..).zip(threads.clone()) {
            activity.read(tid, 1, 1, false, start + after * Duration::from_millis(1));
        }
        let readers = activity.readers(start + Duration::from_secs(1));
        assert!(readers.len() <= PLACES, "{}", readers.len());
        assert!(
            readers.iter().any(|reader| reader.pid == threads.end - 1),
            "the last is there"
        );
        assert!(
            readers
                .iter()
                .all(|reader| reader.name.is_none() && reader.bytes == 1)
        );
        activity.read(0, 1, 1, false, start);
        assert!(activity.readers(start).iter().any(|reader| reader.pid == 0));
        activity.goes_on(1 << 23);
    }
}
