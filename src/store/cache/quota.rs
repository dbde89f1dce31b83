//! Room in the cache: a hard ceiling over all mounts that share the
//! directory, reserved before writing, and eviction of the least recently
//! used that nobody has open.
//!
//! The truth is on disk: `meta.json` of each version (its mtime is the time of
//! last use), whether its `pack` is there, and the reservations of downloads
//! that live (`staging/<id>.lock`, held by flock). All of it changes only
//! under the lock file, so processes agree. Lock order: `local`, then the
//! lock file, then `pack` or `.lock` files, which are only ever tried.

use crate::store::{
    crash::crash_point,
    durability::{MARK, survived},
    fetch::staging::read_reservation,
    meta::Meta,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// What a version takes beside content and tree: its directory, `meta.json`,
/// and the unused ends of the last blocks.
pub(in crate::store) const OVERHEAD: u64 = 16 << 10;
/// How long a full cache waits for open files to be closed: long enough for a
/// `cp` to finish its file, short enough for somebody who looks on.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the lock file may be held by another process: it is held for a
/// scan and some unlinks, so longer means a stopped process.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(20);
/// The file in a version's directory that keeps eviction away from it, in every
/// process. Empty: that it is there is all it says.
pub(in crate::store) const PINNED: &str = "pinned";
/// A `meta.json` is below a kilobyte; more is not ours.
const META_BYTES: u64 = 64 << 10;

/// The accounts of one cache directory.
pub(in crate::store) struct Room {
    root: PathBuf,
    pub(in crate::store) ceiling: u64,
    local: Mutex<()>,
    trash: AtomicU64,
    /// What was read of each version's `meta.json`, by the file's inode: it is
    /// never written again, only replaced.
    looked: Mutex<HashMap<u64, Look>>,
}

/// The part of a `meta.json` that the accounts need.
#[derive(Clone, Copy)]
struct Look {
    content: u64,
    rest: u64,
    /// Hash of the path, against an inode that was used again.
    path: u64,
}

/// The right to change the accounts.
pub(in crate::store) struct Accounts<'a> {
    _file: Flock<File>,
    _local: MutexGuard<'a, ()>,
}

/// The downloads in a cache, living and dead.
#[derive(Default)]
pub(in crate::store) struct Staged {
    /// Bytes reserved by those that live.
    pub(in crate::store) reserved: u64,
    /// What dead processes left, with the lock that shows it.
    pub(in crate::store) dead: Vec<(PathBuf, Option<Flock<File>>)>,
}

/// A version as the accounts see it.
pub(in crate::store) struct Held {
    pub(in crate::store) path: PathBuf,
    /// Bytes of content, 0 where evicted.
    pub(in crate::store) content: u64,
    /// Bytes of tree and the like.
    pub(in crate::store) rest: u64,
    pub(in crate::store) used: SystemTime,
    /// A user wants it kept.
    pub(in crate::store) pinned: bool,
    /// Not a whole version: nothing is lost with it.
    pub(in crate::store) broken: bool,
}

impl Held {
    pub(in crate::store) fn bytes(&self) -> u64 {
        self.content + self.rest
    }
}

impl Room {
    /// The accounts of `<cache>/v1`, as they are.
    pub(in crate::store) fn at(root: PathBuf, ceiling: u64) -> Self {
        Self {
            root,
            ceiling,
            local: Mutex::new(()),
            trash: AtomicU64::new(0),
            looked: Mutex::default(),
        }
    }

    /// Opens the accounts of `<cache>/v1`, and removes what dead processes left.
    pub(in crate::store) fn open(root: PathBuf, ceiling: u64) -> Result<Self> {
        let room = Self::at(root, ceiling);
        let accounts = room.lock()?;
        room.reservations("")?;
        for entry in entries(&room.versions())? {
            // A crash in the middle of an eviction leaves blobs without a pack.
            if !entry.join("pack").exists() {
                remove_content(&entry);
            }
        }
        drop(accounts);
        Ok(room)
    }

    /// `<cache>/v1`.
    pub(in crate::store) fn root(&self) -> &Path {
        &self.root
    }

    pub(in crate::store) fn versions(&self) -> PathBuf {
        self.root.join("versions")
    }

