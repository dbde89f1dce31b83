//! Tests that live random lives: their numbers, and which seeds are lived.
//!
//! As a rule some seeds are, those that once failed among them. With
//! `VM0FS_MODEL_SECONDS=3600` it goes on with new ones for an hour, and
//! `VM0FS_MODEL_SEED=7` lives that one life.

use jiff::Timestamp;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// A generator of numbers that are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number of 31 bits.
    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*, Vigna 2016: the low bits of the plain one repeat.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Which lives a test lives.
pub(crate) struct Lives {
    /// Seeds whose lives once showed a defect, and which.
    pub(crate) kept: &'static [(u64, &'static str)],
    /// New seeds that a usual run lives.
    pub(crate) usual: u64,
    /// Lives at a time: they mostly wait.
    pub(crate) at_once: usize,
}

impl Lives {
    /// Lives them; a seed that goes wrong is told.
    pub(crate) fn live(&self, life: impl Fn(u64) + Sync) {
        if let Some(seed) = setting("VM0FS_MODEL_SEED") {
            return lived(seed, &life);
        }
        let seconds = setting("VM0FS_MODEL_SECONDS");
        let kept = self.kept.len() as u64;
        let start = Instant::now();
        let next = AtomicU64::new(0);
        let whole = AtomicU64::new(0);
        // New ones each time where there is time for many.
        let first = seconds.map_or(1, |_| Timestamp::now().as_millisecond() as u64);
        let live = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let goes_on = match seconds {
                    Some(seconds) => start.elapsed() < Duration::from_secs(seconds),
                    None => number < kept + self.usual,
                };
                if !goes_on && number >= kept {
                    return;
                }
                let seed = self
                    .kept
                    .get(number as usize)
                    .map_or(first + number, |(seed, _)| *seed);
                lived(seed, &life);
                let whole = 1 + whole.fetch_add(1, Ordering::Relaxed);
                if seconds.is_some() {
                    println!("seed {seed} is well, {whole} in {:.0?}", start.elapsed());
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.at_once {
                scope.spawn(live);
            }
        });
        let lives = whole.into_inner();
        println!("{lives} lives in {:?}", start.elapsed());
    }
}

/// How long a life may last, on a busy machine too.
const LONGEST: Duration = Duration::from_secs(600);

#[track_caller]
fn lived(seed: u64, life: &impl Fn(u64)) {
    let (_ends, has_ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if has_ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
            // Its thread waits for the kernel, and can be told nothing. No core is dumped: that
            // waits for the thread, and all that look at the process for the dump.
            eprintln!("the life of seed {seed} hangs: VM0FS_MODEL_SEED={seed} lives it again");
            process::exit(101);
        }
    });
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| life(seed))) {
        eprintln!("the life of seed {seed} went wrong: VM0FS_MODEL_SEED={seed} lives it again");
        resume_unwind(panic);
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}
