//! The list of runs: read as a whole, or refreshed with few calls.

use super::{
    client::Client,
    paging,
    types::{Row, Run, RunStatus},
};
use crate::{error::Result, progress::Progress};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// Maximum runs that one refresh asks for one by one. A run ends once, so there
/// are seldom many; the next refresh asks for the rest.
const MAX_DETAILS: usize = 10;

/// Which runs to list: by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunFilter {
    /// Runs of this agent. The client checks the answer, but must trust the service
    /// for rows without an agent's id.
    pub agent_id: Option<String>,
    /// Runs in this state.
    pub status: Option<RunStatus>,
    /// Runs created then or later.
    pub since: Option<Timestamp>,
}

impl RunFilter {
    /// Checks a row again, since some deployments ignore some filters.
    fn admits(&self, run: &Run) -> bool {
        let agent = match (&self.agent_id, &run.agent_id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        agent
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == run.status)
            && self.since.is_none_or(|since| run.created_at >= since)
    }
}

/// The runs that a caller knows, with their last known status. The caller makes it
/// from its list for each [`Client::runs_since`].
#[derive(Clone, Debug, Default)]
pub struct KnownRuns<'a>(HashMap<&'a str, &'a RunStatus>);

impl<'a> FromIterator<&'a Run> for KnownRuns<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Run>>(runs: I) -> Self {
        let runs = runs.into_iter();
        Self(runs.map(|run| (run.id.as_str(), &run.status)).collect())
    }
}

/// The runs that a refresh has read so far, each once, as the service told it last.
#[derive(Default)]
struct Brought {
    rows: Vec<Row<Run>>,
    places: HashMap<String, usize>,
}

impl Brought {
    fn take(&mut self, row: Row<Run>) {
        match self.places.get(&row.value.id) {
            Some(&place) => self.rows[place] = row,
            None => {
                self.places.insert(row.value.id.clone(), self.rows.len());
                self.rows.push(row);
            }
        }
    }

    fn has(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }
}

impl Client {
    /// `GET /v1/runs`, newest first.
    ///
    /// If the pages show that the service skips rows, the client also reads the list
    /// of each status, which has most of the skipped rows.
    pub fn runs(&self, filter: &RunFilter, progress: &Progress) -> Result<Vec<Row<Run>>> {
        let listing = self.runs_listing(filter, progress, |_| false)?;
        let mut rows = listing.rows;
        if listing.gaps && filter.status.is_none() {
            let mut ids: HashSet<_> = rows.iter().map(|row| row.value.id.clone()).collect();
            for status in RunStatus::KNOWN {
                let filter = RunFilter {
                    status: Some(status),
                    ..filter.clone()
                };
                let more = match self.runs_listing(&filter, progress, |_| false) {
                    Ok(listing) => listing.rows,
                    // An incomplete list is better than an error.
                    Err(error) => {
                        tracing::warn!(%error, "skipped runs are not all found");
                        break;
                    }
                };
                rows.extend(
                    more.into_iter()
                        .filter(|row| ids.insert(row.value.id.clone())),
                );
            }
        }
        rows.retain(|row| filter.admits(&row.value));
        rows.sort_by_key(|row| std::cmp::Reverse(row.value.created_at));
        Ok(rows)
    }

    /// What changed in `GET /v1/runs` since `known`: the new runs, and the present
    /// state of those that had not ended. Other known runs may be among the rows; the
    /// caller merges them. The order means nothing.
    ///
    /// Costs one call as a rule; a second one if older runs than the newest hundred
    /// had not ended, and one more for each of these that has ended now. If nothing
    /// is known, or the pages have gaps, it costs as much as [`Client::runs`].
    ///
    /// # Errors
    /// Those of the first list. If a later call fails, the result is what was read
    /// until then, and the next call reads the rest.
    pub fn runs_since(&self, known: &KnownRuns<'_>, progress: &Progress) -> Result<Vec<Row<Run>>> {
        let everything = RunFilter::default();
        if known.0.is_empty() {
            return self.runs(&everything, progress);
        }
        // The list is newest first, so all runs below a known one are known too. Only
        // the last run of a page tells: one further up may be known because it was
        // started from this mount, with unknown runs below it.
        let reaches_known = |page: &[Row<Run>]| {
            page.last()
                .is_none_or(|row| known.0.contains_key(row.value.id.as_str()))
        };
        let listing = self.runs_listing(&everything, progress, reaches_known)?;
        if listing.gaps {
            return self.runs(&everything, progress);
        }
        let mut brought = Brought::default();
        listing.rows.into_iter().for_each(|row| brought.take(row));
        if let Err(error) = self.refresh_live(known, &mut brought, progress) {
            tracing::warn!(%error, "some of the runs that had not ended are not looked at");
        }
        Ok(brought.rows)
    }

    /// Reads the state of the runs that had not ended and are not in `brought`.
    fn refresh_live(
        &self,
        known: &KnownRuns<'_>,
        brought: &mut Brought,
        progress: &Progress,
    ) -> Result<()> {
        let mut missing: Vec<(&str, &RunStatus)> = known
            .0
            .iter()
            .map(|(id, status)| (*id, *status))
            .filter(|(id, status)| !status.is_terminal() && !brought.has(id))
            .collect();
        // The statuses whose list has more than one page.
        let mut long = Vec::new();
        if missing.len() > 1 {
            for status in [RunStatus::Running, RunStatus::Pending] {
                if !missing.iter().any(|(_, known)| **known == status) {
                    continue;
                }
                let filter = RunFilter {
                    status: Some(status.clone()),
                    ..RunFilter::default()
                };
                let listing = self.runs_listing(&filter, progress, |_| true)?;
                if listing.more {
                    long.push(status);
                }
                listing.rows.into_iter().for_each(|row| brought.take(row));
            }
            missing.retain(|(id, _)| !brought.has(id));
        }
        // First the runs whose status has certainly changed.
        missing.sort_by_key(|(_, status)| long.contains(*status));
        for (id, _) in missing.into_iter().take(MAX_DETAILS) {
            match self.run(id, progress) {
                Ok(row) => brought.take(row),
                Err(error) if error.is_not_found() => {
                    tracing::debug!(%error, "a run has vanished");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The pages of the list up to the first for which `is_last` is true.
    fn runs_listing(
        &self,
        filter: &RunFilter,
        progress: &Progress,
        is_last: impl Fn(&[Row<Run>]) -> bool,
    ) -> Result<paging::Listing<Run>> {
        let since = filter.since.map(|since| since.to_string());
        let query: Vec<_> = [
            ("agent_id", filter.agent_id.as_deref()),
            ("status", filter.status.as_ref().map(RunStatus::as_str)),
            ("since", since.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        paging::list_until(&self.transport, &["runs"], &query, progress, is_last)
    }
}
