//! A sealed version and its open contents.
//!
//! Everything is reached through the version's open directory, never by its
//! path: where another mount puts a new copy in its place, this one still
//! sees its own files or none, and never reads the new content by the old tree.

use super::{
    content::{Checked, Content},
    keepalive::Linger,
    quota::read_meta,
};
use crate::store::{
    VersionKey,
    durability::{MARK, survived},
    index::reader::{Index, Location, NodeKind},
    meta::Meta,
};
use crate::{
    error::{Error, Result},
    sync::Mutex,
};
use nix::{
    fcntl::{AtFlags, Flock, FlockArg, OFlag, openat},
    sys::{
        stat::{Mode, UtimensatFlags, fstatat, utimensat},
        time::TimeSpec,
    },
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    fs::File,
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a version is taken to be in its place without looking: a newer one
/// of the same key has the same bytes.
const SEEN: Duration = Duration::from_millis(100);
/// The time of last use is written at most this often.
const TOUCH: Duration = Duration::from_secs(1);
/// An evictor that only looks holds a pack's lock for microseconds: so many
/// tries, a moment apart, tell it from one that evicts.
const TRIES: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_micros(200);

/// One version on disk: its tree, and its content while that is not evicted.
#[derive(Debug)]
pub struct Version {
    key: VersionKey,
    meta: Meta,
    index: Index,
    checked: Checked,
    path: PathBuf,
    directory: File,
    /// Device and inode of `directory`.
    identity: (u64, u64),
    pin: Mutex<Weak<Pin>>,
    linger: Linger,
    /// Milliseconds after `opened` when it was last seen in its place, and one.
    seen: AtomicU64,
    opened: Instant,
    /// Milliseconds after `opened` of the last touch, and one.
    touched: AtomicU64,
}

/// The open `pack`, whose shared lock keeps the content from being evicted.
#[derive(Debug)]
pub(in crate::store) struct Pin {
    pack: Flock<File>,
}

/// While it lives, its version's content is not evicted.
#[derive(Debug)]
#[must_use = "dropped, it holds nothing"]
pub struct Hold {
    _pin: Arc<Pin>,
}

impl Version {
    /// Opens what is there; `None` where it is not a whole version of that key.
    pub(in crate::store) fn load(path: &Path, key: &VersionKey, linger: &Linger) -> Option<Self> {
        let directory = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
            .open(path)
            .ok()?;
        let identity = directory.metadata().ok()?;
        let identity = (identity.dev(), identity.ino());
        let found = || -> Option<(Meta, Index)> {
            let meta = read_meta(open_in(&directory, "meta.json").ok()?)?;
            let tree = open_in(&directory, "tree").ok()?;
            (meta.is_of(key) && tree.metadata().ok()?.len() == meta.tree_bytes).then_some(())?;
            let marked = || fstatat(&directory, MARK, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok();
            survived(&meta, marked).then_some(())?;
            Some((meta, Index::open(tree)?))
        };
        let Some((meta, index)) = found() else {
            tracing::warn!(path = %path.display(), "a broken version in the cache is left aside");
            return None;
        };
        Some(Self {
            key: key.clone(),
            meta,
            checked: Checked::none(&index),
            index,
            path: path.to_owned(),
            directory,
            identity,
            pin: Mutex::new(Weak::new()),
            linger: linger.clone(),
            seen: AtomicU64::new(0),
            opened: Instant::now(),
            touched: AtomicU64::new(0),
        })
    }

    /// Whether this is, or was a moment ago, what lies at its path.
    pub(in crate::store) fn was_current(&self) -> bool {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let seen = self.seen.load(Ordering::Relaxed);
        if self.index.is_damaged() {
            self.give_up("a part of the tree has another checksum");
            let _ = unlinkat(&self.directory, "tree", UnlinkatFlags::NoRemoveDir);
            return false;
        }
        if seen != 0 && now.saturating_sub(seen) < SEEN.as_millis() as u64 {
            return true;
        }
        let is_current = self.is_current();
        self.seen
            .store(if is_current { now } else { 0 }, Ordering::Relaxed);
        is_current
    }

    /// Whether this is still what lies at its path.
    pub(in crate::store) fn is_current(&self) -> bool {
        self.path
            .symlink_metadata()
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// What it is a version of.
    pub fn key(&self) -> &VersionKey {
        &self.key
    }

    /// Its names and attributes, which stay when the content is evicted.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Facts about it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(in crate::store) fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Its directory, open: what is read through it belongs to this tree.
    pub(in crate::store) fn directory(&self) -> &File {
        &self.directory
    }

    /// Whether the content is on disk.
    pub fn has_content(&self) -> bool {
        fstatat(&self.directory, "pack", AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|pack| u64::try_from(pack.st_size) == Ok(self.index.pack_length()))
    }

    /// Opens a file's content; `None` where it is evicted (or found damaged,
    /// and given up): fetch the version again.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::IsDirectory`] and [`Error::Invalid`] for
    /// nodes that have no content, [`Error::Io`] where the cache's files
    /// cannot be opened for lack of file descriptors.
    pub fn open(self: &Arc<Self>, node: u32) -> Result<Option<Content>> {
        let found = self.index.node(node).ok_or(Error::Stale)?;
        match found.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(Error::IsDirectory),
            NodeKind::Symlink => return Err(Error::Invalid("a symlink has no content".into())),
        }
        let Some((location, stored)) = self.index.location(node) else {
            self.give_up("the tree points outside of the content");
            return Ok(None);
        };
        let Some(pin) = self.pin()? else {
            return Ok(None);
        };
        self.linger.hold(&pin);
        self.touch();
        let (blob, offset) = match location {
            Location::Pack(offset) => (None, offset),
            Location::Blob(number) => match open_in(&self.directory, &format!("blob-{number}")) {
                Ok(blob) if blob.metadata().is_ok_and(|data| data.len() == stored) => {
                    (Some((blob, number)), 0)
                }
                Err(error) if out_of_descriptors(&error) => {
                    return Err(Error::io("opening a file of the cache", error));
                }
                _ => {
                    self.give_up("a blob is missing or cut");
                    return Ok(None);
                }
            },
        };
        Ok(Some(Content {
            version: Arc::clone(self),
            pin,
            blob,
            offset,
            size: found.size,
            stored,
            holes: self.index.holes(node),
        }))
    }

    /// Keeps the content from being evicted; `None` where it is gone already.
    pub fn hold(&self) -> Option<Hold> {
        let _pin = self.pin().ok().flatten()?;
        Some(Hold { _pin })
    }

    fn pin(&self) -> Result<Option<Arc<Pin>>> {
        let mut shared = self.pin.lock();
        // One that lingers can be of content that was found damaged and removed.
        if let Some(pin) = shared.upgrade()
            && pin.pack.metadata().is_ok_and(|data| data.nlink() > 0)
        {
            return Ok(Some(pin));
        }
        for _ in 0..TRIES {
            let pack = match open_in(&self.directory, "pack") {
                Ok(pack) => pack,
                Err(error) if out_of_descriptors(&error) => {
                    return Err(Error::io("opening a file of the cache", error));
                }
                Err(_) => return Ok(None),
            };
            let Ok(pack) = Flock::lock(pack, FlockArg::LockSharedNonblock) else {
                std::thread::sleep(TRY_AGAIN);
                continue;
            };
            // Unlinked between open and lock: evicted.
            let Some(data) = pack.metadata().ok().filter(|data| data.nlink() > 0) else {
                return Ok(None);
            };
            if data.len() != self.index.pack_length() {
                self.give_up("the pack is cut");
                return Ok(None);
            }
            let pin = Arc::new(Pin { pack });
            *shared = Arc::downgrade(&pin);
            return Ok(Some(pin));
        }
        Ok(None)
    }

    /// Damaged: the next look finds a version without content, to be fetched again.
    pub(in crate::store) fn give_up(&self, why: &str) {
        // Told once: several readers may come upon it.
        let unlink = |name: &str| unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
        if unlink("pack").is_ok() {
            // Without the pack they would not count, and yet take room.
            for number in 0..self.index.blobs() {
                let _ = unlink(&format!("blob-{number}"));
            }
            tracing::warn!(
                version = %self.key.version_id,
                path = %self.path.display(),
                "content in the cache is damaged and is given up: {why}"
            );
        }
    }

    /// Notes the use, for all mounts that share the cache.
    pub(in crate::store) fn touch(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let last = self.touched.load(Ordering::Relaxed);
        if last != 0 && now.saturating_sub(last) < TOUCH.as_millis() as u64 {
            return;
        }
        self.touched.store(now, Ordering::Relaxed);
        let _ = utimensat(
            &self.directory,
            "meta.json",
            &TimeSpec::UTIME_NOW,
            &TimeSpec::UTIME_NOW,
            UtimensatFlags::NoFollowSymlink,
        );
    }
}

impl Pin {
    pub(in crate::store) fn pack(&self) -> &File {
        &self.pack
    }
}

pub(in crate::store) fn open_in(directory: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(openat(directory, name, flags, Mode::empty())?.into())
}

fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(nix::Error::from_raw),
        Some(nix::Error::EMFILE | nix::Error::ENFILE)
    )
}
