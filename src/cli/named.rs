//! The runs and agents that a user names: what the tables of a mount hold, and what a
//! word means.

use super::{
    output::tell,
    source::{Listed, Source},
};
use crate::{
    error::{Error, Result},
    humanize,
    text::{nearest, one_line},
    tree::path_component,
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// Runs or versions that a message names where several are meant.
const CANDIDATES: usize = 5;
/// The word for the newest run.
const LATEST: &str = "latest";
/// Characters of a version's id in a message.
const VERSION: usize = 12;

/// A row of `.runs.jsonl`.
#[derive(Debug, Deserialize)]
pub(super) struct RunRow {
    pub(super) id: String,
    pub(super) agent: Option<String>,
    pub(super) status: String,
    pub(super) created: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) duration: Option<f64>,
    #[serde(default)]
    pub(super) prompt: String,
}

/// A row of `.agents.jsonl`.
#[derive(Debug, Deserialize)]
pub(super) struct AgentRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) updated: Option<Timestamp>,
}

/// The rows of a table of a mount, each with its line.
///
/// # Errors
/// What reading it fails with.
pub(super) fn rows<T: DeserializeOwned>(
    source: &Source,
    table: &[&str],
) -> Result<Vec<(T, String)>> {
    let text = source.read(table)?;
    let text = String::from_utf8_lossy(&text);
    let row = |line: &str| {
        let row = serde_json::from_str(line);
        let row = row.map_err(|error| Error::Internal(format!("{}: {error}", table.join("/"))))?;
        Ok((row, line.to_owned()))
    };
    text.lines().map(row).collect()
}

/// All runs, the newest first.
///
/// # Errors
/// What asking for them fails with.
pub(super) fn runs(source: &Source) -> Result<Vec<(RunRow, String)>> {
    rows(source, &["runs", ".runs.jsonl"])
}

/// All agents, by name.
///
/// # Errors
/// What asking for them fails with.
pub(super) fn agents(source: &Source) -> Result<Vec<(AgentRow, String)>> {
    rows(source, &["agents", ".agents.jsonl"])
}

/// What becomes of a word for a run where the service cannot say now which is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// It is an error: another run than the one that is meant must not be cancelled.
    Fails,
    /// It means what it did when the runs were last listed, and the user is told.
    MeansLastKnown,
}

/// The name in the mount of the run that a user means: its id or the beginning of it,
/// `latest`, or `AGENT/latest`. For all but a whole id the runs are listed anew.
///
/// # Errors
/// [`Error::Setup`] for a word that means no run or several, and what looking for it
/// fails with.
pub(super) fn run(source: &Source, word: &str, away: Away) -> Result<String> {
    // As it is called in a mount.
    let name = word
        .strip_prefix("runs/")
        .unwrap_or(word)
        .trim_end_matches('/');
    if is_word(name) && name != LATEST && source.has(&["runs", name, "status"])? {
        return Ok(name.to_owned());
    }
    if !is_word(name) && !name.ends_with("/latest") {
        return meant(source, word, name);
    }
    let why = match source.list_runs_anew() {
        Ok(Listed::Anew) => return meant(source, word, name),
        Ok(Listed::NotHere(why)) => Error::Setup(why),
        Err(error) if error.may_pass() => error,
        Err(error) => return Err(error),
    };
    match away {
        Away::Fails => Err(why),
        Away::MeansLastKnown => {
            let run = meant(source, word, name)?;
            tell(&format!("{why}; the runs are those that were last known"));
            Ok(run)
        }
    }
}

