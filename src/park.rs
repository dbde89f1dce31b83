//! Requests that wait. Whoever misses something leaves what is to run when it
//! is there; one fetch runs for all who want the same; whoever waits too long
//! without a byte arriving is released with a failure.
//!
//! Lock order: `state` is the only lock, and nothing is called while it is held.

use crate::{
    error::{Error, Result},
    progress::Progress,
    sync::{Condvar, Mutex},
    tree::{Answer, Lane, Miss, Tree, View, Want},
};
use std::{
    collections::{HashMap, VecDeque},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How many workers each lane may have, and their name.
const fn workers(lane: Lane) -> (usize, &'static str) {
    match lane {
        // A hung call holds its worker until its own timeout, so there are more
        // than a well service needs.
        Lane::Calls => (16, "call"),
        // Unpacking keeps a core busy, so more would only make each slower; yet
        // a stalled download must not stop the others.
        Lane::Contents => (6, "download"),
        // A reader that gets none is served by calls.
        Lane::Streams => (Lane::STREAMS, "stream"),
    }
}
/// How long a worker without work stays.
const WORKER_IDLE: Duration = Duration::from_secs(10);
/// How often deadlines are looked at while anyone waits.
const TICK: Duration = Duration::from_millis(250);

/// Nothing has come for this long to those whom [`Park::let_go`] releases.
const HUNG: Duration = Duration::from_secs(1);

/// The attribute of a mount's root whose setting means [`Park::let_go`]: it needs
/// neither a socket nor a signal, and the kernel says who sets it.
pub const LET_GO: &str = "user.vm0.let-go";

/// Why a request that waited runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// More of what it waits for has come.
    Arrived,
    /// The fetch has ended, one way or another, or made no progress for too long.
    Settled,
}

/// What runs again.
pub type Waiter = Box<dyn FnOnce(Woken) + Send>;

/// The one place where requests wait.
pub struct Park {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Arc<Tree>,
    /// For how long nothing may arrive.
    timeout: Duration,
    state: Mutex<State>,
    /// Work for each lane, and for the clock.
    work: [Condvar; Lane::COUNT],
    clock: Condvar,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    pending: HashMap<Want, Pending>,
    queues: [Queue; Lane::COUNT],
    clock_runs: bool,
    /// Those for whom more has come, until the waker has run them.
    ready: Vec<Waiter>,
    waker_runs: bool,
    stopped: bool,
}

#[derive(Default)]
struct Queue {
    wants: VecDeque<Want>,
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
    pub fn wait(&self, want: Want, since: Instant, waiter: Waiter) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
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
        let lane = want.lane();
        let (most, name) = workers(lane);
        let queue = state.queue(lane);
        queue.wants.push_back(want.clone());
        // One worker a queued want, as far as they go; those at work come back.
        let add_worker = queue.idle < queue.wants.len() && queue.workers < most;
        if add_worker {
            queue.workers += 1;
        }
        let add_clock = !mem::replace(&mut state.clock_runs, true);
        drop(state);
        shared.signal(lane).notify_one();
        shared.clock.notify_one();
        if add_clock && spawn("clock", shared.clone(), |shared| shared.run_clock()).is_err() {
            shared.state.lock().clock_runs = false;
        }
        if add_worker
            && let Err(error) = spawn(name, shared.clone(), move |shared| shared.run_worker(lane))
        {
            shared.worker_failed(lane, &error);
        }
    }

    /// Runs an operation to its end, and waits for what it misses: for commands,
    /// which may wait.
    ///
    /// # Errors
    /// What the operation fails with; [`Error::Internal`] once the park has stopped.
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
                Err(Miss::Want(want)) => want,
            };
            let (done, wait) = mpsc::channel();
            let waiter = move |_| {
                // Whoever waits is there until this comes.
                let _ = done.send(());
            };
            self.wait(want, since, Box::new(waiter));
            // It comes by the deadline; dropped unused, the park has stopped.
            if wait.recv().is_err() {
                return Err(Error::Internal("the park has stopped".into()));
            }
        }
    }

    /// How many fetches are under way or queued, for diagnosis.
    pub fn pending(&self) -> usize {
        self.shared.state.lock().pending.len()
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
        let pending = mem::take(&mut state.pending);
        let ready = mem::take(&mut state.ready);
        drop(state);
        let Shared {
            work, clock, wake, ..
        } = &*self.shared;
        for signal in work.iter().chain([clock, wake]) {
            signal.notify_all();
        }
        drop((pending, ready));
        self.shared.tree.close();
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
) -> Result<()> {
    let builder = thread::Builder::new().name(format!("vm0fs-{name}"));
    let spawned = builder.spawn(move || body(&shared));
    let spawned = spawned.map(|_| ()).map_err(Error::no_thread);
    spawned.inspect_err(|error| tracing::error!("{error}"))
}

