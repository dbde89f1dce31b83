//! One fetch for all who wait, deadlines, and the end.

use super::*;
use crate::{
    fake::{Action, Fault, Port, World},
    tree::tests::Bench,
};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

const SOON: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_millis(700);
/// The client of a [`Bench`] gives up a hung call after 5 s: what takes less has not
/// waited for that.
const CLIENT: Duration = Duration::from_secs(4);

fn bench() -> (Bench, PendingRequests) {
    bench_with(TIMEOUT)
}

fn bench_with(timeout: Duration) -> (Bench, PendingRequests) {
    let bench = Bench::new(World::empty());
    let pending = PendingRequests::new(bench.tree.clone(), timeout);
    (bench, pending)
}

fn run(id: usize) -> FetchKey {
    FetchKey::run(&format!("run-{id}"))
}

/// The number of fetches that run or are queued.
fn flights(pending: &PendingRequests) -> usize {
    pending.shared.state.lock().flights.len()
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
    let (bench, pending) = bench();
    let delay = Action::Delay(Duration::from_millis(200));
    bench.server.fault(Fault::api("/v1/agents", delay));
    let (done, wait) = channel();
    let since = Instant::now();
    for _ in 0..40 {
        pending.wait(FetchKey::agents(), since, waiter(&done));
    }
    assert_eq!(flights(&pending), 1);
    expect(&wait, 40);
    assert_eq!(bench.server.requests_to(Port::Api, "/v1/agents").len(), 1);
    assert!(bench.tree.last_failure(&FetchKey::agents()).is_none());
    // What was asked for after a request came is good enough for it.
    pending.wait(FetchKey::agents(), since, waiter(&done));
    expect(&wait, 1);
    assert_eq!(bench.server.requests_to(Port::Api, "/v1/agents").len(), 1);
}

#[test]
fn a_request_without_progress_times_out_and_is_fetched_once() {
    let (bench, pending) = bench();
    bench.server.fault(Fault::api("/v1/", Action::Stall));
    let (done, wait) = channel();
    let started = Instant::now();
    // More than there are workers: who is queued is released as well.
    for id in 0..workers(Pool::Calls).0 + 4 {
        pending.wait(run(id), started, waiter(&done));
    }
    expect(&wait, workers(Pool::Calls).0 + 4);
    let waited = started.elapsed();
    assert!(waited >= TIMEOUT && waited < CLIENT, "{waited:?}");
    let failure = bench.tree.last_failure(&run(0));
    assert!(
        matches!(failure, Some(Error::Timeout { .. })),
        "{failure:?}"
    );
    // The hung fetch is still the only one.
    pending.wait(run(0), Instant::now(), waiter(&done));
    expect(&wait, 1);
    assert_eq!(
        bench.server.requests_to(Port::Api, "/v1/runs/run-0").len(),
        1
    );
}

#[test]
fn let_go_fails_requests_that_receive_nothing() {
    let bench = Bench::new(World::empty());
    let pending = PendingRequests::new(bench.tree.clone(), 10 * SOON);
    bench.server.fault(Fault::api("/v1/", Action::Stall));
    let (done, wait) = channel();
    pending.wait(run(0), Instant::now(), waiter(&done));
    pending.let_go();
    assert!(wait.recv_timeout(HUNG / 4).is_err(), "a moment is nothing");
    thread::sleep(HUNG);
    pending.let_go();
    expect(&wait, 1);
    let failure = bench.tree.last_failure(&run(0));
    assert!(matches!(failure, Some(Error::LetGo(_))), "{failure:?}");
}

#[test]
fn bytes_that_come_keep_a_wait_alive() {
    let timeout = Duration::from_secs(2);
    let (bench, pending) = bench_with(timeout);
    let mut world = bench.server.world();
    let then = world.ago(60);
    let run = world.add_run(crate::fake::Run::new("x", then).prompt("x".repeat(1000)));
    drop(world);
    let slow = Action::Rate {
        bytes_per_second: 200,
    };
    bench.server.fault(Fault::api("/v1/runs/", slow));
    let (done, wait) = channel();
    let (want, started) = (FetchKey::run(&run), Instant::now());
    pending.wait(want.clone(), started, waiter(&done));
    wait.recv_timeout(12 * SOON).unwrap();
    assert!(started.elapsed() > 2 * timeout, "{:?}", started.elapsed());
    let failure = bench.tree.last_failure(&want);
    assert!(failure.is_none(), "{failure:?}");
}