/// The run that a word means by what is known now; `name` is the word as a mount has it.
fn meant(source: &Source, word: &str, name: &str) -> Result<String> {
    if let Some(agent) = name.strip_suffix("/latest") {
        let agent = agent.strip_prefix("agents/").unwrap_or(agent);
        return match source.link(&["agents", agent, "latest"]) {
            Err(Error::NotFound(_)) => Err(match source.has(&["agents", agent])? {
                true => Error::Setup(format!("agent {agent:?} has no run yet")),
                false => unknown_agent(source, agent),
            }),
            target => target,
        };
    }
    if name == LATEST {
        let runs = runs(source)?;
        let newest = runs.first().map(|(run, _)| path_component(&run.id));
        return newest.ok_or_else(|| Error::Setup("there is no run yet".into()));
    }
    let runs = runs(source)?;
    let begin = |run: &&(RunRow, String)| is_word(name) && run.0.id.starts_with(name);
    let found: Vec<&RunRow> = runs.iter().filter(begin).map(|(run, _)| run).collect();
    match found.as_slice() {
        [] => Err(unknown_run(source, word)),
        [only] => Ok(path_component(&only.id)),
        several => {
            let shown = several.iter().take(CANDIDATES).map(|run| {
                let agent = one_line(run.agent.as_deref().unwrap_or("?"), 40);
                format!("{} ({agent}, {})", one_line(&run.id, 80), ago(run.created))
            });
            let more = if several.len() > CANDIDATES {
                ", …"
            } else {
                ""
            };
            Err(Error::Setup(format!(
                "{} runs begin with {word:?}; give more of the id: {}{more}",
                several.len(),
                shown.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// Whether it can be a run's id, or the beginning of one.
fn is_word(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/')
}

fn unknown_run(source: &Source, word: &str) -> Error {
    let agents = agents(source).unwrap_or_default();
    if agents.iter().any(|(agent, _)| agent.name == word) {
        return Error::Setup(format!(
            "{word:?} is an agent and no run; its newest run is {word}/latest"
        ));
    }
    Error::Setup(format!(
        "there is no run {word:?}; `vm0fs ls runs` lists those there are, and the newest is \
         called latest, that of an agent AGENT/latest"
    ))
}

/// That there is no such agent, and which may be meant.
pub(super) fn unknown_agent(source: &Source, word: &str) -> Error {
    let agents = agents(source).unwrap_or_default();
    let near = nearest(word, agents.iter().map(|(agent, _)| agent.name.as_str()));
    let near = near.map(|near| format!(" (did you mean {near:?}?)"));
    Error::Setup(format!(
        "there is no agent {word:?}{}; `vm0fs ls agents` lists those there are",
        near.unwrap_or_default()
    ))
}

/// That there is no such artifact or volume, and which may be meant.
pub(super) fn unknown_storage(source: &Source, kind: &str, word: &str) -> Error {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let other = match kind {
        "volumes" => "artifacts",
        _ => "volumes",
    };
    if source.has(&[other, word]).unwrap_or_default() {
        return Error::Setup(format!(
            "there is no {} {word:?}, but there is {other}/{word}",
            kind.trim_end_matches('s')
        ));
    }
    let listed = rows::<Row>(source, &[kind, &format!(".{kind}.jsonl")]).unwrap_or_default();
    let near = nearest(word, listed.iter().map(|(row, _)| row.name.as_str()));
    let near = near.map(|near| format!(" (did you mean {near:?}?)"));
    Error::Setup(format!(
        "there is no {} {word:?}{}; `vm0fs ls {kind}` lists those there are",
        kind.trim_end_matches('s'),
        near.unwrap_or_default()
    ))
}

/// That an artifact or a volume has no version which the last name of a path means, and
/// which there are.
pub(super) fn unknown_version(source: &Source, shown: &str, path: [&[u8]; 3]) -> Error {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        created_at: Timestamp,
    }
    let [kind, name, version] = path;
    let text = match source.read(&[kind, name, b".versions.json"]) {
        Ok(text) => text,
        Err(error) => return error,
    };
    let rows: Vec<Row> = serde_json::from_slice(&text).unwrap_or_default();
    let word = one_line(&String::from_utf8_lossy(version), 200);
    let (shown, begin) = (one_line(shown, 200), |row: &&Row| {
        row.id.starts_with(&*word)
    });
    let begun: Vec<&Row> = rows.iter().filter(begin).collect();
    let list = |rows: &mut dyn Iterator<Item = &Row>, length: usize| {
        let rows = rows.take(CANDIDATES).map(|row| {
            let id: String = row.id.chars().take(length).collect();
            format!("{} ({})", one_line(&id, 80), ago(row.created_at))
        });
        rows.collect::<Vec<_>>().join(", ")
    };
    let more = |count: usize| if count > CANDIDATES { ", …" } else { "" };
    Error::Setup(match (begun.len(), rows.len()) {
        (_, 0) => format!("{shown} has no version yet, so there is nothing to compare"),
        (0, count) => format!(
            "{shown} has no version {word:?}; it has {}{}",
            list(&mut rows.iter(), VERSION),
            more(count)
        ),
        (1, _) => format!(
            "{word:?} is too short for a version of {shown}; give 8 characters of the id or more: \
             {}",
            list(&mut begun.into_iter(), VERSION)
        ),
        (count, _) => format!(
            "{count} versions of {shown} begin with {word:?}; give more of the id: {}{}",
            list(&mut begun.into_iter(), 80),
            more(count)
        ),
    })
}

/// How long ago something was, in words; the time itself where it is still to come.
pub(super) fn ago(at: Timestamp) -> String {
    match Duration::try_from(Timestamp::now().duration_since(at)) {
        Ok(age) => format!("{} ago", humanize::age(age)),
        Err(_) => humanize::date_and_time(at),
    }
}
