//! The lock under which versions and reservations change: one file for all processes
//! that share the cache directory.

use crate::{
    error::{Error, Result},
    sync::{Mutex, MutexGuard},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// How long another process may hold the lock: it does so for a scan and some unlinks, so
/// longer means that it is stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two tries.
const TICK: Duration = Duration::from_millis(2);

/// The lock file of a cache directory.
pub(super) struct CacheLock {
    path: PathBuf,
    /// Taken first: the threads of one process wait here, without polling.
    local: Mutex<()>,
}

/// The right to change versions and reservations.
pub(in crate::store) struct CacheGuard<'a> {
    _file: Flock<File>,
    _local: MutexGuard<'a, ()>,
}

impl CacheLock {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            local: Mutex::new(()),
        }
    }

    /// Takes the lock; waits for it as long as [`PATIENCE`].
    pub(super) fn take(&self) -> Result<CacheGuard<'_>> {
        let local = self.local.lock();
        let context = || format!("locking {}", self.path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(|error| Error::io(context(), error))?;
        let started = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => {
                    return Ok(CacheGuard {
                        _file: file,
                        _local: local,
                    });
                }
                Err((back, nix::Error::EWOULDBLOCK)) if started.elapsed() < PATIENCE => {
                    file = back;
                    thread::sleep(TICK);
                }
                Err((_, error)) => return Err(Error::io(context(), error.into())),
            }
        }
    }
}
