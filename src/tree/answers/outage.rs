//! What failures of calls say of the service: whether it cannot be reached, or only
//! its gateway answers.

use crate::{
    breaker::Verdict,
    error::{Error, TransportKind},
};

/// Whether a failure means that the service cannot be reached, as opposed to an
/// answer that is an error.
pub(crate) fn is_unreachable(error: &Error) -> bool {
    judge(error) == Verdict::Unreachable
}

/// The same for the circuit breaker. Downloads do not count: the object store is
/// another service.
pub(super) fn judge(error: &Error) -> Verdict {
    match error {
        Error::Transport(transport) if transport.kind == TransportKind::Connect => {
            Verdict::Unreachable
        }
        // One lost answer says nothing about others.
        _ if matches!(error.status(), Some(502..=504)) => Verdict::Down,
        _ => Verdict::Answers,
    }
}
