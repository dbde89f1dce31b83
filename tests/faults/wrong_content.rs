//! Answers with status 200 and another content.

use super::{Row, check};
use crate::support::fake::{Action, Server, World};
use crate::support::reason::IO;

fn body(text: &str) -> Action {
    Action::WrongBody(text.to_owned().into())
}

#[test]
fn answers_of_another_content_are_reported_and_pass() {
    let unexpected = &["unexpected answer"];
    check(vec![
        Row::new("empty", body(""), IO, unexpected).open(),
        Row::new("HTML", body("<html><title>Log in</title>"), IO, unexpected).open(),
        Row::new("an array", body("[]"), IO, unexpected).open(),
        Row::new("another shape", body(r#"{"data": 5}"#), IO, unexpected).open(),
        Row::new("half of it", body(r#"{"data": [{"#), IO, unexpected).open(),
    ]);
}

#[test]
fn an_answer_over_64_mib_is_reported_and_passes() {
    // More than is read into memory.
    let huge = vec![b' '; (64 << 20) + 1];
    check(vec![Row {
        // Lists and logs are asked for in smaller pages, down to one row: 100, 50, 6, 1.
        reads: 1..=4,
        ..Row::new(
            "huge",
            Action::WrongBody(huge.into()),
            IO,
            &["unexpected answer", "64 MiB"],
        )
        .open()
    }]);
}

#[test]
fn redirects_are_followed_within_the_service_only() {
    let elsewhere = Server::start(World::empty()).unwrap();
    let to = |location: &str| Action::redirect(307, location);
    let other = format!(
        "{}/v1/artifacts?X-Amz-Signature=hidden",
        elsewhere.api_url()
    );
    let mut rows = vec![
        Row {
            reads: 6..=6,
            ..Row::new("a loop", to("?again"), IO, &["redirect"])
        },
        Row::new(
            "another host",
            to(&other),
            IO,
            &["redirected to http://127.0.0.1"],
        ),
        Row::new("a file", to("file:///etc/passwd"), IO, &["redirected to"]),
        Row::new(
            "another scheme",
            to("ftp://127.0.0.1/x"),
            IO,
            &["redirected to ftp://"],
        ),
        Row::new(
            "a user",
            to("//me:hidden@127.0.0.1/"),
            IO,
            &["redirected to"],
        ),
    ];
    // A redirect without a place means nothing.
    let mut nowhere = to("");
    if let Action::Status { headers, .. } = &mut nowhere {
        headers.clear();
    }
    rows.push(Row::new("nowhere", nowhere, IO, &["Location"]).open());
    check(rows);
    assert_eq!(elsewhere.requests().len(), 0, "nothing was asked there");
}
