//! What is known of live runs.

use super::{
    runs::Runs,
    schedule::{Decision, Event, Schedule},
};
use crate::{sync::Mutex, tree::logs::Logs};
use lru::LruCache;
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Instant,
};

/// Failed runs remembered: far more than people follow at a time.
const REASONS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The live runs that processes read.
pub(crate) struct Live {
    runs: Mutex<Runs>,
    /// The logs that grow, for as long as a handle or an answer holds them.
    logs: Mutex<HashMap<Arc<str>, Weak<Logs>>>,
    /// Why runs have failed, by what their streams have told: at once, while the
    /// service's own record of a run may still lack it.
    reasons: Mutex<LruCache<Arc<str>, Arc<str>>>,
}

impl Live {
    /// No run is read yet. At most `streams` are open at a time.
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            runs: Mutex::new(Runs::new(streams)),
            logs: Mutex::default(),
            reasons: Mutex::new(LruCache::new(REASONS)),
        }
    }

    /// Takes in what happens to a run, and decides what it calls for. Answers stand
    /// `slowdown` times as long as usual.
    pub(crate) fn decide(&self, id: &Arc<str>, event: Event<'_>, slowdown: u32) -> Decision {
        self.runs.lock().on(id, event, Instant::now(), slowdown)
    }

    /// Looks at what has happened to a run, if a process has read it.
    pub(super) fn look<T>(&self, id: &str, see: impl FnOnce(&Schedule) -> T) -> Option<T> {
        self.runs.lock().get(id).map(see)
    }

    /// Whether a stream of the run's events is open.
    pub(crate) fn streams(&self, id: &Arc<str>) -> bool {
        self.look(id, Schedule::streams) == Some(true)
    }

    /// How many streams are open.
    pub(crate) fn stream_count(&self) -> usize {
        self.runs.lock().count()
    }

    /// The log of a live run, the same for all processes that read it.
    pub(crate) fn log(&self, id: &Arc<str>) -> Arc<Logs> {
        let mut all = self.logs.lock();
        if let Some(logs) = all.get(id).and_then(Weak::upgrade) {
            return logs;
        }
        all.retain(|_, logs| logs.strong_count() > 0);
        let logs = Arc::new(Logs::default());
        all.insert(id.clone(), Arc::downgrade(&logs));
        logs
    }

    /// Notes why a run has failed.
    pub(super) fn note_reason(&self, id: &Arc<str>, reason: String) {
        self.reasons.lock().put(id.clone(), reason.into());
    }

    /// Why a run has failed, where its stream has told.
    pub(crate) fn reason(&self, id: &str) -> Option<Arc<str>> {
        self.reasons.lock().peek(id).cloned()
    }
}
