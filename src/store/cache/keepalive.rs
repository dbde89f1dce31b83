//! The content that was used last stays open for a moment: for many small files
//! one after another, opening, locking and closing their `pack` for each would
//! cost more than serving it.

use super::version::Pin;
use crate::sync::Mutex;
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long after its last use. Eviction, by whichever mount, waits longer.
pub(in crate::store) const MOMENT: Duration = Duration::from_millis(500);

/// Holds the last pin.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Linger(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    held: Option<(Arc<Pin>, Instant)>,
    /// A thread is there to let go of it.
    watched: bool,
}

impl Linger {
    /// Holds `pin`, in the place of the one before.
    pub(in crate::store) fn hold(&self, pin: &Arc<Pin>) {
        let mut state = self.0.lock();
        let before = state.held.replace((Arc::clone(pin), Instant::now()));
        if !state.watched {
            let watcher = self.clone();
            let name = thread::Builder::new().name("vm0fs-linger".into());
            state.watched = name.spawn(move || watcher.watch()).is_ok();
            if !state.watched {
                state.held = None;
            }
        }
        drop(state);
        // Closing happens outside of the lock.
        drop(before);
    }

    /// Lets go now: somebody needs the room.
    pub(in crate::store) fn let_go(&self) {
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