#[test]
fn hung_downloads_delay_no_call() {
    let (bench, pending) = bench_with(10 * SOON);
    bench
        .server
        .fault(Fault::api("/v1/volumes/", Action::Stall));
    let (stalled, _wait) = channel();
    let since = Instant::now();
    for id in 0..workers(Pool::Contents).0 + 4 {
        let id: Arc<str> = format!("volume-{id}").into();
        let want = FetchKey::volume_version(&id, &id);
        pending.wait(want, since, waiter(&stalled));
    }
    let (done, wait) = channel();
    pending.wait(FetchKey::agents(), since, waiter(&done));
    expect(&wait, 1);
    assert!(since.elapsed() < CLIENT, "{:?}", since.elapsed());
}

#[test]
fn a_panic_harms_nobody_else() {
    let (_bench, pending) = bench();
    let (done, wait) = channel();
    let since = Instant::now();
    for _ in 0..3 {
        pending.wait(
            FetchKey::agents(),
            since,
            Box::new(|_| panic!("an operation")),
        );
        pending.wait(FetchKey::agents(), since, waiter(&done));
    }
    expect(&wait, 3);
    pending.wait(FetchKey::runs(), Instant::now(), waiter(&done));
    expect(&wait, 1);
}

#[test]
fn stopping_lets_everybody_go_at_once() {
    let (bench, pending) = bench_with(10 * SOON);
    bench.server.fault(Fault::api("/v1/", Action::Stall));
    let (done, wait) = channel();
    let since = Instant::now();
    for id in 0..workers(Pool::Calls).0 + 4 {
        pending.wait(run(id), since, waiter(&done));
    }
    pending.stop();
    pending.wait(FetchKey::agents(), since, waiter(&done));
    drop(done);
    // Dropped without having run.
    assert_eq!(wait.recv_timeout(SOON), Err(RecvTimeoutError::Disconnected));
    assert!(since.elapsed() < CLIENT, "{:?}", since.elapsed());
    assert_eq!(flights(&pending), 0);
}

#[test]
fn threads_come_with_work_and_leave_without() {
    let (_bench, pending) = bench();
    let (done, wait) = channel();
    for round in 0..200 {
        // Each wants anew: nothing is known yet when it arrives.
        pending.wait(run(round), Instant::now(), waiter(&done));
        expect(&wait, 1);
        // Until the worker waits for the next one, another would come for that.
        while pending.shared.state.lock().queue(Pool::Calls).idle == 0 {
            std::thread::yield_now();
        }
    }
    let workers = pending.shared.state.lock().queue(Pool::Calls).workers;
    assert_eq!(workers, 1, "for one at a time");
}

#[test]
fn a_fetch_that_has_killed_two_workers_fails_and_is_named_once() {
    let (mut bench, pending) = bench();
    drop(pending);
    let key = run(1);
    for _ in 0..2 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let told = key.to_string();
                let handover = bench.tree.handover();
                std::mem::forget(handover.working_on(&work(&key, &told)));
                handover.mark_guilty();
            });
        });
        bench.replace();
    }
    let pending = PendingRequests::new(bench.tree.clone(), TIMEOUT);
    let (done, wait) = channel();
    for _ in 0..3 {
        pending.wait(key.clone(), Instant::now(), waiter(&done));
        expect(&wait, 1);
        let failure = bench.tree.last_failure(&key).unwrap();
        assert_eq!(failure.errno(), libc::EIO);
        assert!(failure.to_string().contains("run-1"), "{failure}");
    }
    pending.wait(run(2), Instant::now(), waiter(&done));
    expect(&wait, 1);
    let asked = bench.server.requests_to(Port::Api, "/v1/runs/");
    let asked: Vec<String> = asked.iter().map(|call| call.line()).collect();
    assert!(asked.iter().all(|line| line.contains("run-2")), "{asked:?}");
    assert_eq!(
        bench.text(".vm0fs/errors").matches("run-1").count(),
        2,
        "in one line"
    );
}
