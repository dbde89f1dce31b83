//! One download of a version at a time.

use crate::store::key::VersionKey;
use crate::{
    progress::Progress,
    sync::{Condvar, Mutex},
};
use std::{collections::HashSet, time::Duration};

/// How often a thread that waits shows that it is alive.
const TICK: Duration = Duration::from_millis(100);

/// The versions that are being downloaded.
#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<HashSet<VersionKey>>,
    ended: Condvar,
}

/// While it lives, no other thread downloads the version.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: VersionKey,
}

impl Turns {
    /// Waits until no other thread downloads the version: as long as bytes come for that.
    pub(super) fn take(&self, key: &VersionKey, progress: &Progress) -> Turn<'_> {
        let mut taken = self.taken.lock();
        while !taken.insert(key.clone()) {
            taken = self.ended.wait_timeout(taken, TICK).0;
            progress.advance(0);
        }
        Turn {
            turns: self,
            key: key.clone(),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().remove(&self.key);
        self.turns.ended.notify_all();
    }
}
