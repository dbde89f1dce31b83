//! The allowance, by a clock that is turned by hand; and the stream, with a
//! server.

use super::*;
use crate::{
    fake::{Action, Claude, Fault, LogRow, Port, Run, World},
    tree::tests::Bench,
};
use jiff::Timestamp;
use std::thread;

const SECOND: Duration = Duration::from_secs(1);

/// A process looks each second for so long; gives the seconds at which rows were
/// asked for. `news` says when the stream tells something.
fn seconds_asked(seconds: u32, news: impl Fn(u32) -> bool) -> Vec<u32> {
    let start = Instant::now();
    let mut follow = Follow::new(start);
    follow.streams_since = Some(start);
    let mut asked = Vec::new();
    for second in 0..seconds {
        let now = start + second * SECOND;
        follow.news |= news(second);
        if follow.look(now, 1) == Look::Due {
            // As `Follows::asking` does it.
            follow.earn(now, 1);
            follow.allowance = (follow.allowance - 1.0).max(0.0);
            follow.asked = Some(now);
            follow.news = false;
            asked.push(second);
        }
    }
    asked
}

#[test]
fn a_minute_of_anything_costs_a_few_calls() {
    let silence = seconds_asked(60, |_| false);
    let dense = seconds_asked(60, |_| true);
    for asked in [&silence, &dense] {
        assert!((5..=9).contains(&asked.len()), "{asked:?}");
        assert_eq!(asked[0], 0, "at once");
    }
    let hour = seconds_asked(3600, |second| second % 2 == 0);
    assert!((290..=304).contains(&hour.len()), "{}", hour.len());
    // No silence is longer than what earns a question.
    for asked in [silence, dense, hour] {
        let longest = asked.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.unwrap() <= 12, "{asked:?}");
    }
}

#[test]
fn rows_are_asked_for_within_a_second_of_the_streams_news() {
    let asked = seconds_asked(60, |second| second % 20 == 11);
    for second in [11, 31, 51] {
        assert!(
            asked.contains(&second) || asked.contains(&(second + 1)),
            "{asked:?}"
        );
    }
}

#[test]
fn who_looks_once_is_no_follower() {
    let start = Instant::now();
    let mut follow = Follow::new(start);
    assert_eq!(follow.look(start, 1), Look::Unfollowed { begin: false });
    follow.asked = Some(start);
    let again = |follow: &mut Follow, after: f64| follow.look(start + SECOND.mul_f64(after), 1);
    assert_eq!(again(&mut follow, 1.0), Look::Unfollowed { begin: false });
    assert_eq!(again(&mut follow, 2.5), Look::Unfollowed { begin: true });
    assert_eq!(again(&mut follow, 60.0), Look::Unfollowed { begin: false });
    follow.next_try = start + 5 * SECOND;
    assert_eq!(again(&mut follow, 4.0), Look::Unfollowed { begin: false });
    assert_eq!(again(&mut follow, 6.0), Look::Unfollowed { begin: true });
}

#[test]
fn streams_that_fail_are_tried_less_and_less() {
    let follows = Follows::default();
    let id: Arc<str> = "r".into();
    let wait = |follows: &Follows| {
        let at = follows.with(&id, |follow| follow.next_try);
        at.saturating_duration_since(Instant::now())
            .as_secs_f64()
            .round()
    };
    let mut waits = Vec::new();
    for _ in 0..40 {
        follows.begin(&id);
        assert_eq!((follows.count(), follows.streams(&id)), (1, true));
        follows.end(&id, End::Failed);
        waits.push(wait(&follows));
    }
    assert_eq!(waits[..8], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0]);
    assert!(waits[8..].iter().all(|wait| *wait == 120.0), "{waits:?}");
    follows.begin(&id);
    follows.tell(&id);
    follows.end(&id, End::Cut);
    assert_eq!(wait(&follows), 120.0, "cut as soon as it was open");
    follows.begin(&id);
    follows.tell(&id);
    let earlier = Instant::now().checked_sub(LIVE_TTL).unwrap();
    follows.with(&id, |follow| follow.streams_since = Some(earlier));
    follows.end(&id, End::Failed);
    follows.begin(&id);
    follows.end(&id, End::Failed);
    assert_eq!(wait(&follows), 1.0, "the one before was of use");
    follows.begin(&id);
    follows.end(&id, End::Run);
    assert_eq!(follows.count(), 0);
}

