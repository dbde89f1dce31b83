//! Brings what is wanted, from the API or through the version store, and keeps
//! the answer, or the failure, where operations find it.

use super::{
    Tree, Want,
    cache::{Cache, FOR_EVER, Lookup},
    known::Versions,
    listing::{Listing, Named},
    logs::Logs,
    metrics::Metrics,
    outage::{Outage, Way},
    rows::is_outage,
};
use crate::{
    api::{
        RunFilter,
        types::{Row, Run, StorageKind},
    },
    error::{Error, Result, TransportError, TransportKind},
    progress::Progress,
    store::{FetchRequest, VersionKey},
};
use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a failure stands for an answer, so that the many requests of one
/// `ls -l` do not repeat it, yet a user who tries again is soon heard.
const FAILURE_TTL: Duration = Duration::from_secs(2);
/// The same for an archive that is bad: it is immutable, so trying again is for
/// the case that it was the way here that spoilt it.
const BAD_ARCHIVE_TTL: Duration = Duration::from_secs(60);
/// The longest that a rate limit is taken at its word: one is given out for an
/// hour, and somebody may have raised it meanwhile.
const RATE_LIMIT_TTL: Duration = Duration::from_secs(60);
/// Logs of a live run are shown this long without asking again: long enough for
/// the `stat`, `open`, `read` of one command to agree.
const LIVE_LOGS_TTL: Duration = Duration::from_secs(2);
/// The same for its metrics: the service takes a sample each 5 s.
const LIVE_METRICS_TTL: Duration = Duration::from_secs(5);
/// Log rows can still arrive for some seconds after a run has ended.
const LATE_ROWS: Duration = Duration::from_secs(60);

impl Tree {
    /// Brings `want` for a request that arrived at `since`. The outcome is kept
    /// either way; the operations that wait are to run again after it.
    /// Calls `arrived` whenever part of it can be used already.
    pub fn fetch(
        &self,
        want: &Want,
        since: Instant,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) {
        // The answer may have come between the operation's look and this call.
        if self.settled(want, since) || self.recall_for_good(want) {
            return;
        }
        if *want == Want::Usage {
            self.known.measure(&self.store, &self.shelf);
            return;
        }
        if let Err(error) = self.way(progress) {
            self.recall_last(want);
            self.set_failure(want, &error);
            return;
        }
        let asked = Instant::now();
        tracing::debug!("fetching {want}");
        let brought = match want {
            Want::Content(kind, id, version) => {
                let bring = || self.bring_content(*kind, id, version, progress, arrived);
                let key = (*kind, id.clone(), version.clone());
                let brought = self.transfer(key, progress, bring);
                self.known.measure(&self.store, &self.shelf);
                brought
            }
            _ => self.told(self.bring(want, asked, progress)),
        };
        match brought {
            Ok(()) => self.keep(want),
            Err(error) => {
                if is_outage(&error) {
                    self.recall_last(want);
                }
                self.fail(want, &self.unless_it_exists(want, error));
            }
        }
    }

    /// Whether asking the API makes sense now; it is what finds that out.
    fn way(&self, progress: &Progress) -> Result<()> {
        if self.options.offline {
            let error = offline();
            self.journal.note("the network", &error);
            return Err(error);
        }
        match self.outage.way() {
            Way::Open => Ok(()),
            Way::Closed(error) => Err(error),
            Way::Probe => self.told(self.bring(&Want::Agents, Instant::now(), progress)),
        }
    }

