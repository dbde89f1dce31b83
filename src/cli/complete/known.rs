//! What is known of this machine's mounts and of the account, without the network:
//! the kernel's table of mounts, answers on disk, and where there are none what a mount
//! says within a moment.

use super::values::Values;
use crate::{
    api::types::RunStatus,
    cli::{
        mounts,
        named::{self, ago},
        source::Source,
    },
    config::{Environment, MountOptions, Settings},
    guide::{self, PAGES},
    mount,
    text::{one_line, turns_text},
    tree::path_component,
    unmount,
};
use jiff::Timestamp;
use nix::unistd::Uid;
use serde::Deserialize;
use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

/// Characters of a description.
const DESCRIPTION: usize = 80;
/// Runs that are offered for a word that has not been begun: some screens.
const MOST_RUNS: usize = 100;
/// How long the mounts may take to say what they know, together: a user waits.
const LIMIT: Duration = Duration::from_millis(500);
/// Bytes that a mount may say, which is as much as a pipe holds (pipe(7)): they are read
/// when the process that asks has ended.
const LONGEST: usize = 64 << 10;

/// A value, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) about: String,
}

impl Value {
    pub(super) fn new(text: &str, about: &str) -> Self {
        Self {
            text: text.to_owned(),
            about: one_line(about, DESCRIPTION),
        }
    }

    fn plain(text: String) -> Self {
        Self::new(&text, "")
    }

    /// The value and, after a tab, what is said of it.
    pub(super) fn line(&self) -> String {
        match self.about.as_str() {
            "" => self.text.clone(),
            about => format!("{}\t{about}", self.text),
        }
    }

    fn read(line: &str) -> Self {
        let (text, about) = line.split_once('\t').unwrap_or((line, ""));
        Self::new(text, about)
    }

    /// Whether a terminal can show it as it is: such values alone are offered.
    pub(super) fn is_harmless(&self) -> bool {
        let turns = |c: char| c.is_control() || turns_text(c);
        !self.text.is_empty() && !self.text.chars().any(turns)
    }
}

/// Where values come from.
pub(super) struct Known<'a> {
    environment: &'a Environment,
    /// The words before the one that is completed.
    before: &'a [String],
}

impl<'a> Known<'a> {
    pub(super) fn new(environment: &'a Environment, before: &'a [String]) -> Self {
        Self {
            environment,
            before,
        }
    }

    /// The values that begin with `typed`; `None` where the shell is to look for files.
    pub(super) fn values(
        &mut self,
        kind: Values,
        typed: &str,
        command: &clap::Command,
    ) -> Option<Vec<Value>> {
        let mut values = match kind {
            Values::Files | Values::Folders => return None,
            Values::Mountpoints => {
                let mut places = self.mountpoints(typed);
                // A mount that is named already is not meant again.
                places.retain(|place| !self.before.contains(&place.text));
                places
            }
            Values::InMounts => {
                let mut places = self.mountpoints(typed);
                places.iter_mut().for_each(|place| place.text.push('/'));
                match typed.is_empty() && !places.is_empty() {
                    true => places,
                    false => return None,
                }
            }
            Values::Agents => self.listed(kind),
            Values::Runs => {
                let mut runs = self.listed(kind);
                runs.retain(|run| !self.before.contains(&run.text));
                if typed.is_empty() {
                    runs.truncate(MOST_RUNS);
                }
                runs
            }
            // A path, as those in a mount are.
            Values::Storages if typed.starts_with(['/', '~', '.']) => return None,
            Values::Storages | Values::Versions => self.listed(kind),
            Values::Statuses => {
                let known = RunStatus::KNOWN;
                let words = known.iter().map(|status| status.as_str().to_owned());
                words.map(Value::plain).collect()
            }
            Values::Topics => topics(command),
        };
        values.retain(|value| value.text.starts_with(typed));
        Some(values)
    }

    /// The places of this user's mounts, for root of all, written as `typed` begins. The
    /// mounts are not touched: they may be dead or hang.
    fn mountpoints(&self, typed: &str) -> Vec<Value> {
        let home = self.environment.home.as_deref();
        let write = |place: &Path| -> Option<String> {
            let below = |folder: &Path| place.strip_prefix(folder).ok().map(Path::to_owned);
            let path = match typed.chars().next() {
                Some('~') => Path::new("~").join(below(home?)?),
                None | Some('/') => place.to_owned(),
                Some(_) => match typed.strip_prefix("./") {
                    Some(_) => Path::new(".").join(below(&self.environment.current_dir)?),
                    None => below(&self.environment.current_dir)?,
                },
            };
            Some(path.to_str()?.to_owned())
        };
        let places = own_mounts();
        let places = places.iter().filter_map(|place| write(place));
        places.map(Value::plain).collect()
    }

    /// What the last listings on disk have, else what a mount knows.
    fn listed(&self, kind: Values) -> Vec<Value> {
        let on_disk = self.on_disk();
        let of = self.storage();
        let values = on_disk.map(|source| listed(&source, kind, of));
        match values.unwrap_or_default() {
            none if none.is_empty() => ask_mounts(kind, of),
            values => values,
        }
    }

    /// The first word after the command that is no option: an artifact, a volume or a
    /// path of one.
    fn storage(&self) -> &str {
        let words = self.before.iter().skip(2);
        let mut words = words.filter(|word| !word.starts_with('-'));
        words.next().map_or("", String::as_str)
    }

