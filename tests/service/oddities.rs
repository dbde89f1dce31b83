//! Oddities of the running service, through a mount.

use crate::support::fake::{Action, Agent, Claude, Fault, LogRow, Port, Run, World, uuid};
use crate::{
    commands::{finish, small_world},
    doctor::{alone, tells},
    support::{Bench, Who, reason::IO},
};
use jiff::{SignedDuration, Timestamp};

/// A world with one ended run, of these rows.
fn logged(rows: impl IntoIterator<Item = LogRow>) -> (World, String) {
    let mut world = World::empty();
    let then = world.ago(9_000);
    world.add_agent(Agent::new("writer", then));
    let mut run = Run::new("writer", then);
    rows.into_iter().for_each(|row| run.log(row));
    let id = world.add_run(run);
    (world, id)
}

fn begin() -> Timestamp {
    "2025-01-01T00:00:00.25Z".parse().unwrap()
}

#[test]
fn a_log_of_large_rows_is_read_whole() {
    let rows = (0..110).map(|n| {
        let at = begin() + SignedDuration::from_secs(n);
        LogRow::system(at, format!("{n} {}", "x".repeat(900_000)))
    });
    let (world, id) = logged(rows);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let lines = mount.run(&format!("wc -l < runs/{id}/logs.jsonl"));
    assert_eq!(lines.trim(), "110");
    let numbers = mount.run(&format!(
        "cut -c1-200 runs/{id}/logs.jsonl | grep -o '\"[0-9]* x' | tr -dc '0-9\\n'"
    ));
    let expected: Vec<String> = (0..110).map(|n| n.to_string()).collect();
    assert_eq!(numbers.lines().collect::<Vec<_>>(), expected);
    let path = format!("/v1/runs/{id}/logs");
    let calls = bench.server.requests_to(Port::Api, &path);
    assert!(calls.len() <= 5, "{} calls", calls.len());
}

#[test]
fn a_millisecond_that_fills_a_page_loses_no_row() {
    let rows = (0..330_i64).map(|n| {
        // A hundred and fifty within one millisecond, and others around it.
        let micros = match n {
            0..80 => n * 1_000,
            80..230 => 90_000 + (n - 80) * 5,
            _ => 91_000 + n * 400,
        };
        let at = begin() + SignedDuration::from_micros(micros);
        let mark = format!("row-{n}-");
        let row = match n % 3 {
            0 => LogRow::agent(at, n as u64 / 3 + 1, Claude::said(&mark)),
            1 => LogRow::system(at, mark),
            _ => LogRow::network(at, "GET", &format!("https://example.com/{mark}"), 200, 4),
        };
        row.precise(at)
    });
    let (world, id) = logged(rows);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    // An event is in its row's message and metadata, an address likewise.
    let numbers = mount.run(&format!(
        "grep -o 'row-[0-9]*-' runs/{id}/logs.jsonl | uniq"
    ));
    let expected: Vec<String> = (0..330).map(|n| format!("row-{n}-")).collect();
    assert_eq!(numbers.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn names_that_are_no_uuid_are_not_asked_for() {
    let bench = Bench::new(small_world());
    let mount = bench.mount().start();
    for folder in ["agents", "runs", "volumes", "artifacts"] {
        mount.list(folder);
    }
    bench.server.clear_requests();
    for path in [
        "runs/run_12345678",
        "agents/ag_12345678",
        "volumes/vol_12345678",
    ] {
        mount.fails(&format!("stat {path}"), "No such file");
    }
    bench.expect_calls(0, "none of them can be an id");
    mount.fails(&format!("stat runs/{}", uuid("none")), "No such file");
    bench.expect_calls(1, "a UUID can be one");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}

/// What the service says of a token without a scope.
const NO_SCOPE: &str = "Please set up your scope first";

/// A service that refuses the token for that.
fn without_a_scope() -> Bench {
    let bench = Bench::new(small_world());
    let kind = "authentication_error";
    let action = Action::api_error(401, kind, "invalid_api_key", NO_SCOPE);
    bench.server.fault(Fault::api("/v1/", action));
    bench
}

#[test]
fn a_token_without_a_scope_is_refused_with_the_services_words() {
    let bench = without_a_scope();
    let path = bench.folder("mnt", Who::Myself);
    let said = finish(bench.command(Who::Myself).arg("mount").arg(&path));
    said.failed(&["refuses the token", NO_SCOPE]);
}

#[test]
#[ignore = "needs root"]
fn doctor_shows_the_services_words_for_a_token_without_a_scope() {
    let said = alone(&without_a_scope(), Who::Myself, "vm0fs doctor");
    tells(&said, "fail", "token", &["HTTP 401", NO_SCOPE]);
}

#[test]
fn a_download_that_fails_in_html_is_a_failure_of_that_version_only() {
    let mut world = small_world();
    let id = world.add_storage(vm0fs::demo::Kind::Volume, "odd");
    let files = vec![vm0fs::demo::File::new("f", "content\n")];
    world.add_version(&id, vm0fs::demo::VersionSpec::files(files));
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "1s"]).start();
    let page = Action::Status {
        status: 500,
        body: "<!DOCTYPE html><title>500: Internal Server Error</title>".into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    };
    let path = format!("/v1/volumes/{id}/download");
    bench.server.fault(Fault::api_exact(&path, page));
    mount.fails("cat volumes/odd/latest/f", IO);
    let errors = mount.cat(".vm0fs/errors");
    assert!(
        errors.contains("HTTP 500") && errors.contains("Internal Server Error"),
        "{errors}"
    );
    assert!(!errors.contains("not the VM0 API"), "{errors}");
    assert!(!mount.list("agents").is_empty());
    bench.server.clear_faults();
    crate::faults::recovers(&mount, "cat volumes/odd/latest/f", "the download");
}
