//! Which small files have been put into the kernel's page cache already.
//!
//! A small file is given to the kernel together with its first open, which
//! spares the READ that would follow: for many small files a request is what
//! costs. When files are opened one after another, the next is given too, while
//! whoever asks is busy with the one just opened. Where the kernel has dropped
//! the pages since, it reads as usual.
//!
//! A file is given once in the life of a mount, and only while no open of it has
//! been answered: storing waits for the page's lock, which a READ under way
//! holds, and that READ may be waiting for the very thread that stores.

use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::HashMap;

/// The files that were given or opened.
#[derive(Default)]
pub(super) struct PageFill {
    state: Mutex<State>,
    given: Condvar,
}

/// Files whose inode numbers follow one another are in one page (`tree/node/inodes`).
type Bits = [u64; 4];

#[derive(Default)]
struct State {
    /// A bit for each file, by the high bits of its inode number. It grows with
    /// the files opened, by 20 KB for 100,000 of one version.
    files: HashMap<u64, Bits>,
    /// Those that are being given.
    under_way: Vec<u64>,
    /// How many wait for one of these.
    waiting: usize,
}

impl PageFill {
    /// For before an open is answered, or will be: gives the file by `give`, if
    /// this is the first time, or waits until another thread has.
    pub(super) fn once(&self, ino: u64, give: impl FnOnce()) {
        let (page, word, bit) = place(ino);
        let mut state = self.state();
        let bits = state.files.entry(page).or_default();
        if bits[word] & bit == 0 {
            bits[word] |= bit;
            state.under_way.push(ino);
            drop(state);
            let _ended = Ended(self, ino);
            give();
            return;
        }
        while state.under_way.contains(&ino) {
            state.waiting += 1;
            state = self.given.wait(state);
            state.waiting -= 1;
        }
    }

    /// Whether a file was given or opened.
    pub(super) fn has(&self, ino: u64) -> bool {
        let (page, word, bit) = place(ino);
        let state = self.state();
        let bits = state.files.get(&page);
        bits.is_some_and(|bits| bits[word] & bit != 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Says, when dropped, that a file is being given no more.
struct Ended<'a>(&'a PageFill, u64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way.retain(|ino| *ino != self.1);
        // To wake nobody costs a system call too.
        if state.waiting > 0 {
            self.0.given.notify_all();
        }
    }
}

/// Where a file's bit is: in which page's words, in which, and the bit of it.
fn place(ino: u64) -> (u64, usize, u64) {
    (ino >> 8, (ino >> 6) as usize % 4, 1 << (ino % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc::channel,
        thread::{scope, sleep},
        time::Duration,
    };

    #[test]
    fn once_for_each_file() {
        let stored = PageFill::default();
        for ino in [1, 64, 65, 255, 256, 1 << 32, (1 << 32) | 1, (1 << 53) - 1] {
            assert!(!stored.has(ino), "{ino}");
            let mut given = 0;
            for _ in 0..2 {
                stored.once(ino, || given += 1);
                assert!(stored.has(ino), "{ino}");
            }
            assert_eq!(given, 1, "{ino}");
        }
    }

    #[test]
    fn no_open_is_answered_while_the_file_is_given() {
        let stored = PageFill::default();
        let (begin, begun) = channel();
        let (end, ended) = channel::<()>();
        scope(|scope| {
            let stored = &stored;
            scope.spawn(move || {
                stored.once(1, || {
                    begin.send(()).unwrap();
                    ended.recv().unwrap();
                });
            });
            begun.recv().unwrap();
            // Another file does not wait.
            stored.once(2, || ());
            let other = scope.spawn(|| stored.once(1, || panic!("given twice")));
            while stored.state().waiting == 0 {
                assert!(!other.is_finished());
                sleep(Duration::from_millis(1));
            }
            end.send(()).unwrap();
            other.join().unwrap();
        });
        assert!(stored.state().under_way.is_empty());
    }

    #[test]
    fn who_panics_keeps_nobody_waiting() {
        let stored = PageFill::default();
        scope(|scope| {
            let first = scope.spawn(|| stored.once(1, || panic!("while giving")));
            assert!(first.join().is_err());
        });
        stored.once(1, || panic!("given twice"));
    }
}
