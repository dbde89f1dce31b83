//! Whether what answers is the API v1 at all, or another server: one that has
//! never heard of it, or that spoke it once. Such a server must be named, and
//! must never pass for an account without agents.
//!
//! Sources: the public v1 contracts (the forms of lists and errors, the header
//! `X-API-Version`), and what servers answer that do not speak it.

use super::body::Body;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

/// Names of fields that a message repeats.
const MAX_FIELDS: usize = 5;

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

/// What an error of another form was, where it tells of another server.
pub(super) fn foreign_error(status: u16, body: &[u8]) -> Option<String> {
    tells_of_another(status).then(|| in_words(status, body))
}

/// What a success was, where it is no JSON that v1 sends.
pub(super) fn foreign_body(body: &Body) -> Option<String> {
    let is_other = !body.is_marked && !may_be_json(&body.bytes);
    is_other.then(|| in_words(200, &body.bytes))
}

/// What the first page of a list was, where it is none of v1's: `rows` of it have
/// been understood. Top lists are always paged.
pub(super) fn foreign_list(body: &Body, is_top: bool, rows: usize) -> Option<String> {
    if body.is_marked {
        return None;
    }
    let why = match serde_json::from_slice::<List>(&body.bytes) {
        // Broken off, rather than of another form.
        Err(error) if error.is_eof() => return None,
        Err(_) => "no list `data`",
        Ok(list) if is_top && list.pagination.is_none() => "a list without `pagination`",
        Ok(list) if rows == 0 && !list.data.is_empty() => "a list of other things",
        Ok(_) => return None,
    };
    Some(format!("{}: {why}", in_words(200, &body.bytes)))
}

/// Whether a body could be JSON that v1 sends: an object.
fn may_be_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// A body in a few words, for a sentence that begins "was answered with".
fn in_words(status: u16, body: &[u8]) -> String {
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

/// The title of an HTML page.
pub(super) fn title(text: &str) -> Option<&str> {
    // Lengths of ASCII lowercase are those of the text itself.
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(text[start..end].trim()).filter(|title| !title.is_empty())
}
