//! The files of versions: what is on disk, what is being downloaded, and what the
//! cache holds.

mod transfers;

pub(crate) use transfers::Totals;
pub use transfers::UnderWay;

use crate::{
    api::types::StorageVersion,
    error::{Error, Result},
    progress::Progress,
    store::{
        AnswerStore, FetchRequest, Hold, Index, PartialVersion, Store, Usage, Version, VersionKey,
    },
    sync::Mutex,
    text::one_line,
    tree::{
        cache::{Cache, Lookup},
        fetch_key::{Need, Reader},
        node::VersionId,
    },
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use transfers::Transfers;
use url::Url;

/// Versions whose failures are remembered.
const FAILURES: (usize, usize) = (20_000, usize::MAX);

/// How long a measure of the cache stands. This mount measures after each of
/// its own downloads, so what is missed is what other mounts change.
const USAGE_TTL: Duration = Duration::from_secs(1);
/// Components of a path, and its characters, that the list of downloads shows; and the
/// entries of a directory in which it looks for a name.
const DEPTH: usize = 64;
const PATH: usize = 80;
const SEARCHED: usize = 50_000;

/// The files of a version.
pub(crate) enum Files {
    /// A version without files: an empty directory.
    None,
    /// A sealed version. Its content may be evicted; its tree is there.
    Sealed(Arc<Version>),
    /// A version whose archive is being read: the entries so far can be used.
    Partial(Arc<PartialVersion>),
}

/// The content of versions.
pub(crate) struct Content {
    store: Store,
    /// The API's origin, shared by all keys.
    origin: Arc<str>,
    transfers: Transfers,
    /// Why downloads have failed lately; those of hashes alone keep no read from its own.
    failures: Cache<(VersionId, bool), ()>,
    usage: Mutex<(Usage, Instant)>,
}

/// What else a download needs to know of its version.
pub(crate) struct Download<'a> {
    /// What the list of versions says, if it is known.
    pub(crate) declared: Option<&'a StorageVersion>,
    /// The path component of the storage's name, if it is known.
    pub(crate) name: Option<String>,
    /// Asks the API for a presigned URL.
    pub(crate) url: &'a (dyn Fn() -> Result<Url> + Sync),
    /// Called whenever part of the version can be used.
    pub(crate) arrived: &'a (dyn Fn() + Sync),
}

/// The name of a node in a directory of few enough entries.
fn name_in(index: &Index, dir: u32, node: u32) -> Option<Vec<u8>> {
    let count = index.child_count(dir);
    if count as usize > SEARCHED {
        return None;
    }
    let mut entries = (0..count).filter_map(|at| index.child_at(dir, at));
    let (name, _) = entries.find(|(_, child)| *child == node)?;
    Some(name.to_vec())
}

/// What a failure is of.
fn failed(version: &VersionId, need: &Need) -> (VersionId, bool) {
    (version.clone(), *need == Need::Hashes)
}

impl Content {
    /// The content of the versions of an API.
    pub(crate) fn new(store: Store, origin: Arc<str>) -> Self {
        Self {
            store,
            origin,
            transfers: Transfers::default(),
            failures: Cache::new(FAILURES),
            usage: Mutex::new((Usage::default(), Instant::now())),
        }
    }

    /// The directory of the cache.
    pub(crate) fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// The store's name for a version.
    pub(crate) fn key(&self, version: &VersionId) -> VersionKey {
        VersionKey {
            origin: self.origin.clone(),
            kind: version.kind.plural(),
            storage_id: version.storage.clone(),
            version_id: version.id.clone(),
        }
    }

    /// A version that is on disk; its content may be evicted.
    pub(crate) fn sealed(&self, version: &VersionId) -> Option<Arc<Version>> {
        self.store.version(&self.key(version))
    }

    /// Whether a version is on disk and only has to be proven to be shown.
    pub(crate) fn awaits_proof(&self, version: &VersionId) -> bool {
        self.store.awaits_proof(&self.key(version))
    }

    /// A version whose archive is being read.
    pub(crate) fn partial(&self, version: &VersionId) -> Option<Arc<PartialVersion>> {
        self.store.partial(&self.key(version))
    }

    /// The files of a version, where they are on disk or being downloaded.
    pub(crate) fn files(&self, version: &VersionId) -> Option<Files> {
        let key = self.key(version);
        if let Some(sealed) = self.store.version(&key) {
            return Some(Files::Sealed(sealed));
        }
        self.store.partial(&key).map(Files::Partial)
    }

