//! An answer of the API as the bytes of a file.

use crate::{
    api::types::Run,
    conversation::report::Facts,
    error::{Error, Result},
    guide, json,
    tree::{
        answers::{Agent, AgentVersions, RunMetrics, Versions},
        cache::for_good,
        fetch_key::Answer,
        live::Show,
        node::{AgentFile, Control, Kind, Node, RunFile},
        ops::yaml::yaml,
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

/// The bytes of a text file: it ends with a newline; an empty one stays empty.
fn text(text: impl Into<String>) -> Arc<[u8]> {
    let mut text = text.into();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.into_bytes().into()
}

/// JSON as people read it. Order and content are the service's.
fn pretty(value: &impl Serialize) -> Result<Arc<[u8]>> {
    let json = serde_json::to_string_pretty(value);
    json.map(text)
        .map_err(|error| Error::Internal(error.to_string()))
}

fn parsed(row: &RawValue) -> Result<Value> {
    json::parse(row.get()).map_err(|error| Error::Internal(error.to_string()))
}

fn pretty_array<'a>(rows: impl Iterator<Item = &'a RawValue>) -> Result<Arc<[u8]>> {
    pretty(&rows.map(parsed).collect::<Result<Vec<_>>>()?)
}

impl View<'_> {
    pub(super) fn render(&self, node: &Node) -> Answer<File> {
        let bytes = match node {
            Node::MetaFile(file) => self.page(*file),
            Node::GuidePage(name) => text(guide::page(name).ok_or(Error::Stale)?.text),
            Node::RunsTable(agent, form) => self.runs_table(agent.as_ref(), *form)?.bytes.clone(),
            Node::AgentsTable => self.agents_table()?,
            Node::StoragesTable(kind) => self.storages_table(*kind)?,
            Node::AgentFile(id, AgentFile::Json) => {
                pretty(&parsed(&self.need_or_last::<Agent>(id)?.0.raw)?)?
            }
            Node::AgentFile(id, AgentFile::Config) => {
                let (row, _) = self.need_or_last::<Agent>(id)?;
                let config = row.value.config.as_ref();
                let config = config.ok_or_else(|| Error::NotFound("config.yaml".into()))?;
                text(yaml(config)?)
            }
            Node::AgentFile(id, AgentFile::Versions) => {
                let (rows, _) = self.need_or_last::<AgentVersions>(id)?;
                pretty_array(rows.iter().map(AsRef::as_ref))?
            }
            Node::VersionsJson(kind, id) => {
                let (versions, _) = self.need_or_last::<Versions>(&(*kind, id.clone()))?;
                pretty_array(versions.raw())?
            }
            Node::RunFile(id, file) => return self.render_run(id, *file),
            Node::Control(Control::Start(agent)) => {
                let started = self.tree.orders.last_started(agent);
                text(started.map(|(id, _)| id).unwrap_or_default())
            }
            Node::Control(Control::Cancel(_)) => text(""),
            Node::Entry(..) => return Err(Error::Invalid("a file of a version".into()).into()),
            _ if node.kind() == Some(Kind::Symlink) => {
                return Err(Error::Invalid("is a symbolic link".into()).into());
            }
            _ => return Err(Error::IsDirectory.into()),
        };
        Ok(File {
            bytes,
            is_final: false,
        })
    }

    fn render_run(&self, id: &Arc<str>, file: RunFile) -> Answer<File> {
        let (bytes, is_final) = match file {
            RunFile::Status => {
                let (row, _) = self.run(id, self.read_status(id, file))?;
                let status = &row.value.status;
                (text(status.as_str()), status.is_terminal())
            }
            RunFile::Prompt => {
                let (row, _) = self.run(id, Show::Last)?;
                (text(row.value.prompt.as_str()), true)
            }
            RunFile::Json => {
                let (row, left) = self.run_detail(id, self.read_status(id, file))?;
                (pretty(&parsed(&row.raw)?)?, for_good(left))
            }
            RunFile::Error => {
                let (_, left) = self.run_detail(id, self.read_status(id, file))?;
                let reason = self.tree.why_failed(id);
                (text(reason.as_deref().unwrap_or_default()), for_good(left))
            }
            RunFile::MetricsJson => {
                let (metrics, left) = self.need::<RunMetrics>(id)?;
                (text(metrics.raw().get()), for_good(left))
            }
            RunFile::MetricsCsv => {
                let (metrics, left) = self.need::<RunMetrics>(id)?;
                (metrics.csv(), for_good(left))
            }
            RunFile::MetricsSvg => {
                // First, as it tells how long the metrics stay good.
                let (row, row_left) = self.run(id, Show::Fresh)?;
                let (metrics, left) = self.need::<RunMetrics>(id)?;
                let is_final = for_good(left) && for_good(row_left);
                (metrics.svg(&row.value), is_final)
            }
            RunFile::Report => {
                let (row, _) = self.run_detail(id, Show::Fresh)?;
                let (logs, is_final) = self.logs(id)?;
                let (metrics, left) = self.need::<RunMetrics>(id)?;
                let run = &row.value;
                let chart = match metrics.is_empty() {
                    true => String::new(),
                    false => String::from_utf8_lossy(&metrics.svg(run)).into_owned(),
                };
                let bytes = logs.report(&self.facts(id, run, chart)?);
                let is_final = is_final && for_good(left) && run.status.is_terminal();
                (bytes, is_final)
            }
            RunFile::Result => {
                let (logs, is_final) = self.logs(id)?;
                (text(logs.answer()), is_final)
            }
            RunFile::Usage => {
                let (logs, is_final) = self.logs(id)?;
                (pretty(&logs.usage())?, is_final)
            }
            RunFile::Log(_) => return Err(Error::Internal("a log is not rendered".into()).into()),
        };
        Ok(File { bytes, is_final })
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
