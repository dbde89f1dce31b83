//! Secrets stay in this process: not in the environment of what it starts, not in a
//! core file.

use super::environment::{AWS_SECRETS, TOKENS};
use nix::sys::resource::{Resource, setrlimit};

/// Takes the secrets' variables out of the environment that children inherit
/// (`fusermount3` and the like have no use for it), and forbids core files, which
/// hold all that is in memory. To be called while the process has one thread,
/// after the environment was read.
pub fn keep() {
    for variable in TOKENS.iter().chain(&AWS_SECRETS) {
        // SAFETY: changing the environment is safe while no other thread can read it:
        // none has been started yet.
        #[expect(unsafe_code, reason = "there is no safe way to do it")]
        unsafe {
            std::env::remove_var(variable);
        }
    }
    // One byte, not none: then the kernel gives no core to a program either
    // (`core_pattern` with a pipe), for which none is no limit (`fs/coredump.c`).
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 1, 1) {
        tracing::debug!("core files stay possible: {error}");
    }
}
