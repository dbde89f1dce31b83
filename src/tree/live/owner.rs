//! What is known of live runs.

use super::{
    runs::Runs,
    schedule::{Decision, Event, Schedule},
    watch::Standing,
};
use crate::{
    sync::Mutex,
    tree::{logs::Logs, node::RunFile},
};
use lru::LruCache;
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::{Duration, Instant},
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

    /// Notes that a process reads a run's log, and decides what it is shown. Answers
    /// stand `slowdown` times as long as usual.
    pub(crate) fn log_read(&self, id: &Arc<str>, slowdown: u32) -> Decision {
        self.decide(id, Event::LogRead, slowdown)
    }

    /// Notes that a process reads a file that shows a run's status, by a request that
    /// arrived at `arrived`, and decides what it is shown. `known` is the status by the
    /// newest answer, and when that was asked for.
    pub(crate) fn status_read(
        &self,
        id: &Arc<str>,
        (file, arrived): (RunFile, Instant),
        known: Option<&Standing>,
        slowdown: u32,
    ) -> Decision {
        self.decide(id, Event::StatusRead(file, arrived, known), slowdown)
    }

    /// Notes that a fetch of a live run's rows has failed, and decides how long the
    /// failure stands.
    pub(crate) fn rows_failed(&self, id: &Arc<str>) -> Duration {
        self.decide(id, Event::RowsFailed, 1).lasts
    }

    pub(super) fn decide(&self, id: &Arc<str>, event: Event<'_>, slowdown: u32) -> Decision {
        self.runs.lock().on(id, event, Instant::now(), slowdown)
    }

    /// Whether a stream of the run's events is open.
    pub(crate) fn streams(&self, id: &Arc<str>) -> bool {
        self.runs.lock().get(id).is_some_and(Schedule::streams)
    }

    /// How many streams are open.
    pub(crate) fn stream_count(&self) -> usize {
        self.runs.lock().count()
    }

    /// Whether a process has read the run lately.
    pub(super) fn is_followed(&self, id: &Arc<str>) -> bool {
        let now = Instant::now();
        self.runs
            .lock()
            .get(id)
            .is_some_and(|run| run.is_followed(now))
    }

    /// The event after which a stream of the run begins, where `shown` is the last one
    /// that its log shows.
    pub(super) fn last_event(&self, id: &Arc<str>, shown: Option<u64>) -> Option<u64> {
        let runs = self.runs.lock();
        runs.get(id).map_or(shown, |run| run.last_event(shown))
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
