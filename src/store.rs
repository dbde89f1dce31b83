//! Versions on disk: immutable, fetched whole, sealed by one rename.
//!
//! ```text
//! <cache>/v1/CACHEDIR.TAG
//!            lock                   held for every change of the accounts
//!            versions/<key>/        meta.json · tree · pack · blob-N · synced · name · pinned
//!            staging/<pid-random>/  a download at work, with <pid-random>.lock
//! ```
//!
//! Of files with holes only the pieces are stored, one after another (`holes`).
//!
//! Whatever is wrong in the cache reads as a miss: `tree` has checksums of
//! itself and of all content, against which every block is held when it is first
//! read (`content`, `index`). Several processes may share one directory.

mod cache;
mod checksums;
pub mod crash;
mod durability;
mod fetch;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod index;
mod limits;
mod meta;

pub use cache::{
    answers::Shelf,
    audit::Audit,
    content::Content,
    inventory::{Breakdown, Cleared, Inventory, Item},
    version::{Hold, Version},
};
pub use fetch::partial::{Growing, GrowingContent, Progressed};
pub use index::{
    holes::Seek,
    reader::{Index, Node, NodeKind},
};
pub use limits::Limits;
pub use meta::{Meta, Verified, Verify};

use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use cache::{
    inventory,
    keepalive::Linger,
    quota::{self, Room},
};
use crash::crash_point;
use durability::Syncer;
use fetch::{download::Downloader, staging::Staging, unpack};
use index::builder::Builder;
use lru::LruCache;
use std::{
    collections::HashMap,
    fs::{self, DirBuilder},
    io::{self, Read, Write},
    num::NonZeroUsize,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use url::Url;

/// Versions kept open: each costs one file descriptor, a large one two.
const OPEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Bytes that the indexes of open versions may take of the memory when one more
/// is opened: that of a million files takes 80 MB when all of it has been seen.
const INDEXES: u64 = 96 << 20;
/// Downloads of one version in one fetch: it starts over where the object
/// changed under it, or other mounts evict at once.
const STARTS: u32 = 3;
/// What tells backup tools to leave a cache alone (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # A cache of vm0fs. It may be removed while nothing is mounted.\n";

/// What a version is a version of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VersionKey {
    /// The API's origin: several may share one cache.
    pub origin: Arc<str>,
    /// `volumes` or `artifacts`.
    pub kind: &'static str,
    /// The volume's or artifact's id.
    pub storage_id: Arc<str>,
    /// The version's id.
    pub version_id: Arc<str>,
}

/// How a store works.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The cache directory, made where it is missing.
    pub dir: PathBuf,
    /// Bytes that it may have in all.
    pub ceiling: u64,
    /// What archives may be.
    pub limits: Limits,
    /// How long no byte may come before a download fails.
    pub timeout: Duration,
    /// `User-Agent` of downloads.
    pub user_agent: String,
    /// Whether presigned URLs may be plain `http://`.
    pub allow_http: bool,
}

/// What to fetch.
pub struct FetchRequest<'a> {
    /// The version.
    pub key: VersionKey,
    /// Bytes unpacked, as declared: a hint.
    pub declared_size: Option<u64>,
    /// Files, as declared: a hint.
    pub declared_files: Option<u64>,
    /// Asks the API for a presigned URL; asked again when one has expired.
    pub url: &'a (dyn Fn() -> Result<Url> + Sync),
    /// Called when there is more to find in [`Store::growing`], soon after the
    /// first entry, then at most every few milliseconds, and when the fetch
    /// has ended. From a thread that works on the archive: keep it short.
    pub arrived: &'a (dyn Fn() + Sync),
    /// What to do about the proof of content.
    pub verify: Verify,
}

/// What the cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes taken or reserved.
    pub bytes: u64,
    /// Bytes that it may have.
    pub ceiling: u64,
    /// Versions whose tree is there.
    pub versions: u64,
    /// Versions whose content is there too.
    pub with_content: u64,
}

/// The cache of versions.
pub struct Store {
    limits: Limits,
    room: Arc<Room>,
    downloader: Downloader,
    open: Mutex<LruCache<VersionKey, Arc<Version>>>,
    linger: Linger,
    growing: Mutex<HashMap<VersionKey, Arc<Growing>>>,
    syncer: Syncer,
}

