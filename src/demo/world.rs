//! What the fake service knows: plain data, changed freely by whoever holds
//! it. Ids follow from names, so that a test can tell them beforehand.

use super::archive::{Archive, File, Maker, sha256_hex, version_id};
use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// All that the service holds, and how it behaves.
#[derive(Debug)]
pub struct World {
    /// The one token that is accepted; made at the server's start where absent.
    pub token: Option<String>,
    /// Which oddities of the running service are in force.
    pub quirks: Quirks,
    /// How fast started runs progress; `None` leaves them pending.
    pub pace: Option<Pace>,
    /// Time between two SSE heartbeats.
    pub heartbeat: Duration,
    /// How long a presigned URL is valid.
    pub url_lifetime: Duration,
    /// When the world was made: relative times count from here.
    pub born: Timestamp,
    /// The agents.
    pub agents: Vec<Agent>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The volumes and the artifacts.
    pub storages: Vec<Storage>,
    /// Ids of runs that go on logging while a server lives.
    pub live: Vec<String>,
}

/// Oddities of the running service. [`Quirks::default`] is how it runs.
#[derive(Clone, Debug)]
pub struct Quirks {
    /// List cursors are the last row's id, and the next page is the newest
    /// rows with a greater id.
    pub cursor_by_id: bool,
    /// Log cursors are timestamps, strictly passed; `has_more` is false with
    /// rows of one type.
    pub log_cursor_by_time: bool,
    /// `agent_id` and `since` do not filter the list of runs.
    pub ignore_run_filters: bool,
    /// `config` is absent from agents and their versions.
    pub hide_agent_config: bool,
    /// Reads allowed per endpoint and hour.
    pub read_limit: u64,
    /// Writes allowed per endpoint and hour.
    pub write_limit: u64,
    /// Whether going over the limits is a 429, or only counted.
    pub enforce_limits: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            cursor_by_id: true,
            log_cursor_by_time: true,
            ignore_run_filters: true,
            hide_agent_config: false,
            read_limit: 5_000,
            write_limit: 500,
            enforce_limits: false,
        }
    }
}

impl Quirks {
    /// The service as its documentation has it.
    pub fn none() -> Self {
        Self {
            cursor_by_id: false,
            log_cursor_by_time: false,
            ignore_run_filters: false,
            ..Self::default()
        }
    }
}

/// How fast a started run progresses.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time spent pending.
    pub pending: Duration,
    /// Time between two log rows.
    pub row: Duration,
    /// Log rows until the run completes.
    pub rows: u32,
}

impl Pace {
    /// A run that a person can watch: about twenty seconds.
    pub const WATCHABLE: Self = Self {
        pending: Duration::from_millis(1_500),
        row: Duration::from_millis(700),
        rows: 26,
    };
    /// A run that a test can wait for: about a tenth of a second.
    pub const QUICK: Self = Self {
        pending: Duration::from_millis(20),
        row: Duration::from_millis(10),
        rows: 8,
    };
}

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its id; follows from the name unless given.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Its versions, oldest first.
    pub versions: Vec<AgentVersion>,
}

/// A version of an agent.
#[derive(Clone, Debug)]
pub struct AgentVersion {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The `vm0.yaml` content.
    pub config: Option<Value>,
}

impl Agent {
    /// An agent without versions, made at `created_at`.
    pub fn new(name: impl Into<String>, created_at: Timestamp) -> Self {
        let name = name.into();
        Self {
            id: uuid(&format!("agent:{name}")),
            name,
            created_at,
            updated_at: created_at,
            versions: Vec::new(),
        }
    }

    /// The same agent with one more version.
    pub fn version(mut self, created_at: Timestamp, config: Option<Value>) -> Self {
        let seed = format!("agent-version:{}:{}", self.name, self.versions.len() + 1);
        self.versions.push(AgentVersion {
            id: uuid(&seed),
            created_at,
            config,
        });
        self.updated_at = created_at;
        self
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id; follows from its place in the world unless given.
    pub id: String,
    /// The agent's id; follows from the agent's name unless given.
    pub agent_id: String,
    /// The agent's name.
    pub agent_name: String,
    /// The word for its state; any word is allowed.
    pub status: String,
    /// What it was asked to do.
    pub prompt: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its sandbox started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// A checkpoint to resume from.
    pub checkpoint_id: Option<String>,
    /// The session it belongs to.
    pub session_id: Option<String>,
    /// The artifact it wrote.
    pub artifact_name: Option<String>,
    /// The version of that artifact.
    pub artifact_version: Option<String>,
    /// Volumes it was given, name to version.
    pub volumes: BTreeMap<String, String>,
    /// Its log, oldest first; add with [`Run::log`] to keep the order.
    pub logs: Vec<LogRow>,
    /// Its metrics, oldest first.
    pub metrics: Vec<Sample>,
}

/// Whether a run in this state has ended.
pub fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "timeout" | "cancelled")
}

