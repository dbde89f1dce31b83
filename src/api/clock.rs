//! The service's clock, as its answers tell it. Whether something of the service is
//! past must not depend on this machine's clock.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};
use std::sync::atomic::{AtomicI64, Ordering};

/// The least difference in seconds that counts: `Date` has whole seconds, and
/// answers have latency.
const LEAST: i64 = 2;

/// How far this machine's clock is from the service's.
#[derive(Default)]
pub(super) struct Clock {
    /// Seconds that the service's clock is ahead; 0 while unknown.
    ahead: AtomicI64,
}

impl Clock {
    /// Takes the `Date` of an answer that arrived at `local`, if it has one.
    pub(super) fn told(&self, headers: &HeaderMap, local: Timestamp) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else {
            return;
        };
        let ahead = date.timestamp().as_second() - local.as_second();
        let ahead = if ahead.abs() < LEAST { 0 } else { ahead };
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// The service's time when this machine's clock shows `local`.
    pub(super) fn at(&self, local: Timestamp) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        local.saturating_add(ahead).unwrap_or(local)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_date_sets_the_offset() {
        let local: Timestamp = "2025-10-21T07:28:00.9Z".parse().unwrap();
        let clock = Clock::default();
        assert_eq!(clock.at(local), local);
        // In this order: an answer without a date changes nothing.
        for (date, ahead) in [
            (Some("Tue, 21 Oct 2025 07:28:01 GMT"), 0),
            (Some("Tue, 21 Oct 2025 07:27:59 GMT"), 0),
            (Some("Tue, 21 Oct 2025 07:28:02 GMT"), 2),
            (Some("Tue, 21 Oct 2025 08:28:00 GMT"), 3600),
            (None, 3600),
            (Some("yesterday"), 3600),
            (Some("Mon, 20 Oct 2025 07:28:00 GMT"), -86_400),
            (Some("Tue, 21 Oct 2025 07:28:00 GMT"), 0),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            clock.told(&headers, local);
            let expected = local + SignedDuration::from_secs(ahead);
            assert_eq!(clock.at(local), expected, "{date:?}");
        }
        clock.ahead.store(i64::MAX, Ordering::Relaxed);
        assert_eq!(clock.at(local), Timestamp::MAX);
    }
}
