//! All that the API has told so far, by kind of answer.

use crate::{
    api::types::{Agent, Row, Run, RunStatus, Storage, StorageKind, StorageVersion},
    store::{Shelf, Store, Usage},
    sync::{Mutex, MutexGuard},
    tree::{
        Want,
        answers::listing::Listing,
        cache::Cache,
        logs::Logs,
        metrics::Metrics,
        node::names::{escape, is_content_id},
        ops::tables::{Form, Table},
    },
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// Bounds in entries and bytes. Together they keep the memory of a mount that
/// has seen everything near 200 MB; what is pushed out is asked for again.
const OBJECTS: (usize, usize) = (20_000, 32 << 20);
const LOGS: (usize, usize) = (256, 96 << 20);
const METRICS: (usize, usize) = (256, 16 << 20);
const LISTINGS: (usize, usize) = (8, usize::MAX);
const TABLES: (usize, usize) = (64, 16 << 20);

/// How long a measure of the cache stands. This mount measures after each of
/// its own downloads, so what is missed is what other mounts change.
pub(crate) const USAGE_TTL: Duration = Duration::from_secs(1);
/// Rows of a full page of a list: the most that the API gives at a time.
const FULL_PAGE: usize = 100;

/// The id of a storage: two kinds may use one id.
pub(crate) type StorageId = (StorageKind, Arc<str>);
/// The id of a version in its storage.
pub(crate) type VersionId = (StorageKind, Arc<str>, Arc<str>);

/// The versions of a storage, in the API's order.
#[derive(Debug)]
pub(crate) struct Versions {
    /// Each with the path component of its id.
    pub(crate) rows: Vec<(String, Row<StorageVersion>)>,
    by_id: HashMap<String, usize>,
    by_component: HashMap<String, usize>,
}

impl Versions {
    /// With the rows of an earlier answer that this one does not show, after
    /// the others: paging can skip rows, and versions do not vanish.
    pub(crate) fn new(rows: Vec<Row<StorageVersion>>, earlier: Option<&Self>) -> Self {
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| (escape(&row.value.id), row))
            .collect();
        if let Some(earlier) = earlier {
            let shown: HashSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
            let skipped = earlier
                .rows
                .iter()
                .filter(|(name, _)| !shown.contains(name));
            rows.extend(skipped.cloned());
        }
        let by_id = rows
            .iter()
            .enumerate()
            .map(|(n, (_, row))| (row.value.id.clone(), n));
        let by_component = rows
            .iter()
            .enumerate()
            .map(|(n, (name, _))| (name.clone(), n));
        Self {
            by_id: by_id.collect(),
            by_component: by_component.collect(),
            rows,
        }
    }

    /// Whether there may be a version of this id all the same: where the
    /// answer took more than a page, its pages can have skipped rows. Only a
    /// whole id is worth asking for.
    pub(crate) fn may_lack(&self, id: &str) -> bool {
        self.rows.len() >= FULL_PAGE && is_content_id(id) && self.get(id).is_none()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&StorageVersion> {
        self.by_id.get(id).map(|&n| &self.rows[n].1.value)
    }

    /// The id of the version under a path component.
    pub(crate) fn component(&self, component: &str) -> Option<&str> {
        self.by_component
            .get(component)
            .map(|&n| self.rows[n].1.value.id.as_str())
    }

    /// The component of the one version whose id begins so.
    pub(crate) fn by_prefix(&self, prefix: &str) -> Option<&str> {
        let mut matching = self
            .rows
            .iter()
            .filter(|(_, row)| row.value.id.starts_with(prefix));
        let (component, _) = matching.next()?;
        matching.next().is_none().then_some(component)
    }

    pub(crate) fn weight(&self) -> usize {
        self.rows
            .iter()
            .map(|(_, row)| 2 * row.raw.get().len() + 256)
            .sum()
    }
}

/// A file in which the mount shows itself, with the time it was written.
pub(crate) type Page = (Timestamp, Arc<[u8]>);

/// The answers.
pub(crate) struct Known {
    pub(crate) agents: Cache<(), Listing<Agent>>,
    pub(crate) agent: Cache<Arc<str>, Row<Agent>>,
    pub(crate) agent_versions: Cache<Arc<str>, Vec<Box<RawValue>>>,
    pub(crate) runs: Cache<(), Listing<Run>>,
    /// Held by whoever makes the next listing of runs out of the last one:
    /// several are started at once, while it is asked for.
    relisting: Mutex<()>,
    pub(crate) run: Cache<Arc<str>, Row<Run>>,
    pub(crate) logs: Cache<Arc<str>, Logs>,
    pub(crate) metrics: Cache<Arc<str>, Metrics>,
    pub(crate) storages: Cache<StorageKind, Listing<Storage>>,
    pub(crate) storage: Cache<StorageId, Row<Storage>>,
    pub(crate) versions: Cache<StorageId, Versions>,
    /// Failures only: the content itself is the store's.
    pub(crate) content: Cache<VersionId, ()>,
    pub(crate) pages: Cache<crate::tree::node::MetaFile, Page>,
    /// Tables of all runs and of agents' runs, made of the listing.
    pub(crate) tables: Cache<(Option<Arc<str>>, Form), Table>,
    pub(crate) usage: Cache<(), Usage>,
    /// What came of the orders that were given, by their numbers.
    pub(crate) orders: Cache<u64, Row<Run>>,
    /// Failures only.
    pub(crate) streams: Cache<Arc<str>, ()>,
}

/// Something to be done with the cache that holds the answers to a want,
/// whatever their type.
pub(crate) trait Visit {
    /// What comes of it.
    type Out;
    /// Does it.
    fn visit<K: Hash + Eq + Clone, T>(self, cache: &Cache<K, T>, key: K) -> Self::Out;
}

impl Known {
    /// Goes to where the answers to `want` are kept.
    pub(crate) fn visit<V: Visit>(&self, want: &Want, visit: V) -> V::Out {
        match want {
            Want::Agents => visit.visit(&self.agents, ()),
            Want::Agent(id) => visit.visit(&self.agent, id.clone()),
            Want::AgentVersions(id) => visit.visit(&self.agent_versions, id.clone()),
            Want::Runs => visit.visit(&self.runs, ()),
            Want::Run(id) => visit.visit(&self.run, id.clone()),
            Want::Logs(id) => visit.visit(&self.logs, id.clone()),
            Want::Metrics(id) => visit.visit(&self.metrics, id.clone()),
            Want::Storages(kind) => visit.visit(&self.storages, *kind),
            Want::Storage(kind, id) => visit.visit(&self.storage, (*kind, id.clone())),
            Want::Versions(kind, id) => visit.visit(&self.versions, (*kind, id.clone())),
            Want::Content(kind, id, version) => {
                let key = (*kind, id.clone(), version.clone());
                visit.visit(&self.content, key)
            }
            Want::Usage => visit.visit(&self.usage, ()),
            Want::Follow(id) => visit.visit(&self.streams, id.clone()),
            Want::Start(_, order) | Want::Cancel(_, order) => visit.visit(&self.orders, *order),
        }
    }

    pub(crate) fn new() -> Self {
        fn cache<K: Hash + Eq + Clone, T>(bounds: (usize, usize)) -> Cache<K, T> {
            Cache::new(bounds.0, bounds.1)
        }
        Self {
            agents: cache(LISTINGS),
            agent: cache(OBJECTS),
            agent_versions: cache(OBJECTS),
            runs: cache(LISTINGS),
            relisting: Mutex::default(),
            run: cache(OBJECTS),
            logs: cache(LOGS),
            metrics: cache(METRICS),
            storages: cache(LISTINGS),
            storage: cache(OBJECTS),
            versions: cache(OBJECTS),
            content: cache(OBJECTS),
            pages: cache(LISTINGS),
            tables: cache(TABLES),
            usage: cache(LISTINGS),
            orders: cache(OBJECTS),
            streams: cache(OBJECTS),
        }
    }

    /// The status of a run by the newest answer that tells it.
    pub(crate) fn status(&self, id: &Arc<str>) -> Option<RunStatus> {
        self.standing(id).map(|(_, status)| status)
    }

    /// The right to make the next listing of runs out of the last one.
    pub(crate) fn relisting(&self) -> MutexGuard<'_, ()> {
        self.relisting.lock()
    }

    /// How long ago a run's status was asked for last.
    pub(crate) fn status_age(&self, id: &Arc<str>) -> Option<Duration> {
        self.standing(id).map(|(asked, _)| asked.elapsed())
    }

    /// A run's status, and when it was asked for.
    pub(crate) fn standing(&self, id: &Arc<str>) -> Option<(Instant, RunStatus)> {
        let newest = self.newest_of(id);
        newest.map(|(asked, row)| (asked, row.value.status.clone()))
    }

    /// The newest answer on a run, its own or a listing's row, and when that was
    /// asked for.
    pub(crate) fn newest_of(&self, id: &Arc<str>) -> Option<(Instant, Arc<Row<Run>>)> {
        let detail = self.run.last(id).map(|(row, asked)| (asked, row));
        let listing = self.runs.last(&());
        let item = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        let listed = item.map(|item| (item.asked, item.row.clone()));
        let newest = detail.into_iter().chain(listed);
        newest.max_by_key(|(asked, _)| *asked)
    }

    /// Looks how full the cache is, which reads the disk and can wait.
    pub(crate) fn measure(&self, store: &Store, shelf: &Shelf) {
        let at = Instant::now();
        let mut usage = store.usage();
        // Answers have their share of the one cache that the user knows.
        usage.bytes += shelf.bytes();
        usage.ceiling += shelf.budget();
        self.usage.put((), usage, at, USAGE_TTL, 0);
    }
}
