//! Whether a server speaks the API v1. An answer of another server must become an
//! error that names it, and never look like an account without agents.
//!
//! Sources: the public v1 contracts (the forms of lists and errors, the header
//! `X-API-Version`), and answers of servers that do not speak v1.

use super::body::Body;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

/// Names of fields that a message repeats.
const MAX_FIELDS: usize = 5;

/// Whether an error has the form that v1 documents: a type that fits the status, and
/// a code. Other products have errors of nearly the same form.
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

/// The part of a list that shows that it is one of v1.
#[derive(Deserialize)]
struct List {
    data: Vec<IgnoredAny>,
    pagination: Option<IgnoredAny>,
}

/// Describes an error of another form, if it means another server. Other statuses may
/// come from a gateway in an outage, or as HTML from inside the service.
pub(super) fn foreign_error(status: u16, body: &[u8]) -> Option<String> {
    let is_other = (400..500).contains(&status) && !matches!(status, 407 | 408 | 425 | 429);
    is_other.then(|| in_words(status, body))
}

/// Describes a success that v1 does not send.
pub(super) fn foreign_body(body: &Body) -> Option<String> {
    // JSON of v1 is an object.
    let may_be_json = body.bytes.trim_ascii_start().first() == Some(&b'{');
    let is_other = !body.is_marked && !may_be_json;
    is_other.then(|| in_words(200, &body.bytes))
}

/// Describes the first page of a list that v1 does not send. `rows` is how many of
/// its rows vm0fs understood. Lists of the top level (`is_top`) are always paged.
pub(super) fn foreign_list(body: &Body, is_top: bool, rows: usize) -> Option<String> {
    if body.is_marked {
        return None;
    }
    let why = match serde_json::from_slice::<List>(&body.bytes) {
        // Truncated, rather than of another form.
        Err(error) if error.is_eof() => return None,
        Err(_) => "no list `data`",
        Ok(list) if is_top && list.pagination.is_none() => "a list without `pagination`",
        Ok(list) if rows == 0 && !list.data.is_empty() => "a list of other things",
        Ok(_) => return None,
    };
    Some(format!("{}: {why}", in_words(200, &body.bytes)))
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

/// The message of an object, or else the names of its fields.
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
