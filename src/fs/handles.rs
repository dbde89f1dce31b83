//! Open files and directories by the numbers the kernel holds for them.

use crate::{
    error::{Error, Result},
    sync::Mutex,
    tree::{Directory, Handle, Writing},
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a handle stands for.
pub(super) enum Open {
    /// An open file, and the process that opened it to write; 0 for none, and for one
    /// that is out of sight.
    File(Handle, u32),
    /// An open directory and, once reading began, its listing.
    Directory(Mutex<Option<Arc<Directory>>>),
}

impl Open {
    /// The control file that is written here, if it is one.
    pub(super) fn writing(&self) -> Option<&Writing> {
        match self {
            Self::File(Handle::Control(writing), _) => Some(writing),
            Self::File(..) | Self::Directory(_) => None,
        }
    }
}

/// The table of open handles. Numbers are never reused.
#[derive(Default)]
pub(super) struct Handles {
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next: AtomicU64,
}

impl Handles {
    pub(super) fn add(&self, open: Open) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.lock().insert(number, Arc::new(open));
        number
    }

    pub(super) fn get(&self, number: u64) -> Result<Arc<Open>> {
        self.open.lock().get(&number).cloned().ok_or(Error::Stale)
    }

    /// A handle of a control file that is written.
    pub(super) fn written(&self, number: u64) -> Option<Arc<Open>> {
        self.get(number)
            .ok()
            .filter(|open| open.writing().is_some())
    }

    /// The processes that opened a control file in the other openings to write that it
    /// has.
    pub(super) fn other_openers(&self, writing: &Writing) -> Vec<u32> {
        let open = self.open.lock();
        let others = open.values().filter_map(|open| match &**open {
            Open::File(Handle::Control(other), opener) if other.is_beside(writing) => Some(*opener),
            _ => None,
        });
        others.collect()
    }

    pub(super) fn remove(&self, number: u64) {
        let removed = self.open.lock().remove(&number);
        // Closing files happens outside the lock.
        drop(removed);
    }
}
