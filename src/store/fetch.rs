//! Fetches versions: downloads an archive from its presigned URL, unpacks it, and
//! publishes it in the cache by one rename.

pub(super) mod download;
pub(super) mod exchange;
mod fill;
mod hashes;
mod incoming;
mod journal;
mod left;
mod links;
mod pack;
pub(super) mod packer;
mod partial;
mod replay;
mod request;
mod runs;
mod skeleton;
pub(super) mod staging;
mod turns;
mod unpack;

pub(super) use incoming::Incoming;
pub use partial::{PartialFile, PartialRead, PartialVersion};
pub use request::FetchRequest;

use super::{
    cache::{Cache, Missing, Present, Proof, Version, Written},
    crash::crash_point,
    durability,
    index::Builder,
    key::VersionKey,
    limits::Limits,
    meta::{Meta, Verified},
    seek::Archive,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    shared::SharedCache,
    sync::Mutex,
    threads,
};
use download::Downloader;
use exchange::Exchange;
use fill::{Filled, Filler, Fills};
use incoming::Counted;
use left::Left;
use staging::Staging;
use std::{
    collections::HashMap,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    thread,
};
use turns::{Turn, Turns};
use unpack::Job;

/// Maximum number of downloads of one version in one fetch: it starts over if the object
/// has changed meanwhile, or if other mounts evict the version at once.
const STARTS: u32 = 3;

/// Fetches versions into a cache.
pub(super) struct Fetcher {
    limits: Limits,
    downloader: Downloader,
    partial: Mutex<HashMap<VersionKey, Arc<PartialVersion>>>,
    fills: Fills,
    exchange: Exchange,
    turns: Turns,
}

impl Fetcher {
    pub(super) fn new(limits: Limits, downloader: Downloader) -> Self {
        Self {
            limits,
            downloader,
            partial: Mutex::default(),
            fills: Fills::new(),
            exchange: Exchange(None),
            turns: Turns::default(),
        }
    }

    /// For tests that change the sizes of parts.
    #[cfg(test)]
    pub(super) fn downloader(&mut self) -> &mut Downloader {
        &mut self.downloader
    }

    /// Exchanges indexes with a fleet from now on.
    pub(super) fn share(&mut self, shared: Option<Arc<SharedCache>>) {
        self.exchange = Exchange(shared);
    }

    /// What has come so far of a version that this process fetches now. It is not shown where
    /// it has other numbers than the version has had: the archive has been made anew.
    pub(super) fn partial(&self, key: &VersionKey) -> Option<Arc<PartialVersion>> {
        let partial = self.partial.lock().get(key).cloned();
        partial.filter(|partial| partial.agrees())
    }

    /// The version with its content, downloaded if the cache does not have it.
    ///
    /// # Errors
    /// Those of [`Store::fetch`](super::Store::fetch).
    pub(super) fn fetch(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        let brought = self.bring(cache, request, progress);
        let result = brought.inspect_err(|_| self.fills.has_failed(&request.key));
        (request.on_partial)();
        result
    }

