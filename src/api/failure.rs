//! Failures of one try, and whether another try can help.

use crate::{
    error::{Error, TransportKind},
    http::{self, Silence},
};
use std::{io, sync::Arc, time::Duration};

/// Why a try failed.
pub(super) enum Failure {
    /// Another try would fail too.
    Final(Error),
    /// Another try may succeed, after the pause that the server asks for, if any.
    Passing(Error, Option<Duration>),
}

impl Failure {
    /// The failure of a request that must not take effect twice: final unless the
    /// service cannot have received it, or says that it has not acted on it.
    pub(super) fn unless_received(self) -> Self {
        match self {
            Self::Passing(error, wait) if !is_unheard(&error) => {
                tracing::debug!(%error, ?wait, "not tried again: it may have been received");
                Self::Final(error)
            }
            other => other,
        }
    }

    /// The error of either kind.
    pub(super) fn error(self) -> Error {
        match self {
            Self::Final(error) | Self::Passing(error, _) => error,
        }
    }
}

/// Whether the service has certainly not begun the request.
fn is_unheard(error: &Error) -> bool {
    match error {
        Error::Transport(transport) => transport.kind == TransportKind::Connect,
        _ => error.status() == Some(429),
    }
}

/// The error of a POST, with `advice` at its end if the service may have acted.
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
            // The advice matters more than when to try again.
            api.retry_after = None;
        }
        Error::BadAnswer { detail, .. } => *detail = format!("{detail}; {advice}"),
        _ => {}
    }
    error
}

/// The failure of a connection that broke or fell silent.
pub(super) fn severed(label: &str, silence: Silence, error: &reqwest::Error) -> Failure {
    let failed = http::severed(label, silence, error);
    // After a silence, the user has waited long enough already.
    match error.is_timeout() || error.is_builder() {
        true => Failure::Final(failed),
        false => Failure::Passing(failed, None),
    }
}

/// The failure of reading a body.
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

/// The failure of an answer that must not be followed.
pub(super) fn forbidden(label: &str, message: String) -> Failure {
    Failure::Final(http::transport(label, TransportKind::Forbidden, message))
}
