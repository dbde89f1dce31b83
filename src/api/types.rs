//! The service's objects as it sends them. Unknown fields are ignored, and fields
//! that a deployment may leave out are optional.
//!
//! Source: the public v1 contracts and routes of the VM0 API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// A row as the service sent it, with the part that vm0fs understands.
///
/// `run.json` and the like show the raw text, so that no field is lost.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// The part that vm0fs understands.
    pub value: T,
    /// The whole JSON object, as received.
    pub raw: Box<RawValue>,
}

/// An agent, of `GET /v1/agents` and `GET /v1/agents/:id`.
#[derive(Clone, Debug, Deserialize)]
pub struct Agent {
    /// Opaque id, a UUID today.
    pub id: String,
    /// The name a user gave it.
    pub name: String,
    /// Id of the newest version, where there is one.
    #[serde(default, deserialize_with = "lenient")]
    pub current_version_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(default, deserialize_with = "lenient")]
    pub updated_at: Option<Timestamp>,
    /// The content of `vm0.yaml`, if the service sends it.
    pub config: Option<Value>,
}

/// The state of a run. An unknown word is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Waiting for a sandbox.
    Pending,
    /// At work.
    Running,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended by its time limit.
    Timeout,
    /// Ended by a user.
    Cancelled,
    /// A word that this version of vm0fs does not know.
    #[serde(untagged)]
    Other(String),
}

impl RunStatus {
    /// The statuses that the service documents, for filters and views.
    pub const KNOWN: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
    ];

    /// The word the service uses.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Other(word) => word,
        }
    }

    /// Whether the run has ended. Only late log rows can change it then.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Timeout | Self::Cancelled
        )
    }
}

/// A run, of `GET /v1/runs` (the first fields) and `GET /v1/runs/:id` (all).
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Opaque id, a UUID today.
    pub id: String,
    /// The agent it runs; some deployments leave the id out.
    #[serde(default, deserialize_with = "lenient")]
    pub agent_id: Option<String>,
    /// That agent's name.
    #[serde(default, deserialize_with = "lenient")]
    pub agent_name: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// What it was asked to do.
    #[serde(default, deserialize_with = "text")]
    pub prompt: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its sandbox started.
    #[serde(default, deserialize_with = "lenient")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, deserialize_with = "lenient")]
    pub completed_at: Option<Timestamp>,
    /// Why it failed (detail only).
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<String>,
    /// Name of the artifact it wrote (detail only).
    #[serde(default, deserialize_with = "lenient")]
    pub artifact_name: Option<String>,
    /// Version of that artifact (detail only).
    #[serde(default, deserialize_with = "lenient")]
    pub artifact_version: Option<String>,
    /// Volumes it was given, name to version (detail only).
    #[serde(default, deserialize_with = "texts")]
    pub volumes: Option<BTreeMap<String, String>>,
    /// Older form of the artifact fields, name to version (detail only).
    #[serde(default, deserialize_with = "texts")]
    pub artifacts: Option<BTreeMap<String, String>>,
}

/// One row of a run's log. Rows have no id of their own.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// ISO 8601, as sent: its precision differs between rows. Empty where the row has none.
    pub timestamp: String,
    /// `agent`, `system` or `network`.
    pub kind: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text, which may be an agent's.
    pub message: String,
    /// The agent's event that the row reports, if its metadata number it.
    pub event: Option<AgentEvent>,
    /// The event of a row whose metadata have no number, or of an older row, which
    /// has no metadata. `None` if [`LogRow::event`] is not.
    pub unnumbered: Option<Told>,
}

impl LogRow {
    /// Kind and data of the agent's event, with or without a number. `None` if the
    /// row is not an agent's, or holds only a part of the event; then there is only
    /// the message.
    pub fn told(&self) -> Option<(&str, &RawValue)> {
        match (&self.event, &self.unnumbered) {
            (Some(event), _) => Some((&event.kind, &event.data)),
            (None, Some(told)) => Some((&told.kind, &told.data)),
            (None, None) => None,
        }
    }
}

impl Row<LogRow> {
    /// The row of an event of which only the stream has told, in the form in which the
    /// service gives rows; `source` tells it from those. `None` if it cannot be one.
    pub fn of_event(event: &AgentEvent) -> Option<Self> {
        let kind = &event.kind;
        let row = StreamRow {
            timestamp: &event.timestamp,
            kind: "agent",
            level: "info",
            message: format!("[{kind}] {}", event.data.get()),
            metadata: StreamMetadata {
                sequence_number: event.sequence,
                event_type: kind,
                event_data: &event.data,
            },
            source: "stream",
        };
        let raw = serde_json::value::to_raw_value(&row).ok()?;
        let value = serde_json::from_str(raw.get()).ok()?;
        Some(Self { value, raw })
    }
}

/// A row of an event, as it is written.
#[derive(Serialize)]
struct StreamRow<'a> {
    timestamp: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    level: &'static str,
    message: String,
    metadata: StreamMetadata<'a>,
    source: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamMetadata<'a> {
    sequence_number: u64,
    event_type: &'a str,
    event_data: &'a RawValue,
}

/// An agent's event without a number.
#[derive(Clone, Debug)]
pub struct Told {
    /// What it is, such as `assistant`.
    pub kind: String,
    /// The event as sent: an object, if the service keeps to its own rules.
    pub data: Box<RawValue>,
}