    /// The files that a mount would show without the network.
    fn on_disk(&self) -> Option<Source> {
        let options = MountOptions {
            offline: true,
            ..MountOptions::default()
        };
        let settings = Settings::load(options, self.environment).ok()?;
        // A TAB makes no folder.
        if !settings.cache_dir.is_dir() {
            return None;
        }
        let (tree, pending) = mount::open(&settings).ok()?;
        Some(Source::Tree(tree, pending))
    }
}

/// The values of a kind, the newest first or by name; of a storage, its versions.
fn listed(source: &Source, kind: Values, storage: &str) -> Vec<Value> {
    match kind {
        Values::Storages => return storages(source),
        Values::Versions => return versions(source, storage),
        _ => {}
    }
    let agents = || {
        let agents = named::agents(source).unwrap_or_default();
        let names = agents.into_iter().map(|(agent, _)| agent.name);
        names.map(|name| path_component(&name)).collect::<Vec<_>>()
    };
    if kind == Values::Agents {
        let mut names = agents();
        // Which of two agents of one name is meant, only an id says.
        names.dedup();
        return names.into_iter().map(Value::plain).collect();
    }
    let runs = named::runs(source).unwrap_or_default();
    let newest = runs.first().map(|_| Value::new("latest", "the newest run"));
    let runs = runs.iter().map(|(run, _)| {
        let agent = run.agent.as_deref().unwrap_or("?");
        let about = format!("{}, {agent}, {}", run.status, ago(run.created));
        Value::new(
            &path_component(&run.id),
            &format!("{about}: {}", run.prompt),
        )
    });
    let of_agents = agents()
        .into_iter()
        .map(|name| Value::new(&format!("{name}/latest"), "its newest run"));
    newest.into_iter().chain(runs).chain(of_agents).collect()
}

fn storages(source: &Source) -> Vec<Value> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        updated: Option<Timestamp>,
    }
    let kinds = [("artifacts", ""), ("volumes", "volumes/")];
    let rows = kinds.into_iter().flat_map(|(kind, before)| {
        let table = format!(".{kind}.jsonl");
        let rows = named::rows::<Row>(source, &[kind, &table]);
        let rows = rows.unwrap_or_default().into_iter();
        rows.map(move |(row, _)| {
            let about = row.updated.map(|at| format!("changed {}", ago(at)));
            let name = format!("{before}{}", path_component(&row.name));
            Value::new(&name, &about.unwrap_or_default())
        })
    });
    rows.collect()
}

fn versions(source: &Source, storage: &str) -> Vec<Value> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        message: Option<String>,
        created_at: Timestamp,
    }
    let mut parts = storage.trim_end_matches('/').rsplit('/');
    let name = parts.next().unwrap_or_default();
    let kind = match parts.next() {
        Some("volumes") => "volumes",
        _ => "artifacts",
    };
    let text = source.read(&[kind, name, ".versions.json"]);
    let rows = serde_json::from_slice(&text.unwrap_or_default());
    let rows: Vec<Row> = rows.unwrap_or_default();
    let newest = rows
        .first()
        .map(|_| Value::new("latest", "its newest version"));
    let rows = rows.iter().map(|row| {
        let message = row.message.as_deref().unwrap_or_default();
        let about = format!("{}: {message}", ago(row.created_at));
        Value::new(&path_component(&row.id), &about)
    });
    newest.into_iter().chain(rows).collect()
}

fn own_mounts() -> Vec<PathBuf> {
    let user = Uid::effective();
    let mut mounts = mounts::all().unwrap_or_default();
    mounts.retain(|mount| user.is_root() || mount.user == Some(user.as_raw()));
    mounts.into_iter().map(|mount| mount.mountpoint).collect()
}

/// What the first mount says that says something. Another process asks, which is left
/// behind where a mount hangs.
fn ask_mounts(kind: Values, storage: &str) -> Vec<Value> {
    let mounts = own_mounts();
    let share = LIMIT / u32::try_from(mounts.len().max(1)).unwrap_or(u32::MAX);
    let ask = |mountpoint: &PathBuf| -> Option<Vec<Value>> {
        let mut process = unmount::second_process("complete", mountpoint);
        process.args([&kind.name(), storage]).stdout(Stdio::piped());
        let mut child = process.spawn().ok()?;
        unmount::wait_within(&mut child, share).ok()??;
        let mut text = String::new();
        child
            .stdout?
            .take(LONGEST as u64)
            .read_to_string(&mut text)
            .ok()?;
        let values: Vec<Value> = text.lines().map(Value::read).collect();
        (!values.is_empty()).then_some(values)
    };
    mounts.iter().find_map(ask).unwrap_or_default()
}

/// What that process prints: the values of a mount, a line each.
pub(super) fn read_mount(words: &[OsString]) -> String {
    let [mountpoint, kind, storage] = words else {
        return String::new();
    };
    let Some(kind) = kind.to_str().and_then(Values::named) else {
        return String::new();
    };
    let mut text = String::new();
    let storage = storage.to_string_lossy();
    for value in listed(&Source::Mount(mountpoint.into()), kind, &storage) {
        let line = value.line() + "\n";
        if value.is_harmless() && text.len() + line.len() <= LONGEST {
            text += &line;
        }
    }
    text
}

/// The pages of the guide, and the commands that have no page of their name.
fn topics(command: &clap::Command) -> Vec<Value> {
    let pages = PAGES.iter().map(|page| Value::new(page.name, page.about));
    let commands = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && guide::page(sub.get_name()).is_none())
        .map(|sub| {
            let about = sub.get_about().map(ToString::to_string);
            Value::new(sub.get_name(), &about.unwrap_or_default())
        });
    pages.chain(commands).collect()
}
