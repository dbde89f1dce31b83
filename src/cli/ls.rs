//! `vm0fs ls`: the agents, runs, artifacts and volumes as tables.

use super::{
    complete::values::Values,
    named::{AgentRow, RunRow, ago, rows, runs, unknown_agent},
    output::{columns, print, print_bytes, tell},
    reach::ReachOptions,
    source::Source,
};
use crate::{
    api::types::{RunStatus, StorageKind},
    config::{Environment, Span, whole_number},
    error::{Error, Result},
    humanize::{self, Align, date_and_time, fit, table, widest},
    text::{cut, nearest, one_line},
};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeSet, time::Duration};

/// Columns of a table of names on the widest terminal, and the fewest of a name: beside a
/// name that is far away from it, a row is not read.
const MOST: usize = 120;
const SHORTEST_NAME: usize = 12;
/// Columns that names have before ids are cut.
const ROOM_OF_NAMES: usize = 20;
/// Columns of an agent in a row of another thing, and characters of a version's id, on a
/// terminal.
const AGENT: usize = 24;
const VERSION: usize = 12;
/// The shortest beginning of a run's id that is shown, and the fewest characters of its
/// prompt: beside a whole id, and at all.
const SHORTEST_ID: usize = 8;
const PROMPT: usize = 24;
const SHORTEST_PROMPT: usize = 8;

/// `vm0fs ls`.
#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal times are ages, sizes are rounded, and ids are cut where there is no
room for all of them: to what tells them apart, which is enough for vm0fs logs, cancel
and diff. Elsewhere all is exact. With --json, each line is an object, as in
runs/.runs.jsonl of a mount.

A mount of the same account is asked for what it knows, so a listing can be as old
as its --list-ttl. Where there is none, the service is asked.

Examples:
  vm0fs ls runs --status running
  vm0fs ls runs --agent my-agent --since 1d --json | jq -r .id
  vm0fs ls artifacts"
)]
pub struct LsArgs {
    /// What to list.
    #[command(subcommand)]
    what: What,
}

/// What can be listed.
#[derive(Debug, Subcommand)]
enum What {
    /// List runs, the newest first
    #[command(after_help = "Examples:
  vm0fs ls runs --limit 20
  vm0fs ls runs --status failed,timeout --since 12h
  vm0fs ls runs --agent my-agent --json | jq -r 'select(.duration > 60) | .id'")]
    Runs(RunsArgs),
    /// List the agents, by name
    #[command(after_help = "Examples:
  vm0fs ls agents
  vm0fs ls agents --json | jq -r .name")]
    Agents(Shown),
    /// List the artifacts, by name, each with its current version
    #[command(after_help = "Examples:
  vm0fs ls artifacts
  vm0fs ls artifacts --json | jq -r 'select(.size > 1e9) | .name'")]
    Artifacts(Shown),
    /// List the volumes, by name, each with its current version
    #[command(after_help = "Examples:
  vm0fs ls volumes
  vm0fs ls volumes --json | jq -r .name")]
    Volumes(Shown),
}

/// Which runs are listed.
#[derive(Debug, Args)]
struct RunsArgs {
    /// Only runs with this status; several with commas between them [default: any]
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    #[arg(add = Values::Statuses.completer())]
    status: Vec<String>,
    /// Only runs of this agent, by name or id [default: any]
    #[arg(long, value_name = "AGENT", add = Values::Agents.completer())]
    agent: Option<String>,
    /// Only runs that were created within this time, such as 30m, 2h or 7d [default: any]
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
    /// How they are shown.
    #[command(flatten)]
    shown: Shown,
}

/// How a listing is shown.
#[derive(Debug, Args)]
struct Shown {
    /// Print an object a line as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Stop after so many rows [default: all]
    #[arg(long, value_name = "N", value_parser = whole_number)]
    limit: Option<usize>,
    /// What is asked for it.
    #[command(flatten)]
    reach: ReachOptions,
}

/// A row of `.volumes.jsonl` and `.artifacts.jsonl`.
#[derive(Debug, Deserialize)]
struct StorageRow {
    name: String,
    version: Option<String>,
    size: Option<u64>,
    files: Option<u64>,
    created: Timestamp,
    updated: Option<Timestamp>,
}

