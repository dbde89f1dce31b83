//! Counts of requests, and the rate limit: numbers for people, which the client does
//! not use.

use super::headers::request_id;
use crate::sync::Mutex;
use reqwest::header::HeaderMap;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// The client's requests, and what the service said of them, for `.vm0fs/status.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Requests sent, with retries and followed redirects.
    pub made: u64,
    /// Requests without a usable answer.
    pub failed: u64,
    /// The rate limit as last told.
    pub rate_limit: Option<RateLimit>,
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

/// The client's running counts.
#[derive(Default)]
pub(super) struct Counters {
    /// Requests that were sent.
    pub(super) made: AtomicU64,
    /// Requests without a usable answer.
    pub(super) failed: AtomicU64,
    /// As told by the last answers.
    told: Mutex<(Option<RateLimit>, Option<String>)>,
}

impl Counters {
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
        let mut told = self.told.lock();
        told.0 = limit.or(told.0);
        if id.is_some() {
            told.1 = id;
        }
    }

    /// The counts so far.
    pub(super) fn calls(&self) -> Calls {
        let (rate_limit, last_request_id) = self.told.lock().clone();
        Calls {
            made: self.made.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            rate_limit,
            last_request_id,
        }
    }
}
