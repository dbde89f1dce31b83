//! What is known of an object, as fresh as the request needs it.

use crate::{
    api::types::{self, Row, StorageKind, StorageVersion},
    conversation::transcript::Head,
    error::Error,
    store::Version,
    tree::{
        answers::{
            Agent, Agents, LIVE_TTL, Listing, Named, Registered, Run, RunLogs, Runs, Storage,
            Storages, Versions, is_outage,
        },
        cache::{FOR_EVER, Lookup, for_good},
        content::Files,
        fetch_key::{Answer, FetchKey, Fetchable, Miss, Need},
        live::{Event, Show, conclude},
        logs::{LogView, Logs},
        node::{Node, Object, RunFile, VersionId},
        view::{Tree, View},
    },
};
use std::{sync::Arc, time::Duration};

/// An answer that is fresh enough, and how long it stays so.
type Fresh<T> = Answer<(Arc<T>, Duration)>;

impl View<'_> {
    /// An answer of a resource.
    pub(super) fn need<R: Registered>(&self, key: &R::Key) -> Fresh<R::Value> {
        let known = self.tree.answers.of::<R>();
        match known.get(key, self.since) {
            Lookup::Fresh(value, left) => Ok((value, left)),
            _ if self.any_age
                && let Some((value, _)) = known.last(key) =>
            {
                Ok((value, Duration::ZERO))
            }
            Lookup::Failed(error) => Err(error.into()),
            Lookup::Missing => Err(Miss::Fetch(FetchKey::of::<R>(key.clone()))),
        }
    }

    /// As [`Self::need`], but in an outage the last answer is shown.
    pub(super) fn need_or_last<R: Registered>(&self, key: &R::Key) -> Fresh<R::Value> {
        let known = self.tree.answers.of::<R>();
        let last = || known.last(key).map(|(value, _)| (value, Duration::ZERO));
        // While the service cannot be reached, the last answer is shown at once. A
        // fetch that no request waits for finds out whether the service is back.
        if self.is_away()
            && !matches!(known.get(key, self.since), Lookup::Fresh(..))
            && let Some(last) = last()
        {
            self.wish(FetchKey::of::<R>(key.clone()));
            return Ok(last);
        }
        match self.need::<R>(key) {
            Err(Miss::Error(error)) if is_outage(&error) => last().ok_or(error.into()),
            answer => answer,
        }
    }

    /// Whether the service cannot be reached, or is never called.
    pub(in crate::tree) fn is_away(&self) -> bool {
        self.tree.answers.service().is_away()
    }

    /// How long listings and live objects are fresh.
    pub(super) fn list_ttl(&self) -> Duration {
        self.tree.answers.service().list_ttl()
    }

    /// The log of a run, and whether it is final.
    pub(in crate::tree) fn logs(&self, id: &Arc<str>) -> Answer<(Arc<Logs>, bool)> {
        let (answers, known) = (&self.tree.answers, self.tree.answers.of::<RunLogs>());
        let may_ask = !(self.any_age || self.is_away());
        let (logs, is_final) = if let Some(logs) = known.last_for_good(id) {
            (logs, true)
        } else {
            // What was asked for while the run lived is not the last word on it.
            if may_ask && answers.rest_lasts(id) == Some(FOR_EVER) {
                known.expire(id, self.since, Duration::ZERO);
            }
            if may_ask && !answers.has_ended(id) {
                match self.follow(id, Event::LogRead) {
                    Show::Last if let Some((logs, _)) = known.last(id) => return Ok((logs, false)),
                    Show::Anew => known.expire(id, self.since, Duration::ZERO),
                    Show::Last | Show::Fresh => {}
                }
            }
            let (logs, left) = self.need_or_last::<RunLogs>(id)?;
            (logs, for_good(left))
        };
        if is_final {
            conclude(answers, id, &logs);
        }
        Ok((logs, is_final))
    }

    /// Notes what a process reads of a live run. Gives which answer it is shown.
    fn follow(&self, id: &Arc<str>, event: Event<'_>) -> Show {
        let slowdown = self.tree.answers.service().slowdown();
        let decision = self.tree.live.decide(id, event, slowdown);
        if decision.open_stream {
            self.wish(FetchKey(Fetchable::Stream(id.clone())));
        }
        decision.show
    }

    /// The log of a run as one of its files shows it, and whether it is final.
    pub(super) fn log_file(&self, id: &Arc<str>, view: LogView) -> Answer<(Arc<Logs>, bool)> {
        let (logs, is_final) = self.logs(id)?;
        if view == LogView::Transcript {
            let (row, _) = self.run(id, Show::Last)?;
            logs.introduce(|| Head {
                run: row.value.id.clone(),
                agent: row.value.agent_name.clone(),
                created: row.value.created_at,
                prompt: row.value.prompt.clone(),
            });
        }
        Ok((logs, is_final))
    }

    /// The object of an id.
    fn item<L, R, T>(&self, list: &L::Key, key: &R::Key, id: &str) -> Fresh<Row<T>>
    where
        L: Registered<Value = Listing<T>>,
        R: Registered<Value = Row<T>>,
        T: Named,
    {
        // A listing that has shown it once is what refreshes it.
        let last = self.tree.answers.of::<L>().last(list);
        if last.is_some_and(|(last, _)| last.id(id).is_some()) {
            let (listing, left) = self.need_or_last::<L>(list)?;
            if let Some(item) = listing.id(id) {
                return Ok((item.row.clone(), left));
            }
        }
        self.need_or_last::<R>(key)
    }

    pub(super) fn agent_item(&self, id: &Arc<str>) -> Fresh<Row<types::Agent>> {
        self.item::<Agents, Agent, _>(&(), id, id)
    }

    /// The id of the storage's current version and the like may be as old as a listing.
    pub(super) fn storage_item(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
    ) -> Fresh<Row<types::Storage>> {
        self.item::<Storages, Storage, _>(&kind, &(kind, id.clone()), id)
    }

    /// A run, from its own answer or from a listing's row.
    pub(super) fn run(&self, id: &Arc<str>, show: Show) -> Fresh<Row<types::Run>> {
        let answers = &self.tree.answers;
        let [detail, listed] = answers.told_of(id);
        let is_listed = listed.is_some();
        let ended = |row: &Row<types::Run>| row.value.status.is_terminal();
        if let Some((row, _)) = detail.iter().chain(&listed).find(|(row, _)| ended(row)) {
            return Ok((row.clone(), FOR_EVER));
        }
        let told = detail.into_iter().chain(listed);
        let newest = told.max_by_key(|(_, asked)| *asked);
        if let Some((row, asked)) = newest {
            let mut left = self.list_ttl().saturating_sub(asked.elapsed());
            if left.is_zero() && self.tree.live.streams(id) {
                // The stream tells each change.
                left = LIVE_TTL;
            }
            let is_good = !left.is_zero() && show != Show::Anew;
            if show == Show::Last || is_good || asked >= self.since {
                return Ok((row, left));
            }
        }
        if show == Show::Anew {
            match is_listed {
                true => answers.of::<Runs>().expire(&(), self.since, LIVE_TTL),
                false => answers.of::<Run>().expire(id, self.since, LIVE_TTL),
            }
        }
        // One listing refreshes every live run, so it comes before a call for one.
        if is_listed {
            let (listing, left) = self.need::<Runs>(&())?;
            if let Some(item) = listing.id(id)
                && (item.asked >= self.since
                    || item.asked.elapsed() < self.list_ttl()
                    || ended(&item.row))
            {
                return Ok((item.row.clone(), left));
            }
        }
        self.run_detail(id, Show::Fresh)
    }

    /// A run with what only its own answer holds, never one from before the last change
    /// of status that is known.
    pub(super) fn run_detail(&self, id: &Arc<str>, show: Show) -> Fresh<Row<types::Run>> {
        let answers = &self.tree.answers;
        let last = answers.of::<Run>().last(id);
        let may_ask = !(self.any_age || self.is_away());
        if may_ask && let Some((row, _)) = &last {
            if answers
                .standing(id)
                .is_none_or(|(_, status)| status != row.value.status)
            {
                answers.of::<Run>().expire(id, self.since, Duration::ZERO);
            } else if show == Show::Anew {
                answers.of::<Run>().expire(id, self.since, LIVE_TTL);
            }
        }
        match self.need::<Run>(id) {
            Err(Miss::Error(error))
                if is_outage(&error)
                    && let Some((row, asked)) = last
                    && asked.elapsed() < self.list_ttl() =>
            {
                Ok((row, Duration::ZERO))
            }
            answer => answer,
        }
    }

    /// Notes that a process reads a file that shows a run's status: again and again,
    /// that is following. Gives how new the run must be that the file is made of.
    pub(super) fn read_status(&self, id: &Arc<str>, file: RunFile) -> Show {
        let answers = &self.tree.answers;
        if self.any_age || self.is_away() || answers.has_ended(id) {
            return Show::Fresh;
        }
        let known = answers.standing(id);
        self.follow(id, Event::StatusRead(file, self.since, known.as_ref()))
    }

    /// A version's row. Versions are immutable: one that was ever seen is known.
    /// For one that the list may have skipped, an empty row: lookup has made
    /// sure that it exists.
    pub(super) fn version_row(&self, version: &VersionId) -> Answer<StorageVersion> {
        if let Some((versions, _)) = self.tree.answers.of::<Versions>().last(&version.of())
            && let Some(row) = versions.get(&version.id)
        {
            return Ok(row.clone());
        }
        let (versions, _) = self.need_or_last::<Versions>(&version.of())?;
        if let Some(row) = versions.get(&version.id) {
            return Ok(row.clone());
        }
        if !versions.may_lack(&version.id) {
            return Err(Error::NotFound(format!("version {}", version.id)).into());
        }
        // Its archive tells whether it exists; nothing tells what its row says.
        let (storage, _) = self.storage_item(version.kind, &version.storage)?;
        Ok(StorageVersion {
            id: version.id.to_string(),
            size: None,
            file_count: None,
            message: None,
            created_by: None,
            created_at: storage.value.created_at,
        })
    }

    /// The files of a version: fetched where its tree is not on disk.
    pub(super) fn files(&self, version: &VersionId) -> Answer<Files> {
        if let Some(files) = self.tree.content.files(version) {
            match &files {
                Files::Sealed(sealed) => {
                    self.note_sealed(sealed);
                    self.keep_numbers(version, sealed)?;
                }
                Files::Partial(partial) => {
                    let known = self.tree.inodes.nodes_of(&Object::Version(version.clone()));
                    if known.is_some_and(|known| !partial.has_numbers_of(&known)) {
                        // Only its end tells whether it is the archive of these numbers.
                        return Err(self.content_miss(version));
                    }
                }
                Files::None => {}
            }
            return Ok(files);
        }
        if self.version_row(version)?.file_count == Some(0) {
            return Ok(Files::None);
        }
        Err(self.content_miss(version))
    }

    /// Compares the numbers of a version that is first shown with those that the kernel knows
    /// of it.
    ///
    /// # Errors
    /// ESTALE where they were others: the kernel has the paths looked up again.
    pub(super) fn keep_numbers(&self, version: &VersionId, sealed: &Version) -> Answer<()> {
        let mut is_good = true;
        sealed.when_first_shown(|| {
            let object = Object::Version(version.clone());
            is_good = self.tree.inodes.keep(&object, sealed.numbers());
        });
        if is_good {
            return Ok(());
        }
        let id = &version.id;
        tracing::info!(%id, "the version's files are numbered otherwise than they were");
        Err(Error::Stale.into())
    }

    /// The sealed version that a node lies in, with the hashes of its files; `None` for one
    /// without files.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is in no version, and what the fetch fails with.
    pub fn version(&self, ino: u64) -> Answer<Option<Arc<Version>>> {
        let Node::Entry(version, _) = self.node(ino)? else {
            return Err(Error::Invalid("is in no version".into()).into());
        };
        match self.files(&version)? {
            Files::None => Ok(None),
            Files::Sealed(sealed) if sealed.index().lacks_digests() => {
                Err(self.miss(&version, Need::Hashes))
            }
            Files::Sealed(sealed) => Ok(Some(sealed)),
            Files::Partial(_) => Err(self.content_miss(&version)),
        }
    }

    /// What an operation answers that needs files which are not on disk.
    pub(super) fn content_miss(&self, version: &VersionId) -> Miss {
        self.miss(version, Need::Open)
    }

    /// What an operation answers that needs more of a version's files than is on disk.
    pub(super) fn miss(&self, version: &VersionId, need: Need) -> Miss {
        match self.tree.content.failure(version, &need, self.since) {
            Some(error) => Miss::Error(error),
            None => Miss::Fetch(FetchKey::content(version, need)),
        }
    }
}

impl Tree {
    /// Why a run has failed, as far as it is known without asking: what the run
    /// itself says, else what its stream has told.
    pub fn why_failed(&self, id: &str) -> Option<Arc<str>> {
        let own = self.answers.of::<Run>().last(&id.into());
        let own = own.and_then(|(row, _)| row.value.error.as_deref().map(Arc::from));
        own.filter(|error: &Arc<str>| !error.is_empty())
            .or_else(|| self.live.reason(id))
    }
}
