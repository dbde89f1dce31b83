//! What is known of live runs.

use super::{
    runs::Runs,
    schedule::{Decision, Event, Schedule},
};
use crate::{
    handover::Handover,
    sync::Mutex,
    tree::logs::{Logs, left_logs},
};
use lru::LruCache;
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::Instant,
};

/// Failed runs remembered: far more than people follow at a time.
const REASONS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The logs that grow.
#[derive(Default)]
struct GrowingLogs {
    /// For as long as a handle or an answer holds them.
    held: HashMap<Arc<str>, Weak<Logs>>,
    /// Those that an earlier worker left, until a process reads them.
    left: HashMap<Arc<str>, u64>,
}

/// The live runs that processes read.
pub(crate) struct Live {
    runs: Mutex<Runs>,
    logs: Mutex<GrowingLogs>,
    /// Why runs have failed, by what their streams have told: at once, while the
    /// service's own record of a run may still lack it.
    reasons: Mutex<LruCache<Arc<str>, Arc<str>>>,
    handover: Arc<Handover>,
}

impl Live {
    /// No run is read yet by this worker. At most `streams` are open at a time.
    pub(crate) fn new(streams: usize, handover: Arc<Handover>) -> Self {
        Self {
            logs: Mutex::new(GrowingLogs {
                left: left_logs(&handover).into_iter().collect(),
                held: HashMap::new(),
            }),
            handover,
            runs: Mutex::new(Runs::new(streams)),
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
        self.runs.lock().streamed().count()
    }

    /// The runs of which streams are open.
    pub(crate) fn streamed(&self) -> Vec<Arc<str>> {
        self.runs.lock().streamed().cloned().collect()
    }

    /// The log of a live run, the same for all processes that read it.
    pub(crate) fn log(&self, id: &Arc<str>) -> Arc<Logs> {
        let mut logs = self.logs.lock();
        let GrowingLogs { held, left } = &mut *logs;
        if let Some(logs) = held.get(id).and_then(Weak::upgrade) {
            return logs;
        }
        held.retain(|_, logs| logs.strong_count() > 0);
        let left = left.remove(id);
        let left = left.and_then(|number| Logs::left(&self.handover, id, number));
        let log = Arc::new(left.unwrap_or_default());
        held.insert(id.clone(), Arc::downgrade(&log));
        log
    }

    /// The log of a run that a handle of an earlier worker reads; `None` where it is
    /// lost.
    pub(crate) fn left_log(&self, id: &Arc<str>, number: u64) -> Option<Arc<Logs>> {
        let logs = self.log(id);
        (number > 0 && logs.number() == number).then_some(logs)
    }

    /// Has the log of a live run written down for the next worker.
    pub(super) fn keep(&self, id: &Arc<str>, logs: &Logs) {
        logs.keep(&self.handover, id);
    }

    /// The numbers of the logs that an earlier worker left.
    pub(crate) fn left_numbers(&self) -> Vec<u64> {
        self.logs.lock().left.values().copied().collect()
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
