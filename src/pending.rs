//! Requests that wait for a fetch. A request that misses something leaves a waiter,
//! which runs when the fetch has ended. One fetch serves all requests that miss the
//! same (single flight). A request to which no byte comes for too long is answered
//! with a failure.
//!
//! Lock order: `state` is the only lock, and nothing is called while it is held.

use crate::{
    error::{Error, Result, no_memory},
    handover::Work,
    proc,
    progress::Progress,
    sync::{Condvar, Mutex},
    threads,
    tree::{Answer, FetchKey, Miss, Pool, Tree, View},
};
use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How many workers each pool may have, and their name.
const fn workers(pool: Pool) -> (usize, &'static str) {
    match pool {
        // A hung call holds its worker until its own timeout, so there are more
        // than a well service needs.
        Pool::Calls => (16, "call"),
        // Unpacking keeps a core busy, so more would only make each slower; yet
        // a stalled download must not stop the others.
        Pool::Contents => (6, "download"),
        // Each reads little, and mostly waits for the network.
        Pool::Ranges => (16, "range"),
        // A reader that gets none is served by calls.
        Pool::Streams => (Pool::STREAMS, "stream"),
    }
}
/// The memory without which a fetch is not begun, in bytes: what it may need, with the
/// threads that it starts.
const fn memory(pool: Pool) -> u64 {
    match pool {
        Pool::Contents | Pool::Ranges => 24 << 20,
        Pool::Calls | Pool::Streams => 6 << 20,
    }
}

/// How long a worker without work stays.
const WORKER_IDLE: Duration = Duration::from_secs(10);
/// How often deadlines are checked while a request waits.
const TICK: Duration = Duration::from_millis(250);

/// [`PendingRequests::let_go`] releases requests for which nothing has come for this long.
const HUNG: Duration = Duration::from_secs(1);

/// A process that reads this attribute of a mount's root asks for
/// [`PendingRequests::let_go`]. That needs neither a socket nor a signal, the kernel says
/// which user asks, and it works where nothing can be set: in a read-only mount.
pub const LET_GO: &str = "user.vm0.let-go";

/// Why a request that waited runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Part of what it waits for has come.
    Arrived,
    /// The fetch has succeeded or failed, or made no progress for too long.
    Settled,
}

/// What runs when the request is woken.
pub type Waiter = Box<dyn FnOnce(Wake) + Send>;

/// The one place where requests wait, and the workers that fetch for them.
pub struct PendingRequests {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<Tree>,
    /// How long a fetch may go on without a byte.
    timeout: Duration,
    state: Mutex<State>,
    /// Signals work to each pool's workers, to the clock and to the waker.
    work: [Condvar; Pool::COUNT],
    clock: Condvar,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    flights: HashMap<FetchKey, Flight>,
    queues: [Queue; Pool::COUNT],
    clock_runs: bool,
    /// Waiters for whom more has come, until the waker has run them.
    ready: Vec<Waiter>,
    waker_runs: bool,
    stopped: bool,
}

#[derive(Default)]
struct Queue {
    keys: VecDeque<FetchKey>,
    workers: usize,
    idle: usize,
}

/// The requests that wait for a key.
type Waiting = (FetchKey, Vec<Waiter>);

struct Flight {
    waiters: Vec<Waiter>,
    since: Instant,
    progress: Progress,
    started: bool,
}

