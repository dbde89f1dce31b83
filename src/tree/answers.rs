//! The answers of the API: what is known, how fresh it is, and how it is asked for
//! again.
//!
//! Each endpoint is a [`resource`] with a file in [`resources`]; what is done with the
//! answers of all of them is in [`one_answer`].

mod breaker;
mod failure_log;
mod listing;
mod one_answer;
mod persisted;
mod resource;
mod resources;
mod service;
mod value;

pub(crate) use self::{
    breaker::is_unreachable,
    failure_log::FailureLog,
    listing::{Item, Listing, Named},
    resource::{FetchLogs, Fetched},
    resources::*,
    service::Service,
};

use crate::{
    api::{
        Client,
        types::{self, Row, RunStatus, StorageKind},
    },
    error::{Error, Result, TransportKind},
    progress::Progress,
    store::AnswerStore,
    tree::{
        cache::{FOR_EVER, Lookup},
        logs::Logs,
        node::names::escape,
    },
};
use breaker::State;
use one_answer::AnyAnswer;
use persisted::Persisted;
use resource::Fetch;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use value::Value;

/// How long an answer on a live run is fresh: long enough for the `stat`, `open`,
/// `read` of one command to agree, short enough that a process which follows a log
/// sees a new line within two seconds.
pub(crate) const LIVE_TTL: Duration = Duration::from_secs(2);

/// Log rows can still arrive for some seconds after a run has ended.
const LATE_ROWS: Duration = Duration::from_secs(30);

/// Whether an older answer may be shown instead: the service was not reached or is in
/// trouble, as opposed to having given a clear answer.
pub(crate) fn is_outage(error: &Error) -> bool {
    match error {
        Error::Transport(transport) => transport.kind != TransportKind::Forbidden,
        Error::Api(api) => {
            let gateways = api.status == 404 && !error.is_not_found();
            api.status >= 500 || api.status == 429 || gateways
        }
        Error::Timeout { .. } | Error::LetGo(_) | Error::BadAnswer { .. } | Error::NotV1 { .. } => {
            true
        }
        _ => false,
    }
}

/// All that the service has told, in memory and on disk.
pub(crate) struct Answers {
    caches: Caches,
    persisted: Persisted,
    service: Service,
    failures: FailureLog,
}

impl Answers {
    /// No answers but those that earlier mounts have left in the store.
    pub(crate) fn new(
        api: Client,
        store: Arc<AnswerStore>,
        list_ttl: Duration,
        offline: bool,
    ) -> Self {
        Self {
            caches: Caches::default(),
            persisted: Persisted::new(store),
            service: Service::new(api, list_ttl, offline),
            failures: FailureLog::default(),
        }
    }

    /// The way to the service.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// The failures for `.vm0fs/errors`.
    pub(crate) fn failures(&self) -> &FailureLog {
        &self.failures
    }
}

/// What is known, by resource.
impl Answers {
    /// What a request that arrived at `since` may use.
    pub(crate) fn get<R: Registered>(&self, key: &R::Key, since: Instant) -> Lookup<R::Value> {
        R::cache(&self.caches).get(key, since)
    }

    /// The last answer, however old, and when it was asked for.
    pub(crate) fn last<R: Registered>(&self, key: &R::Key) -> Option<(Arc<R::Value>, Instant)> {
        R::cache(&self.caches).last(key)
    }

    /// The answer, if it is one that cannot change any more.
    pub(crate) fn last_final<R: Registered>(&self, key: &R::Key) -> Option<Arc<R::Value>> {
        R::cache(&self.caches).last_for_good(key)
    }

    /// Ends the freshness of an answer that is older than `min_age` and was asked
    /// for before `since`.
    pub(crate) fn expire<R: Registered>(&self, key: &R::Key, since: Instant, min_age: Duration) {
        R::cache(&self.caches).expire(key, since, min_age);
    }

    /// Looks through the last answers, however old, for one.
    pub(crate) fn find<R: Registered>(
        &self,
        found: impl Fn(&R::Key, &R::Value) -> bool,
    ) -> Option<R::Key> {
        R::cache(&self.caches).find(found)
    }

    /// How many answers have come so far.
    pub(crate) fn count<R: Registered>(&self) -> u64 {
        R::cache(&self.caches).answers()
    }
}

/// Any answer.
impl Answers {
    /// Does something with an answer of any resource.
    pub(crate) fn with<T>(&self, key: &Key, act: impl FnOnce(&dyn AnyAnswer) -> T) -> T {
        self.caches.with(&self.persisted, key, act)
    }

    /// Asks the circuit breaker whether a fetch makes sense now, and finds out whether
    /// the service is back where the breaker says so.
    ///
    /// # Errors
    /// Why the service is not asked.
    pub(crate) fn admit(&self, progress: &Progress) -> Result<()> {
        let state = self.service.admit();
        match state.inspect_err(|error| self.failures.note("the network", error))? {
            State::Closed => Ok(()),
            State::Open(error) => Err(error),
            State::HalfOpen => {
                let probe = self.fetch(&Agents::key(()), progress, &no_logs);
                self.service.breaker.probed(probe.as_ref().err());
                probe.inspect_err(|error| {
                    let subject = match is_unreachable(error) {
                        true => "the network",
                        false => "the service",
                    };
                    self.failures.note(subject, error);
                })
            }
        }
    }