impl State {
    fn queue(&mut self, lane: Lane) -> &mut Queue {
        &mut self.queues[lane as usize]
    }
}

impl Shared {
    fn signal(&self, lane: Lane) -> &Condvar {
        &self.work[lane as usize]
    }

    fn run_worker(self: &Arc<Self>, lane: Lane) {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                break;
            }
            let Some(want) = state.queue(lane).wants.pop_front() else {
                state.queue(lane).idle += 1;
                let (woken, has_timed_out) = self.signal(lane).wait_timeout(state, WORKER_IDLE);
                state = woken;
                let queue = state.queue(lane);
                queue.idle -= 1;
                if has_timed_out && queue.wants.is_empty() {
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
            let arrived = || self.wake_early(&want);
            let fetch = AssertUnwindSafe(|| self.tree.fetch(&want, since, &progress, &arrived));
            let hold = catch_unwind(fetch).unwrap_or_else(|_| {
                let error = Error::Internal(format!("fetching {want} panicked"));
                self.tree.fail(&want, &error);
                None
            });
            state = self.state.lock();
            let done = state.pending.remove(&want);
            drop(state);
            release(
                done.map(|pending| pending.waiters).unwrap_or_default(),
                Woken::Settled,
            );
            drop(hold);
            state = self.state.lock();
        }
        state.queue(lane).workers -= 1;
    }

