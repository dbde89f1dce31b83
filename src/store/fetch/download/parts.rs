//! The state that a download's tasks and its reader share: which parts of the
//! object are in flight, what has come of each, and the link in use.

use super::request::{self, Attempt};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Condvar, Mutex, MutexGuard},
};
use bytes::Bytes;
use reqwest::Client;
use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};
use url::Url;

/// How a download is cut.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Sizes {
    /// The first request asks for so much: archives up to this size, nearly
    /// all, come with one request; of larger ones it tells the size.
    pub(in crate::store) first: u64,
    /// Bytes of each further request: large beside what a round trip costs,
    /// small beside the memory for those that wait for an earlier one.
    pub(in crate::store) part: u64,
    /// Requests in flight: object stores limit the rate of each, not of their sum.
    pub(in crate::store) connections: u64,
    /// Bytes that may be in memory or asked for, beyond what was read: all the
    /// parts in flight, and one that is being read.
    pub(in crate::store) window: u64,
    /// The same until the reader had to wait: where the network is faster
    /// than the unpacking, more in flight would only take memory.
    pub(in crate::store) opening: u64,
    /// How long a reader must have waited in all for that.
    pub(in crate::store) patience: Duration,
    /// The same where there is only one stream.
    pub(in crate::store) sequential: u64,
    /// A stream that had to stop goes on when there is room for so much more.
    pub(in crate::store) stretch: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            first: 8 << 20,
            part: 4 << 20,
            connections: 6,
            window: 28 << 20,
            opening: 12 << 20,
            patience: Duration::from_millis(50),
            sequential: 4 << 20,
            stretch: 1 << 20,
        }
    }
}

/// What the tasks and the reader share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) progress: Progress,
    pub(super) timeout: Duration,
    pub(super) allow_http: bool,
    pub(super) sizes: Sizes,
    state: Mutex<State>,
    /// Wakes the reader.
    ready: Condvar,
    /// Wakes the tasks: for room, and for a new link.
    pub(super) wake: Notify,
}

#[derive(Default)]
pub(super) struct State {
    sizes: Sizes,
    /// The link in use, until it is refused.
    link: Option<Url>,
    /// Counts the links.
    generation: u32,
    /// Links refused in a row.
    pub(super) refusals: u32,
    /// Whether the first headers have come.
    pub(super) begun: bool,
    /// Bytes of the object, where the store said.
    pub(super) length: Option<u64>,
    pub(super) etag: Option<String>,
    /// Whether ranges are honoured and can be tied to one object.
    pub(super) parallel: bool,
    /// From the one that is read to the newest.
    parts: VecDeque<Part>,
    /// Where the next part starts.
    pub(super) claimed: u64,
    /// Bytes taken by the reader.
    consumed: u64,
    /// Up to where there must be room before tasks are to be woken.
    awaited: Option<u64>,
    /// How long the reader has waited since the first byte came.
    waited: Duration,
    pub(super) failed: Option<Error>,
    pub(super) changed: bool,
    cancelled: bool,
    tasks: Vec<AbortHandle>,
}

struct Part {
    start: u64,
    chunks: VecDeque<Bytes>,
    /// The bytes after those, while it is not yet read.
    tail: Vec<u8>,
    done: bool,
}

/// Bytes of a part that waits are copied together by so many: what the
/// network gave them in holds several times their memory.
const TAIL: usize = 256 << 10;

