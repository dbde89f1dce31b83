//! A sealed version on disk.
//!
//! All its files are reached through its open directory, never by path: if another
//! process puts a new copy in its place, this one still sees its own files or none,
//! and never reads new content by an old index.

use super::{
    checked::{Checked, Written},
    keepalive::Keepalive,
    locked::Locked,
    presence::{Presence, charged},
    proof::Proof,
};
use crate::store::files::{self, INDEX, META, PACK, PRESENT, SEEK, SYNCED};
use crate::store::{
    content_lock::ContentLock,
    durability::survived,
    index::{Index, restore},
    key::VersionKey,
    meta::{Meta, Verified, Verify},
    seek::SeekIndex,
};
use crate::{
    error::{Error, Result},
    sync::Mutex,
};
use nix::{
    fcntl::{AtFlags, OFlag},
    sys::stat::fstatat,
};
use std::{
    fs::File,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Once, OnceLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a version is assumed to be in its place without a look: a newer copy
/// has the same bytes.
const SEEN: Duration = Duration::from_millis(100);
/// The time of last use is written at most this often.
const TOUCH: Duration = Duration::from_secs(1);
/// Tries to lock the content: enough to tell a process that only looks from one that
/// evicts.
const TRIES: u32 = 5;

/// One version on disk: its index, and its content until that is evicted.
#[derive(Debug)]
pub struct Version {
    key: VersionKey,
    meta: Meta,
    index: Index,
    numbers: String,
    /// What has been verified of the pack with this inode and of its blobs: other content
    /// that takes its place is verified anew, also while this is still read.
    checked: Mutex<Option<(u64, Arc<Checked>)>>,
    path: PathBuf,
    directory: File,
    /// Device and inode of `directory`.
    identity: (u64, u64),
    /// The lock that all readers of the content share.
    lock: Mutex<Weak<Locked>>,
    /// Whether its id is not the hash of something else, once that has been looked at.
    proven: OnceLock<bool>,
    /// How content that is not on disk is found in the archive; read when first needed.
    seek: OnceLock<Option<Arc<SeekIndex>>>,
    keepalive: Keepalive,
    /// Milliseconds after `opened` when it was last seen in its place, plus one.
    seen: AtomicU64,
    opened: Instant,
    shown: Once,
    /// Milliseconds after `opened` of the last touch, plus one.
    touched: AtomicU64,
}

impl AsRef<Index> for Version {
    fn as_ref(&self) -> &Index {
        &self.index
    }
}

/// While it lives, its version's content is not evicted; nor removed, for a few seconds, to
/// make room for other parts of it.
#[derive(Debug)]
#[must_use = "dropped, it holds nothing"]
pub struct Hold(Arc<Locked>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much of a version's content is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    None,
    /// Some blocks, or none yet: a read of others has them fetched.
    Partly,
    /// All of it.
    Whole,
}

impl Version {
    /// Opens the version at `path`; `None` if it is not a whole version of that key.
    pub(in crate::store) fn load(
        path: &Path,
        key: &VersionKey,
        keepalive: &Keepalive,
    ) -> Option<Self> {
        let directory = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
            .open(path)
            .ok()?;
        let identity = directory.metadata().ok()?;
        let identity = (identity.dev(), identity.ino());
        let found = || -> Option<(Meta, Index)> {
            let meta = Meta::read(files::open(&directory, META).ok()?)?;
            let tree = files::open(&directory, INDEX).ok()?;
            (meta.key().as_ref() == Some(key)).then_some(())?;
            let marked = || files::exists(&directory, SYNCED);
            survived(&meta, marked).then_some(())?;
            let index = Index::open(tree)?;
            (index.header().file_length() == Some(meta.tree_bytes)).then_some(())?;
            Some((meta, index))
        };
        let Some((meta, index)) = found() else {
            tracing::warn!(path = %path.display(), "a broken version in the cache is left aside");
            return None;
        };
        Some(Self {
            key: key.clone(),
            numbers: meta.numbers_of(&index.header().table),
            meta,
            checked: Mutex::new(None),
            index,
            path: path.to_owned(),
            directory,
            identity,
            lock: Mutex::new(Weak::new()),
            proven: OnceLock::new(),
            seek: OnceLock::new(),
            keepalive: keepalive.clone(),
            seen: AtomicU64::new(0),
            opened: Instant::now(),
            shown: Once::new(),
            touched: AtomicU64::new(0),
        })
    }

    /// Whether this is, or was a moment ago, the directory at its path.
    pub(in crate::store) fn was_current(&self) -> bool {
        let now = self.now();
        let seen = self.seen.load(Ordering::Relaxed);
        if self.index.is_damaged() {
            self.give_up("a part of the tree has another checksum");
            files::remove(&self.directory, INDEX);
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

    /// Milliseconds since it was opened, plus one: 0 stands for never.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether this is still the directory at its path.
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

    /// What the numbers of its nodes are of: two indexes with the same have no number for
    /// different files.
    pub fn numbers(&self) -> &str {
        &self.numbers
    }

    /// Runs this once, before any call returns: where its nodes are first shown.
    pub fn when_first_shown(&self, compare: impl FnOnce()) {
        self.shown.call_once(compare);
    }

    /// Facts about it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether it may be shown: under `strict` not if its id is the hash of something else, and
    /// not before a fetch has looked at that, where other machines or mounts have sealed it
    /// without.
    pub(in crate::store) fn passes(&self, verify: Verify) -> bool {
        match (verify, self.meta.verified) {
            (Verify::Warn | Verify::Off, _) | (_, Verified::Yes) => true,
            (_, Verified::No) => false,
            (_, Verified::NotApplicable) => self.proven() == Some(true),
        }
    }

    /// Whether it can be shown only once a fetch has looked at its id ([`Self::prove`]).
    pub(in crate::store) fn awaits_proof(&self, verify: Verify) -> bool {
        verify == Verify::Strict
            && self.meta.verified == Verified::NotApplicable
            && self.proven().is_none()
    }

    /// Looks whether its id is the hash of something else, where that is awaited and its index
    /// has the digests that it takes. Of a million files this takes a second and hundreds of
    /// MiB: it is for a fetch, without the cache's lock. Other processes find what comes of it.
    pub(in crate::store) fn prove(&self, verify: Verify) {
        if !self.awaits_proof(verify) || self.index.lacks_digests() {
            return;
        }
        let mut proof = Proof::new(&self.key, verify);
        if self.meta.skipped > 0 {
            proof.doubt();
        }
        let checked = restore(&self.index).map(|records| proof.check(&self.key, &records));
        let may_be = checked.is_some_and(|checked| checked != Some(false));
        let _ = self.proven.set(may_be);
        // Of a damaged index there is nothing to be told to others.
        if checked.is_some() {
            Proof::note(&self.directory, may_be);
        }
    }

    fn proven(&self) -> Option<bool> {
        if let Some(known) = self.proven.get() {
            return Some(*known);
        }
        let known = match Proof::new(&self.key, Verify::Strict).applies() {
            true => Proof::noted(&self.directory)?,
            false => true,
        };
        Some(*self.proven.get_or_init(|| known))
    }

    /// Its open directory, whose files belong to this index.
    pub(in crate::store) fn directory(&self) -> &File {
        &self.directory
    }

    /// Writes the digests of its files to the end of its index, which lacks them; whether
    /// they are those. The room for them was reserved with the index.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where they cannot be written.
    pub(in crate::store) fn add_digests(&self, digests: &[u8]) -> Result<bool> {
        if !self.index.are_digests(digests) {
            return Ok(false);
        }
        let at = self.index.header().digests_at().unwrap_or_default();
        let file = files::open_to_write(&self.directory, INDEX);
        let written = file.and_then(|file| {
            file.write_all_at(digests, at)?;
            // The version may be marked as synced.
            file.sync_data()
        });
        written.map_err(|error| Error::io("adding to an index in the cache", error))?;
        Ok(!self.index.lacks_digests())
    }

    /// How much of the content is on disk.
    pub fn present(&self) -> Present {
        let pack = fstatat(&self.directory, PACK, AtFlags::AT_SYMLINK_NOFOLLOW);
        let is_whole = |length| u64::try_from(length) == Ok(self.index.header().pack);
        match pack.is_ok_and(|pack| is_whole(pack.st_size)) {
            false => Present::None,
            true if files::exists(&self.directory, PRESENT) => Present::Partly,
            true => Present::Whole,
        }
    }

    /// The same for people: of what has only been made ready to come in parts, nothing is there.
    pub fn shown(&self) -> Present {
        let is_empty = || {
            let file = files::open(&self.directory, PRESENT);
            file.and_then(|file| charged(&file))
                .is_ok_and(|bytes| bytes == 0)
        };
        match self.present() {
            Present::Partly if is_empty() => Present::None,
            present => present,
        }
    }

    /// Whether all of the content is on disk.
    pub fn has_content(&self) -> bool {
        self.present() == Present::Whole
    }

    /// Whether content that is not on disk can be read from the archive in parts.
    pub fn can_seek(&self) -> bool {
        self.seek().is_some()
    }

    /// How content is found in the archive, if that is known.
    pub(in crate::store) fn seek(&self) -> Option<Arc<SeekIndex>> {
        let read = || {
            let file = files::open(&self.directory, SEEK).ok()?;
            let index = SeekIndex::read(&file, self.index.header());
            if index.is_none() {
                tracing::info!(version = %self.key.version_id, "its seek index is damaged");
                self.drop_seek();
            }
            index.map(Arc::new)
        };
        let seek = self.seek.get_or_init(read).clone();
        // Another thread or process may have found it wrong.
        seek.filter(|_| files::exists(&self.directory, SEEK))
    }

    /// Takes the seek index of its archive from the caller, which has just read it.
    pub(in crate::store) fn know_seek(&self, seek: SeekIndex) {
        let _ = self.seek.set(Some(Arc::new(seek)));
    }

    /// Removes the seek index, which has turned out wrong: the archive is fetched whole.
    pub(in crate::store) fn drop_seek(&self) {
        files::remove(&self.directory, SEEK);
    }

    /// Bytes of memory that its indexes take.
    pub(in crate::store) fn loaded(&self) -> u64 {
        let seek = self.seek.get().and_then(Option::as_ref);
        self.index.loaded() + seek.map_or(0, |seek| seek.memory())
    }

    /// Keeps the content from being evicted; `None` if it is evicted already.
    pub fn hold(&self) -> Option<Hold> {
        let lock = self.lock().ok().flatten()?;
        lock.holds.fetch_add(1, Ordering::Relaxed);
        Some(Hold(lock))
    }

    /// Whether requests have yet to run that waited for its content.
    pub(in crate::store) fn is_held(&self) -> bool {
        let lock = self.lock.lock().upgrade();
        lock.is_some_and(|lock| lock.holds.load(Ordering::Relaxed) > 0)
    }

    /// Locks the content for reading; `None` if it is evicted, or cut and given up.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] if file descriptors have run out.
    pub(in crate::store) fn lock(&self) -> Result<Option<Arc<Locked>>> {
        let mut shared = self.lock.lock();
        // A lock that is kept alive can be of content that was found damaged and removed.
        if let Some(lock) = shared.upgrade().filter(|lock| lock.content.is_current()) {
            return Ok(Some(lock));
        }
        let Some(content) = ContentLock::take(&self.directory, TRIES)? else {
            return Ok(None);
        };
        if content.length() != Some(self.index.header().pack) {
            self.give_up("the pack is cut");
            return Ok(None);
        }
        // Read under the lock: eviction removes both.
        let presence = Presence::open(&self.directory, u64::from(self.index.header().sums))
            .map_err(|error| Error::io("opening a file of the cache", error))?
            .map(Arc::new);
        let checked = self.checked_of(content.inode());
        let lock = Arc::new(Locked {
            content,
            presence,
            checked,
            holds: AtomicUsize::new(0),
        });
        *shared = Arc::downgrade(&lock);
        Ok(Some(lock))
    }

    fn checked_of(&self, inode: u64) -> Arc<Checked> {
        let mut checked = self.checked.lock();
        match &*checked {
            Some((of, checked)) if *of == inode => checked.clone(),
            _ => {
                let none = Arc::new(Checked::none(&self.index));
                *checked = Some((inode, none.clone()));
                none
            }
        }
    }

    /// Takes the content for verified while it stays as it was written, unless a reader
    /// was faster, or another process.
    pub(in crate::store) fn know_written(&self, written: Written) {
        let mut checked = self.checked.lock();
        if checked.is_none() {
            let inode = written.inode();
            *checked = Checked::all(&self.index, written).map(|all| (inode, Arc::new(all)));
        }
    }

    /// Keeps the lock for a moment after its last use, and notes the use.
    pub(super) fn keep(&self, lock: &Arc<Locked>) {
        self.keepalive.hold(lock);
        self.touch();
    }

    /// Removes damaged content: the next lookup finds a version to be fetched again.
    pub(in crate::store) fn give_up(&self, why: &str) {
        // Logged once: several readers may find the damage.
        if self.remove_content() {
            tracing::warn!(
                version = %self.key.version_id,
                path = %self.path.display(),
                "content in the cache is damaged and is given up: {why}"
            );
        }
    }

    /// Removes the content, of which those that have it open can still read what there is;
    /// whether there was any.
    pub(super) fn remove_content(&self) -> bool {
        self.remove_by(|name| files::remove(&self.directory, name))
    }

    /// Removes content that has come in parts, unless another process has it open; whether it
    /// did. What readers of this process have open is emptied, so that it takes no room: they
    /// open it anew. The caller holds the cache's lock.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub(super) fn start_over(&self) -> Result<bool> {
        let lock = self.lock()?;
        let lock =
            lock.filter(|lock| self.present() == Present::Partly && lock.content.take_alone());
        Ok(lock.is_some_and(|_| {
            self.remove_by(|name| {
                let file = files::open_to_write(&self.directory, name);
                let is_removed = files::remove(&self.directory, name);
                // Only now: a reader that finds too few bytes sees that the pack is gone.
                if let Ok(file) = file {
                    let _ = file.set_len(0);
                }
                is_removed
            })
        }))
    }

    /// Removes the files of the content, each by `remove`; whether there was any.
    fn remove_by(&self, remove: impl Fn(&str) -> bool) -> bool {
        let found = remove(PACK);
        if found {
            // Without the pack, blobs would not count, and yet take space.
            for number in 0..self.index.header().blobs {
                remove(&files::blob(number));
            }
            remove(PRESENT);
        }
        found
    }

    /// Notes the time of use, for all mounts that share the cache.
    pub(in crate::store) fn touch(&self) {
        let now = self.now();
        let last = self.touched.load(Ordering::Relaxed);
        if last != 0 && now.saturating_sub(last) < TOUCH.as_millis() as u64 {
            return;
        }
        self.touched.store(now, Ordering::Relaxed);
        files::touch(&self.directory, META);
    }
}
