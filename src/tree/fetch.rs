//! Fetches what operations miss, from the API or through the version store. The owner
//! of each kind keeps the outcome, or the failure, for the operations to find.

use crate::{
    error::{Error, Result},
    handover::Deadly,
    progress::Progress,
    store::Hold,
    tree::{
        answers::{Key, Versions, is_outage, is_unreachable},
        cache::Lookup,
        content::Download,
        crawlers::Caller,
        fetch_key::{FetchKey, Fetchable, Need},
        live::Event,
        node::VersionId,
        view::Tree,
    },
};
use std::time::{Duration, Instant};

/// How long after a failure no fetch is tried, so that the many requests of one `ls -l`
/// do not repeat it, but a user who tries again soon gets an answer.
const FAILURE_TTL: Duration = Duration::from_secs(2);
/// The same for a bad archive: archives are immutable, so another try helps only where
/// the archive was damaged on its way.
const BAD_ARCHIVE_TTL: Duration = Duration::from_secs(60);
/// The longest time that a rate limit's `Retry-After` is followed: it can be an hour,
/// and an administrator may raise the limit meanwhile.
const RATE_LIMIT_TTL: Duration = Duration::from_secs(60);

impl Tree {
    /// Fetches what `key` names, for a request that arrived at `since`. Operations that
    /// wait for it are to run again afterwards: they find what came, or why it did
    /// not. `arrived` is called whenever part of it can be used.
    ///
    /// The hold that this gives keeps fetched content from being evicted before those
    /// operations have run, as a cache that is too small would.
    pub fn fetch(
        &self,
        key: &FetchKey,
        since: Instant,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) -> Option<Hold> {
        // It may have come after the operation missed it.
        if self.is_settled(key, since) {
            return None;
        }
        if key.0 == Fetchable::Usage {
            self.content.measure(&self.answer_store);
            return None;
        }
        if !self.is_at_hand(key)
            && let Err(error) = self.answers.admit(progress)
        {
            self.recall_last(key);
            if key.is_order() {
                // The process that gave the order looks there for what came of it.
                self.answers.failures().note(&key.to_string(), &error);
            }
            self.set_failure(key, &error);
            return None;
        }
        tracing::debug!("fetching {key}");
        match self.bring(key, progress, arrived) {
            Ok(hold) => {
                // What was fetched may have got new inode numbers.
                self.save_numbers();
                hold
            }
            Err(error) => {
                if is_outage(&error) {
                    self.recall_last(key);
                }
                self.fail(key, &self.explain(key, error));
                None
            }
        }
    }

    /// Whether what is asked for can be made of what is on disk.
    fn is_at_hand(&self, key: &FetchKey) -> bool {
        let Fetchable::Content(version, need) = &key.0 else {
            return false;
        };
        match self.content.sealed(version) {
            Some(sealed) => *need == Need::Hashes && sealed.has_content(),
            None => self.content.awaits_proof(version),
        }
    }

    pub(super) fn bring(
        &self,
        key: &FetchKey,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) -> Result<Option<Hold>> {
        let service = self.answers.service();
        let brought = match &key.0 {
            Fetchable::Content(version, need) => {
                let brought = self.bring_content(version, need, progress, arrived);
                self.content.measure(&self.answer_store);
                return brought;
            }
            Fetchable::Stream(run) => {
                self.live.follow(&self.answers, run, progress);
                return Ok(None);
            }
            Fetchable::Answer(Key::RunLogs(run)) => {
                self.live.fetch_rows(&self.answers, run, progress)
            }
            Fetchable::Answer(key) => self.answers.fetch_any(key, progress),
            Fetchable::Order(control, order) => {
                let answers = &self.answers;
                self.orders.carry_out(control, *order, answers, progress)
            }
            Fetchable::Usage => return Ok(None),
        };
        service.note(brought).map(|()| None)
    }

    fn bring_content(
        &self,
        version: &VersionId,
        need: &Need,
        progress: &Progress,
        arrived: &(dyn Fn() + Sync),
    ) -> Result<Option<Hold>> {
        let service = self.answers.service();
        let versions = self.answers.of::<Versions>().last(&version.of());
        let url = || {
            // What was at hand may have turned out to be damaged, or another version.
            if service.is_offline() {
                self.answers.admit(progress)?;
            }
            let (kind, storage) = (version.kind, &version.storage);
            let api = service.api();
            service.note(api.download_url(kind, storage, &version.id, progress))
        };
        let download = Download {
            declared: versions
                .as_ref()
                .and_then(|(versions, _)| versions.get(&version.id)),
            name: self.answers.name_of(version.kind, &version.storage),
            url: &url,
            arrived,
        };
        self.content.fetch(version, need, &download, progress)
    }

