//! Operations that do not end. None of them waits for the network, so one that sleeps for
//! long without a break stands still for good: a lock that two threads wait for. A disk
//! that stalls is no such thing: it holds up the thread that waits for it and those that
//! wait for that thread, and the next worker would wait for it as well.

use crate::{
    handover::{Handover, Running},
    proc::Process,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an operation may stand still, and how long it may compute.
const STILL: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(60);

/// What passes between two looks, at the most, as far as it is held against an operation:
/// this process, or the machine, may have been stopped.
const LOOK: Duration = Duration::from_secs(2);

/// The operations that were running when this was last asked.
pub(super) struct Hung {
    handover: Arc<Handover>,
    seen: HashMap<Running, Seen>,
    last: Instant,
}

/// An operation that was running.
struct Seen {
    /// For how long.
    runs: Duration,
    /// For how long its thread has slept without a break.
    still: Duration,
    /// How far its thread had come.
    steps: Option<(u64, u64)>,
}

impl Hung {
    pub(super) fn new(handover: Arc<Handover>) -> Self {
        Self {
            handover,
            seen: HashMap::new(),
            last: Instant::now(),
        }
    }

    /// An operation that hangs, in words. It is held to have killed the worker, which is
    /// what comes next.
    pub(super) fn look(&mut self) -> Option<String> {
        self.look_at(Instant::now())
    }

    fn look_at(&mut self, now: Instant) -> Option<String> {
        let last = std::mem::replace(&mut self.last, now);
        let passed = now.duration_since(last).min(LOOK);
        let own = Process::own();
        let mut before = std::mem::take(&mut self.seen);
        let mut stalls = None;
        for running in self.handover.running() {
            let thread = own.thread(running.thread);
            let steps = thread.steps();
            let Some(mut seen) = before.remove(&running) else {
                let (runs, still) = (Duration::ZERO, Duration::ZERO);
                self.seen.insert(running, Seen { runs, still, steps });
                continue;
            };
            seen.runs += passed;
            let mut stalls = || {
                *stalls.get_or_insert_with(|| own.threads().any(|thread| thread.waits_for_disk()))
            };
            seen.still = match thread.is_asleep() && seen.steps == steps && !stalls() {
                true => seen.still + passed,
                false => Duration::ZERO,
            };
            seen.steps = steps;
            if seen.still >= STILL || seen.runs >= BUSY {
                self.handover.blame(&running);
                let (what, seconds) = (self.handover.told(&running), seen.runs.as_secs());
                let does = match seen.still >= STILL {
                    true => format!("asleep in {:?}", thread.sleeps_in()),
                    false => "at work".into(),
                };
                return Some(format!("{what} has not ended for {seconds} s ({does})"));
            }
            self.seen.insert(running, seen);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handover::Work;
    use std::{
        fs::{self, File},
        hint,
        os::{fd::AsRawFd, unix::fs::PermissionsExt},
        process::Command,
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
    };

    /// After how many looks, one a second, an operation that does `work` is told of, and
    /// how. This begins once its thread is in a state, and then lets it `end`.
    fn looks(
        begins: impl Fn(&Process) -> bool,
        work: impl FnOnce() + Send,
        end: impl FnOnce(),
    ) -> Option<(u64, String)> {
        let handover = Arc::new(Handover::new().unwrap());
        let mut hung = Hung::new(handover.clone());
        let (id, has_id) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _working = handover.working_on(&Work::on("open", 42));
                id.send(nix::unistd::gettid()).unwrap();
                work();
            });
            let id = has_id.recv().unwrap().as_raw() as u32;
            while !begins(&Process::own().thread(id)) {
                thread::yield_now();
            }
            let start = Instant::now();
            let mut look = |second| hung.look_at(start + Duration::from_secs(second));
            let told = (0..100).find_map(|second| Some((second, look(second)?)));
            end();
            told
        })
    }

    #[test]
    fn an_operation_that_waits_for_another_thread_hangs_after_five_seconds() {
        let (end, wait) = mpsc::channel::<()>();
        let waits = move || {
            let _ = wait.recv();
        };
        let told = looks(Process::is_asleep, waits, || drop(end));
        let (second, told) = told.unwrap();
        // More where another test waits for the disk meanwhile.
        assert!((5..60).contains(&second), "{second}");
        let start = format!("open of inode 42 has not ended for {second} s (asleep in ");
        assert!(told.starts_with(&start), "{told}");
    }

    #[test]
    fn an_operation_that_computes_may_do_so_for_a_minute() {
        let ends = AtomicBool::new(false);
        let computes = || {
            while !ends.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
        };
        let end = || ends.store(true, Ordering::Relaxed);
        let told = looks(|thread| !thread.is_asleep(), computes, end);
        assert_eq!(told.unwrap().0, 60);
    }

    /// A process that starts another waits, as for a disk, until that has its program;
    /// and that waits until this gives up the lease of the program's file (fcntl(2)).
    #[test]
    fn an_operation_that_waits_for_a_disk_is_given_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "#!/bin/true\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let file = File::open(&path).unwrap();
        // By `include/uapi/asm-generic/fcntl.h` of the kernel; libc has it not.
        const F_SETSIG: libc::c_int = 10;
        let lease = |kind: libc::c_int| {
            let file = file.as_raw_fd();
            // SAFETY: neither call touches memory. The signal is one that does nothing.
            #[expect(unsafe_code, reason = "there is no safe way to take a lease")]
            let taken = unsafe {
                libc::fcntl(file, F_SETSIG, libc::SIGURG)
                    | libc::fcntl(file, libc::F_SETLEASE, kind)
            };
            assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
        };
        lease(libc::F_WRLCK);
        let starts = || drop(Command::new(&path).status());
        let told = looks(Process::waits_for_disk, starts, || lease(libc::F_UNLCK));
        assert_eq!(told.unwrap().0, 60);
    }
}
