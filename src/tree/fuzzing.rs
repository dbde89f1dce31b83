//! Door for the fuzz target `answer` (`tests/fuzz`) and for the test that runs
//! its seeds: what the tree makes of what the API has answered.

use crate::{
    api::{
        RunEvent,
        fuzzing::{Understood, answer as understood},
        types::{Row, Run, RunStatus},
    },
    conversation::{
        report::{Facts, fuzzing::check},
        transcript::Head,
    },
    tree::{
        answers::{Listing, Named},
        logs::{LogView, Logs},
        metrics::Metrics,
        node::names::{NAME_MAX, escape},
    },
};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use std::time::Instant;

/// An answer of the API, as [`understood`] has it, and all files and names that
/// are made of it: names are components, lines are lines, and a log that has
/// grown is what it was, and more. Gives whether anything was understood.
pub fn answer(data: &[u8]) -> bool {
    match understood(data) {
        Understood::Agents(rows) => named(rows),
        Understood::Storages(rows) => named(rows),
        Understood::Runs(rows) => named(rows),
        Understood::Versions(rows) => rows
            .iter()
            .for_each(|row| component(&escape(&row.value.id))),
        Understood::Log(events, rows) => log(events, rows),
        Understood::Metrics(raw) => {
            let metrics = Metrics::new(raw);
            let csv = metrics.csv();
            assert!(csv.ends_with(b"\n") && str::from_utf8(&csv).is_ok());
            let run = run();
            let svg = metrics.svg(&run);
            assert!(str::from_utf8(&svg).is_ok(), "there is a chart of anything");
            assert!(csv.len() <= 8 * metrics.raw().get().len() + 200);
        }
        Understood::Nothing => return false,
    }
    true
}

fn run() -> Run {
    Run {
        id: "run".into(),
        agent_id: None,
        agent_name: None,
        status: RunStatus::Completed,
        prompt: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
        started_at: None,
        completed_at: None,
        error: None,
        artifact_name: None,
        artifact_version: None,
        volumes: None,
        artifacts: None,
    }
}

fn component(name: &str) {
    assert!(
        !matches!(name, "" | "." | "..")
            && name.len() <= NAME_MAX
            && !name.contains(['/', '\0', '\n']),
        "{name:?} is no component"
    );
}

fn named<T: Named>(rows: Vec<Row<T>>) {
    let count = rows.len();
    let listing = Listing::new(rows, Instant::now());
    assert!(listing.items().len() == count);
    for item in listing.items() {
        component(&item.component);
        let found = listing.component(&item.component);
        assert!(
            found.is_some_and(|found| found.id == item.id),
            "two of a name"
        );
    }
}

/// The page, the answer and the cost of a run: no element but the page's own, each
/// closed, and JSON.
fn page(logs: &Logs) {
    let facts = Facts {
        run: "run".into(),
        agent: None,
        status: "completed".into(),
        has_ended: true,
        error: None,
        prompt: logs.answer(),
        created: Timestamp::UNIX_EPOCH,
        started: None,
        completed: None,
        links: Vec::new(),
        chart: String::new(),
    };
    let page = logs.report(&facts);
    let page = str::from_utf8(&page).unwrap_or_else(|_| panic!("a page is UTF-8"));
    check(page);
    let usage = serde_json::to_string(&logs.usage());
    assert!(usage.is_ok_and(|usage| serde_json::from_str::<IgnoredAny>(&usage).is_ok()));
}

/// The forms of a log, as they grow by events, and then by rows.
fn log(events: Vec<RunEvent>, mut rows: Vec<Row<crate::api::types::LogRow>>) {
    let logs = Logs::default();
    logs.introduce(|| Head {
        run: "run".into(),
        agent: None,
        created: Timestamp::UNIX_EPOCH,
        prompt: String::new(),
    });
    let read = |view| {
        let mut text = Vec::new();
        logs.read(view, 0, usize::MAX, &mut text);
        assert_eq!(text.len() as u64, logs.size(view));
        text
    };
    let later = rows.split_off(rows.len() / 2);
    logs.add_rows(rows);
    let before = LogView::ALL.map(read);
    for event in events {
        if let RunEvent::Output(event) = event {
            logs.add_event(event);
        }
    }
    let between = LogView::ALL.map(read);
    logs.add_missing(later);
    page(&logs);
    let after = LogView::ALL.map(read);
    for (view, steps) in LogView::ALL
        .into_iter()
        .zip(before.iter().zip(&between).zip(&after))
    {
        let ((before, between), after) = steps;
        assert!(
            between.starts_with(before) && after.starts_with(between),
            "it only grows"
        );
        assert!(after.is_empty() || after.ends_with(b"\n"));
        let text = str::from_utf8(after).unwrap_or_else(|_| panic!("a log is UTF-8"));
        for line in text.lines() {
            let is_json = matches!(view, LogView::Jsonl | LogView::Events);
            let is_well = || serde_json::from_str::<IgnoredAny>(line).is_ok();
            assert!(!is_json || is_well(), "{line:?} is no JSON");
            assert!(is_json || !line.contains(|c: char| c.is_control() && c != '\t'));
        }
    }
}
