//! Streams that fail: the log goes on by asking, and the stream is tried again.

use super::{
    difference, end_long_ago, files_are_the_rows, follow, rows, say, streams_and_calls, until,
    world,
};
use crate::support::fake::{Action, Claude, Fault, Run};
use crate::support::{Bench, SOON, Who, watched::Watched};
use std::{thread, time::Duration};

/// So long may a line take where the log is asked for now and then.
const BY_ASKING: Duration = Duration::from_secs(15);

fn html(status: u16) -> Action {
    Action::Status {
        status,
        body: "<html><title>nginx</title></html>".into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    }
}

#[test]
fn without_a_stream_the_log_is_polled() {
    let (mut world, first) = world();
    let faults = [
        Action::internal_error(),
        Action::api_error(
            404,
            "not_found_error",
            "resource_not_found",
            "no such route",
        ),
        html(404),
        html(200),
        Action::bad_gateway(),
        Action::CloseBeforeHeaders,
        Action::Stall,
        Action::Truncate { after: 0 },
        Action::Truncate { after: 70 },
        Action::StallBody { after: 70 },
        Action::rate_limited(120),
    ];
    let mut runs = vec![first];
    for _ in 1..faults.len() {
        let mut run = Run::new("writer", world.ago(60)).status("running");
        run.event(world.ago(50), Claude::said("hello"));
        runs.push(world.add_run(run));
    }
    let bench = Bench::new(world);
    for (run, action) in runs.iter().zip(&faults) {
        let path = format!("/v1/runs/{run}/events");
        bench.server.fault(Fault::api_exact(&path, action.clone()));
    }
    let mount = bench.mount().start();
    let followers: Vec<Watched> = runs.iter().map(|run| follow(&mount, run)).collect();
    for follower in &followers {
        follower.expect("hello");
    }
    for n in 0..3 {
        runs.iter()
            .for_each(|run| say(&bench, run, &format!("news {n}")));
        until("all have the news", BY_ASKING, || {
            followers
                .iter()
                .all(|tool| tool.text().contains(&format!("news {n}")))
        });
        thread::sleep(Duration::from_secs(3));
    }
    let (streams, _) = streams_and_calls(&bench);
    for (run, action) in runs.iter().zip(&faults) {
        let tries = streams
            .iter()
            .filter(|call| call.path.contains(run.as_str()));
        let tries = tries.count();
        // 0, 1, 3, 7, 15 … seconds after the first; a bad gateway is asked
        // three times each.
        assert!((1..=15).contains(&tries), "{action:?}: {tries}");
    }
    let told = mount.cat(".vm0fs/errors");
    assert!(!told.contains("events"), "asking serves as well: {told}");
    bench.server.clear_faults();
    for run in &runs {
        end_long_ago(&bench, run);
    }
    for (run, follower) in runs.iter().zip(&followers) {
        let rows = rows(&bench, run);
        until("it ends with all lines", BY_ASKING, || {
            difference(&follower.text(), &rows).is_none()
        });
        until("the status is told", BY_ASKING, || {
            mount.cat(&format!("runs/{run}/status")) == "completed\n"
        });
    }
    files_are_the_rows(&bench, &mount, &runs[0]);
}

#[test]
fn a_cut_stream_goes_on_where_it_was() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let path = format!("/v1/runs/{run}/events");
        let cut = Fault::api_exact(&path, Action::Truncate { after: 6_000 });
        bench.server.fault(cut.times(2));
        let mount = bench.mount_as(who).start();
        let follower = follow(&mount, &run);
        follower.expect("hello");
        until("the first stream", SOON, || {
            !streams_and_calls(&bench).0.is_empty()
        });
        for n in 0..40 {
            say(&bench, &run, &format!("news #{n}."));
            thread::sleep(Duration::from_millis(200));
        }
        follower.expect("news #39.");
        until("a third stream", SOON, || {
            streams_and_calls(&bench).0.len() >= 3
        });
        let queries: Vec<u64> = streams_and_calls(&bench)
            .0
            .iter()
            .map(|call| {
                let last = call.query.strip_prefix("last_event_id=");
                last.expect("an event was known").parse().unwrap()
            })
            .collect();
        assert!(
            queries.is_sorted() && queries[2] > queries[0],
            "{queries:?}"
        );
        end_long_ago(&bench, &run);
        let rows = rows(&bench, &run);
        until("each line once", SOON, || {
            difference(&follower.text(), &rows).is_none()
        });
    }
}

#[test]
fn a_log_that_cannot_be_fetched_is_shown_as_far_as_it_is_known() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let follower = follow(&mount, &run);
    follower.expect("hello");
    until("a stream", SOON, || !streams_and_calls(&bench).0.is_empty());
    say(&bench, &run, "first");
    follower.expect("first");
    let path = format!("/v1/runs/{run}/logs");
    bench
        .server
        .fault(Fault::api_exact(&path, Action::internal_error()));
    bench.server.clear_requests();
    say(&bench, &run, "told by the stream");
    follower.expect("told by the stream");
    thread::sleep(Duration::from_secs(10));
    let before = mount.cat(&format!("runs/{run}/logs"));
    assert!(before.contains("told by the stream"), "{before}");
    let (_, calls) = streams_and_calls(&bench);
    assert!(
        calls.len() <= 6,
        "{} calls for failures in 10 s",
        calls.len()
    );
    bench.server.clear_faults();
    say(&bench, &run, "well again");
    follower.expect("well again");
    let after = mount.cat(&format!("runs/{run}/logs"));
    assert!(after.starts_with(&before), "{after}");
}

#[test]
fn without_stream_and_log_polling_slows_down() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let follower = follow(&mount, &run);
    follower.expect("hello");
    let of_run = Fault::api(&format!("/v1/runs/{run}/"), Action::internal_error());
    bench.server.fault(of_run);
    thread::sleep(Duration::from_secs(2));
    bench.server.clear_requests();
    thread::sleep(Duration::from_secs(20));
    let (streams, calls) = streams_and_calls(&bench);
    assert!(streams.len() <= 6, "{} streams in 20 s", streams.len());
    assert!(calls.len() <= 8, "{} calls in 20 s", calls.len());
    bench.server.clear_faults();
    say(&bench, &run, "well again");
    follower.expect("well again");
}

#[test]
fn the_end_of_a_run_is_found_without_a_stream() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let path = format!("/v1/runs/{run}/events");
        bench
            .server
            .fault(Fault::api_exact(&path, Action::internal_error()));
        let mount = bench.mount_as(who).with(["--list-ttl", "3s"]).start();
        let follower = follow(&mount, &run);
        follower.expect("hello");
        say(&bench, &run, "last words");
        end_long_ago(&bench, &run);
        // Only the process that has the log open makes the mount ask for its status.
        follower.expect("last words");
        thread::sleep(BY_ASKING);
        bench.server.clear_requests();
        thread::sleep(Duration::from_secs(12));
        let (streams, calls) = streams_and_calls(&bench);
        assert_eq!((streams.len(), calls.len()), (0, 0), "{calls:?}");
        assert_eq!(mount.cat(&format!("runs/{run}/status")), "completed\n");
    }
}
