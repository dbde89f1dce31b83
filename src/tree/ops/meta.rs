//! `.vm0fs`: what the mount tells about itself, without using the network.

use crate::{
    api::types::StorageKind,
    tree::{
        answers::{Agents, Registered, Runs, Storages},
        cache::Lookup,
        node::{MetaFile, VersionId},
        view::View,
    },
};
use jiff::Timestamp;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a page stays as it is, so that `stat`, `open` and `read` of one command see
/// one text.
const PAGE_TTL: Duration = Duration::from_secs(1);

const HELP: &str = include_str!("help.txt");

impl View<'_> {
    pub(super) fn page(&self, file: MetaFile) -> Arc<[u8]> {
        if file == MetaFile::Help {
            return HELP.as_bytes().into();
        }
        let pages = &self.tree.pages;
        let noted = match file {
            // A user looks for the failure that has just been.
            MetaFile::Errors => self.tree.answers.failures().noted(),
            _ => None,
        };
        if let Lookup::Fresh(page, _) = pages.get(&file, Instant::now())
            && noted.is_none_or(|noted| noted < page.0)
        {
            return page.1.clone();
        }
        let made = Timestamp::now();
        let text = match file {
            MetaFile::Errors => self.tree.answers.failures().render(),
            MetaFile::Transfers => self.tree.content.table(|version: &VersionId| {
                let answers = &self.tree.answers;
                answers.name_of(version.kind, &version.storage)
            }),
            MetaFile::Activity => self.activity(),
            MetaFile::Status | MetaFile::Help => self.status(),
        };
        let bytes: Arc<[u8]> = text.into_bytes().into();
        let page = (made, bytes.clone());
        pages.put(file, page, Instant::now(), PAGE_TTL, 0);
        bytes
    }

    pub(super) fn page_time(&self, file: MetaFile) -> Timestamp {
        let page = self.tree.pages.last(&file);
        page.map_or(self.tree.started, |(page, _)| page.0)
    }

    /// The seconds since an answer was last asked for.
    fn age<R: Registered>(&self, key: &R::Key) -> Option<u64> {
        let (_, asked) = self.tree.answers.of::<R>().last(key)?;
        Some(asked.elapsed().as_secs())
    }

    fn status(&self) -> String {
        let answers = &self.tree.answers;
        let (service, content) = (answers.service(), &self.tree.content);
        let (calls, usage) = (service.api().calls(), self.usage());
        let status = json!({
            "vm0fs": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": self.tree.started.to_string(),
            "workers": self.tree.supervision.seen(),
            "api": {
                "origin": service.api().origin(),
                "account": self.tree.account,
                "offline": service.is_offline(),
                "calls": calls.made,
                "failed": calls.failed,
                "last_request_id": calls.last_request_id,
                "rate_limit": calls.rate_limit,
                "outage": service.outage().map(|error| error.to_string()),
            },
            "cache": {
                "dir": content.dir().to_string_lossy(),
                "bytes": usage.bytes,
                "ceiling_bytes": usage.ceiling,
                "versions": usage.versions,
                "versions_with_content": usage.with_content,
                "versions_partly": usage.partly,
            },
            "downloads": content.totals(),
            "listings": {
                "ttl_seconds": service.usual_list_ttl().as_secs_f64(),
                "age_seconds": {
                    "agents": self.age::<Agents>(&()),
                    "runs": self.age::<Runs>(&()),
                    "volumes": self.age::<Storages>(&StorageKind::Volume),
                    "artifacts": self.age::<Storages>(&StorageKind::Artifact),
                },
            },
            "crawlers": {
                "policy": self.tree.crawlers.policy(),
                "refused": self.tree.crawlers.counts(),
            },
            "shared_cache": self.tree.shared.as_ref().map(|shared| shared.status()),
            "runs_followed": self.tree.live.stream_count(),
            "failures": answers.failures().len(),
        });
        format!("{status:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::HELP;
    use crate::tree::node::{AgentFile, RunFile, TOP};

    #[test]
    fn the_help_names_every_file_of_a_run_and_an_agent() {
        let runs = RunFile::ALL.iter().map(|(name, _)| *name);
        let agents = AgentFile::ALL.iter().map(|(name, _)| *name);
        let top = TOP.iter().map(|(name, _)| *name);
        for name in runs.chain(agents).chain(top) {
            let words = || HELP.split([' ', '\n', '/']);
            assert!(words().any(|word| word == name), "{name}");
        }
    }
}
