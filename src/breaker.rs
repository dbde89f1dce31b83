//! The circuit breaker. When a server does not answer, or only its gateway does,
//! requests get what is known, or fail, at once, instead of each waiting for a call
//! of its own to fail; now and then one probe finds out whether the server is back.

use crate::{error::Error, jitter, sync::Mutex};
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The first probe comes this long after the failure, each further one twice
/// as long after the one before …
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// … but never longer than this: a network that is back is soon noticed.
const LAST_PROBE: Duration = Duration::from_secs(30);
/// All but the first come earlier by up to this share: the machines of a fleet have seen
/// the same failure, and are not to probe in step.
const JITTER: f64 = 0.25;
/// After this many fetches in a row to which only a gateway has answered, the server
/// may be down. Fewer can mean that one part of it is; and the probe that tells
/// costs a call.
const STRIKES: u32 = 4;
/// Longer than any call takes to fail: a probe that takes longer has panicked.
const PROBE_LIMIT: Duration = Duration::from_secs(120);

/// What a failure says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers: the failure is of this request alone.
    Answers,
    /// A gateway says that it does not reach the server.
    Down,
    /// It cannot be reached.
    Unreachable,
}

/// Whether calls pass to a server.
pub(crate) struct Breaker {
    /// What the log calls the server.
    server: &'static str,
    judge: fn(&Error) -> Verdict,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The failure that opened the breaker, or that of the newest probe.
    error: Option<Error>,
    /// When it was opened.
    since: Option<Timestamp>,
    next_probe: Option<Instant>,
    pause: Duration,
    /// When the running probe began.
    probing: Option<Instant>,
    /// Fetches in a row to which only a gateway has answered.
    strikes: u32,
}

/// What a fetch may do.
#[derive(Debug)]
pub(crate) enum State {
    /// Call the server.
    Closed,
    /// Call the server, as the only one, to find out whether it is back.
    HalfOpen,
    /// Fail at once: this is why.
    Open(Error),
}

impl Breaker {
    /// A closed breaker, which `judge` tells what failures say of the server.
    pub(crate) fn new(server: &'static str, judge: fn(&Error) -> Verdict) -> Self {
        Self {
            server,
            judge,
            inner: Mutex::default(),
        }
    }

    /// The failure that keeps the breaker open, while it is.
    pub(crate) fn error(&self) -> Option<Error> {
        self.inner.lock().error.clone()
    }

    /// Since when the breaker is open, while it is.
    pub(crate) fn open_since(&self) -> Option<Timestamp> {
        self.inner.lock().since
    }

    /// Asks whether a fetch may call the server.
    pub(crate) fn admit(&self) -> State {
        let mut state = self.inner.lock();
        // The thread of a probe that has not ended by then is gone.
        let probing = state
            .probing
            .is_some_and(|began| began.elapsed() < PROBE_LIMIT);
        let due = state.next_probe.is_none_or(|at| at <= Instant::now());
        match state.error.clone() {
            None if probing || state.strikes < STRIKES => return State::Closed,
            Some(error) if probing || !due => return State::Open(error),
            _ => {}
        }
        state.probing = Some(Instant::now());
        State::HalfOpen
    }

    /// Notes how a call ended.
    pub(crate) fn note(&self, error: Option<&Error>) {
        let mut state = self.inner.lock();
        match error.map(|error| (error, (self.judge)(error))) {
            Some((error, Verdict::Unreachable)) => match state.error {
                None => state.begin(error),
                Some(_) => state.error = Some(error.clone()),
            },
            Some((_, Verdict::Down)) => state.strikes = state.strikes.saturating_add(1),
            Some((_, Verdict::Answers)) | None => state.end(self.server),
        }
    }

    /// Notes how a probe ended.
    pub(crate) fn probed(&self, error: Option<&Error>) {
        let mut state = self.inner.lock();
        state.probing = None;
        match error.filter(|error| (self.judge)(error) != Verdict::Answers) {
            Some(error) => state.begin(error),
            None => state.end(self.server),
        }
    }
}

impl Inner {
    fn begin(&mut self, error: &Error) {
        let longer = (self.pause * 2).min(LAST_PROBE);
        self.pause = longer.max(FIRST_PROBE);
        let early = match self.pause > FIRST_PROBE {
            true => JITTER * jitter::random(),
            false => 0.0,
        };
        self.next_probe = Some(Instant::now() + self.pause.mul_f64(1.0 - early));
        self.error = Some(error.clone());
        self.since.get_or_insert_with(Timestamp::now);
    }

