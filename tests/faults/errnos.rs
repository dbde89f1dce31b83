//! The error number of each failure while mounted, and that it passes.

use crate::support::fake::{Action, Fault, Port, uuid};
use crate::{
    support::{Bench, Mount, SOON, Who, reason},
    waiting::world,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a failure stands for an answer, and a little.
const FAILURE: Duration = Duration::from_millis(2_300);

/// Repeats a command until it succeeds.
#[track_caller]
fn recovers(mount: &Mount, script: &str) -> String {
    let end = Instant::now() + SOON;
    loop {
        let output = mount.try_run(script);
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
        assert!(Instant::now() < end, "{script}: {output:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// `.vm0fs/errors` once it has a line with this in it.
#[track_caller]
fn error_line(mount: &Mount, part: &str) -> String {
    let script = format!("grep -F -e '{part}' .vm0fs/errors");
    recovers(mount, &script)
}

fn unauthorized() -> Action {
    Action::api_error(
        401,
        "authentication_error",
        "revoked_api_key",
        "API key revoked",
    )
}

#[test]
fn a_token_that_is_revoked_is_eacces() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        bench.server.fault(Fault::everywhere(unauthorized()));
        mount.fails("ls runs", reason::DENIED);
        mount.fails(&format!("cat runs/{run}/logs"), reason::DENIED);
        let line = error_line(&mount, "list of runs");
        for part in [
            "HTTP 401",
            "revoked_api_key",
            "API key revoked",
            "check the token",
            &uuid("fault"),
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        bench.server.clear_faults();
        let listed = recovers(&mount, "ls runs");
        assert_eq!(listed.trim(), run);
    }
}

#[test]
fn a_failure_is_told_of_as_soon_as_it_is_met() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench
        .server
        .fault(Fault::api("/v1/runs", Action::internal_error()));
    let count = || mount.cat(".vm0fs/errors").lines().count();
    assert_eq!(count(), 0);
    mount.fails("ls runs", reason::IO);
    assert_eq!(count(), 1);
    mount.fails(&format!("cat runs/{run}/run.json"), reason::IO);
    assert!(count() >= 2, "{}", mount.cat(".vm0fs/errors"));
}

#[test]
fn trouble_of_the_service_is_eio_and_passes() {
    for action in [
        Action::internal_error(),
        Action::bad_gateway(),
        Action::CloseBeforeHeaders,
    ] {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount().start();
        bench.server.fault(Fault::api("/v1/runs", action.clone()));
        mount.fails("ls runs", reason::IO);
        mount.fails(&format!("cat runs/{run}/run.json"), reason::IO);
        error_line(&mount, "list of runs");
        assert_eq!(
            mount.list("artifacts"),
            ["quick", "slow"],
            "others are well"
        );
        bench.server.clear_faults();
        assert_eq!(recovers(&mount, "ls runs").trim(), run);
        recovers(&mount, &format!("cat runs/{run}/run.json"));
        // The page of failures goes on telling; the attribute does not.
        thread::sleep(Duration::from_millis(1_100));
        assert!(mount.cat(".vm0fs/errors").contains("list of runs"));
        mount.fails("getfattr -n user.vm0.last_error runs", "No such attribute");
    }
}

#[test]
fn one_failed_try_is_repeated_unseen() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench
        .server
        .fault(Fault::api("/v1/runs", Action::bad_gateway()).times(1));
    assert_eq!(mount.run("ls runs").trim(), run);
}

#[test]
fn the_rate_limit_is_eagain() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench
        .server
        .fault(Fault::api("/v1/volumes", Action::rate_limited(4)));
    bench.server.clear_requests();
    mount.fails("ls volumes", reason::AGAIN);
    bench.expect_calls(1, "asking on would only make it worse");
    let line = error_line(&mount, "list of volumes");
    assert!(line.contains("try again in 4 s"), "{line}");
    bench.server.clear_faults();
    recovers(&mount, "ls volumes");
}

#[test]
fn an_answer_that_is_no_json_is_eio() {
    for body in ["", "{", "[]", "<html>", "{\"data\": 5}"] {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount().start();
        let action = Action::WrongBody(body.to_owned().into());
        bench.server.fault(Fault::api("/v1/artifacts", action));
        let output = mount.try_run("ls artifacts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(reason::IO), "{body:?}: {output:?}");
        error_line(&mount, "list of artifacts");
    }
}

#[test]
fn one_bad_row_does_not_cost_the_list() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let good = r#"{"id":"x-1","name":"good","created_at":"2026-01-01T00:00:00Z","new":true}"#;
    let page = format!(r#"{{"data":[{{"id":1}},{good},{{"id":"x-2"}}]}}"#);
    bench
        .server
        .fault(Fault::api("/v1/artifacts", Action::WrongBody(page.into())));
    assert_eq!(mount.list("artifacts"), ["good"]);
}

#[test]
fn without_a_network_what_is_known_is_shown() {
    for who in Who::all() {
        let (world, run) = world();
        let mut bench = Bench::at_own_address(world);
        let mount = bench.mount_as(who).with(["--list-ttl", "0s"]).start();
        mount.run("ls agents runs artifacts artifacts/quick; cat artifacts/quick/latest/f");
        mount.run(&format!("cat runs/{run}/run.json runs/{run}/logs"));
        bench.end_server();
        assert_eq!(mount.list("artifacts"), ["quick", "slow"]);
        assert_eq!(mount.list("agents"), ["writer"]);
        assert_eq!(mount.run("ls runs").trim(), run);
        assert_eq!(mount.cat("artifacts/quick/latest/f"), "content of quick\n");
        mount.run(&format!(
            "cat runs/{run}/status runs/{run}/run.json runs/{run}/logs"
        ));
        mount.run("ls -lR artifacts/quick agents/writer/runs > /dev/null");
        mount.fails("cat artifacts/slow/latest/f", reason::UNREACHABLE);
        mount.fails("ls volumes", reason::UNREACHABLE);
        mount.fails(&format!("cat runs/{run}/metrics.json"), reason::UNREACHABLE);
        // One line for all that no server can be asked about.
        let line = error_line(&mount, "the network");
        assert!(line.contains("GET /v1/"), "{line}");
        let names = mount.run("getfattr -d artifacts volumes");
        assert!(names.contains("user.vm0.last_error"), "{names}");
    }
}

#[test]
fn an_unreachable_object_store_fails_downloads_only() {
    let (world, run) = world();
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::CloseBeforeHeaders));
    let mount = bench.mount().start();
    mount.fails("cat artifacts/slow/latest/f", reason::IO);
    assert_eq!(mount.cat(&format!("runs/{run}/status")), "completed\n");
    let latest = mount.run("readlink artifacts/slow/latest");
    let line = error_line(&mount, latest.trim());
    assert!(!line.contains("X-Amz"), "{line}");
    let tries = bench.server.requests_to(Port::Store, "").len();
    assert!(tries <= 10, "{tries} tries");
    bench.server.clear_faults();
    assert_eq!(
        recovers(&mount, "cat artifacts/slow/latest/f"),
        "content of slow\n"
    );
}

#[test]
fn a_failure_is_not_repeated_for_each_file_of_a_listing() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.list("artifacts/slow");
    bench
        .server
        .fault(Fault::api("/v1/artifacts/", Action::internal_error()));
    bench.server.clear_requests();
    mount.try_run("for i in $(seq 20); do cat artifacts/slow/latest/f$i; done");
    let calls = bench.api_calls().len();
    assert!(
        calls <= 6,
        "{calls} calls for twenty files within {FAILURE:?}"
    );
}
