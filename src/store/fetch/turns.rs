//! One thread at a time that downloads a version, or asks for its link.

use crate::store::key::VersionKey;
use crate::{
    progress::Progress,
    sync::{Condvar, Mutex},
};
use std::{collections::HashMap, time::Duration};

/// How often a thread that waits shows that it is alive.
const TICK: Duration = Duration::from_millis(100);

/// The versions that are being downloaded.
#[derive(Default)]
pub(super) struct Turns {
    /// And whether each could only be begun anew by another process.
    taken: Mutex<HashMap<VersionKey, bool>>,
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
        while taken.contains_key(key) {
            taken = self.ended.wait_timeout(taken, TICK).0;
            progress.advance(0);
        }
        taken.insert(key.clone(), false);
        Turn {
            turns: self,
            key: key.clone(),
        }
    }

    /// Whether one of the downloads could only be begun anew.
    pub(super) fn begins_anew(&self) -> bool {
        self.taken.lock().values().any(|anew| *anew)
    }
}

impl Turn<'_> {
    /// Notes whether another process could only begin it anew.
    pub(super) fn begins_anew(&self, anew: bool) {
        let mut taken = self.turns.taken.lock();
        taken.insert(self.key.clone(), anew);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().remove(&self.key);
        self.turns.ended.notify_all();
    }
}
