//! Keeps the content that was used last open for a moment. When a process reads many
//! small files one after another, opening, locking and closing their `pack` for each
//! would cost more than reading it.

use super::locked::Locked;
use crate::{sync::Mutex, threads};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long content stays open after its last use. Eviction, in any process, waits longer.
pub(super) const MOMENT: Duration = Duration::from_millis(500);

/// Holds the lock on the content that was used last.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Keepalive(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    held: Option<(Arc<Locked>, Instant)>,
    /// Whether a thread waits to drop it.
    watched: bool,
}

impl Keepalive {
    /// Holds `lock` instead of the one before.
    pub(in crate::store) fn hold(&self, lock: &Arc<Locked>) {
        let mut state = self.0.lock();
        let before = state.held.replace((Arc::clone(lock), Instant::now()));
        if !state.watched {
            let watcher = self.clone();
            let started = threads::start("vm0fs-keepalive", move || watcher.watch());
            state.watched = started.is_ok();
            if !state.watched {
                state.held = None;
            }
        }
        drop(state);
        // The file is closed after the mutex is released.
        drop(before);
    }

    /// Drops the lock now: a fetch needs the space.
    pub(in crate::store) fn release(&self) {
        let held = self.0.lock().held.take();
        drop(held);
    }

    fn watch(&self) {
        loop {
            thread::sleep(MOMENT);
            let mut state = self.0.lock();
            if state
                .held
                .as_ref()
                .is_some_and(|(_, used)| used.elapsed() < MOMENT)
            {
                continue;
            }
            let held = state.held.take();
            state.watched = false;
            drop(state);
            drop(held);
            return;
        }
    }
}
