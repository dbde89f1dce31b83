//! Versions on disk: immutable, sealed by one rename; content that has been evicted comes
//! back in parts.
//!
//! ```text
//! <cache>/v1/CACHEDIR.TAG
//!            lock                   held for every change of the accounts
//!            versions/<key>/        meta.json · tree (the index) · seek · pack · blob-N · present · synced ·
//!                                   name · pinned · proven
//!            staging/<pid-random>/  a fetch at work, with <pid-random>.lock, or one that was
//!                                   left and can be gone on with: it has a journal
//!            answers/               what the API has answered
//! ```
//!
//! Four rooms over leaves, each of which imports only those behind it:
//!
//! ```text
//! fetch → cache → seek → index → { key, limits, meta, checksums, files, content_lock, durability, crash }
//! ```
//!
//! - `index`: what is in a version. Built entry by entry while an archive is unpacked,
//!   written once, and read in chunks ever after. Another archive of the version, whose
//!   entries come in another order, gets the numbers of the first (`renumber`), where that
//!   is known; `Version::numbers` tells one that has other numbers.
//! - `seek`: how a part of a version is read from its archive without the rest. Made
//!   while an archive is unpacked.
//! - `cache`: the sealed versions. Opens, reads and checks them, counts what they take,
//!   and evicts them; `partly` and `presence` take in content that comes in parts. Beside
//!   them, the API's answers.
//! - `fetch`: one version on its way in. `download` gives the archive's bytes in order,
//!   `unpack` makes entries of them, `packer` and `staging` write them, and `partial`
//!   shows what has come so far. Of a version whose seek index is there, `fill` brings
//!   what reads miss, in `runs` if it is all of it; `exchange` brings such indexes from
//!   the fleet, and the `hashes` that they lack when a process asks for one. One thread
//!   downloads a version at a time (`turns`). A `journal` has what it takes to go on with a
//!   fetch that was `left`: it enters the archive at the last point, and unpacks again what
//!   is on disk, of a tar stream that is made of that (`skeleton`, `replay`).
//!
//! Three layers see to it that nothing is fetched twice at the same time, since equal needs are
//! told by different things:
//!
//! - [`pending`](crate::pending) runs one fetch for all requests of the kernel with equal
//!   [`FetchKey`](crate::tree::FetchKey)s. A version has several keys: its names, a part of its
//!   content, all of it, its hashes. Fetches of different keys run side by side.
//! - `fetch/turns` goes by version. Several of these needs can each take a download of the whole
//!   archive, or a lookup in the shared cache: one thread does that, and the others find what it
//!   has brought when they get their turn.
//! - `fetch/fill/state` goes by span. Reads of different parts take no turns, since they
//!   fetch different ranges; those that meet in a span wait for the one fetch of it. A read also
//!   waits for a span that a fetch of the rest of the version has at work, and that fetch leaves
//!   out the spans that reads have at work.
//!   A read that finds no room takes a turn after all: it waits until it has the version alone,
//!   and makes room by the other parts of it. So reads of a version larger than the cache take
//!   its room one after another.
//!
//! Of files with holes only the pieces are stored, one after another (`index/holes`).
//!
//! A fault in the cache reads as a miss: the index has checksums of
//! itself and of all content, against which every block is held when it is first
//! read (`cache/content`, `index/reader`). Several processes may share one directory.

mod cache;
mod checksums;
mod content_lock;
pub mod crash;
mod durability;
mod fetch;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod index;
mod key;
mod limits;
mod meta;
mod seek;

pub use cache::{
    AnswerStore, Audit, Breakdown, CachedVersion, Cleared, Content, Hold, Inventory, Missing,
    Present, Usage, Version,
};
pub use fetch::{FetchRequest, PartialFile, PartialRead, PartialVersion};
pub use index::{Index, Node, NodeKind, Seek};
pub use key::VersionKey;
pub use limits::Limits;
pub use meta::{Meta, Verified, Verify};

use crate::{error::Result, progress::Progress, shared::SharedCache};
use cache::Cache;
use fetch::{Fetcher, download::Downloader};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

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
    /// What is done about content whose hash is not its version's id.
    pub verify: Verify,
}

/// The cache of versions, and the way into it.
pub struct Store {
    cache: Cache,
    fetcher: Fetcher,
}

impl Store {
    /// Opens the cache, makes it where it is missing, and removes what dead
    /// processes left.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) or
    /// [`Error::NoSpace`](crate::error::Error::NoSpace) where the directory cannot be
    /// made or used.
    pub fn open(config: StoreConfig) -> Result<Self> {
        let downloader = Downloader::new(config.timeout, config.user_agent, config.allow_http);
        Ok(Self {
            cache: Cache::open(&config.dir, config.ceiling, config.verify)?,
            fetcher: Fetcher::new(config.limits, downloader),
        })
    }

