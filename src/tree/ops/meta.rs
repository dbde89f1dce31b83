//! `.vm0fs`: the mount about itself. Nothing in here asks the network.

use crate::{
    error::Error,
    guide::Page,
    tree::{Answer, View, cache::Lookup, node::MetaFile},
};
use jiff::Timestamp;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// For how long a page stands, so that `stat`, `open` and `read` of one
/// command see one text.
const PAGE_TTL: Duration = Duration::from_secs(1);

const HELP: &str = include_str!("help.txt");

/// The folder of the guide in `.vm0fs`.
pub(in crate::tree) const GUIDE: &str = "help";

/// The file of a page in it.
pub(in crate::tree) fn file_name(page: &Page) -> String {
    format!("{}.md", page.name)
}

impl View<'_> {
    pub(in crate::tree) fn page(&self, file: MetaFile) -> Answer<Arc<[u8]>> {
        if file == MetaFile::Help {
            return Ok(HELP.as_bytes().into());
        }
        let pages = &self.tree.known.pages;
        if let Lookup::Fresh(page, _) = pages.get(&file, Instant::now()) {
            return Ok(page.1.clone());
        }
        let text = match file {
            MetaFile::Errors => self.tree.failures.render(),
            MetaFile::Transfers => self.tree.render_transfers(),
            _ => self.status()?,
        };
        let bytes: Arc<[u8]> = text.into_bytes().into();
        pages.put(
            file,
            (Timestamp::now(), bytes.clone()),
            Instant::now(),
            PAGE_TTL,
            0,
        );
        Ok(bytes)
    }

    pub(in crate::tree) fn page_time(&self, file: MetaFile) -> Timestamp {
        self.tree
            .known
            .pages
            .last(&file)
            .map_or(self.tree.started, |(page, _)| page.0)
    }

    fn status(&self) -> Answer<String> {
        let (calls, usage) = (self.tree.api.calls(), self.usage());
        let age = |asked: Option<Instant>| asked.map(|asked| asked.elapsed().as_secs());
        let known = &self.tree.known;
        let storages = |kind| age(known.storages.last(&kind).map(|(_, asked)| asked));
        let status = json!({
            "vm0fs": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "mounted_at": self.tree.started.to_string(),
            "api": {
                "origin": self.tree.api.origin(),
                "calls": calls.made,
                "failed": calls.failed,
                "last_request_id": calls.last_request_id,
                "rate_limit": calls.rate_limit,
            },
            "cache": {
                "dir": self.tree.store.dir().to_string_lossy(),
                "bytes": usage.bytes,
                "ceiling_bytes": usage.ceiling,
                "versions": usage.versions,
                "versions_with_content": usage.with_content,
            },
            "downloads": self.tree.transfers.totals(),
            "listings": {
                "ttl_seconds": self.tree.options.list_ttl.as_secs_f64(),
                "age_seconds": {
                    "agents": age(known.agents.last(&()).map(|(_, asked)| asked)),
                    "runs": age(known.runs.last(&()).map(|(_, asked)| asked)),
                    "volumes": storages(crate::api::types::StorageKind::Volume),
                    "artifacts": storages(crate::api::types::StorageKind::Artifact),
                },
            },
            "crawlers": {
                "policy": match self.tree.options.crawlers {
                    Some(_) => "deny",
                    None => "allow",
                },
                "refused": self.tree.refusals.counts(),
            },
            "runs_followed": self.tree.follows.count(),
            "failures": self.tree.failures.len(),
        });
        let text = serde_json::to_string_pretty(&status)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(text + "\n")
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
