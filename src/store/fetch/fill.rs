//! Fills in content of versions whose seek index is known: for a read the range of the
//! archive that it needs, for a whole version several ranges at once, each by a thread of
//! its own.

mod part;
mod paused;
mod state;

use super::{
    download::{Downloader, Object, Sizes},
    exchange::Exchange,
    links::Links,
    request::FetchRequest,
    runs::{RUN, Runs, input},
};
use crate::store::cache::{Cache, Missing, OVERHEAD, PATIENCE, Partly, Version};
use crate::store::{
    key::VersionKey,
    seek::{SeekIndex, SpanReader},
};
use crate::{
    error::{Error, Result},
    proc,
    progress::Progress,
    sync::Mutex,
    threads,
};
use lru::LruCache;
use part::Part;
use paused::{PausedReaders, Resumed};
use state::{Fill, Filling, Work};
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
/// Threads that fetch and inflate one version, each with one request and 4 MiB of it in memory
/// at most: as many requests as a new download has in flight. While one waits for its first
/// bytes, others inflate.
const THREADS: usize = 6;
/// Such threads at most beside the one of each fetch, for all versions.
const SPARE: usize = 10;
/// Memory that each takes, in bytes: what it may have of the archive, and its stack.
const OF_A_THREAD: u64 = RUN + (2 << 20);
/// Versions that are remembered, with their links.
const KNOWN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// How long a version is not fetched whole by itself after that has failed.
const PAUSE: Duration = Duration::from_secs(60);
/// How long a part waits for room before it takes that of other parts of its version: longer
/// than content stays open after its last use.
const ROOM: Duration = Duration::from_secs(1);
/// How often a part is fetched before the seek index counts as wrong.
const TRIES: u32 = 2;
/// How often a read that waits for another's fetch shows that it is alive.
const TICK: Duration = Duration::from_millis(100);
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
        let (mut tries, mut patience, mut is_gone) = (0, ROOM, false);
        loop {
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                if is_gone {
                    break;
                }
                // Another thread may be about to put others in the place of its parts.
                self.cache.prepare(self.version, self.progress)?;
                is_gone = true;
                continue;
            };
            is_gone = false;
            // Under the lock: the fetch of another thread may end at any moment, and what it
            // brought is on disk then.
            let mut state = fill.state.lock();
            if partly.has(missing) {
                return Ok(Filled::Yes);
            }
            if tries == TRIES {
                // What the index promised has not come.
                self.drop_seek();
                break;
            }
            let seek = Arc::clone(partly.seek());
            let part = Part::of(&seek, missing);
            if part.ranges.iter().any(|tar| state.is_busy(&seek, tar)) {
                drop(fill.came.wait_timeout(state, TICK));
                self.progress.advance(0);
                continue;
            }
            tries += 1;
            // Under the same lock: no other read begins to fetch the same spans.
            let fetches: Vec<_> = part
                .ranges
                .iter()
                .map(|tar| {
                    let plan = state.plan(&seek, tar, &part, tries > 1);
                    // One in a later span would leave out what lies before that.
                    let first = seek.output(plan.spans.start);
                    let within = first.start..first.end.min(plan.to);
                    let key = &self.request.key;
                    let resumed = self.fills.paused.take(key, &seek, within);
                    let resumed = resumed.filter(|_| tries == 1);
                    let from = resumed.as_ref().map(|one| one.input);
                    let from = from.unwrap_or_else(|| seek.input(plan.spans.start, plan.to).start);
                    state.fetched += input(&seek, plan.spans.start, plan.to).end - from;
                    (Work::start(&fill, &mut state, plan.spans), plan.to, resumed)
                })
                .collect();
            let beginning = state.beginning;
            drop(state);
            match self.fetch_each(fetches, &mut partly, patience) {
                Ok(Filled::Yes) => {}
                // Its other parts can be all that could make way, and they are locked.
                Err(Error::NoSpace(_)) if patience == ROOM => {
                    drop(partly);
                    self.start_over(&fill, beginning)?;
                    (tries, patience) = (0, PATIENCE);
                }
                ended => return ended,
            }
        }
        Ok(Filled::Cannot)
    }

    /// Makes room for a part by the other parts of its version, once no thread is at work on
    /// them; not if another has done so since that `beginning`.
    fn start_over(&self, fill: &Fill, beginning: u64) -> Result<()> {
        let Some(seek) = self.version.seek() else {
            return Ok(());
        };
        let _all = loop {
            let mut state = fill.state.lock();
            if state.beginning != beginning {
                return Ok(());
            }
            if !state.is_filling && !state.has_work() {
                state.begin_anew();
                break Work::start(fill, &mut state, 0..seek.spans());
            }
            drop(fill.came.wait_timeout(state, TICK));
            self.progress.advance(0);
        };
        self.fills.paused.forget(&self.request.key);
        self.cache.start_over(self.version, self.progress)
    }

    fn fetch_each(
        &self,
        fetches: Vec<(Work<'_>, u64, Option<Resumed>)>,
        partly: &mut Partly<'_>,
        patience: Duration,
    ) -> Result<Filled> {
        for (work, to, resumed) in fetches {
            if let Filled::Cannot = self.fetch(work, partly, to, resumed, patience)? {
                return Ok(Filled::Cannot);
            }
        }
        Ok(Filled::Yes)
    }

    /// Fetches bytes of the tar stream `to` there: from the start of the work's first span
    /// on, or from where another fetch of it has ended.
    fn fetch(
        &self,
        mut work: Work<'_>,
        partly: &mut Partly<'_>,
        to: u64,
        resumed: Option<Resumed>,
        patience: Duration,
    ) -> Result<Filled> {
        let seek = Arc::clone(partly.seek());
        let begins = seek.output(work.spans.start).start;
        let from = resumed.as_ref().map_or(begins, |one| one.output);
        let planned = work.plan(partly.absent(Some(from..to)));
        partly.charge(planned, patience, self.progress)?;
        let sizes = &self.downloader.sizes;
        let filled = self.transfer(work.fill, partly, from..to, resumed, sizes)?;
        if let Filled::Yes = filled {
            work.has_brought(&seek, to);
        }
        Ok(filled)
    }

    /// Brings all content that has not come.
    ///
    /// # Errors
    /// What a download fails with, and [`Error::NoSpace`].
    pub(super) fn whole(&self) -> Result<Filled> {
        let fill = self.fills.of(&self.request.key);
        loop {
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                return Ok(Filled::Cannot);
            };
            let absent = partly.absent(None);
            if absent == 0 {
                partly.finish()?;
                fill.state.lock().forget();
                return Ok(Filled::Yes);
            }
            let Some(_filling) = Filling::start(&fill) else {
                drop(fill.came.wait_timeout(fill.state.lock(), TICK));
                self.progress.advance(0);
                continue;
            };
            let runs = Runs::of(&partly);
            let useful = runs.bytes.div_ceil(RUN).min(THREADS as u64);
            self.progress.expect(self.progress.bytes() + runs.bytes);
            partly.charge(absent, PATIENCE, self.progress)?;
            let seek = Arc::clone(partly.seek());
            drop(partly);
            let runs = Mutex::new(runs);
            let work = || {
                let filled = self.fill_runs(&fill, &seek, &runs);
                if !matches!(filled, Ok(Filled::Yes)) {
                    // The others end too.
                    runs.lock().stop();
                }
                filled
            };
            let mut all = thread::scope(|scope| {
                let is_room = |more: &u64| proc::shortage((more + 1) * OF_A_THREAD).is_none();
                let others: Vec<_> = (1..useful)
                    .take_while(is_room)
                    .map_while(|_| self.fills.spare.try_acquire().ok())
                    .map(|spare| {
                        threads::start_scoped(scope, "vm0fs-fill", move || {
                            let _spare = spare;
                            work()
                        })
                    })
                    .collect();
                let mut all = vec![work()];
                for thread in others.into_iter().flatten() {
                    let failed = |_| Err(Error::Internal("a thread that fills panicked".into()));
                    all.push(thread.join().unwrap_or_else(failed));
                }
                all
            });
            if let Some(at) = all.iter().position(|one| !matches!(one, Ok(Filled::Yes))) {
                return all.swap_remove(at);
            }
            let state = fill.state.lock();
            if state.has_work() {
                // Single reads have the rest at work.
                drop(fill.came.wait_timeout(state, TICK));
                self.progress.advance(0);
                continue;
            }
            drop(state);
            if runs.lock().left_out {
                // Single reads had them at work, and may have failed since.
                continue;
            }
            let left = Partly::of(self.cache, self.version)?;
            if left.is_some_and(|partly| partly.absent(None) >= absent) {
                self.drop_seek();
                return Ok(Filled::Cannot);
            }
        }
    }

    /// Brings one run after another until there are no more.
    fn fill_runs(&self, fill: &Fill, seek: &SeekIndex, runs: &Mutex<Runs>) -> Result<Filled> {
        let sizes = self.downloader.sizes.one_of_several();
        loop {
            let mut state = fill.state.lock();
            let is_taken = |span| state.is_taken(span);
            let next = runs.lock().next(seek, is_taken);
            let Some(spans) = next else {
                return Ok(Filled::Yes);
            };
            let out = seek.output(spans.start).start..seek.output(spans.end - 1).end;
            let _work = Work::start(fill, &mut state, spans);
            drop(state);
            let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                return Ok(Filled::Cannot);
            };
            if let Filled::Cannot = self.transfer(fill, &mut partly, out, None, &sizes)? {
                return Ok(Filled::Cannot);
            }
        }
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

/// Why the placing of bytes stopped.
enum Stopped {
    Read(io::Error),
    Store(Error),
}