impl LsArgs {
    /// Prints the table.
    ///
    /// # Errors
    /// For a status or an agent that does not exist, and what the service refuses.
    pub fn run(self, environment: &Environment) -> Result<()> {
        match self.what {
            What::Runs(args) => args.run(environment),
            What::Agents(shown) => shown.list(environment, "agents", agents_table),
            What::Artifacts(shown) => shown.list_storages(environment, StorageKind::Artifact),
            What::Volumes(shown) => shown.list_storages(environment, StorageKind::Volume),
        }
    }
}

impl RunsArgs {
    fn run(self, environment: &Environment) -> Result<()> {
        let Shown { json, limit, reach } = self.shown;
        let source = reach.source(environment)?;
        let mut listed = match &self.agent {
            None => runs(&source)?,
            Some(agent) => match rows(&source, &["agents", agent, ".runs.jsonl"]) {
                Err(Error::NotFound(_)) => return Err(unknown_agent(&source, agent)),
                listed => listed?,
            },
        };
        is_status(&self.status, &listed)?;
        let ids: Vec<String> = listed.iter().map(|(run, _)| run.id.clone()).collect();
        if !self.status.is_empty() {
            listed.retain(|(run, _)| self.status.contains(&run.status));
        }
        if let Some(since) = self.since {
            let span = jiff::SignedDuration::try_from(Duration::from(since));
            let then = span
                .ok()
                .and_then(|span| Timestamp::now().checked_sub(span).ok());
            listed.retain(|(run, _)| then.is_none_or(|then| run.created >= then));
        }
        finish(&source, "runs", listed, limit, json, |rows| {
            runs_table(rows, &ids, columns())
        })
    }
}

/// Sees that each word is a status, or that of some run.
fn is_status(words: &[String], listed: &[(RunRow, String)]) -> Result<()> {
    let known = RunStatus::KNOWN;
    let mut known: BTreeSet<&str> = known.iter().map(RunStatus::as_str).collect();
    known.extend(listed.iter().map(|(run, _)| run.status.as_str()));
    match words.iter().find(|word| !known.contains(word.as_str())) {
        None => Ok(()),
        Some(word) => {
            let near = nearest(word, known.iter().copied());
            let near = near
                .map(|near| format!(" (did you mean {near:?}?)"))
                .unwrap_or_default();
            let known: Vec<String> = known.iter().map(|word| one_line(word, 40)).collect();
            Err(Error::Setup(format!(
                "no run has the status {word:?}{near}; there are: {}",
                known.join(", ")
            )))
        }
    }
}

impl Shown {
    fn list_storages(self, environment: &Environment, kind: StorageKind) -> Result<()> {
        self.list(environment, kind.plural(), storages_table)
    }

    /// Lists the objects of one kind, by the name of their folder.
    fn list<T: serde::de::DeserializeOwned>(
        self,
        environment: &Environment,
        what: &str,
        table: impl Fn(&[T], Option<usize>) -> String,
    ) -> Result<()> {
        let source = self.reach.source(environment)?;
        let listed = rows(&source, &[what, &format!(".{what}.jsonl")])?;
        finish(&source, what, listed, self.limit, self.json, |rows| {
            table(rows, columns())
        })
    }
}

/// Prints rows, as JSON or as a table.
fn finish<T>(
    source: &Source,
    what: &str,
    mut listed: Vec<(T, String)>,
    limit: Option<usize>,
    json: bool,
    table: impl Fn(&[T]) -> String,
) -> Result<()> {
    if let Some(why) = source.why_old(&[what]) {
        tell(&format!("{why}; what follows is what was last known"));
    }
    listed.truncate(limit.unwrap_or(usize::MAX));
    if json {
        let lines = listed.into_iter().map(|(_, line)| line + "\n");
        return print_bytes(lines.collect::<String>().as_bytes()).map(drop);
    }
    if listed.is_empty() {
        tell("there is nothing to list");
        return Ok(());
    }
    let rows: Vec<T> = listed.into_iter().map(|(row, _)| row).collect();
    print(&table(&rows))
}

/// A text in a cell of at most so many columns of the terminal.
fn cell(text: &str, most: usize) -> String {
    cut(&one_line(text, usize::MAX), most)
}

fn time(at: Option<Timestamp>, is_exact: bool) -> String {
    at.map_or_else(String::new, |at| match is_exact {
        // In UTC, which `Z` says (RFC 3339), also to date(1).
        true => date_and_time(at) + "Z",
        false => ago(at),
    })
}

