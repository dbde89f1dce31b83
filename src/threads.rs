//! Starts threads, all in one way: by a name, and where memory is limited only while
//! enough of it is left.
//!
//! A new thread maps a second stack for the handlers of its faults, and the standard
//! library ends the process where it cannot. At a limit (`ulimit -d`, `ulimit -v`) that
//! happened to a thread whose own stack had just found room.

use crate::{
    proc,
    sync::{Mutex, MutexGuard},
};
use std::{
    io,
    thread::{Builder, JoinHandle, Scope, ScopedJoinHandle},
};

/// The memory that must be left, in bytes: the stack of a thread (2 MiB in the standard
/// library), and as much again for what it and the threads before it map as they start.
const ROOM: u64 = 4 << 20;

/// The stack that the standard library gives a thread, in bytes.
const STACK: usize = 2 << 20;

/// Starts a thread with a name of at most 15 bytes: the kernel keeps no more.
///
/// # Errors
/// Where a limit of threads or of memory is reached.
pub fn start<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    start_small(name, STACK, body)
}

/// The same with a stack of so many bytes.
///
/// # Errors
/// Where a limit of threads or of memory is reached.
pub fn start_small<T: Send + 'static>(
    name: &str,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let _one = room()?;
    let builder = Builder::new().name(name.into());
    builder.stack_size(stack).spawn(body)
}

/// Starts a thread that ends before `scope` does.
///
/// # Errors
/// Where a limit of threads or of memory is reached.
pub fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    let _one = room()?;
    Builder::new().name(name.into()).spawn_scoped(scope, body)
}

/// Leave to start a thread. Where a limit holds, one is started at a time, so that the
/// stack of each counts when the next is asked for.
fn room() -> io::Result<Option<MutexGuard<'static, ()>>> {
    static ONE: Mutex<()> = Mutex::new(());
    if !proc::is_limited() {
        return Ok(None);
    }
    let one = ONE.lock();
    match proc::shortage(ROOM) {
        None => Ok(Some(one)),
        Some(limit) => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("{limit} is nearly used"),
        )),
    }
}
