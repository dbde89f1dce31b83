//! Servers that do not speak v1: they are named, and never pass for an account
//! without agents.

use crate::support::fake::{Action, Fault};
use crate::{
    commands::{finish, small_world},
    doctor::{alone, tells},
    support::{Bench, Who, is_mounted, reason::IO},
};
use std::{thread, time::Duration};

fn answer(status: u16, content_type: &str, body: &'static str) -> Action {
    Action::Status {
        status,
        body: body.into(),
        content_type: content_type.into(),
        headers: Vec::new(),
    }
}

/// Answers of servers that are no v1 API, and a word that tells what came.
fn answers() -> Vec<(Action, &'static str)> {
    let html = "<!DOCTYPE html><title>404: This page could not be found.</title>";
    let hosted = r#"{"error":{"message":"Not authenticated","code":"UNAUTHORIZED"}}"#;
    vec![
        (
            answer(404, "text/html", html),
            "HTTP 404 and a page in HTML",
        ),
        (
            answer(200, "text/html", html),
            "HTTP 200 and a page in HTML",
        ),
        (answer(401, "application/json", hosted), "Not authenticated"),
        (
            answer(404, "application/json", r#"{"detail":"Not Found"}"#),
            "HTTP 404 and JSON of another form (Not Found)",
        ),
        (
            answer(200, "application/json", r#"{"object":"list","data":[]}"#),
            "HTTP 200 and JSON of another form",
        ),
    ]
}

#[test]
fn mounting_a_foreign_server_fails_and_says_what_came_and_what_to_do() {
    for (action, word) in answers() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", action));
        let path = bench.folder("mnt", Who::Myself);
        let said = finish(bench.command(Who::Myself).arg("mount").arg(&path));
        let asked = format!("GET {}/v1/agents was answered with", bench.server.api_url());
        let words = [
            &*asked,
            word,
            "not the VM0 API v1",
            "--api-url",
            "`vm0fs demo`",
        ];
        said.failed(&words);
        assert!(!is_mounted(&path));
        let calls = bench.api_calls().len();
        assert_eq!(calls, 1, "asked once");
        let said = finish(bench.command(Who::Myself).args(["run", "writer", "Go"]));
        said.failed(&["not the VM0 API v1"]);
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_names_a_foreign_server() {
    for (action, word) in answers() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", action));
        let said = alone(&bench, Who::Myself, "vm0fs doctor");
        assert_eq!(said.code, Some(1), "{said:?}");
        tells(
            &said,
            "fail",
            "API",
            &[word, "is not the VM0 API v1", "--api-url", "vm0fs demo"],
        );
    }
}

#[test]
fn an_outage_while_mounting_is_not_taken_for_a_foreign_server() {
    let bench = Bench::new(small_world());
    bench.server.fault(Fault::api("/", Action::bad_gateway()));
    let mount = bench.mount().with(["--list-ttl", "1s"]).start();
    assert!(mount.cat(".vm0fs/errors").contains("HTTP 502"));
    bench.server.clear_faults();
    thread::sleep(Duration::from_secs(3));
    assert!(!mount.list("agents").is_empty());
    let log = mount.unmount().join("\n");
    assert!(log.contains("mounted all the same"), "{log}");
}

#[test]
fn a_server_that_became_foreign_shows_what_was_known_and_says_so() {
    for (action, word) in answers() {
        let bench = Bench::new(small_world());
        let cache = bench.folder("cache", Who::Myself);
        let cache = cache.to_str().unwrap();
        let mount = bench.mount().with(["--cache-dir", cache]).start();
        let agents = mount.list("agents");
        assert!(!agents.is_empty());
        mount.unmount();
        bench.server.fault(Fault::api("/", action));
        let mount = bench.mount().with(["--cache-dir", cache]).start();
        assert_eq!(mount.list("agents"), agents);
        // Never listed before, so there is nothing to show: and not an empty list.
        mount.fails("ls volumes", "Protocol not supported");
        let errors = mount.cat(".vm0fs/errors");
        let line = errors.lines().find(|line| line.contains("list of volumes"));
        let line = line.unwrap_or_else(|| panic!("{errors}"));
        for word in [word, "not the VM0 API v1", "--api-url", "vm0fs demo"] {
            assert!(line.contains(word), "{line}");
        }
        mount.unmount();
    }
}

#[test]
fn a_server_that_becomes_foreign_while_mounted_never_lists_nothing() {
    for (action, word) in answers() {
        let bench = Bench::new(small_world());
        let mount = bench.mount().with(["--list-ttl", "1s"]).start();
        let agents = mount.list("agents");
        bench.server.fault(Fault::api("/", action));
        thread::sleep(Duration::from_millis(1_200));
        assert_eq!(mount.list("agents"), agents);
        mount.fails("ls volumes", IO);
        let errors = mount.cat(".vm0fs/errors");
        assert!(
            errors.contains(word) && errors.contains("gateway"),
            "{errors}"
        );
        bench.server.clear_faults();
        thread::sleep(Duration::from_secs(3));
        mount.run("ls volumes");
    }
}
