//! The files of which the page cache may hold outdated bytes: they could still change
//! when a program opened them to read through it. Such a handle fills the cache with the
//! old bytes as long as it is open, also under the next worker.

use crate::{
    handover::{Fields, Handover, Owner},
    sync::Mutex,
};
use std::{collections::HashSet, sync::Arc};

/// Such files, by their inode numbers.
pub(super) struct Outdated {
    files: Mutex<HashSet<u64>>,
    handover: Arc<Handover>,
}

impl Outdated {
    /// Those that an earlier worker left.
    pub(super) fn new(handover: Arc<Handover>) -> Self {
        let mut files = HashSet::new();
        handover.records(Owner::Fs, |record| match (record.byte(), record.number()) {
            (Some(0), Some(ino)) => {
                files.remove(&ino);
            }
            (Some(_), Some(ino)) => {
                files.insert(ino);
            }
            _ => {}
        });
        Self {
            files: Mutex::new(files),
            handover,
        }
    }

    pub(super) fn contains(&self, ino: u64) -> bool {
        self.files.lock().contains(&ino)
    }

    pub(super) fn insert(&self, ino: u64) {
        let mut files = self.files.lock();
        if files.insert(ino) {
            self.note(1, ino);
        }
    }

    pub(super) fn remove(&self, ino: u64) {
        let mut files = self.files.lock();
        if files.remove(&ino) {
            self.note(0, ino);
        }
    }

    fn note(&self, is_outdated: u8, ino: u64) {
        let record = Fields::new().byte(is_outdated).number(ino);
        self.handover.add(Owner::Fs, record);
    }
}
