//! Every row that the service holds, once, in order, however it pages;
//! and of a run that has ended, once for ever.

use super::{
    files_are_the_rows, json_lines, json_of, rows, shows, streams_and_calls, until, until_or, url,
    world,
};
use crate::support::fake::{Action, Claude, Fault, LogRow, Port, Quirks, Run, World};
use crate::support::{Bench, SOON, Who};
use jiff::SignedDuration;
use std::fs;

/// A log of so many rows, some hundreds of which share a moment, in all types,
/// with lines that are said twice.
fn long_log(world: &World, count: u64) -> Vec<LogRow> {
    let start = world.ago(9_000);
    let mut sequence = 0;
    let row = |n: u64| {
        // Seven rows a millisecond, and none for a while now and then.
        let milliseconds = (n / 7 + n / 1000 * 500) as i64;
        let at = start
            .checked_add(SignedDuration::from_millis(milliseconds))
            .unwrap();
        match n % 5 {
            0 => LogRow::system(at, "again\nand again"),
            1 => LogRow::network(at, "GET", &url(&format!("/{n}")), 200 + n as u16 % 300, n),
            _ => {
                sequence += 1;
                let said = Claude::said(&format!("row {} of many #{n}.", n / 2));
                LogRow::agent(at, sequence, said)
            }
        }
    };
    (0..count).map(row).collect()
}

fn world_of(count: u64, quirks: Quirks, status: &str) -> (World, String) {
    let mut world = World::empty();
    world.pace = None;
    world.quirks = quirks;
    let mut run = Run::new("writer", world.ago(9_100)).status(status);
    run.logs = long_log(&world, count);
    let id = world.add_run(run);
    (world, id)
}

#[test]
fn ten_thousand_rows_are_all_there_whatever_the_paging() {
    for (quirks, who) in [Quirks::default(), Quirks::none()]
        .into_iter()
        .zip(Who::all().into_iter().cycle())
    {
        for count in [99, 100, 101, 10_000] {
            let (world, run) = world_of(count, quirks.clone(), "completed");
            let bench = Bench::new(world);
            let mount = bench.mount_as(who).start();
            files_are_the_rows(&bench, &mount, &run);
            let (_, calls) = streams_and_calls(&bench);
            let walks = calls.iter().filter(|call| call.path.ends_with("/logs"));
            let walks = walks.count() as u64;
            assert!(walks <= count / 80 + 2, "{walks} calls for one walk");
        }
    }
}

