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
};
use crate::{
    error::{Error, Result},
    http, threads,
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
    /// The client for calls; and for streams that may be silent for longer, which is
    /// made for the first stream, since a client has a thread.
    clients: [OnceLock<Client>; 2],
    pub(super) config: ClientConfig,
    pub(super) authorization: HeaderValue,
    pub(super) stream_timeout: Duration,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    /// Whether the server has answered as the API v1 does.
    spoken: AtomicBool,
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self> {
        check(&config.base, config.allow_http)?;
        if config.base.scheme() == "https" {
            http::require_certificates()?;
        }
        let transport = Self {
            clients: Default::default(),
            authorization: config.token.header()?,
            stream_timeout: config.timeout.max(STREAM_SILENCE),
            config,
            counters: Counters::default(),
            clock: Clock::default(),
            spoken: AtomicBool::new(false),
        };
        transport.client_for(transport.config.timeout)?;
        Ok(transport)
    }

    /// A reqwest client with this timeout.
    fn build(&self, silence: Duration) -> Result<Client> {
        let builder = http::builder(&self.config.user_agent, self.config.timeout)?
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(self.config.timeout);
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
        if !http::may_ask(url, Some(&self.config.base), self.config.allow_http) {
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
        let client = &self.clients[usize::from(silence != self.config.timeout)];
        if let Some(client) = client.get() {
            return Ok(client);
        }
        let new = self.build(silence)?;
        Ok(client.get_or_init(|| new))
    }
}

impl Drop for Transport {
    /// Dropping a reqwest client waits for its runtime, which waits for name look-ups
    /// under way; these cannot be cancelled, and unmounting must not wait for them.
    fn drop(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        let _ = threads::start("vm0fs-drop", move || drop(clients));
    }
}
