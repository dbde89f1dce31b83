//! What waits to be written, up to so many bytes.

use super::name::Name;
use crate::sync::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most bytes that wait, which are held in memory.
const MOST_BYTES: usize = 64 << 20;

/// Contents with their names, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<(Name, Vec<u8>)>,
    /// Bytes of the items, and of the one at work.
    bytes: usize,
    at_work: usize,
    has_thread: bool,
    is_closed: bool,
}

/// What has become of an item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits.
    Waits,
    /// It waits, and a thread is to be started for the queue.
    First,
    /// There is no room.
    Full,
}

impl Queue {
    pub(super) fn add(&self, name: Name, content: Vec<u8>) -> Added {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed || waiting.bytes + content.len() > MOST_BYTES {
            return Added::Full;
        }
        waiting.bytes += content.len();
        waiting.items.push_back((name, content));
        self.changed.notify_all();
        match std::mem::replace(&mut waiting.has_thread, true) {
            true => Added::Waits,
            false => Added::First,
        }
    }

    /// Waits for the next item; the one before it is done. `None` at the end.
    pub(super) fn take(&self) -> Option<(Name, Vec<u8>)> {
        let mut waiting = self.waiting.lock();
        waiting.bytes -= std::mem::take(&mut waiting.at_work);
        self.changed.notify_all();
        loop {
            if let Some((name, content)) = waiting.items.pop_front() {
                waiting.at_work = content.len();
                return Some((name, content));
            }
            if waiting.is_closed {
                return None;
            }
            waiting = self.changed.wait(waiting);
        }
    }

    /// Waits until all is done, for so long at the most; and whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut waiting = self.waiting.lock();
        while waiting.bytes > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.changed.wait_timeout(waiting, left).0;
        }
        true
    }

    /// Takes no more, and forgets what waits.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_closed = true;
        let dropped = waiting.items.drain(..).map(|(_, content)| content.len());
        let dropped: usize = dropped.sum();
        waiting.bytes -= dropped;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room() {
        let (queue, name) = (Queue::default(), Name::new("a", &[]));
        let add = |length: usize| queue.add(name.clone(), vec![0; length]);
        assert_eq!(add(MOST_BYTES), Added::First);
        assert_eq!(add(1), Added::Full);
        assert!(queue.take().is_some());
        assert_eq!(add(1), Added::Full, "that is still at work");
        assert!(!queue.flush(Duration::ZERO));
        std::thread::scope(|scope| {
            let next = scope.spawn(|| queue.take());
            assert!(queue.flush(Duration::from_secs(30)));
            assert_eq!(add(1), Added::Waits);
            assert!(next.join().unwrap().is_some());
        });
        queue.close();
        assert_eq!((add(1), queue.take()), (Added::Full, None));
    }
}