    /// The same store, which exchanges the indexes of versions with a fleet.
    pub fn sharing(mut self, shared: Option<Arc<SharedCache>>) -> Self {
        self.fetcher.share(shared);
        self
    }

    /// The version as far as it is on disk now, its content possibly evicted.
    /// Never asks the network.
    pub fn version(&self, key: &VersionKey) -> Option<Arc<Version>> {
        self.cache.version(key)
    }

    /// Whether the version is on disk and is shown once [`Self::known`] has proven it, as
    /// `--verify strict` wants.
    pub fn awaits_proof(&self, key: &VersionKey) -> bool {
        let found = self.cache.on_disk(key);
        found.is_some_and(|found| found.awaits_proof(self.cache.verify()))
    }

    /// The version as far as it is known here or to the fleet, its content possibly not on
    /// disk. Asks the shared cache, where there is one, and proves what is not shown before
    /// that: the fetches below do not, so this comes before them.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io) and
    /// [`Error::NoSpace`](crate::error::Error::NoSpace) where the cache cannot take what
    /// is known.
    pub fn known(&self, key: &VersionKey, progress: &Progress) -> Result<Option<Arc<Version>>> {
        self.fetcher.known(&self.cache, key, progress)
    }

    /// The version with its content, downloaded where it is not there.
    /// Blocks, for as long as bytes come.
    ///
    /// # Errors
    /// [`Error::BadArchive`](crate::error::Error::BadArchive) and
    /// [`Error::Limit`](crate::error::Error::Limit) for what the archive is,
    /// [`Error::NoSpace`](crate::error::Error::NoSpace) where it does not fit,
    /// [`Error::Transport`](crate::error::Error::Transport),
    /// [`Error::Timeout`](crate::error::Error::Timeout) and
    /// [`Error::BadAnswer`](crate::error::Error::BadAnswer) for the way to it, and
    /// what `request.url` fails with.
    pub fn fetch(&self, request: &FetchRequest<'_>, progress: &Progress) -> Result<Arc<Version>> {
        self.fetcher.fetch(&self.cache, request, progress)
    }

    /// The version such that its files can be opened: where its content can come in parts,
    /// nothing is downloaded before it is read. Blocks.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub fn open_files(
        &self,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        self.fetcher.open(&self.cache, request, progress)
    }

    /// The version with what a read was missing ([`Content::missing`]); `None` where that does
    /// not come in parts, and [`Self::fetch`] is to bring all. Blocks, for as long as bytes
    /// come.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub fn fetch_part(
        &self,
        request: &FetchRequest<'_>,
        missing: &Missing,
        progress: &Progress,
    ) -> Result<Option<Arc<Version>>> {
        self.fetcher
            .fetch_part(&self.cache, request, missing, progress)
    }

    /// The version with the digests of its files, which the index of another machine lacks.
    /// Blocks, for as long as bytes come.
    ///
    /// # Errors
    /// Those of [`Self::fetch`].
    pub fn fetch_digests(
        &self,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        self.fetcher.fetch_digests(&self.cache, request, progress)
    }

    /// Whether so much of a version has been fetched in parts that the rest is worth
    /// fetching too.
    pub fn is_worth_all(&self, version: &Version) -> bool {
        self.fetcher.is_worth_all(&self.cache, version)
    }

    /// What has come so far of a version that this process fetches now.
    pub fn partial(&self, key: &VersionKey) -> Option<Arc<PartialVersion>> {
        self.fetcher.partial(key)
    }

    /// Whether a download is under way that another process could only begin anew: one of
    /// an object that cannot be told from a later one, or read in parts.
    pub fn begins_anew(&self) -> bool {
        self.fetcher.begins_anew()
    }

    /// The cache directory that it was opened with.
    pub fn dir(&self) -> &Path {
        self.cache.dir()
    }

    /// Notes a storage's name beside one of its versions, for the commands that look
    /// at the cache without a mount. Does nothing where the version is not there.
    pub fn note_name(&self, key: &VersionKey, name: &str) {
        self.cache.note_name(key, name);
    }

    /// What the cache holds now, by a look at the disk. Takes the cache's lock,
    /// which another process may hold: for a worker, not for the event loop.
    pub fn usage(&self) -> Usage {
        self.cache.usage()
    }
}

#[cfg(test)]
mod tests;
