//! Fills in content of versions whose seek index is known: for a read the range of the
//! archive that it needs, for a whole version (`whole`) several ranges at once.

mod part;
mod paused;
mod state;
mod whole;

use super::{
    download::{Downloader, Object, Sizes},
    exchange::Exchange,
    links::Links,
    request::FetchRequest,
    runs::input,
};
use crate::store::cache::{Cache, Missing, OVERHEAD, PATIENCE, Partly, Version};
use crate::store::{
    key::VersionKey,
    seek::{SeekIndex, SpanReader},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use lru::LruCache;
use part::Part;
use paused::{PausedReaders, Resumed};
use state::{Alone, Fill, State, Work};
use std::{
    io::{self, Read},
    num::NonZeroUsize,
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// A version is filled whole once this share of its archive, and so many bytes more, have
/// been fetched for single reads: what they fetch twice stays below a fifth of it.
const SHARE: u64 = 8;
const LEAST: u64 = 1 << 20;
/// Archives up to this size come whole: that takes hardly longer than a part.
const SMALL: u64 = 256 << 10;
/// Threads that fill whole versions, at most, beside the one of each fetch.
const SPARE: usize = 10;
/// Versions that are remembered, with their links.
const KNOWN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// How long a version is not fetched whole by itself after that has failed.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a part waits for room: not while other threads fetch too; then, alone, longer than
/// content stays open after its last use; and once the other parts of its version are removed.
const PATIENCES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), PATIENCE];
/// How often a part is fetched before the seek index counts as wrong.
const TRIES: u32 = 2;
/// How often readers are told that more has come.
const TELL: Duration = Duration::from_millis(4);
/// Bytes that are inflated at once: with fewer, inflating is slower, since the newest 32 KiB
/// are copied each time.
const CHUNK: usize = 256 << 10;

/// The versions whose content comes in parts.
pub(super) struct Fills {
    known: Mutex<LruCache<VersionKey, Arc<Fill>>>,
    links: Links,
    paused: PausedReaders,
    /// How many threads may yet be started.
    spare: Semaphore,
}

/// How a fetch in parts can end.
pub(super) enum Filled {
    /// What was asked for is on disk.
    Yes,
    /// The archive cannot be read in parts: it is to be fetched whole.
    Cannot,
}

impl Fills {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(LruCache::new(KNOWN)),
            links: Links::new(KNOWN),
            paused: PausedReaders::default(),
            spare: Semaphore::new(SPARE),
        }
    }

    /// Whether so much has been fetched for single reads that all is to be fetched, and is
    /// not being fetched. Not of a version that is larger than a cache of so many bytes, and
    /// not soon after that has failed.
    pub(super) fn is_worth_all(&self, version: &Version, ceiling: u64) -> bool {
        let meta = version.meta();
        let sizes = [meta.content_bytes, meta.tree_bytes, meta.seek_bytes];
        if sizes.into_iter().fold(OVERHEAD, u64::saturating_add) > ceiling {
            return false;
        }
        let fill = self.of(version.key());
        let state = fill.state.lock();
        let is_paused = state.failed.is_some_and(|then| then.elapsed() < PAUSE);
        let (fetched, is_filling) = (state.fetched, state.is_filling);
        drop(state);
        let is_enough = |seek: Arc<SeekIndex>| fetched > seek.archive().length / SHARE + LEAST;
        !is_filling && !is_paused && version.seek().is_some_and(is_enough)
    }

    /// Notes that the fetch of a whole version has failed.
    pub(super) fn has_failed(&self, key: &VersionKey) {
        self.of(key).state.lock().failed = Some(Instant::now());
    }

    /// Notes that all that had come of a version has gone.
    pub(super) fn has_gone(&self, key: &VersionKey) {
        self.of(key).state.lock().forget();
    }

    fn of(&self, key: &VersionKey) -> Arc<Fill> {
        let mut known = self.known.lock();
        Arc::clone(known.get_or_insert(key.clone(), Arc::default))
    }
}

/// One fetch at work on a version.
pub(super) struct Filler<'a> {
    pub(super) downloader: &'a Downloader,
    pub(super) fills: &'a Fills,
    pub(super) exchange: &'a Exchange,
    pub(super) cache: &'a Cache,
    pub(super) version: &'a Version,
    pub(super) request: &'a FetchRequest<'a>,
    pub(super) progress: &'a Progress,
}

