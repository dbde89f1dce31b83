//! Headers of an answer.

use crate::text::one_line;
use reqwest::header::HeaderMap;

/// Characters of a request id that are kept; a UUID has 36.
const MAX_REQUEST_ID: usize = 100;

/// Whether an answer names the API v1.
pub(super) fn is_marked(headers: &HeaderMap) -> bool {
    let version = headers.get("x-api-version");
    version.is_some_and(|version| version.as_bytes().eq_ignore_ascii_case(b"v1"))
}

/// `X-Request-Id`, fit to be shown.
pub(super) fn request_id(headers: &HeaderMap, redact: &dyn Fn(&str) -> String) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    Some(one_line(&redact(id), MAX_REQUEST_ID)).filter(|id| !id.is_empty())
}
