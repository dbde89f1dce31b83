//! Counts of requests, and the rate limit: numbers for people, which the client does
//! not use.

use super::headers::request_id;
use crate::sync::Mutex;
use reqwest::header::HeaderMap;
use serde::Serialize;

/// The client's requests, and what the service said of them, for `.vm0fs/status.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Requests sent, with retries and followed redirects.
    pub made: u64,
    /// Requests without a usable answer.
    pub failed: u64,
    /// The rate limit of which the least is left, of those told for the current hour.
    pub rate_limit: Option<RateLimit>,
    /// The rate limit as last told, of whichever endpoint.
    #[serde(skip)]
    pub last_limit: Option<RateLimit>,
    /// The last `X-Request-Id`, for a report to the service's operators.
    pub last_request_id: Option<String>,
}

/// A rate limit, from `X-RateLimit-*`. The service counts by user and endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Requests allowed in the window.
    pub limit: u64,
    /// Requests left in it.
    pub remaining: u64,
    /// Its end, in Unix seconds.
    pub reset: u64,
}

impl RateLimit {
    /// Whether less of it is left than of another, whose hour is not a later one.
    fn is_tighter_than(&self, other: &Self) -> bool {
        let share = |of: &Self, by: &Self| u128::from(of.remaining) * u128::from(by.limit);
        self.reset >= other.reset && share(self, other) < share(other, self)
    }
}

/// The client's running counts.
#[derive(Default)]
pub(super) struct Counters(Mutex<Calls>);

impl Counters {
    /// Counts a request that is sent.
    pub(super) fn sent(&self) {
        self.0.lock().made += 1;
    }

    /// Counts a request that has no usable answer.
    pub(super) fn failed(&self) {
        self.0.lock().failed += 1;
    }

    /// Remembers the rate limit and the request id of an answer. `redact` is as for
    /// [`super::error_body::api_error`].
    pub(super) fn answered(&self, headers: &HeaderMap, redact: &dyn Fn(&str) -> String) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        let limit = || {
            Some(RateLimit {
                limit: number("x-ratelimit-limit")?,
                remaining: number("x-ratelimit-remaining")?,
                reset: number("x-ratelimit-reset")?,
            })
        };
        let (limit, id) = (limit(), request_id(headers, redact));
        let mut calls = self.0.lock();
        calls.last_limit = limit.or(calls.last_limit);
        calls.rate_limit = match (calls.rate_limit, limit) {
            (Some(before), Some(now)) if before.is_tighter_than(&now) => Some(before),
            (before, now) => now.or(before),
        };
        calls.last_request_id = id.or(calls.last_request_id.take());
    }

    /// The counts so far.
    pub(super) fn calls(&self) -> Calls {
        self.0.lock().clone()
    }
}
