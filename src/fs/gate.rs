//! Counts the requests that come in, and holds them back once another worker is to answer
//! them.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

/// Does not return: what this thread was to answer, the kernel sends to the next worker.
pub(super) fn hold() -> ! {
    loop {
        thread::park();
    }
}

/// Where requests come in.
#[derive(Debug, Default)]
pub struct Gate {
    taken: AtomicU64,
    is_closed: AtomicBool,
}

impl Gate {
    /// Counts a request. Once the gate is closed, this does not return: the request is
    /// not answered, and its thread takes no other one.
    pub(super) fn pass(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        if self.is_closed.load(Ordering::Acquire) {
            hold();
        }
    }

    /// How many requests have come in.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes no more requests, for the rest of this process's life.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}