/// Something that an agent did or said, from a log row or from the run's stream.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentEvent {
    /// Its number within the run, from 1.
    pub sequence: u64,
    /// What it is, such as `assistant`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the agent's program wrote, as sent, or `null`.
    #[serde(default = "null")]
    pub data: Box<RawValue>,
    /// Its time, ISO 8601 as sent; for a row's event, that of the row.
    #[serde(default, deserialize_with = "text")]
    pub timestamp: String,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// A log row as sent.
#[derive(Deserialize)]
struct SentRow<'a> {
    #[serde(default, deserialize_with = "text")]
    timestamp: String,
    #[serde(rename = "type", default, deserialize_with = "text")]
    kind: String,
    #[serde(default, deserialize_with = "text")]
    level: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// A string; what has another value there is shown, too.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// A field that may be missing; a value of another type counts as that, since one odd value
/// must not cost the whole object.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// The same for names and versions, of which those are left out that are no texts.
fn texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let found: Option<BTreeMap<String, Value>> = lenient(deserializer)?;
    let text = |(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    };
    Ok(found.map(|all| all.into_iter().filter_map(text).collect()))
}

/// The metadata of an agent's row. All fields are optional, since other rows have
/// other metadata, and each is decoded separately, since one odd value must not cost
/// the others.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Metadata<'a> {
    sequence_number: Option<&'a RawValue>,
    event_type: Option<&'a RawValue>,
    event_data: Option<&'a RawValue>,
}

/// The type of an event, by its own data.
#[derive(Deserialize)]
struct OwnType {
    r#type: String,
}

/// The event in an agent's message: `[`, its type, `] `, and the whole event as a
/// JSON object. `None` for text, and for an event that is cut.
fn bracketed(message: &str) -> Option<(&str, &RawValue)> {
    let (kind, data) = message.strip_prefix('[')?.split_once(']')?;
    let data = data.trim_start();
    let object = || serde_json::from_str::<&RawValue>(data).ok();
    Some((kind, data.starts_with('{').then(object).flatten()?))
}

/// A value of type `T`; other values count as absent.
fn value<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

impl<'de> Deserialize<'de> for LogRow {
    /// From JSON text in memory, since the metadata are borrowed.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = SentRow::deserialize(deserializer)?;
        let metadata: Metadata<'_> = value(sent.metadata).unwrap_or_default();
        let sequence = value::<u64>(metadata.sequence_number);
        let kind = value::<String>(metadata.event_type);
        let data = metadata.event_data;
        // Nearly all rows have the event in their metadata. Only the others' messages
        // are decoded, which can be megabytes.
        let needs_message = sent.kind == "agent" && (kind.is_none() || data.is_none());
        let in_message = || bracketed(&sent.message);
        let in_message = needs_message.then(in_message).flatten().unzip();
        let data = data.or(in_message.1);
        let kind = kind
            .or_else(|| in_message.0.map(ToOwned::to_owned))
            .or_else(|| value::<OwnType>(data).map(|own| own.r#type));
        let data = data.map(ToOwned::to_owned);
        let (event, unnumbered) = match (sequence, kind, data) {
            (Some(sequence), Some(kind), data) => {
                let event = AgentEvent {
                    sequence,
                    kind,
                    data: data.unwrap_or_else(null),
                    timestamp: sent.timestamp.clone(),
                };
                (Some(event), None)
            }
            (None, Some(kind), Some(data)) => (None, Some(Told { kind, data })),
            _ => (None, None),
        };
        Ok(Self {
            timestamp: sent.timestamp,
            kind: sent.kind,
            level: sent.level,
            message: sent.message,
            event,
            unnumbered,
        })
    }
}

/// The two kinds of storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StorageKind {
    /// Inputs of runs.
    Volume,
    /// Outputs of runs.
    Artifact,
}

impl StorageKind {
    /// The path segment in the API and the folder's name in the mount.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Volume => "volumes",
            Self::Artifact => "artifacts",
        }
    }
}

/// A volume or an artifact, of `GET /v1/volumes` and `GET /v1/artifacts`.
#[derive(Clone, Debug, Deserialize)]
pub struct Storage {
    /// Opaque id, a UUID today.
    pub id: String,
    /// The name a user or an agent gave it.
    pub name: String,
    /// Id of the newest version, where there is one.
    #[serde(default, deserialize_with = "lenient")]
    pub current_version_id: Option<String>,
    /// Bytes in the current version.
    #[serde(default, deserialize_with = "lenient")]
    pub size: Option<u64>,
    /// Files in the current version.
    #[serde(default, deserialize_with = "lenient")]
    pub file_count: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last got a version.
    #[serde(default, deserialize_with = "lenient")]
    pub updated_at: Option<Timestamp>,
}

/// A version of a volume or an artifact: immutable.
#[derive(Clone, Debug, Deserialize)]
pub struct StorageVersion {
    /// A SHA-256 over the content in hex, or an older form (`ver_…`).
    pub id: String,
    /// Bytes unpacked, as declared: a hint, never trusted.
    #[serde(default, deserialize_with = "lenient")]
    pub size: Option<u64>,
    /// Files, as declared; 0 means that there is no archive to download.
    #[serde(default, deserialize_with = "lenient")]
    pub file_count: Option<u64>,
    /// What its author wrote about it.
    #[serde(default, deserialize_with = "lenient")]
    pub message: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "lenient")]
    pub created_by: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// The part of a metrics answer that shows that it is one.
#[derive(Deserialize)]
pub(super) struct Metrics {
    #[serde(rename = "data")]
    _data: Vec<serde::de::IgnoredAny>,
}
