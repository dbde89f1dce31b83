//! The service: its client, whether it can be called, and how often to call it.

use super::{
    breaker::{Breaker, State},
    rate_budget,
};
use crate::{
    api::Client,
    error::{Error, Result, TransportError, TransportKind},
};
use std::{sync::Arc, time::Duration};

/// The way to the service.
pub(crate) struct Service {
    api: Client,
    breaker: Breaker,
    /// How long listings and live objects are fresh.
    list_ttl: Duration,
    /// Whether the service is never called.
    offline: bool,
}

impl Service {
    pub(super) fn new(api: Client, list_ttl: Duration, offline: bool) -> Self {
        Self {
            api,
            breaker: Breaker::default(),
            list_ttl,
            offline,
        }
    }

    /// The client. Pass the result of each call to [`Service::note`].
    pub(crate) fn api(&self) -> &Client {
        &self.api
    }

    /// Tells the circuit breaker how a call ended, and gives its result back.
    pub(crate) fn note<T>(&self, result: Result<T>) -> Result<T> {
        self.breaker.note(result.as_ref().err());
        result
    }

    /// Whether the service cannot be reached, or is never called.
    pub(crate) fn is_away(&self) -> bool {
        self.offline || self.breaker.error().is_some()
    }

    /// How many times longer than usual an answer stays fresh.
    pub(crate) fn slowdown(&self) -> u32 {
        let now = u64::try_from(self.api.now().as_second()).unwrap_or(0);
        rate_budget::slowdown(self.api.calls().rate_limit, now)
    }

    /// How long listings and live objects are fresh.
    pub(crate) fn list_ttl(&self) -> Duration {
        self.list_ttl * self.slowdown()
    }

    /// The same while most of the rate limit is left.
    pub(crate) fn usual_list_ttl(&self) -> Duration {
        self.list_ttl
    }

    /// Whether a fetch may call the service.
    ///
    /// # Errors
    /// The mount is offline.
    pub(super) fn admit(&self) -> Result<State> {
        match self.offline {
            true => Err(offline()),
            false => Ok(self.breaker.admit()),
        }
    }

    /// Notes how the probe ended that the circuit breaker asked for.
    pub(super) fn probed(&self, error: Option<&Error>) {
        self.breaker.probed(error);
    }
}

/// Why an offline mount does not call the service.
fn offline() -> Error {
    Error::Transport(Arc::new(TransportError {
        request: "the API".into(),
        kind: TransportKind::Connect,
        message: "not asked: this mount is offline (--offline)".into(),
    }))
}
