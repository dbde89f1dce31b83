//! Answers with an error status, of the service and of gateways.

use super::{Row, check};
use crate::support::fake::Action;
use crate::support::reason::{AGAIN, BUSY, DENIED, INVALID, IO, MISSING, TIMED_OUT};

fn documented(status: u16, kind: &str, code: &str) -> Action {
    Action::api_error(status, kind, code, "so says the test")
}

#[test]
fn error_answers_of_the_service_are_reported_and_pass() {
    let invalid = "invalid_request_error";
    check(vec![
        Row::new(
            "400",
            documented(400, invalid, "invalid_parameter"),
            INVALID,
            &["HTTP 400 invalid_parameter: so says the test", "request id"],
        ),
        Row::new(
            "401",
            documented(401, "authentication_error", "expired_api_key"),
            DENIED,
            &["HTTP 401 expired_api_key", "check the token"],
        ),
        Row::new(
            "403",
            documented(403, "permission_error", "forbidden"),
            DENIED,
            &["HTTP 403 forbidden"],
        ),
        Row {
            // The list exists, and so does the file that is written.
            list: IO,
            write: INVALID,
            reads_told: false,
            ..Row::new(
                "404",
                documented(404, "not_found_error", "resource_not_found"),
                MISSING,
                &["HTTP 404 resource_not_found"],
            )
        },
        Row::new(
            "409",
            documented(409, "conflict_error", "resource_already_exists"),
            BUSY,
            &["HTTP 409 resource_already_exists"],
        ),
        Row::new(
            "500",
            Action::internal_error(),
            IO,
            &["HTTP 500 internal_error", "request id"],
        )
        .open(),
    ]);
}

#[test]
fn rate_limit_answers_are_eagain_and_pass() {
    check(vec![
        Row::new(
            "429 without Retry-After",
            documented(429, "rate_limit_error", "rate_limit_exceeded"),
            AGAIN,
            &["HTTP 429 rate_limit_exceeded"],
        ),
        Row::new(
            "429 for long",
            Action::rate_limited(4),
            AGAIN,
            &["HTTP 429", "try again in 4 s"],
        ),
        Row {
            // The service has said that it did not act on it.
            writes: super::TRIES..=super::TRIES,
            ..Row::new(
                "429 for a moment",
                Action::rate_limited(1),
                AGAIN,
                &["HTTP 429", "try again in 1 s"],
            )
            .passing()
        },
    ]);
}

#[test]
fn error_answers_of_gateways_are_reported_and_pass() {
    let html = |status, body: &'static str| Action::Status {
        status,
        body: body.into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    };
    let unavailable = Action::Status {
        status: 503,
        body: "down for maintenance".into(),
        content_type: "text/plain".into(),
        headers: vec![("Retry-After".into(), "3000".into())],
    };
    check(vec![
        Row::new(
            "502",
            Action::bad_gateway(),
            IO,
            &["HTTP 502", "502 Bad Gateway", "HTML"],
        )
        .passing()
        .open(),
        Row::new("503", html(503, ""), IO, &["HTTP 503", "empty answer"])
            .passing()
            .open(),
        Row::new(
            "503 for long",
            unavailable,
            IO,
            // When to try again is told of reads only: a write may have been heard.
            &["HTTP 503", "down for maintenance"],
        )
        .open(),
        Row::new("504", html(504, "<p>late"), TIMED_OUT, &["HTTP 504"])
            .passing()
            .open(),
        // No word of the service's: it says nothing of what exists.
        Row::new(
            "404 of a gateway",
            html(404, "<title>Not here</title>"),
            IO,
            &["HTTP 404", "Not here"],
        ),
    ]);
}
