//! How often a part is asked for again.

use crate::{
    error::{Error, TransportKind},
    http::Retry,
};
use std::time::{Duration, Instant};

/// Bytes after which a failure counts as a first one again: a connection that breaks
/// again and again gets through, but not one that brings no bytes.
const GAIN: u64 = 64 << 10;

/// The failures of one part.
pub(super) struct Retries {
    /// Failures in a row, each without [`GAIN`] bytes in between.
    failures: u32,
    /// The offset from which failures are counted.
    counted_from: u64,
    /// When a byte last came.
    heard: Instant,
}

impl Retries {
    pub(super) fn new(start: u64) -> Self {
        Self {
            failures: 0,
            counted_from: start,
            heard: Instant::now(),
        }
    }

    /// Starts the silence anew: a byte came, or the time was not spent on the store.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// The pause after a failure at `offset`, or the error to give up with, at the
    /// latest when no byte came for `timeout`.
    pub(super) fn pause(
        &mut self,
        offset: u64,
        error: Error,
        timeout: Duration,
    ) -> Result<Duration, Error> {
        if offset >= self.counted_from + GAIN {
            (self.failures, self.counted_from) = (0, offset);
        }
        self.failures += 1;
        let left = timeout.saturating_sub(self.heard.elapsed());
        let (kind, what) = match &error {
            Error::Transport(error) => (Some(error.kind), error.request.clone()),
            _ => (None, String::new()),
        };
        // Likely there is no network, and the user wants to know soon.
        let hopeless = kind == Some(TransportKind::Connect) && offset == 0 && self.failures > 1;
        match Retry::DOWNLOAD.pause(self.failures, None, left) {
            Some(pause) if !hopeless => Ok(pause),
            _ if left.is_zero() && kind == Some(TransportKind::Stalled) => Err(Error::Timeout {
                what,
                seconds: timeout.as_secs(),
            }),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::transport;

    #[test]
    fn a_part_is_given_up_by_kind_of_failure_silence_and_number() {
        let (long, none) = (Duration::from_secs(60), Duration::ZERO);
        for (kind, offset, timeout, pauses, end) in [
            (TransportKind::Broken, 0, long, 6, "broke"),
            (TransportKind::Broken, 9, none, 0, "broke"),
            (TransportKind::Stalled, 9, long, 6, "broke"),
            (TransportKind::Stalled, 9, none, 0, "no byte for 0 s"),
            (TransportKind::Connect, 0, long, 1, "broke"),
            (TransportKind::Connect, 9, long, 6, "broke"),
        ] {
            let mut retries = Retries::new(offset);
            let mut count = 0;
            let error = loop {
                let error = transport("GET x", kind, "broke".into());
                match retries.pause(offset, error, timeout) {
                    Ok(_) => count += 1,
                    Err(error) => break error.to_string(),
                }
            };
            assert_eq!(count, pauses, "{kind:?} at {offset}");
            assert!(error.contains(end), "{kind:?} at {offset}: {error}");
        }
    }

    #[test]
    fn failures_count_from_the_last_gain() {
        let mut retries = Retries::new(5);
        let mut fails = |offset| {
            let error = transport("GET x", TransportKind::Broken, "broke".into());
            retries
                .pause(offset, error, Duration::from_secs(60))
                .is_err()
        };
        for offset in 5..11 {
            assert!(!fails(offset));
        }
        assert!(fails(5 + GAIN - 1));
        for _ in 0..6 {
            assert!(!fails(5 + GAIN));
        }
        assert!(fails(5 + 2 * GAIN - 1));
        assert!(!fails(5 + 2 * GAIN));
    }
}
