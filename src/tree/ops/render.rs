//! An answer of the API as the bytes of a file.

use crate::{
    api::types::Run,
    conversation::report::Facts,
    error::{Error, Result},
    guide::PAGES,
    json,
    tree::{
        answers::AgentVersions,
        cache::for_good,
        fetch_key::Answer,
        node::{AgentFile, Control, Kind, Node, RunFile},
        ops::{freshness::Age, yaml::yaml},
        view::View,
    },
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::sync::Arc;

/// The bytes of a file of ours.
pub(crate) struct File {
    pub(crate) bytes: Arc<[u8]>,
    /// They can never change again.
    pub(crate) is_final: bool,
}

impl File {
    fn text(text: impl Into<String>, is_final: bool) -> Self {
        let mut text = text.into();
        // A text file ends with a newline; an empty one stays empty.
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self {
            bytes: text.into_bytes().into(),
            is_final,
        }
    }
}

/// JSON as people read it. Order and content are the service's.
fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Internal(error.to_string()))
}

fn parsed(row: &RawValue) -> Result<Value> {
    json::parse(row.get()).map_err(|error| Error::Internal(error.to_string()))
}

fn pretty_array<'a>(rows: impl Iterator<Item = &'a RawValue>) -> Result<String> {
    pretty(&rows.map(parsed).collect::<Result<Vec<_>>>()?)
}

impl View<'_> {
    pub(super) fn render(&self, node: &Node) -> Answer<File> {
        match node {
            Node::MetaFile(file) => Ok(File {
                bytes: self.page(*file)?,
                is_final: false,
            }),
            Node::GuidePage(number) => {
                let page = PAGES.get(*number as usize).ok_or(Error::Stale)?;
                Ok(File::text(page.text, false))
            }
            Node::RunsTable(agent, form) => Ok(File {
                bytes: self.runs_table(agent.as_ref(), *form)?.bytes.clone(),
                is_final: false,
            }),
            Node::AgentFile(id, AgentFile::Json) => {
                let (row, _) = self.agent_detail(id)?;
                Ok(File::text(pretty(&parsed(&row.raw)?)?, false))
            }
            Node::AgentFile(id, AgentFile::Config) => {
                let (row, _) = self.agent_detail(id)?;
                let config = row.value.config.as_ref();
                let config = config.ok_or_else(|| Error::NotFound("config.yaml".into()))?;
                Ok(File::text(yaml(config)?, false))
            }
            Node::AgentFile(id, AgentFile::Versions) => {
                let (rows, _) = self.need_or_last::<AgentVersions>(id)?;
                Ok(File::text(
                    pretty_array(rows.iter().map(AsRef::as_ref))?,
                    false,
                ))
            }
            Node::VersionsJson(kind, id) => {
                let (versions, _) = self.versions(*kind, id)?;
                Ok(File::text(pretty_array(versions.raw())?, false))
            }
            Node::RunFile(id, file) => self.render_run(id, *file),
            Node::Control(Control::Start(agent)) => {
                let started = self.tree.orders.last_started(agent);
                let id = started.map(|(id, _)| id).unwrap_or_default();
                Ok(File::text(id, false))
            }
            Node::Control(Control::Cancel(_)) => Ok(File::text("", false)),
            Node::Entry(..) => Err(Error::Invalid("a file of a version".into()).into()),
            _ if node.kind() == Some(Kind::Symlink) => {
                Err(Error::Invalid("is a symbolic link".into()).into())
            }
            _ => Err(Error::IsDirectory.into()),
        }
    }

    fn render_run(&self, id: &Arc<str>, file: RunFile) -> Answer<File> {
        match file {
            RunFile::Status => {
                let (row, _) = self.run(id, self.read_status(id, file))?;
                let status = &row.value.status;
                Ok(File::text(status.as_str(), status.is_terminal()))
            }
            RunFile::Prompt => {
                let (row, _) = self.run(id, Age::Any)?;
                Ok(File::text(row.value.prompt.as_str(), true))
            }
            RunFile::Json => {
                let age = self.read_status(id, file);
                let (row, left) = self.run_detail_of(id, age)?;
                Ok(File::text(pretty(&parsed(&row.raw)?)?, for_good(left)))
            }
            RunFile::Error => {
                let age = self.read_status(id, file);
                let (_, left) = self.run_detail_of(id, age)?;
                let reason = self.tree.why_failed(id);
                Ok(File::text(
                    reason.as_deref().unwrap_or_default(),
                    for_good(left),
                ))
            }
            RunFile::MetricsJson => {
                let (metrics, left) = self.metrics(id)?;
                Ok(File::text(metrics.raw().get(), for_good(left)))
            }
            RunFile::MetricsCsv => {
                let (metrics, left) = self.metrics(id)?;
                Ok(File {
                    bytes: metrics.csv(),
                    is_final: for_good(left),
                })
            }
            RunFile::MetricsSvg => {
                // First, as it tells how long the metrics stay good.
                let (row, row_left) = self.run(id, Age::Current)?;
                let (metrics, left) = self.metrics(id)?;
                Ok(File {
                    bytes: metrics.svg(&row.value),
                    is_final: for_good(left) && for_good(row_left),
                })
            }
            RunFile::Report => {
                let (row, _) = self.run_detail(id)?;
                let (logs, is_final) = self.logs(id)?;
                let (metrics, left) = self.metrics(id)?;
                let run = &row.value;
                let chart = match metrics.is_empty() {
                    true => String::new(),
                    false => String::from_utf8_lossy(&metrics.svg(run)).into_owned(),
                };
                let bytes = logs.report(&self.facts(id, run, chart)?);
                let is_final = is_final && for_good(left) && run.status.is_terminal();
                Ok(File { bytes, is_final })
            }
            RunFile::Result => {
                let (logs, is_final) = self.logs(id)?;
                Ok(File::text(logs.answer(), is_final))
            }
            RunFile::Usage => {
                let (logs, is_final) = self.logs(id)?;
                Ok(File::text(pretty(&logs.usage())?, is_final))
            }
            RunFile::Log(_) => Err(Error::Internal("a log is not rendered".into()).into()),
        }
    }

    /// What the page of a run says of the run itself.
    fn facts(&self, id: &Arc<str>, run: &Run, chart: String) -> Answer<Facts> {
        let mut links = Vec::new();
        if let Some((target, _)) = self.run_artifact(id)? {
            links.push(("Artifact", short(&target), "artifact/".to_owned()));
        }
        for (name, target) in self.run_volumes(id)?.0 {
            let path = format!("volumes/{}/", url_path(&name));
            links.push(("Volume", short(&target), path));
        }
        Ok(Facts {
            run: run.id.clone(),
            agent: run.agent_name.clone(),
            status: run.status.as_str().to_owned(),
            has_ended: run.status.is_terminal(),
            error: run.error.clone(),
            prompt: run.prompt.clone(),
            created: run.created_at,
            started: run.started_at,
            completed: run.completed_at,
            links,
            chart,
        })
    }
}

/// The name and the first characters of the version that a link leads to.
fn short(target: &str) -> String {
    let mut parts = target.rsplit('/');
    let version: String = parts.next().unwrap_or_default().chars().take(8).collect();
    format!("{} ({version})", parts.next().unwrap_or_default())
}

/// A name as it stands in the path of a URL.
fn url_path(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}
