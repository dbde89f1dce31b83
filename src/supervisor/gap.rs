//! The time without a worker.

use crate::supervision::{Cause, Replacement};
use jiff::Timestamp;
use std::time::Instant;

/// A time without a worker, which has not ended yet.
pub(super) struct Gap {
    since: Instant,
    pub(super) cause: Cause,
    why: String,
}

impl Gap {
    /// One that begins now; `why` in words, which deaths have of their own.
    pub(super) fn begins(cause: Cause, why: String) -> Self {
        let since = Instant::now();
        Self { since, cause, why }
    }

    /// Its end: a worker of this version serves. `death` says how the one before died.
    pub(super) fn end(self, version: String, death: impl FnOnce() -> String) -> Replacement {
        Replacement {
            at: Timestamp::now(),
            cause: self.cause,
            gap_ms: self.since.elapsed().as_secs_f64() * 1e3,
            why: match self.cause {
                Cause::Death => format!("the worker died{}", death()),
                Cause::Hang | Cause::Upgrade | Cause::Reload => self.why,
            },
            version,
        }
    }
}
