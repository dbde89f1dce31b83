//! The list of runs: read as a whole, or refreshed with few calls.

use super::{
    client::Client,
    paging::{self, Source},
    types::{Row, Run, RunStatus},
};
use crate::{error::Result, progress::Progress};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Maximum runs that one refresh asks for one by one. A run ends once, so there
/// are seldom many; the next refresh asks for the rest.
const MAX_DETAILS: usize = 10;

/// The runs that a caller knows, by their ids, with their last known status.
type Known<'a> = HashMap<&'a str, &'a RunStatus>;

/// The runs that a refresh has read so far by their ids, as the service told them last.
type Brought = BTreeMap<String, Row<Run>>;

fn take(brought: &mut Brought, rows: Vec<Row<Run>>) {
    brought.extend(rows.into_iter().map(|row| (row.value.id.clone(), row)));
}

impl Client {
    /// `GET /v1/runs`, newest first.
    ///
    /// If the pages show that the service skips rows, the client also reads the list
    /// of each status, which has most of the skipped rows.
    pub fn runs(&self, progress: &Progress) -> Result<Vec<Row<Run>>> {
        let listing = self.runs_listing(None, progress, |_| false)?;
        let mut rows = listing.rows;
        if listing.gaps {
            let mut ids: HashSet<_> = rows.iter().map(|row| row.value.id.clone()).collect();
            for status in &RunStatus::KNOWN {
                match self.runs_listing(Some(status), progress, |_| false) {
                    Ok(listing) => {
                        let more = listing.rows.into_iter();
                        rows.extend(more.filter(|row| ids.insert(row.value.id.clone())));
                    }
                    // An incomplete list is better than an error.
                    Err(error) => {
                        tracing::warn!(%error, "skipped runs are not all found");
                        break;
                    }
                }
            }
        }
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
    pub fn runs_since<'a>(
        &self,
        known: impl IntoIterator<Item = &'a Run>,
        progress: &Progress,
    ) -> Result<Vec<Row<Run>>> {
        let known = known.into_iter().map(|run| (run.id.as_str(), &run.status));
        let known: Known<'_> = known.collect();
        if known.is_empty() {
            return self.runs(progress);
        }
        // The list is newest first, so all runs below a known one are known too. Only
        // the last run of a page tells: one further up may be known because it was
        // started from this mount, with unknown runs below it.
        let reaches_known = |page: &[Row<Run>]| {
            page.last()
                .is_none_or(|row| known.contains_key(row.value.id.as_str()))
        };
        let listing = self.runs_listing(None, progress, reaches_known)?;
        if listing.gaps {
            return self.runs(progress);
        }
        let mut brought = Brought::new();
        take(&mut brought, listing.rows);
        if let Err(error) = self.refresh_live(&known, &mut brought, progress) {
            tracing::warn!(%error, "some of the runs that had not ended are not looked at");
        }
        Ok(brought.into_values().collect())
    }

    /// Reads the state of the runs that had not ended and are not in `brought`.
    fn refresh_live(
        &self,
        known: &Known<'_>,
        brought: &mut Brought,
        progress: &Progress,
    ) -> Result<()> {
        let known = known.iter().map(|(id, status)| (*id, *status));
        let mut missing: Vec<(&str, &RunStatus)> = known
            .filter(|(id, status)| !status.is_terminal() && !brought.contains_key(*id))
            .collect();
        // The statuses whose list has more than one page.
        let mut long = Vec::new();
        if missing.len() > 1 {
            for status in [RunStatus::Running, RunStatus::Pending] {
                if !missing.iter().any(|(_, known)| **known == status) {
                    continue;
                }
                let listing = self.runs_listing(Some(&status), progress, |_| true)?;
                if listing.more {
                    long.push(status);
                }
                take(brought, listing.rows);
            }
            missing.retain(|(id, _)| !brought.contains_key(*id));
        }
        // First the runs whose status has certainly changed.
        missing.sort_by_key(|(_, status)| long.contains(*status));
        for (id, _) in missing.into_iter().take(MAX_DETAILS) {
            match self.run(id, progress) {
                Ok(row) => take(brought, vec![row]),
                Err(error) if error.is_not_found() => {
                    tracing::debug!(%error, "a run has vanished");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The pages of the list, or of that of a status, up to the first for which
    /// `is_last` is true.
    fn runs_listing(
        &self,
        status: Option<&RunStatus>,
        progress: &Progress,
        is_last: impl Fn(&[Row<Run>]) -> bool,
    ) -> Result<paging::Listing<Run>> {
        let status = status.map(|status| ("status", status.as_str()));
        let source = Source::new(&self.transport, &["runs"], progress);
        paging::list(source, status.as_slice(), is_last)
    }
}