impl Run {
    /// A completed run of a minute, begun at `created_at`.
    pub fn new(agent: impl Into<String>, created_at: Timestamp) -> Self {
        let agent_name = agent.into();
        Self {
            id: String::new(),
            agent_id: uuid(&format!("agent:{agent_name}")),
            agent_name,
            status: "completed".into(),
            prompt: "Summarise the data".into(),
            created_at,
            started_at: Some(after(created_at, 2_000)),
            completed_at: Some(after(created_at, 62_000)),
            error: None,
            checkpoint_id: None,
            session_id: None,
            artifact_name: None,
            artifact_version: None,
            volumes: BTreeMap::new(),
            logs: Vec::new(),
            metrics: Vec::new(),
        }
    }

    /// The same run with a given id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same run with another prompt.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// The same run in another state, its times and error made to fit.
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = status.into();
        if !is_terminal(&self.status) {
            self.completed_at = None;
        }
        if self.status == "pending" {
            self.started_at = None;
        }
        if self.error.is_none() && self.status == "failed" {
            self.error = Some("Agent exited with code 1".into());
        }
        self
    }

    /// The same run with an artifact version.
    pub fn artifact(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.artifact_name = Some(name.into());
        self.artifact_version = Some(version.into());
        self
    }

    /// The same run with one more volume.
    pub fn volume(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.volumes.insert(name.into(), version.into());
        self
    }

    /// Adds a row to the log, behind all rows that are not younger.
    pub fn log(&mut self, row: LogRow) {
        let at = self.logs.partition_point(|other| other.at <= row.at);
        self.logs.insert(at, row);
    }

    /// Adds an agent row with the next sequence number, which is an event too.
    pub fn event(&mut self, at: Timestamp, kind: &str, data: Value, message: impl Into<String>) {
        let sequence = 1 + self
            .logs
            .iter()
            .filter_map(LogRow::sequence)
            .max()
            .unwrap_or(0);
        let row = LogRow::new(at, "agent", "info", message).metadata(json!({
            "sequenceNumber": sequence, "eventType": kind, "eventData": data,
        }));
        self.log(row);
    }

    /// Ends the run.
    pub fn finish(&mut self, at: Timestamp, status: &str, error: Option<String>) {
        self.status = status.into();
        self.completed_at = Some(at);
        self.error = error;
    }
}

/// A row of a run's log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Its time, which orders and filters.
    pub at: Timestamp,
    /// Its time as sent.
    pub timestamp: String,
    /// `agent`, `system` or `network`.
    pub kind: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub message: String,
    /// Further facts.
    pub metadata: Option<Value>,
}

impl LogRow {
    /// A row with a timestamp in milliseconds.
    pub fn new(at: Timestamp, kind: &str, level: &str, message: impl Into<String>) -> Self {
        let timestamp = iso(at);
        // What is sent is what the service knows: nothing finer.
        let at = timestamp.parse().unwrap_or(at);
        Self {
            at,
            timestamp,
            kind: kind.into(),
            level: level.into(),
            message: message.into(),
            metadata: None,
        }
    }

    /// The same row with metadata.
    pub fn metadata(mut self, metadata: Value) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The same row with a timestamp in nanoseconds.
    pub fn precise(mut self, at: Timestamp) -> Self {
        self.timestamp = format!("{at:.9}");
        self.at = at;
        self
    }

    /// The sequence number of an agent row that is an event.
    pub fn sequence(&self) -> Option<u64> {
        self.metadata.as_ref()?.get("sequenceNumber")?.as_u64()
    }
}

