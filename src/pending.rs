//! Requests that wait. Whoever misses something leaves what is to run when it
//! is there; one fetch runs for all who want the same; whoever waits too long
//! without a byte arriving is released with a failure.
//!
//! Lock order: `state` is the only lock, and nothing is called while it is held.

use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Condvar, Mutex},
    tree::{Answer, FetchKey, Miss, Pool, Tree, View},
};
use std::{
    collections::{HashMap, VecDeque},
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
        // A reader that gets none is served by calls.
        Pool::Streams => (Pool::STREAMS, "stream"),
    }
}
/// How long a worker without work stays.
const WORKER_IDLE: Duration = Duration::from_secs(10);
/// How often deadlines are looked at while anyone waits.
const TICK: Duration = Duration::from_millis(250);

/// Nothing has come for this long to those whom [`PendingRequests::let_go`] releases.
const HUNG: Duration = Duration::from_secs(1);

/// The attribute of a mount's root whose setting means [`PendingRequests::let_go`]: it needs
/// neither a socket nor a signal, and the kernel says who sets it.
pub const LET_GO: &str = "user.vm0.let-go";

/// Why a request that waited runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// More of what it waits for has come.
    Arrived,
    /// The fetch has ended, one way or another, or made no progress for too long.
    Settled,
}

/// What runs again.
pub type Waiter = Box<dyn FnOnce(Wake) + Send>;

/// The one place where requests wait.
pub struct PendingRequests {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<Tree>,
    /// For how long nothing may arrive.
    timeout: Duration,
    state: Mutex<State>,
    /// Work for each pool, and for the clock.
    work: [Condvar; Pool::COUNT],
    clock: Condvar,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    flights: HashMap<FetchKey, Flight>,
    queues: [Queue; Pool::COUNT],
    clock_runs: bool,
    /// Those for whom more has come, until the waker has run them.
    ready: Vec<Waiter>,
    waker_runs: bool,
    stopped: bool,
}

#[derive(Default)]
struct Queue {
    wants: VecDeque<FetchKey>,
    workers: usize,
    idle: usize,
}

struct Flight {
    waiters: Vec<Waiter>,
    since: Instant,
    progress: Progress,
    started: bool,
}

impl PendingRequests {
    /// The requests that wait for a tree, none of them longer than `timeout` without a
    /// byte arriving.
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

