//! What can come of one try besides an answer, and what to do about it.

use crate::{
    error::{Error, TransportError, TransportKind},
    text::one_line,
};
use std::{
    error::Error as _,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

/// The wait before the first retry, four times as long before the second,
/// each with a random half more or less so that many clients spread out.
const BACKOFF: Duration = Duration::from_millis(200);

/// What came of one try.
pub(super) enum Failure {
    /// Asking again would not help.
    Final(Error),
    /// A passing fault: try again after the given wait, or the usual one.
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

/// How long nothing may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) limit: Duration,
    /// Follows the time in the message: what sets it and what to do next.
    pub(super) remedy: &'static str,
}

/// A connection that was made and then broke or fell silent.
pub(super) fn severed(label: &str, error: &reqwest::Error, silence: Silence) -> Failure {
    if error.is_timeout() {
        // The reader has waited long enough already.
        return Failure::Final(transport(
            label,
            TransportKind::Stalled,
            format!(
                "no byte for {} s{}",
                silence.limit.as_secs_f32(),
                silence.remedy
            ),
        ));
    }
    if error.is_builder() {
        return Failure::Final(Error::Internal(format!("{label}: {}", cause(error))));
    }
    let message = format!("the connection broke: {}", cause(error));
    Failure::Passing(transport(label, TransportKind::Broken, message), None)
}

/// The same for a body that was being read.
pub(super) fn broke_off(label: &str, error: &io::Error, silence: Silence) -> Failure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    match inner {
        Some(inner) => severed(label, inner, silence),
        None => {
            let message = format!("the answer broke off: {error}");
            Failure::Passing(transport(label, TransportKind::Broken, message), None)
        }
    }
}

/// An error below HTTP.
pub(super) fn transport(label: &str, kind: TransportKind, message: String) -> Error {
    Error::Transport(Arc::new(TransportError {
        request: label.to_owned(),
        kind,
        message,
    }))
}

/// An answer that would have led where it must not be followed.
pub(super) fn forbidden(label: &str, message: String) -> Failure {
    Failure::Final(transport(label, TransportKind::Forbidden, message))
}

/// The innermost cause: the outer layers of reqwest repeat the URL, query included.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "unknown cause".into();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string(), 200)
}

/// How long to wait after so many tries.
pub(super) fn backoff(tries: u32) -> Duration {
    // A fresh hasher's keys are random; all the randomness that jitter needs.
    let random = RandomState::new().hash_one(tries) % 1000;
    let full = BACKOFF * 4u32.saturating_pow(tries.min(4));
    full.mul_f64(0.5 + random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn waits_grow_and_differ() {
        for tries in 0..8 {
            let waits: HashSet<Duration> = (0..100).map(|_| backoff(tries)).collect();
            let full = BACKOFF * 4_u32.pow(tries.min(4));
            assert!(waits.len() > 20, "of many clients, few come together");
            assert!(
                waits
                    .iter()
                    .all(|wait| (full / 2..full * 3 / 2).contains(wait)),
                "{waits:?}"
            );
        }
    }
}
