//! The answers of the API: what is known, how fresh it is, and how it is asked for
//! again.
//!
//! Each endpoint is a [`resource`] with a file in [`resources`]. Answers that can no
//! longer change are read from disk, or from the cache that the fleet shares, instead of
//! calling the service, all others only while the service cannot be reached.

mod failure_log;
mod listing;
mod outage;
mod resource;
mod resources;
mod service;
mod sharing;

pub(crate) use self::{
    failure_log::FailureLog,
    listing::{Listing, Named},
    outage::is_unreachable,
    resources::*,
    service::Service,
    sharing::Sharing,
};

use crate::{
    api::{
        Client,
        types::{self, Row, RunStatus, StorageKind},
    },
    breaker::State,
    error::{Error, Result, TransportKind},
    progress::Progress,
    store::AnswerStore,
    sync::Mutex,
    tree::{
        cache::{Cache, FOR_EVER, Lookup},
        node::names::escape,
    },
};
use lru::LruCache;
use resource::{Ask, Resource, Value};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

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

/// An answer that may change and is larger than this, in bytes, is written only once in
/// a [`PAUSE`]: a long listing changes with every live run, and its loss costs one call.
/// A smaller one is written whenever it has changed, or a worker that goes on in an outage
/// would show what was before what the last one has shown.
const SMALL: usize = 256 << 10;

/// How often a large answer that may change is written at most; one that has not changed is
/// written as often, since a user, or a full cache, may have removed it.
const PAUSE: Duration = Duration::from_secs(60);

/// How many times of writing are remembered. An answer whose time is forgotten is
/// written again, which costs little.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// An answer that was written: when, and by a hash what it was.
#[derive(Clone, Copy)]
struct Written {
    at: Instant,
    hash: u64,
}

impl Written {
    fn of(content: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self {
            at: Instant::now(),
            hash: hasher.finish(),
        }
    }
}

/// All that the service has told, in memory and on disk.
pub(crate) struct Answers {
    caches: Caches,
    store: Arc<AnswerStore>,
    sharing: Sharing,
    /// The answers that may change as they were last written to disk, by their names.
    written: Mutex<LruCache<String, Written>>,
    opened: Instant,
    service: Service,
    failures: FailureLog,
}

