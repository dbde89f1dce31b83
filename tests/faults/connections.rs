//! Connections that break or fall silent.

use super::{Row, check};
use crate::support::fake::Action;
use crate::support::reason::{IO, TIMED_OUT};

#[test]
fn broken_connections_are_reported_and_pass() {
    let broke = &["the connection broke"];
    check(vec![
        Row::new("closed", Action::CloseBeforeHeaders, IO, broke)
            .passing()
            .open(),
        Row::new("reset", Action::Reset { after: 0 }, IO, broke)
            .passing()
            .open(),
        Row::new("reset amid the body", Action::Reset { after: 5 }, IO, broke)
            .passing()
            .open(),
        Row::new(
            "cut amid the body",
            Action::Truncate { after: 5 },
            IO,
            broke,
        )
        .passing()
        .open(),
        // The body ends, and more was promised.
        Row::new("less than said", Action::ContentLength(1 << 20), IO, broke)
            .passing()
            .open(),
        // What was promised came: half of a JSON text.
        Row::new(
            "more than said",
            Action::ContentLength(9),
            IO,
            &["unexpected answer"],
        )
        .open(),
    ]);
}

#[test]
fn silent_connections_end_at_the_timeout() {
    assert_eq!(vm0fs::config::DEFAULT_TIMEOUT.as_secs(), 30, "as promised");
    let silent = &["no byte for 2 s (--timeout)"];
    check(vec![
        Row::new("before the headers", Action::Stall, TIMED_OUT, silent).open(),
        Row::new(
            "after the headers",
            Action::StallBody { after: 0 },
            TIMED_OUT,
            silent,
        )
        .open(),
        Row::new(
            "amid the body",
            Action::StallBody { after: 5 },
            TIMED_OUT,
            silent,
        )
        .open(),
    ]);
}