impl PendingRequests {
    /// For the requests of a tree. None of them waits longer than `timeout` without a
    /// byte.
    pub fn new(tree: Arc<Tree>, timeout: Duration) -> Self {
        let shared = Shared {
            tree,
            timeout,
            state: Mutex::default(),
            work: Default::default(),
            clock: Condvar::new(),
            wake: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Lets `waiter` run once `key` has been fetched, or has failed, for a
    /// request that arrived at `since`. Never blocks.
    pub fn wait(&self, key: FetchKey, since: Instant, waiter: Waiter) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if state.stopped {
            // Dropped outside the lock: a dropped reply writes to the kernel.
            drop(state);
            drop(waiter);
            return;
        }
        if let Some(flight) = state.flights.get_mut(&key) {
            flight.waiters.push(waiter);
            return;
        }
        let flight = Flight {
            waiters: vec![waiter],
            since,
            progress: Progress::new(),
            started: false,
        };
        state.flights.insert(key.clone(), flight);
        let pool = key.pool();
        let (most, name) = workers(pool);
        let queue = state.queue(pool);
        queue.keys.push_back(key.clone());
        // One worker for each queued fetch, up to the limit; busy ones come back.
        let add_worker = queue.idle < queue.keys.len() && queue.workers < most;
        if add_worker {
            queue.workers += 1;
        }
        let add_clock = !mem::replace(&mut state.clock_runs, true);
        drop(state);
        shared.signal(pool).notify_one();
        shared.clock.notify_one();
        if add_clock && spawn("clock", shared.clone(), |shared| shared.run_clock()).is_err() {
            shared.state.lock().clock_runs = false;
        }
        if add_worker
            && let Err(error) = spawn(name, shared.clone(), move |shared| shared.run_worker(pool))
        {
            shared.worker_failed(pool, &error);
        }
    }

    /// Fetches what an operation was answered without and has wished for, for those to come.
    pub(crate) fn grant_wishes(&self, view: &View<'_>, since: Instant) {
        for key in view.take_wishes() {
            self.wait(key, since, Box::new(|_| ()));
        }
    }

    /// Runs an operation to its end, and waits for what it misses: for commands,
    /// which may wait.
    ///
    /// # Errors
    /// What the operation fails with; [`Error::Internal`] once the mount is ending.
    pub fn run<T>(&self, operation: impl Fn(&View<'_>) -> Answer<T>) -> Result<T> {
        let since = Instant::now();
        loop {
            let view = self.shared.tree.at(since);
            let answer = operation(&view);
            self.grant_wishes(&view, since);
            let key = match answer {
                Ok(value) => return Ok(value),
                Err(Miss::Error(error)) => return Err(error),
                Err(Miss::Fetch(key)) => key,
            };
            let (done, wait) = mpsc::channel();
            // The receiver below waits until this comes.
            let waiter = move |_| done.send(()).unwrap_or_default();
            self.wait(key, since, Box::new(waiter));
            // It comes by the deadline; dropped unused, the mount is ending.
            if wait.recv().is_err() {
                return Err(Error::Internal("the mount is ending".into()));
            }
        }
    }

    /// The number of fetches that run or are queued, for diagnosis.
    pub fn count(&self) -> usize {
        self.shared.state.lock().flights.len()
    }

    /// Whether an order to the service is under way.
    pub fn is_ordering(&self) -> bool {
        let state = self.shared.state.lock();
        state.flights.keys().any(FetchKey::is_order)
    }

    /// Whether a version is being downloaded.
    pub fn is_downloading(&self) -> bool {
        let state = self.shared.state.lock();
        let mut keys = state.flights.keys();
        keys.any(|key| key.pool() == Pool::Contents)
    }

    /// Fails the requests for which nothing has come for a second, as if that were
    /// their deadline. For a process that unmounts: a request that waits keeps the
    /// mount busy.
    pub fn let_go(&self) {
        let hung = self.shared.state.lock().take_overdue(HUNG);
        self.shared
            .fail_all(hung, |key| Error::LetGo(key.given_up()));
    }

    /// Drops all requests that wait, and those still to come: the mount is ending.
    /// Dropped replies answer EIO. Fetches that run end by themselves.
    pub fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.stopped = true;
        state.queues.iter_mut().for_each(|queue| queue.keys.clear());
        let flights = mem::take(&mut state.flights);
        let ready = mem::take(&mut state.ready);
        drop(state);
        let shared = &self.shared;
        for signal in shared.work.iter().chain([&shared.clock, &shared.wake]) {
            signal.notify_all();
        }
        drop((flights, ready));
        self.shared.tree.close();
    }
}

impl Drop for PendingRequests {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(
    name: &str,
    shared: Arc<Shared>,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> Result<()> {
    let spawned = threads::start(&format!("vm0fs-{name}"), move || body(&shared));
    let spawned = spawned.map(|_| ()).map_err(Error::no_thread);
    spawned.inspect_err(|error| tracing::error!("{error}"))
}

impl State {
    fn queue(&mut self, pool: Pool) -> &mut Queue {
        &mut self.queues[pool as usize]
    }
}

impl Shared {
    fn signal(&self, pool: Pool) -> &Condvar {
        &self.work[pool as usize]
    }

    fn run_worker(self: &Arc<Self>, pool: Pool) {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                break;
            }
            let Some(key) = state.queue(pool).keys.pop_front() else {
                state.queue(pool).idle += 1;
                let (guard, has_timed_out) = self.signal(pool).wait_timeout(state, WORKER_IDLE);
                state = guard;
                let queue = state.queue(pool);
                queue.idle -= 1;
                if has_timed_out && queue.keys.is_empty() {
                    break;
                }
                continue;
            };
            let Some(flight) = state.flights.get_mut(&key) else {
                continue;
            };
            flight.started = true;
            flight.progress.advance(0);
            let (since, progress) = (flight.since, flight.progress.clone());
            drop(state);
            let arrived = || self.wake_early(&key);
            let handover = self.tree.handover();
            let told = key.to_string();
            let work = work(&key, &told);
            let fetch = AssertUnwindSafe(|| match handover.refuse(&work) {
                Some(deadly) => {
                    self.tree.refuse(&key, &deadly);
                    None
                }
                None if let Some(limit) = proc::shortage(memory(pool)) => {
                    let error = Error::io(format!("{limit} is nearly used"), no_memory());
                    self.tree.fail(&key, &error);
                    None
                }
                None => {
                    let _working = handover.working_on(&work);
                    self.tree.fetch(&key, since, &progress, &arrived)
                }
            });
            let hold = catch_unwind(fetch).unwrap_or_else(|_| {
                let error = Error::Internal(format!("fetching {key} panicked"));
                self.tree.fail(&key, &error);
                None
            });
            state = self.state.lock();
            let done = state.flights.remove(&key);
            drop(state);
            let waiters = done.map(|flight| flight.waiters);
            release(waiters.unwrap_or_default(), Wake::Settled);
            drop(hold);
            state = self.state.lock();
        }
        state.queue(pool).workers -= 1;
    }

