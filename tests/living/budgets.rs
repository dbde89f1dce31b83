//! What following costs: requests counted.

use super::{
    end_long_ago, files_are_the_rows, follow, follow_by_stream, get, lines, log, say,
    streams_and_calls, until, world,
};
use crate::support::{Bench, SOON, Who};
use std::{
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Claude, Run};

const MINUTE: Duration = Duration::from_secs(60);

/// Follows a run for a minute by so many programs, the run's program logging
/// all the time; gives the streams and the other calls that it cost.
fn a_minute(who: Who, followers: usize) -> (usize, Vec<String>) {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount_as(who).start();
    bench.server.clear_requests();
    let files = [
        "logs",
        "agent.log",
        "events.jsonl",
        "logs.jsonl",
        "system.log",
    ];
    let tools: Vec<_> = (0..followers)
        .map(|n| {
            let flag = if n % 2 == 0 { "-f" } else { "-F" };
            let file = files[n % files.len()];
            mount.watch(&format!("exec tail -n +1 {flag} runs/{run}/{file}"))
        })
        .collect();
    let start = Instant::now();
    let mut n = 0;
    while start.elapsed() < MINUTE {
        say(&bench, &run, &format!("said {n}"));
        if n % 7 == 0 {
            log(&bench, &run, &format!("row {n}"));
            get(&bench, &run, &format!("/{n}"));
        }
        n += 1;
        thread::sleep(Duration::from_millis(300));
    }
    end_long_ago(&bench, &run);
    until("the status is told", SOON, || {
        mount.cat(&format!("runs/{run}/status")) == "completed\n"
    });
    until("the stream is closed", SOON, || {
        streams_and_calls(&bench).0.iter().all(|call| call.finished)
    });
    let (streams, calls) = streams_and_calls(&bench);
    tools[0].expect(&format!("said {}", n - 1));
    thread::sleep(Duration::from_secs(3));
    files_are_the_rows(&bench, &mount, &run);
    (streams.len(), lines(&calls))
}

#[test]
fn a_followed_minute_costs_one_stream_and_few_calls() {
    for (streams, calls) in Who::all()
        .into_iter()
        .map(|who| thread::spawn(move || a_minute(who, 1)))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|minute| minute.join().unwrap())
    {
        assert_eq!(streams, 1);
        assert!(calls.len() <= 15, "{}: {calls:#?}", calls.len());
    }
}

#[test]
fn ten_followers_cost_what_one_costs() {
    let (streams, calls) = a_minute(Who::Myself, 10);
    assert_eq!(streams, 1);
    assert!(calls.len() <= 15, "{}: {calls:#?}", calls.len());
}

#[test]
fn a_silent_minute_costs_as_little() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench.server.clear_requests();
    let _follower = follow(&mount, &run);
    thread::sleep(MINUTE);
    let (streams, calls) = streams_and_calls(&bench);
    assert_eq!(streams.len(), 1);
    assert!(calls.len() <= 15, "{:#?}", lines(&calls));
}

#[test]
fn a_run_that_is_not_followed_costs_nothing() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let follower = follow_by_stream(&bench, &mount, &run);
        drop(follower);
        let status = || mount.cat(".vm0fs/status.json");
        until("nothing is followed any more", 2 * SOON, || {
            status().contains("\"runs_followed\": 0")
        });
        bench.server.clear_requests();
        say(&bench, &run, "to no reader");
        thread::sleep(Duration::from_secs(8));
        bench.expect_calls(0, "no process looks");
        // Nor does one look make a follower.
        mount.cat(&format!("runs/{run}/logs"));
        thread::sleep(Duration::from_secs(5));
        let (streams, calls) = streams_and_calls(&bench);
        assert!(streams.is_empty(), "{:?}", lines(&streams));
        assert!(calls.len() <= 3, "{:?}", lines(&calls));
    }
}

#[test]
fn followed_runs_have_a_stream_each_up_to_the_limit() {
    let (mut world, first) = world();
    let mut runs = vec![first];
    for _ in 0..19 {
        let mut run = Run::new("writer", world.ago(60)).status("running");
        run.event(world.ago(50), Claude::said("hello"));
        runs.push(world.add_run(run));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let tools: Vec<_> = runs.iter().map(|run| follow(&mount, run)).collect();
    tools.iter().for_each(|tool| {
        tool.expect("hello");
    });
    thread::sleep(Duration::from_secs(5));
    runs.iter().for_each(|run| say(&bench, run, "news"));
    for tool in &tools {
        tool.expect("news");
    }
    let (streams, _) = streams_and_calls(&bench);
    assert!((10..=20).contains(&streams.len()), "{}", streams.len());
    // Other work goes on beside them.
    assert_eq!(mount.list("agents"), ["writer"]);
}
