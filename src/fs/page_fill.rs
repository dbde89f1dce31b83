//! Which small files this mount has put into the kernel's page cache.
//!
//! A mount stores a small file in the page cache before it answers the first open,
//! which spares the READ that would follow: with many small files, each request
//! costs more than its bytes. When a program opens files one after another, the
//! mount stores the next one too, while the program is busy with the one just
//! opened. If the kernel has dropped the pages since, it sends a READ as usual.
//!
//! A worker stores a file once in its life, and only before it or an earlier one has
//! answered an open of it that still holds: storing waits for the page's lock, which a
//! running READ holds, and that READ may be waiting for the very thread that stores.

use crate::sync::{Condvar, Mutex};
use std::collections::HashMap;

/// The files that were stored or opened.
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
    /// Those that are being stored.
    under_way: Vec<u64>,
    /// How many threads wait for one of these.
    waiting: usize,
}

impl PageFill {
    /// Where these files are open, of which an earlier worker has answered the opens.
    pub(super) fn where_open(files: impl Iterator<Item = u64>) -> Self {
        let fill = Self::default();
        files.for_each(|ino| fill.once(ino, || ()));
        fill
    }

    /// To be called before an open is answered: stores the file by `give`, if this is
    /// the first open, or waits until another thread has.
    pub(super) fn once(&self, ino: u64, give: impl FnOnce()) {
        let (page, word, bit) = place(ino);
        let mut state = self.state.lock();
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

    /// Whether a file was stored or opened.
    pub(super) fn has(&self, ino: u64) -> bool {
        let (page, word, bit) = place(ino);
        let state = self.state.lock();
        let bits = state.files.get(&page);
        bits.is_some_and(|bits| bits[word] & bit != 0)
    }
}

/// Says, when dropped, that a file is no longer being stored.
struct Ended<'a>(&'a PageFill, u64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.under_way.retain(|ino| *ino != self.1);
        // Waking costs a system call even if no thread waits.
        if state.waiting > 0 {
            self.0.given.notify_all();
        }
    }
}

/// Where a file's bit is: the page of inodes, the word in it, and the bit.
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
    fn a_file_that_an_earlier_worker_has_opened_is_not_stored() {
        // A READ of it may wait for the thread that would store.
        let fill = PageFill::where_open([7, 300].into_iter());
        for ino in [7, 300] {
            fill.once(ino, || panic!("{ino} is stored"));
            assert!(fill.has(ino));
        }
        assert!(!fill.has(8));
    }

    #[test]
    fn each_file_is_stored_once() {
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
            while stored.state.lock().waiting == 0 {
                assert!(!other.is_finished());
                sleep(Duration::from_millis(1));
            }
            end.send(()).unwrap();
            other.join().unwrap();
        });
        assert!(stored.state.lock().under_way.is_empty());
    }

    #[test]
    fn a_panic_while_storing_keeps_no_thread_waiting() {
        let stored = PageFill::default();
        scope(|scope| {
            let first = scope.spawn(|| stored.once(1, || panic!("while giving")));
            assert!(first.join().is_err());
        });
        stored.once(1, || panic!("given twice"));
    }
}
