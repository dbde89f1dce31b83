//! The fetches at work in a cache, of all processes, and the bytes that each has
//! reserved: they stand in `staging/<id>.lock`, which its process holds by flock. And those
//! that were left, for others to go on with.

use crate::error::Result;
use crate::store::content_lock::{Tried, try_lock};
use crate::store::files::{self, JOURNAL};
use nix::fcntl::Flock;
use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The ending of a lock file's name.
const LOCK: &str = "lock";
/// How long a fetch that was left is kept: a download that no process has gone on with for
/// a day is not missed.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The fetches in a cache, living and dead.
#[derive(Default)]
pub(super) struct Staged {
    /// Bytes reserved by the living.
    pub(super) reserved: u64,
    /// The directories of the dead, with the locks that show that they are dead.
    pub(super) dead: Vec<(PathBuf, Option<Flock<File>>)>,
    /// The dead that can be gone on with, the oldest first.
    pub(super) left: Vec<LeftFetch>,
}

/// A fetch that another can go on with.
pub(super) struct LeftFetch {
    path: PathBuf,
    lock: Flock<File>,
    /// Bytes that it takes.
    bytes: u64,
    /// When it was last gone on with.
    used: SystemTime,
}

impl LeftFetch {
    /// What a dead process has left in a directory; gives its lock back if that cannot be
    /// gone on with.
    fn read(path: &Path, lock: Flock<File>) -> Result<Self, Flock<File>> {
        let journal = path.join(JOURNAL).symlink_metadata();
        let used = journal.and_then(|data| data.modified()).ok();
        // One from the future is as old as one of now.
        let is_old = |used: SystemTime| used.elapsed().is_ok_and(|age| age > KEPT);
        let Some(used) = used.filter(|used| !is_old(*used)) else {
            return Err(lock);
        };
        let files = files::list(path).unwrap_or_default();
        let sizes = files.iter().filter_map(|file| file.symlink_metadata().ok());
        Ok(Self {
            path: path.to_path_buf(),
            lock,
            bytes: sizes.map(|data| data.len()).sum(),
            used,
        })
    }
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
                Tried::Free(held) => match LeftFetch::read(&path, held) {
                    Ok(left) => staged.left.push(left),
                    Err(held) => staged.dead.push((path, Some(held))),
                },
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
            let is_left = staged.left.iter().any(|left| left.path == path);
            if !has_lock && !is_left && !living.contains(&path) {
                staged.dead.push((path, None));
            }
        }
        staged.left.sort_by_key(|left| left.used);
        Ok(staged)
    }

    /// Removes what dead processes left and no other can go on with; returns the bytes that
    /// all others take or have reserved.
    pub(super) fn clean(&mut self) -> u64 {
        for (path, held) in self.dead.drain(..) {
            tracing::debug!(path = %path.display(), "removing what a dead process left");
            remove(&path, held);
        }
        self.bytes()
    }

    /// Bytes that the living have reserved, and that those take that were left.
    pub(super) fn bytes(&self) -> u64 {
        self.reserved.saturating_add(self.all_left().1)
    }

    /// How many fetches were left, and how many bytes they take.
    pub(super) fn all_left(&self) -> (u64, u64) {
        let bytes = self.left.iter().map(|left| left.bytes);
        (self.left.len() as u64, bytes.fold(0, u64::saturating_add))
    }

    /// Removes fetches that were left, the oldest first, until so many bytes are free;
    /// returns how many were freed.
    pub(super) fn free(&mut self, wanted: u64) -> u64 {
        let mut freed = 0_u64;
        while freed < wanted && !self.left.is_empty() {
            let left = self.left.remove(0);
            tracing::debug!(path = %left.path.display(), "removing a download that was left");
            remove(&left.path, Some(left.lock));
            if !left.path.exists() {
                freed = freed.saturating_add(left.bytes);
            }
        }
        freed
    }
}

/// Removes the directory of a fetch, and then its lock file, which is held so long.
fn remove(path: &Path, lock: Option<Flock<File>>) {
    let _ = fs::remove_dir_all(path);
    let _ = fs::remove_file(lock_of(path));
    drop(lock);
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
