//! How many bytes of parts may be requested or in memory, beyond those that the
//! reader has taken.

use super::plan::Sizes;
use crate::sync::Mutex;
use std::{mem, time::Duration};
use tokio::sync::Semaphore;

/// Room for bytes, a permit each: a task takes it before it requests them, and the
/// reader gives it back.
pub(super) struct Window {
    room: Semaphore,
    /// How much longer the reader must wait in all until there is more room, and how
    /// much more.
    widening: Mutex<(Duration, u64)>,
}

impl Window {
    /// A window of which a first part has taken its room.
    pub(super) fn new(sizes: &Sizes, first: u64) -> Self {
        let open = sizes.opening.saturating_sub(first);
        let more = sizes.window.saturating_sub(sizes.opening);
        Self {
            room: Semaphore::new(permits(open) as usize),
            widening: Mutex::new((sizes.patience, more)),
        }
    }

    /// Waits until there is room for a part.
    pub(super) async fn take(&self, bytes: u64) {
        // It is never closed.
        if let Ok(room) = self.room.acquire_many(permits(bytes)).await {
            room.forget();
        }
    }

    /// Makes room: the reader has taken the bytes.
    pub(super) fn give_back(&self, bytes: u64) {
        self.room.add_permits(permits(bytes) as usize);
    }

    /// Notes that the reader had to wait.
    pub(super) fn waited(&self, wait: Duration) {
        let (patience, more) = &mut *self.widening.lock();
        *patience = patience.saturating_sub(wait);
        if patience.is_zero() {
            self.give_back(mem::take(more));
        }
    }
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_what_is_read_and_once_more_when_the_reader_waits() {
        let second = Duration::from_secs(1);
        let window = Window::new(
            &Sizes {
                first: 10,
                opening: 14,
                window: 20,
                patience: 2 * second,
                ..Sizes::default()
            },
            10,
        );
        let room = || window.room.available_permits();
        assert_eq!(room(), 4);
        window.give_back(10);
        assert_eq!(room(), 14);
        for (wait, expected) in [(0, 14), (1, 14), (1, 20), (9, 20)] {
            window.waited(wait * second);
            assert_eq!(room(), expected);
        }
    }
}
