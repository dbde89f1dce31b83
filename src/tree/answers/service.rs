//! The service, and whether and how often to ask it.

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
    /// For how long listings and live objects are shown without asking again.
    list_ttl: Duration,
    /// Never ask.
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

    /// The client. How a call ended is to be passed to [`Service::note`].
    pub(crate) fn api(&self) -> &Client {
        &self.api
    }

    /// Passes on how a call ended, and lets the circuit breaker know.
    pub(crate) fn note<T>(&self, result: Result<T>) -> Result<T> {
        self.breaker.note(result.as_ref().err());
        result
    }

    /// Whether the service cannot be reached, or is not to be asked.
    pub(crate) fn is_away(&self) -> bool {
        self.offline || self.breaker.error().is_some()
    }

    /// How many times longer than usual an answer is shown.
    pub(crate) fn slowdown(&self) -> u32 {
        let now = u64::try_from(self.api.now().as_second()).unwrap_or(0);
        rate_budget::slowdown(self.api.calls().rate_limit, now)
    }

    /// For how long listings and live objects are shown without asking again.
    pub(crate) fn list_ttl(&self) -> Duration {
        self.list_ttl * self.slowdown()
    }

    /// The same while the rate limit is far.
    pub(crate) fn usual_list_ttl(&self) -> Duration {
        self.list_ttl
    }

    /// What the circuit breaker says to a fetch; an error for a mount that is
    /// offline.
    pub(super) fn admit(&self) -> Result<State> {
        match self.offline {
            true => Err(offline()),
            false => Ok(self.breaker.admit()),
        }
    }

    /// Notes how the fetch ended that was to find out whether the service is back.
    pub(super) fn probed(&self, error: Option<&Error>) {
        self.breaker.probed(error);
    }
}

/// What `--offline` answers instead of asking.
fn offline() -> Error {
    Error::Transport(Arc::new(TransportError {
        request: "the API".into(),
        kind: TransportKind::Connect,
        message: "not asked: this mount is offline (--offline)".into(),
    }))
}
