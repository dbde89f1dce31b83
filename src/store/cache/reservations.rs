//! The fetches at work in a cache, of all processes, and the bytes that each has
//! reserved: they stand in `staging/<id>.lock`, which its process holds by flock.

use crate::error::Result;
use crate::store::content_lock::{Tried, try_lock};
use crate::store::files;
use nix::fcntl::Flock;
use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

/// The ending of a lock file's name.
const LOCK: &str = "lock";

/// The fetches in a cache, living and dead.
#[derive(Default)]
pub(super) struct Staged {
    /// Bytes reserved by the living.
    pub(super) reserved: u64,
    /// The directories of the dead, with the locks that show that they are dead.
    pub(super) dead: Vec<(PathBuf, Option<Flock<File>>)>,
}

impl Staged {
    /// All fetches below `staging` but `own`. The caller holds the cache's lock: a fetch
    /// makes its lock file and its directory under it.
    pub(super) fn read(staging: &Path, own: &str) -> Result<Self> {
        let mut staged = Self::default();
        let mut living = Vec::new();
        let all = files::list(staging)?;
        let (locks, rest): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|path| path.extension().is_some_and(|e| e == LOCK));
        for lock in locks {
            let path = lock.with_extension("");
            if path.file_name().is_some_and(|name| name == own) {
                living.push(path);
                continue;
            }
            match try_lock(&lock) {
                Tried::Free(held) => staged.dead.push((path, Some(held))),
                Tried::Busy => {
                    let reserved = read_reservation(&lock).unwrap_or(0);
                    staged.reserved = staged.reserved.saturating_add(reserved);
                    living.push(path);
                }
                Tried::Absent => {}
            }
        }
        for path in rest {
            let has_lock = staged.dead.iter().any(|(dead, _)| *dead == path);
            if !has_lock && !living.contains(&path) {
                staged.dead.push((path, None));
            }
        }
        Ok(staged)
    }

    /// Removes what dead processes left; returns the bytes that the living have reserved.
    pub(super) fn clean(self) -> u64 {
        for (path, held) in self.dead {
            tracing::debug!(path = %path.display(), "removing what a dead process left");
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(lock_of(&path));
            drop(held);
        }
        self.reserved
    }
}

/// The lock file of the fetch that works in a directory.
pub(in crate::store) fn lock_of(path: &Path) -> PathBuf {
    path.with_extension(LOCK)
}

/// Writes down how many bytes a fetch has reserved.
///
/// # Errors
/// What the kernel says.
pub(in crate::store) fn write_reservation(mut lock: &File, bytes: u64) -> io::Result<()> {
    // Fixed width: rewriting never leaves old digits behind.
    lock.rewind()?;
    lock.write_all(format!("{bytes:020}").as_bytes())
}

fn read_reservation(lock: &Path) -> Option<u64> {
    fs::read_to_string(lock).ok()?.parse().ok()
}
