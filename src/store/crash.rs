//! The moments of fetching and sealing at which tests have the process die,
//! where a crash could leave something half done. Of debug builds only.

/// Each moment, in the order in which a fetch comes to them.
pub const STEPS: [&str; 16] = [
    "staging-locked",
    "staging-made",
    "room-reserved",
    "pack-made",
    "blob-made",
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

/// Ends the process as `kill -9` does, if `VM0FS_CRASH_AT` names this step.
pub(super) fn crash_point(step: &str) {
    debug_assert!(STEPS.contains(&step), "{step} is to be listed in STEPS");
    if std::env::var_os("VM0FS_CRASH_AT").is_some_and(|at| *at == *step) {
        let _ = nix::sys::signal::raise(nix::sys::signal::SIGKILL);
    }
}
