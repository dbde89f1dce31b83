//! Requests that wait. Whoever misses something leaves what is to run when it
//! is there; one fetch runs for all who want the same; whoever waits too long
//! without a byte arriving is released with a failure.
//!
//! Lock order: `state` is the only lock, and nothing is called while it is held.

use crate::{
    error::Error,
    progress::Progress,
    tree::{Tree, Want},
};
use std::{
    collections::{HashMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Fetches of JSON at a time. A hung one holds its worker until its own
/// timeout, so there are more than a well service needs.
const CALL_WORKERS: usize = 16;
/// Downloads at a time: unpacking keeps a core busy, so more would only make
/// each slower; yet a stalled one must not stop the others.
const CONTENT_WORKERS: usize = 6;
/// How long a worker without work stays.
const WORKER_IDLE: Duration = Duration::from_secs(10);
/// How often deadlines are looked at while anyone waits.
const TICK: Duration = Duration::from_millis(250);

/// What runs again when the fetch it waits for is done, one way or another.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// The one place where requests wait.
pub struct Park {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<Tree>,
    /// For how long nothing may arrive.
    timeout: Duration,
    state: Mutex<State>,
    /// Work for the calls, for the downloads, and for the clock.
    call: Condvar,
    content: Condvar,
    clock: Condvar,
}

#[derive(Default)]
struct State {
    pending: HashMap<Want, Pending>,
    calls: Lane,
    contents: Lane,
    clock_runs: bool,
    stopped: bool,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Want>,
    workers: usize,
    idle: usize,
}

struct Pending {
    waiters: Vec<Waiter>,
    since: Instant,
    progress: Progress,
    started: bool,
}

impl Park {
    /// A park for a tree, in which nobody waits longer than `timeout` without a
    /// byte arriving.
    pub fn new(tree: Arc<Tree>, timeout: Duration) -> Self {
        let shared = Shared {
            tree,
            timeout,
            state: Mutex::default(),
            call: Condvar::new(),
            content: Condvar::new(),
            clock: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Lets `waiter` run once `want` has been fetched, or has failed, for a
    /// request that arrived at `since`. Never blocks.
    pub fn wait(&self, want: Want, since: Instant, waiter: Waiter) {
        let shared = &self.shared;
        let mut state = shared.lock();
        if state.stopped {
            // Dropped outside the lock: a dropped reply writes to the kernel.
            drop(state);
            drop(waiter);
            return;
        }
        if let Some(pending) = state.pending.get_mut(&want) {
            pending.waiters.push(waiter);
            return;
        }
        let pending = Pending {
            waiters: vec![waiter],
            since,
            progress: Progress::new(),
            started: false,
        };
        state.pending.insert(want.clone(), pending);
        let is_content = want.is_content();
        let lane = state.lane(is_content);
        lane.queue.push_back(want.clone());
        let most = if is_content {
            CONTENT_WORKERS
        } else {
            CALL_WORKERS
        };
        // One worker a queued want, as far as they go; those at work come back.
        let add_worker = lane.idle < lane.queue.len() && lane.workers < most;
        if add_worker {
            lane.workers += 1;
        }
        let add_clock = !mem::replace(&mut state.clock_runs, true);
        drop(state);
        shared.signal(is_content).notify_one();
        shared.clock.notify_one();
        if add_clock && !spawn("clock", shared.clone(), |shared| shared.run_clock()) {
            shared.lock().clock_runs = false;
        }
        if add_worker {
            let name = if is_content { "download" } else { "call" };
            let spawned = spawn(name, shared.clone(), move |shared| {
                shared.run_worker(is_content)
            });
            if !spawned {
                shared.worker_failed(is_content);
            }
        }
    }

    /// How many fetches are under way or queued, for diagnosis.
    pub fn pending(&self) -> usize {
        self.shared.lock().pending.len()
    }

    /// Releases everybody and takes nobody in any more: the mount is ending.
    /// Dropped replies answer EIO. Fetches under way are left to end by
    /// themselves.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        state.calls.queue.clear();
        state.contents.queue.clear();
        let pending = mem::take(&mut state.pending);
        drop(state);
        for signal in [&self.shared.call, &self.shared.content, &self.shared.clock] {
            signal.notify_all();
        }
        drop(pending);
    }
}

impl Drop for Park {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(
    name: &str,
    shared: Arc<Shared>,
    body: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> bool {
    let builder = thread::Builder::new().name(format!("vm0fs-{name}"));
    let spawned = builder.spawn(move || body(&shared));
    if let Err(error) = &spawned {
        tracing::error!("cannot start a thread: {error}");
    }
    spawned.is_ok()
}

impl State {
    fn lane(&mut self, is_content: bool) -> &mut Lane {
        if is_content {
            &mut self.contents
        } else {
            &mut self.calls
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, is_content: bool) -> &Condvar {
        if is_content {
            &self.content
        } else {
            &self.call
        }
    }

    fn run_worker(&self, is_content: bool) {
        let mut state = self.lock();
        loop {
            if state.stopped {
                break;
            }
            let Some(want) = state.lane(is_content).queue.pop_front() else {
                state.lane(is_content).idle += 1;
                let (woken, timeout) = self
                    .signal(is_content)
                    .wait_timeout(state, WORKER_IDLE)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.lane(is_content).idle -= 1;
                if timeout.timed_out() && state.lane(is_content).queue.is_empty() {
                    break;
                }
                continue;
            };
            let Some(pending) = state.pending.get_mut(&want) else {
                continue;
            };
            pending.started = true;
            pending.progress.advance(0);
            let (since, progress) = (pending.since, pending.progress.clone());
            drop(state);
            let fetch = AssertUnwindSafe(|| self.tree.fetch(&want, since, &progress));
            if catch_unwind(fetch).is_err() {
                let error = Error::Internal(format!("fetching {want} panicked"));
                self.tree.fail(&want, &error);
            }
            state = self.lock();
            let done = state.pending.remove(&want);
            drop(state);
            release(done.map(|pending| pending.waiters).unwrap_or_default());
            state = self.lock();
        }
        state.lane(is_content).workers -= 1;
    }

    /// A worker could not be started. If none is left to serve the queue, those
    /// in it must not wait for ever.
    fn worker_failed(&self, is_content: bool) {
        let mut state = self.lock();
        let lane = state.lane(is_content);
        lane.workers -= 1;
        if lane.workers > 0 {
            return;
        }
        let stranded: Vec<Want> = lane.queue.drain(..).collect();
        let stranded: Vec<(Want, Pending)> = stranded
            .into_iter()
            .filter_map(|want| state.pending.remove_entry(&want))
            .collect();
        drop(state);
        for (want, pending) in stranded {
            self.tree
                .fail(&want, &Error::Internal("no thread could be started".into()));
            release(pending.waiters);
        }
    }

    fn run_clock(&self) {
        let mut state = self.lock();
        loop {
            if state.stopped {
                break;
            }
            if state.pending.is_empty() {
                let (woken, timeout) = self
                    .clock
                    .wait_timeout(state, WORKER_IDLE)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if timeout.timed_out() && state.pending.is_empty() {
                    break;
                }
                continue;
            }
            let overdue = state.take_overdue(self.timeout);
            drop(state);
            for (want, waiters) in overdue {
                let error = Error::Timeout {
                    what: want.to_string(),
                    seconds: self.timeout.as_secs(),
                };
                self.tree.fail(&want, &error);
                release(waiters);
            }
            thread::sleep(TICK);
            state = self.lock();
        }
        state.clock_runs = false;
    }
}

impl State {
    /// Takes out those who wait for a fetch that makes no progress. The fetch
    /// itself stays, so that nobody starts a second one beside it.
    fn take_overdue(&mut self, timeout: Duration) -> Vec<(Want, Vec<Waiter>)> {
        // What is queued is as alive as the liveliest fetch it queues behind.
        let liveliest = |is_content: bool| {
            let of_lane = self
                .pending
                .iter()
                .filter(|(want, _)| want.is_content() == is_content);
            let started = of_lane.filter(|(_, pending)| pending.started);
            started
                .map(|(_, pending)| pending.progress.idle())
                .min()
                .unwrap_or(Duration::MAX)
        };
        let lanes = [liveliest(false), liveliest(true)];
        let mut overdue = Vec::new();
        for (want, pending) in &mut self.pending {
            let own = pending.progress.idle();
            let idle = if pending.started {
                own
            } else {
                own.min(lanes[usize::from(want.is_content())])
            };
            if idle >= timeout && !pending.waiters.is_empty() {
                overdue.push((want.clone(), mem::take(&mut pending.waiters)));
            }
        }
        overdue
    }
}

/// Runs what waited. One that panics must not keep the others waiting; its
/// reply is dropped, which answers EIO.
fn release(waiters: Vec<Waiter>) {
    for waiter in waiters {
        if catch_unwind(AssertUnwindSafe(waiter)).is_err() {
            tracing::error!("an operation panicked; its caller got EIO");
        }
    }
}