    /// Wakes the requests that wait for `key`, so that they look at what has come so
    /// far. They run in a thread of their own: this one has more to fetch.
    fn wake_early(self: &Arc<Self>, key: &FetchKey) {
        let mut state = self.state.lock();
        let Some(flight) = state.flights.get_mut(key) else {
            return;
        };
        if flight.waiters.is_empty() {
            return;
        }
        let waiters = mem::take(&mut flight.waiters);
        state.ready.extend(waiters);
        let add_waker = !mem::replace(&mut state.waker_runs, true);
        drop(state);
        self.wake.notify_one();
        if add_waker && spawn("waker", self.clone(), |shared| shared.run_waker()).is_err() {
            // Slower for the fetch, but all requests are woken.
            self.run_waker();
        }
    }

    fn run_waker(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let ready = mem::take(&mut state.ready);
            if ready.is_empty() {
                let (guard, has_timed_out) = self.wake.wait_timeout(state, WORKER_IDLE);
                state = guard;
                if has_timed_out && state.ready.is_empty() {
                    break;
                }
                continue;
            }
            drop(state);
            release(ready, Wake::Arrived);
            state = self.state.lock();
        }
        state.waker_runs = false;
    }

    /// A worker could not be started. If none is left to serve the queue, the
    /// requests in it must not wait for ever.
    fn worker_failed(&self, pool: Pool, error: &Error) {
        let mut state = self.state.lock();
        let queue = state.queue(pool);
        queue.workers -= 1;
        if queue.workers > 0 {
            return;
        }
        let keys = mem::take(&mut queue.keys).into_iter();
        let stranded = keys.filter_map(|key| state.flights.remove_entry(&key));
        let stranded: Vec<_> = stranded
            .map(|(key, flight)| (key, flight.waiters))
            .collect();
        drop(state);
        self.fail_all(stranded, |_| error.clone());
    }

    fn fail_all(&self, waiting: Vec<Waiting>, error: impl Fn(&FetchKey) -> Error) {
        for (key, waiters) in waiting {
            self.tree.fail(&key, &error(&key));
            release(waiters, Wake::Settled);
        }
    }

    fn run_clock(&self) {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                break;
            }
            if state.flights.is_empty() {
                let (guard, has_timed_out) = self.clock.wait_timeout(state, WORKER_IDLE);
                state = guard;
                if has_timed_out && state.flights.is_empty() {
                    break;
                }
                continue;
            }
            let overdue = state.take_overdue(self.timeout);
            drop(state);
            self.fail_all(overdue, |key| Error::Timeout {
                what: key.given_up(),
                seconds: self.timeout.as_secs(),
            });
            thread::sleep(TICK);
            state = self.state.lock();
        }
        state.clock_runs = false;
    }
}

impl State {
    /// Takes out the requests that wait for a fetch without progress. The fetch
    /// itself stays, so that no second one starts beside it.
    fn take_overdue(&mut self, timeout: Duration) -> Vec<Waiting> {
        // A queued fetch is as alive as the liveliest one that it queues behind.
        let mut liveliest = [Duration::MAX; Pool::COUNT];
        for (key, flight) in &self.flights {
            if flight.started {
                let idle = &mut liveliest[key.pool() as usize];
                *idle = flight.progress.idle().min(*idle);
            }
        }
        let mut overdue = Vec::new();
        // A stream may be silent, and no request waits for one.
        let waited_for = |key: &FetchKey| key.pool() != Pool::Streams;
        for (key, flight) in &mut self.flights {
            let own = flight.progress.idle();
            let idle = match flight.started {
                true => own,
                false => own.min(liveliest[key.pool() as usize]),
            };
            if idle >= timeout && !flight.waiters.is_empty() && waited_for(key) {
                overdue.push((key.clone(), mem::take(&mut flight.waiters)));
            }
        }
        overdue
    }
}

/// What a worker works on, by the key and by how that is told.
fn work<'a>(key: &FetchKey, told: &'a str) -> Work<'a> {
    // Tells keys apart that are told in the same words.
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let work = Work::on("fetching", 0).at(hasher.finish());
    work.named(told.as_bytes())
}

/// Runs waiters. One that panics must not keep the others from running; its reply is
/// dropped, which answers EIO.
fn release(waiters: Vec<Waiter>, wake: Wake) {
    for waiter in waiters {
        if catch_unwind(AssertUnwindSafe(|| waiter(wake))).is_err() {
            tracing::error!("an operation panicked; its caller got EIO");
        }
    }
}

#[cfg(test)]
mod tests;
