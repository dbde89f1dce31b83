//! What reqwest's failures are to the reader: their kind, and words without secrets.

use super::{connect_timeout, proxy_for};
use crate::{
    error::{Error, TransportError, TransportKind},
    text::one_line,
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// How long a server may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The longest wait for the next byte.
    pub limit: Duration,
    /// Follows the time in the message: what sets it and what to do next.
    pub remedy: &'static str,
}

/// An error below HTTP. `request` names the request in the message.
pub fn transport(request: &str, kind: TransportKind, message: String) -> Error {
    Error::Transport(Arc::new(TransportError {
        request: request.to_owned(),
        kind,
        message,
    }))
}

/// The error for an answer that is not what the server promises.
pub fn bad_answer(request: &str, detail: impl Into<String>) -> Error {
    Error::BadAnswer {
        what: request.to_owned(),
        detail: detail.into(),
    }
}

/// The error for a connection to `url` that was not made, by a client of
/// [`super::builder`] with that `timeout`.
pub fn not_connected(request: &str, url: &Url, timeout: Duration, error: &reqwest::Error) -> Error {
    let mut host = url.origin().ascii_serialization();
    if let Ok(Some(proxy)) = proxy_for(url) {
        host = format!("{host} through {proxy}");
    }
    let message = if error.is_timeout() {
        let seconds = connect_timeout(timeout).as_secs_f32();
        format!("cannot connect to {host} within {seconds} s; check the network")
    } else {
        format!("cannot connect to {host}: {}", reason(&cause(error)))
    };
    transport(request, TransportKind::Connect, message)
}

/// What rustls says of a server that answers in plain text, in plain words.
fn reason(cause: &str) -> &str {
    match cause.contains("InvalidContentType") {
        true => "it does not speak TLS; is http:// meant?",
        false => cause,
    }
}

/// The error for a connection that was made and then broke or fell silent.
pub fn severed(request: &str, silence: Silence, error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        let (seconds, remedy) = (silence.limit.as_secs_f32(), silence.remedy);
        let message = format!("no byte for {seconds} s{remedy}");
        return transport(request, TransportKind::Stalled, message);
    }
    if error.is_builder() {
        return Error::Internal(format!("{request}: {}", cause(error)));
    }
    let message = format!("the connection broke: {}", cause(error));
    transport(request, TransportKind::Broken, message)
}

/// The innermost cause: the outer layers of reqwest and of `object_store` repeat the URL,
/// query included.
pub fn cause(error: &dyn std::error::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "unknown cause".into();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string(), 200)
}
