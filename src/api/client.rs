//! The client: one method an endpoint.

use super::{
    call::Call,
    config::ClientConfig,
    counters::Calls,
    events::EventStream,
    failure::advise,
    paging::{self, Source},
    redaction::Secrets,
    request::Request,
    transport::Transport,
    types::{Agent, Metrics, Row, Run, Storage, StorageKind, StorageVersion},
};
use crate::{
    error::{Error, Result},
    http::bad_answer,
    progress::Progress,
};
use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
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
        paging::probe::<Agent>(Source::new(&self.transport, &["agents"], progress))
    }

    /// `GET /v1/agents`.
    pub fn agents(&self, progress: &Progress) -> Result<Vec<Row<Agent>>> {
        self.list(&["agents"], progress)
    }

    /// `GET /v1/agents/:id`.
    pub fn agent(&self, id: &str, progress: &Progress) -> Result<Row<Agent>> {
        self.one(&["agents", id], progress)
    }

    /// `GET /v1/agents/:id/versions`, newest first, as sent.
    pub fn agent_versions(&self, id: &str, progress: &Progress) -> Result<Vec<Box<RawValue>>> {
        let rows = self.list::<IgnoredAny>(&["agents", id, "versions"], progress)?;
        Ok(rows.into_iter().map(|row| row.raw).collect())
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
        let request = Request::write(&self.transport.config.base, &["runs"], sent, secrets)?;
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
        let (base, segments) = (&self.transport.config.base, ["runs", id, "cancel"]);
        let request = Request::write(base, &segments, Vec::new(), Secrets::default())?;
        let advice =
            "the run may have been cancelled: look at its status in runs/ before trying again";
        self.act(&request, advice, progress)
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
        let request = Request::events(&self.transport.config.base, &["runs", id, "events"], after)?;
        let call = self.call(&request, progress);
        let (response, silence) = (call.open()?, call.silence());
        Ok(EventStream::new(response, request.label, silence, progress))
    }

    /// `GET /v1/runs/:id/metrics`: samples and summary, as sent.
    pub fn run_metrics(&self, id: &str, progress: &Progress) -> Result<Box<RawValue>> {
        let row = self.one::<Metrics>(&["runs", id, "metrics"], progress)?;
        Ok(row.raw)
    }

    /// `GET /v1/volumes` or `/v1/artifacts`.
    pub fn storages(&self, kind: StorageKind, progress: &Progress) -> Result<Vec<Row<Storage>>> {
        self.list(&[kind.plural()], progress)
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
        self.list(&[kind.plural(), id, "versions"], progress)
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
        let request = Request::read(&self.transport.config.base, &segments, &query)?;
        self.call(&request, progress).get_location()
    }

    /// The requests sent so far, and what the service has told of the rate limit.
    pub fn calls(&self) -> Calls {
        self.transport.counters.calls()
    }

    /// The service's time: this machine's, corrected by the last answer's `Date`.
    /// In whole seconds, and off by up to two.
    pub fn now(&self) -> Timestamp {
        self.transport.now()
    }

    fn call<'a>(&'a self, request: &'a Request, progress: &'a Progress) -> Call<'a> {
        let transport = &self.transport;
        Call {
            transport,
            request,
            progress,
        }
    }

    /// A POST whose answer is one object. `advice` tells the user what to do where
    /// it is unknown whether the POST took effect.
    fn act<T: DeserializeOwned>(
        &self,
        request: &Request,
        advice: &str,
        progress: &Progress,
    ) -> Result<Row<T>> {
        let answer = self.call(request, progress).post().and_then(|body| {
            // Not in the decoder's words: they may repeat the answer, which may
            // repeat the secrets that were sent.
            paging::object(&body).map_err(|error| {
                let detail = format!("not the documented JSON at column {}", error.column());
                bad_answer(&request.label, detail)
            })
        });
        answer.map_err(|error| advise(error, advice))
    }

    /// Every row of a list.
    fn list<T: DeserializeOwned>(&self, path: &[&str], progress: &Progress) -> Result<Vec<Row<T>>> {
        let source = Source::new(&self.transport, path, progress);
        Ok(paging::list(source, &[], |_| false)?.rows)
    }

    /// An endpoint whose whole body is one object.
    fn one<T: DeserializeOwned>(&self, segments: &[&str], progress: &Progress) -> Result<Row<T>> {
        let request = Request::read(&self.transport.config.base, segments, &[])?;
        let body = self.call(&request, progress).get()?;
        let row = paging::object(&body.bytes);
        row.map_err(|error| paging::not_documented(&request.label, &error))
    }
}