impl Store {
    /// Opens the cache, makes it where it is missing, and removes what dead
    /// processes left.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::NoSpace`] where the directory cannot be made
    /// or used.
    pub fn open(config: StoreConfig) -> Result<Self> {
        let root = config.dir.join("v1");
        for dir in ["versions", "staging"] {
            make_directory(&root.join(dir))?;
        }
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists()
            && let Err(error) = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&tag)
                .and_then(|mut file| file.write_all(TAG.as_bytes()))
        {
            tracing::debug!(%error, "could not write CACHEDIR.TAG");
        }
        let room = Arc::new(Room::open(root, config.ceiling)?);
        let syncer = Syncer::default();
        for version in room.unsynced() {
            syncer.send(version);
        }
        Ok(Self {
            room,
            syncer,
            limits: config.limits,
            downloader: Downloader::new(config.timeout, config.user_agent, config.allow_http),
            open: Mutex::new(LruCache::new(OPEN)),
            linger: Linger::default(),
            growing: Mutex::default(),
        })
    }

    /// The version as far as it is on disk now, its content possibly evicted.
    /// Never asks the network.
    pub fn version(&self, key: &VersionKey) -> Option<Arc<Version>> {
        // For every operation on a version: the path, a hash, is made once.
        let known = self.opened().get(key).cloned();
        if let Some(version) = known.filter(|version| version.was_current()) {
            return Some(version);
        }
        self.opened().pop(key);
        let path = self.room.versions().join(key.directory());
        if !path.exists() {
            return None;
        }
        let version = Arc::new(Version::load(&path, key, &self.linger)?);
        let mut opened = self.opened();
        opened.put(key.clone(), Arc::clone(&version));
        let loaded = |version: &Arc<Version>| version.index().loaded();
        let mut sum: u64 = opened.iter().map(|(_, version)| loaded(version)).sum();
        while sum > INDEXES && opened.len() > 1 {
            sum -= opened.pop_lru().map_or(0, |(_, version)| loaded(&version));
        }
        drop(opened);
        Some(version)
    }

    /// The version with its content, downloaded where it is not there.
    /// Blocks, for as long as bytes come.
    ///
    /// # Errors
    /// [`Error::BadArchive`] and [`Error::Limit`] for what the archive is,
    /// [`Error::NoSpace`] where it does not fit, [`Error::Transport`],
    /// [`Error::Timeout`] and [`Error::BadAnswer`] for the way to it, and
    /// whatever `request.url` fails with.
    pub fn fetch(&self, request: &FetchRequest<'_>, progress: &Progress) -> Result<Arc<Version>> {
        let result = self.bring(request, progress);
        (request.arrived)();
        result
    }

    /// What has come so far of a version that this process fetches now.
    pub fn growing(&self, key: &VersionKey) -> Option<Arc<Growing>> {
        self.all_growing().get(key).cloned()
    }

    fn bring(&self, request: &FetchRequest<'_>, progress: &Progress) -> Result<Arc<Version>> {
        if let Some(version) = self.with_content(&request.key) {
            return Ok(version);
        }
        self.linger.let_go();
        let mut starts = 1;
        loop {
            let mut download = self.downloader.start(request.url, progress)?;
            let length = download.length()?;
            let result = self.take_in(request, &mut download, length, progress);
            let why = match result {
                Err(_) if download.changed() && starts < STARTS => "the archive changed",
                Err(error) => return Err(error),
                Ok(()) => match self.with_content(&request.key) {
                    Some(version) => return Ok(version),
                    // Another mount needed the room more, in that very moment.
                    None if starts < STARTS => "the version was evicted",
                    None => {
                        return Err(Error::NoSpace(format!(
                            "version {} is evicted by other mounts as soon as it is there; \
                             raise --cache-size",
                            request.key.version_id
                        )));
                    }
                },
            };
            starts += 1;
            tracing::info!(version = %request.key.version_id, "{why}; downloading it again");
        }
    }

    /// Unpacks an archive of `length` bytes, where that is known, and seals it.
    fn take_in(
        &self,
        request: &FetchRequest<'_>,
        source: impl Read + Send,
        length: Option<u64>,
        progress: &Progress,
    ) -> Result<()> {
        let mut source = Counted { source, bytes: 0 };
        let key = &request.key;
        // Whoever needed the disk may have removed the cache meanwhile.
        make_directory(&self.room.versions())?;
        make_directory(&self.room.staging())?;
        let mut staging = Staging::new(&self.room)?;
        let expected = request.declared_size.or(length).unwrap_or(0);
        staging.expect(expected, progress)?;
        crash_point("room-reserved");
        let growing = Arc::new(Growing::new(
            staging.directory()?,
            staging.create_pack()?,
            Builder::new(&self.limits),
        ));
        self.all_growing().insert(key.clone(), Arc::clone(&growing));
        let unpack = || self.unpack(request, &mut source, staging, &growing, progress);
        // What is left in the middle must not stay to be looked at.
        let result = catch_unwind(AssertUnwindSafe(unpack)).unwrap_or_else(|_| {
            let what = format!("unpacking version {} panicked", key.version_id);
            Err(Error::Internal(what))
        });
        // Another fetch of it may have begun meanwhile.
        self.all_growing()
            .retain(|_, known| !Arc::ptr_eq(known, &growing));
        if let Err(error) = &result {
            let opened = growing.fail(error.clone());
            if opened > 0 {
                tracing::warn!(
                    version = %key.version_id,
                    files = opened,
                    "files were opened before their archive turned out unusable: {error}"
                );
            }
        }
        result
    }

    fn unpack(
        &self,
        request: &FetchRequest<'_>,
        source: &mut Counted<impl Read + Send>,
        mut staging: Staging,
        growing: &Growing,
        progress: &Progress,
    ) -> Result<()> {
        let key = &request.key;
        let job = unpack::Job {
            key,
            limits: &self.limits,
            declared: request.declared_size,
            declared_files: request.declared_files,
            verify: request.verify,
            growing,
            arrived: request.arrived,
            progress,
        };
        let unpacked = unpack::unpack(&mut *source, &mut staging, &job)?;
        // Beside writing the tree: who waits for the listing waits for both.
        let verified = thread::scope(|scope| {
            let proof = scope.spawn(|| unpacked.prove(key, request.verify));
            staging.write_tree(&unpacked, progress)?;
            proof.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        let (file_count, bytes) = unpacked.tree.files();
        let meta = Meta {
            origin: key.origin.to_string(),
            kind: key.kind.to_string(),
            storage_id: key.storage_id.to_string(),
            version_id: key.version_id.to_string(),
            file_count,
            bytes,
            declared_size: request.declared_size,
            declared_files: request.declared_files,
            sealed_at: jiff::Timestamp::now(),
            content_bytes: unpacked.packed.content,
            tree_bytes: unpacked.tree.file_length(&unpacked.packed),
            archive_bytes: source.bytes,
            verified,
            skipped: unpacked.skipped,
            omitted: unpacked.omitted.clone(),
            boot: durability::boot().map(str::to_string),
        };
        let sealed = staging.seal(key, &meta, progress)?;
        // One without content may be open under this key.
        self.opened().pop(key);
        if let Some(version) = sealed {
            self.syncer.send(version);
        }
        Ok(())
    }

    /// The cache directory that it was opened with.
    pub fn dir(&self) -> &Path {
        let root = self.room.root();
        root.parent().unwrap_or(root)
    }

    /// Notes a storage's name beside one of its versions, for those who look
    /// at the cache without a mount. Does nothing where the version is not there.
    pub fn note_name(&self, key: &VersionKey, name: &str) {
        inventory::note_name(&self.room.versions().join(key.directory()), name);
    }

    fn with_content(&self, key: &VersionKey) -> Option<Arc<Version>> {
        // Just now another may have taken its place, which has what it has not.
        let mut opened = self.opened();
        if opened
            .peek(key)
            .is_some_and(|version| !version.is_current())
        {
            opened.pop(key);
        }
        drop(opened);
        let version = self.version(key).filter(|version| version.has_content())?;
        version.touch();
        Some(version)
    }

    /// What the cache holds now, by a look at the disk. Takes the cache's lock,
    /// which another process may hold: for a worker, not for the event loop.
    pub fn usage(&self) -> Usage {
        // Under the lock, so that no version counts twice while it is sealed.
        let accounts = self.room.lock();
        let held = self.room.held().unwrap_or_default();
        let reserved = match accounts {
            Ok(_) => self.room.reservations("").unwrap_or(0),
            Err(_) => 0,
        };
        Usage {
            bytes: held.iter().map(quota::Held::bytes).sum::<u64>() + reserved,
            ceiling: self.room.ceiling,
            versions: held.len() as u64,
            with_content: held.iter().filter(|held| held.content > 0).count() as u64,
        }
    }

    fn all_growing(&self) -> MutexGuard<'_, HashMap<VersionKey, Arc<Growing>>> {
        self.growing.lock()
    }

    fn opened(&self) -> MutexGuard<'_, LruCache<VersionKey, Arc<Version>>> {
        self.open.lock()
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format!("making {}", path.display()), error))
}

#[cfg(test)]
mod tests;
