//! Answers on disk: those that can no longer change are read instead of calling the
//! service, all others only while the service cannot be reached.

use crate::{store::AnswerStore, sync::Mutex};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

/// An answer that may change is written at most this often: a listing changes with
/// every live run, and its loss costs one call.
const PAUSE: Duration = Duration::from_secs(60);

/// How many times of writing are remembered. An answer whose time is forgotten is
/// written again, which costs little.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The answers on disk, by their names.
pub(super) struct Persisted {
    pub(super) store: Arc<AnswerStore>,
    /// When answers that may change were last written.
    written: Mutex<LruCache<String, Instant>>,
    opened: Instant,
}

impl Persisted {
    pub(super) fn new(store: Arc<AnswerStore>) -> Self {
        Self {
            store,
            written: Mutex::new(LruCache::new(REMEMBERED)),
            opened: Instant::now(),
        }
    }

    /// Whether an answer that may change is to be written again; counts it as
    /// written, then.
    pub(super) fn is_due(&self, name: &str) -> bool {
        let mut written = self.written.lock();
        let is_due = written.get(name).is_none_or(|at| at.elapsed() >= PAUSE);
        if is_due {
            written.put(name.to_owned(), Instant::now());
        }
        is_due
    }

    /// Before every request, so that none takes an answer of an earlier mount for
    /// fresh.
    pub(super) fn long_ago(&self) -> Instant {
        self.opened - Duration::from_nanos(1)
    }
}
