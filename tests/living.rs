//! Runs while they live: logs that grow, runs that are started and cancelled,
//! and what following them costs.

mod broken_streams;
mod budgets;
mod cancelling;
mod command;
mod complete;
mod conversation;
mod copying;
mod failing;
mod growth;
mod listed;
mod marks;
mod model;
mod starting;
mod status;
mod views;

use crate::support::fake::{Agent, Claude, LogRow, Port, Recorded, Run, World};
use crate::support::{Bench, Mount, SOON, watched::Watched};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How soon what a stream brings is there: within two seconds, on a busy machine some more.
/// What a poll of a quiet run brings comes after ten.
const PUSHED: Duration = Duration::from_secs(8);

/// A world with an agent `writer` and one run of it that goes on until the test
/// ends it. Its log holds one event and one row of the sandbox.
pub(crate) fn world() -> (World, String) {
    let mut world = World::empty();
    world.pace = None;
    world.heartbeat = Duration::from_millis(500);
    world.add_agent(Agent::new("writer", world.ago(9_000)));
    let then = world.ago(60);
    let mut run = Run::new("writer", then).status("running");
    run.log(LogRow::system(then, "sandbox started"));
    let next = then.checked_add(SignedDuration::from_secs(1)).unwrap();
    run.event(next, Claude::said("hello"));
    let id = world.add_run(run);
    (world, id)
}

/// The agent says something now.
pub(crate) fn say(bench: &Bench, run: &str, text: &str) {
    let mut world = bench.server.world();
    let run = world.run_mut(run).unwrap();
    run.event(Timestamp::now(), Claude::said(text));
}

/// The sandbox logs a chunk now.
pub(crate) fn log(bench: &Bench, run: &str, chunk: &str) {
    let row = LogRow::system(Timestamp::now(), chunk);
    bench.server.world().add_log(run, row);
}

/// The sandbox asks the network for something now.
fn get(bench: &Bench, run: &str, path: &str) {
    let row = LogRow::network(Timestamp::now(), "GET", &url(path), 200, 12);
    bench.server.world().add_log(run, row);
}

fn url(path: &str) -> String {
    format!("https://example.com{path}")
}

/// Requests as lines, with their queries.
fn lines(calls: &[Recorded]) -> Vec<String> {
    calls
        .iter()
        .map(|call| format!("{}?{}", call.line(), call.query))
        .collect()
}

/// Ends the run as if that had been longer ago than late rows can come.
pub(crate) fn end_long_ago(bench: &Bench, run: &str) {
    let mut world = bench.server.world();
    let long_ago = world.ago(45);
    world
        .run_mut(run)
        .unwrap()
        .finish(long_ago, "completed", None);
}

/// The rows of a kind, or all.
fn of_kind(rows: &[LogRow], kind: Option<&str>) -> Vec<LogRow> {
    let wanted = |row: &&LogRow| kind.is_none_or(|kind| row.kind == kind);
    rows.iter().filter(wanted).cloned().collect()
}