    fn end(&mut self, server: &str) {
        if self.error.is_some() {
            tracing::info!("{server} answers again");
        }
        *self = Self {
            probing: self.probing,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ApiError, TransportError, TransportKind};
    use std::{collections::HashSet, sync::Arc};

    fn breaker() -> Breaker {
        Breaker::new("the server", |error| match (error, error.status()) {
            (Error::Transport(_), _) => Verdict::Unreachable,
            (_, Some(502..=504)) => Verdict::Down,
            _ => Verdict::Answers,
        })
    }

    fn unreachable() -> Error {
        Error::Transport(Arc::new(TransportError {
            request: "GET /v1/agents".into(),
            kind: TransportKind::Connect,
            message: "refused".into(),
        }))
    }

    #[test]
    fn the_breaker_stays_open_until_a_probe_succeeds() {
        let breaker = breaker();
        assert!(matches!(breaker.admit(), State::Closed));
        breaker.note(Some(&Error::NotFound("x".into())));
        assert!(breaker.error().is_none(), "an answer is no outage");
        breaker.note(Some(&unreachable()));
        assert!(matches!(breaker.admit(), State::Open(_)));
        breaker.inner.lock().next_probe = Some(Instant::now());
        assert!(matches!(breaker.admit(), State::HalfOpen));
        assert!(
            matches!(breaker.admit(), State::Open(_)),
            "one probe at a time"
        );
        breaker.note(Some(&unreachable()));
        assert_eq!(
            breaker.inner.lock().pause,
            FIRST_PROBE,
            "not the probe's failure"
        );
        let since = breaker.open_since();
        breaker.probed(Some(&unreachable()));
        assert_eq!(breaker.inner.lock().pause, FIRST_PROBE * 2);
        assert_eq!((breaker.open_since(), since.is_some()), (since, true));
        breaker.inner.lock().next_probe = Some(Instant::now());
        assert!(matches!(breaker.admit(), State::HalfOpen));
        breaker.probed(None);
        assert!(matches!(breaker.admit(), State::Closed));
        assert!(breaker.error().is_none() && breaker.open_since().is_none());
    }

    #[test]
    fn gateway_errors_open_the_breaker_only_after_a_probe() {
        let error = |status| {
            Error::Api(Arc::new(ApiError {
                status,
                ..ApiError::default()
            }))
        };
        let breaker = breaker();
        for answer in [None, Some(error(500)), Some(error(404))] {
            for _ in 1..STRIKES {
                breaker.note(Some(&error(503)));
            }
            assert!(matches!(breaker.admit(), State::Closed));
            breaker.note(answer.as_ref());
        }
        for _ in 0..STRIKES {
            assert!(matches!(breaker.admit(), State::Closed));
            breaker.note(Some(&error(502)));
        }
        assert!(matches!(breaker.admit(), State::HalfOpen));
        assert!(
            matches!(breaker.admit(), State::Closed),
            "nothing is known yet"
        );
        breaker.probed(None);
        assert!(
            matches!(breaker.admit(), State::Closed),
            "one part was broken"
        );
        for _ in 0..STRIKES {
            breaker.note(Some(&error(504)));
        }
        assert!(matches!(breaker.admit(), State::HalfOpen));
        breaker.probed(Some(&error(502)));
        assert!(matches!(breaker.admit(), State::Open(_)));
        breaker.note(Some(&error(502)));
        assert!(breaker.error().is_some(), "one that was under way");
        breaker.note(None);
        assert!(matches!(breaker.admit(), State::Closed));
    }

    #[test]
    fn probes_come_less_and_less_often_and_not_in_step() {
        let breaker = breaker();
        // How long after a failure the next probe comes.
        let next = || {
            let before = Instant::now();
            breaker.probed(Some(&unreachable()));
            let inner = breaker.inner.lock();
            let (pause, at) = (inner.pause, inner.next_probe.unwrap());
            assert!(at <= Instant::now() + pause, "not later than that");
            (pause, at - before)
        };
        for seconds in [1, 2, 4, 8, 16, 30] {
            let (pause, wait) = next();
            assert_eq!(pause, Duration::from_secs(seconds));
            let early = if pause > FIRST_PROBE { JITTER } else { 0.0 };
            assert!(wait >= pause.mul_f64(1.0 - early), "{wait:?} of {pause:?}");
        }
        let waits: HashSet<_> = (0..20).map(|_| next().1.as_millis() / 100).collect();
        assert!(waits.len() > 3, "{waits:?}");
        assert_eq!(next().0, LAST_PROBE);
    }
}
