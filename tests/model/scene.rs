//! A life's world and mounts, and the one way to do something with them: it
//! goes well, or it fails as is promised.

use super::{
    SOON,
    wire::{Verdict, Wire},
    world::{Truth, Version},
};
use crate::{
    archives::shell,
    support::{Bench, Mount, seeds::Random},
};
use nix::sys::signal::Signal;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The longest that anything may take, stalls and retries included.
const LONGEST: Duration = Duration::from_secs(60);

/// Five deaths within ten seconds end a mount; and the supervisor hears of each a bit
/// later than it is counted here.
const MOST_DEATHS: usize = 4;
const DEATHS_WITHIN: Duration = Duration::from_secs(15);

/// A mount, which no other of the same life has the number of.
pub(super) struct Mounted {
    pub(super) mount: Mount,
    pub(super) number: u32,
    /// When its workers were killed.
    pub(super) killed: Mutex<Vec<Instant>>,
    /// How many workers it has had: a listing that changes is written to disk once a
    /// minute, and while the service cannot be reached that is what the next worker shows.
    pub(super) workers: AtomicU64,
}

impl Mounted {
    /// Kills its worker, or has another one take its place. No reader is to see that.
    pub(super) fn replace_worker(&self, random: &mut Random) {
        self.workers.fetch_add(1, Ordering::SeqCst);
        match random.below(4) {
            0 => self.mount.signal(Signal::SIGHUP),
            kind => {
                let mut killed = lock(&self.killed);
                killed.retain(|at| at.elapsed() < DEATHS_WITHIN);
                if killed.len() == MOST_DEATHS {
                    return;
                }
                killed.push(Instant::now());
                self.mount.signal_worker(match kind {
                    1 => Signal::SIGSEGV,
                    _ => Signal::SIGKILL,
                });
            }
        }
    }
}

/// What all threads of a life look at.
pub(super) struct Scene {
    /// Unmounted before their server goes.
    pub(super) mounts: Vec<Mounted>,
    pub(super) bench: Bench,
    pub(super) truth: Truth,
    pub(super) wire: Wire,
    pub(super) tally: Tally,
    /// Whether many look at a time, and when many last did: the cache may be too full
    /// for what all of them fetch.
    pub(super) is_crowded: bool,
    pub(super) crowded: Option<Instant>,
    /// Whether bytes of the cache were turned over: what was there may be arriving
    /// again at any time.
    pub(super) is_damaged: bool,
    /// What mounts have shown: versions, names of folders, places in stories.
    pub(super) seen: Seen,
}

/// What was done.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) deeds: AtomicU64,
    /// Deeds that failed, as they may.
    pub(super) failed: AtomicU64,
    /// Tries of deeds that had to wait, as a fault was over but still felt.
    pub(super) waited: AtomicU64,
    /// Silences for which there was no fault.
    pub(super) silent: AtomicU64,
    /// Versions that were fetched more than once.
    pub(super) fetched_again: AtomicU64,
    /// Workers that others replaced.
    pub(super) replaced: AtomicU64,
    /// Times that all content was evicted, or as much as no process had open.
    pub(super) evicted: AtomicU64,
    /// Reads of parts of files after which a version was there in part, and lives with such.
    pub(super) in_parts: AtomicU64,
    pub(super) lives_in_parts: AtomicU64,
    /// Objects that came from a shared cache.
    pub(super) shared: AtomicU64,
}

