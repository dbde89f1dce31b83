//! Whether the service can be reached at all. When nobody answers, what is
//! known is shown at once and the rest fails at once, instead of every request
//! finding out for itself; one probe now and then finds the end of it.

use crate::error::{Error, TransportKind};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The first probe comes this long after the failure, each further one twice
/// as long after the one before …
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// … but never longer than this: a network that is back is soon noticed.
const LAST_PROBE: Duration = Duration::from_secs(30);
/// Longer than any call takes to fail.
const PROBE_LIMIT: Duration = Duration::from_secs(120);

/// The state of the way to the service.
#[derive(Default)]
pub(crate) struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    /// The failure that began it, or the newest probe's.
    error: Option<Error>,
    next_probe: Option<Instant>,
    pause: Duration,
    /// When the probe that is under way began.
    probing: Option<Instant>,
}

/// What a fetch may do.
#[derive(Debug)]
pub(crate) enum Way {
    /// Go on.
    Open,
    /// Go on, as the one that finds out.
    Probe,
    /// Do not try: this is why.
    Closed(Error),
}

impl Outage {
    /// Whether a failure means that nobody can be reached, as opposed to an
    /// answer that is an error.
    pub(crate) fn is_one(error: &Error) -> bool {
        match error {
            Error::Transport(transport) => transport.kind == TransportKind::Connect,
            // One answer that does not come says nothing of the others.
            _ => false,
        }
    }

    /// The failure that an outage shows itself by, while there is one.
    pub(crate) fn error(&self) -> Option<Error> {
        self.lock().error.clone()
    }

    /// Asks whether a fetch makes sense now.
    pub(crate) fn way(&self) -> Way {
        let mut state = self.lock();
        let Some(error) = state.error.clone() else {
            return Way::Open;
        };
        let due = state.next_probe.is_none_or(|at| at <= Instant::now());
        // One that has not come back by then never will: its thread is gone.
        let probing = state
            .probing
            .is_some_and(|began| began.elapsed() < PROBE_LIMIT);
        if probing || !due {
            return Way::Closed(error);
        }
        state.probing = Some(Instant::now());
        Way::Probe
    }

    /// Notes how a fetch ended. Only what tries the API itself counts: an
    /// object store that is away is another matter.
    pub(crate) fn note(&self, error: Option<&Error>) {
        let mut state = self.lock();
        let was_probe = state.probing.take().is_some();
        match error.filter(|error| Self::is_one(error)) {
            None => {
                if state.error.is_some() {
                    tracing::info!("the API answers again");
                }
                *state = State::default();
            }
            Some(error) => {
                if state.error.is_none() || was_probe {
                    let longer = (state.pause * 2).min(LAST_PROBE);
                    state.pause = longer.max(FIRST_PROBE);
                    state.next_probe = Some(Instant::now() + state.pause);
                }
                state.error = Some(error.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportError;
    use std::sync::Arc;

    fn unreachable() -> Error {
        Error::Transport(Arc::new(TransportError {
            request: "GET /v1/agents".into(),
            kind: TransportKind::Connect,
            message: "refused".into(),
        }))
    }

    #[test]
    fn closed_until_a_probe_succeeds() {
        let outage = Outage::default();
        assert!(matches!(outage.way(), Way::Open));
        outage.note(Some(&Error::NotFound("x".into())));
        assert!(outage.error().is_none(), "an answer is no outage");
        outage.note(Some(&unreachable()));
        assert!(matches!(outage.way(), Way::Closed(_)));
        outage.lock().next_probe = Some(Instant::now());
        assert!(matches!(outage.way(), Way::Probe));
        assert!(
            matches!(outage.way(), Way::Closed(_)),
            "one probe at a time"
        );
        outage.note(Some(&unreachable()));
        assert_eq!(outage.lock().pause, FIRST_PROBE * 2);
        outage.lock().next_probe = Some(Instant::now());
        assert!(matches!(outage.way(), Way::Probe));
        outage.note(None);
        assert!(matches!(outage.way(), Way::Open));
        assert!(outage.error().is_none());
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let outage = Outage::default();
        for _ in 0..20 {
            outage.note(Some(&unreachable()));
            outage.lock().next_probe = Some(Instant::now());
            outage.way();
        }
        outage.note(Some(&unreachable()));
        assert_eq!(outage.lock().pause, LAST_PROBE);
    }
}