impl Part {
    /// Takes in bytes that have to wait.
    fn keep(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.tail.capacity() == 0 {
                self.tail.reserve_exact(TAIL);
            }
            let n = bytes.len().min(TAIL - self.tail.len());
            self.tail.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.tail.len() == TAIL {
                self.close();
            }
        }
    }

    /// Makes the tail a chunk.
    fn close(&mut self) {
        if !self.tail.is_empty() {
            self.chunks
                .push_back(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }
}

impl State {
    pub(super) fn link_wanted(&self) -> bool {
        self.link.is_none() && self.failed.is_none()
    }

    pub(super) fn set_link(&mut self, link: Url) {
        self.link = Some(link);
        self.generation += 1;
    }

    /// Gives up a link, once for all who used it.
    pub(super) fn refuse(&mut self, generation: u32) -> bool {
        let current = self.generation == generation && self.link.is_some();
        if current {
            self.link = None;
            self.refusals += 1;
        }
        current
    }

    /// The next chunk in order, where it has come, and whether tasks wait for
    /// the room that it leaves.
    pub(super) fn take(&mut self) -> Option<(Bytes, bool)> {
        loop {
            let part = self.parts.front_mut()?;
            if part.chunks.is_empty() {
                part.close();
            }
            if let Some(chunk) = part.chunks.pop_front() {
                self.consumed += chunk.len() as u64;
                let drained = part.chunks.is_empty();
                let awaited = self
                    .awaited
                    .is_some_and(|end| drained || self.has_room(end));
                if awaited {
                    self.awaited = None;
                }
                return Some((chunk, awaited));
            }
            if !part.done {
                return None;
            }
            self.parts.pop_front();
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.begun && self.parts.is_empty() && self.length == Some(self.claimed)
    }

    /// The first part, of which nothing is known yet.
    fn begin(&mut self) {
        self.claimed = self.sizes.first;
        self.add(0);
    }

    fn add(&mut self, start: u64) {
        self.parts.push_back(Part {
            start,
            chunks: VecDeque::new(),
            tail: Vec::new(),
            done: false,
        });
    }

    fn part(&mut self, start: u64) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.start == start)
    }

    /// The next part to fetch, taken for the caller.
    fn claim(&mut self) -> Claim {
        let start = self.claimed;
        let Some(length) = self.length.filter(|&length| start < length) else {
            return Claim::Nothing;
        };
        let end = match self.parallel {
            true => length.min(start + self.sizes.part),
            false => length,
        };
        if self.parallel && !self.has_room(end) {
            self.wait_for(end);
            return Claim::Wait;
        }
        self.claimed = end;
        self.add(start);
        Claim::Part(start, Some(end))
    }

    /// Whether bytes up to `end` may be kept.
    fn has_room(&self, end: u64) -> bool {
        let window = match self.parallel {
            true if self.waited >= self.sizes.patience => self.sizes.window,
            true => self.sizes.opening,
            false => self.sizes.sequential,
        };
        end <= self.consumed + window
    }

    /// Notes that a task waits until there is room for bytes up to `end`.
    fn wait_for(&mut self, end: u64) {
        self.awaited = Some(self.awaited.map_or(end, |other| other.min(end)));
    }

    /// Ends all tasks.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.parts.clear();
    }
}

/// What a task may fetch next.
enum Claim {
    /// From here to there.
    Part(u64, Option<u64>),
    Wait,
    Nothing,
}

impl Shared {
    pub(super) fn new(
        client: Client,
        progress: Progress,
        timeout: Duration,
        allow_http: bool,
        sizes: Sizes,
    ) -> Self {
        Self {
            client,
            progress,
            timeout,
            allow_http,
            sizes,
            state: Mutex::new(State {
                sizes,
                ..State::default()
            }),
            ready: Condvar::new(),
            wake: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for something new, as the reader.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        most: Duration,
    ) -> MutexGuard<'a, State> {
        let started = Instant::now();
        let mut state = self.ready.wait_timeout(state, most).0;
        let before = state.waited;
        if state.consumed > 0 {
            state.waited += started.elapsed();
        }
        // From now on there is more room.
        if before < self.sizes.patience && state.waited >= self.sizes.patience {
            state.awaited = None;
            self.wake.notify_waiters();
        }
        state
    }

    /// Starts a task that fetches part after part; number 0 begins.
    pub(super) fn spawn(shared: &Arc<Self>, runtime: &Handle, number: u32) {
        let task = runtime.spawn({
            let shared = Arc::clone(shared);
            async move {
                let mut guard = Guard(&shared, true);
                let result = Self::work(&shared, number).await;
                guard.1 = false;
                if let Err(error) = result {
                    shared.fail(error);
                }
            }
        });
        let mut state = shared.state();
        if state.cancelled {
            task.abort();
        } else {
            state.tasks.push(task.abort_handle());
        }
    }

