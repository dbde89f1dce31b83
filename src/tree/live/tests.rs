//! The stream, with a server.

use super::{schedule::Event, watch::FOLLOWING};
use crate::{
    api::types::RunStatus,
    fake::{Action, Claude, Fault, LogRow, Port, Run, World},
    progress::Progress,
    tree::{fetch_key::FetchKey, logs::LogView, tests::Bench},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// A live run of an agent that has said one thing, and the server's beat.
fn bench() -> (Bench, Arc<str>) {
    let mut world = World::empty();
    world.heartbeat = Duration::from_millis(200);
    let then = world.ago(60);
    let mut run = Run::new("writer", then).status("running");
    run.event(then, Claude::said("one"));
    let id = world.add_run(run);
    (Bench::new(world), id.as_str().into())
}

fn say(bench: &Bench, id: &str, text: &str) {
    let mut world = bench.server.world();
    let run = world.run_mut(id).unwrap();
    run.event(Timestamp::now(), Claude::said(text));
}

/// Follows in a thread of its own until `done`, which may look at the log.
fn while_followed(bench: &Bench, id: &Arc<str>, done: impl FnOnce()) {
    bench.tree.live.decide(id, Event::LogRead, 1);
    thread::scope(|scope| {
        let following = scope.spawn(|| {
            bench
                .tree
                .live
                .follow(&bench.tree.answers, id, &Progress::new())
        });
        done();
        following.join().unwrap();
    });
}

#[track_caller]
fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + 10 * SECOND;
    while !done() {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn fetch_rows(bench: &Bench, id: &Arc<str>) {
    let rows = FetchKey::logs(id);
    let (now, progress) = (Instant::now(), Progress::new());
    drop(bench.tree.fetch(&rows, now, &progress, &|| ()));
    assert!(bench.tree.last_failure(&rows).is_none());
}

fn status(bench: &Bench, id: &Arc<str>) -> Option<RunStatus> {
    let standing = bench.tree.answers.standing(id);
    standing.map(|(_, status)| status)
}

fn log(bench: &Bench, id: &Arc<str>) -> String {
    let mut text = Vec::new();
    let logs = bench.tree.live.log(id);
    logs.read(LogView::All, 0, 1 << 20, &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_stream_tells_the_lines_of_a_log_and_the_end_of_its_run() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let held = tree.live.log(&id);
    fetch_rows(&bench, &id);
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.live.streams(&id));
        say(&bench, &id, "two");
        until("the line is there", || log(&bench, &id).contains(" two\n"));
        bench.server.world().set_status(&id, "completed");
    });
    assert_eq!(status(&bench, &id), Some(RunStatus::Completed));
    assert_eq!(tree.live.stream_count(), 0);
    let calls = bench.server.requests_to(Port::Api, "/v1/runs/");
    let logs = calls.iter().filter(|call| call.path.ends_with("/logs"));
    assert_eq!(logs.count(), 1, "the line came by the stream");
    drop(held);
}

#[test]
fn a_stream_that_was_cut_goes_on_after_the_last_event_it_told() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let _held = tree.live.log(&id);
    fetch_rows(&bench, &id);
    // The first event ends here; the next begins.
    let cut = Fault::api(
        &format!("/v1/runs/{id}/events"),
        Action::Truncate { after: 2_500 },
    );
    bench.server.fault(cut.times(1));
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.live.streams(&id));
        for n in 0..6 {
            say(&bench, &id, &format!("before {n}"));
        }
    });
    assert!(!tree.live.streams(&id));
    let told = tree.live.log(&id).last_event().unwrap();
    assert!((2..7).contains(&told), "cut in the middle: {told}");
    say(&bench, &id, "after");
    while_followed(&bench, &id, || {
        until("the rest is there", || {
            log(&bench, &id).contains(" after\n")
        });
        bench.server.world().set_status(&id, "failed");
    });
    let text = log(&bench, &id);
    let mut said = text
        .lines()
        .map(|line| line.rsplit(" info ").next().unwrap());
    let expected = [
        "one", "before 0", "before 1", "before 2", "before 3", "before 4",
    ];
    assert!(said.by_ref().take(6).eq(expected), "{text}");
    assert!(said.eq(["before 5", "after"]), "{text}");
    let events = bench
        .server
        .requests_to(Port::Api, &format!("/v1/runs/{id}/events"));
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].query, format!("last_event_id={told}"));
}

#[test]
fn a_stream_is_closed_when_no_process_reads_any_more() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let start = Instant::now();
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.live.streams(&id));
    });
    let lasted = start.elapsed();
    assert!(lasted >= FOLLOWING && lasted < 3 * FOLLOWING, "{lasted:?}");
    assert_eq!(tree.live.stream_count(), 0);
}

#[test]
fn the_log_of_a_run_that_ended_unseen_is_read_anew() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    drop(tree.fetch(
        &FetchKey::run(&id),
        Instant::now(),
        &Progress::new(),
        &|| (),
    ));
    fetch_rows(&bench, &id);
    {
        let mut world = bench.server.world();
        let late = world.ago(40);
        world.add_log(&id, LogRow::system(late, "the end"));
        world.set_status(&id, "completed");
    }
    bench.tree.live.decide(&id, Event::LogRead, 1);
    tree.live.follow(&tree.answers, &id, &Progress::new());
    assert_eq!(status(&bench, &id), Some(RunStatus::Completed));
    let read = bench.ask(|view| view.logs(&id)).unwrap();
    let mut text = Vec::new();
    read.0.read(LogView::All, 0, 1 << 20, &mut text);
    assert!(String::from_utf8(text).unwrap().contains("the end"));
}

#[test]
fn rows_that_came_too_late_are_found_in_the_end_however_long_the_log_is() {
    for (count, most) in [(1_200, 13), (6_000, 52)] {
        let mut world = World::empty();
        let start = world.ago(300);
        let at = |n: i64| start + SignedDuration::from_millis(20 * n);
        let mut run = Run::new("writer", start).status("running");
        run.logs = (0..count).map(|n| LogRow::system(at(n), "#")).collect();
        let id = world.add_run(run);
        let bench = Bench::new(world);
        let id: Arc<str> = id.as_str().into();
        let held = bench.tree.live.log(&id);
        fetch_rows(&bench, &id);
        {
            let mut world = bench.server.world();
            // Further back than going on from the newest row looks.
            world.add_log(&id, LogRow::system(at(count - 1_000), "late"));
            let end = world.ago(60);
            world.run_mut(&id).unwrap().finish(end, "completed", None);
        }
        let (run, progress) = (FetchKey::run(&id), Progress::new());
        drop(bench.tree.fetch(&run, Instant::now(), &progress, &|| ()));
        bench.server.clear_requests();
        let (logs, is_final) = bench.ask(|view| view.logs(&id)).unwrap();
        let mut text = Vec::new();
        logs.read(LogView::All, 0, usize::MAX, &mut text);
        let text = String::from_utf8(text).unwrap();
        let late = text.lines().position(|line| line.ends_with(" late"));
        assert!(is_final && text.lines().count() as i64 == count + 1);
        assert_eq!(late, usize::try_from(count - 999).ok(), "in its order");
        let calls = bench.server.requests_to(Port::Api, "/v1/runs/").len();
        assert!(calls <= most, "{calls} calls for {count} rows");
        drop(held);
    }
}

mod taken_over;