    pub(in crate::store) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Takes the lock file, with a bounded wait.
    pub(in crate::store) fn lock(&self) -> Result<Accounts<'_>> {
        let local = self.local.lock();
        let path = self.root.join("lock");
        let context = || format!("locking {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| Error::io(context(), error))?;
        let started = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => {
                    return Ok(Accounts {
                        _file: file,
                        _local: local,
                    });
                }
                Err((back, nix::Error::EWOULDBLOCK)) if started.elapsed() < LOCK_PATIENCE => {
                    file = back;
                    thread::sleep(TICK / 10);
                }
                Err((_, error)) => return Err(Error::io(context(), error.into())),
            }
        }
    }

    /// The versions that are not known to be on the disk.
    pub(in crate::store) fn unsynced(&self) -> Vec<PathBuf> {
        let mut all = entries(&self.versions()).unwrap_or_default();
        all.retain(|path| !path.join(MARK).exists());
        all
    }

    /// Every version there is. Needs no lock for a look.
    pub(in crate::store) fn held(&self) -> Result<Vec<Held>> {
        let versions = entries(&self.versions())?;
        let known = self.looked();
        let mut looked = HashMap::with_capacity(versions.len());
        let held = versions
            .into_iter()
            .map(|path| look(path, &known, &mut looked))
            .collect();
        *self.looked.lock() = looked;
        Ok(held)
    }

    fn looked(&self) -> HashMap<u64, Look> {
        let mut looked = self.looked.lock();
        std::mem::take(&mut looked)
    }

    /// Bytes reserved by living downloads but `own`; the dead are removed.
    pub(in crate::store) fn reservations(&self, own: &str) -> Result<u64> {
        let staged = self.staged(own)?;
        for (path, held) in staged.dead {
            tracing::debug!(path = %path.display(), "removing what a dead process left");
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(path.with_extension("lock"));
            drop(held);
        }
        Ok(staged.reserved)
    }

    /// Looks at the downloads, under the lock: whoever begins one makes its lock
    /// file first.
    pub(in crate::store) fn staged(&self, own: &str) -> Result<Staged> {
        let mut staged = Staged::default();
        let mut living = Vec::new();
        let all = entries(&self.staging())?;
        let (locks, rest): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|path| path.extension().is_some_and(|e| e == "lock"));
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

    /// Reserves at least `least` bytes in all for the download `own`, up to
    /// `most` where that is free anyway; evicts for the first only. `note`
    /// records the reservation, under the lock.
    ///
    /// Waits a short while for open files to be closed; then
    /// [`Error::NoSpace`].
    pub(in crate::store) fn reserve(
        &self,
        own: &str,
        least: u64,
        most: u64,
        progress: &Progress,
        note: impl Fn(u64) -> io::Result<()>,
    ) -> Result<u64> {
        self.check(least)?;
        let started = Instant::now();
        loop {
            let accounts = self.lock()?;
            let mut held = self.held()?;
            let reserved = self.reservations(own)?;
            let used = held
                .iter()
                .fold(reserved, |sum, held| sum.saturating_add(held.bytes()));
            let pinned = held.iter().filter(|held| held.pinned && !held.broken);
            let pinned: u64 = pinned.map(Held::bytes).sum();
            if pinned.saturating_add(least) > self.ceiling {
                // Waiting would not help: only the user can let them go.
                return Err(Error::NoSpace(format!(
                    "this version needs {least} bytes or more; pinned versions hold {pinned} of \
                     the {} bytes that the cache may have; let some go (vm0fs cache unpin), or \
                     raise --cache-size",
                    self.ceiling
                )));
            }
            let excess = used.saturating_add(least).saturating_sub(self.ceiling);
            let freed = if excess == 0 {
                0
            } else {
                self.evict(&mut held, excess)
            };
            if freed >= excess {
                let free = self.ceiling.saturating_sub(used.saturating_sub(freed));
                let granted = most.min(free).max(least);
                note(granted).map_err(|error| Error::io("reserving room in the cache", error))?;
                return Ok(granted);
            }
            drop(accounts);
            if started.elapsed() >= PATIENCE {
                return Err(Error::NoSpace(format!(
                    "this version needs {least} bytes or more; open files and other downloads \
                     hold too much of the {} bytes that the cache may have; close them, or \
                     raise --cache-size",
                    self.ceiling
                )));
            }
            progress.advance(0);
            thread::sleep(TICK);
        }
    }

    /// Frees the content least recently used for a write that found the disk
    /// full, although the ceiling is not reached; whether anything was freed.
    pub(in crate::store) fn relieve(&self) -> bool {
        let Ok(_accounts) = self.lock() else {
            return false;
        };
        let mut held = self.held().unwrap_or_default();
        // One at a time: the write is tried again after each.
        let freed = self.evict(&mut held, 1) > 0;
        if freed {
            tracing::info!("the disk is full below --cache-size; evicted what was used least");
        }
        freed
    }

    /// Refuses what could not fit into an empty cache.
    pub(in crate::store) fn check(&self, bytes: u64) -> Result<()> {
        if bytes > self.ceiling {
            return Err(Error::NoSpace(format!(
                "this version needs {bytes} bytes or more; the cache may have {} (--cache-size)",
                self.ceiling
            )));
        }
        Ok(())
    }

    /// Frees `excess` bytes or nothing: contents first, then whole versions,
    /// each time the least recently used that nobody has open or has pinned.
    /// Gives what was freed.
    fn evict(&self, held: &mut [Held], excess: u64) -> u64 {
        held.sort_by_key(|held| (!held.broken, held.used));
        let kept = |held: &Held| {
            // What is broken can be pinned no more than used.
            (held.pinned && !held.broken)
                || matches!(try_lock(&held.path.join("pack")), Tried::Busy)
        };
        let free = held.iter().filter(|held| !kept(held));
        if free.map(Held::bytes).sum::<u64>() < excess {
            return 0;
        }
        let mut freed = 0;
        for whole in [false, true] {
            for held in held.iter_mut() {
                if freed >= excess {
                    return freed;
                }
                // What is broken is of no use to anybody: it goes first, and whole.
                let whole = whole || held.broken;
                let pinned = held.pinned && !held.broken;
                if pinned || held.bytes() == 0 || (!whole && held.content == 0) {
                    continue;
                }
                // Somebody may have opened it since the look above.
                let lock = try_lock(&held.path.join("pack"));
                if matches!(lock, Tried::Busy) {
                    continue;
                }
                let name = held.path.file_name().unwrap_or_default();
                tracing::debug!(version = ?name, whole, "evicting");
                if whole {
                    self.discard(&held.path);
                    freed += held.bytes();
                    (held.content, held.rest) = (0, 0);
                } else {
                    remove_content(&held.path);
                    freed += held.content;
                    held.content = 0;
                }
            }
        }
        freed
    }

    /// Takes a version's directory away at once, then removes it. Needs the lock.
    pub(in crate::store) fn discard(&self, path: &Path) {
        let number = self.trash.fetch_add(1, Ordering::Relaxed);
        let trash = self
            .staging()
            .join(format!("trash-{}-{number}", std::process::id()));
        let moved = fs::rename(path, &trash);
        crash_point("old-moved-away");
        let gone = match moved {
            // Again, where another thread has just marked it as synced.
            Ok(()) => fs::remove_dir_all(&trash).or_else(|_| fs::remove_dir_all(&trash)),
            Err(_) => fs::remove_dir_all(path),
        };
        if let Err(error) = gone {
            tracing::debug!(path = %path.display(), %error, "could not remove from the cache");
        }
    }
}

