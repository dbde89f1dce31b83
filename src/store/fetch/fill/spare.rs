//! Threads that several fetches have in common.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many more there may be.
pub(super) struct Spare(AtomicUsize);

/// One of them, until it is dropped.
pub(super) struct Taken<'a>(&'a Spare);

impl Spare {
    pub(super) fn new(threads: usize) -> Self {
        Self(AtomicUsize::new(threads))
    }

    /// One, if there is one left. No fetch waits for that.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        let less = |left: usize| left.checked_sub(1);
        let taken = self.0.fetch_update(Relaxed, Relaxed, less);
        taken.ok().map(|_| Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are() {
        let spare = Spare::new(2);
        let one = spare.take();
        let other = spare.take();
        assert!(one.is_some() && other.is_some() && spare.take().is_none());
        drop(one);
        assert!(spare.take().is_some());
    }
}
