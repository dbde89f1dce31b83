//! The listings that values are taken from: answers on disk, and where these have not a
//! listing, what a mount says within a moment.
//!
//! Answers and mounts are those that the command will use (`cli/reach`).

use super::{typed::Typed, value::Value};
use crate::{
    cli::{
        diff::Storage,
        mounts,
        named::{self, ago},
        reach,
        source::Source,
    },
    config::{Environment, MountOptions, Settings},
    error::{Error, Result},
    mount,
    tree::path_component,
    unmount,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    cell::OnceCell,
    ffi::OsString,
    io::Read,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// How long the mounts may take to say all listings of a line, together: a user waits.
const LIMIT: Duration = Duration::from_millis(500);
/// Bytes that a mount may say, which is as much as a pipe holds (pipe(7)): they are read
/// when the process that asks has ended.
const LONGEST: usize = 64 << 10;
/// What that process says first where the mount has the listing.
const LISTED: &str = "listed";

/// A listing of the service. One may be known where another is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Names of agents.
    Agents,
    /// Ids of runs, and the word for the newest.
    Runs,
    /// The words for the newest run of each agent.
    NewestRuns,
    /// Names of artifacts.
    Artifacts,
    /// Names of volumes, as `volumes/NAME`.
    Volumes,
    /// Versions of one artifact or volume.
    Versions,
}

impl Listing {
    const ALL: [Self; 6] = [
        Self::Agents,
        Self::Runs,
        Self::NewestRuns,
        Self::Artifacts,
        Self::Volumes,
        Self::Versions,
    ];

    /// What it is called between two processes.
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its values, the newest first or by name; of `storage`, its versions.
    fn read(self, source: &Source, storage: &str) -> Result<Vec<Value>> {
        match self {
            Self::Agents => Ok(agents(source)?
                .iter()
                .map(|name| Value::new(name, ""))
                .collect()),
            Self::NewestRuns => {
                let names = agents(source)?;
                let newest = |name| Value::new(&format!("{name}/latest"), "its newest run");
                Ok(names.into_iter().map(newest).collect())
            }
            Self::Runs => runs(source),
            Self::Artifacts => storages(source, "artifacts", ""),
            Self::Volumes => storages(source, "volumes", "volumes/"),
            Self::Versions => versions(source, storage),
        }
    }
}

fn agents(source: &Source) -> Result<Vec<String>> {
    let agents = named::agents(source)?.into_iter();
    let mut names = Vec::from_iter(agents.map(|(agent, _)| path_component(&agent.name)));
    // Which of two agents of one name is meant, only an id says.
    names.dedup();
    Ok(names)
}

fn runs(source: &Source) -> Result<Vec<Value>> {
    let runs = named::runs(source)?;
    let newest = runs.first().map(|_| Value::new("latest", "the newest run"));
    let runs = runs.iter().map(|(run, _)| {
        let agent = run.agent.as_deref().unwrap_or("?");
        let about = format!("{}, {agent}, {}", run.status, ago(run.created));
        Value::new(
            &path_component(&run.id),
            &format!("{about}: {}", run.prompt),
        )
    });
    Ok(newest.into_iter().chain(runs).collect())
}

fn storages(source: &Source, kind: &str, before: &str) -> Result<Vec<Value>> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        updated: Option<Timestamp>,
    }
    let rows = named::rows::<Row>(source, &[kind, &format!(".{kind}.jsonl")])?;
    let rows = rows.into_iter().map(|(row, _)| {
        let about = row.updated.map(|at| format!("changed {}", ago(at)));
        let name = format!("{before}{}", path_component(&row.name));
        Value::new(&name, &about.unwrap_or_default())
    });
    Ok(rows.collect())
}

fn versions(source: &Source, storage: &str) -> Result<Vec<Value>> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        message: Option<String>,
        created_at: Timestamp,
    }
    let (kind, name) = storage.split_once('/').unwrap_or_default();
    let text = source.read(&[kind, name, ".versions.json"])?;
    let rows: Vec<Row> = serde_json::from_slice(&text).unwrap_or_default();
    let newest = rows
        .first()
        .map(|_| Value::new("latest", "its newest version"));
    let rows = rows.iter().map(|row| {
        let message = row.message.as_deref().unwrap_or_default();
        let about = format!("{}: {message}", ago(row.created_at));
        Value::new(&path_component(&row.id), &about)
    });
    Ok(newest.into_iter().chain(rows).collect())
}

/// Where the listings of one line come from.
pub(super) struct Listings<'a> {
    environment: &'a Environment,
    typed: &'a Typed,
    settings: OnceCell<Result<Settings>>,
    /// What a mount would show without the network; `None` where nothing is on disk.
    on_disk: OnceCell<Option<Source>>,
    /// When the mounts have had their time.
    deadline: Instant,
}

impl<'a> Listings<'a> {
    pub(super) fn new(environment: &'a Environment, typed: &'a Typed) -> Self {
        Self {
            environment,
            typed,
            settings: OnceCell::new(),
            on_disk: OnceCell::new(),
            deadline: Instant::now() + LIMIT,
        }
    }

