//! Which small files have been put into the kernel's page cache already.
//!
//! A small file is given to the kernel together with its first open, which
//! spares the READ that would follow: for many small files a request is what
//! costs. Where the kernel has dropped the pages since, it reads as usual.
//!
//! It is given once in the life of a mount, never again: storing waits for the
//! page's lock, which a READ under way holds, and that READ may be waiting for
//! the very thread that stores. Before a file's first open there is none.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// A bit for every file that was given, by the halves of its inode number. It
/// grows with the files opened, by 12 KB for 100,000 of one version.
#[derive(Default)]
pub(super) struct Stored(Mutex<HashMap<u32, Vec<u64>>>);

impl Stored {
    /// Whether this is the first time that a file is given; notes that it is.
    pub(super) fn is_first(&self, ino: u64) -> bool {
        let (object, node) = ((ino >> 32) as u32, ino as u32);
        let (word, bit) = ((node / 64) as usize, 1 << (node % 64));
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bits = versions.entry(object).or_default();
        if bits.len() <= word {
            bits.resize(word + 1, 0);
        }
        let is_first = bits[word] & bit == 0;
        bits[word] |= bit;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_for_each_file() {
        let stored = Stored::default();
        for ino in [1, 64, 65, 1 << 32, (1 << 32) | 1, (7 << 32) | 1_000_000] {
            assert!(stored.is_first(ino), "{ino}");
            assert!(!stored.is_first(ino), "{ino}");
        }
    }
}
