//! The data of the demo world: `agents.toml`, `runs.toml`, and a file in `storages/`
//! for each volume and artifact.

use crate::demo::world::Kind;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::LazyLock};

/// Seconds in an hour and in a day.
pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 24 * HOUR;

/// Texts for the words in braces of stories and files, by word.
pub(super) type Words = BTreeMap<String, String>;

/// The parts of the demo world.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) agents: Vec<Agent>,
    pub(super) storages: Vec<Storage>,
    pub(super) runs: Vec<Run>,
    /// The run that goes on logging.
    pub(super) live: Live,
}

/// An agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    /// The agent program; absent where the service has no configuration.
    pub(super) framework: Option<String>,
    /// The volume that it reads by its configuration.
    pub(super) volume: Option<String>,
    /// A second volume of its runs, always in the latest version.
    pub(super) also: Option<String>,
    pub(super) versions: i64,
    /// The age of its first version.
    pub(super) ago: Span,
}

/// A volume or an artifact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Storage {
    /// The name of its file.
    #[serde(skip)]
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) author: String,
    /// Oldest first.
    #[serde(default, rename = "version")]
    pub(super) versions: Vec<Version>,
    /// The files of all versions, in the order in which archives have them.
    #[serde(default, rename = "file")]
    pub(super) files: Vec<File>,
}

/// A version of a volume or an artifact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) message: Option<String>,
    /// Its age; absent if a run has stored it.
    pub(super) ago: Option<Span>,
    /// Words for its files and for the story of the run that has stored it.
    #[serde(default)]
    pub(super) words: Words,
}

/// A file, or several files of one form.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    /// May contain words, as the content may.
    pub(super) path: String,
    /// Absent for a folder.
    #[serde(flatten)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) executable: bool,
    /// The first and the last version that has it, counted from 1.
    #[serde(default)]
    pub(super) since: usize,
    #[serde(default = "forever")]
    pub(super) until: usize,
    /// What the file is repeated for. Consecutive files that are repeated for the same
    /// are repeated together.
    pub(super) each: Option<Each>,
    /// Follows the text.
    pub(super) rows: Option<Rows>,
}

fn forever() -> usize {
    usize::MAX
}

/// The content of a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    Text(String),
    /// The generator that makes it, and its arguments ([`super::make::file`]).
    Made(String),
    Symlink(String),
    HardLink(String),
}

/// A repeated part of a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    pub(super) each: Each,
    pub(super) text: String,
}

/// What a file or a part of a text is repeated for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Each {
    /// The versions up to this one.
    Version,
    VersionNewestFirst,
    /// The first pages of the shop's manual: their number is the word `pages`.
    Page,
    /// The first sections of each of its topics: their number is the word `sections`.
    Section,
}

/// A run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) agent: String,
    pub(super) prompt: String,
    pub(super) status: String,
    /// How long ago it was requested.
    pub(super) ago: Span,
    /// How long it ran; 0 if it has not ended.
    #[serde(default)]
    pub(super) took: Span,
    /// The stories that it plays, one after the other.
    #[serde(default)]
    pub(super) stories: Vec<String>,
    /// Words for its story, in addition to those of the version that it stored.
    #[serde(default)]
    pub(super) words: Words,
    /// Whether it has metrics.
    #[serde(default)]
    pub(super) sampled: bool,
    /// The version that it stored.
    pub(super) artifact: Option<Stored>,
    pub(super) error: Option<String>,
    /// Whether its rows are without metadata.
    #[serde(default)]
    pub(super) bare: bool,
}

/// A version of an artifact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) name: String,
    /// Counted from 1.
    pub(super) version: usize,
}

/// The run that goes on logging.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Live {
    pub(super) agent: String,
    pub(super) prompt: String,
    pub(super) ago: Span,
}

/// A time in seconds, written as in `22d 3h`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) i64);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let part = |part: &str| {
            let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
            let unit = match unit {
                "s" => 1,
                "m" => 60,
                "h" => HOUR,
                "d" => DAY,
                _ => return None,
            };
            Some(number.parse::<i64>().ok()? * unit)
        };
        let sum: Option<i64> = text.split(' ').map(part).sum();
        sum.map(Self).ok_or_else(|| format!("no time: {text:?}"))
    }
}

/// The file of runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    run: Vec<Run>,
    live: Live,
}

/// The file of agents.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agents {
    agent: Vec<Agent>,
}

macro_rules! storages {
    ($($name:literal)+) => {
        &[$(($name, include_str!(concat!("storages/", $name, ".toml")))),+]
    };
}

const STORAGES: &[(&str, &str)] = storages! {
    "market-data" "raw-sales" "site-content" "payments-service" "shop-config"
    "training-corpus" "brand-assets" "scratch" "inbox"
    "research-reports" "clean-sales" "docs-site" "review-notes" "embeddings"
    "order-alerts" "release-notes" "dry-run"
};

impl Scenario {
    /// The demo's scenario, which is read once.
    pub(super) fn get() -> &'static Self {
        static SCENARIO: LazyLock<Scenario> = LazyLock::new(Scenario::read);
        &SCENARIO
    }

    fn read() -> Self {
        let Agents { agent } = parse("agents.toml", include_str!("agents.toml"));
        let Runs { run, live } = parse("runs.toml", include_str!("runs.toml"));
        let storages = STORAGES.iter().map(|&(name, text)| Storage {
            name: name.into(),
            ..parse(name, text)
        });
        Self {
            agents: agent,
            storages: storages.collect(),
            runs: run,
            live,
        }
    }

    /// The words of the version of an artifact.
    pub(super) fn words(&self, stored: &Stored) -> Option<&Words> {
        let storage = self.storages.iter().find(|s| s.name == stored.name)?;
        let version = storage.versions.get(stored.version.checked_sub(1)?)?;
        Some(&version.words)
    }

    /// How many seconds ago a run stored that version of an artifact.
    pub(super) fn stored_ago(&self, name: &str, version: usize) -> i64 {
        let has_stored = |run: &&Run| {
            let stored = run.artifact.as_ref();
            stored.is_some_and(|stored| stored.name == name && stored.version == version)
        };
        let run = self.runs.iter().find(has_stored);
        // A run starts more than a second after it was asked for.
        run.map_or(DAY, |run| run.ago.0 - run.took.0 - 1)
    }
}

/// Reads a file that is part of the program.
///
/// # Panics
/// If the file does not fit the types. It is a constant, and tests read it.
fn parse<T: DeserializeOwned>(name: &str, text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("the demo's {name}: {error}"))
}
