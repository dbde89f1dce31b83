//! The way to the API's origin: its clients, and what is known of the server.
//!
//! Timeouts limit silence, not the whole request. reqwest's blocking client applies
//! its `timeout` once up to the headers and again to each read of the body
//! (`blocking/client.rs`, `blocking/response.rs`); a timeout of a single *request*
//! would count the whole body. Streams of events may be silent for longer than
//! other answers, so they have a separate client.

use super::{
    clock::Clock,
    config::{ClientConfig, check},
    counters::Counters,
    token::Token,
};
use crate::{
    error::{Error, Result},
    http,
};
use jiff::Timestamp;
use reqwest::{
    blocking::{Client, ClientBuilder},
    header::HeaderValue,
};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use url::Url;

/// The client closes an unused connection after this, before most gateways and
/// NATs drop it silently (which the next request would notice after `--timeout`).
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// Interval of the keep-alive probes on quiet TCP and HTTP/2 connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The shortest silence after which a stream of events counts as dead: two of the
/// service's heartbeats, which come every 15 s, and some latency.
const STREAM_SILENCE: Duration = Duration::from_secs(40);

/// The way to one API origin.
pub(super) struct Transport {
    /// `None` only during `drop`.
    client: Option<Client>,
    /// For streams that may be silent for longer than `timeout`. Made for the first
    /// stream, since a client has a thread.
    stream_client: OnceLock<Client>,
    pub(super) base: Url,
    user_agent: String,
    pub(super) token: Token,
    pub(super) authorization: HeaderValue,
    pub(super) timeout: Duration,
    pub(super) stream_timeout: Duration,
    allow_http: bool,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    /// Whether the server has answered as the API v1 does.
    spoken: AtomicBool,
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self> {
        let base = config.base;
        check(&base, config.allow_http)?;
        if base.scheme() == "https" {
            http::require_certificates()?;
        }
        let mut transport = Self {
            client: None,
            stream_client: OnceLock::new(),
            base,
            user_agent: config.user_agent,
            authorization: config.token.header()?,
            token: config.token,
            timeout: config.timeout,
            stream_timeout: config.timeout.max(STREAM_SILENCE),
            allow_http: config.allow_http,
            counters: Counters::default(),
            clock: Clock::default(),
            spoken: AtomicBool::new(false),
        };
        transport.client = Some(transport.build(transport.timeout)?);
        Ok(transport)
    }

    /// A reqwest client with this timeout.
    fn build(&self, silence: Duration) -> Result<Client> {
        let builder = http::builder(&self.user_agent, self.timeout)?
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(self.timeout);
        ClientBuilder::from(builder)
            .timeout(silence)
            .build()
            .map_err(|error| Error::Setup(format!("the HTTP client: {}", http::cause(&error))))
    }

    /// The service's time, as its answers tell it.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.at(Timestamp::now())
    }

    /// Notes that the server speaks v1.
    pub(super) fn speaks(&self) {
        self.spoken.store(true, Ordering::Relaxed);
    }

    /// Whether the server has answered as the API v1 does.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    /// Why the URL of an archive must not be requested, if it must not.
    pub(super) fn objection(&self, url: &Url) -> Option<String> {
        if !http::may_ask(url, Some(&self.base), self.allow_http) {
            let origin = url.origin().ascii_serialization();
            return Some(format!(
                "the archive is at {origin}, which is not https:// (--allow-http permits plain http://)"
            ));
        }
        let has_login = !url.username().is_empty() || url.password().is_some();
        has_login.then(|| "the archive's address holds a user or password".into())
    }

    /// The client for requests about which the service may be silent for so long.
    pub(super) fn client_for(&self, silence: Duration) -> Result<&Client> {
        if silence == self.timeout {
            let gone = || Error::Internal("the HTTP client is gone".into());
            return self.client.as_ref().ok_or_else(gone);
        }
        if let Some(client) = self.stream_client.get() {
            return Ok(client);
        }
        let client = self.build(silence)?;
        Ok(self.stream_client.get_or_init(|| client))
    }
}

impl Drop for Transport {
    /// Dropping a reqwest client waits for its runtime, which waits for name look-ups
    /// under way; these cannot be cancelled, and unmounting must not wait for them.
    fn drop(&mut self) {
        let clients = (self.client.take(), self.stream_client.take());
        let _ = thread::Builder::new().spawn(move || drop(clients));
    }
}
