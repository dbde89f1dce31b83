//! Memory that runs short: caches are emptied before the process dies of it.

use crate::{malloc, proc::MemoryLimit, threads, tree::Tree};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

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

/// The stack of the thread that watches, in bytes: it counts against the limits.
const STACK: usize = 256 << 10;

/// Watches the limits of memory that hold for this process, as long as the tree lives.
pub(super) fn watch(tree: &Arc<Tree>) {
    let tree = Arc::downgrade(tree);
    let watch = move || {
        malloc::wake_here();
        let mut emptied = None;
        loop {
            malloc::keep_reserve();
            let limits = MemoryLimit::all();
            // One may be set at any time (prlimit(1)).
            thread::park_timeout(if limits.is_empty() { SELDOM } else { LOOK });
            let Some(tree) = tree.upgrade() else { return };
            look(&tree, &limits, &mut emptied);
        }
    };
    if let Err(error) = threads::start_small("vm0fs-memory", STACK, watch) {
        tracing::warn!("limits of memory are not watched: {error}");
    }
}

/// Empties caches where memory is short.
fn look(tree: &Tree, limits: &[MemoryLimit], emptied: &mut Option<Instant>) {
    let ran_out = malloc::ran_out();
    let is_short = |limit: &&MemoryLimit| limit.used().is_some_and(|used| used >= SHORT);
    let short = limits.iter().find(is_short);
    let is_soon = emptied.is_some_and(|at| at.elapsed() < PAUSE);
    if !ran_out && (short.is_none() || is_soon) {
        return;
    }
    *emptied = Some(Instant::now());
    tree.shed_memory();
    malloc::give_back();
    match short {
        Some(limit) => tracing::warn!("memory is short ({limit}); caches were emptied"),
        None => tracing::warn!("memory has run out; caches were emptied"),
    }
}

/// Where memory runs out, the kernel is to end the worker, which can be replaced.
pub(super) fn offer_worker() {
    if let Err(error) = crate::proc::raise_oom_score(LIKELIER) {
        tracing::debug!("the kernel may end the supervisor before the worker: {error}");
    }
}
