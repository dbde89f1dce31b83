//! The quota of the cache: a maximum size for all mounts that share the directory. A fetch
//! reserves bytes before it writes them; for that, the least recently used content
//! that no process has open is evicted.
//!
//! The truth is on disk: `meta.json` of each version (its mtime is the time of
//! last use), whether its `pack` is there, and the reservations of fetches
//! that live (`reservations`). All of it changes only under the cache's lock,
//! so processes agree. Lock order: the cache's lock first, then `pack` or
//! `.lock` files, which are only ever tried.

use super::{
    entries::{Entries, QuotaEntry, remove_content},
    reservations::Staged,
    version::Present,
};
use crate::store::content_lock::{Tried, try_lock};
use crate::store::crash::crash_point;
use crate::store::files::{self, PACK, SYNCED};
use crate::{
    error::{Error, Result},
    humanize::size,
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long another process may hold the cache's lock: it does so for a scan and some
/// unlinks, so longer means that it is stopped.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two tries to lock.
const LOCK_TICK: Duration = Duration::from_millis(2);
/// How long a full cache waits for open files to be closed: long enough for a
/// `cp` to finish its file, short enough for a user who looks on.
pub(in crate::store) const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two looks.
const TICK: Duration = Duration::from_millis(20);

/// The quota of one cache directory.
pub(in crate::store) struct Quota {
    root: PathBuf,
    ceiling: u64,
    /// Taken before the lock file: the threads of one process wait here, without polling.
    local: Mutex<()>,
    trash: AtomicU64,
    entries: Entries,
}

/// The right to change versions and reservations.
pub(in crate::store) struct CacheGuard<'a> {
    _file: Flock<File>,
    _local: MutexGuard<'a, ()>,
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes taken or reserved.
    pub bytes: u64,
    /// Maximum size of the cache, in bytes.
    pub ceiling: u64,
    /// Versions whose index is on disk.
    pub versions: u64,
    /// Versions all of whose content is on disk too.
    pub with_content: u64,
    /// Versions a part of whose content is.
    pub partly: u64,
}

impl Quota {
    /// The quota of `<cache>/v1`; changes nothing there.
    pub(super) fn at(root: PathBuf, ceiling: u64) -> Self {
        Self {
            root,
            local: Mutex::new(()),
            ceiling,
            trash: AtomicU64::new(0),
            entries: Entries::default(),
        }
    }

    /// Opens the quota of `<cache>/v1`, and removes what dead processes left.
    pub(super) fn open(root: PathBuf, ceiling: u64) -> Result<Self> {
        let quota = Self::at(root, ceiling);
        let guard = quota.lock()?;
        quota.staged("")?.clean();
        for version in files::list(&quota.versions())? {
            // A crash in the middle of an eviction leaves blobs without a pack.
            if !version.join(PACK).exists() {
                remove_content(&version);
            }
        }
        drop(guard);
        Ok(quota)
    }

    /// `<cache>/v1`.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Maximum size of the cache, in bytes.
    pub(in crate::store) fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Where the versions are.
    pub(in crate::store) fn versions(&self) -> PathBuf {
        self.root.join("versions")
    }