#[test]
fn quiet_polling_slows_down_and_rows_make_it_quick_again() {
    let follows = Follows::default();
    let id: Arc<str> = "r".into();
    let pauses: Vec<u64> = [false, false, false, false, true, false]
        .map(|brought| follows.asked(&id, brought).as_secs())
        .to_vec();
    assert_eq!(pauses, [4, 8, 10, 10, 2, 4]);
}

#[test]
fn the_runs_remembered_are_bounded() {
    let follows = Follows::default();
    let streamed: Arc<str> = "streamed".into();
    follows.begin(&streamed);
    let long_ago = Instant::now().checked_sub(2 * FOLLOWING).unwrap();
    for n in 0..10 * MOST {
        let id: Arc<str> = n.to_string().into();
        follows.look(&id, 1);
        follows.with(&id, |follow| follow.looked = long_ago);
    }
    assert!(follows.0.lock().len() <= MOST);
    assert!(follows.streams(&streamed));
}

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
    bench.tree.follows.look(id, 1);
    thread::scope(|scope| {
        let following = scope.spawn(|| bench.tree.follow(id, &Progress::new()));
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

fn log(bench: &Bench, id: &Arc<str>) -> String {
    let mut text = Vec::new();
    let logs = bench.tree.live_logs(id);
    logs.read(crate::tree::logs::LogView::All, 0, 1 << 20, &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_stream_brings_lines_and_the_end() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let held = tree.live_logs(&id);
    tree.bring_logs(&id, &Progress::new()).unwrap();
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.follows.streams(&id));
        say(&bench, &id, "two");
        until("the line is there", || log(&bench, &id).contains(" two\n"));
        bench.server.world().set_status(&id, "completed");
    });
    assert_eq!(tree.known.status(&id), Some(RunStatus::Completed));
    assert_eq!(tree.follows.count(), 0);
    let calls = bench.server.requests_to(Port::Api, "/v1/runs/");
    let logs = calls.iter().filter(|call| call.path.ends_with("/logs"));
    assert_eq!(logs.count(), 1, "the line came by the stream");
    drop(held);
}

#[test]
fn a_cut_stream_goes_on_behind_what_it_told() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let _held = tree.live_logs(&id);
    tree.bring_logs(&id, &Progress::new()).unwrap();
    // The first event ends here; the next begins.
    let cut = Fault::api(
        &format!("/v1/runs/{id}/events"),
        Action::Truncate { after: 2_500 },
    );
    bench.server.fault(cut.times(1));
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.follows.streams(&id));
        for n in 0..6 {
            say(&bench, &id, &format!("before {n}"));
        }
    });
    assert!(!tree.follows.streams(&id));
    let told = tree.live_logs(&id).last_event().unwrap();
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
    assert_eq!(events[1].query, format!("last_event_id=%22{told}%22"));
}

#[test]
fn a_stream_that_nobody_looks_at_is_closed() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    let start = Instant::now();
    while_followed(&bench, &id, || {
        until("the stream is open", || tree.follows.streams(&id));
    });
    let lasted = start.elapsed();
    assert!(lasted >= FOLLOWING && lasted < 3 * FOLLOWING, "{lasted:?}");
    assert_eq!(tree.follows.count(), 0);
}

#[test]
fn a_run_that_ended_unseen_is_read_anew() {
    let (bench, id) = bench();
    let tree = &bench.tree;
    tree.bring(&Want::Run(id.clone()), Instant::now(), &Progress::new())
        .unwrap();
    tree.bring_logs(&id, &Progress::new()).unwrap();
    {
        let mut world = bench.server.world();
        let late = world.ago(40);
        world.add_log(&id, LogRow::system(late, "the end"));
        world.set_status(&id, "completed");
    }
    bench.tree.follows.look(&id, 1);
    tree.follow(&id, &Progress::new());
    assert_eq!(tree.known.status(&id), Some(RunStatus::Completed));
    let read = bench.ask(|view| view.logs(&id)).unwrap();
    let mut text = Vec::new();
    read.0
        .read(crate::tree::logs::LogView::All, 0, 1 << 20, &mut text);
    assert!(String::from_utf8(text).unwrap().contains("the end"));
}