    /// Asks the service for an answer, and takes in what it says, in memory and on
    /// disk. The rows of logs are fetched by `logs`.
    ///
    /// # Errors
    /// What the call fails with.
    pub(crate) fn fetch(&self, key: &Key, progress: &Progress, logs: &FetchLogs<'_>) -> Result<()> {
        let fetch = Fetch {
            service: &self.service,
            progress,
            rest_lasts: &|run| self.rest_lasts(run),
            expect_version: &|artifact, version| self.expect_version(artifact, version),
            logs,
        };
        self.with(key, |answer| answer.fetch(&fetch))
    }
}

/// What several answers tell of one run or one storage.
impl Answers {
    /// Asks for a run.
    ///
    /// # Errors
    /// What the call fails with.
    pub(crate) fn fetch_run(&self, id: &Arc<str>, progress: &Progress) -> Result<()> {
        self.fetch(&Run::key(id.clone()), progress, &no_logs)
    }

    /// Takes in a run that another answer has told of.
    pub(crate) fn note_run(&self, row: Row<types::Run>, asked: Instant) {
        let id: Arc<str> = row.value.id.as_str().into();
        let lasts = match row.value.status.is_terminal() {
            true => FOR_EVER,
            false => self.service.list_ttl(),
        };
        let weight = row.weight();
        Runs::cache(&self.caches).amend(&(), |listing| {
            Listing::new(vec![row.clone()], asked).with_earlier(listing)
        });
        Run::cache(&self.caches).put(id.clone(), row, asked, lasts, weight);
        self.with(&Run::key(id), |answer| answer.persist());
    }

    /// The newest answer on a run, its own or a listing's row, and when that was
    /// asked for.
    pub(crate) fn newest_of(&self, id: &Arc<str>) -> Option<(Instant, Arc<Row<types::Run>>)> {
        let detail = self.last::<Run>(id).map(|(row, asked)| (asked, row));
        let listing = self.last::<Runs>(&());
        let item = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        let listed = item.map(|item| (item.asked, item.row.clone()));
        let newest = detail.into_iter().chain(listed);
        newest.max_by_key(|(asked, _)| *asked)
    }

    /// A run's status by the newest answer that tells it, and when that was asked
    /// for.
    pub(crate) fn standing(&self, id: &Arc<str>) -> Option<(Instant, RunStatus)> {
        let newest = self.newest_of(id);
        newest.map(|(asked, row)| (asked, row.value.status.clone()))
    }

    /// Whether a run is known to have ended.
    pub(crate) fn has_ended(&self, id: &Arc<str>) -> bool {
        let newest = self.newest_of(id);
        newest.is_some_and(|(_, row)| row.value.status.is_terminal())
    }

    /// How long logs and metrics that are asked for now stay fresh; `None` while
    /// the run lives. What is known of the run counts as it was before the
    /// call: a run that ends during it has more to say.
    pub(crate) fn rest_lasts(&self, id: &Arc<str>) -> Option<Duration> {
        let now = self.service.api().now();
        let ended = |run: &types::Run, asked: Instant| {
            let since = run.completed_at.map(|at| now.duration_since(at));
            let since = since.map(|since| Duration::try_from(since).unwrap_or_default());
            let is_terminal = run.status.is_terminal();
            // It had ended when that was asked: so much is known.
            is_terminal.then(|| since.unwrap_or(asked.elapsed()))
        };
        let detail = self.last::<Run>(id);
        let listing = self.last::<Runs>(&());
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

    /// The path component of a storage's name, where an answer has told it.
    pub(crate) fn name_of(&self, kind: StorageKind, id: &Arc<str>) -> Option<String> {
        let listing = self.last::<Storages>(&kind);
        let listed = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        if let Some(item) = listed {
            return Some(item.component.clone());
        }
        let (row, _) = self.last::<Storage>(&(kind, id.clone()))?;
        Some(escape(&row.value.name))
    }

    /// A run has stored a version of an artifact: lists from before do not show it.
    fn expect_version(&self, artifact: &str, version: &str) {
        let (kind, now) = (StorageKind::Artifact, Instant::now());
        let Some((listing, _)) = self.last::<Storages>(&kind) else {
            return;
        };
        let mut items = listing.items().iter();
        let Some(item) = items.find(|item| item.row.value.name == artifact) else {
            return self.expire::<Storages>(&kind, now, LIVE_TTL);
        };
        let key = (kind, item.id.clone());
        let versions = self.last::<Versions>(&key);
        if versions.is_some_and(|(versions, _)| versions.get(version).is_none()) {
            self.expire::<Versions>(&key, now, LIVE_TTL);
            self.expire::<Storages>(&kind, now, LIVE_TTL);
        }
    }
}

/// For a fetch that is not of a log.
fn no_logs(_: &Arc<str>, _: &Progress) -> Result<Fetched<Logs>> {
    Err(Error::Internal("no log was to be fetched".into()))
}
