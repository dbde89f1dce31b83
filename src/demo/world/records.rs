//! The records of the fake service, and how they are built.

use super::{
    forms::{after, uuid},
    rows::LogRow,
};
use crate::demo::{
    archive::{Archive, File, Maker, id_of, listed},
    digest::sha256_hex,
};
use axum::body::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

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
    /// Its status; any word is allowed.
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

    /// Adds a row to the log, after all rows with the same or an earlier time.
    pub fn log(&mut self, row: LogRow) {
        let at = self.logs.partition_point(|other| other.at <= row.at);
        self.logs.insert(at, row);
    }

    /// Adds an agent row: an event of the agent program, with the next sequence
    /// number. The event's own `type` is the row's.
    pub fn event(&mut self, at: Timestamp, event: Value) {
        let last = self.logs.iter().rev().find_map(LogRow::sequence);
        self.log(LogRow::agent(at, 1 + last.unwrap_or(0), event));
    }

    /// Ends the run.
    pub fn finish(&mut self, at: Timestamp, status: &str, error: Option<String>) {
        self.status = status.into();
        self.completed_at = Some(at);
        self.error = error;
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
    /// Total memory, in MiB.
    pub memory_total_mb: u64,
    /// Disk used, in MiB.
    pub disk_used_mb: u64,
    /// Total disk, in MiB.
    pub disk_total_mb: u64,
}

/// Which of the two kinds of stored trees.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
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

    /// Adds a version, made at `now` unless it says otherwise; gives its id.
    pub(super) fn add(&mut self, spec: VersionSpec, now: Timestamp) -> String {
        let (computed, size, file_count) = match &spec.content {
            Content::Files(files, maker) => {
                let listed = listed(files, *maker);
                let sizes = listed.iter().map(|(_, file)| file.size());
                (
                    // A given id is not computed, which can take long.
                    spec.id.is_none().then(|| id_of(&self.id, &listed)),
                    sizes.sum(),
                    listed.len() as u64,
                )
            }
            Content::Raw(bytes) => (Some(sha256_hex(bytes)), bytes.len() as u64, 1),
            Content::Lost => (Some(sha256_hex("lost")), 1, 1),
        };
        let id = spec.id.or(computed).unwrap_or_default();
        let created_at = spec.created_at.unwrap_or(now);
        self.created_at = self.created_at.min(created_at);
        self.updated_at = created_at;
        self.versions.push(Version {
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

    /// The files it was made from; empty if it was given as an archive.
    pub fn files(&self) -> &[File] {
        match &self.content {
            Content::Files(files, _) => files,
            Content::Raw(_) | Content::Lost => &[],
        }
    }
}

/// What [`World::add_version`](crate::demo::World::add_version) makes a version from.
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

    /// Declares a size, which may be false.
    pub fn declared_size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Declares a number of files, which may be false.
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

    /// Gives the time; the default is the world's birth.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = Some(at);
        self
    }
}