    /// Why a download failed a moment ago, for a request that arrived at `since` and
    /// does not try again so soon.
    pub(crate) fn failure(
        &self,
        version: &VersionId,
        need: &Need,
        since: Instant,
    ) -> Option<Error> {
        match self.failures.get(&failed(version, need), since) {
            Lookup::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Why the last download of a version failed.
    pub(crate) fn last_failure(&self, version: &VersionId) -> Option<Error> {
        self.failures.last_failure(&failed(version, &Need::Open))
    }

    /// Notes that a download failed, and that none is to follow for `lasts`.
    pub(crate) fn fail(&self, version: &VersionId, need: &Need, error: &Error, lasts: Duration) {
        let now = Instant::now();
        let failed = failed(version, need);
        self.failures.fail(&failed, error.clone(), now, lasts);
    }

    /// Brings files of a version. The hold that this gives keeps the content from being
    /// evicted before the operations that waited for it have run.
    ///
    /// # Errors
    /// What the download fails with.
    pub(crate) fn fetch(
        &self,
        version: &VersionId,
        need: &Need,
        download: &Download<'_>,
        progress: &Progress,
    ) -> Result<Option<Hold>> {
        let asked = Instant::now();
        let request = FetchRequest {
            key: self.key(version),
            declared_size: download.declared.and_then(|row| row.size),
            declared_files: download.declared.and_then(|row| row.file_count),
            url: download.url,
            on_partial: download.arrived,
        };
        let listed = |fetch: &dyn Fn() -> Result<Arc<Version>>| {
            let title = transfers::title(version, download.name.clone());
            self.transfers.run(version, &title, progress, fetch)
        };
        let is_new = self.sealed(version).is_none();
        let known = self.store.known(&request.key, progress)?;
        let seekable = known.clone().filter(|known| known.can_seek());
        // Where another mount was faster, nothing is downloaded.
        let is_there = known.as_ref().is_some_and(|known| known.has_content());
        let all = || self.store.fetch(&request, progress);
        let named = known.filter(|_| is_new);
        let fetched = match (need, named, seekable) {
            // Its names have come from the fleet, or have been proven, and no file has been
            // opened yet.
            (Need::Open, Some(named), _) => Ok(named),
            (Need::Open, None, Some(_)) => self.store.open_files(&request, progress),
            (Need::Part(missing, Reader(file)), _, Some(_)) => {
                let fetch = || self.store.fetch_part(&request, missing, progress);
                match self.transfers.part(version, *file, progress, fetch) {
                    Ok(Some(fetched)) if self.store.is_worth_all(&fetched) => {
                        // The read that waited goes on meanwhile, and has what it needs.
                        (request.on_partial)();
                        listed(&all).or_else(|error| {
                            tracing::info!(%version, "the rest of it is not fetched: {error}");
                            Ok(fetched)
                        })
                    }
                    Ok(Some(fetched)) => Ok(fetched),
                    // It may have come meanwhile.
                    Ok(None) if self.sealed(version).is_some_and(|it| it.has_content()) => all(),
                    Ok(None) => listed(&all),
                    Err(error) => Err(error),
                }
            }
            (Need::Hashes, ..) => listed(&|| self.store.fetch_digests(&request, progress)),
            _ if is_there => all(),
            _ => listed(&all),
        }?;
        let hold = fetched.hold();
        if let Some(name) = &download.name {
            self.store.note_name(fetched.key(), name);
        }
        // Takes back earlier failures: of hashes too, which can be made of the content.
        let hashes = fetched.has_content().then_some(&Need::Hashes);
        for need in [need].into_iter().chain(hashes) {
            let failed = failed(version, need);
            self.failures.put(failed, (), asked, Duration::ZERO, 0);
        }
        Ok(hold)
    }

    /// Bytes so far and in all of the download of a version that is under way.
    pub(crate) fn transfer(&self, version: &VersionId) -> Option<(u64, Option<u64>)> {
        self.transfers.of(version)
    }

    /// Bytes that the downloads of a version have brought that run, or have ended well since
    /// then; `None` where there are none.
    pub(crate) fn brought(&self, version: &VersionId, since: Instant) -> Option<u64> {
        self.transfers.brought(version, since)
    }

    /// How many downloads there were, and how many bytes they brought.
    pub(crate) fn totals(&self) -> Totals {
        self.transfers.totals()
    }

    /// The downloads as a table. `name` knows the names of storages.
    pub(crate) fn table(&self, name: impl Fn(&VersionId) -> Option<String>) -> String {
        self.transfers
            .render(|version, file| self.title(version, file, &name))
    }

    /// The downloads that run.
    pub(crate) fn under_way(&self, name: impl Fn(&VersionId) -> Option<String>) -> Vec<UnderWay> {
        self.transfers
            .under_way(|version, file| self.title(version, file, &name))
    }

    /// A version, or a file of it where that is soon found, in a line of text.
    pub(crate) fn title(
        &self,
        version: &VersionId,
        file: Option<u32>,
        name: impl Fn(&VersionId) -> Option<String>,
    ) -> String {
        let title = transfers::title(version, name(version));
        match file.and_then(|file| self.path(version, file)) {
            Some(path) => format!("{title}/{path}"),
            None => title,
        }
    }

    /// The path of a file in its version, where that is known and is soon found: a node
    /// has no name but in its directory.
    fn path(&self, version: &VersionId, mut node: u32) -> Option<String> {
        let files = self.files(version)?;
        let mut names = Vec::new();
        for _ in 0..DEPTH {
            let parent = match &files {
                Files::None => return None,
                Files::Sealed(sealed) => sealed.index().node(node)?.parent,
                Files::Partial(partial) => partial.node(node)?.parent,
            };
            if parent == node {
                break;
            }
            let name = match &files {
                Files::None => return None,
                Files::Sealed(sealed) => name_in(sealed.index(), parent, node)?,
                Files::Partial(partial) => partial.name(node, SEARCHED)?,
            };
            names.push(String::from_utf8_lossy(&name).into_owned());
            node = parent;
        }
        names.reverse();
        Some(one_line(&names.join("/"), PATH))
    }

    /// Whether a download is under way that another process could only begin anew.
    pub(crate) fn begins_anew(&self) -> bool {
        self.store.begins_anew()
    }

    /// Measures how full the cache is, with the answers' share of it. This reads the disk
    /// and can wait.
    pub(crate) fn measure(&self, answers: &AnswerStore) {
        let at = Instant::now();
        let mut usage = self.store.usage();
        usage.bytes += answers.bytes();
        usage.ceiling += answers.budget();
        *self.usage.lock() = (usage, at);
    }

    /// How full the cache is, as last measured, and whether it is to be measured again.
    pub(crate) fn usage(&self) -> (Usage, bool) {
        let (usage, at) = *self.usage.lock();
        (usage, at.elapsed() >= USAGE_TTL)
    }
}
