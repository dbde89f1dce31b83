//! The service's client: one method an endpoint, blocking, made for workers
//! that may wait. Answers come with their raw JSON; paging, redirects and
//! retries are settled inside.
//!
//! Each method costs at least one of the 5,000 reads that the service allows
//! an hour; lists and logs cost one for each 100 rows.

mod answer;
mod calls;
mod http;
mod logs;
mod paging;
mod token;
pub mod types;

pub use self::{
    calls::{Calls, RateLimit},
    token::Token,
};

use self::{
    http::Http,
    types::{Agent, LogRow, Row, Run, RunStatus, Storage, StorageKind, StorageVersion},
};
use crate::{error::Result, progress::Progress};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{collections::HashSet, time::Duration};
use url::Url;

/// How to reach the service.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where `/v1` is, e.g. `https://api.vm0.ai`; may have a path before it.
    pub base: Url,
    /// Sent to that origin only.
    pub token: Token,
    /// The longest silence: for an answer to begin, and for each piece of it.
    pub timeout: Duration,
    /// Permits plain `http://` to hosts other than this one.
    pub allow_http: bool,
    /// The `User-Agent`, e.g. `vm0fs/0.1.0`.
    pub user_agent: String,
}

/// Which runs to list; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunFilter {
    /// Runs of this agent. Checked again here, except for rows that do not
    /// name their agent's id: those are taken at the service's word.
    pub agent_id: Option<String>,
    /// Runs in this state.
    pub status: Option<RunStatus>,
    /// Runs created then or later.
    pub since: Option<Timestamp>,
}

impl RunFilter {
    /// Some deployments ignore some filters.
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

/// A client of one API origin. Share it behind an `Arc`: it keeps connections.
///
/// Every method blocks, reports to `progress` what arrives, and ends: with an
/// answer, or with [`Error::Api`](crate::error::Error::Api),
/// [`Transport`](crate::error::Error::Transport) or
/// [`BadAnswer`](crate::error::Error::BadAnswer). None may be called from
/// within an async runtime.
pub struct Client {
    http: Http,
    origin: String,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setup`](crate::error::Error::Setup) for a base URL that the
    /// token must not be sent to.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let origin = format!(
            "{}{}",
            config.base.origin().ascii_serialization(),
            config.base.path().trim_end_matches('/')
        );
        Ok(Self {
            http: Http::new(config)?,
            origin,
        })
    }

    /// The base without a slash at its end, e.g. `https://api.vm0.ai`: the
    /// name of the namespace that all ids belong to.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `GET /v1/agents`.
    pub fn agents(&self, progress: &Progress) -> Result<Vec<Row<Agent>>> {
        Ok(paging::list(&self.http, &["agents"], &[], progress)?.rows)
    }

    /// `GET /v1/agents/:id`.
    pub fn agent(&self, id: &str, progress: &Progress) -> Result<Row<Agent>> {
        self.one(&["agents", id], progress)
    }

    /// `GET /v1/agents/:id/versions`, newest first, as sent.
    pub fn agent_versions(&self, id: &str, progress: &Progress) -> Result<Vec<Box<RawValue>>> {
        let segments = ["agents", id, "versions"];
        let listing = paging::list::<serde::de::IgnoredAny>(&self.http, &segments, &[], progress)?;
        Ok(listing.rows.into_iter().map(|row| row.raw).collect())
    }

    /// `GET /v1/runs`, newest first.
    ///
    /// Where the service's pages show that it skips rows, the list of each
    /// status is read too, which brings back most of them.
    pub fn runs(&self, filter: &RunFilter, progress: &Progress) -> Result<Vec<Row<Run>>> {
        let listing = self.runs_listing(filter, progress)?;
        let mut rows = listing.rows;
        if listing.gaps && filter.status.is_none() {
            let mut ids: HashSet<_> = rows.iter().map(|row| row.value.id.clone()).collect();
            for status in RunStatus::KNOWN {
                let filter = RunFilter {
                    status: Some(status),
                    ..filter.clone()
                };
                let more = match self.runs_listing(&filter, progress) {
                    Ok(listing) => listing.rows,
                    // The list that the service gave is worth more than none.
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

    fn runs_listing(
        &self,
        filter: &RunFilter,
        progress: &Progress,
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
        paging::list(&self.http, &["runs"], &query, progress)
    }

    /// `GET /v1/runs/:id`.
    pub fn run(&self, id: &str, progress: &Progress) -> Result<Row<Run>> {
        self.one(&["runs", id], progress)
    }

    /// `GET /v1/runs/:id/logs`: every row of every type, once, oldest first.
    pub fn run_logs(&self, id: &str, progress: &Progress) -> Result<Vec<Row<LogRow>>> {
        logs::run_logs(&self.http, id, progress)
    }

    /// `GET /v1/runs/:id/metrics`: samples and summary, as sent.
    pub fn run_metrics(&self, id: &str, progress: &Progress) -> Result<Box<RawValue>> {
        let row = self.one::<Metrics>(&["runs", id, "metrics"], progress)?;
        Ok(row.raw)
    }

    /// `GET /v1/volumes` or `/v1/artifacts`.
    pub fn storages(&self, kind: StorageKind, progress: &Progress) -> Result<Vec<Row<Storage>>> {
        Ok(paging::list(&self.http, &[kind.plural()], &[], progress)?.rows)
    }

    /// `GET /v1/volumes/:id` or `/v1/artifacts/:id`.
    pub fn storage(&self, kind: StorageKind, id: &str, p: &Progress) -> Result<Row<Storage>> {
        self.one(&[kind.plural(), id], p)
    }

    /// `GET /v1/volumes/:id/versions` or `/v1/artifacts/:id/versions`, newest first.
    pub fn storage_versions(
        &self,
        kind: StorageKind,
        id: &str,
        progress: &Progress,
    ) -> Result<Vec<Row<StorageVersion>>> {
        let segments = [kind.plural(), id, "versions"];
        Ok(paging::list(&self.http, &segments, &[], progress)?.rows)
    }

    /// `GET /v1/volumes/:id/download`: the presigned URL of a version's
    /// archive, valid for an hour. It is a secret, and must be asked without
    /// the token.
    ///
    /// # Errors
    /// 404 for a version without files.
    pub fn download_url(
        &self,
        kind: StorageKind,
        id: &str,
        version_id: &str,
        progress: &Progress,
    ) -> Result<Url> {
        let query = [("version_id", version_id)];
        let request = self
            .http
            .request(&[kind.plural(), id, "download"], &query)?;
        self.http.get_location(&request, progress)
    }

    /// What has been asked so far, and what the service told about limits.
    pub fn calls(&self) -> Calls {
        self.http.counters.calls()
    }

    /// An endpoint whose whole body is one object.
    fn one<T: DeserializeOwned>(&self, segments: &[&str], progress: &Progress) -> Result<Row<T>> {
        let request = self.http.request(segments, &[])?;
        let body = self.http.get(&request, progress)?;
        let bad = |error| paging::bad_answer(&request.label, &error);
        let raw: Box<RawValue> = serde_json::from_slice(&body).map_err(bad)?;
        let value = serde_json::from_str(raw.get()).map_err(bad)?;
        Ok(Row { value, raw })
    }
}

/// Enough of a metrics answer to know it for one.
#[derive(Deserialize)]
struct Metrics {
    #[serde(rename = "data")]
    _data: Vec<serde::de::IgnoredAny>,
}

#[cfg(test)]
mod tests;
