//! What is known of an object, as fresh as the request needs it.

use crate::{
    api::types::{Agent, Row, Run, Storage, StorageKind, StorageVersion},
    conversation::transcript::Head,
    error::{Error, TransportKind},
    store::{PartialVersion, Version},
    tree::{
        Answer, Miss, View, Want,
        answers::{
            known::Versions,
            listing::{Item, Listing},
        },
        cache::{Cache, FOR_EVER, Lookup, for_good},
        live::follow::{LIVE_TTL, Look},
        logs::{LogView, Logs},
        metrics::Metrics,
        node::names::escape,
    },
};
use std::{hash::Hash, sync::Arc, time::Duration};

/// How new an answer must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// Within its lifetime: for what a user reads.
    Current,
    /// As old as it is: for attributes that only sort a listing.
    Any,
    /// Asked for now: for who follows without a stream. Where asking fails, what is
    /// within its lifetime has to do.
    Anew,
}

/// The files of a version.
pub(crate) enum Files {
    /// A version without files: an empty directory.
    None,
    /// A sealed version. Its content may be evicted; its tree is there.
    Sealed(Arc<Version>),
    /// A version whose archive is arriving: what has passed can be used.
    Growing(Arc<PartialVersion>),
}

/// Whether an older answer may stand in: the service was not reached, or the service is
/// in trouble, as opposed to it having given a clear answer.
pub(in crate::tree) fn is_outage(error: &Error) -> bool {
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

impl View<'_> {
    pub(in crate::tree) fn need<K: Hash + Eq + Clone, T>(
        &self,
        cache: &Cache<K, T>,
        key: &K,
        want: impl FnOnce() -> Want,
    ) -> Answer<(Arc<T>, Duration)> {
        match cache.get(key, self.since) {
            Lookup::Fresh(value, left) => Ok((value, left)),
            _ if self.whatever_is_known
                && let Some((value, _)) = cache.last(key) =>
            {
                Ok((value, Duration::ZERO))
            }
            Lookup::Failed(error) => Err(error.into()),
            Lookup::Missing => Err(Miss::Want(want())),
        }
    }

    /// As [`Self::need`], but in an outage the last answer is shown.
    pub(in crate::tree) fn need_or_last<K: Hash + Eq + Clone, T>(
        &self,
        cache: &Cache<K, T>,
        key: &K,
        want: impl FnOnce() -> Want,
    ) -> Answer<(Arc<T>, Duration)> {
        // With no service there, what is known is shown at once. Whether it is
        // there again is found out behind the answer's back.
        if self.tree.is_away()
            && !matches!(cache.get(key, self.since), Lookup::Fresh(..))
            && let Some((value, _)) = cache.last(key)
        {
            self.wishes.borrow_mut().push(want());
            return Ok((value, Duration::ZERO));
        }
        match self.need(cache, key, want) {
            Err(Miss::Error(error)) if is_outage(&error) => match cache.last(key) {
                Some((value, _)) => Ok((value, Duration::ZERO)),
                None => Err(error.into()),
            },
            answer => answer,
        }
    }

    pub(in crate::tree) fn agents(&self) -> Answer<(Arc<Listing<Agent>>, Duration)> {
        self.need_or_last(&self.tree.known.agents, &(), || Want::Agents)
    }

    pub(in crate::tree) fn runs(&self) -> Answer<(Arc<Listing<Run>>, Duration)> {
        self.need_or_last(&self.tree.known.runs, &(), || Want::Runs)
    }

    pub(in crate::tree) fn storages(
        &self,
        kind: StorageKind,
    ) -> Answer<(Arc<Listing<Storage>>, Duration)> {
        self.need_or_last(&self.tree.known.storages, &kind, || Want::Storages(kind))
    }

    pub(in crate::tree) fn versions(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
    ) -> Answer<(Arc<Versions>, Duration)> {
        let key = (kind, id.clone());
        self.need_or_last(&self.tree.known.versions, &key, || {
            Want::Versions(kind, id.clone())
        })
    }

    pub(in crate::tree) fn agent_detail(
        &self,
        id: &Arc<str>,
    ) -> Answer<(Arc<Row<Agent>>, Duration)> {
        self.need_or_last(&self.tree.known.agent, id, || Want::Agent(id.clone()))
    }

    /// The log of a run, and whether it is final.
    pub(in crate::tree) fn logs(&self, id: &Arc<str>) -> Answer<(Arc<Logs>, bool)> {
        let logs = &self.tree.known.logs;
        if let Some(logs) = logs.last_for_good(id) {
            self.tree.conclude(id, &logs);
            return Ok((logs, true));
        }
        let may_ask = !(self.whatever_is_known || self.tree.is_away());
        // What was asked for while the run lived is not the last word on it.
        if may_ask && self.tree.rest_lasts(id) == Some(FOR_EVER) {
            logs.expire(id, self.since, Duration::ZERO);
        }
        if may_ask && !self.tree.has_ended(id) {
            match self.tree.follows.look(id, self.tree.thrift()) {
                Look::Current => {
                    if let Some((logs, _)) = logs.last(id) {
                        return Ok((logs, false));
                    }
                }
                Look::Due => logs.expire(id, self.since, Duration::ZERO),
                Look::Unfollowed { begin: true } => {
                    self.wishes.borrow_mut().push(Want::Follow(id.clone()));
                }
                Look::Unfollowed { begin: false } => {}
            }
        }
        let (logs, left) = self.need_or_last(logs, id, || Want::Logs(id.clone()))?;
        if for_good(left) {
            self.tree.conclude(id, &logs);
        }
        Ok((logs, for_good(left)))
    }

    /// The log of a run as one of its files shows it, and whether it is final.
    pub(in crate::tree) fn log_file(
        &self,
        id: &Arc<str>,
        view: LogView,
    ) -> Answer<(Arc<Logs>, bool)> {
        let (logs, is_final) = self.logs(id)?;
        if view == LogView::Transcript {
            let (row, _) = self.run(id, Age::Any)?;
            logs.introduce(|| Head {
                run: row.value.id.clone(),
                agent: row.value.agent_name.clone(),
                created: row.value.created_at,
                prompt: row.value.prompt.clone(),
            });
        }
        Ok((logs, is_final))
    }

    pub(in crate::tree) fn metrics(&self, id: &Arc<str>) -> Answer<(Arc<Metrics>, Duration)> {
        self.need(&self.tree.known.metrics, id, || Want::Metrics(id.clone()))
    }

    /// The agent of an id, with its path component, and for how long.
    pub(in crate::tree) fn agent_item(
        &self,
        id: &Arc<str>,
    ) -> Answer<(String, Arc<Row<Agent>>, Duration)> {
        // A listing that has shown it once is what refreshes it.
        if let Some((last, _)) = self.tree.known.agents.last(&())
            && last.id(id).is_some()
        {
            let (listing, left) = self.agents()?;
            if let Some(item) = listing.id(id) {
                return Ok((item.component.clone(), item.row.clone(), left));
            }
        }
        let (row, left) = self.agent_detail(id)?;
        Ok((escape(&row.value.name), row, left))
    }

    /// The storage of an id, with its path component. The id of its current
    /// version and the like may be as old as the listing's TTL says.
    pub(in crate::tree) fn storage_item(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
    ) -> Answer<(String, Arc<Row<Storage>>, Duration)> {
        let known = &self.tree.known;
        if let Some((last, _)) = known.storages.last(&kind)
            && last.id(id).is_some()
        {
            let (listing, left) = self.storages(kind)?;
            if let Some(item) = listing.id(id) {
                return Ok((item.component.clone(), item.row.clone(), left));
            }
        }
        let key = (kind, id.clone());
        let (row, left) =
            self.need_or_last(&known.storage, &key, || Want::Storage(kind, id.clone()))?;
        Ok((escape(&row.value.name), row, left))
    }

    /// A run, from its own answer or from a listing's row, whichever serves.
    pub(in crate::tree) fn run(
        &self,
        id: &Arc<str>,
        age: Age,
    ) -> Answer<(Arc<Row<Run>>, Duration)> {
        let known = &self.tree.known;
        let detail = known.run.last(id);
        let listing = known.runs.last(&());
        let listed = listing.as_ref().and_then(|(listing, _)| listing.id(id));
        let listed = listed.map(|item: &Item<Run>| (item.row.clone(), item.asked));
        let is_listed = listed.is_some();
        let ended = |row: &Row<Run>| row.value.status.is_terminal();
        if let Some((row, _)) = detail.iter().chain(&listed).find(|(row, _)| ended(row)) {
            return Ok((row.clone(), FOR_EVER));
        }
        let newest = detail
            .into_iter()
            .chain(listed)
            .max_by_key(|(_, asked)| *asked);
        if let Some((row, asked)) = newest {
            let mut left = self.tree.list_ttl().saturating_sub(asked.elapsed());
            if left.is_zero() && self.tree.follows.streams(id) {
                // The stream tells each change.
                left = LIVE_TTL;
            }
            let is_good = !left.is_zero() && age != Age::Anew;
            if age == Age::Any || is_good || asked >= self.since {
                return Ok((row, left));
            }
        }
        if age == Age::Anew {
            match is_listed {
                true => known.runs.expire(&(), self.since, LIVE_TTL),
                false => known.run.expire(id, self.since, LIVE_TTL),
            }
        }
        // One listing refreshes every live run, so it comes before a call for one.
        if is_listed {
            let (listing, left) = self.need(&known.runs, &(), || Want::Runs)?;
            if let Some(item) = listing.id(id)
                && (item.asked >= self.since
                    || item.asked.elapsed() < self.tree.list_ttl()
                    || ended(&item.row))
            {
                return Ok((item.row.clone(), left));
            }
        }
        self.run_detail(id)
    }

    /// A run with what only its own answer holds. One from before its status changed
    /// is not shown, no matter what has told of that.
    pub(in crate::tree) fn run_detail(&self, id: &Arc<str>) -> Answer<(Arc<Row<Run>>, Duration)> {
        self.run_detail_of(id, Age::Current)
    }

    /// The same, as new as [`View::look_at_status`] says.
    pub(in crate::tree) fn run_detail_of(
        &self,
        id: &Arc<str>,
        age: Age,
    ) -> Answer<(Arc<Row<Run>>, Duration)> {
        let known = &self.tree.known;
        let last = known.run.last(id);
        let may_ask = !(self.whatever_is_known || self.tree.is_away());
        if may_ask && let Some((row, _)) = &last {
            if known.status(id).as_ref() != Some(&row.value.status) {
                known.run.expire(id, self.since, Duration::ZERO);
            } else if age == Age::Anew {
                known.run.expire(id, self.since, LIVE_TTL);
            }
        }
        match self.need(&known.run, id, || Want::Run(id.clone())) {
            Err(Miss::Error(error))
                if is_outage(&error)
                    && let Some((row, asked)) = last
                    && asked.elapsed() < self.tree.list_ttl() =>
            {
                Ok((row, Duration::ZERO))
            }
            answer => answer,
        }
    }

    /// A version's row. Versions are immutable: one that was ever seen is known.
    /// For one that the list may have skipped, an empty row: lookup has made
    /// sure that it exists.
    pub(in crate::tree) fn version_row(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &str,
    ) -> Answer<StorageVersion> {
        if let Some((versions, _)) = self.tree.known.versions.last(&(kind, id.clone()))
            && let Some(row) = versions.get(version)
        {
            return Ok(row.clone());
        }
        let (versions, _) = self.versions(kind, id)?;
        if let Some(row) = versions.get(version) {
            return Ok(row.clone());
        }
        if !versions.may_lack(version) {
            return Err(Error::NotFound(format!("version {version}")).into());
        }
        // Its archive tells whether it exists; nothing tells what its row says.
        let (_, storage, _) = self.storage_item(kind, id)?;
        Ok(StorageVersion {
            id: version.to_owned(),
            size: None,
            file_count: None,
            message: None,
            created_by: None,
            created_at: storage.value.created_at,
        })
    }

    /// The files of a version: fetched where its tree is not on disk.
    pub(in crate::tree) fn files(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &Arc<str>,
    ) -> Answer<Files> {
        let key = self.tree.version_key(kind, id, version);
        if let Some(version) = self.tree.store.version(&key) {
            *self.sealed.borrow_mut() = Some(Arc::clone(&version));
            return Ok(Files::Sealed(version));
        }
        if let Some(growing) = self.tree.store.partial(&key) {
            return Ok(Files::Growing(growing));
        }
        if self.version_row(kind, id, version)?.file_count == Some(0) {
            return Ok(Files::None);
        }
        Err(self.content_miss(kind, id, version))
    }

    /// What an operation answers that needs content which is not on disk.
    pub(in crate::tree) fn content_miss(
        &self,
        kind: StorageKind,
        id: &Arc<str>,
        version: &Arc<str>,
    ) -> Miss {
        let key = (kind, id.clone(), version.clone());
        match self.tree.known.content.get(&key, self.since) {
            Lookup::Failed(error) => Miss::Error(error),
            _ => Miss::Want(Want::Content(kind, id.clone(), version.clone())),
        }
    }
}
