//! Waits for a process, but not for ever.

use std::{
    io,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How often waiting for a process looks again.
const POLL: Duration = Duration::from_millis(5);

/// Waits until a process ends; kills it after `limit`, and returns `None`.
///
/// # Errors
/// None known of; the system call has an error result.
pub fn wait_within(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        // Before the child is looked at: it is looked at once more after the last pause.
        let is_over = Instant::now() >= end;
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if is_over {
            // A setuid program cannot be killed. It is not waited for.
            let _ = child.kill();
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}
