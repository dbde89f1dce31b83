//! Memory that runs short: caches are emptied before the process dies of it.

use crate::{malloc, proc::MemoryLimit, tree::Tree};
use std::time::{Duration, Instant};

/// The use of a limit, in percent, from which on caches are emptied.
const SHORT: u64 = 85;

/// How often limits are looked at, and how often caches are emptied at most.
const LOOK: Duration = Duration::from_secs(1);
/// The same where no limit holds: one may be set at any time (prlimit(1)).
const SELDOM: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(10);

/// The share by which a worker is likelier to be ended by the kernel than its supervisor
/// where memory runs out, in thousandths (`oom_score_adj`, proc(5)).
const LIKELIER: i32 = 100;

/// Watches the limits of memory that hold for this process.
pub(super) struct MemoryWatch {
    limits: Vec<MemoryLimit>,
    emptied: Option<Instant>,
}

impl MemoryWatch {
    pub(super) fn begin() -> Self {
        malloc::keep_reserve();
        Self {
            limits: MemoryLimit::all(),
            emptied: None,
        }
    }

    /// How long to wait until the next look.
    pub(super) fn interval(&self) -> Duration {
        match self.limits.is_empty() {
            true => SELDOM,
            false => LOOK,
        }
    }

    /// Empties caches where memory is short.
    pub(super) fn look(&mut self, tree: &Tree) {
        let ran_out = malloc::ran_out();
        self.limits = MemoryLimit::all();
        let short = |limit: &&MemoryLimit| limit.used().is_some_and(|used| used >= SHORT);
        let short = self.limits.iter().find(short);
        let is_soon = self.emptied.is_some_and(|at| at.elapsed() < PAUSE);
        if !ran_out && (short.is_none() || is_soon) {
            return;
        }
        self.emptied = Some(Instant::now());
        match (ran_out, short) {
            (true, _) => tracing::warn!("memory has run out; caches in memory are emptied"),
            (_, Some(limit)) => {
                tracing::warn!("memory is short ({limit:?}); caches in memory are emptied");
            }
            _ => {}
        }
        tree.shed_memory();
        malloc::give_back();
        malloc::keep_reserve();
    }
}

/// Where memory runs out, the kernel is to end the worker, which can be replaced.
pub(super) fn offer_worker() {
    if let Err(error) = crate::proc::raise_oom_score(LIKELIER) {
        tracing::debug!("the kernel may end the supervisor before the worker: {error}");
    }
}
