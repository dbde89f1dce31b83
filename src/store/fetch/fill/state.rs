//! How far the content of a version has come, and what a read of it fetches.

use super::part::Part;
use crate::store::seek::SeekIndex;
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::{
    collections::HashSet,
    ops::Range,
    time::{Duration, Instant},
};

/// Spans of tar that a sequential reader is ahead of at most: some 32 MiB.
const AHEAD: usize = 16;
/// How often a thread that waits for another one's fetch shows that it is alive.
const TICK: Duration = Duration::from_millis(100);

/// How far the content of one version has come, as far as this process fetches it.
#[derive(Default)]
pub(super) struct Fill {
    pub(super) state: Mutex<State>,
    /// Signalled for each piece that comes, and at the end of each fetch.
    pub(super) came: Condvar,
}

impl Fill {
    /// Waits a moment for what another thread has at work.
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.came.wait_timeout(state, TICK).0
    }
}

#[derive(Default)]
pub(super) struct State {
    /// Spans that are being fetched.
    busy: Vec<Range<usize>>,
    /// Spans that single reads have asked for.
    touched: HashSet<usize>,
    /// Spans that single reads have brought to their ends.
    brought: HashSet<usize>,
    /// Whether all of it is being fetched. Then `brought` has what single reads have
    /// brought meanwhile.
    pub(super) is_filling: bool,
    /// Whether one read has the version alone, and how many wait for that.
    pub(super) is_alone: bool,
    waiting: usize,
    /// Bytes fetched for them.
    pub(super) fetched: u64,
    /// When the fetch of all of it has failed.
    pub(super) failed: Option<Instant>,
    /// The span after those fetched last, and how many a sequential reader got.
    next: usize,
    run: usize,
    /// Blocks that are on their way.
    planned: u64,
}

/// What a read fetches: these spans, up to there in the tar stream.
pub(super) struct Plan {
    pub(super) spans: Range<usize>,
    pub(super) to: u64,
}

impl State {
    /// Forgets what was read: all of it has come, or is about to be removed.
    pub(super) fn forget(&mut self) {
        (self.fetched, self.next, self.run) = (0, 0, 0);
        self.touched.clear();
        self.brought.clear();
    }

    /// Whether a read of a part is to wait: some of it is being fetched, or other reads have
    /// found no room, and go first.
    pub(super) fn is_busy(&self, seek: &SeekIndex, part: &Part) -> bool {
        let overlaps = |tar: &Range<u64>| {
            let (first, last) = (seek.span_at(tar.start), seek.span_at(tar.end - 1));
            let meets = |spans: &Range<usize>| spans.start <= last && first < spans.end;
            self.busy.iter().any(meets)
        };
        self.waiting > 0 || part.ranges.iter().any(overlaps)
    }

    /// Whether a single read brings a span, or has brought it.
    pub(super) fn is_taken(&self, span: usize) -> bool {
        self.busy.iter().any(|spans| spans.contains(&span)) || self.brought.contains(&span)
    }

    /// Whether anything is being fetched.
    pub(super) fn has_work(&self) -> bool {
        !self.busy.is_empty()
    }

    /// What a read that misses these bytes of the tar stream, which are one of the ranges of
    /// `part`, fetches; `again` also what has come before. The first read of a span brings
    /// what it needs, a second one the rest of the span, and one that goes on where others
    /// ended twice as many spans as the one before, up to the end of the file. A block whose
    /// files lie far from one another brings no more than these, nor does a read that has
    /// found no room for more (`is_short`).
    pub(super) fn plan(
        &mut self,
        seek: &SeekIndex,
        tar: &Range<u64>,
        part: &Part,
        again: bool,
        is_short: bool,
    ) -> Plan {
        let (mut first, mut last) = (seek.span_at(tar.start), seek.span_at(tar.end - 1));
        // A block can begin in a span that has come, and end in one that has not, or the
        // other way round.
        while !again && first < last && self.brought.contains(&first) {
            first += 1;
        }
        while !again && first < last && self.brought.contains(&last) {
            last -= 1;
        }
        let need = tar.end.min(seek.output(last).end);
        let is_known = !self.touched.insert(first);
        let is_scattered = part.ranges.len() > 1;
        let goes_on = first > 0 && first == self.next && !is_scattered && !is_short;
        let run = match goes_on {
            true => (2 * self.run).clamp(1, AHEAD),
            false => 0,
        };
        let ahead = seek.output((last + run).min(seek.spans() - 1)).end;
        let to = match (self.is_filling, goes_on || is_known) {
            // While all of it is fetched, no span is to be fetched twice.
            (true, _) => ahead,
            (false, true) if !is_scattered && !is_short => {
                part.end.map_or(ahead, |end| ahead.min(end.max(need)))
            }
            _ => need,
        };
        // What else the same bytes of the archive give.
        let to = seek.reach(to);
        let spans = first..seek.span_at(to - 1) + 1;
        if !is_scattered {
            (self.next, self.run) = (spans.end, run);
        }
        Plan { spans, to }
    }
}

/// A fetch at work: its spans are not fetched twice.
pub(super) struct Work<'a> {
    pub(super) fill: &'a Fill,
    pub(super) spans: Range<usize>,
    planned: u64,
}

impl<'a> Work<'a> {
    /// `state` is that of `fill`.
    pub(super) fn start(fill: &'a Fill, state: &mut State, spans: Range<usize>) -> Self {
        state.busy.push(spans.clone());
        Self {
            fill,
            spans,
            planned: 0,
        }
    }

    /// Notes so many blocks as on their way; gives how many all fetches of the version
    /// have.
    pub(super) fn plan(&mut self, blocks: u64) -> u64 {
        let mut state = self.fill.state.lock();
        self.planned += blocks;
        state.planned += blocks;
        state.planned
    }

    /// Notes that the tar stream has come up to there: which spans are whole by now.
    pub(super) fn has_brought(&self, seek: &SeekIndex, to: u64) {
        let is_whole = |span: &usize| seek.output(*span).end <= to;
        let whole = self.spans.clone().filter(is_whole);
        self.fill.state.lock().brought.extend(whole);
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
pub(super) struct Filling<'a>(&'a Fill);

impl<'a> Filling<'a> {
    /// `None` if another thread fetches all of it, or a read has the version alone.
    pub(super) fn start(fill: &'a Fill) -> Option<Self> {
        let mut state = fill.state.lock();
        if state.is_alone || std::mem::replace(&mut state.is_filling, true) {
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

/// While it lives, one read has the version alone: no other thread begins to fetch any of it,
/// or looks for what has come.
pub(super) struct Alone<'a>(&'a Fill);

impl<'a> Alone<'a> {
    /// Waits until no thread fetches any of it. Calls `alive` meanwhile.
    pub(super) fn wait(fill: &'a Fill, alive: impl Fn()) -> Self {
        let mut state = fill.state.lock();
        state.waiting += 1;
        while state.is_alone || state.is_filling || state.has_work() {
            state = fill.wait(state);
            alive();
        }
        state.waiting -= 1;
        state.is_alone = true;
        Self(fill)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_alone = false;
        self.0.came.notify_all();
    }
}