    /// Passes on how a call of the API ended, and lets the outage know.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        self.outage.note(result.as_ref().err());
        result
    }

    /// Whether nobody is there to be asked.
    pub(super) fn is_away(&self) -> bool {
        self.options.offline || self.outage.error().is_some()
    }

    /// Keeps a failure as the answer to `want`, and tells it.
    pub fn fail(&self, want: &Want, error: &Error) {
        // That a path does not exist is an answer, not trouble.
        if Outage::is_one(error) {
            // One line for all that cannot be asked while nobody is there.
            self.journal.note("the network", error);
        } else if !error.is_not_found() {
            self.journal.note(&want.to_string(), error);
        }
        self.set_failure(want, error);
    }

    fn set_failure(&self, want: &Want, error: &Error) {
        let now = Instant::now();
        let lasts = match error {
            _ if error.is_not_found() => self.options.list_ttl,
            Error::BadArchive { .. } | Error::Limit { .. } => BAD_ARCHIVE_TTL,
            // The service has said when to ask again.
            Error::Api(api) if api.status == 429 => api
                .retry_after
                .map_or(FAILURE_TTL, Duration::from_secs)
                .clamp(FAILURE_TTL, RATE_LIMIT_TTL),
            _ => FAILURE_TTL,
        };
        let known = &self.known;
        let error = error.clone();
        match want {
            Want::Agents => known.agents.fail((), error, now, lasts),
            Want::Agent(id) => known.agent.fail(id.clone(), error, now, lasts),
            Want::AgentVersions(id) => known.agent_versions.fail(id.clone(), error, now, lasts),
            Want::Runs => known.runs.fail((), error, now, lasts),
            Want::Run(id) => known.run.fail(id.clone(), error, now, lasts),
            Want::Logs(id) => known.logs.fail(id.clone(), error, now, lasts),
            Want::Metrics(id) => known.metrics.fail(id.clone(), error, now, lasts),
            Want::Storages(kind) => known.storages.fail(*kind, error, now, lasts),
            Want::Storage(kind, id) => known.storage.fail((*kind, id.clone()), error, now, lasts),
            Want::Versions(kind, id) => known.versions.fail((*kind, id.clone()), error, now, lasts),
            Want::Content(kind, id, version) => {
                let key = (*kind, id.clone(), version.clone());
                known.content.fail(key, error, now, lasts);
            }
            Want::Usage => known.usage.fail((), error, now, lasts),
        }
    }

    /// Why asking for `want` failed, if that is the last that is known.
    pub fn last_failure(&self, want: &Want) -> Option<Error> {
        let known = &self.known;
        match want {
            Want::Agents => known.agents.last_failure(&()),
            Want::Agent(id) => known.agent.last_failure(id),
            Want::AgentVersions(id) => known.agent_versions.last_failure(id),
            Want::Runs => known.runs.last_failure(&()),
            Want::Run(id) => known.run.last_failure(id),
            Want::Logs(id) => known.logs.last_failure(id),
            Want::Metrics(id) => known.metrics.last_failure(id),
            Want::Storages(kind) => known.storages.last_failure(kind),
            Want::Storage(kind, id) => known.storage.last_failure(&(*kind, id.clone())),
            Want::Versions(kind, id) => known.versions.last_failure(&(*kind, id.clone())),
            Want::Content(kind, id, version) => {
                known
                    .content
                    .last_failure(&(*kind, id.clone(), version.clone()))
            }
            Want::Usage => known.usage.last_failure(&()),
        }
    }

    fn settled(&self, want: &Want, since: Instant) -> bool {
        fn settled<K: Hash + Eq + Clone, T>(cache: &Cache<K, T>, key: &K, since: Instant) -> bool {
            !matches!(cache.get(key, since), Lookup::Missing)
        }
        let known = &self.known;
        match want {
            Want::Agents => settled(&known.agents, &(), since),
            Want::Agent(id) => settled(&known.agent, id, since),
            Want::AgentVersions(id) => settled(&known.agent_versions, id, since),
            Want::Runs => settled(&known.runs, &(), since),
            Want::Run(id) => settled(&known.run, id, since),
            Want::Logs(id) => settled(&known.logs, id, since),
            Want::Metrics(id) => settled(&known.metrics, id, since),
            Want::Storages(kind) => settled(&known.storages, kind, since),
            Want::Storage(kind, id) => settled(&known.storage, &(*kind, id.clone()), since),
            Want::Versions(kind, id) => settled(&known.versions, &(*kind, id.clone()), since),
            Want::Content(kind, id, version) => {
                let key = (*kind, id.clone(), version.clone());
                matches!(known.content.get(&key, since), Lookup::Failed(_))
            }
            Want::Usage => settled(&known.usage, &(), since),
        }
    }

    fn bring(&self, want: &Want, asked: Instant, progress: &Progress) -> Result<()> {
        let (api, known, list_ttl) = (&self.api, &self.known, self.options.list_ttl);
        match want {
            Want::Agents => put_listing(&known.agents, (), api.agents(progress)?, asked, list_ttl),
            Want::Storages(kind) => {
                let rows = api.storages(*kind, progress)?;
                put_listing(&known.storages, *kind, rows, asked, list_ttl);
            }
            Want::Runs => {
                let rows = api.runs(&RunFilter::default(), progress)?;
                let listing = match known.runs.last(&()) {
                    // Runs do not vanish, but the service's pages can skip some.
                    Some((earlier, _)) => Listing::with_earlier(rows, asked, &earlier),
                    None => Listing::new(rows, asked),
                };
                let weight = listing.weight();
                known.runs.put((), listing, asked, list_ttl, weight);
            }
            Want::Agent(id) => {
                let row = api.agent(id, progress)?;
                let weight = row_weight(&row);
                known.agent.put(id.clone(), row, asked, list_ttl, weight);
            }
            Want::AgentVersions(id) => {
                let rows = api.agent_versions(id, progress)?;
                let weight = rows.iter().map(|row| row.get().len()).sum();
                known
                    .agent_versions
                    .put(id.clone(), rows, asked, list_ttl, weight);
            }
            Want::Run(id) => {
                let row = api.run(id, progress)?;
                let weight = row_weight(&row);
                let ttl = if row.value.status.is_terminal() {
                    FOR_EVER
                } else {
                    list_ttl
                };
                known.run.put(id.clone(), Arc::new(row), asked, ttl, weight);
            }
            Want::Logs(id) => {
                let ttl = self.ttl_of_run(id, LIVE_LOGS_TTL);
                let logs = Logs::new(api.run_logs(id, progress)?);
                let weight = logs.weight();
                known.logs.put(id.clone(), logs, asked, ttl, weight);
            }
            Want::Metrics(id) => {
                let ttl = self.ttl_of_run(id, LIVE_METRICS_TTL);
                let metrics = Metrics::new(api.run_metrics(id, progress)?);
                let weight = metrics.weight();
                known.metrics.put(id.clone(), metrics, asked, ttl, weight);
            }
            Want::Storage(kind, id) => {
                let row = api.storage(*kind, id, progress)?;
                let weight = row_weight(&row);
                known
                    .storage
                    .put((*kind, id.clone()), row, asked, list_ttl, weight);
            }
            Want::Versions(kind, id) => {
                let rows = api.storage_versions(*kind, id, progress)?;
                let key = (*kind, id.clone());
                let earlier = known.versions.last(&key);
                let versions = Versions::new(rows, earlier.as_ref().map(|(earlier, _)| &**earlier));
                let weight = versions.weight();
                known.versions.put(key, versions, asked, list_ttl, weight);
            }
            // Not the API's to bring.
            Want::Usage | Want::Content(..) => {}
        }
        Ok(())
    }

    fn bring_content(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &Arc<str>,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) -> Result<()> {
        let asked = Instant::now();
        let versions = self.known.versions.last(&(kind, id.clone()));
        let declared = versions
            .as_ref()
            .and_then(|(versions, _)| versions.get(version));
        let request = FetchRequest {
            key: self.version_key(kind, id, version),
            declared_size: declared.and_then(|row| row.size),
            declared_files: declared.and_then(|row| row.file_count),
            url: &|| self.told(self.api.download_url(kind, id, version, progress)),
            arrived,
            verify: self.options.verify,
        };
        let fetched = self.store.fetch(&request, progress)?;
        if let Some(name) = self.name_of(kind, id) {
            self.store.note_name(fetched.key(), &name);
        }
        let key = (kind, id.clone(), version.clone());
        // Takes back an earlier failure; the content itself is the store's.
        self.known.content.put(key, (), asked, Duration::ZERO, 0);
        Ok(())
    }

    /// The store's name for a version.
    pub(super) fn version_key(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &Arc<str>,
    ) -> VersionKey {
        VersionKey {
            origin: self.origin.clone(),
            kind: kind.plural(),
            storage_id: id.clone(),
            version_id: version.clone(),
        }
    }

    /// How long logs or metrics that are asked for now stay good: as long as
    /// `live` while the run may have more to say. What is known of it counts as
    /// it was before the call: a run can end during it.
    fn ttl_of_run(&self, id: &Arc<str>, live: Duration) -> Duration {
        let late = jiff::SignedDuration::try_from(LATE_ROWS).unwrap_or_default();
        let ended = |run: &Run, asked: Instant| {
            run.status.is_terminal()
                && match run.completed_at {
                    Some(at) => at < jiff::Timestamp::now() - late,
                    // It had ended when that was asked: so much is known.
                    None => asked.elapsed() > LATE_ROWS,
                }
        };
        let detail = self.known.run.last(id);
        let listing = self.known.runs.last(&());
        let item = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        // Either may be from when the run was alive.
        let has_ended = detail.is_some_and(|(row, asked)| ended(&row.value, asked))
            || item.is_some_and(|item| ended(&item.row.value, item.asked));
        if has_ended { FOR_EVER } else { live }
    }

    /// The lists exist, and so does the archive of a version that is listed as
    /// one with files: "not found" is trouble with them, and must not make
    /// names vanish.
    fn unless_it_exists(&self, want: &Want, error: Error) -> Error {
        let (exists, detail) = match want {
            Want::Agents | Want::Runs | Want::Storages(_) => (true, "; is --api-url right?"),
            Want::Content(kind, id, version) => {
                let versions = self.known.versions.last(&(*kind, id.clone()));
                let listed = versions.is_none_or(|(versions, _)| versions.get(version).is_some());
                (listed, ", although the version is listed as one with files")
            }
            _ => (false, ""),
        };
        if !exists || !error.is_not_found() && error.status() != Some(404) {
            return error;
        }
        Error::BadAnswer {
            what: want.to_string(),
            detail: format!("{error}{detail}"),
        }
    }
}

/// What `--offline` answers instead of asking.
fn offline() -> Error {
    Error::Transport(Arc::new(TransportError {
        request: "the API".into(),
        kind: TransportKind::Connect,
        message: "not asked: this mount is offline (--offline)".into(),
    }))
}

pub(super) fn put_listing<K: Hash + Eq + Clone, T: Named>(
    cache: &Cache<K, Listing<T>>,
    key: K,
    rows: Vec<Row<T>>,
    asked: Instant,
    ttl: Duration,
) {
    let listing = Listing::new(rows, asked);
    let weight = listing.weight();
    cache.put(key, listing, asked, ttl, weight);
}

fn row_weight<T>(row: &Row<T>) -> usize {
    2 * row.raw.get().len() + 128
}
