//! The lock on a version's content, a flock on its `pack`: readers of all processes hold
//! it shared, a process that evicts the content takes it exclusively.

use super::files::{self, PACK};
use crate::error::Result;
use nix::fcntl::{Flock, FlockArg};
use std::{fs::File, io, os::unix::fs::MetadataExt, path::Path, thread, time::Duration};

/// How long to wait before another try.
const TRY_AGAIN: Duration = Duration::from_micros(200);

/// The open `pack`. While it lives, no process evicts the version's content.
#[derive(Debug)]
pub(super) struct ContentLock(Flock<File>);

impl ContentLock {
    /// Locks an open `pack`, without waiting.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn lock(pack: File) -> io::Result<Self> {
        let lock = Flock::lock(pack, FlockArg::LockSharedNonblock);
        lock.map(Self).map_err(|(_, error)| error.into())
    }

    /// Locks the content of the version in an open directory; `None` if it is evicted,
    /// or if an evicting process holds the lock for longer than `tries`. A process that
    /// only looks for what it could evict holds it for microseconds.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] where file descriptors have run out.
    pub(super) fn take(directory: &File, tries: u32) -> Result<Option<Self>> {
        for _ in 0..tries {
            let Some(pack) = files::open_existing(directory, PACK)? else {
                return Ok(None);
            };
            if let Ok(lock) = Self::lock(pack) {
                // Unlinked between open and lock: evicted.
                return Ok(Some(lock).filter(Self::is_current));
            }
            thread::sleep(TRY_AGAIN);
        }
        Ok(None)
    }

    /// Whether the `pack` is still in the version's directory.
    pub(super) fn is_current(&self) -> bool {
        self.0.metadata().is_ok_and(|data| data.nlink() > 0)
    }

    /// Locks it for this process alone; whether no other one has it open. The caller holds
    /// the cache's lock, so no process that evicts comes between.
    pub(super) fn take_alone(&self) -> bool {
        let is_alone = self.0.relock(FlockArg::LockExclusiveNonblock).is_ok();
        if !is_alone {
            // The try has cost the lock that there was.
            let _ = self.0.relock(FlockArg::LockSharedNonblock);
        }
        is_alone
    }

    /// Length of the `pack` in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.0.metadata().ok().map(|data| data.len())
    }

    /// The inode of the `pack`; 0 where it cannot be told.
    pub(super) fn inode(&self) -> u64 {
        self.0.metadata().map_or(0, |data| data.ino())
    }

    /// The `pack`.
    pub(super) fn pack(&self) -> &File {
        &self.0
    }
}

/// The result of [`try_lock`].
pub(super) enum Tried {
    /// Locked, until this is dropped.
    Free(Flock<File>),
    /// Another open file has a lock on it.
    Busy,
    /// The file does not exist.
    Absent,
}

/// Tries to lock a file exclusively, without waiting.
pub(super) fn try_lock(path: &Path) -> Tried {
    match File::open(path) {
        Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Tried::Free(lock),
            Err(_) => Tried::Busy,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Tried::Absent,
        Err(_) => Tried::Busy,
    }
}