/// Removes content, `pack` first: without it the rest does not count.
pub(in crate::store) fn remove_content(version: &Path) {
    let _ = fs::remove_file(version.join("pack"));
    for path in entries(version).unwrap_or_default() {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b"blob-") {
            let _ = fs::remove_file(path);
        }
    }
}

fn look(path: PathBuf, known: &HashMap<u64, Look>, looked: &mut HashMap<u64, Look>) -> Held {
    let pinned = path.join(PINNED).exists();
    let mut whole = || -> Option<(u64, u64, SystemTime)> {
        let name = path.join("meta.json");
        let data = name.symlink_metadata().ok()?;
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let hash = hasher.finish();
        let look = match known.get(&data.ino()).filter(|look| look.path == hash) {
            Some(look) => *look,
            None => {
                let meta = read_meta(File::open(&name).ok()?)?;
                survived(&meta, || path.join(MARK).exists()).then_some(())?;
                Look {
                    content: meta.content_bytes,
                    rest: meta.tree_bytes.saturating_add(OVERHEAD),
                    path: hash,
                }
            }
        };
        looked.insert(data.ino(), look);
        let content = match path.join("pack").exists() {
            true => look.content,
            false => 0,
        };
        Some((content, look.rest, data.modified().ok()?))
    };
    match whole() {
        Some((content, rest, used)) => Held {
            path,
            content,
            rest,
            used,
            pinned,
            broken: false,
        },
        None => {
            let files = entries(&path).unwrap_or_default();
            let sizes = files.iter().filter_map(|file| file.metadata().ok());
            Held {
                content: 0,
                rest: sizes.map(|data| data.len()).sum::<u64>() + OVERHEAD,
                used: SystemTime::UNIX_EPOCH,
                pinned,
                broken: true,
                path,
            }
        }
    }
}

/// Reads a `meta.json`; `None` where it is not one.
pub(in crate::store) fn read_meta(file: File) -> Option<Meta> {
    let mut text = Vec::new();
    file.take(META_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

pub(in crate::store) enum Tried {
    Free(Flock<File>),
    Busy,
    Absent,
}

pub(in crate::store) fn try_lock(path: &Path) -> Tried {
    match File::open(path) {
        Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Tried::Free(lock),
            Err(_) => Tried::Busy,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Tried::Absent,
        Err(_) => Tried::Busy,
    }
}

pub(in crate::store) fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    read().map_err(|error| Error::io(format!("reading {}", directory.display()), error))
}