    /// Whether a request that arrived at `since` needs no fetch of `key`: what it names
    /// is fresh, is on disk for good, or could not be fetched a moment ago.
    fn is_settled(&self, key: &FetchKey, since: Instant) -> bool {
        match &key.0 {
            Fetchable::Answer(key) => self.answers.is_settled(key, since),
            // The content itself is the store's.
            Fetchable::Content(version, need) => {
                self.content.failure(version, need, since).is_some()
            }
            Fetchable::Stream(run) => self.live.streams(run),
            Fetchable::Order(_, order) => {
                !matches!(self.orders.outcome(*order, since), Lookup::Missing)
            }
            Fetchable::Usage => !self.content.usage().1,
        }
    }

    fn recall_last(&self, key: &FetchKey) {
        if let Fetchable::Answer(key) = &key.0 {
            self.answers.recall_last(key);
        }
    }

    /// Notes that `key` could not be fetched, and reports it.
    pub fn fail(&self, key: &FetchKey, error: &Error) {
        let failures = self.answers.failures();
        if is_unreachable(error) && self.answers.service().is_away() && !key.is_order() {
            // One line for all calls while the service cannot be reached. For an
            // object store that cannot be reached each download has its own.
            failures.note("the network", error);
        } else if !error.is_not_found() {
            // A path that does not exist is an answer, not trouble.
            failures.note(&key.to_string(), error);
        }
        self.set_failure(key, error);
    }

    /// Fails `key`, whose fetch has killed workers, and reports that once.
    pub(crate) fn refuse(&self, key: &FetchKey, deadly: &Deadly) {
        let error = Error::from(deadly);
        if deadly.is_news {
            self.note_failure(&deadly.work, &error);
        }
        self.set_failure(key, &error);
    }

    /// Notes a failure that no fetch has met, for `.vm0fs/errors` and the log.
    pub fn note_failure(&self, subject: &str, error: &Error) {
        self.answers.failures().note(subject, error);
    }

    fn set_failure(&self, key: &FetchKey, error: &Error) {
        let lasts = match error {
            _ if error.is_not_found() => Some(self.answers.service().list_ttl()),
            Error::BadArchive { .. } | Error::Limit { .. } => Some(BAD_ARCHIVE_TTL),
            // The service has said when to ask again.
            Error::Api(api) if api.status == 429 => {
                let told = api.retry_after.map_or(FAILURE_TTL, Duration::from_secs);
                Some(told.clamp(FAILURE_TTL, RATE_LIMIT_TTL))
            }
            _ => None,
        };
        match &key.0 {
            Fetchable::Answer(key) => {
                let lasts = lasts.unwrap_or_else(|| match key {
                    // Followers of a log ask again by themselves.
                    Key::RunLogs(run) if !self.answers.has_ended(run) => {
                        self.live.decide(run, Event::RowsFailed, 1).lasts
                    }
                    _ => FAILURE_TTL,
                });
                self.answers.fail(key, error.clone(), lasts);
            }
            Fetchable::Content(version, need) => {
                let lasts = lasts.unwrap_or(FAILURE_TTL);
                self.content.fail(version, need, error, lasts);
            }
            Fetchable::Order(_, order) => self.orders.fail(*order, error),
            // No request waits for these: the next that wants them tries again.
            Fetchable::Stream(_) | Fetchable::Usage => {}
        }
    }

    /// Why the last fetch of an answer failed, if it did.
    pub fn last_failure(&self, key: &FetchKey) -> Option<Error> {
        match &key.0 {
            Fetchable::Answer(key) => self.answers.last_failure(key),
            _ => None,
        }
    }

    /// An error as it is reported. The lists exist, and so does the archive of a version
    /// that is listed with files: there "not found" is trouble, and must not make names
    /// vanish.
    fn explain(&self, key: &FetchKey, error: Error) -> Error {
        if !error.is_not_found() && error.status() != Some(404) {
            return error;
        }
        let detail = match &key.0 {
            Fetchable::Answer(key) if key.always_exists() => "; is --api-url right?",
            Fetchable::Content(version, _) if self.may_be_listed(version) => {
                ", although the version is listed as one with files"
            }
            _ => return error,
        };
        Error::BadAnswer {
            what: key.to_string(),
            detail: format!("{error}{detail}"),
        }
    }

    /// Whether a version is listed, as far as is known.
    fn may_be_listed(&self, version: &VersionId) -> bool {
        let versions = self.answers.of::<Versions>().last(&version.of());
        versions.is_none_or(|(versions, _)| versions.get(&version.id).is_some())
    }

    /// Whether the fetch of `key` would start a download.
    pub fn starts_download(&self, key: &FetchKey) -> bool {
        match &key.0 {
            Fetchable::Content(version, _) => self.content.partial(version).is_none(),
            _ => false,
        }
    }

    /// Decides whether a request may have `key` fetched, which starts a download or does
    /// not. `caller` is called only where the decision depends on the process.
    ///
    /// # Errors
    /// [`Error::Denied`] for a crawler.
    pub fn permit(
        &self,
        key: &FetchKey,
        starts_download: bool,
        caller: impl FnOnce() -> Caller,
    ) -> Result<()> {
        let failures = self.answers.failures();
        self.crawlers.permit(key, starts_download, caller, failures)
    }
}
