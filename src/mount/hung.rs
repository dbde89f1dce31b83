//! Operations that do not end. None of them waits, so one that takes long and needs no
//! processor stands still for good: a lock that two threads wait for.

use crate::{
    handover::{Handover, Running},
    proc::Process,
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an operation may stand still, and how long it may compute.
const STILL: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(60);

/// The operations that were running when this was last asked.
pub(super) struct Hung {
    handover: Arc<Handover>,
    seen: HashMap<Running, Seen>,
}

struct Seen {
    since: Instant,
    /// Since when its thread has used no processor, and how much it had used then.
    still: (Instant, Option<u64>),
}

impl Hung {
    pub(super) fn new(handover: Arc<Handover>) -> Self {
        Self {
            handover,
            seen: HashMap::new(),
        }
    }

    /// An operation that hangs, in words. It is held to have killed the worker, which is
    /// what comes next.
    pub(super) fn look(&mut self) -> Option<String> {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.seen);
        for running in self.handover.running() {
            let used = Process::own().thread_time(running.thread);
            let seen = before.remove(&running).unwrap_or(Seen {
                since: now,
                still: (now, used),
            });
            let still = match seen.still.1 == used {
                true => seen.still,
                false => (now, used),
            };
            let since = seen.since;
            if now - still.0 >= STILL || now - since >= BUSY {
                self.handover.blame(&running);
                let seconds = (now - since).as_secs();
                let what = self.handover.told(&running);
                return Some(format!("{what} has not ended for {seconds} s"));
            }
            self.seen.insert(running, Seen { since, still });
        }
        None
    }
}