impl Tally {
    pub(super) fn add(&self, other: &Self) {
        let pairs = [
            (&self.deeds, &other.deeds),
            (&self.failed, &other.failed),
            (&self.waited, &other.waited),
            (&self.silent, &other.silent),
            (&self.fetched_again, &other.fetched_again),
            (&self.replaced, &other.replaced),
            (&self.evicted, &other.evicted),
            (&self.in_parts, &other.in_parts),
            (&self.lives_in_parts, &other.lives_in_parts),
            (&self.shared, &other.shared),
        ];
        for (sum, more) in pairs {
            sum.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// By the number of a mount, and what it has shown.
type Shown<T> = Mutex<HashMap<(u32, String), T>>;

#[derive(Default)]
pub(super) struct Seen {
    versions: Mutex<HashSet<(u32, String)>>,
    /// Each with the worker that has shown it.
    pub(super) names: Shown<(u64, BTreeSet<Vec<u8>>)>,
    /// Each with when that was noted, in this order.
    places: Shown<Vec<(Instant, usize)>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Seen {
    /// Something goes on, and never back: what a process is shown that asked at a moment
    /// is no older than what any had been shown by then.
    #[track_caller]
    pub(super) fn goes_on(&self, mounted: &Mounted, what: &str, place: usize, asked: Instant) {
        let mut places = lock(&self.places);
        let shown = places.entry((mounted.number, what.to_owned())).or_default();
        let before = shown.iter().rev().find(|(at, _)| *at < asked);
        let before = before.map_or(0, |(_, place)| *place);
        assert!(place >= before, "{what} went back from {before} to {place}");
        if shown.last().is_none_or(|(_, last)| place > *last) {
            shown.push((Instant::now(), place));
        }
    }
}

impl Scene {
    /// One of the mounts.
    pub(super) fn any(&self, random: &mut Random) -> &Mounted {
        random.pick(&self.mounts)
    }

    pub(super) fn version(&self, random: &mut Random) -> &Version {
        random.pick::<std::sync::Arc<Version>>(&self.truth.versions)
    }

    /// A path in a version, by one of the ways that lead there.
    pub(super) fn path(
        &self,
        random: &mut Random,
        at: &Mounted,
        version: &Version,
        path: &[u8],
    ) -> PathBuf {
        let folder = match random.one_in(6) {
            true => &version.by_id,
            false => &version.folder,
        };
        inside(at, folder, path)
    }

    /// Does something, again where a fault may still be felt. `None` where it has
    /// failed as is promised.
    pub(super) fn attempt<T>(
        &self,
        at: &Mounted,
        version: Option<&Version>,
        what: &str,
        mut deed: impl FnMut() -> io::Result<T>,
    ) -> Option<T> {
        self.tally.deeds.fetch_add(1, Ordering::Relaxed);
        // Before it is done: others look at the same time.
        let is_new = version.is_some_and(|version| self.is_new(at, version));
        let begun = Instant::now();
        loop {
            let started = Instant::now();
            let result = deed();
            let took = started.elapsed();
            assert!(took < LONGEST, "{what} took {took:?}; {}", self.wire);
            let error = match result {
                Ok(value) => {
                    if let Some(version) = version {
                        lock(&self.seen.versions).insert((at.number, version.id.clone()));
                    }
                    return Some(value);
                }
                Err(error) => error,
            };
            let number = error
                .raw_os_error()
                .unwrap_or_else(|| panic!("{what}: {error}"));
            let mut verdict = self
                .wire
                .verdict(number, version.map(|version| &*version.id));
            if number == libc::ENOENT && is_new {
                // What is shown in an outage is what was known before.
                verdict = match self.wire.is_faulty() {
                    true => Verdict::Promised,
                    false => Verdict::Passing,
                };
            }
            let was_crowded = self.crowded.is_some_and(|at| at.elapsed() < SOON);
            if number == libc::ENOSPC && (self.is_crowded || was_crowded) {
                // Over a slow wire others hold their room for long.
                verdict = match self.is_crowded && self.wire.is_faulty() {
                    true => Verdict::Promised,
                    false => Verdict::Passing,
                };
            }
            if number == libc::ETIMEDOUT && verdict == Verdict::Wrong {
                // A machine that others keep busy can be as silent as a wire. It is
                // told, and counted: as a rule it does not happen.
                if took > Duration::from_secs(1) {
                    println!("silent for {took:?}: {what:.150}: {}", told(at));
                    self.tally.silent.fetch_add(1, Ordering::Relaxed);
                }
                verdict = Verdict::Passing;
            }
            match verdict {
                Verdict::Promised => {
                    self.tally.failed.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Verdict::Passing if begun.elapsed() < SOON => {
                    self.tally.waited.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(100));
                }
                _ => panic!(
                    "{what}: {error} after {:?}; mount {}; {}; it tells: {}\n{}",
                    begun.elapsed(),
                    at.number,
                    self.wire,
                    told(at),
                    self.room()
                ),
            }
        }
    }

    /// Waits until something is so, which it soon is where no fault is on.
    pub(super) fn until(
        &self,
        at: &Mounted,
        what: &str,
        mut is_so: impl FnMut() -> io::Result<bool>,
    ) {
        let begun = Instant::now();
        while self.attempt(at, None, what, &mut is_so) == Some(false) && !self.wire.is_faulty() {
            assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What takes room in the cache, and the locks by which processes hold it.
    fn room(&self) -> String {
        shell(self.bench.dir(), "ls -lRi cache*/v1; cat /proc/locks")
    }

    /// Whether a mount may not know of a version yet.
    fn is_new(&self, at: &Mounted, version: &Version) -> bool {
        let may = !self.wire.is_clean() || version.made.elapsed() < SOON;
        may && !lock(&self.seen.versions).contains(&(at.number, version.id.clone()))
    }
}

/// What a mount tells of its last failures.
fn told(at: &Mounted) -> String {
    let errors = std::fs::read(at.mount.join(".vm0fs/errors")).unwrap_or_default();
    let errors = String::from_utf8_lossy(&errors).into_owned();
    errors.lines().rev().take(4).collect::<Vec<_>>().join(" / ")
}

/// A path in a folder of a mount.
pub(super) fn inside(at: &Mounted, folder: &str, path: &[u8]) -> PathBuf {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = at.mount.join(folder);
    match path {
        [] => folder,
        _ => folder.join(OsStr::from_bytes(path)),
    }
}