    /// Where fetches work.
    pub(in crate::store) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Takes the cache's lock: one file for all processes that share the directory.
    ///
    /// # Errors
    /// [`Error::Io`] if another process holds it for more than ten seconds.
    pub(in crate::store) fn lock(&self) -> Result<CacheGuard<'_>> {
        let path = self.root.join("lock");
        let failed = |error| Error::io(format!("locking {}", path.display()), error);
        let mut open = OpenOptions::new();
        let open = open.create(true).append(true).mode(0o600).open(&path);
        let mut file = open.map_err(failed)?;
        let started = Instant::now();
        loop {
            // Not held while this waits: threads that sleep on a mutex for seconds are
            // taken for ones that hang.
            let local = self.local.lock();
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => {
                    return Ok(CacheGuard {
                        _file: file,
                        _local: local,
                    });
                }
                Err((back, nix::Error::EWOULDBLOCK)) if started.elapsed() < LOCK_PATIENCE => {
                    file = back;
                    drop(local);
                    thread::sleep(LOCK_TICK);
                }
                Err((_, error)) => return Err(failed(error.into())),
            }
        }
    }

    /// The versions that are not marked as synced.
    pub(super) fn unsynced(&self) -> Vec<PathBuf> {
        let mut all = files::list(&self.versions()).unwrap_or_default();
        all.retain(|path| !path.join(SYNCED).exists());
        all
    }

    /// All versions. The caller takes the lock if it acts on them.
    pub(super) fn entries(&self) -> Result<Vec<QuotaEntry>> {
        self.entries.read(&self.versions())
    }

    /// All fetches but `own`. The caller holds the lock.
    pub(super) fn staged(&self, own: &str) -> Result<Staged> {
        Staged::read(&self.staging(), own)
    }

    /// What the cache holds.
    pub(super) fn usage(&self) -> Usage {
        // Under the lock: otherwise a version could count twice while it is sealed.
        let guard = self.lock();
        let entries = self.entries().unwrap_or_default();
        let staged = guard.as_ref().ok().and_then(|_| self.staged("").ok());
        let reserved = staged.map_or(0, |mut staged| staged.clean());
        let count = |present| {
            let such = entries.iter().filter(|entry| entry.present == present);
            such.count() as u64
        };
        Usage {
            bytes: entries.iter().map(QuotaEntry::bytes).sum::<u64>() + reserved,
            ceiling: self.ceiling,
            versions: entries.len() as u64,
            with_content: count(Present::Whole),
            partly: count(Present::Partly),
        }
    }

    /// Reserves at least `least` bytes in all for the fetch `own`, and up to `most` if
    /// they are free; evicts for the first only. `note` records the reservation, under
    /// the lock.
    ///
    /// # Errors
    /// [`Error::NoSpace`] if a few seconds later too many files are still open.
    pub(in crate::store) fn reserve(
        &self,
        own: &str,
        least: u64,
        most: u64,
        progress: &Progress,
        note: impl Fn(u64) -> io::Result<()>,
    ) -> Result<u64> {
        self.reserve_within(PATIENCE, own, (least, most), progress, note)
    }

    /// The same, for a fetch that waits for so long while too many files are open.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub(in crate::store) fn reserve_within(
        &self,
        patience: Duration,
        own: &str,
        (least, most): (u64, u64),
        progress: &Progress,
        note: impl Fn(u64) -> io::Result<()>,
    ) -> Result<u64> {
        self.check(least)?;
        let started = Instant::now();
        loop {
            let guard = self.lock()?;
            let mut entries = self.entries()?;
            let mut staged = self.staged(own)?;
            let reserved = staged.clean();
            let used = entries
                .iter()
                .fold(reserved, |sum, entry| sum.saturating_add(entry.bytes()));
            let pinned = entries.iter().filter(|entry| entry.is_kept());
            let pinned: u64 = pinned.map(QuotaEntry::bytes).sum();
            if pinned.saturating_add(least) > self.ceiling {
                // Waiting would not help: only the user can unpin them.
                return Err(Error::NoSpace(format!(
                    "this version needs {} or more; pinned versions hold {} of the {} that the \
                     cache may take; let some go (vm0fs cache unpin), or raise --cache-size",
                    size(least),
                    size(pinned),
                    size(self.ceiling)
                )));
            }
            let excess = used.saturating_add(least).saturating_sub(self.ceiling);
            // A download that may never be gone on with goes before what can be read.
            let mut freed = staged.free(excess);
            drop(staged);
            if freed < excess {
                freed += self.evict(&mut entries, excess - freed);
            }
            if freed >= excess {
                let free = self.ceiling.saturating_sub(used.saturating_sub(freed));
                let granted = most.min(free).max(least);
                note(granted).map_err(|error| Error::io("reserving room in the cache", error))?;
                return Ok(granted);
            }
            drop(guard);
            if started.elapsed() >= patience {
                return Err(Error::NoSpace(format!(
                    "this version needs {} or more; open files and other downloads hold too \
                     much of the {} that the cache may take; close them, or raise --cache-size",
                    size(least),
                    size(self.ceiling)
                )));
            }
            progress.advance(0);
            thread::sleep(TICK);
        }
    }

    /// Writes; where the disk is full below the maximum size, evicts what was used least and
    /// tries again, as long as there is content to evict.
    ///
    /// # Errors
    /// What the last try fails with.
    pub(in crate::store) fn with_room<T>(&self, mut write: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match write() {
                Err(Error::NoSpace(_)) if self.relieve() => {}
                result => return result,
            }
        }
    }

    /// Evicts the least recently used content for a write that found the disk
    /// full below the maximum size; whether it evicted any.
    fn relieve(&self) -> bool {
        let Ok(_guard) = self.lock() else {
            return false;
        };
        // One at a time: the write is tried again after each.
        let left = self.staged("").map_or(0, |mut staged| staged.free(1));
        let mut entries = self.entries().unwrap_or_default();
        let freed = left > 0 || self.evict(&mut entries, 1) > 0;
        if freed {
            tracing::info!("the disk is full below --cache-size; evicted what was used least");
        }
        freed
    }

    /// Refuses content that would not fit into an empty cache.
    pub(in crate::store) fn check(&self, bytes: u64) -> Result<()> {
        if bytes > self.ceiling {
            return Err(Error::NoSpace(format!(
                "this version needs {} or more, and the cache may take {}, by --cache-size or by \
                 the room on its disk; free space there, raise --cache-size, or name a folder on \
                 another disk (--cache-dir)",
                size(bytes),
                size(self.ceiling)
            )));
        }
        Ok(())
    }

    /// Frees `excess` bytes or nothing: contents first, then whole versions, the least
    /// recently used first, without those that are open or pinned. Returns the bytes
    /// freed.
    fn evict(&self, entries: &mut [QuotaEntry], excess: u64) -> u64 {
        entries.sort_by_key(|entry| (!entry.broken, entry.used));
        let is_free = |entry: &&QuotaEntry| {
            !entry.is_kept() && !matches!(try_lock(&entry.path.join(PACK)), Tried::Busy)
        };
        let free = entries.iter().filter(is_free).map(QuotaEntry::bytes);
        if free.sum::<u64>() < excess {
            return 0;
        }
        let mut freed = 0;
        for whole in [false, true] {
            for entry in entries.iter_mut() {
                if freed >= excess {
                    return freed;
                }
                // A broken version serves no reader: it goes first, and whole.
                let whole = whole || entry.broken;
                let bytes = if whole { entry.bytes() } else { entry.content };
                // A process may have opened it since the check above.
                if entry.is_kept() || bytes == 0 || !self.free(&entry.path, whole) {
                    continue;
                }
                freed += bytes;
                entry.content = 0;
                if whole {
                    entry.rest = 0;
                }
            }
        }
        freed
    }

    /// Removes a version or its content, unless a process has that open; whether it did.
    /// The caller holds the lock.
    pub(super) fn free(&self, version: &Path, whole: bool) -> bool {
        // Held until the content is removed: no process opens it in between.
        let lock = try_lock(&version.join(PACK));
        if matches!(lock, Tried::Busy) {
            return false;
        }
        let name = version.file_name().unwrap_or_default();
        tracing::debug!(version = ?name, whole, "evicting");
        match whole {
            true => self.discard(version),
            false => remove_content(version),
        }
        // What cannot be removed is not free.
        let left = if whole { version } else { &version.join(PACK) };
        !left.exists()
    }

    /// Moves a version's directory away at once, then removes it. The caller holds the
    /// lock.
    pub(in crate::store) fn discard(&self, path: &Path) {
        let number = self.trash.fetch_add(1, Ordering::Relaxed);
        let trash = self
            .staging()
            .join(format!("trash-{}-{number}", std::process::id()));
        let moved = fs::rename(path, &trash);
        crash_point("old-moved-away");
        let gone = match moved {
            // Again, in case another thread has just marked it as synced.
            Ok(()) => fs::remove_dir_all(&trash).or_else(|_| fs::remove_dir_all(&trash)),
            Err(_) => fs::remove_dir_all(path),
        };
        if let Err(error) = gone {
            tracing::debug!(path = %path.display(), %error, "could not remove from the cache");
        }
    }
}
