//! Runs while they live: logs that grow, runs that are started and cancelled,
//! and what following them costs.

mod budgets;
mod cancelling;
mod command;
mod complete;
mod faults;
mod growth;
mod model;
mod starting;
mod status;
mod unmounting;
mod views;

use crate::support::{Bench, Mount};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Agent, LogRow, Port, Recorded, Run, World};

/// For what is to happen within two seconds: a busy machine is slower, and
/// what comes a poll later comes much later.
const TWO_SECONDS: Duration = Duration::from_secs(4);

/// A world with an agent `writer` and one run of it that goes on until the test
/// ends it. Its log holds one event and one row of the sandbox.
fn world() -> (World, String) {
    let mut world = World::empty();
    world.pace = None;
    world.heartbeat = Duration::from_millis(500);
    world.add_agent(Agent::new("writer", world.ago(9_000)));
    let then = world.ago(60);
    let mut run = Run::new("writer", then).status("running");
    run.log(LogRow::new(then, "system", "info", "sandbox started"));
    let next = then.checked_add(SignedDuration::from_secs(1)).unwrap();
    run.event(next, "assistant", said("hello"), "hello");
    let id = world.add_run(run);
    (world, id)
}

/// The data of an event that carries a text.
fn said(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The agent says something now.
fn say(bench: &Bench, run: &str, text: &str) {
    let mut world = bench.server.world();
    let run = world.run_mut(run).unwrap();
    run.event(Timestamp::now(), "assistant", said(text), text);
}

/// Something other than the agent logs now.
fn log(bench: &Bench, run: &str, kind: &str, message: &str) {
    let row = LogRow::new(Timestamp::now(), kind, "info", message);
    bench.server.world().add_log(run, row);
}

/// Ends the run as if that had been longer ago than late rows can come.
fn end_long_ago(bench: &Bench, run: &str) {
    let mut world = bench.server.world();
    let long_ago = world.ago(45);
    world
        .run_mut(run)
        .unwrap()
        .finish(long_ago, "completed", None);
}

/// A row as a line of the text files, written down apart from what is tested.
fn text_line(row: &LogRow) -> String {
    let mut shown = String::new();
    for character in row.message.trim_end_matches('\n').chars() {
        match character {
            '\n' => shown.push_str("\n    "),
            '\t' => shown.push('\t'),
            '\u{1b}' => shown.push_str("\\e"),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", c as u32)),
            c => shown.push(c),
        }
    }
    format!("{} {} {} {shown}\n", row.timestamp, row.kind, row.level)
}

/// The text file of all rows of a kind, or of all.
fn text_of(rows: &[LogRow], kind: Option<&str>) -> String {
    let wanted = rows
        .iter()
        .filter(|row| kind.is_none_or(|kind| row.kind == kind));
    wanted.map(text_line).collect()
}

/// A row as JSON.
fn json_of(row: &LogRow) -> Value {
    let mut value = json!({
        "timestamp": row.timestamp, "type": row.kind, "level": row.level,
        "message": row.message,
    });
    if let Some(metadata) = &row.metadata {
        value["metadata"] = metadata.clone();
    }
    value
}

/// The events of rows, as the lines of `events.jsonl` have them.
fn events_of(rows: &[LogRow]) -> Vec<Value> {
    let event = |row: &LogRow| {
        let metadata = row.metadata.as_ref()?;
        Some(json!({
            "sequence": metadata.get("sequenceNumber")?,
            "type": metadata.get("eventType")?,
            "data": metadata.get("eventData")?,
            "timestamp": row.timestamp,
        }))
    };
    rows.iter().filter_map(event).collect()
}

/// Each line of a text as JSON.
#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(parse).collect()
}

/// The rows that the service holds of a run.
fn rows(bench: &Bench, run: &str) -> Vec<LogRow> {
    bench.server.world().run(run).unwrap().logs.clone()
}

/// The log files of a run hold exactly the service's rows.
#[track_caller]
fn files_are_the_rows(bench: &Bench, mount: &Mount, run: &str) {
    let rows = rows(bench, run);
    let cat = |file: &str| mount.cat(&format!("runs/{run}/{file}"));
    for (file, kind) in [
        ("logs", None),
        ("agent.log", Some("agent")),
        ("system.log", Some("system")),
        ("network.log", Some("network")),
    ] {
        is_same(&cat(file), &text_of(&rows, kind), file);
    }
    let expected: Vec<Value> = rows.iter().map(json_of).collect();
    assert!(json_lines(&cat("logs.jsonl")) == expected, "logs.jsonl");
    let events = json_lines(&cat("events.jsonl"));
    assert!(events == events_of(&rows), "events.jsonl");
}

/// Compares long texts, and shows the first line that differs.
#[track_caller]
fn is_same(shown: &str, expected: &str, what: &str) {
    if shown == expected {
        return;
    }
    let pairs = shown.lines().zip(expected.lines());
    let differs = pairs.enumerate().find(|(_, (a, b))| a != b);
    panic!(
        "{what}: {} lines for {}, first difference {differs:?}",
        shown.lines().count(),
        expected.lines().count()
    );
}

#[track_caller]
fn until(what: &str, limit: Duration, done: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The requests for a run's events, and all others to the API.
fn streams_and_calls(bench: &Bench) -> (Vec<Recorded>, Vec<Recorded>) {
    let calls = bench.server.requests_to(Port::Api, "");
    calls
        .into_iter()
        .partition(|call| call.path.ends_with("/events"))
}

/// Requests so far that start or cancel something.
fn posts(bench: &Bench) -> usize {
    let calls = bench.api_calls();
    calls.iter().filter(|call| call.method == "POST").count()
}
