//! Answers on disk: which are kept, under which names, and how they come back.
//! What cannot change any more comes back instead of a call; the rest only
//! when the service cannot be reached.

use crate::{
    api::types::Row,
    json,
    store::Shelf,
    tree::{
        Tree, Want,
        answers::{known::Versions, listing::Listing},
        cache::FOR_EVER,
        fetch::put_listing,
        logs::Logs,
        metrics::Metrics,
        node::inodes::Exceptions,
    },
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

/// A listing is written at most this often: it changes with every live run,
/// and its loss costs one call.
const LISTING_PAUSE: Duration = Duration::from_secs(60);

/// The name of the inode numbers that are not the ones drawn for their nodes.
const NUMBERS: &str = "inode numbers";

/// The inode numbers that earlier mounts of this cache had to give in the place of
/// those drawn.
pub(in crate::tree) fn numbers(shelf: &Shelf) -> Exceptions {
    let content = shelf.get(NUMBERS);
    let numbers = content.and_then(|content| serde_json::from_slice(&content).ok());
    numbers.unwrap_or_default()
}

impl Want {
    /// The name of its answer on disk; `None` for what is not an answer.
    fn kept_name(&self) -> Option<String> {
        Some(match self {
            Self::Agents => "agents".into(),
            Self::Agent(id) => format!("agent {id}"),
            Self::AgentVersions(id) => format!("agent versions {id}"),
            Self::Runs => "runs".into(),
            Self::Run(id) => format!("run {id}"),
            Self::Logs(id) => format!("logs {id}"),
            Self::Metrics(id) => format!("metrics {id}"),
            Self::Storages(kind) => kind.plural().into(),
            Self::Storage(kind, id) => format!("{} {id}", kind.plural()),
            Self::Versions(kind, id) => format!("versions {} {id}", kind.plural()),
            Self::Usage
            | Self::Content(..)
            | Self::Follow(_)
            | Self::Start(..)
            | Self::Cancel(..) => return None,
        })
    }

    /// Whether its answer on disk, where there is one, can never change: such
    /// answers are kept of ended runs only.
    fn is_kept_for_good(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Logs(_) | Self::Metrics(_))
    }
}

/// A row as it was sent, and the part of it that is understood.
fn row<T: DeserializeOwned>(raw: Box<RawValue>) -> Option<Row<T>> {
    let value = json::parse(raw.get()).ok()?;
    Some(Row { value, raw })
}

fn rows<T: DeserializeOwned>(content: &[u8]) -> Option<Vec<Row<T>>> {
    let raw: Vec<Box<RawValue>> = serde_json::from_slice(content).ok()?;
    raw.into_iter().map(row).collect()
}

fn one(content: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(content).ok()
}

fn json<'a>(raw: impl Iterator<Item = &'a RawValue>) -> Option<Vec<u8>> {
    serde_json::to_vec(&raw.collect::<Vec<_>>()).ok()
}

impl Tree {
    /// Keeps what was just fetched, as far as it is worth it.
    pub(in crate::tree) fn keep(&self, want: &Want) {
        // New numbers are given to what has been fetched.
        self.keep_numbers();
        let Some(name) = want.kept_name() else { return };
        if !want.is_kept_for_good() && !self.may_write(want) {
            return;
        }
        if let Some(content) = self.written(want) {
            self.shelf.put(&name, &content);
        }
    }

    /// Writes down the inode numbers that the next mount could not draw anew.
    pub(in crate::tree) fn keep_numbers(&self) {
        if !self.inodes.is_unsaved() {
            return;
        }
        // Another mount may have written down some of its own meanwhile.
        let mut all = numbers(&self.shelf);
        all.extend(self.inodes.save());
        if let Ok(content) = serde_json::to_vec(&all) {
            self.shelf.put(NUMBERS, &content);
        }
    }

    fn may_write(&self, want: &Want) -> bool {
        let mut written = self.kept_at.lock();
        match written.get(want) {
            Some(at) if at.elapsed() < LISTING_PAUSE => false,
            _ => {
                written.put(want.clone(), Instant::now());
                true
            }
        }
    }

