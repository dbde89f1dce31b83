//! The service: its client, whether it can be called, and how often to call it. Near
//! the end of an hour's rate limit refreshes slow down, so that calls are left for
//! what no process has read yet.

use super::outage::judge;
use crate::{
    api::{Client, RateLimit},
    breaker::{Breaker, State},
    error::{Error, Result, TransportError, TransportKind},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Duration};

/// Answers stay fresh this many times longer when this share of the limit, in
/// percent, or more is left.
const STEPS: [(u64, u32); 4] = [(20, 1), (10, 2), (5, 5), (0, 10)];

/// How many times longer than usual an answer stays fresh at `now`, in Unix seconds.
fn slowdown(told: Option<RateLimit>, now: u64) -> u32 {
    let Some(told) = told.filter(|told| told.limit > 0 && told.reset > now) else {
        return 1;
    };
    let left = told.remaining.saturating_mul(100) / told.limit;
    let step = STEPS.iter().find(|(share, _)| left >= *share);
    step.map_or(1, |(_, times)| *times)
}

/// The way to the service.
pub(crate) struct Service {
    api: Client,
    pub(super) breaker: Arc<Breaker>,
    /// How long listings and live objects are fresh.
    list_ttl: Duration,
    /// Whether the service is never called.
    offline: bool,
}

impl Service {
    pub(super) fn new(api: Client, list_ttl: Duration, offline: bool) -> Self {
        Self {
            api,
            breaker: Arc::new(Breaker::new("the API", judge)),
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

    /// Whether it is never called.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    /// Why it cannot be reached, where that is so.
    pub(crate) fn outage(&self) -> Option<Error> {
        self.breaker.error()
    }

    /// Tells since when it cannot be reached, where that is so; also once this has gone.
    pub(crate) fn outage_watch(&self) -> impl Fn() -> Option<Timestamp> + Send + use<> {
        let breaker = self.breaker.clone();
        move || breaker.open_since()
    }

    /// How many times longer than usual an answer stays fresh.
    pub(crate) fn slowdown(&self) -> u32 {
        let now = u64::try_from(self.api.now().as_second()).unwrap_or(0);
        slowdown(self.api.calls().last_limit, now)
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
            true => Err(Error::Transport(Arc::new(TransportError {
                request: "the API".into(),
                kind: TransportKind::Connect,
                message: "not asked: this mount is offline (--offline)".into(),
            }))),
            false => Ok(self.breaker.admit()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_slow_down_as_the_rate_limit_runs_out() {
        let left = |remaining| {
            let told = RateLimit {
                limit: 5_000,
                remaining,
                reset: 100,
            };
            slowdown(Some(told), 99)
        };
        assert_eq!(
            [5_000, 1_000, 999, 500, 499, 250, 249, 0].map(left),
            [1, 1, 2, 2, 5, 5, 10, 10]
        );
        let over = RateLimit {
            limit: 5_000,
            remaining: 0,
            reset: 99,
        };
        assert_eq!(slowdown(Some(over), 99), 1, "the hour is over");
        assert_eq!(slowdown(None, 99), 1);
    }
}
