//! The cache of sealed versions: opens, reads and checks them, counts what they take, and
//! evicts them. Beside them it keeps the API's answers (`answers`).

mod answers;
pub(super) mod audit;
mod checked;
mod content;
pub(super) mod entries;
mod inventory;
mod keepalive;
mod locked;
mod partly;
mod presence;
mod proof;
mod quota;
mod reservations;
mod version;

pub use answers::AnswerStore;
pub use audit::Audit;
pub(super) use audit::hashes;
pub(super) use checked::{Writings, Written};
pub use content::Content;
pub(super) use entries::OVERHEAD;
pub use inventory::{Breakdown, CachedVersion, Cleared, Inventory};
pub(super) use keepalive::Keepalive;
pub use partly::Missing;
pub(super) use partly::Partly;
pub(super) use proof::{HASHED_HOLES, Proof, files_with_links};
pub use quota::Usage;
pub(super) use quota::{PATIENCE, Quota};
pub(super) use reservations::{lock_of, write_reservation};
pub use version::{Hold, Present, Version};

use super::{
    durability::Syncer,
    files::{self, make_directory},
    key::VersionKey,
    meta::Verify,
};
use crate::{
    error::Result,
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use lru::LruCache;
use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

/// Versions kept open: each costs one file descriptor, a large one two, and so does one
/// whose index lacks digests.
const OPEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Versions that are kept open for their numbers alone, with their indexes.
const LOST: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// Bytes of memory that the indexes of open versions may have when another version is
/// opened. The index of a million files takes 80 MB once all of it has been read.
pub(super) const INDEXES: u64 = 96 << 20;
/// What tells backup tools to leave a cache alone (<https://bford.info/cachedir/>).
const TAG_FILE: &str = "CACHEDIR.TAG";
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # A cache of vm0fs. It may be removed while nothing is mounted.\n";

/// The versions in one cache directory, and those of them that are open.
pub(super) struct Cache {
    quota: Arc<Quota>,
    open: Mutex<LruCache<VersionKey, Arc<Version>>>,
    /// All versions that are open, those too that only readers have open: two locks on one
    /// content would keep each other from making room.
    known: Mutex<HashMap<VersionKey, Weak<Version>>>,
    /// Versions that were open when they vanished from the disk, or were found damaged: the
    /// kernel may still use the numbers of their nodes.
    lost: Mutex<LruCache<VersionKey, Arc<Version>>>,
    verify: Verify,
    keepalive: Keepalive,
    syncer: Syncer,
}

impl Cache {
    /// Opens the cache in `dir`, makes it if it is missing, and removes what dead
    /// processes left.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] or [`crate::error::Error::NoSpace`] where the
    /// directory cannot be made or used.
    pub(super) fn open(dir: &Path, ceiling: u64, verify: Verify) -> Result<Self> {
        let root = dir.join("v1");
        for dir in ["versions", "staging"] {
            make_directory(&root.join(dir))?;
        }
        if !root.join(TAG_FILE).exists() {
            let file = File::open(&root).and_then(|root| files::create(&root, TAG_FILE));
            if let Err(error) = file.and_then(|mut file| file.write_all(TAG.as_bytes())) {
                tracing::debug!(%error, "could not write {TAG_FILE}");
            }
        }
        let quota = Quota::open(root, ceiling)?;
        let syncer = Syncer::default();
        syncer.sync_later(quota.unsynced());
        Ok(Self {
            quota: Arc::new(quota),
            open: Mutex::new(LruCache::new(OPEN)),
            known: Mutex::default(),
            lost: Mutex::new(LruCache::new(LOST)),
            verify,
            keepalive: Keepalive::default(),
            syncer,
        })
    }

    /// The cache directory that it was opened with.
    pub(super) fn dir(&self) -> &Path {
        let root = self.quota.root();
        root.parent().unwrap_or(root)
    }

    /// The quota of the cache.
    pub(super) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// What is done about content whose hash is not its version's id.
    pub(super) fn verify(&self) -> Verify {
        self.verify
    }

    /// The version, if it is on disk and may be shown. Its content may be evicted.
    pub(super) fn version(&self, key: &VersionKey) -> Option<Arc<Version>> {
        let found = self.on_disk(key);
        found.filter(|version| version.passes(self.verify))
    }

    /// The version, if it is on disk.
    pub(super) fn on_disk(&self, key: &VersionKey) -> Option<Arc<Version>> {
        // Called for every operation on a version: the path, a hash, is made once.
        let known = self.opened().get(key).cloned();
        if let Some(version) = known.filter(|version| version.was_current()) {
            return Some(version);
        }
        self.lose(key);
        let path = self.path(key);
        if !path.exists() {
            return None;
        }
        let version = match self.still_open(key) {
            Some(version) => version,
            None => Arc::new(Version::load(&path, key, &self.keepalive)?),
        };
        self.know(&version);
        self.lost.lock().pop(key);
        let mut opened = self.opened();
        opened.put(key.clone(), Arc::clone(&version));
        let loaded = |version: &Arc<Version>| version.loaded();
        let mut sum: u64 = opened.iter().map(|(_, version)| loaded(version)).sum();
        while sum > INDEXES && opened.len() > 1 {
            sum -= opened.pop_lru().map_or(0, |(_, version)| loaded(&version));
        }
        drop(opened);
        Some(version)
    }

    /// The version, if a reader has kept it open.
    fn still_open(&self, key: &VersionKey) -> Option<Arc<Version>> {
        let known = self.known.lock().get(key).and_then(Weak::upgrade);
        known.filter(|version| version.is_current() && !version.index().is_damaged())
    }

    /// Remembers a version for as long as a reader has it open.
    fn know(&self, version: &Arc<Version>) {
        let mut known = self.known.lock();
        if known.len() > 2 * OPEN.get() {
            known.retain(|_, one| one.strong_count() > 0);
        }
        known.insert(version.key().clone(), Arc::downgrade(version));
    }

    /// The version, if its content is on disk too. Counts as a use of it.
    pub(super) fn with_content(&self, key: &VersionKey) -> Option<Arc<Version>> {
        // Another process may have replaced it with a complete copy.
        let known = self.opened().peek(key).cloned();
        if known.is_some_and(|version| !version.is_current()) {
            self.lose(key);
        }
        let version = self.version(key).filter(|version| version.has_content())?;
        version.touch();
        Some(version)
    }

    /// The version whose numbers its nodes are to keep, if it has been known before.
    pub(super) fn numbered(&self, key: &VersionKey) -> Option<Arc<Version>> {
        let known = self.on_disk(key);
        known.or_else(|| self.lost.lock().get(key).cloned())
    }

    /// Closes a version that is not in its place any more, and keeps its numbers.
    fn lose(&self, key: &VersionKey) {
        let lost = self.opened().pop(key);
        if let Some(version) = lost {
            self.lost.lock().put(key.clone(), version);
        }
    }

    /// Removes what has come in parts of a version, where no more can come so: for the whole
    /// of it, which its own readers would leave no room for. Whether there was any.
    pub(super) fn make_way(&self, key: &VersionKey) -> bool {
        let is_stuck =
            |version: &Arc<Version>| version.present() == Present::Partly && !version.can_seek();
        let stuck = self.version(key).filter(is_stuck);
        stuck.is_some_and(|version| version.remove_content())
    }

    /// Removes what has come in parts of a version, to make room for other parts of it, unless
    /// another process has it open.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub(super) fn start_over(&self, version: &Version, progress: &Progress) -> Result<()> {
        let guard = self.quota.lock()?;
        let is_empty = version.start_over()?;
        drop(guard);
        match is_empty {
            true => self.prepare(version, progress),
            false => Ok(()),
        }
    }

    /// Takes note of a version that has been sealed; `unsynced` is its path if it must
    /// still be synced.
    pub(super) fn add(&self, key: &VersionKey, unsynced: Option<PathBuf>) {
        // An older copy without content may be open under this key.
        self.forget(key);
        self.syncer.sync_later(unsynced.into_iter().collect());
    }

    /// Closes a version, as far as no reader has it open.
    pub(super) fn forget(&self, key: &VersionKey) {
        self.opened().pop(key);
    }

    /// Closes the content that was used last: a fetch needs the space.
    pub(super) fn release(&self) {
        self.keepalive.release();
    }

    /// Notes a storage's name beside one of its versions. Does nothing if the version
    /// is not in the cache.
    pub(super) fn note_name(&self, key: &VersionKey, name: &str) {
        inventory::note_name(&self.path(key), name);
    }

    /// What the cache holds, read from disk. Takes the cache's lock.
    pub(super) fn usage(&self) -> Usage {
        self.quota.usage()
    }

    fn path(&self, key: &VersionKey) -> PathBuf {
        self.quota.versions().join(key.directory())
    }

    /// The versions that are open.
    pub(super) fn opened(&self) -> MutexGuard<'_, LruCache<VersionKey, Arc<Version>>> {
        self.open.lock()
    }
}
