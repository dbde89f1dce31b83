//! Brings what is wanted, from the API or through the version store, and keeps
//! the answer, or the failure, where operations find it.

use crate::{
    api::types::{Row, Run, StorageKind},
    error::{Error, Result, TransportError, TransportKind},
    progress::Progress,
    store::{FetchRequest, Hold, VersionKey},
    tree::{
        Tree, Want,
        answers::{
            breaker::{Outage, Way},
            known::{Versions, Visit},
            listing::{Listing, Named},
        },
        cache::{Cache, FOR_EVER, Lookup},
        live::follow::LIVE_TTL,
        metrics::Metrics,
        ops::rows::is_outage,
    },
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
/// Metrics of a live run are shown this long without asking again: the service
/// takes a sample each 5 s.
const LIVE_METRICS_TTL: Duration = Duration::from_secs(5);
/// Log rows can still arrive for some seconds after a run has ended.
const LATE_ROWS: Duration = Duration::from_secs(30);

impl Tree {
    /// Brings `want` for a request that arrived at `since`. The outcome is kept
    /// either way; the operations that wait are to run again after it.
    /// Calls `arrived` whenever part of it can be used already.
    ///
    /// Content that it gives is to be held until they have run: in a cache that is
    /// too small for what is read, it would be evicted before.
    pub fn fetch(
        &self,
        want: &Want,
        since: Instant,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) -> Option<Hold> {
        // The answer may have come between the operation's look and this call.
        if self.settled(want, since) || self.recall_for_good(want) {
            return None;
        }
        if *want == Want::Usage {
            self.known.measure(&self.store, &self.shelf);
            return None;
        }
        if let Err(error) = self.way(progress) {
            self.recall_last(want);
            if want.is_order() {
                // Whoever gives one looks for what became of it.
                self.failures.note(&want.to_string(), &error);
            }
            self.set_failure(want, &error);
            return None;
        }
        let asked = Instant::now();
        tracing::debug!("fetching {want}");
        let mut hold = None;
        let brought = match want {
            Want::Follow(id) => {
                self.follow(id, progress);
                return None;
            }
            Want::Content(kind, id, version) => {
                let bring = || {
                    hold = self.bring_content(*kind, id, version, progress, arrived)?;
                    Ok(())
                };
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
        hold
    }

    /// Whether asking the API makes sense now; it is what finds that out.
    fn way(&self, progress: &Progress) -> Result<()> {
        if self.options.offline {
            let error = offline();
            self.failures.note("the network", &error);
            return Err(error);
        }
        match self.outage.way() {
            Way::Open => Ok(()),
            Way::Closed(error) => Err(error),
            Way::Probe => {
                let brought = self.bring(&Want::Agents, Instant::now(), progress);
                self.outage.probed(brought.as_ref().err());
                brought.inspect_err(|error| {
                    let network = Outage::is_one(error);
                    let subject = if network {
                        "the network"
                    } else {
                        "the service"
                    };
                    self.failures.note(subject, error);
                })
            }
        }
    }

    /// Passes on how a call of the API ended, and lets the outage know.
    pub(super) fn told<T>(&self, result: Result<T>) -> Result<T> {
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
        if Outage::is_one(error) && self.is_away() && !want.is_order() {
            // One line for all that cannot be asked while nobody is there. An
            // object store that is away is not the network.
            self.failures.note("the network", error);
        } else if !error.is_not_found() {
            self.failures.note(&want.to_string(), error);
        }
        self.set_failure(want, error);
    }

    fn set_failure(&self, want: &Want, error: &Error) {
        let lasts = match error {
            // An order is given once, whatever came of it.
            _ if want.is_order() => FOR_EVER,
            _ if error.is_not_found() => self.list_ttl(),
            Error::BadArchive { .. } | Error::Limit { .. } => BAD_ARCHIVE_TTL,
            // The service has said when to ask again.
            Error::Api(api) if api.status == 429 => api
                .retry_after
                .map_or(FAILURE_TTL, Duration::from_secs)
                .clamp(FAILURE_TTL, RATE_LIMIT_TTL),
            _ => match want {
                // Whoever follows it asks again by himself.
                Want::Logs(id) if !self.has_ended(id) => self.follows.asked(id, false),
                _ => FAILURE_TTL,
            },
        };
        struct Fail(Error, Duration);
        impl Visit for Fail {
            type Out = ();
            fn visit<K: Hash + Eq + Clone, T>(self, cache: &Cache<K, T>, key: K) {
                cache.fail(key, self.0, Instant::now(), self.1);
            }
        }
        self.known.visit(want, Fail(error.clone(), lasts));
    }

    /// Why asking for `want` failed, if that is the last that is known.
    pub fn last_failure(&self, want: &Want) -> Option<Error> {
        struct LastFailure;
        impl Visit for LastFailure {
            type Out = Option<Error>;
            fn visit<K: Hash + Eq + Clone, T>(self, cache: &Cache<K, T>, key: K) -> Self::Out {
                cache.last_failure(&key)
            }
        }
        self.known.visit(want, LastFailure)
    }

    /// Whether any list of agents is known, be it from an earlier mount.
    pub fn knows_agents(&self) -> bool {
        self.known.agents.last(&()).is_some()
    }

    /// Whether the run is known to have ended.
    pub(super) fn has_ended(&self, id: &Arc<str>) -> bool {
        let status = self.known.status(id);
        status.is_some_and(|status| status.is_terminal())
    }

    fn settled(&self, want: &Want, since: Instant) -> bool {
        struct Settled(Instant);
        impl Visit for Settled {
            type Out = (bool, bool);
            fn visit<K: Hash + Eq + Clone, T>(self, cache: &Cache<K, T>, key: K) -> Self::Out {
                let lookup = cache.get(&key, self.0);
                let failed = matches!(lookup, Lookup::Failed(_));
                (failed, failed || matches!(lookup, Lookup::Fresh(..)))
            }
        }
        let (failed, settled) = self.known.visit(want, Settled(since));
        match want {
            // The content itself is the store's.
            Want::Content(..) => failed,
            Want::Follow(id) => failed || self.follows.streams(id),
            _ => settled,
        }
    }

    pub(super) fn bring(&self, want: &Want, asked: Instant, progress: &Progress) -> Result<()> {
        let (api, known) = (&self.api, &self.known);
        // As the answer has it, which tells what is left of the allowance.
        let list_ttl = || self.list_ttl();
        match want {
            Want::Agents => {
                put_listing(&known.agents, (), api.agents(progress)?, asked, list_ttl())
            }
            Want::Storages(kind) => {
                let rows = api.storages(*kind, progress)?;
                put_listing(&known.storages, *kind, rows, asked, list_ttl());
            }
            Want::Runs => {
                // What an earlier mount knew need not be read again.
                if known.runs.last(&()).is_none() {
                    self.recall_last(want);
                }
                let earlier = known.runs.last(&());
                let items = earlier.iter().flat_map(|(listing, _)| listing.items());
                let listed = items.map(|item| &item.row.value).collect();
                let rows = api.runs_since(&listed, progress)?;
                let _relisting = known.relisting();
                // Runs do not vanish, and only what may have changed was asked. By
                // now the listing may have a run that was started meanwhile.
                let listing = match known.runs.last(&()) {
                    Some((earlier, _)) => Listing::with_earlier(rows, asked, &earlier),
                    None => Listing::new(rows, asked),
                };
                let weight = listing.weight();
                known.runs.put((), listing, asked, list_ttl(), weight);
            }
            Want::Agent(id) => {
                let row = api.agent(id, progress)?;
                let weight = row_weight(&row);
                known.agent.put(id.clone(), row, asked, list_ttl(), weight);
            }
            Want::AgentVersions(id) => {
                let rows = api.agent_versions(id, progress)?;
                let weight = rows.iter().map(|row| row.get().len()).sum();
                known
                    .agent_versions
                    .put(id.clone(), rows, asked, list_ttl(), weight);
            }
            Want::Run(id) => {
                let row = api.run(id, progress)?;
                let weight = row_weight(&row);
                let ttl = if row.value.status.is_terminal() {
                    FOR_EVER
                } else {
                    list_ttl()
                };
                self.note_artifact(&row.value);
                known.run.put(id.clone(), row, asked, ttl, weight);
            }
            Want::Logs(id) => self.bring_logs(id, progress)?,
            Want::Metrics(id) => {
                let ttl = self.rest_lasts(id).unwrap_or(LIVE_METRICS_TTL);
                let metrics = Metrics::new(api.run_metrics(id, progress)?);
                let weight = metrics.weight();
                known.metrics.put(id.clone(), metrics, asked, ttl, weight);
            }
            Want::Storage(kind, id) => {
                let row = api.storage(*kind, id, progress)?;
                let weight = row_weight(&row);
                known
                    .storage
                    .put((*kind, id.clone()), row, asked, list_ttl(), weight);
            }
            Want::Versions(kind, id) => {
                let rows = api.storage_versions(*kind, id, progress)?;
                let key = (*kind, id.clone());
                let earlier = known.versions.last(&key);
                let versions = Versions::new(rows, earlier.as_ref().map(|(earlier, _)| &**earlier));
                let weight = versions.weight();
                known.versions.put(key, versions, asked, list_ttl(), weight);
            }
            Want::Start(_, order) | Want::Cancel(_, order) => {
                self.carry_out(want, *order, asked, progress)?;
            }
            // Not an answer of the API.
            Want::Usage | Want::Follow(_) | Want::Content(..) => {}
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
    ) -> Result<Option<Hold>> {
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
        let hold = fetched.hold();
        if let Some(name) = self.name_of(kind, id) {
            self.store.note_name(fetched.key(), &name);
        }
        let key = (kind, id.clone(), version.clone());
        // Takes back an earlier failure; the content itself is the store's.
        self.known.content.put(key, (), asked, Duration::ZERO, 0);
        Ok(hold)
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

    /// How long logs and metrics that are asked for now stay good; `None` while
    /// the run lives. What is known of the run counts as it was before the
    /// call: a run that ends during it has more to say.
    pub(super) fn rest_lasts(&self, id: &Arc<str>) -> Option<Duration> {
        let now = self.api.now();
        let ended = |run: &Run, asked: Instant| {
            let since = run.completed_at.map(|at| now.duration_since(at));
            let since = since.map(|since| Duration::try_from(since).unwrap_or_default());
            let is_terminal = run.status.is_terminal();
            // It had ended when that was asked: so much is known.
            is_terminal.then(|| since.unwrap_or(asked.elapsed()))
        };
        let detail = self.known.run.last(id);
        let listing = self.known.runs.last(&());
        let item = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        // Either may be from when the run was alive.
        let detail = detail.and_then(|(row, asked)| ended(&row.value, asked));
        let listed = item.and_then(|item| ended(&item.row.value, item.asked));
        let ago = detail.max(listed)?;
        match ago >= LATE_ROWS {
            true => Some(FOR_EVER),
            // Late rows come soon or not at all.
            false => Some(LIVE_TTL.max(2 * ago)),
        }
    }

    /// A run that has stored a version: lists from before do not show it.
    fn note_artifact(&self, run: &Run) {
        let (Some(name), Some(version)) = (&run.artifact_name, &run.artifact_version) else {
            return;
        };
        let (kind, now) = (StorageKind::Artifact, Instant::now());
        let known = &self.known;
        let Some((listing, _)) = known.storages.last(&kind) else {
            return;
        };
        let mut items = listing.items().iter();
        let item = items.find(|item| item.row.value.name == *name);
        let Some(item) = item else {
            return known.storages.expire(&kind, now, LIVE_TTL);
        };
        let key = (kind, item.id.clone());
        let versions = known.versions.last(&key);
        if versions.is_some_and(|(versions, _)| versions.get(version).is_none()) {
            known.versions.expire(&key, now, LIVE_TTL);
            known.storages.expire(&kind, now, LIVE_TTL);
        }
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
