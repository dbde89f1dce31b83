//! What can come of one try besides an answer, and what to do about it.

use crate::{
    error::{Error, TransportKind},
    http::{self, Silence},
};
use std::{io, sync::Arc, time::Duration};

/// What came of one try.
pub(super) enum Failure {
    /// Asking again would not help.
    Final(Error),
    /// A passing fault: try again, after the pause that the server asks for.
    Passing(Error, Option<Duration>),
}

impl Failure {
    /// The same for a request that must not take effect twice: it may be sent
    /// again only where nobody can have received it, or where the service said
    /// that it has not acted on it.
    pub(super) fn unless_received(self) -> Self {
        match self {
            Self::Passing(error, wait) if !is_unheard(&error) => {
                tracing::debug!(%error, ?wait, "not tried again: it may have been received");
                Self::Final(error)
            }
            other => other,
        }
    }

    /// The error, whether or not a retry could help.
    pub(super) fn error(self) -> Error {
        match self {
            Self::Final(error) | Self::Passing(error, _) => error,
        }
    }
}

/// Whether it is certain that the service did not begin with the request.
fn is_unheard(error: &Error) -> bool {
    match error {
        Error::Transport(transport) => transport.kind == TransportKind::Connect,
        _ => error.status() == Some(429),
    }
}

/// The error of a POST with `advice` at its end, where it leaves open whether
/// the service has acted.
pub(super) fn advise(mut error: Error, advice: &str) -> Error {
    match &mut error {
        Error::Transport(transport)
            if matches!(
                transport.kind,
                TransportKind::Broken | TransportKind::Stalled
            ) =>
        {
            let transport = Arc::make_mut(transport);
            transport.message = format!("{}; {advice}", transport.message);
        }
        Error::Api(api) if api.status >= 500 => {
            let api = Arc::make_mut(api);
            api.advice = Some(advice.to_owned());
            // When to try again is not what matters any more.
            api.retry_after = None;
        }
        Error::BadAnswer { detail, .. } => *detail = format!("{detail}; {advice}"),
        _ => {}
    }
    error
}

/// A connection that was made and then broke or fell silent.
pub(super) fn severed(label: &str, silence: Silence, error: &reqwest::Error) -> Failure {
    let failed = http::severed(label, silence, error);
    // After a silence, the reader has waited long enough already.
    match error.is_timeout() || error.is_builder() {
        true => Failure::Final(failed),
        false => Failure::Passing(failed, None),
    }
}

/// The same for a body that was being read.
pub(super) fn broke_off(label: &str, error: &io::Error, silence: Silence) -> Failure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    match inner {
        Some(inner) => severed(label, silence, inner),
        None => {
            let message = format!("the answer broke off: {error}");
            Failure::Passing(http::transport(label, TransportKind::Broken, message), None)
        }
    }
}

/// An answer that would have led where it must not be followed.
pub(super) fn forbidden(label: &str, message: String) -> Failure {
    Failure::Final(http::transport(label, TransportKind::Forbidden, message))
}