/// The fewest characters, at least [`SHORTEST_ID`], that tell all ids apart.
fn id_length(ids: &[String]) -> usize {
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort();
    let shared = ids.windows(2).map(|pair| {
        let pairs = pair[0].chars().zip(pair[1].chars());
        pairs.take_while(|(a, b)| a == b).count() + 1
    });
    shared.max().unwrap_or(0).max(SHORTEST_ID)
}

/// The runs for a terminal of so many columns, or exactly; `ids` are those of all runs.
fn runs_table(runs: &[RunRow], ids: &[String], columns: Option<usize>) -> String {
    let is_exact = columns.is_none();
    let row = |run: &RunRow| {
        let took = match run.duration {
            Some(seconds) if is_exact => format!("{seconds} s"),
            Some(seconds) => {
                humanize::age(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            // Of one that goes on, so far.
            None if !is_exact && run.status == "running" => {
                let since = run.started.map(|at| Timestamp::now().duration_since(at));
                let since = since.and_then(|since| Duration::try_from(since).ok());
                since.map_or_else(String::new, |since| humanize::age(since) + " …")
            }
            None => String::new(),
        };
        let most = if is_exact { usize::MAX } else { AGENT };
        [
            cell(&run.id, usize::MAX),
            cell(&run.status, most),
            cell(run.agent.as_deref().unwrap_or_default(), most),
            time(Some(run.created), is_exact),
            took,
            cell(&run.prompt, usize::MAX),
        ]
    };
    let head = ["ID", "STATUS", "AGENT", "CREATED", "TOOK", "PROMPT"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(runs.iter().map(row));
    if let Some(columns) = columns {
        let others: usize = (0..5).map(|of| widest(&lines, of) + 2).sum();
        if columns < others + PROMPT {
            let id = id_length(ids);
            for line in &mut lines {
                line[0] = line[0].chars().take(id).collect();
            }
        }
        fit(&mut lines, 5, columns, SHORTEST_PROMPT, cut);
    }
    let columns = [Align::Left; 6];
    table(&lines, columns)
}

/// Rows that begin with a name, for a terminal of so many columns, or exactly.
fn names_table<const N: usize>(
    head: [String; N],
    rows: impl Iterator<Item = [String; N]>,
    columns: Option<usize>,
    aligns: [Align; N],
) -> String {
    let mut lines = Vec::from_iter(std::iter::once(head).chain(rows));
    if let Some(columns) = columns {
        fit(&mut lines, 0, columns.min(MOST), SHORTEST_NAME, cut);
    }
    table(&lines, aligns)
}

fn agents_table(agents: &[AgentRow], columns: Option<usize>) -> String {
    let is_exact = columns.is_none();
    let head = ["NAME", "CREATED", "UPDATED", "ID"].map(str::to_owned);
    let row = |agent: &AgentRow| {
        [
            cell(&agent.name, usize::MAX),
            time(Some(agent.created), is_exact),
            time(agent.updated, is_exact),
            cell(&agent.id, usize::MAX),
        ]
    };
    let mut rows: Vec<_> = agents.iter().map(row).collect();
    // Names are what other commands take.
    let rest = |rows: &[[String; 4]]| (1..4).map(|of| widest(rows, of) + 2).sum::<usize>();
    let room = widest(&rows, 0).min(ROOM_OF_NAMES);
    if columns.is_some_and(|columns| columns < rest(&rows) + room) {
        let ids: Vec<String> = agents.iter().map(|agent| agent.id.clone()).collect();
        let length = id_length(&ids);
        for row in &mut rows {
            // No command takes a part of one.
            if row[3].chars().count() > length {
                row[3] = row[3].chars().take(length).chain(['…']).collect();
            }
        }
    }
    names_table(head, rows.into_iter(), columns, [Align::Left; 4])
}

fn storages_table(storages: &[StorageRow], columns: Option<usize>) -> String {
    let is_exact = columns.is_none();
    let version = if is_exact { usize::MAX } else { VERSION };
    let head = ["NAME", "SIZE", "FILES", "UPDATED", "VERSION"].map(str::to_owned);
    let row = |storage: &StorageRow| {
        let size = storage.size.map(|size| match is_exact {
            true => size.to_string(),
            false => humanize::size(size),
        });
        let id = storage.version.as_deref().unwrap_or_default();
        let id: String = id.chars().take(version).collect();
        [
            cell(&storage.name, usize::MAX),
            size.unwrap_or_default(),
            storage
                .files
                .map(|files| files.to_string())
                .unwrap_or_default(),
            time(storage.updated.or(Some(storage.created)), is_exact),
            cell(&id, usize::MAX),
        ]
    };
    let (left, right) = (Align::Left, Align::Right);
    let aligns = [left, right, right, left, left];
    names_table(head, storages.iter().map(row), columns, aligns)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::text::width;

    fn run(id: &str, prompt: &str) -> RunRow {
        let json = serde_json::json!({
            "id": id, "agent": "wri\u{1b}[2Jter", "status": "completed",
            "created": "2026-01-02T03:04:05.000Z", "duration": 61.5, "prompt": prompt,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_table_of_runs_fits_the_terminal_and_is_exact_elsewhere() {
        let ids = ["0b7f1c9e-3c1d-4a52", "0b7f1c9e-3cff-0000"].map(str::to_owned);
        let runs = [
            run(&ids[0], &"long ".repeat(60)),
            run(&ids[1], &"報告書を".repeat(60)),
        ];
        for columns in [70, 80, 200] {
            let text = runs_table(&runs, &ids, Some(columns));
            assert!(!text.contains('\u{1b}'), "{text}");
            let widest = text.lines().map(width).max();
            assert!(widest.unwrap() <= columns, "{columns}: {text}");
            let has_whole_ids = text.contains(&ids[0]);
            assert_eq!(has_whole_ids, columns == 200, "{columns}: {text}");
            assert!(
                text.contains("0b7f1c9e-3c1") && text.contains("0b7f1c9e-3cf"),
                "{text}"
            );
            assert!(text.contains("1 min"), "{text}");
        }
        let text = runs_table(&runs, &ids, None);
        assert!(
            text.contains(&ids[0]) && text.contains("2026-01-02 03:04:05"),
            "{text}"
        );
        assert!(
            text.contains("61.5 s") && text.contains(&"long ".repeat(59)),
            "{text}"
        );
    }

    #[test]
    fn tables_of_names_fit_the_terminal_and_have_whole_ids() {
        let id = "0b7f1c9e-3c1d-4a52-9c00-2f9d9c8e1a00";
        for name in ["a name of many words ".repeat(9), "報告".repeat(40)] {
            let row = serde_json::json!({
                "id": id, "name": name, "created": "2026-01-02T03:04:05.000Z",
                "version": id, "size": 5, "files": 2,
            });
            let agents = [serde_json::from_value(row.clone()).unwrap()];
            let storages = [serde_json::from_value(row).unwrap()];
            for columns in [80, 100, 300] {
                let texts = [
                    agents_table(&agents, Some(columns)),
                    storages_table(&storages, Some(columns)),
                ];
                assert!(texts[0].contains(id), "{}", texts[0]);
                for line in texts.iter().flat_map(|text| text.lines()) {
                    assert!(width(line) <= columns.min(MOST), "{columns}: {line}");
                }
            }
            let narrow = agents_table(&agents, Some(45));
            assert!(
                !narrow.contains(id) && narrow.contains(&id[..8]),
                "{narrow}"
            );
            assert!(narrow.lines().all(|line| width(line) <= 45), "{narrow}");
            let text = agents_table(&agents, None) + &storages_table(&storages, None);
            assert_eq!(text.matches(name.trim()).count(), 2, "{text}");
            assert!(text.contains("2026-01-02 03:04:05Z"), "{text}");
        }
    }

    #[test]
    fn a_status_that_no_run_has_is_reported_with_the_nearest() {
        let listed = [(run("a", "b"), String::new())];
        assert!(is_status(&["completed".into(), "failed".into()], &listed).is_ok());
        let error = is_status(&["faild".into()], &listed)
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean \"failed\"?"), "{error}");
    }

    #[test]
    fn ids_are_cut_to_what_tells_them_apart() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(id_length(&ids(&["abc", "b"])), 8);
        assert_eq!(
            id_length(&ids(&["run_0123456789a", "x", "run_0123456789b"])),
            15
        );
        assert_eq!(id_length(&[]), 8);
    }
}