    /// Values of a listing; at least those that begin with `begin`.
    pub(super) fn values(&self, listing: Listing, begin: &str) -> Vec<Value> {
        let storage = self.storage();
        let question = Question {
            listing,
            storage: storage.as_ref().map(Storage::shown).unwrap_or_default(),
            begin,
        };
        let named = storage.and_then(|storage| storage.mountpoint);
        if let Some(named) = named.as_ref().or(self.typed.mountpoint.as_ref()) {
            return question.ask(named, "", self.left()).unwrap_or_default();
        }
        let mut mounts = reach::mounts(&self.typed.connection).unwrap_or_default();
        let here = reach::here(&mounts, self.environment).filter(|_| self.typed.asks_mounts);
        if let Some(here) = here.map(|here| here.mountpoint.clone()) {
            if let Some(values) = question.ask(&here, "", self.left()) {
                return values;
            }
            mounts.retain(|mount| mount.mountpoint != here);
        }
        let share = LIMIT / u32::try_from(mounts.len().max(1)).unwrap_or(u32::MAX);
        let share = || share.min(self.left());
        match self.settings() {
            Ok(settings) => {
                let known = self.on_disk(settings).map(|source| question.answer(source));
                let ask = || {
                    let account = settings.account();
                    let mut mounts = mounts.iter();
                    mounts.find_map(|mount| question.ask(&mount.mountpoint, &account, share()))
                };
                known.and_then(Result::ok).or_else(ask).unwrap_or_default()
            }
            // The only mount that lives can be meant, of any account.
            Err(Error::NoToken) => {
                let mut answers = mounts
                    .iter()
                    .filter_map(|mount| question.ask(&mount.mountpoint, "", share()));
                match (answers.next(), answers.next()) {
                    (Some(only), None) => only,
                    _ => Vec::new(),
                }
            }
            Err(_) => Vec::new(),
        }
    }

    /// How long the mounts may still take.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The artifact or the volume whose versions are meant. The mounts are not touched.
    fn storage(&self) -> Option<Storage> {
        let named = self.typed.storage.as_deref()?;
        Storage::without_looking(named, &mounts::all().ok()?)
    }

    fn settings(&self) -> std::result::Result<&Settings, &Error> {
        let load = || {
            let options = MountOptions {
                offline: true,
                ..self.typed.connection.clone().into()
            };
            Settings::load(options, self.environment)
        };
        self.settings.get_or_init(load).as_ref()
    }

    fn on_disk(&self, settings: &Settings) -> Option<&Source> {
        let open = || {
            // A TAB makes no folder.
            if !settings.cache_dir.is_dir() {
                return None;
            }
            let (tree, pending) = mount::open(settings).ok()?;
            Some(Source::Tree(tree, pending))
        };
        self.on_disk.get_or_init(open).as_ref()
    }
}

/// What is asked for.
struct Question<'a> {
    listing: Listing,
    /// The storage whose versions are meant, as `artifacts/NAME`.
    storage: String,
    /// What the values begin with.
    begin: &'a str,
}

impl Question<'_> {
    fn answer(&self, source: &Source) -> Result<Vec<Value>> {
        let mut values = self.listing.read(source, &self.storage)?;
        values.retain(|value| value.text.starts_with(self.begin));
        Ok(values)
    }

    /// What a mount says, if it is of `account` where that is not empty; `None` where it
    /// does not say. Another process asks, which is left behind where a mount hangs.
    fn ask(&self, mountpoint: &Path, account: &str, limit: Duration) -> Option<Vec<Value>> {
        if limit.is_zero() {
            return None;
        }
        let mut process = unmount::second_process("complete", mountpoint);
        process.args([&self.listing.name(), &self.storage, self.begin, account]);
        let mut child = process.stdout(Stdio::piped()).spawn().ok()?;
        unmount::wait_within(&mut child, limit).ok()??;
        let mut text = String::new();
        child
            .stdout?
            .take(LONGEST as u64)
            .read_to_string(&mut text)
            .ok()?;
        let mut lines = text.lines();
        (lines.next()? == LISTED).then(|| lines.map(Value::read).collect())
    }
}

/// What that process prints: the values of a mount, a line each.
pub(super) fn read_mount(words: &[OsString]) -> String {
    let [mountpoint, words @ ..] = words else {
        return String::new();
    };
    let words = words.iter().map(|word| word.to_string_lossy());
    let words = Vec::from_iter(words);
    let [listing, storage, begin, account] = words.as_slice() else {
        return String::new();
    };
    let mut listings = Listing::ALL.into_iter();
    let Some(listing) = listings.find(|known| known.name() == *listing) else {
        return String::new();
    };
    let source = Source::Mount(mountpoint.into());
    let question = Question {
        listing,
        storage: storage.to_string(),
        begin,
    };
    if !account.is_empty() && account_of(&source).as_deref() != Some(account) {
        return String::new();
    }
    let Ok(values) = question.answer(&source) else {
        return String::new();
    };
    let mut text = format!("{LISTED}\n");
    for value in values {
        let line = value.line() + "\n";
        if value.is_harmless() && text.len() + line.len() <= LONGEST {
            text += &line;
        }
    }
    text
}

/// Which account a mount shows.
fn account_of(source: &Source) -> Option<String> {
    let status = source.read(&[".vm0fs", "status.json"]).ok()?;
    let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
    Some(reach::account_in(&status)?.to_owned())
}