/// What a text file shows of one row: a line that begins with the row's time
/// and kind, and indented ones.
fn entries(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in text.lines() {
        match entries.last_mut() {
            Some(entry) if line.starts_with("    ") => {
                entry.push('\n');
                entry.push_str(line);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// How a text file differs from what it has to show: an entry for each row, in
/// their order, none twice and none missing, and in each the words by which a
/// test knows the row again (`#1.`, `#2.`, …).
///
/// How an event is drawn is held by the tests of the drawing, not here.
pub(crate) fn difference(text: &str, rows: &[LogRow]) -> Option<String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Some("the last line does not end".into());
    }
    let entries = entries(text);
    let both = entries.iter().zip(rows).enumerate();
    for (number, (entry, row)) in both {
        let head = format!("{} {} ", row.timestamp, row.kind);
        let marks = marks(&row.message);
        if !entry.starts_with(&head) || !marks.iter().all(|mark| entry.contains(mark)) {
            return Some(format!("entry {number}: {entry:?} is not of {row:?}"));
        }
    }
    let counts = (entries.len(), rows.len());
    (counts.0 != counts.1).then(|| format!("{} entries of {} rows", counts.0, counts.1))
}

/// A text's entries and its rows, each in the order of time and kind: lines that
/// a stream has told come before those that had to be asked for.
pub(crate) fn in_order(text: &str, mut rows: Vec<LogRow>) -> (String, Vec<LogRow>) {
    let mut entries = entries(text);
    let head = |entry: &String| {
        let words: Vec<&str> = entry.splitn(3, ' ').take(2).collect();
        words.join(" ")
    };
    entries.sort_by_key(head);
    rows.sort_by_key(|row| format!("{} {}", row.timestamp, row.kind));
    (
        entries.iter().map(|entry| format!("{entry}\n")).collect(),
        rows,
    )
}

/// The marks in a text: `#`, digits and a dot.
fn marks(text: &str) -> Vec<String> {
    let pieces = text.split('#').skip(1);
    let digits = pieces.filter_map(|piece| piece.split_once('.').map(|(digits, _)| digits));
    digits
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|digits| format!("#{digits}."))
        .collect()
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

/// The events of rows, as the lines of `events.jsonl` have them. Rows without
/// metadata have theirs in the message only, and no number.
fn events_of(rows: &[LogRow]) -> Vec<Value> {
    let in_message = |row: &LogRow| {
        let (kind, event) = row.message.strip_prefix('[')?.split_once("] ")?;
        let event: Value = serde_json::from_str(event).ok()?;
        event
            .is_object()
            .then(|| (Value::Null, Value::from(kind), event))
    };
    let in_metadata = |row: &LogRow| {
        let metadata = row.metadata.as_ref()?;
        let part = |name: &str| metadata.get(name).cloned();
        Some((
            part("sequenceNumber")?,
            part("eventType")?,
            part("eventData")?,
        ))
    };
    let event = |row: &LogRow| {
        let (sequence, kind, data) = in_metadata(row).or_else(|| in_message(row))?;
        Some(json!({
            "sequence": sequence, "type": kind, "data": data, "timestamp": row.timestamp,
        }))
    };
    let agents = rows.iter().filter(|row| row.kind == "agent");
    agents.filter_map(event).collect()
}

/// Each line of a text as JSON.
#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(parse).collect()
}

/// The rows that the service holds of a run.
pub(crate) fn rows(bench: &Bench, run: &str) -> Vec<LogRow> {
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
        shows(&cat(file), &of_kind(&rows, kind), file);
    }
    let expected: Vec<Value> = rows.iter().map(json_of).collect();
    assert!(json_lines(&cat("logs.jsonl")) == expected, "logs.jsonl");
    let events = json_lines(&cat("events.jsonl"));
    assert!(events == events_of(&rows), "events.jsonl");
}

/// A text file shows these rows, and nothing else.
#[track_caller]
fn shows(text: &str, rows: &[LogRow], what: &str) {
    if let Some(difference) = difference(text, rows) {
        panic!("{what}: {difference}");
    }
}

#[track_caller]
pub(crate) fn until(what: &str, limit: Duration, done: impl Fn() -> bool) {
    until_or(what, limit, done, String::new);
}

/// The same; where it does not come to be so, the failure tells how far it has come.
#[track_caller]
fn until_or(what: &str, limit: Duration, done: impl Fn() -> bool, far: impl Fn() -> String) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(
            Instant::now() < end,
            "not within {limit:?}: {what} {}",
            far()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The requests for a run's events, and all others to the API.
pub(crate) fn streams_and_calls(bench: &Bench) -> (Vec<Recorded>, Vec<Recorded>) {
    let calls = bench.server.requests_to(Port::Api, "");
    calls
        .into_iter()
        .partition(|call| call.path.ends_with("/events"))
}

/// A program that follows a run's log from its first line on.
fn follow(mount: &Mount, run: &str) -> Watched {
    mount.watch(&format!("exec tail -n +1 -f runs/{run}/logs"))
}

/// The same for the run of [`world`], once the mount has a stream of its events.
pub(crate) fn follow_by_stream(bench: &Bench, mount: &Mount, run: &str) -> Watched {
    let follower = follow(mount, run);
    follower.expect("hello");
    until("a stream", SOON, || !streams_and_calls(bench).0.is_empty());
    follower
}

/// Requests so far that start or cancel something.
fn posts(bench: &Bench) -> usize {
    let calls = bench.api_calls();
    calls.iter().filter(|call| call.method == "POST").count()
}
