//! The body of an error answer: the service's JSON, or a gateway's page, as one short
//! line without control characters.

use super::{
    dialect::{self, title},
    headers::{is_marked, request_id},
};
use crate::{error::ApiError, http::retry_after, text::one_line};
use jiff::Timestamp;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;

/// Characters of a server's text that one message repeats.
const MAX_TEXT: usize = 300;

#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    r#type: Option<String>,
    code: Option<String>,
    message: Option<String>,
    param: Option<String>,
}

/// Decodes an error answer; `body` may be anything. `redact` removes secrets, which
/// the server may echo.
pub(super) fn api_error(
    request: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    redact: &dyn Fn(&str) -> String,
) -> ApiError {
    let shown = |text: Option<String>| one_line(&redact(&text.unwrap_or_default()), MAX_TEXT);
    let mut error = ApiError {
        request: request.to_owned(),
        status: status.as_u16(),
        request_id: request_id(headers, redact),
        retry_after: retry_after(headers, Timestamp::now()).map(|asked| asked.as_secs()),
        ..ApiError::default()
    };
    match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { error: body }) => {
            error.kind = shown(body.r#type);
            error.code = shown(body.code);
            error.message = shown(body.message);
            error.param = body.param.map(|param| shown(Some(param)));
            if is_marked(headers) {
                if error.kind.is_empty() {
                    error.kind.clone_from(&error.code);
                }
            } else if !dialect::is_error(error.status, &error.kind, &error.code) {
                // Another server's error says nothing of what exists.
                error.kind.clear();
            }
        }
        Err(_) => error.message = one_line(&redact(&summary(status, body)), MAX_TEXT),
    }
    error
}

/// A body that is not the documented JSON, in a few words.
fn summary(status: StatusCode, body: &[u8]) -> String {
    let reason = status.canonical_reason().unwrap_or("unknown status");
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return format!("{reason} (empty answer)");
    }
    if text.starts_with('<') {
        return match title(text) {
            Some(title) => {
                format!("{title} (an HTML page, not the API's JSON; a gateway, or a wrong API URL)")
            }
            None => format!(
                "{reason} (an HTML or XML page, not the API's JSON; a gateway, or a wrong API URL)"
            ),
        };
    }
    format!("{reason}: {text}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decode(status: u16, headers: &[(&'static str, &str)], body: &str) -> ApiError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        api_error(
            "GET /v1/runs",
            StatusCode::from_u16(status).unwrap(),
            &map,
            body.as_bytes(),
            &|text| text.replace("vm0_live_secret", "[token]"),
        )
    }

    #[test]
    fn a_documented_error_is_shown_with_its_parameter_and_request_id() {
        let error = decode(
            400,
            &[("x-request-id", "abc"), ("retry-after", "7")],
            r#"{"error":{"type":"invalid_request_error","code":"invalid_parameter","message":"limit\nis \u001b[31mout","param":"limit","doc_url":"x"}}"#,
        );
        assert_eq!(
            error.to_string(),
            "GET /v1/runs: HTTP 400 invalid_parameter: limit is [31mout (parameter limit) (try again in 7 s) [request id abc]"
        );
        assert_eq!(error.kind, "invalid_request_error");
    }

    #[test]
    fn other_bodies_become_one_short_line() {
        let table = [
            (
                502,
                "<html><head><TITLE>502 Bad\nGateway</TITLE>",
                "502 Bad Gateway (an HTML page",
            ),
            (
                404,
                "<!doctype html><body>",
                "Not Found (an HTML or XML page",
            ),
            (502, "<title>unclosed", "Bad Gateway (an HTML"),
            (500, "", "Internal Server Error (empty answer)"),
            (500, "\0\x01\x1b[2J", "Internal Server Error: [2J"),
            (500, "{\"error\":\"x\"}", "{\"error\":\"x\"}"),
            (401, "no vm0_live_secret here", "no [token] here"),
            (599, "{", "unknown status: {"),
        ];
        for (status, body, expected) in table {
            let message = decode(status, &[], body).message;
            assert!(message.contains(expected), "{message:?}");
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(message.chars().count() <= MAX_TEXT + 1);
        }
        assert!(
            decode(500, &[], &"é".repeat(100_000))
                .message
                .chars()
                .count()
                <= MAX_TEXT + 1
        );
    }

    #[test]
    fn a_request_id_does_not_echo_the_token() {
        let error = decode(404, &[("x-request-id", "of vm0_live_secret")], "");
        assert_eq!(error.request_id.as_deref(), Some("of [token]"));
    }
}