#[test]
fn rows_of_one_type_are_all_there_although_no_page_says_that_there_are_more() {
    let (mut world, run) = world_of(0, Quirks::default(), "completed");
    let start = world.ago(600);
    for n in 0..350 {
        let at = start.checked_add(SignedDuration::from_millis(n)).unwrap();
        world.add_log(&run, LogRow::system(at, "the same"));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    files_are_the_rows(&bench, &mount, &run);
}

#[test]
fn rows_with_finer_timestamps_keep_their_order() {
    let (mut world, run) = world_of(0, Quirks::default(), "completed");
    let start = world.ago(600);
    for n in 0..250 {
        // Some 27 a millisecond, which the service tells apart no finer.
        let at = start
            .checked_add(SignedDuration::from_nanos(n * 37_037))
            .unwrap();
        let row = LogRow::system(at, format!("#{n}.")).precise(at);
        world.add_log(&run, row);
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    files_are_the_rows(&bench, &mount, &run);
}

#[test]
fn rows_that_come_late_are_in_the_final_log() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["--list-ttl", "1s"]).start();
        mount.cat(&format!("runs/{run}/logs"));
        {
            let mut world = bench.server.world();
            // Ten seconds and more before the newest row that was read.
            for ago in [45, 30, 90, 20] {
                let at = world.ago(ago);
                let row = LogRow::network(at, "GET", &url(&format!("/{ago}")), 200, 4);
                world.add_log(&run, row);
            }
            let end = world.ago(40);
            world.run_mut(&run).unwrap().finish(end, "failed", None);
        }
        let status = format!("runs/{run}/status");
        until("the run has ended", SOON, || {
            mount.cat(&status) == "failed\n"
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
        files_are_the_rows(&bench, &mount, &run);
    }
}

#[test]
fn logs_of_a_run_that_has_ended_are_asked_for_once_ever() {
    for who in Who::all() {
        let (world, run) = world_of(700, Quirks::default(), "completed");
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let all = format!("cd runs/{run} && cat logs logs.jsonl *.log events.jsonl | sha256sum");
        let before = mount.run(&all);
        mount.unmount();
        bench.server.clear_requests();
        let mount = bench.mount_as(who).start();
        assert_eq!(mount.run(&all), before);
        let (_, calls) = streams_and_calls(&bench);
        let logs = calls.iter().filter(|call| call.path.ends_with("/logs"));
        assert_eq!(logs.count(), 0, "after a restart");
        files_are_the_rows(&bench, &mount, &run);
    }
}

/// Bytes of memory that a process holds.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

#[test]
fn a_hundred_thousand_rows_are_followed_in_bounded_memory() {
    let (world, run) = world_of(100_000, Quirks::default(), "running");
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--timeout", "120s"]).start();
    let follower = mount.watch(&format!("exec tail -n 1 -f runs/{run}/logs"));
    let limit = std::time::Duration::from_secs(600);
    let whole = || follower.text().contains("row 49999 of many");
    until_or("the whole log is read", limit, whole, || {
        let (streams, calls) = streams_and_calls(&bench);
        let (text, logs) = (follower.text(), calls.iter().map(|call| &call.path));
        let last = text.lines().next_back();
        let logs = logs.filter(|path| path.ends_with("/logs")).count();
        format!(
            "{} lines, the last {last:?}; {} streams, {} calls, {logs} for rows; {}",
            text.lines().count(),
            streams.len(),
            calls.len(),
            mount.cat(".vm0fs/errors"),
        )
    });
    super::log(&bench, &run, "and one more");
    follower.expect("and one more");
    let rows = rows(&bench, &run);
    for _ in 0..3 {
        shows(&mount.cat(&format!("runs/{run}/logs")), &rows, "logs");
        mount.run(&format!("cat runs/{run}/*.log runs/{run}/*.jsonl | wc -c"));
    }
    let memory = memory(mount.pid());
    let sent: u64 = rows
        .iter()
        .map(|row| json_of(row).to_string().len() as u64)
        .sum();
    println!(
        "{} MB for {} MB of rows",
        memory / 1_000_000,
        sent / 1_000_000
    );
    // Parsed and raw, and twice as text: what the cache counts a log for.
    assert!(memory < 100_000_000 + 4 * sent, "{memory} bytes for {sent}");
}

/// A service in JavaScript writes half a character where it has cut a text.
#[test]
fn a_row_with_half_a_character_is_shown() {
    for who in Who::all() {
        let (world, run) = world_of(0, Quirks::default(), "completed");
        let bench = Bench::new(world);
        let row = |message: &str| {
            format!(
                "{{\"timestamp\":\"2026-01-02T03:04:05Z\",\"type\":\"agent\",\"level\":\"info\",\
                 \"message\":\"{message}\",\"metadata\":{{\"sequenceNumber\":1,\
                 \"eventType\":\"user\",\"eventData\":{{\"type\":\"user\",\"message\":\
                 {{\"role\":\"user\",\"content\":\"{message}\"}},\"parent_tool_use_id\":null}}}}}}"
            )
        };
        let sent = row("cut \\ud83d");
        let body = format!("{{\"data\":[{sent},{}]}}", row("whole"));
        let path = format!("/v1/runs/{run}/logs");
        let fault = Fault::api_exact(&path, Action::WrongBody(body.into()));
        bench.server.fault(fault);
        // The second time from the disk.
        for _ in 0..2 {
            let mount = bench.mount_as(who).start();
            let cat = |file: &str| mount.cat(&format!("runs/{run}/{file}"));
            let log = cat("logs");
            assert!(
                log.contains("cut \u{fffd}\n") && log.contains("whole\n"),
                "{log}"
            );
            assert_eq!(cat("logs.jsonl").lines().next(), Some(&*sent));
            assert_eq!(json_lines(&cat("events.jsonl")).len(), 2);
        }
        assert_eq!(bench.server.requests_to(Port::Api, &path).len(), 1);
    }
}

/// Who reads a log, sees the run's end and leaves at once has it for good.
#[test]
fn the_last_rows_are_fetched_as_soon_as_the_end_is_known() {
    let (world, run) = world_of(120, Quirks::default(), "running");
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "500ms"]).start();
    mount.cat(&format!("runs/{run}/logs"));
    {
        let mut world = bench.server.world();
        let long_ago = world.ago(45);
        world
            .run_mut(&run)
            .unwrap()
            .finish(long_ago, "completed", None);
    }
    until("the end is told", SOON, || {
        mount.cat(&format!("runs/{run}/status")) == "completed\n"
    });
    files_are_the_rows(&bench, &mount, &run);
    drop(mount);
    bench.server.clear_requests();
    let mount = bench.mount().start();
    files_are_the_rows(&bench, &mount, &run);
    let (_, calls) = streams_and_calls(&bench);
    let logs = calls.iter().filter(|call| call.path.ends_with("/logs"));
    assert_eq!(logs.count(), 0, "{calls:?}");
}