    async fn work(shared: &Arc<Self>, number: u32) -> Result<()> {
        if number == 0 {
            shared.state().begin();
            Attempt::new(shared, 0, Some(shared.sizes.first))
                .run()
                .await?;
        }
        loop {
            // Enabled before the look, so that no waking is missed.
            let mut woken = pin!(shared.wake.notified());
            woken.as_mut().enable();
            let claim = shared.state().claim();
            match claim {
                Claim::Part(start, end) => Attempt::new(shared, start, end).run().await?,
                Claim::Wait => woken.await,
                Claim::Nothing => return Ok(()),
            }
        }
    }

    /// The headers of the first answer: what the object is. Starts the other
    /// tasks where they are of use.
    pub(super) fn begin(
        shared: &Arc<Self>,
        length: Option<u64>,
        etag: Option<String>,
        ranges: bool,
    ) {
        let strong = etag.as_deref().is_some_and(request::is_strong);
        let mut state = shared.state();
        (state.begun, state.length, state.etag) = (true, length, etag);
        let rest = length.unwrap_or(0).saturating_sub(shared.sizes.first);
        // Without ranges, or where parts could be of different objects, one stream.
        state.parallel = ranges && strong && rest > 0;
        state.claimed = match length {
            Some(length) if ranges => length.min(shared.sizes.first),
            Some(length) => length,
            None => u64::MAX,
        };
        let others = match state.parallel {
            true => rest
                .div_ceil(shared.sizes.part)
                .min(shared.sizes.connections - 1),
            false => 0,
        };
        drop(state);
        if let Some(length) = length {
            shared.progress.expect(length);
        }
        shared.ready.notify_all();
        for number in 1..=others {
            Self::spawn(shared, &Handle::current(), number as u32);
        }
    }

    /// A link to use and its number, waiting for one where it was refused.
    /// Says, too, whether it had to be waited for.
    pub(super) async fn link(&self) -> (Url, u32, bool) {
        let mut waited = false;
        loop {
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            {
                let state = self.state();
                if let Some(link) = &state.link {
                    return (link.clone(), state.generation, waited);
                }
            }
            // The reader asks for it.
            self.ready.notify_all();
            waited = true;
            woken.await;
        }
    }

    /// Waits until the bytes from `start` to `end` may be kept; whether that
    /// took a wait. However large they are, they may when all before is read.
    pub(super) async fn room(&self, start: u64, end: u64) -> bool {
        let mut waited = false;
        loop {
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            {
                let mut state = self.state();
                // Once full, it goes on when there is room for more than a moment.
                let more = if waited { self.sizes.stretch } else { 0 };
                if state.consumed >= start || state.has_room(end + more) {
                    return waited;
                }
                state.wait_for(end + self.sizes.stretch);
            }
            waited = true;
            woken.await;
        }
    }

    /// Hands over what has come of the part that starts there.
    pub(super) fn push(&self, start: u64, chunk: Bytes) {
        let mut state = self.state();
        let head = state.parts.front().is_some_and(|part| part.start == start);
        if let Some(part) = state.part(start) {
            if head {
                part.close();
                part.chunks.push_back(chunk);
            } else {
                part.keep(&chunk);
            }
        }
        drop(state);
        if head {
            self.ready.notify_all();
        }
    }

    /// The part that starts there has come wholly, and ends at `end`.
    pub(super) fn done(&self, start: u64, end: u64) {
        let mut state = self.state();
        if state.claimed == u64::MAX {
            // A stream of unknown length: now it is known.
            (state.claimed, state.length) = (end, Some(end));
        }
        if let Some(part) = state.part(start) {
            part.done = true;
        }
        drop(state);
        self.ready.notify_all();
    }

    fn fail(&self, error: Error) {
        let mut state = self.state();
        state.failed.get_or_insert(error);
        for task in state.tasks.drain(..) {
            task.abort();
        }
        drop(state);
        self.ready.notify_all();
    }
}

/// A task that ends without a word (a panic) must not leave a reader waiting.
struct Guard<'a>(&'a Arc<Shared>, bool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0
                .fail(Error::Internal("a download's task ended early".into()));
        }
    }
}