impl Filler<'_> {
    /// Brings what a read misses, and more where a reader goes on from what it has read.
    ///
    /// # Errors
    /// What the download fails with, and [`Error::NoSpace`].
    pub(super) fn part(&self, missing: &Missing) -> Result<Filled> {
        let seek = self.version.seek();
        if seek.is_some_and(|seek| seek.archive().length <= SMALL) {
            return self.whole();
        }
        let fill = self.fills.of(&self.request.key);
        let (mut tries, mut tried, mut is_gone) = (0, None, false);
        let (mut alone, mut shortages) = (None, 0);
        let wait = || Alone::wait(&fill, || self.progress.advance(0));
        loop {
            if shortages > 0 {
                alone.get_or_insert_with(wait);
            }
            // Under the lock: the fetch of another thread may end at any moment, and what it
            // brought is on disk then. No read removes what has come meanwhile.
            let mut state = fill.state.lock();
            if alone.is_none() && state.is_alone {
                self.wait(&fill, state);
                continue;
            }
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                drop(state);
                if is_gone {
                    break;
                }
                // Another process may have evicted it.
                self.cache.prepare(self.version, self.progress)?;
                is_gone = true;
                continue;
            };
            is_gone = false;
            if partly.has(missing) {
                return Ok(Filled::Yes);
            }
            let seek = Arc::clone(partly.seek());
            let part = Part::of(&seek, missing);
            if alone.is_none() && state.is_busy(&seek, &part) {
                self.wait(&fill, state);
                continue;
            }
            // What was brought into content that has been removed says nothing of the index.
            let content = partly.content();
            if tried.as_ref().is_none_or(|one| !Arc::ptr_eq(one, &content)) {
                (tries, tried) = (0, Some(content));
            }
            if tries == TRIES {
                // What the index promised has not come.
                drop(state);
                self.drop_seek();
                break;
            }
            tries += 1;
            // Under the same lock: no other read begins to fetch the same spans.
            let start = |tar| {
                let plan = state.plan(&seek, tar, &part, tries > 1, shortages > 0);
                // One in a later span would leave out what lies before that.
                let first = seek.output(plan.spans.start);
                let within = first.start..first.end.min(plan.to);
                let resumed = self.fills.paused.take(&self.request.key, &seek, within);
                Fetch {
                    resumed: resumed.filter(|_| tries == 1),
                    work: Work::start(&fill, &mut state, plan.spans),
                    to: plan.to,
                }
            };
            let mut fetches: Vec<_> = part.ranges.iter().map(start).collect();
            drop(state);
            let mut brought = self.charge(&mut fetches, &partly, PATIENCES[shortages]);
            if brought.is_ok() {
                alone = None;
                brought = self.fetch_each(&mut fetches, &mut partly);
            }
            match brought {
                // Looked at before the fetches end: no other read has removed it yet.
                Ok(Filled::Yes) if partly.has(missing) => return Ok(Filled::Yes),
                Ok(Filled::Yes) => {}
                Err(Error::NoSpace(_)) if shortages + 1 < PATIENCES.len() => {
                    // Its other parts can be all that could make way, and they are locked.
                    drop((fetches, partly));
                    (tried, shortages) = (None, shortages + 1);
                    if shortages + 1 == PATIENCES.len() {
                        alone.get_or_insert_with(wait);
                        self.empty(&fill)?;
                    }
                }
                ended => return ended,
            }
        }
        Ok(Filled::Cannot)
    }

    /// Waits a moment for what another thread has at work.
    fn wait(&self, fill: &Fill, state: MutexGuard<'_, State>) {
        drop(fill.wait(state));
        self.progress.advance(0);
    }

    /// Makes room for a part by the other parts of its version, once what waited for them has
    /// run. The caller has the version alone.
    fn empty(&self, fill: &Fill) -> Result<()> {
        let started = Instant::now();
        while self.version.is_held() && started.elapsed() < PATIENCE {
            self.progress.advance(0);
            thread::sleep(TELL);
        }
        fill.state.lock().forget();
        self.fills.paused.forget(&self.request.key);
        self.cache.start_over(self.version, self.progress)
    }

    /// Has the quota count what fetches are to bring, beside what others have at work.
    fn charge(
        &self,
        fetches: &mut [Fetch<'_>],
        partly: &Partly<'_>,
        patience: Duration,
    ) -> Result<Filled> {
        let mut planned = 0;
        for fetch in fetches {
            let absent = partly.absent(Some(fetch.output(partly.seek())));
            planned = fetch.work.plan(absent);
        }
        partly.charge(planned, patience, self.progress)?;
        Ok(Filled::Yes)
    }

    fn fetch_each(&self, fetches: &mut [Fetch<'_>], partly: &mut Partly<'_>) -> Result<Filled> {
        let seek = Arc::clone(partly.seek());
        for fetch in fetches {
            let (output, fill) = (fetch.output(&seek), fetch.work.fill);
            fill.state.lock().fetched += fetch.input(&seek);
            let (sizes, resumed) = (&self.downloader.sizes, fetch.resumed.take());
            match self.transfer(fill, partly, output, resumed, sizes)? {
                Filled::Yes => fetch.work.has_brought(&seek, fetch.to),
                Filled::Cannot => return Ok(Filled::Cannot),
            }
        }
        Ok(Filled::Yes)
    }

    /// Fetches, inflates and places bytes of the tar stream, the first of which begins a
    /// span, or lies where a reader has paused.
    fn transfer(
        &self,
        fill: &Fill,
        partly: &mut Partly<'_>,
        out: Range<u64>,
        resumed: Option<Resumed>,
        sizes: &Sizes,
    ) -> Result<Filled> {
        let seek = Arc::clone(partly.seek());
        let first = seek.span_at(out.start);
        let archive = seek.archive();
        let object = Object {
            length: Some(archive.length),
            etag: archive.etag.clone(),
            ranges: true,
        };
        let link = self.fills.links.of(self.request, self.progress);
        let mut bytes = input(&seek, first, out.end);
        bytes.start = resumed.as_ref().map_or(bytes.start, |one| one.input);
        let end = bytes.end;
        let mut download = self
            .downloader
            .range(&link, object, bytes, sizes, self.progress)?;
        let mut reader = match resumed {
            Some(one) => SpanReader::resumed(one.reader, &mut download, out.end - out.start),
            None => seek.inflate(first, out.end, &mut download),
        };
        let placed = self.place(fill, partly, &mut reader, out.clone());
        let around = seek.output(seek.span_at(out.end));
        if placed.is_ok() && around.start < out.end && out.end < around.end {
            let (paused, key) = (&self.fills.paused, &self.request.key);
            paused.keep(key, &seek, reader, out.end, end);
        }
        if download.was_refused() {
            self.fills.links.forget(&self.request.key);
        }
        let why = match placed {
            Ok(()) => {
                partly.finish()?;
                return Ok(Filled::Yes);
            }
            Err(_) if download.lacks_ranges() => {
                // That is no fault of the index.
                self.version.drop_seek();
                "the object store sends no ranges"
            }
            Err(_) if download.changed() => "the archive is another one by now",
            Err(_) if partly.is_wrong() => "its seek index is wrong",
            Err(Stopped::Store(error)) => return Err(error),
            Err(Stopped::Read(error)) => {
                let own = error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<Error>());
                match own {
                    Some(error) => return Err(error.clone()),
                    None => "its seek index leads nowhere",
                }
            }
        };
        let version = &self.request.key.version_id;
        tracing::info!(%version, "{why}; the archive is fetched whole");
        if self.version.can_seek() {
            self.drop_seek();
        }
        Ok(Filled::Cannot)
    }

    /// Removes the seek index, which is wrong or of an earlier archive, and has what the fleet
    /// knows replaced: its other machines would only find the same.
    fn drop_seek(&self) {
        self.version.drop_seek();
        self.exchange.give_up(&self.request.key);
    }

    fn place(
        &self,
        fill: &Fill,
        partly: &mut Partly<'_>,
        reader: &mut impl Read,
        out: Range<u64>,
    ) -> std::result::Result<(), Stopped> {
        let (mut at, mut told) = (out.start, Instant::now());
        let mut chunk = vec![0; CHUNK];
        while at < out.end {
            let n = match reader.read(&mut chunk).map_err(Stopped::Read)? {
                0 => return Err(Stopped::Read(io::ErrorKind::UnexpectedEof.into())),
                n => n,
            };
            partly.place(at, &chunk[..n]).map_err(Stopped::Store)?;
            at += n as u64;
            if told.elapsed() >= TELL {
                told = Instant::now();
                fill.came.notify_all();
                (self.request.on_partial)();
            }
        }
        Ok(())
    }
}

/// What a read fetches: bytes of the tar stream `to` there, from the start of the work's first
/// span on, or from where another fetch of it has ended.
struct Fetch<'a> {
    work: Work<'a>,
    to: u64,
    resumed: Option<Resumed>,
}

impl Fetch<'_> {
    /// Those bytes of the tar stream.
    fn output(&self, seek: &SeekIndex) -> Range<u64> {
        let start = seek.output(self.work.spans.start).start;
        self.resumed.as_ref().map_or(start, |one| one.output)..self.to
    }

    /// How many bytes of the archive it takes.
    fn input(&self, seek: &SeekIndex) -> u64 {
        let bytes = input(seek, self.work.spans.start, self.to);
        bytes.end - self.resumed.as_ref().map_or(bytes.start, |one| one.input)
    }
}

/// Why the placing of bytes stopped.
enum Stopped {
    Read(io::Error),
    Store(Error),
}
