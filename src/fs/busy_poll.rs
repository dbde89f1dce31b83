//! Takes requests without a sleep in between, while they follow one another
//! closely.
//!
//! A program that opens many small files sends a request, waits for the answer, and
//! sends the next. Between two of them the mount's thread sleeps for some
//! microseconds, and waking it costs more than the answer: its core has halted by
//! then, and where a hypervisor has to start it again that takes 20 µs and
//! more. (FUSE over io_uring gets rid of the same cost by a queue on each core;
//! fuser does not have that.) So after a run of close requests the thread reads the
//! device without blocking, which makes fuser ask again at once. It blocks again
//! after a pause, and as soon as another thread needs the core.
//!
//! That spares one of the two wakings, that of the mount. Where the mount may, it also
//! keeps the cores from halting at all while requests follow one another
//! ([`CpuLatency`]), which spares the program's too.

use super::cpu_latency::CpuLatency;
use crate::{sync::Mutex, threads};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    time::{ClockId, clock_gettime},
};
use std::{
    cell::Cell,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// A request is close to the one before when it comes so soon after it: `cat` needs
/// that long for a small file when both sides sleep in between.
const CLOSE: Duration = Duration::from_micros(250);
/// So many close requests are a run: a shorter one is over before it pays.
const RUN: u32 = 64;
/// Requests that are no further apart than this follow one another: `ls -lR`
/// asks for a page of a large directory about once a millisecond.
const FOLLOWING: Duration = Duration::from_millis(2);
/// After so many, it is worth keeping the cores awake.
const SEQUENCE: u32 = 16;
/// Both end after this long without a request, or twice this long at most.
const PAUSE: Duration = Duration::from_millis(5);
/// A thread that never sleeps gets at least this share of the time of a run, in
/// percent, unless other threads need its core.
const SHARE: u32 = 80;
/// How long it sleeps as usual when they do.
const AWAY: Duration = Duration::from_millis(500);

/// What a thread has seen of the requests that it takes.
#[derive(Clone, Copy, Default)]
struct Seen {
    last: Option<Instant>,
    /// When the present run began, and the thread's CPU time then.
    since: Option<(Instant, Duration)>,
    /// Close requests in it.
    run: u32,
    /// Requests that followed one another.
    sequence: u32,
    /// When sleeping may be given up again.
    not_before: Option<Instant>,
}

impl Seen {
    /// Notes a request; says at the end of a run whether to poll from now on.
    /// `is_polling`: whether the thread polls now; `cpu`: its CPU time.
    fn note(
        &mut self,
        now: Instant,
        is_polling: bool,
        cpu: impl FnOnce() -> Duration,
    ) -> Option<bool> {
        let gap = self.last.replace(now);
        let gap = gap.map(|last| now.saturating_duration_since(last));
        self.sequence = match gap.is_some_and(|gap| gap < FOLLOWING) {
            true => self.sequence.saturating_add(1),
            false => 0,
        };
        if gap.is_none_or(|gap| gap >= CLOSE) {
            self.run = 0;
            self.since = None;
            return None;
        }
        self.run += 1;
        if self.run < RUN {
            return None;
        }
        self.run = 0;
        if self.not_before.is_some_and(|then| now < then) {
            return None;
        }
        let cpu = cpu();
        let since = self.since.replace((now, cpu));
        if let Some((began, used)) = since.filter(|_| is_polling) {
            let took = now.saturating_duration_since(began);
            if cpu.saturating_sub(used) * 100 < took * SHARE {
                self.since = None;
                self.not_before = Some(now + AWAY);
                return Some(false);
            }
        }
        Some(true)
    }
}

thread_local! {
    static SEEN: Cell<Seen> = Cell::default();
}

/// The polling of a mount's one thread that takes requests.
#[derive(Default)]
pub(super) struct BusyPoll {
    way: OnceLock<Way>,
    requests: AtomicU64,
    /// Whether the thread reads the device without blocking.
    is_polling: AtomicBool,
    /// Whether the cores are kept awake.
    is_awake: AtomicBool,
    /// Held while either changes, so that the device and the flag agree.
    turn: Mutex<()>,
}

/// What polling acts on.
struct Way {
    /// The mount's connection.
    device: OwnedFd,
    /// Where this process may keep the cores awake.
    awake: Option<CpuLatency>,
    /// The thread that ends it.
    watcher: Thread,
}

impl BusyPoll {
    /// Begins with the connection `device`, a duplicate of the only descriptor
    /// that requests are taken from.
    pub(super) fn begin(self: &Arc<Self>, device: OwnedFd, awake: Option<CpuLatency>) {
        let busy_poll = Arc::downgrade(self);
        match threads::start("vm0fs-busy-poll", move || watch(&busy_poll)) {
            Ok(watcher) => {
                let watcher = watcher.thread().clone();
                // Only the first counts, and there is only one.
                let _ = self.way.set(Way {
                    device,
                    awake,
                    watcher,
                });
            }
            Err(error) => tracing::debug!("requests are taken the ordinary way: {error}"),
        }
    }

    /// Notes a request that came at `now`.
    pub(super) fn note(&self, now: Instant) {
        let Some(way) = self.way.get() else { return };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut seen = SEEN.get();
        let polling = seen.note(now, self.is_polling.load(Ordering::Relaxed), thread_time);
        SEEN.set(seen);
        if seen.sequence >= SEQUENCE {
            self.set_awake(way, true);
        }
        if let Some(polling) = polling {
            self.set_polling(way, polling);
        }
    }

    fn set_polling(&self, way: &Way, polling: bool) {
        self.change(&self.is_polling, polling, way, || {
            let flags = fcntl(&way.device, FcntlArg::F_GETFL)?;
            let mut flags = OFlag::from_bits_retain(flags);
            flags.set(OFlag::O_NONBLOCK, polling);
            Ok(fcntl(&way.device, FcntlArg::F_SETFL(flags)).map(drop)?)
        });
    }

    fn set_awake(&self, way: &Way, is_awake: bool) {
        if let Some(awake) = &way.awake {
            self.change(&self.is_awake, is_awake, way, || awake.set(is_awake));
        }
    }

    /// Changes one of the two, unless it is so already, as it nearly always is.
    fn change(&self, flag: &AtomicBool, to: bool, way: &Way, how: impl Fn() -> io::Result<()>) {
        if flag.load(Ordering::Relaxed) == to {
            return;
        }
        let turn = self.turn.lock();
        if flag.swap(to, Ordering::AcqRel) != to
            && let Err(error) = how()
        {
            tracing::debug!("polling cannot be changed: {error}");
        }
        drop(turn);
        if to {
            way.watcher.unpark();
        }
    }
}

impl Drop for BusyPoll {
    fn drop(&mut self) {
        if let Some(way) = self.way.get() {
            way.watcher.unpark();
        }
    }
}

/// Ends polling: the thread that takes requests blocks while there are none.
fn watch(busy_poll: &Weak<BusyPoll>) {
    loop {
        thread::park();
        let mut last = None;
        loop {
            let Some(busy_poll) = busy_poll.upgrade() else {
                return;
            };
            let Some(way) = busy_poll.way.get() else {
                break;
            };
            let requests = busy_poll.requests.load(Ordering::Relaxed);
            if last.replace(requests) == Some(requests) {
                busy_poll.set_polling(way, false);
                busy_poll.set_awake(way, false);
            }
            let is_on = |flag: &AtomicBool| flag.load(Ordering::Acquire);
            if !is_on(&busy_poll.is_polling) && !is_on(&busy_poll.is_awake) {
                break;
            }
            drop(busy_poll);
            thread::sleep(PAUSE);
        }
    }
}

/// The CPU time of this thread.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_micros(20);

    /// A run of close requests in which the thread has a share of the time.
    fn run(
        seen: &mut Seen,
        now: &mut Instant,
        cpu: &mut Duration,
        share: u32,
        polling: bool,
    ) -> Option<bool> {
        for _ in 1..RUN {
            *now += STEP;
            *cpu += STEP * share / 100;
            assert_eq!(seen.note(*now, polling, || *cpu), None);
        }
        *now += STEP;
        *cpu += STEP * share / 100;
        seen.note(*now, polling, || *cpu)
    }

    #[test]
    fn a_run_of_close_requests_begins_to_poll() {
        let (mut seen, mut now, mut cpu) = (Seen::default(), Instant::now(), Duration::ZERO);
        seen.note(now, false, || cpu);
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 30, false), Some(true));
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 100, true), Some(true));
        // One that is late begins a run anew.
        now += CLOSE;
        assert_eq!(seen.note(now, true, || cpu), None);
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 30, true), Some(true));
    }

    #[test]
    fn requests_that_follow_one_another_are_a_sequence() {
        let (mut seen, mut now) = (Seen::default(), Instant::now());
        for number in 0..2 * SEQUENCE {
            assert_eq!(seen.note(now, false, Duration::default), None);
            assert_eq!(seen.sequence, number);
            now += FOLLOWING - STEP;
        }
        now += FOLLOWING;
        seen.note(now, false, Duration::default);
        assert_eq!(seen.sequence, 0);
    }

    #[test]
    fn polling_goes_on_while_requests_come_and_ends_after() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (device, _other) = nix::unistd::pipe().unwrap();
        let busy_poll = Arc::new(BusyPoll::default());
        let awake = CpuLatency::at(file.path()).unwrap();
        busy_poll.begin(device.try_clone().unwrap(), Some(awake));
        let is_blocking = || {
            let flags = fcntl(&device, FcntlArg::F_GETFL).unwrap();
            !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
        };
        // What the kernel would have been told so far.
        let bounds = || std::fs::read(file.path()).unwrap();
        let none = 0_i32.to_ne_bytes().to_vec();
        let now = Instant::now();
        (0..SEQUENCE).for_each(|_| busy_poll.note(now));
        assert!(bounds().is_empty() && is_blocking());
        (0..RUN).for_each(|_| busy_poll.note(now));
        assert!(bounds().starts_with(&none));
        let over = [none, (-1_i32).to_ne_bytes().to_vec()].concat();
        let until = Instant::now() + Duration::from_secs(30);
        while bounds() != over || !is_blocking() {
            assert!(Instant::now() < until, "still kept: {:?}", bounds());
            thread::sleep(PAUSE);
        }
        // And anew.
        (0..=SEQUENCE).for_each(|_| busy_poll.note(now));
        assert!(bounds().len() > over.len());
    }

    #[test]
    fn a_thread_that_is_kept_from_its_core_sleeps_for_a_while() {
        let (mut seen, mut now, mut cpu) = (Seen::default(), Instant::now(), Duration::ZERO);
        seen.note(now, false, || cpu);
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 30, false), Some(true));
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 50, true), Some(false));
        let end = now + AWAY - STEP * RUN * 2;
        while now < end {
            assert_eq!(run(&mut seen, &mut now, &mut cpu, 30, false), None);
        }
        now += STEP * RUN * 2;
        seen.note(now, false, || cpu);
        assert_eq!(run(&mut seen, &mut now, &mut cpu, 30, false), Some(true));
    }
}