/// One sample of a run's metrics.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// CPU use in percent.
    pub cpu_percent: f64,
    /// Memory used, in MiB.
    pub memory_used_mb: u64,
    /// Memory there is, in MiB.
    pub memory_total_mb: u64,
    /// Disk used, in MiB.
    pub disk_used_mb: u64,
    /// Disk there is, in MiB.
    pub disk_total_mb: u64,
}

/// Which of the two kinds of stored trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Inputs of runs.
    Volume,
    /// Outputs of runs.
    Artifact,
}

impl Kind {
    /// `volume` or `artifact`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Artifact => "artifact",
        }
    }
}

/// A volume or an artifact.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Which.
    pub kind: Kind,
    /// Its id; follows from kind and name unless given.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last got a version.
    pub updated_at: Timestamp,
    /// Its versions, oldest first; the last is the current one.
    pub versions: Vec<Version>,
}

impl Storage {
    /// The current version.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }
}

/// A version of a volume or an artifact.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its id: the SHA-256 over its files unless given.
    pub id: String,
    /// Bytes, as declared.
    pub size: u64,
    /// Files, as declared.
    pub file_count: u64,
    /// What its author wrote about it.
    pub message: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    content: Content,
    archive: Arc<OnceLock<Archive>>,
}

/// What a version's archive holds.
#[derive(Clone, Debug)]
enum Content {
    Files(Arc<Vec<File>>, Maker),
    Raw(Bytes),
    Lost,
}

impl Version {
    /// Whether the object store has an archive for it.
    pub(crate) fn is_stored(&self) -> bool {
        !matches!(self.content, Content::Lost)
    }

    /// The archive, made at the first call: slow, not for an async thread.
    pub(crate) fn archive(&self) -> &Archive {
        self.archive.get_or_init(|| match &self.content {
            Content::Files(files, maker) => Archive::pack(files, *maker),
            Content::Raw(bytes) => Archive::raw(bytes.clone()),
            Content::Lost => Archive::default(),
        })
    }

    /// The archive's bytes in one piece, as the object store serves them.
    pub fn archive_bytes(&self) -> Vec<u8> {
        let archive = self.archive();
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < archive.len() {
            bytes.extend_from_slice(&archive.slice(bytes.len() as u64, u64::MAX));
        }
        bytes
    }

    /// The files it was made from; none where it was given as an archive.
    pub fn files(&self) -> &[File] {
        match &self.content {
            Content::Files(files, _) => files,
            Content::Raw(_) | Content::Lost => &[],
        }
    }
}

/// What [`World::add_version`] makes a version from.
#[derive(Clone, Debug)]
pub struct VersionSpec {
    id: Option<String>,
    size: Option<u64>,
    file_count: Option<u64>,
    message: Option<String>,
    created_by: String,
    created_at: Option<Timestamp>,
    content: Content,
}

impl VersionSpec {
    fn new(content: Content) -> Self {
        Self {
            id: None,
            size: None,
            file_count: None,
            message: None,
            created_by: "user".into(),
            created_at: None,
            content,
        }
    }

    /// A version that holds `files`.
    pub fn files(files: Vec<File>) -> Self {
        Self::new(Content::Files(Arc::new(files), Maker::NodeTar))
    }

    /// A version whose archive is exactly `bytes`; its id is their SHA-256
    /// and it declares one file of that size, unless told otherwise.
    pub fn archive(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Raw(bytes.into()))
    }

    /// A version whose archive the object store has lost.
    pub fn lost() -> Self {
        Self::new(Content::Lost)
    }

    /// Which producer's archive form to use (for [`VersionSpec::files`]).
    pub fn maker(mut self, form: Maker) -> Self {
        if let Content::Files(_, maker) = &mut self.content {
            *maker = form;
        }
        self
    }

    /// Gives the id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Declares a size, true or not.
    pub fn declared_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Declares a number of files, true or not.
    pub fn declared_file_count(mut self, files: u64) -> Self {
        self.file_count = Some(files);
        self
    }

    /// Gives the author's message.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Gives the author.
    pub fn created_by(mut self, author: impl Into<String>) -> Self {
        self.created_by = author.into();
        self
    }

    /// Gives the time; else the world's birth.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = Some(at);
        self
    }
}

impl Default for World {
    fn default() -> Self {
        Self::empty()
    }
}