    /// Lets those who wait for `want` look at what has come so far. They run in
    /// a thread of their own: this one has more to bring.
    fn wake_early(self: &Arc<Self>, want: &Want) {
        let mut state = self.state.lock();
        let Some(pending) = state.pending.get_mut(want) else {
            return;
        };
        if pending.waiters.is_empty() {
            return;
        }
        let waiters = mem::take(&mut pending.waiters);
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
            release(ready, Woken::Arrived);
            state = self.state.lock();
        }
        state.waker_runs = false;
    }

    /// A worker could not be started. If none is left to serve the queue, those
    /// in it must not wait for ever.
    fn worker_failed(&self, lane: Lane, error: &Error) {
        let mut state = self.state.lock();
        let queue = state.queue(lane);
        queue.workers -= 1;
        if queue.workers > 0 {
            return;
        }
        let stranded: Vec<Want> = queue.wants.drain(..).collect();
        let stranded: Vec<(Want, Pending)> = stranded
            .into_iter()
            .filter_map(|want| state.pending.remove_entry(&want))
            .collect();
        drop(state);
        for (want, pending) in stranded {
            self.tree.fail(&want, error);
            release(pending.waiters, Woken::Settled);
        }
    }

    fn fail_overdue(&self, overdue: Vec<(Want, Vec<Waiter>)>, error: impl Fn(&Want) -> Error) {
        for (want, waiters) in overdue {
            self.tree.fail(&want, &error(&want));
            release(waiters, Woken::Settled);
        }
    }

    fn run_clock(&self) {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                break;
            }
            if state.pending.is_empty() {
                let (woken, has_timed_out) = self.clock.wait_timeout(state, WORKER_IDLE);
                state = woken;
                if has_timed_out && state.pending.is_empty() {
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
    fn take_overdue(&mut self, timeout: Duration) -> Vec<(Want, Vec<Waiter>)> {
        // What is queued is as alive as the liveliest fetch it queues behind.
        let mut liveliest = [Duration::MAX; Lane::COUNT];
        for (want, pending) in &self.pending {
            if pending.started {
                let idle = &mut liveliest[want.lane() as usize];
                *idle = pending.progress.idle().min(*idle);
            }
        }
        let mut overdue = Vec::new();
        // A stream may be silent, and nobody's answer waits for one.
        let waited_for = |want: &Want| want.lane() != Lane::Streams;
        for (want, pending) in &mut self.pending {
            let own = pending.progress.idle();
            let idle = if pending.started {
                own
            } else {
                own.min(liveliest[want.lane() as usize])
            };
            if idle >= timeout && !pending.waiters.is_empty() && waited_for(want) {
                overdue.push((want.clone(), mem::take(&mut pending.waiters)));
            }
        }
        overdue
    }
}

/// Runs what waited. One that panics must not keep the others waiting; its
/// reply is dropped, which answers EIO.
fn release(waiters: Vec<Waiter>, woken: Woken) {
    for waiter in waiters {
        if catch_unwind(AssertUnwindSafe(|| waiter(woken))).is_err() {
            tracing::error!("an operation panicked; its caller got EIO");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::types::StorageKind,
        fake::{Action, Fault, Port, World},
        tree::tests::Bench,
    };
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

    const SOON: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_millis(700);

    fn bench() -> (Bench, Park) {
        let bench = Bench::new(World::empty());
        let park = Park::new(bench.tree.clone(), TIMEOUT);
        (bench, park)
    }

    fn run(id: usize) -> Want {
        Want::Run(format!("run-{id}").into())
    }

    /// Says when it runs; dropped, it hangs up.
    fn waiter(done: &Sender<()>) -> Waiter {
        let done = done.clone();
        Box::new(move |_| done.send(()).unwrap())
    }

    #[track_caller]
    fn expect(done: &Receiver<()>, times: usize) {
        for n in 0..times {
            done.recv_timeout(SOON)
                .unwrap_or_else(|error| panic!("{n} of {times} ran: {error}"));
        }
    }

    #[test]
    fn one_fetch_serves_all_who_wait() {
        let (bench, park) = bench();
        let delay = Action::Delay(Duration::from_millis(200));
        bench.server.fault(Fault::api("/v1/agents", delay));
        let (done, wait) = channel();
        let since = Instant::now();
        for _ in 0..40 {
            park.wait(Want::Agents, since, waiter(&done));
        }
        assert_eq!(park.pending(), 1);
        expect(&wait, 40);
        assert_eq!(bench.server.requests_to(Port::Api, "/v1/agents").len(), 1);
        assert!(bench.tree.last_failure(&Want::Agents).is_none());
        // What was asked for after a request came is good enough for it.
        park.wait(Want::Agents, since, waiter(&done));
        expect(&wait, 1);
        assert_eq!(bench.server.requests_to(Port::Api, "/v1/agents").len(), 1);
    }

    #[test]
    fn who_waits_without_a_byte_is_released_and_nothing_is_asked_twice() {
        let (bench, park) = bench();
        bench.server.fault(Fault::api("/v1/", Action::Stall));
        let (done, wait) = channel();
        let started = Instant::now();
        // More than there are workers: who is queued is released as well.
        for id in 0..workers(Lane::Calls).0 + 4 {
            park.wait(run(id), started, waiter(&done));
        }
        expect(&wait, workers(Lane::Calls).0 + 4);
        let waited = started.elapsed();
        assert!(waited >= TIMEOUT && waited < 3 * TIMEOUT, "{waited:?}");
        let failure = bench.tree.last_failure(&run(0));
        assert!(
            matches!(failure, Some(Error::Timeout { .. })),
            "{failure:?}"
        );
        // The hung fetch is still the only one.
        park.wait(run(0), Instant::now(), waiter(&done));
        expect(&wait, 1);
        assert_eq!(
            bench.server.requests_to(Port::Api, "/v1/runs/run-0").len(),
            1
        );
    }

    #[test]
    fn who_waits_in_vain_is_let_go() {
        let bench = Bench::new(World::empty());
        let park = Park::new(bench.tree.clone(), 10 * SOON);
        bench.server.fault(Fault::api("/v1/", Action::Stall));
        let (done, wait) = channel();
        park.wait(run(0), Instant::now(), waiter(&done));
        park.let_go();
        assert!(wait.recv_timeout(HUNG / 4).is_err(), "a moment is nothing");
        thread::sleep(HUNG);
        park.let_go();
        expect(&wait, 1);
        let failure = bench.tree.last_failure(&run(0));
        assert!(matches!(failure, Some(Error::LetGo(_))), "{failure:?}");
    }

    #[test]
    fn bytes_that_come_keep_a_wait_alive() {
        let (bench, park) = bench();
        let mut world = bench.server.world();
        let then = world.ago(60);
        let run = world.add_run(crate::fake::Run::new("x", then).prompt("x".repeat(1000)));
        drop(world);
        let slow = Action::Rate {
            bytes_per_second: 600,
        };
        bench.server.fault(Fault::api("/v1/runs/", slow));
        let (done, wait) = channel();
        let (want, started) = (Want::Run(run.into()), Instant::now());
        park.wait(want.clone(), started, waiter(&done));
        expect(&wait, 1);
        assert!(started.elapsed() > 2 * TIMEOUT, "{:?}", started.elapsed());
        let failure = bench.tree.last_failure(&want);
        assert!(failure.is_none(), "{failure:?}");
    }

    #[test]
    fn hung_downloads_delay_no_call() {
        let (bench, park) = bench();
        bench
            .server
            .fault(Fault::api("/v1/volumes/", Action::Stall));
        let (stalled, _wait) = channel();
        let since = Instant::now();
        for id in 0..workers(Lane::Contents).0 + 4 {
            let id: Arc<str> = format!("volume-{id}").into();
            let want = Want::Content(StorageKind::Volume, id.clone(), id);
            park.wait(want, since, waiter(&stalled));
        }
        let (done, wait) = channel();
        park.wait(Want::Agents, since, waiter(&done));
        expect(&wait, 1);
        assert!(since.elapsed() < TIMEOUT, "{:?}", since.elapsed());
    }

    #[test]
    fn a_panic_harms_nobody_else() {
        let (_bench, park) = bench();
        let (done, wait) = channel();
        let since = Instant::now();
        for _ in 0..3 {
            park.wait(Want::Agents, since, Box::new(|_| panic!("an operation")));
            park.wait(Want::Agents, since, waiter(&done));
        }
        expect(&wait, 3);
        park.wait(Want::Runs, Instant::now(), waiter(&done));
        expect(&wait, 1);
    }

    #[test]
    fn stopping_lets_everybody_go_at_once() {
        let (bench, park) = bench();
        bench.server.fault(Fault::api("/v1/", Action::Stall));
        let (done, wait) = channel();
        let since = Instant::now();
        for id in 0..workers(Lane::Calls).0 + 4 {
            park.wait(run(id), since, waiter(&done));
        }
        park.stop();
        park.wait(Want::Agents, since, waiter(&done));
        drop(done);
        // Dropped without having run.
        assert_eq!(wait.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected));
        assert!(since.elapsed() < TIMEOUT, "{:?}", since.elapsed());
        assert_eq!(park.pending(), 0);
    }

    #[test]
    fn threads_come_with_work_and_leave_without() {
        let (_bench, park) = bench();
        let (done, wait) = channel();
        for round in 0..200 {
            // Each wants anew: nothing is known yet when it arrives.
            park.wait(run(round), Instant::now(), waiter(&done));
            expect(&wait, 1);
        }
        let workers = park.shared.state.lock().queue(Lane::Calls).workers;
        assert!((1..=4).contains(&workers), "{workers} for one at a time");
    }
}