impl Answers {
    /// No answers but those that earlier mounts have left in the store, and those that
    /// other machines share; with the failures of earlier workers.
    pub(crate) fn new(
        api: Client,
        store: Arc<AnswerStore>,
        sharing: Sharing,
        list_ttl: Duration,
        offline: bool,
        failures: FailureLog,
    ) -> Self {
        Self {
            caches: Caches::default(),
            store,
            sharing,
            written: Mutex::new(LruCache::new(REMEMBERED)),
            opened: Instant::now(),
            service: Service::new(api, list_ttl, offline),
            failures,
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

    /// Forgets most of the answers in memory; those on disk are read again.
    pub(crate) fn shed(&self) {
        self.caches.shed();
    }

    /// The answers of a resource in memory.
    pub(crate) fn of<R: Registered>(&self) -> &Cache<R::Key, R::Value> {
        R::cache(&self.caches)
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
                let probe = self.fetch::<Agents>(&(), progress);
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
}

/// An answer of any resource.
impl Answers {
    /// Whether it needs no fetch for a request that arrived at `since`: it is fresh,
    /// for good on disk, or a fetch failed a moment ago.
    pub(crate) fn is_settled(&self, key: &Key, since: Instant) -> bool {
        of_resource!(key, |R, key| {
            !matches!(self.of::<R>().get(key, since), Lookup::Missing)
                || R::STORES_FINAL_ONLY
                    && (self.recall::<R>(key, Instant::now(), FOR_EVER)
                        || self.recall_shared::<R>(key))
        })
    }

    /// Why the last fetch failed, if no answer came after it.
    pub(crate) fn last_failure(&self, key: &Key) -> Option<Error> {
        of_resource!(key, |R, key| self.of::<R>().last_failure(key))
    }

    /// Notes that a fetch has failed, and that none is to follow for `lasts`.
    pub(crate) fn fail(&self, key: &Key, error: Error, lasts: Duration) {
        let now = Instant::now();
        of_resource!(key, |R, key| self.of::<R>().fail(key, error, now, lasts));
    }

    /// Asks the service, and keeps the answer in memory and on disk.
    ///
    /// # Errors
    /// What the call fails with.
    pub(crate) fn fetch_any(&self, key: &Key, progress: &Progress) -> Result<()> {
        of_resource!(key, |R, key| self.fetch::<R>(key, progress))
    }

    /// Reads the last answer from disk where memory has none, to be shown while the
    /// service cannot be reached.
    pub(crate) fn recall_last(&self, key: &Key) {
        of_resource!(key, |R, key| self.recall_older::<R>(key));
    }
}

/// An answer of a resource.
impl Answers {
    /// Asks the service, and keeps the answer in memory and on disk.
    ///
    /// # Errors
    /// What the call fails with.
    pub(crate) fn fetch<R: Registered>(&self, key: &R::Key, progress: &Progress) -> Result<()> {
        if R::CONTINUES {
            // What an earlier mount has fetched need not be fetched again.
            self.recall_older::<R>(key);
        }
        let asked = Instant::now();
        let ask = Ask {
            service: &self.service,
            progress,
            asked,
            earlier: self.of::<R>().last(key).map(|(value, _)| value),
            rest_lasts: &|run| self.rest_lasts(run),
        };
        let (value, lasts) = R::fetch(key, &ask)?;
        // Before the answer is seen: a process that sees it may read the lists next.
        if let Some((artifact, version)) = R::stored_version(&value) {
            self.expect_version(artifact, version);
        }
        self.of::<R>().merge(key.clone(), asked, lasts, |earlier| {
            let value = match earlier {
                Some(earlier) => R::merge(value, earlier),
                None => value,
            };
            let weight = value.weight();
            (value, weight)
        });
        self.persist::<R>(key);
        Ok(())
    }

    /// Keeps an answer that did not come by [`Self::fetch`], in memory and on disk.
    pub(crate) fn keep<R: Registered>(
        &self,
        key: &R::Key,
        value: impl Into<Arc<R::Value>>,
        asked: Instant,
        lasts: Duration,
    ) {
        let value = value.into();
        let weight = value.weight();
        self.of::<R>().put(key.clone(), value, asked, lasts, weight);
        self.persist::<R>(key);
    }

    fn recall_older<R: Registered>(&self, key: &R::Key) {
        if !R::STORES_FINAL_ONLY && self.of::<R>().last(key).is_none() {
            // Before every request, so that none takes it for fresh.
            let long_ago = self.opened - Duration::from_nanos(1);
            self.recall::<R>(key, long_ago, Duration::ZERO);
        }
    }

    /// Reads an answer from disk, as one that was asked for at `asked`. Whether there is
    /// one.
    fn recall<R: Registered>(&self, key: &R::Key, asked: Instant, lasts: Duration) -> bool {
        let content = self.store.get(&R::stored_name(key));
        content.is_some_and(|content| self.take::<R>(key, &content, asked, lasts))
    }

    /// Takes an answer that another machine has shared, and keeps it on disk. There is
    /// none of a run that lives: where the last answer is known, it is of one.
    fn recall_shared<R: Registered>(&self, key: &R::Key) -> bool {
        let name = R::stored_name(key);
        let content = match self.of::<R>().last(key) {
            None => self.sharing.get(&name),
            Some(_) => None,
        };
        content.is_some_and(|content| {
            let taken = self.take::<R>(key, &content, Instant::now(), FOR_EVER);
            match taken {
                true => self.store.put(&name, &content),
                false => self.sharing.give_up(&name),
            }
            taken
        })
    }

    /// Takes in an answer as it was written to disk, if it is one.
    fn take<R: Registered>(
        &self,
        key: &R::Key,
        content: &[u8],
        asked: Instant,
        lasts: Duration,
    ) -> bool {
        let Some(value) = R::Value::decode(content, asked) else {
            return false;
        };
        let weight = value.weight();
        self.of::<R>().put(key.clone(), value, asked, lasts, weight);
        tracing::debug!("{} comes from the cache", R::title(key));
        true
    }

    /// Writes an answer to disk, unless it may change and need not be written yet, and
    /// shares it if it cannot.
    fn persist<R: Registered>(&self, key: &R::Key) {
        let (cache, name) = (self.of::<R>(), R::stored_name(key));
        if R::STORES_FINAL_ONLY {
            let value = cache.last_for_good(key);
            if let Some(content) = value.and_then(|value| value.encode()) {
                self.store.put(&name, &content);
                self.sharing.put(&name, content);
            }
            return;
        }
        let Some((value, _)) = cache.last(key) else {
            return;
        };
        let last = self.written.lock().get(&name).copied();
        let is_late = last.is_none_or(|last| last.at.elapsed() >= PAUSE);
        if !is_late && value.weight() > SMALL {
            return;
        }
        let Some(content) = value.encode() else {
            return;
        };
        let now = Written::of(&content);
        if is_late || last.is_some_and(|last| last.hash != now.hash) {
            self.store.put(&name, &content);
            self.written.lock().put(name, now);
        }
    }
}

/// What several answers tell of one run or one storage.
impl Answers {
    /// Takes in a run that another answer has told of.
    pub(crate) fn note_run(&self, row: Row<types::Run>, asked: Instant) {
        let id: Arc<str> = row.value.id.as_str().into();
        let lasts = match row.value.status.is_terminal() {
            true => FOR_EVER,
            false => self.service.list_ttl(),
        };
        self.of::<Runs>().amend(&(), |listing| {
            Listing::new(vec![row.clone()], asked).with_earlier(listing)
        });
        self.keep::<Run>(&id, row, asked, lasts);
    }

    /// What is known of a run, by its own answer and by a listing's row, and when each was
    /// asked for.
    pub(crate) fn told_of(&self, id: &Arc<str>) -> [Option<(Arc<Row<types::Run>>, Instant)>; 2] {
        let listing = self.of::<Runs>().last(&());
        let item = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        let listed = item.map(|item| (item.row.clone(), item.asked));
        [self.of::<Run>().last(id), listed]
    }

    /// The newest of that.
    pub(crate) fn newest_of(&self, id: &Arc<str>) -> Option<(Arc<Row<types::Run>>, Instant)> {
        let told = self.told_of(id).into_iter().flatten();
        told.max_by_key(|(_, asked)| *asked)
    }

    /// A run's status by the newest answer that tells it, and when that was asked
    /// for.
    pub(crate) fn standing(&self, id: &Arc<str>) -> Option<(Instant, RunStatus)> {
        let newest = self.newest_of(id);
        newest.map(|(row, asked)| (asked, row.value.status.clone()))
    }

    /// Whether a run is known to have ended.
    pub(crate) fn has_ended(&self, id: &Arc<str>) -> bool {
        let newest = self.newest_of(id);
        newest.is_some_and(|(row, _)| row.value.status.is_terminal())
    }

    /// How long logs and metrics that are asked for now stay fresh; `None` while
    /// the run lives. What is known of the run counts as it was before the
    /// call: a run that ends during it has more to say.
    pub(crate) fn rest_lasts(&self, id: &Arc<str>) -> Option<Duration> {
        let now = self.service.api().now();
        let ended = |(row, asked): (Arc<Row<types::Run>>, Instant)| {
            let run = &row.value;
            let since = run.completed_at.map(|at| now.duration_since(at));
            let since = since.map(|since| Duration::try_from(since).unwrap_or_default());
            let is_terminal = run.status.is_terminal();
            // It had ended when that was asked: so much is known.
            is_terminal.then(|| since.unwrap_or(asked.elapsed()))
        };
        // Either may be from when the run was alive.
        let ago = self
            .told_of(id)
            .into_iter()
            .flatten()
            .filter_map(ended)
            .max()?;
        match ago >= LATE_ROWS {
            true => Some(FOR_EVER),
            // Late rows come soon or not at all.
            false => Some(LIVE_TTL.max(2 * ago)),
        }
    }

    /// The path component of a storage's name, where an answer has told it.
    pub(crate) fn name_of(&self, kind: StorageKind, id: &Arc<str>) -> Option<String> {
        if let Some((listing, _)) = self.of::<Storages>().last(&kind)
            && let Some(item) = listing.id(id)
        {
            return Some(item.component.clone());
        }
        let (row, _) = self.of::<Storage>().last(&(kind, id.clone()))?;
        Some(escape(&row.value.name))
    }

    /// A run has stored a version of an artifact: lists from before do not show it.
    fn expect_version(&self, artifact: &str, version: &str) {
        let (kind, now) = (StorageKind::Artifact, Instant::now());
        let Some((listing, _)) = self.of::<Storages>().last(&kind) else {
            return;
        };
        let mut items = listing.items().iter();
        let Some(item) = items.find(|item| item.row.value.name == artifact) else {
            return self.of::<Storages>().expire(&kind, now, LIVE_TTL);
        };
        let key = (kind, item.id.clone());
        let versions = self.of::<Versions>().last(&key);
        if versions.is_some_and(|(versions, _)| versions.get(version).is_none()) {
            self.of::<Versions>().expire(&key, now, LIVE_TTL);
            self.of::<Storages>().expire(&kind, now, LIVE_TTL);
        }
    }
}