    /// Lets `waiter` run once `want` has been fetched, or has failed, for a
    /// request that arrived at `since`. Never blocks.
    pub fn wait(&self, want: FetchKey, since: Instant, waiter: Waiter) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if state.stopped {
            // Dropped outside the lock: a dropped reply writes to the kernel.
            drop(state);
            drop(waiter);
            return;
        }
        if let Some(flight) = state.flights.get_mut(&want) {
            flight.waiters.push(waiter);
            return;
        }
        let flight = Flight {
            waiters: vec![waiter],
            since,
            progress: Progress::new(),
            started: false,
        };
        state.flights.insert(want.clone(), flight);
        let pool = want.pool();
        let (most, name) = workers(pool);
        let queue = state.queue(pool);
        queue.wants.push_back(want.clone());
        // One worker a queued want, as far as they go; those at work come back.
        let add_worker = queue.idle < queue.wants.len() && queue.workers < most;
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
            for want in view.take_wishes() {
                self.wait(want, since, Box::new(|_| ()));
            }
            let want = match answer {
                Ok(value) => return Ok(value),
                Err(Miss::Error(error)) => return Err(error),
                Err(Miss::Fetch(want)) => want,
            };
            let (done, wait) = mpsc::channel();
            let waiter = move |_| {
                // Whoever waits is there until this comes.
                let _ = done.send(());
            };
            self.wait(want, since, Box::new(waiter));
            // It comes by the deadline; dropped unused, the mount is ending.
            if wait.recv().is_err() {
                return Err(Error::Internal("the mount is ending".into()));
            }
        }
    }

    /// How many fetches are under way or queued, for diagnosis.
    pub fn count(&self) -> usize {
        self.shared.state.lock().flights.len()
    }

    /// Releases those to whom nothing has come for a second, as if that were the
    /// deadline: somebody wants to unmount, and whoever waits keeps a mount busy.
    pub fn let_go(&self) {
        let hung = self.shared.state.lock().take_overdue(HUNG);
        self.shared
            .fail_overdue(hung, |want| Error::LetGo(want.to_string()));
    }

    /// Releases everybody and takes nobody in any more: the mount is ending.
    /// Dropped replies answer EIO. Fetches under way are left to end by
    /// themselves.
    pub fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.stopped = true;
        state
            .queues
            .iter_mut()
            .for_each(|queue| queue.wants.clear());
        let flights = mem::take(&mut state.flights);
        let ready = mem::take(&mut state.ready);
        drop(state);
        let Shared {
            work, clock, wake, ..
        } = &*self.shared;
        for signal in work.iter().chain([clock, wake]) {
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
    let builder = thread::Builder::new().name(format!("vm0fs-{name}"));
    let spawned = builder.spawn(move || body(&shared));
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
            let Some(want) = state.queue(pool).wants.pop_front() else {
                state.queue(pool).idle += 1;
                let (woken, has_timed_out) = self.signal(pool).wait_timeout(state, WORKER_IDLE);
                state = woken;
                let queue = state.queue(pool);
                queue.idle -= 1;
                if has_timed_out && queue.wants.is_empty() {
                    break;
                }
                continue;
            };
            let Some(flight) = state.flights.get_mut(&want) else {
                continue;
            };
            flight.started = true;
            flight.progress.advance(0);
            let (since, progress) = (flight.since, flight.progress.clone());
            drop(state);
            let arrived = || self.wake_early(&want);
            let fetch = AssertUnwindSafe(|| self.tree.fetch(&want, since, &progress, &arrived));
            let hold = catch_unwind(fetch).unwrap_or_else(|_| {
                let error = Error::Internal(format!("fetching {want} panicked"));
                self.tree.fail(&want, &error);
                None
            });
            state = self.state.lock();
            let done = state.flights.remove(&want);
            drop(state);
            release(
                done.map(|flight| flight.waiters).unwrap_or_default(),
                Wake::Settled,
            );
            drop(hold);
            state = self.state.lock();
        }
        state.queue(pool).workers -= 1;
    }

    /// Lets those who wait for `want` look at what has come so far. They run in
    /// a thread of their own: this one has more to bring.
    fn wake_early(self: &Arc<Self>, want: &FetchKey) {
        let mut state = self.state.lock();
        let Some(flight) = state.flights.get_mut(want) else {
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
            // Slower for the fetch, but nobody is left behind.
            self.run_waker();
        }
    }

    fn run_waker(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let ready = mem::take(&mut state.ready);
            if ready.is_empty() {
                let (woken, has_timed_out) = self.wake.wait_timeout(state, WORKER_IDLE);
                state = woken;
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

    /// A worker could not be started. If none is left to serve the queue, those
    /// in it must not wait for ever.
    fn worker_failed(&self, pool: Pool, error: &Error) {
        let mut state = self.state.lock();
        let queue = state.queue(pool);
        queue.workers -= 1;
        if queue.workers > 0 {
            return;
        }
        let stranded: Vec<FetchKey> = queue.wants.drain(..).collect();
        let stranded: Vec<(FetchKey, Flight)> = stranded
            .into_iter()
            .filter_map(|want| state.flights.remove_entry(&want))
            .collect();
        drop(state);
        for (want, flight) in stranded {
            self.tree.fail(&want, error);
            release(flight.waiters, Wake::Settled);
        }
    }

    fn fail_overdue(
        &self,
        overdue: Vec<(FetchKey, Vec<Waiter>)>,
        error: impl Fn(&FetchKey) -> Error,
    ) {
        for (want, waiters) in overdue {
            self.tree.fail(&want, &error(&want));
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
                let (woken, has_timed_out) = self.clock.wait_timeout(state, WORKER_IDLE);
                state = woken;
                if has_timed_out && state.flights.is_empty() {
                    break;
                }
                continue;
            }
            let overdue = state.take_overdue(self.timeout);
            drop(state);
            self.fail_overdue(overdue, |want| Error::Timeout {
                what: want.to_string(),
                seconds: self.timeout.as_secs(),
            });
            thread::sleep(TICK);
            state = self.state.lock();
        }
        state.clock_runs = false;
    }
}

impl State {
    /// Takes out those who wait for a fetch that makes no progress. The fetch
    /// itself stays, so that nobody starts a second one beside it.
    fn take_overdue(&mut self, timeout: Duration) -> Vec<(FetchKey, Vec<Waiter>)> {
        // What is queued is as alive as the liveliest fetch it queues behind.
        let mut liveliest = [Duration::MAX; Pool::COUNT];
        for (want, flight) in &self.flights {
            if flight.started {
                let idle = &mut liveliest[want.pool() as usize];
                *idle = flight.progress.idle().min(*idle);
            }
        }
        let mut overdue = Vec::new();
        // A stream may be silent, and nobody's answer waits for one.
        let waited_for = |want: &FetchKey| want.pool() != Pool::Streams;
        for (want, flight) in &mut self.flights {
            let own = flight.progress.idle();
            let idle = if flight.started {
                own
            } else {
                own.min(liveliest[want.pool() as usize])
            };
            if idle >= timeout && !flight.waiters.is_empty() && waited_for(want) {
                overdue.push((want.clone(), mem::take(&mut flight.waiters)));
            }
        }
        overdue
    }
}

/// Runs what waited. One that panics must not keep the others waiting; its
/// reply is dropped, which answers EIO.
fn release(waiters: Vec<Waiter>, woken: Wake) {
    for waiter in waiters {
        if catch_unwind(AssertUnwindSafe(|| waiter(woken))).is_err() {
            tracing::error!("an operation panicked; its caller got EIO");
        }
    }
}

#[cfg(test)]
mod tests;
