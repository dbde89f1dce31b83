//! How often a request is sent again, and after which pauses: exponential backoff
//! with jitter, and `Retry-After` where a server asks for a short one.

use crate::jitter;
use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// The longest `Retry-After` that is waited for. A longer one is an error that the
/// caller can act on.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2);

/// After how many failures a request is given up, and the pauses until then.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The pause after the first failure, before jitter.
    first: Duration,
    /// How many times as long the pause after each further failure is.
    factor: u32,
    /// Requests after the first one.
    retries: u32,
}

impl Retry {
    /// For calls of the API, each of which counts against the account's rate limit.
    pub const CALL: Self = Self {
        first: Duration::from_millis(200),
        factor: 4,
        retries: 2,
    };

    /// For parts of a download, which go on where they broke off.
    pub const DOWNLOAD: Self = Self {
        first: Duration::from_millis(100),
        factor: 2,
        retries: 6,
    };

    /// The pause after so many failures in a row (the first one is 1), or `None`
    /// to give up. `asked` is the server's `Retry-After`. `left` is what remains of the
    /// reader's timeout. A pause that long would time the reader out and hide the real
    /// failure.
    pub fn pause(self, failures: u32, asked: Option<Duration>, left: Duration) -> Option<Duration> {
        self.pause_with(failures, asked, left, jitter::random())
    }

    /// The same with a random number between 0 and 1.
    fn pause_with(
        self,
        failures: u32,
        asked: Option<Duration>,
        left: Duration,
        random: f64,
    ) -> Option<Duration> {
        if failures > self.retries || left.is_zero() {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= MAX_RETRY_AFTER && asked < left).then_some(asked);
        }
        let growth = self.factor.saturating_pow(failures.saturating_sub(1));
        let full = self.first.saturating_mul(growth);
        // A random half more or less, so that many clients spread out.
        Some(full.mul_f64(0.5 + random).min(left / 2))
    }
}

/// `Retry-After`, in both of its forms (RFC 9110, 10.2.3). A date counts from the
/// answer's own `Date`, however this machine's clock is set; from `now` where the
/// answer has none.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let date = |text| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = date(asked)?;
    let now = text(DATE).and_then(date).unwrap_or(now);
    let seconds = then.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_of_each_kind_of_request() {
        let millis = |millis: &[u64]| -> Vec<Duration> {
            millis.iter().copied().map(Duration::from_millis).collect()
        };
        for (retry, random, expected) in [
            (Retry::CALL, 0.5, millis(&[200, 800])),
            (Retry::CALL, 0.0, millis(&[100, 400])),
            (
                Retry::DOWNLOAD,
                0.5,
                millis(&[100, 200, 400, 800, 1600, 3200]),
            ),
            (
                Retry::DOWNLOAD,
                1.0,
                millis(&[150, 300, 600, 1200, 2400, 4800]),
            ),
        ] {
            let pauses = (1..).map_while(|failures| retry.pause_with(failures, None, LONG, random));
            assert_eq!(pauses.collect::<Vec<_>>(), expected, "{retry:?} {random}");
        }
    }

    #[test]
    fn no_pause_outlasts_what_the_reader_bears() {
        let second = Duration::from_secs(1);
        let table = [
            // failures, Retry-After, left, pause
            (1, Some(second), LONG, Some(second)),
            (1, Some(Duration::ZERO), LONG, Some(Duration::ZERO)),
            (2, Some(2 * second), LONG, Some(2 * second)),
            (1, Some(2 * second + Duration::from_millis(1)), LONG, None),
            (1, Some(Duration::MAX), LONG, None),
            (3, Some(second), LONG, None),
            (1, Some(second), second, None),
            (1, Some(second), 2 * second, Some(second)),
            (1, None, second, Some(second / 5)),
            (2, None, second, Some(second / 2)),
            (1, None, second / 10, Some(second / 20)),
            (1, None, Duration::ZERO, None),
            (3, None, LONG, None),
        ];
        for (failures, asked, left, expected) in table {
            let pause = Retry::CALL.pause_with(failures, asked, left, 0.5);
            assert_eq!(pause, expected, "{failures} {asked:?} {left:?}");
        }
    }

    #[test]
    fn clients_spread_out() {
        for retry in [Retry::CALL, Retry::DOWNLOAD] {
            let pauses: HashSet<Duration> = (0..100)
                .filter_map(|_| retry.pause(1, None, LONG))
                .collect();
            let (least, most) = (retry.first / 2, retry.first * 3 / 2);
            assert!(pauses.len() > 20, "of many clients, few come together");
            assert!(
                pauses.iter().all(|pause| (least..most).contains(pause)),
                "{pauses:?}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2015-10-21T07:27:30Z".parse().unwrap();
        let asked = |headers: &[(&'static str, &str)], now| {
            let pairs = headers
                .iter()
                .map(|(name, text)| (name.parse().unwrap(), text.parse().unwrap()));
            retry_after(&pairs.collect(), now).map(|asked| asked.as_secs())
        };
        for (text, expected) in [
            ("2", Some(2)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(asked(&[("retry-after", text)], now), expected, "{text}");
        }
        // A clock that has jumped, and a service that says what time it is.
        let headers = [
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ("date", "Wed, 21 Oct 2015 07:27:50 GMT"),
        ];
        for jumped in ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
            assert_eq!(asked(&headers, jumped.parse().unwrap()), Some(10));
        }
    }
}