impl World {
    /// A world with nothing in it, and the service's quirks.
    pub fn empty() -> Self {
        Self {
            token: None,
            quirks: Quirks::default(),
            pace: Some(Pace::QUICK),
            heartbeat: Duration::from_secs(15),
            url_lifetime: Duration::from_secs(3_600),
            born: Timestamp::now(),
            agents: Vec::new(),
            runs: Vec::new(),
            storages: Vec::new(),
            live: Vec::new(),
        }
    }

    /// The time `seconds` before the world was made.
    pub fn ago(&self, seconds: i64) -> Timestamp {
        after(self.born, -seconds.saturating_mul(1_000))
    }

    /// Adds an agent; gives its id.
    pub fn add_agent(&mut self, agent: Agent) -> String {
        let id = agent.id.clone();
        self.agents.push(agent);
        id
    }

    /// Adds a run; gives its id.
    pub fn add_run(&mut self, mut run: Run) -> String {
        if run.id.is_empty() {
            run.id = uuid(&format!("run:{}", self.runs.len()));
        }
        let id = run.id.clone();
        self.runs.push(run);
        id
    }

    /// Adds a volume or an artifact without versions; gives its id.
    pub fn add_storage(&mut self, kind: Kind, name: &str) -> String {
        let id = uuid(&format!("{}:{name}", kind.word()));
        self.storages.push(Storage {
            kind,
            id: id.clone(),
            name: name.into(),
            created_at: self.born,
            updated_at: self.born,
            versions: Vec::new(),
        });
        id
    }

    /// Adds a version to the storage of that id; gives the version's id, or
    /// an empty string where there is no such storage.
    pub fn add_version(&mut self, storage_id: &str, spec: VersionSpec) -> String {
        let born = self.born;
        let Some(storage) = self.storages.iter_mut().find(|s| s.id == storage_id) else {
            return String::new();
        };
        let (id, size, file_count) = match &spec.content {
            Content::Files(files, _) => (
                spec.id
                    .unwrap_or_else(|| version_id(&storage.id, files.as_slice())),
                files.iter().map(File::size).sum(),
                files.len() as u64,
            ),
            Content::Raw(bytes) => (
                spec.id.unwrap_or_else(|| sha256_hex(bytes)),
                bytes.len() as u64,
                1,
            ),
            Content::Lost => (spec.id.unwrap_or_else(|| sha256_hex("lost")), 1, 1),
        };
        let created_at = spec.created_at.unwrap_or(born);
        if storage.versions.is_empty() {
            storage.created_at = storage.created_at.min(created_at);
        }
        storage.updated_at = created_at;
        storage.versions.push(Version {
            id: id.clone(),
            size: spec.size.unwrap_or(size),
            file_count: spec.file_count.unwrap_or(file_count),
            message: spec.message,
            created_by: spec.created_by,
            created_at,
            content: spec.content,
            archive: Arc::default(),
        });
        id
    }

    /// The agent of that name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    /// The run of that id.
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// The run of that id, to change it.
    pub fn run_mut(&mut self, id: &str) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    /// The storage of that kind and name.
    pub fn storage(&self, kind: Kind, name: &str) -> Option<&Storage> {
        self.storages
            .iter()
            .find(|storage| storage.kind == kind && storage.name == name)
    }

    /// The version of that id in the storage of that kind and name.
    pub fn version(&self, kind: Kind, name: &str, id: &str) -> Option<&Version> {
        let storage = self.storage(kind, name)?;
        storage.versions.iter().find(|version| version.id == id)
    }

    /// Adds a row to the log of the run of that id, if there is one.
    pub fn add_log(&mut self, run_id: &str, row: LogRow) {
        if let Some(run) = self.run_mut(run_id) {
            run.log(row);
        }
    }

    /// Puts the run of that id in another state, now.
    pub fn set_status(&mut self, run_id: &str, status: &str) {
        if let Some(run) = self.run_mut(run_id) {
            let now = Timestamp::now();
            run.status = status.into();
            if status == "running" {
                run.started_at.get_or_insert(now);
            }
            run.completed_at = is_terminal(status).then_some(now);
        }
    }
}

/// The UUID that follows from `seed`.
pub fn uuid(seed: &str) -> String {
    let hex = sha256_hex(seed);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// `at` plus so many milliseconds.
pub(crate) fn after(at: Timestamp, milliseconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(milliseconds))
        .unwrap_or(at)
}

/// As JavaScript's `toISOString` writes it.
pub(crate) fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}
