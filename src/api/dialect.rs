//! Whether what answers is the API v1 at all, or another server: one that has
//! never heard of it, or that spoke it once. Such a server must be named, and
//! must never pass for an account without agents.
//!
//! Sources: the public v1 contracts (the forms of lists and errors, the header
//! `X-API-Version`), and what servers answer that do not speak it.

use super::{
    body::Body,
    error_body::title,
    request::{Form, Request},
    transport::Transport,
};
use crate::{
    error::{ApiError, Error},
    text::one_line,
};
use reqwest::{StatusCode, header::HeaderMap};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

/// Characters of a server's text that a message repeats.
const MAX_TEXT: usize = 200;

/// Names of fields that a message repeats.
const MAX_FIELDS: usize = 5;

/// Whether an answer says of itself that it is v1's.
pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    let version = headers.get("x-api-version");
    version.is_some_and(|version| version.as_bytes().eq_ignore_ascii_case(b"v1"))
}

/// Whether an error has the form that v1 documents: a type that goes with the
/// status, and a code. Other products have errors that are nearly alike.
pub(super) fn is_error(status: u16, kind: &str, code: &str) -> bool {
    let fits = match status {
        400 => kind == "invalid_request_error",
        401 => kind == "authentication_error",
        404 | 410 => kind == "not_found_error",
        409 => kind == "conflict_error",
        _ => kind.ends_with("_error"),
    };
    fits && !code.is_empty()
}

/// Whether an error of another form tells of another server. A gateway that says
/// that no server is behind it, that it waits, or that there is too much, tells of
/// an outage; and what fails inside of the service can come as HTML.
fn tells_of_another(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 407 | 408 | 425 | 429)
}

/// The form of a list, as far as it takes to know one.
#[derive(Deserialize)]
struct List {
    data: Vec<IgnoredAny>,
    #[serde(default)]
    pagination: Option<IgnoredAny>,
}

/// What is wrong with the first page of a list, if it is none of v1's: `rows` of
/// it have been understood. Top lists are always paged.
pub(super) fn not_a_list(body: &Body, is_top: bool, rows: usize) -> Option<&'static str> {
    if body.is_marked {
        return None;
    }
    match serde_json::from_slice::<List>(&body.bytes) {
        // Broken off, rather than of another form.
        Err(error) if error.is_eof() => None,
        Err(_) => Some("no list `data`"),
        Ok(list) if is_top && list.pagination.is_none() => Some("a list without `pagination`"),
        Ok(list) if rows == 0 && !list.data.is_empty() => Some("a list of other things"),
        Ok(_) => None,
    }
}

/// Whether a body could be JSON that v1 sends: an object.
fn may_be_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// A body in a few words, for a sentence that begins "was answered with".
fn in_words(status: StatusCode, body: &[u8]) -> String {
    let status = status.as_u16();
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return format!("HTTP {status} and nothing more");
    }
    if text.starts_with('<') {
        return match title(text) {
            Some(title) => format!("HTTP {status} and a page in HTML ({title})"),
            None => format!("HTTP {status} and a page in HTML or XML"),
        };
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => {
            format!("HTTP {status} and JSON of another form ({})", gist(&object))
        }
        Ok(_) => format!("HTTP {status} and JSON of another form"),
        Err(_) => format!("HTTP {status} and the text {text:?}"),
    }
}

/// What an object says, or else which fields it has.
fn gist(object: &Map<String, Value>) -> String {
    let text = |object: &Map<String, Value>| {
        let names = ["message", "error", "detail", "title"];
        let texts = names.iter().filter_map(|name| object.get(*name)?.as_str());
        texts.map(ToOwned::to_owned).next()
    };
    let inner = || text(object.get("error")?.as_object()?);
    if let Some(text) = inner().or_else(|| text(object)) {
        return text;
    }
    let fields: Vec<&str> = object.keys().take(MAX_FIELDS).map(String::as_str).collect();
    match fields.is_empty() {
        true => "without fields".into(),
        false => format!("with the fields {}", fields.join(", ")),
    }
}

impl Transport {
    /// The error for an answer of a server that does not speak v1.
    pub(super) fn foreign(&self, request: &Request, came: &str) -> Error {
        let (url, method) = (&request.url, request.form.method());
        let host = url.origin().ascii_serialization();
        Error::NotV1 {
            asked: format!("{method} {host}{}", one_line(url.path(), MAX_TEXT)),
            came: one_line(&self.redact(request, came), MAX_TEXT),
            before: self.has_spoken(),
        }
    }

    /// The same for an error answer, if it is such a one.
    pub(super) fn foreign_error(
        &self,
        request: &Request,
        error: &ApiError,
        body: &[u8],
    ) -> Option<Error> {
        if error.is_documented() {
            self.speaks();
            return None;
        }
        // Failures of downloads stand outside of the common form; and what is to
        // act is sent to a server that is known.
        let may_tell = matches!(request.form, Form::Read | Form::Events(_));
        if !may_tell || !tells_of_another(error.status) || request.is_download() {
            return None;
        }
        let status = StatusCode::from_u16(error.status).ok()?;
        Some(self.foreign(request, &in_words(status, body)))
    }

    /// The same for a success that is no JSON.
    pub(super) fn foreign_body(&self, request: &Request, body: &Body) -> Option<Error> {
        let is_other = !body.is_marked && !may_be_json(&body.bytes);
        is_other.then(|| self.foreign(request, &in_words(StatusCode::OK, &body.bytes)))
    }

    /// The same for the first page of a list; `rows` of it have been understood.
    pub(super) fn foreign_list(
        &self,
        request: &Request,
        body: &Body,
        is_top: bool,
        rows: usize,
    ) -> Option<Error> {
        let Some(why) = not_a_list(body, is_top, rows) else {
            if rows > 0 || body.is_marked {
                self.speaks();
            }
            return None;
        };
        let came = in_words(StatusCode::OK, &body.bytes);
        Some(self.foreign(request, &format!("{came}: {why}")))
    }
}
