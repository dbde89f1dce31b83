//! `.vm0fs/activity.json`: what the mount does now, and for whom.

use crate::{
    text::one_line,
    tree::{
        answers::{Agents, Run, Runs},
        node::{AgentFile, Control, Form, Node, RunFile, VersionId},
        view::View,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

/// Characters of a path.
const PATH: usize = 400;

/// The name of a file in a table of names.
fn name_in<T: PartialEq>(table: &[(&'static str, T)], file: &T) -> &'static str {
    let found = table.iter().find(|(_, each)| each == file);
    found.map_or("", |(name, _)| name)
}

impl View<'_> {
    /// The page. It costs no call, and names what is known already.
    pub(super) fn activity(&self) -> String {
        let tree = self.tree;
        let (service, content) = (tree.answers.service(), &tree.content);
        let (calls, usage) = (service.api().calls(), self.usage());
        let (requests, waited) = tree.activity.requests();
        let readers = tree.activity.readers(Instant::now()).into_iter();
        let readers = readers.filter_map(|reader| {
            let path = self.shown_path(reader.ino)?;
            Some(json!({
                "pid": Some(reader.pid).filter(|pid| *pid > 0),
                "process": reader.name,
                "has_ended": reader.has_ended,
                "path": path,
                "waiting": reader.waiting,
                "opens": reader.opens,
                "reads": reader.reads,
                "bytes": reader.bytes,
                "fetched_bytes": reader.fetched,
                "seen_seconds": reader.since.as_secs_f64(),
                "idle_seconds": reader.idle.as_secs_f64(),
            }))
        });
        let downloads = content.under_way(|version| self.storage_name(version));
        let downloads = downloads.into_iter().map(|download| {
            json!({
                "path": download.title,
                "bytes": download.bytes,
                "bytes_in_all": download.expected,
                "seconds": download.age.as_secs_f64(),
                "idle_seconds": download.idle.as_secs_f64(),
            })
        });
        let followed = tree.live.streamed();
        let followed = followed.into_iter().map(|id| {
            let listed = || {
                let (runs, _) = tree.answers.of::<Runs>().last(&())?;
                Some(runs.id(&id)?.row.clone())
            };
            let run = tree.answers.of::<Run>().last(&id).map(|(row, _)| row);
            let agent = run
                .or_else(listed)
                .and_then(|row| row.value.agent_name.clone());
            json!({"run": *id, "agent": agent})
        });
        let page = json!({
            "at": format!("{:.3}", Timestamp::now()),
            "vm0fs": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": tree.started.to_string(),
            "requests": {"made": requests, "waited": waited},
            "readers": readers.collect::<Vec<Value>>(),
            "downloads": downloads.collect::<Vec<Value>>(),
            "downloaded": content.totals(),
            "followed": followed.collect::<Vec<Value>>(),
            "api": {
                "origin": service.api().origin(),
                "calls": calls.made,
                "failed": calls.failed,
                "rate_limit": calls.rate_limit,
                "outage": service.outage().map(|error| error.to_string()),
            },
            "cache": {
                "bytes": usage.bytes,
                "ceiling_bytes": usage.ceiling,
                "versions": usage.versions,
                "versions_with_content": usage.with_content,
                "versions_partly": usage.partly,
            },
            "shared_cache": tree.shared.as_ref().map(|shared| shared.status()),
            "failures": tree.answers.failures().len(),
        });
        format!("{page:#}\n")
    }

    fn storage_name(&self, version: &VersionId) -> Option<String> {
        let answers = &self.tree.answers;
        answers.name_of(version.kind, &version.storage)
    }

    /// The path of an inode, as far as it is known without a fetch; `None` for what the
    /// mount tells of itself.
    fn shown_path(&self, ino: u64) -> Option<String> {
        let agent = |id: &Arc<str>| {
            let agents = self.tree.answers.of::<Agents>().last(&());
            let name = agents.and_then(|(agents, _)| Some(agents.id(id)?.component.clone()));
            format!("agents/{}", name.unwrap_or_else(|| id.to_string()))
        };
        let node = self.node(ino).ok()?;
        let path = match &node {
            Node::Meta | Node::MetaFile(_) | Node::Guide | Node::GuidePage(_) => return None,
            Node::Root => ".".into(),
            Node::Agents => "agents".into(),
            Node::AgentsTable => "agents/.agents.jsonl".into(),
            Node::Runs => "runs".into(),
            Node::ByStatus => "runs/.by-status".into(),
            Node::Status(word) => format!("runs/.by-status/{word}"),
            Node::Storages(kind) => kind.plural().into(),
            Node::StoragesTable(kind) => format!("{0}/.{0}.jsonl", kind.plural()),
            Node::RunsTable(of, form) => {
                let folder = of.as_ref().map_or_else(|| "runs".into(), agent);
                format!("{folder}/{}", name_in(&Form::ALL, form))
            }
            Node::Agent(id) => agent(id),
            Node::AgentFile(id, file) => {
                format!("{}/{}", agent(id), name_in(&AgentFile::ALL, file))
            }
            Node::AgentRuns(id) => format!("{}/runs", agent(id)),
            Node::Control(Control::Start(id)) => format!("{}/run", agent(id)),
            Node::Control(Control::Cancel(id)) => format!("runs/{id}/cancel"),
            Node::Run(id) | Node::RunOfAgent(id) | Node::RunOfStatus(id) => format!("runs/{id}"),
            Node::RunFile(id, file) => format!("runs/{id}/{}", name_in(&RunFile::ALL, file)),
            Node::RunVolumes(id) => format!("runs/{id}/volumes"),
            Node::Storage(kind, id) | Node::VersionsJson(kind, id) => {
                let name = self.tree.answers.name_of(*kind, id);
                let name = name.unwrap_or_else(|| id.to_string());
                let file = matches!(node, Node::VersionsJson(..)).then_some("/.versions.json");
                format!("{}/{name}{}", kind.plural(), file.unwrap_or_default())
            }
            Node::Link(target) => target.to_string(),
            Node::Latest(version) | Node::Entry(version, 0) => {
                let content = &self.tree.content;
                content.title(version, None, |version| self.storage_name(version))
            }
            Node::Entry(version, number) => {
                let content = &self.tree.content;
                content.title(version, Some(*number), |version| self.storage_name(version))
            }
        };
        Some(one_line(&path, PATH))
    }
}
