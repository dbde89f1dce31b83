//! The files that the mount itself makes, by the names they have.

use crate::tree::logs::LogView;
use std::{fmt, sync::Arc};

/// A file that shows a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RunFile {
    Status,
    Json,
    Prompt,
    Error,
    Log(LogView),
    MetricsJson,
    MetricsCsv,
    MetricsSvg,
    Report,
    Result,
    Usage,
}

impl RunFile {
    /// Every such file, by the name it has in a run's directory.
    pub(crate) const ALL: [(&'static str, Self); 17] = [
        ("status", Self::Status),
        ("run.json", Self::Json),
        ("prompt", Self::Prompt),
        ("error", Self::Error),
        ("logs", Self::Log(LogView::All)),
        ("logs.jsonl", Self::Log(LogView::Jsonl)),
        ("agent.log", Self::Log(LogView::Agent)),
        ("system.log", Self::Log(LogView::System)),
        ("network.log", Self::Log(LogView::Network)),
        ("metrics.json", Self::MetricsJson),
        ("metrics.csv", Self::MetricsCsv),
        ("metrics.svg", Self::MetricsSvg),
        ("events.jsonl", Self::Log(LogView::Events)),
        ("transcript.md", Self::Log(LogView::Transcript)),
        ("report.html", Self::Report),
        ("result", Self::Result),
        ("usage.json", Self::Usage),
    ];
}

/// A file that shows an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AgentFile {
    Json,
    Config,
    Versions,
}

impl AgentFile {
    /// Every such file, by the name it has in an agent's directory.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("agent.json", Self::Json),
        ("config.yaml", Self::Config),
        ("versions.json", Self::Versions),
    ];
}

/// A file in which the mount shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MetaFile {
    Status,
    Errors,
    Help,
    Transfers,
    Activity,
}

impl MetaFile {
    /// Every such file, by the name it has in `.vm0fs`.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("status.json", Self::Status),
        ("activity.json", Self::Activity),
        ("errors", Self::Errors),
        ("transfers", Self::Transfers),
        ("help.txt", Self::Help),
    ];
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// JSON, an object a line.
    Jsonl,
    /// CSV with a header.
    Csv,
}

impl Form {
    /// Every form, by the name of its file in `runs` and in an agent's directory.
    pub(crate) const ALL: [(&'static str, Self); 2] =
        [(".runs.jsonl", Self::Jsonl), (".runs.csv", Self::Csv)];
}

/// The name of the file that starts runs.
pub const START_FILE: &str = "run";

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Control {
    /// `agents/<name>/run`, by the agent's id.
    Start(Arc<str>),
    /// `runs/<id>/cancel`
    Cancel(Arc<str>),
}

/// What writing to it does, in a user's words.
impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(id) => write!(f, "start of a run of agent {id}"),
            Self::Cancel(id) => write!(f, "cancel of run {id}"),
        }
    }
}