    /// The version such that its files can be opened: without a download where its content
    /// can come in parts.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub(super) fn open(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        match self.seekable(cache, &request.key, progress)? {
            Some(version) => Ok(version),
            None => self.fetch(cache, request, progress),
        }
    }

    /// The version with what a read misses; `None` where it cannot come in parts.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub(super) fn fetch_part(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        missing: &Missing,
        progress: &Progress,
    ) -> Result<Option<Arc<Version>>> {
        if let Some(version) = self.seekable(cache, &request.key, progress)? {
            let filler = self.filler(cache, &version, request, progress);
            if let Filled::Yes = filler.part(missing)? {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Whether so much of a version has been fetched in parts that the rest is worth
    /// fetching too.
    pub(super) fn is_worth_all(&self, cache: &Cache, version: &Version) -> bool {
        self.fills.is_worth_all(version, cache.quota().ceiling())
    }

    /// Whether a download is under way that another process could only begin anew.
    pub(super) fn begins_anew(&self) -> bool {
        self.turns.begins_anew()
    }

    /// The version as far as it is known: one that was unpacked here before, or by another
    /// machine of the fleet.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where the cache cannot take what is known.
    pub(super) fn known(
        &self,
        cache: &Cache,
        key: &VersionKey,
        progress: &Progress,
    ) -> Result<Option<Arc<Version>>> {
        if let Some(version) = cache.version(key) {
            return Ok(Some(version));
        }
        let _turn = self.turns.take(key, progress);
        self.exchange.prove(cache, key, progress);
        if cache.on_disk(key).is_none() && self.exchange.take(cache, key, progress)? {
            self.exchange.prove(cache, key, progress);
        }
        Ok(cache.version(key))
    }

    /// A version whose content can come in parts. The fleet is not asked again for it.
    fn seekable(
        &self,
        cache: &Cache,
        key: &VersionKey,
        progress: &Progress,
    ) -> Result<Option<Arc<Version>>> {
        let Some(version) = cache.version(key).filter(|version| version.can_seek()) else {
            return Ok(None);
        };
        if version.present() == Present::None {
            self.fills.has_gone(key);
        }
        cache.prepare(&version, progress)?;
        Ok(Some(version))
    }

    fn filler<'a>(
        &'a self,
        cache: &'a Cache,
        version: &'a Version,
        request: &'a FetchRequest<'_>,
        progress: &'a Progress,
    ) -> Filler<'a> {
        Filler {
            downloader: &self.downloader,
            fills: &self.fills,
            exchange: &self.exchange,
            cache,
            version,
            request,
            progress,
        }
    }

    fn bring(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        if let Some(version) = cache.with_content(&request.key) {
            return Ok(version);
        }
        if let Some(version) = self.seekable(cache, &request.key, progress)? {
            let filler = self.filler(cache, &version, request, progress);
            if let Filled::Yes = filler.whole()?
                && version.has_content()
            {
                return Ok(version);
            }
        }
        // Another thread may download it for another need.
        let turn = self.turns.take(&request.key, progress);
        if let Some(version) = cache.with_content(&request.key) {
            return Ok(version);
        }
        cache.release();
        let mut left = Left::find(cache.quota(), &request.key)?;
        let mut starts = 1;
        loop {
            let is_left = left.is_some();
            let why = match self.attempt(cache, request, left.take(), &turn, progress) {
                Err(Stopped::Again(why, _)) if is_left || starts < STARTS => why,
                Err(Stopped::Again(_, error)) => return Err(error),
                Err(Stopped::Failed(Error::NoSpace(_))) if cache.make_way(&request.key) => {
                    "what had come of it in parts has made room"
                }
                Err(Stopped::Failed(error)) => return Err(error),
                Ok(written) => match cache.with_content(&request.key) {
                    Some(version) => {
                        if let Some(written) = written {
                            version.know_written(written);
                        }
                        self.exchange.offer(&version);
                        return Ok(version);
                    }
                    // Another mount needed the space in that very moment.
                    None if starts < STARTS => "the version was evicted",
                    None => return Err(request.is_evicted()),
                },
            };
            starts += u32::from(!is_left);
            tracing::info!(version = %request.key.version_id, "{why}; downloading it again");
        }
    }

    /// Downloads an archive, unpacks it and seals it; all of it, or what is missing of a
    /// fetch that was left. One whose download fails is left.
    fn attempt(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        left: Option<(Staging, Left)>,
        turn: &Turn<'_>,
        progress: &Progress,
    ) -> Result<Option<Written>, Stopped> {
        let is_left = left.is_some();
        let (mut staging, left) = left.unzip();
        let mut download = match &left {
            None => self.downloader.start(request.url, progress),
            Some(left) => {
                let (object, from) = (left.object.clone(), left.start.input());
                let bytes = from..object.length.unwrap_or(from);
                progress.expect(progress.bytes() + (bytes.end - bytes.start));
                let version = &request.key.version_id;
                tracing::info!(%version, "going on with its download at byte {from}");
                let sizes = &self.downloader.sizes;
                self.downloader
                    .range(request.url, object, bytes, sizes, progress)
            }
        }?;
        let result = download.length().and_then(|length| {
            let object = download.object();
            let staging = match &mut staging {
                Some(staging) => staging,
                none => {
                    let new = none.insert(Staging::new(cache.quota())?);
                    if let Some(object) = object.as_ref().filter(|object| object.ranges) {
                        new.begin_journal(&request.key, object);
                    }
                    new
                }
            };
            turn.begins_anew(staging.journal().is_none());
            let archive = Incoming {
                etag: object.and_then(|object| object.etag),
                length,
                source: &mut download,
            };
            self.unpack(cache, request, archive, staging, left, progress)
        });
        let error = match result {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        if download.changed() {
            return Err(Stopped::Again("the archive changed", error));
        }
        if is_left && download.lacks_ranges() {
            return Err(Stopped::Again("the object store sends no ranges", error));
        }
        if let Some(staging) = staging.filter(|_| download.has_failed()) {
            staging.leave();
        } else if is_left && !matches!(error, Error::NoSpace(_)) {
            return Err(Stopped::Again(
                "what was unpacked before is of no use",
                error,
            ));
        }
        Err(error.into())
    }

    /// Takes in an archive that is not downloaded.
    #[cfg(any(test, fuzzing))]
    pub(super) fn take_in(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        archive: Incoming<impl Read + Send>,
        progress: &Progress,
    ) -> Result<Option<Written>> {
        let mut staging = Staging::new(cache.quota())?;
        self.unpack(cache, request, archive, &mut staging, None, progress)
    }

    /// Unpacks an archive and seals it; what it wrote, where that is known.
    fn unpack(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        archive: Incoming<impl Read + Send>,
        staging: &mut Staging,
        left: Option<Left>,
        progress: &Progress,
    ) -> Result<Option<Written>> {
        let expected = request.declared_size.or(archive.length).unwrap_or(0);
        staging.expect(expected, progress)?;
        crash_point("room-reserved");
        let key = &request.key;
        let partial = Arc::new(PartialVersion::new(
            staging.directory()?,
            staging.create_pack()?,
            Builder::new(&self.limits),
            cache.numbered(key),
        ));
        self.partial
            .lock()
            .insert(key.clone(), Arc::clone(&partial));
        let seal = || self.seal(cache, request, archive, (staging, left), &partial, progress);
        // After a panic, the partial version must not stay readable.
        let result = catch_unwind(AssertUnwindSafe(seal)).unwrap_or_else(|_| {
            let what = format!("unpacking version {} panicked", key.version_id);
            Err(Error::Internal(what))
        });
        // Another fetch of the version may have begun meanwhile.
        self.partial
            .lock()
            .retain(|_, known| !Arc::ptr_eq(known, &partial));
        if let Err(error) = &result {
            let opened = partial.fail(error.clone());
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

    fn seal(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        archive: Incoming<impl Read + Send>,
        (staging, left): (&mut Staging, Option<Left>),
        partial: &PartialVersion,
        progress: &Progress,
    ) -> Result<Option<Written>> {
        let key = &request.key;
        let left = left.map(|left| (left.start, left.replay));
        let is_written = left.is_none();
        let mut source = Counted {
            source: archive.source,
            bytes: left.as_ref().map_or(0, |(start, _)| start.input()),
        };
        let job = Job {
            request,
            verify: cache.verify(),
            limits: &self.limits,
            partial,
            progress,
        };
        let (mut unpacked, draft) = unpack::unpack(&mut source, staging, left, &job)?;
        let known = cache.numbered(key);
        let has_numbers = match &known {
            Some(known) => unpacked.number_as(known.index(), &job)?,
            None => true,
        };
        let unpacked = unpacked;
        // At the same time as the index is written: a listing waits for both.
        let prove = || unpacked.prove(key, cache.verify());
        let (verified, seek_bytes) = thread::scope(|scope| {
            // Without a thread, after the index.
            let proof = threads::start_scoped(scope, "vm0fs-prove", prove).ok();
            let tree = staging.write_index(&unpacked.records, &unpacked.packed, progress)?;
            if has_numbers {
                partial.become_sealed(&tree);
            }
            let archive = Archive {
                length: archive.length.unwrap_or(source.bytes),
                etag: archive.etag,
            };
            let seek = draft.encode(archive, &tree);
            let seek = seek.map_or(0, |bytes| staging.write_seek(&bytes, progress));
            let verified = match proof {
                Some(proof) => proof.join().unwrap_or_else(|panic| resume_unwind(panic)),
                None => prove(),
            };
            verified.map(|verified| (verified, seek))
        })?;
        let (file_count, bytes) = unpacked.records.files();
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
            tree_bytes: unpacked.records.file_length(&unpacked.packed),
            seek_bytes,
            archive_bytes: source.bytes,
            numbers: known.map(|known| known.numbers().to_owned()),
            verified,
            skipped: unpacked.skipped,
            omitted: unpacked.omitted.clone(),
            boot: durability::boot().map(str::to_string),
        };
        if verified == Verified::NotApplicable && Proof::new(key, cache.verify()).applies() {
            Proof::note(&staging.directory()?, true);
        }
        let unsynced = staging.seal(key, &meta, cache.verify(), progress)?;
        cache.add(key, unsynced);
        // What an earlier fetch has left has been read, not written.
        Ok(unpacked.written.filter(|_| is_written))
    }
}

/// Why a download has not brought a version.
enum Stopped {
    /// It must begin again: why, and what to fail with where that is not to be.
    Again(&'static str, Error),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
