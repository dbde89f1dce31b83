//! Fills in content of versions whose seek index is known: for a read the range of the
//! archive that it needs, for a whole version several ranges at once, each inflated on a
//! core of its own.

use super::{
    download::{Downloader, Object},
    links::Links,
    request::FetchRequest,
    runs::{Runs, input},
};
use crate::store::cache::{Cache, Missing, Partly, Version};
use crate::store::{key::VersionKey, seek::SeekIndex};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Condvar, Mutex},
    threads,
};
use lru::LruCache;
use std::{
    collections::HashSet,
    io::{self, Read},
    num::NonZeroUsize,
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Spans of tar that a sequential reader is ahead of at most: some 32 MiB.
const AHEAD: usize = 16;
/// A version is filled whole once this share of its archive, and so many bytes more, have
/// been fetched for single reads: what they fetch twice stays below a fifth of it.
const SHARE: u64 = 8;
const LEAST: u64 = 1 << 20;
/// Archives up to this size come whole: that takes hardly longer than a part.
const SMALL: u64 = 256 << 10;
/// Most threads that inflate one version.
const THREADS: usize = 4;
/// Versions that are remembered, with their links.
const KNOWN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Bytes of the tar stream that are inflated and not needed rather than asked for apart.
const GAP: u64 = 256 << 10;
/// How often a part is fetched before the seek index counts as wrong.
const TRIES: u32 = 2;
/// How often a read that waits for another's fetch shows that it is alive.
const TICK: Duration = Duration::from_millis(100);
/// How often readers are told that more has come.
const TELL: Duration = Duration::from_millis(4);
/// Bytes that are inflated at once.
const CHUNK: usize = 128 << 10;

/// The versions whose content comes in parts.
pub(super) struct Fills {
    known: Mutex<LruCache<VersionKey, Arc<Fill>>>,
    links: Links,
}

/// How far the content of one version has come, as far as this process fetches it.
#[derive(Default)]
struct Fill {
    state: Mutex<State>,
    /// Signalled for each piece that comes, and at the end of each fetch.
    came: Condvar,
}

#[derive(Default)]
struct State {
    /// Spans that are being fetched.
    busy: Vec<Range<usize>>,
    /// Spans that single reads have asked for.
    touched: HashSet<usize>,
    /// Spans that single reads have brought to their ends.
    brought: HashSet<usize>,
    /// Whether all of it is being fetched. Then `brought` has what single reads have
    /// brought meanwhile.
    is_filling: bool,
    /// Bytes fetched for them.
    fetched: u64,
    /// The span after those fetched last, and how many a sequential reader got.
    next: usize,
    run: usize,
    /// Blocks that are on their way.
    planned: u64,
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
        }
    }

    /// Whether so much has been fetched for single reads that all is to be fetched, and is
    /// not being fetched.
    pub(super) fn is_worth_all(&self, version: &Version) -> bool {
        let fill = self.of(version.key());
        let state = fill.state.lock();
        let (fetched, is_filling) = (state.fetched, state.is_filling);
        drop(state);
        let is_enough = |seek: Arc<SeekIndex>| fetched > seek.archive().length / SHARE + LEAST;
        !is_filling && version.seek().is_some_and(is_enough)
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
        let mut tries = 0;
        while let Some(mut partly) = Partly::of(self.cache, self.version)? {
            // Under the lock: the fetch of another thread may end at any moment, and what it
            // brought is on disk then.
            let mut state = fill.state.lock();
            if partly.has(missing) {
                return Ok(Filled::Yes);
            }
            if tries == TRIES {
                // What the index promised has not come.
                self.version.drop_seek();
                break;
            }
            let seek = Arc::clone(partly.seek());
            let ranges = ranges(&seek, missing);
            let end = end_of_file(&seek, missing);
            let is_busy = |tar: &Range<u64>| state.is_busy(seek.span_at(tar.start));
            if ranges.iter().any(is_busy) {
                drop(fill.came.wait_timeout(state, TICK));
                self.progress.advance(0);
                continue;
            }
            tries += 1;
            // Under the same lock: no other read begins to fetch the same spans.
            let fetches: Vec<_> = ranges
                .into_iter()
                .map(|tar| {
                    let out = state.plan(&seek, tar, end, tries > 1);
                    let spans = seek.span_at(out.start)..seek.span_at(out.end - 1) + 1;
                    (Work::start(&fill, &mut state, spans), out)
                })
                .collect();
            drop(state);
            for (work, out) in fetches {
                if let Filled::Cannot = self.fetch(work, &mut partly, out)? {
                    return Ok(Filled::Cannot);
                }
            }
        }
        Ok(Filled::Cannot)
    }

    /// Fetches bytes of the tar stream, the first of which begins a span.
    fn fetch(
        &self,
        mut work: Work<'_>,
        partly: &mut Partly<'_>,
        out: Range<u64>,
    ) -> Result<Filled> {
        let seek = Arc::clone(partly.seek());
        let planned = work.plan(partly.absent(Some(out.clone())));
        partly.charge(planned, self.progress)?;
        let filled = self.transfer(work.fill, partly, out.clone())?;
        if let Filled::Yes = filled {
            let is_whole = |span: &usize| seek.output(*span).end <= out.end;
            let whole = work.spans.clone().filter(is_whole);
            work.fill.state.lock().brought.extend(whole);
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
            self.progress.expect(self.progress.bytes() + runs.bytes);
            partly.charge(absent, self.progress)?;
            let seek = Arc::clone(partly.seek());
            drop(partly);
            let runs = Mutex::new(runs);
            let work = || -> Result<Filled> {
                loop {
                    let mut state = fill.state.lock();
                    let is_taken = |span| state.is_busy(span) || state.brought.contains(&span);
                    let next = runs.lock().next(&seek, is_taken);
                    let Some(spans) = next else {
                        return Ok(Filled::Yes);
                    };
                    let out = seek.output(spans.start).start..seek.output(spans.end - 1).end;
                    let _work = Work::start(&fill, &mut state, spans);
                    drop(state);
                    let Some(mut partly) = Partly::of(self.cache, self.version)? else {
                        return Ok(Filled::Cannot);
                    };
                    let filled = self.transfer(&fill, &mut partly, out);
                    if !matches!(filled, Ok(Filled::Yes)) {
                        // The others end too.
                        runs.lock().stop();
                        return filled;
                    }
                }
            };
            let threads = thread::available_parallelism().map_or(1, usize::from);
            let mut all = thread::scope(|scope| {
                let others: Vec<_> = (1..threads.clamp(2, THREADS))
                    .map(|_| threads::start_scoped(scope, "vm0fs-fill", work))
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
            if !state.busy.is_empty() {
                // Single reads have the rest at work.
                drop(fill.came.wait_timeout(state, TICK));
                self.progress.advance(0);
                continue;
            }
            drop(state);
            let left = Partly::of(self.cache, self.version)?;
            if left.is_some_and(|partly| partly.absent(None) >= absent) {
                self.version.drop_seek();
                return Ok(Filled::Cannot);
            }
        }
    }

    /// Fetches, inflates and places bytes of the tar stream, the first of which begins a
    /// span.
    fn transfer(&self, fill: &Fill, partly: &mut Partly<'_>, out: Range<u64>) -> Result<Filled> {
        let seek = Arc::clone(partly.seek());
        let first = seek.span_at(out.start);
        let archive = seek.archive();
        let object = Object {
            length: Some(archive.length),
            etag: archive.etag.clone(),
            ranges: true,
        };
        let link = self.fills.links.of(self.request);
        let bytes = input(&seek, first, out.end);
        let mut download = self.downloader.range(&link, object, bytes, self.progress)?;
        let placed = self.place(fill, &seek, partly, &mut download, out);
        let why = match placed {
            Ok(()) => {
                partly.finish()?;
                return Ok(Filled::Yes);
            }
            Err(_) if download.lacks_ranges() => "the object store sends no ranges",
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
        self.version.drop_seek();
        Ok(Filled::Cannot)
    }

    fn place(
        &self,
        fill: &Fill,
        seek: &SeekIndex,
        partly: &mut Partly<'_>,
        download: impl Read,
        out: Range<u64>,
    ) -> std::result::Result<(), Stopped> {
        let mut reader = seek.inflate(seek.span_at(out.start), out.end, download);
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

/// The bytes of the tar stream that hold what is missing. Of a block of the pack, small
/// files can lie on both sides of a large one.
fn ranges(seek: &SeekIndex, missing: &Missing) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in seek.extents_of_part(missing.part, missing.bytes.clone()) {
        let end = extent.tar + extent.length;
        match ranges.last_mut() {
            Some(last) if extent.tar - last.end <= GAP => last.end = end,
            _ => ranges.push(extent.tar..end),
        }
    }
    ranges
}

/// Where the file that a read misses bytes of ends in the tar stream, if it has a blob of
/// its own: a reader goes on to there. From small files it goes on to the next ones.
fn end_of_file(seek: &SeekIndex, missing: &Missing) -> Option<u64> {
    let rest = seek.extents_of_part(missing.part, missing.bytes.start..u64::MAX);
    let last = rest.filter(|_| missing.part > 0).last();
    last.map(|extent| extent.tar + extent.length)
}

impl State {
    /// Forgets what was read: all of it has come.
    fn forget(&mut self) {
        (self.fetched, self.next, self.run) = (0, 0, 0);
        self.touched.clear();
        self.brought.clear();
    }

    fn is_busy(&self, span: usize) -> bool {
        self.busy.iter().any(|spans| spans.contains(&span))
    }

    /// What a read that misses these bytes of the tar stream fetches, from the start of a
    /// span on; `again` also what has come before. The first read of a span brings what it
    /// needs, a second one all of the span, and one that goes on where others ended twice
    /// as many spans as the one before, up to the `end` of the file.
    fn plan(
        &mut self,
        seek: &SeekIndex,
        tar: Range<u64>,
        end: Option<u64>,
        again: bool,
    ) -> Range<u64> {
        let (mut first, last) = (seek.span_at(tar.start), seek.span_at(tar.end - 1));
        // A block can begin in a span that has come, and end in one that has not.
        while !again && first < last && self.brought.contains(&first) {
            first += 1;
        }
        let goes_on = first > 0 && first == self.next;
        self.run = match goes_on {
            true => (2 * self.run).clamp(1, AHEAD),
            false => 0,
        };
        let is_known = !self.touched.insert(first);
        let ahead = seek.output((last + self.run).min(seek.spans() - 1)).end;
        let to = match (self.is_filling, goes_on || is_known) {
            // While all of it is fetched, no span is to be fetched twice.
            (true, _) => ahead,
            (false, true) => end.map_or(ahead, |end| ahead.min(end.max(tar.end))),
            (false, false) => tar.end,
        };
        self.next = seek.span_at(to - 1) + 1;
        let bytes = input(seek, first, to);
        self.fetched += bytes.end - bytes.start;
        seek.output(first).start..to
    }
}

/// A fetch at work: its spans are not fetched twice.
struct Work<'a> {
    fill: &'a Fill,
    spans: Range<usize>,
    planned: u64,
}

impl<'a> Work<'a> {
    /// `state` is that of `fill`.
    fn start(fill: &'a Fill, state: &mut State, spans: Range<usize>) -> Self {
        state.busy.push(spans.clone());
        Self {
            fill,
            spans,
            planned: 0,
        }
    }

    /// Notes so many blocks as on their way; gives how many all fetches of the version
    /// have.
    fn plan(&mut self, blocks: u64) -> u64 {
        let mut state = self.fill.state.lock();
        self.planned += blocks;
        state.planned += blocks;
        state.planned
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut state = self.fill.state.lock();
        state.planned -= self.planned;
        let own = state.busy.iter().position(|spans| *spans == self.spans);
        if let Some(own) = own {
            state.busy.swap_remove(own);
        }
        self.fill.came.notify_all();
    }
}

/// While it lives, all of a version is being fetched.
struct Filling<'a>(&'a Fill);

impl<'a> Filling<'a> {
    /// `None` if another thread fetches all of it.
    fn start(fill: &'a Fill) -> Option<Self> {
        let mut state = fill.state.lock();
        if std::mem::replace(&mut state.is_filling, true) {
            return None;
        }
        state.brought.clear();
        Some(Self(fill))
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_filling = false;
        self.0.came.notify_all();
    }
}
