//! The rate limits' counts.

use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Requests counted in fixed windows, by endpoint and whether they write.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    windows: Mutex<HashMap<(String, bool), (i64, u64)>>,
    requests: AtomicU64,
}

/// Seconds of a rate limit's window.
const WINDOW: i64 = 3_600;

impl Limits {
    /// A number for a request, different for each.
    pub(crate) fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a request; gives how many the window has and when it ends, in unix
    /// seconds.
    pub(crate) fn count(&self, endpoint: String, writes: bool) -> (u64, i64) {
        let now = Timestamp::now().as_second();
        let start = now - now % WINDOW;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry((endpoint, writes)).or_insert((start, 0));
        if window.0 != start {
            *window = (start, 0);
        }
        window.1 += 1;
        (window.1, start + WINDOW)
    }
}
