//! A second process of this program, which waits for a mount in place of the first.
//!
//! A thread that waits for a FUSE mount sleeps uninterruptibly, and its process does
//! not end. So a command that waits has another process do that, which Ctrl-C leaves
//! behind.

use crate::{
    error::{Error, Result},
    proc::OWN_PROGRAM,
    signals::Signals,
    threads,
};
use std::{
    ffi::OsStr,
    process::{Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How often the first process checks whether the second has ended.
const TICK: Duration = Duration::from_millis(20);

/// Runs this program with these arguments, and returns its exit code; fails when a signal
/// comes first.
pub(super) fn wait_for(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<ExitCode> {
    listen()?;
    // By this name even where the program's file has been replaced.
    let mut child = Command::new(OWN_PROGRAM)
        .args(arguments)
        .spawn()
        .map_err(|error| Error::io("starting the process that waits", error))?;
    loop {
        if is_stopped() {
            // It ends when the mount answers it, and is not waited for.
            let _ = child.kill();
            return Err(stopped());
        }
        let status = child.try_wait();
        match status.map_err(|error| Error::io("waiting for the other process", error))? {
            None => thread::sleep(TICK),
            Some(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
        }
    }
}

/// Whether a signal has come since this process began to listen for one.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether the user has stopped this command.
pub(super) fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// The error that says so.
pub(super) fn stopped() -> Error {
    Error::Setup("stopped waiting; the mount goes on fetching (see .vm0fs/transfers in it)".into())
}

/// Begins to listen for Ctrl-C and its like, once for the process.
fn listen() -> Result<()> {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if LISTENS.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let signals = Signals::block()?;
    let listen = move || {
        if signals.wait().is_ok() {
            STOPPED.store(true, Ordering::Relaxed);
        }
    };
    threads::start("vm0fs-signals", listen).map_err(Error::no_thread)?;
    Ok(())
}