    /// The answer as it is written; `None` where it is not to be kept.
    fn written(&self, want: &Want) -> Option<Vec<u8>> {
        let known = &self.known;
        match want {
            Want::Agents => {
                let (listing, _) = known.agents.last(&())?;
                json(listing.items().iter().map(|item| &*item.row.raw))
            }
            Want::Runs => {
                let (listing, _) = known.runs.last(&())?;
                json(listing.items().iter().map(|item| &*item.row.raw))
            }
            Want::Storages(kind) => {
                let (listing, _) = known.storages.last(kind)?;
                json(listing.items().iter().map(|item| &*item.row.raw))
            }
            Want::Versions(kind, id) => {
                let (versions, _) = known.versions.last(&(*kind, id.clone()))?;
                json(versions.rows.iter().map(|(_, row)| &*row.raw))
            }
            Want::AgentVersions(id) => {
                json(known.agent_versions.last(id)?.0.iter().map(|raw| &**raw))
            }
            Want::Agent(id) => Some(known.agent.last(id)?.0.raw.get().into()),
            Want::Storage(kind, id) => {
                Some(known.storage.last(&(*kind, id.clone()))?.0.raw.get().into())
            }
            // Of runs only what can never change.
            Want::Run(id) => Some(known.run.last_for_good(id)?.raw.get().into()),
            Want::Logs(id) => {
                let rows = known.logs.last_for_good(id)?.rows();
                json(rows.iter().map(|row| &*row.raw))
            }
            Want::Metrics(id) => Some(known.metrics.last_for_good(id)?.raw().get().into()),
            Want::Usage
            | Want::Content(..)
            | Want::Follow(_)
            | Want::Start(..)
            | Want::Cancel(..) => None,
        }
    }

    /// Brings back an answer that can never change. Whether there was one.
    pub(in crate::tree) fn recall_for_good(&self, want: &Want) -> bool {
        want.is_kept_for_good() && self.recall(want, Instant::now()).is_some()
    }

    /// Brings back what was last known, so that it can be shown while the
    /// service cannot be reached; not in the place of anything newer.
    pub(in crate::tree) fn recall_last(&self, want: &Want) {
        if !want.is_kept_for_good() && self.written(want).is_none() {
            // Older than every request, so that none takes it for fresh.
            let long_ago = self.opened - Duration::from_nanos(1);
            self.recall(want, long_ago);
        }
    }

    fn recall(&self, want: &Want, asked: Instant) -> Option<()> {
        let content = self.shelf.get(&want.kept_name()?)?;
        let known = &self.known;
        let (old, weight) = (Duration::ZERO, 2 * content.len());
        match want {
            Want::Agents => put_listing(&known.agents, (), rows(&content)?, asked, old),
            Want::Runs => {
                let listing = Listing::new(rows(&content)?, asked);
                known.runs.put((), listing, asked, old, weight);
            }
            Want::Storages(kind) => {
                put_listing(&known.storages, *kind, rows(&content)?, asked, old);
            }
            Want::Versions(kind, id) => {
                let versions = Versions::new(rows(&content)?, None);
                known
                    .versions
                    .put((*kind, id.clone()), versions, asked, old, weight);
            }
            Want::AgentVersions(id) => {
                let versions: Vec<Box<RawValue>> = serde_json::from_slice(&content).ok()?;
                known
                    .agent_versions
                    .put(id.clone(), versions, asked, old, weight);
            }
            Want::Agent(id) => {
                known
                    .agent
                    .put(id.clone(), row(one(&content)?)?, asked, old, weight)
            }
            Want::Storage(kind, id) => {
                let key = (*kind, id.clone());
                known
                    .storage
                    .put(key, row(one(&content)?)?, asked, old, weight);
            }
            Want::Run(id) => {
                let run = row(one(&content)?)?;
                known.run.put(id.clone(), run, asked, FOR_EVER, weight);
            }
            Want::Logs(id) => {
                let logs = Logs::ended(rows(&content)?);
                let weight = logs.weight();
                known.logs.put(id.clone(), logs, asked, FOR_EVER, weight);
            }
            Want::Metrics(id) => {
                let metrics = Metrics::new(one(&content)?);
                let weight = metrics.weight();
                known
                    .metrics
                    .put(id.clone(), metrics, asked, FOR_EVER, weight);
            }
            Want::Usage
            | Want::Content(..)
            | Want::Follow(_)
            | Want::Start(..)
            | Want::Cancel(..) => return None,
        }
        tracing::debug!("{want} comes from the cache");
        Some(())
    }
}
