//! How far a fetch has come. The fetch writes it; deadlines and the display of
//! transfers read it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A shared counter of bytes with the time of the last one.
///
/// Clones share the same counter.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// Milliseconds after `started` at which something last arrived.
    last: AtomicU64,
    bytes: AtomicU64,
    /// Those of them that are of earlier fetches.
    before: AtomicU64,
    /// Bytes expected in all; 0 while unknown.
    expected: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// A counter at zero, whose clock starts now.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            last: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            before: AtomicU64::new(0),
            expected: AtomicU64::new(0),
        }))
    }

    /// Notes that `bytes` more have come. Zero is a sign of life without
    /// bytes: headers, the start of a retry, local work that goes on.
    pub fn advance(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts from zero again, for another fetch of the same wait.
    pub fn begin(&self) {
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        self.0.before.store(bytes, Ordering::Relaxed);
        self.expect(0);
    }

    /// Sets how many bytes are to come in all.
    pub fn expect(&self, bytes: u64) {
        self.0.expected.store(bytes, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        let before = self.0.before.load(Ordering::Relaxed);
        self.0.bytes.load(Ordering::Relaxed).saturating_sub(before)
    }

    /// Bytes expected in all, where that is known.
    pub fn expected(&self) -> Option<u64> {
        Some(self.0.expected.load(Ordering::Relaxed)).filter(|&bytes| bytes > 0)
    }

    /// How long ago the last byte came.
    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(last)
    }
}
