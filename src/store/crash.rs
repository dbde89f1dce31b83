//! The steps of a fetch at which tests kill the process or make a thread panic, to see
//! that nothing is left half done. In debug builds only.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicBool, Ordering};

/// The steps, in the order in which a fetch comes to them.
#[cfg(debug_assertions)]
pub const STEPS: [&str; 17] = [
    "staging-locked",
    "staging-made",
    "room-reserved",
    "pack-made",
    "blob-made",
    "journal-written",
    "blob-written",
    "pack-written",
    "tree-half-written",
    "tree-written",
    "meta-written",
    "before-renames",
    "old-moved-away",
    "old-removed",
    "sealed",
    "synced",
    "marked",
];

/// The same of a fetch of a part of a version.
pub const PART_STEPS: [&str; 4] = [
    "present-made",
    "pack-without-length",
    "empty-pack-made",
    "block-written",
];

/// The same of going on with a fetch that was left.
pub const LEFT_STEPS: [&str; 2] = ["left-taken", "left-cut"];

/// Ends the process as `kill -9` does, if `VM0FS_CRASH_AT` names this step; panics
/// at the first one that `VM0FS_PANIC_AT` names.
#[cfg(debug_assertions)]
pub(super) fn crash_point(step: &str) {
    let all = [&STEPS[..], &PART_STEPS, &LEFT_STEPS];
    debug_assert!(
        all.iter().any(|steps| steps.contains(&step)),
        "{step} is to be listed in STEPS"
    );
    if std::env::var_os("VM0FS_CRASH_AT").is_some_and(|at| *at == *step) {
        let _ = nix::sys::signal::raise(nix::sys::signal::SIGKILL);
    }
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let is_named = std::env::var_os("VM0FS_PANIC_AT").is_some_and(|at| *at == *step);
    assert!(
        !is_named || PANICKED.swap(true, Ordering::Relaxed),
        "{step}"
    );
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
pub(super) fn crash_point(_: &str) {}
