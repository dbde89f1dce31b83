//! The client: one method an endpoint.

use super::{
    config::ClientConfig,
    counters::Calls,
    events::EventStream,
    failure::advise,
    logs::{self, LogReader},
    paging,
    redaction::Secrets,
    request::Request,
    transport::Transport,
    types::{Agent, LogRow, Metrics, Row, Run, Storage, StorageKind, StorageVersion},
};
use crate::{
    error::{Error, Result},
    http::bad_answer,
    progress::Progress,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};
use url::Url;

/// A client of one API origin. Share it behind an `Arc`: it keeps connections.
///
/// Every method blocks, and reports to `progress` what arrives. It fails with
/// [`Error::Api`], [`Error::Transport`], [`Error::BadAnswer`] or, if the server
/// does not speak the API v1, with [`Error::NotV1`]. No method may be called
/// within an async runtime.
pub struct Client {
    pub(super) transport: Transport,
    origin: String,
}

impl Client {
    /// Makes a client, and sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Setup`] for a base URL that the token must not be sent to, and for
    /// `https://` on a machine without certificates.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let origin = format!(
            "{}{}",
            config.base.origin().ascii_serialization(),
            config.base.path().trim_end_matches('/')
        );
        Ok(Self {
            transport: Transport::new(config)?,
            origin,
        })
    }

    /// The base URL without a slash at its end, e.g. `https://api.vm0.ai`. It names
    /// the namespace of all ids.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Asks for one agent, to see whether the service answers and accepts the token.
    pub fn check(&self, progress: &Progress) -> Result<()> {
        paging::probe::<Agent>(&self.transport, &["agents"], progress)
    }

    /// `GET /v1/agents`.
    pub fn agents(&self, progress: &Progress) -> Result<Vec<Row<Agent>>> {
        Ok(paging::list(&self.transport, &["agents"], &[], progress)?.rows)
    }

    /// `GET /v1/agents/:id`.
    pub fn agent(&self, id: &str, progress: &Progress) -> Result<Row<Agent>> {
        self.one(&["agents", id], progress)
    }

    /// `GET /v1/agents/:id/versions`, newest first, as sent.
    pub fn agent_versions(&self, id: &str, progress: &Progress) -> Result<Vec<Box<RawValue>>> {
        let segments = ["agents", id, "versions"];
        let listing =
            paging::list::<serde::de::IgnoredAny>(&self.transport, &segments, &[], progress)?;
        Ok(listing.rows.into_iter().map(|row| row.raw).collect())
    }

    /// `GET /v1/runs/:id`.
    pub fn run(&self, id: &str, progress: &Progress) -> Result<Row<Run>> {
        self.one(&["runs", id], progress)
    }

    /// `POST /v1/runs`: starts a run, and returns it. `body` is as the API documents
    /// it; errors never show the texts below its `secrets`.
    ///
    /// The request is sent again only if the service has certainly not begun it.
    ///
    /// # Errors
    /// An error that leaves open whether the run was started says so.
    pub fn start_run(&self, body: &Map<String, Value>, progress: &Progress) -> Result<Row<Run>> {
        let secrets = body.get("secrets").map(Secrets::of).unwrap_or_default();
        let sent = serde_json::to_vec(body)
            .map_err(|error| Error::Internal(format!("POST /v1/runs: {error}")))?;
        let request = Request::write(&self.transport.base, &["runs"], sent, secrets)?;
        let advice = "the run may have been started: look in runs/ before trying again";
        self.act(&request, advice, progress)
    }

    /// `POST /v1/runs/:id/cancel`: ends a run that has not ended, and returns it.
    /// Sent again as rarely as [`Client::start_run`].
    ///
    /// # Errors
    /// 400 if the run has ended already. An error that leaves open whether the run
    /// was cancelled says so.
    pub fn cancel_run(&self, id: &str, progress: &Progress) -> Result<Row<Run>> {
        let segments = ["runs", id, "cancel"];
        let request = Request::write(
            &self.transport.base,
            &segments,
            Vec::new(),
            Secrets::default(),
        )?;
        let advice =
            "the run may have been cancelled: look at its status in runs/ before trying again";
        self.act(&request, advice, progress)
    }

    /// `GET /v1/runs/:id/logs`: the rows of every type that `reader` has not
    /// returned yet, each once, oldest first. A row that the service adds late is
    /// found if its time is at most two seconds before the newest row's.
    ///
    /// Costs one call if less than a page was added since the last time. An error
    /// leaves the reader as it was.
    pub fn run_logs(
        &self,
        id: &str,
        reader: &mut LogReader,
        progress: &Progress,
    ) -> Result<Vec<Row<LogRow>>> {
        logs::run_logs(&self.transport, id, reader, progress)
    }

    /// `GET /v1/runs/:id/events`: the events of a run after number `after` (by
    /// default all), and those to come. The stream of a run that has ended has only
    /// its status and its end.
    pub fn run_events(
        &self,
        id: &str,
        after: Option<u64>,
        progress: &Progress,
    ) -> Result<EventStream> {
        let request = Request::events(&self.transport.base, &["runs", id, "events"], after)?;
        let response = self.transport.open(&request, progress)?;
        let silence = self.transport.silence(&request);
        Ok(EventStream::new(response, request.label, silence, progress))
    }

    /// `GET /v1/runs/:id/metrics`: samples and summary, as sent.
    pub fn run_metrics(&self, id: &str, progress: &Progress) -> Result<Box<RawValue>> {
        let row = self.one::<Metrics>(&["runs", id, "metrics"], progress)?;
        Ok(row.raw)
    }

    /// `GET /v1/volumes` or `/v1/artifacts`.
    pub fn storages(&self, kind: StorageKind, progress: &Progress) -> Result<Vec<Row<Storage>>> {
        Ok(paging::list(&self.transport, &[kind.plural()], &[], progress)?.rows)
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
        Ok(paging::list(&self.transport, &segments, &[], progress)?.rows)
    }

    /// `GET /v1/volumes/:id/download`: the presigned URL of a version's archive,
    /// valid for an hour. The URL is a secret, and a request for it must not carry
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
        let segments = [kind.plural(), id, "download"];
        let request = Request::read(&self.transport.base, &segments, &query)?;
        self.transport.get_location(&request, progress)
    }

    /// The requests sent so far, and the rate limit as the service last told it.
    pub fn calls(&self) -> Calls {
        self.transport.counters.calls()
    }

    /// The service's time: this machine's, corrected by the last answer's `Date`.
    /// In whole seconds, and off by up to two.
    pub fn now(&self) -> Timestamp {
        self.transport.now()
    }

    /// A POST whose answer is one object. `advice` tells the user what to do where
    /// it is unknown whether the POST took effect.
    fn act<T: DeserializeOwned>(
        &self,
        request: &Request,
        advice: &str,
        progress: &Progress,
    ) -> Result<Row<T>> {
        let answer = self.transport.post(request, progress).and_then(|body| {
            // Not in the decoder's words: they may repeat the answer, which may
            // repeat the secrets that were sent.
            paging::object(&body).map_err(|error| {
                let detail = format!("not the documented JSON at column {}", error.column());
                bad_answer(&request.label, detail)
            })
        });
        answer.map_err(|error| advise(error, advice))
    }

    /// An endpoint whose whole body is one object.
    fn one<T: DeserializeOwned>(&self, segments: &[&str], progress: &Progress) -> Result<Row<T>> {
        let request = Request::read(&self.transport.base, segments, &[])?;
        let body = self.transport.get(&request, progress)?;
        let row = paging::object(&body.bytes);
        row.map_err(|error| paging::not_documented(&request.label, &error))
    }
}
