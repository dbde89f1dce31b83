//! Scripts that wait for a run by looking at its status, and what that costs.

use super::{follow, log, say, streams_and_calls, until, world};
use crate::support::fake::{
    Action, Agent, Claude, Fault, File, Kind, Port, Run, VersionSpec, World,
};
use crate::support::{Bench, Mount, SOON, Who};
use std::{thread, time::Duration};

/// A listing stands for this long in these tests: a change that is seen within it was
/// not seen by asking for the listing again.
const LONG: [&str; 2] = ["--list-ttl", "1h"];

/// Waits for a word in a file, as people's scripts do.
fn waiting(file: &str, test: &str, pause: &str) -> String {
    format!("exec sh -c 'until {test}; do sleep {pause}; done; cat {file}; echo seen' ")
}

/// The lines of the calls that were no streams.
fn lines(bench: &Bench) -> Vec<String> {
    let (_, calls) = streams_and_calls(bench);
    calls.iter().map(|call| call.line()).collect()
}

fn streams(bench: &Bench) -> usize {
    streams_and_calls(bench).0.len()
}

/// Ends a run now, with a version of an artifact or with an error.
fn end(bench: &Bench, run: &str, status: &str) {
    let mut world = bench.server.world();
    let error = (status == "failed").then(|| "Agent exited with code 1".to_owned());
    if error.is_none() {
        let id = world.add_storage(Kind::Artifact, "made");
        let version = world.add_version(&id, VersionSpec::files(vec![File::new("f", "made")]));
        let run = world.run_mut(run).unwrap();
        run.artifact_name = Some("made".into());
        run.artifact_version = Some(version);
    }
    let run = world.run_mut(run).unwrap();
    run.finish(jiff::Timestamp::now(), status, error);
}

/// Does something as each user, with a world's run and a fresh mount of it.
fn each_user(check: impl Fn(&Bench, &Mount, &str)) {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(LONG).start();
        check(&bench, &mount, &run);
    }
}

/// Lists the runs, so that what follows costs no listing.
fn listed(bench: &Bench, mount: &Mount) {
    mount.run("ls runs");
    bench.server.clear_requests();
}

/// Waits for a stream, and forgets the requests up to then: programs that start slowly
/// may ask once more before it is open.
#[track_caller]
fn one_stream(bench: &Bench, what: &str) {
    until(what, SOON, || streams(bench) == 1);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(streams(bench), 1, "{what}");
    bench.server.clear_requests();
}

#[test]
fn scripts_that_wait_for_a_status_see_it_end() {
    each_user(|bench, mount, run| {
        listed(bench, mount);
        let file = |name: &str| format!("runs/{run}/{name}");
        let (status, json) = (file("status"), file("run.json"));
        // Each by another file, or in another way; all of them at once.
        let scripts = [
            waiting(
                &status,
                &format!("[ \"$(cat {status})\" = completed ]"),
                "1",
            ),
            waiting(&status, &format!("grep -q completed {status}"), "0.2"),
            waiting(&status, &format!("[ $(stat -c %s {status}) = 10 ]"), "2"),
            waiting(
                &json,
                &format!("jq -e .completed_at {json} >/dev/null"),
                "1",
            ),
            format!(
                "exec python3 -uc 'import time\nwhile open(\"{status}\").read() != \"completed\\n\": \
                 time.sleep(1)\nprint(\"seen\")'"
            ),
        ];
        let scripts: Vec<_> = scripts.iter().map(|script| mount.watch(script)).collect();
        // The first that shows it asks for what the listing does not tell.
        let own = format!("GET /v1/runs/{run}");
        until("it is asked for", SOON, || lines(bench).contains(&own));
        one_stream(bench, "a stream is open");
        // For as long as nothing happens, nothing is asked.
        thread::sleep(Duration::from_secs(6));
        for script in &scripts {
            assert!(!script.text().contains("seen"), "{}", script.text());
        }
        end(bench, run, "completed");
        for script in &scripts {
            script.expect("seen");
        }
        assert_eq!(streams(bench), 0, "one stream for all of them");
        let calls = lines(bench);
        assert!(
            calls.len() <= 1 && calls.iter().all(|call| *call == own),
            "{calls:?}"
        );
        // All of it is right at once, and costs nothing more.
        mount.run(&format!("grep completed runs/{run}/run.json"));
        assert_eq!(mount.cat(&file("error")), "");
        bench.server.clear_requests();
        assert!(
            mount
                .run(&format!("readlink runs/{run}/artifact"))
                .contains("artifacts/made/")
        );
        bench.expect_calls(0, "told by the run's own answer");
    });
}

#[test]
fn scripts_can_wait_for_a_run_that_was_just_started() {
    each_user(|bench, mount, _| {
        let script = mount.watch(
            "exec sh -c 'echo Go > agents/writer/run; id=$(cat agents/writer/run); \
             until [ \"$(cat runs/$id/status)\" = failed ]; do sleep 1; done; \
             cat runs/$id/error; grep status runs/$id/run.json; echo seen'",
        );
        one_stream(bench, "it is followed");
        let run = bench.server.world().runs[1].id.clone();
        // It is pending for a while, and then it runs.
        thread::sleep(Duration::from_secs(3));
        assert_eq!(mount.cat(&format!("runs/{run}/status")), "pending\n");
        bench.server.world().set_status(&run, "running");
        let running = || mount.cat(&format!("runs/{run}/status")) == "running\n";
        until("it runs", SOON, running);
        let json = mount.cat(&format!("runs/{run}/run.json"));
        assert!(json.contains("\"running\""), "{json}");
        end(bench, &run, "failed");
        script.expect("seen");
        let text = script.text();
        assert!(text.starts_with("Agent exited with code 1\n"), "{text}");
        assert!(text.contains("\"status\": \"failed\""), "{text}");
        let calls = lines(bench);
        let asked = calls.iter().filter(|call| call.ends_with(&run)).count();
        assert!(asked <= 2, "once for each change: {calls:?}");
        assert_eq!(streams(bench), 0, "the same stream");
    });
}

#[test]
fn scripts_can_wait_for_the_answer_like_for_a_status() {
    each_user(|bench, mount, run| {
        listed(bench, mount);
        let file = format!("runs/{run}/result");
        let script = mount.watch(&waiting(&file, &format!("[ -s {file} ]"), "1"));
        until("a stream is open", SOON, || streams(bench) == 1);
        {
            let mut world = bench.server.world();
            let mut claude = Claude::new("the end", jiff::Timestamp::now());
            claude.finish("All is well");
            world.run_mut(run).unwrap().tell(&mut claude);
        }
        script.expect("seen");
        assert!(
            script.text().starts_with("All is well\n"),
            "{}",
            script.text()
        );
        assert_eq!(streams(bench), 1);
        assert!(lines(bench).len() <= 10, "{:?}", lines(bench));
    });
}

#[test]
fn a_minute_of_looking_at_the_status_costs_one_stream() {
    let (world, run) = world();
    let bench = Bench::new(world);
    // What the listing costs is in it.
    let mount = bench.mount().start();
    mount.run("ls runs");
    bench.server.clear_requests();
    let loops: Vec<_> = ["status", "run.json", "error", "status", "run.json"]
        .map(|file| format!("exec sh -c 'while cat runs/{run}/{file}; do sleep 0.5; done'"))
        .iter()
        .map(|script| mount.watch(script))
        .collect();
    for n in 0..60 {
        say(&bench, &run, &format!("said {n}"));
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(streams(&bench), 1);
    let calls = lines(&bench);
    assert!(calls.len() <= 5, "{calls:?}");
    drop(loops);
    // No process looks any more.
    until("nothing is followed any more", 2 * SOON, || {
        mount
            .cat(".vm0fs/status.json")
            .contains("\"runs_followed\": 0")
    });
}

/// A world of so many runs that go on, and of as many that have ended.
fn world_of(count: usize) -> (World, Vec<String>) {
    let mut world = World::empty();
    world.pace = None;
    world.heartbeat = Duration::from_millis(500);
    world.add_agent(Agent::new("writer", world.ago(9_000)));
    let mut going_on = Vec::new();
    for n in 0..count {
        let at = world.ago(5_000 - n as i64);
        world.add_run(Run::new("writer", at));
        let mut run = Run::new("writer", at).status("running");
        run.event(at, Claude::said("hello"));
        going_on.push(world.add_run(run));
    }
    (world, going_on)
}

fn count(mount: &Mount, word: &str) -> usize {
    let counted = mount.run(&format!("cat runs/*/status | grep -c {word} || true"));
    counted.trim().parse().unwrap()
}

#[test]
fn one_look_at_fifty_runs_opens_no_stream() {
    let (world, _) = world_of(50);
    let bench = Bench::new(world);
    let mount = bench.mount().with(LONG).start();
    bench.server.clear_requests();
    // By one process here and below: a second one that looks half a second later than a
    // first follows the run. (A shell that expands `runs/*/status` has looked.)
    let counted = mount.run(
        "python3 -c 'import glob\n\
         print([open(path).read() for path in glob.glob(\"runs/*/status\")].count(\"running\\n\"))'",
    );
    assert_eq!(counted, "50\n");
    assert_eq!(lines(&bench), ["GET /v1/runs"]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(streams(&bench), 0);
    // A file of them after the other, each as often as one command looks at it.
    let other = bench.mount().with(LONG).start();
    bench.server.clear_requests();
    other.run(
        "python3 -c 'import glob, os\n\
         for run in glob.glob(\"runs/*\"):\n\
         \x20open(run + \"/prompt\").read()\n\
         \x20os.stat(run + \"/status\")\n\
         \x20open(run + \"/status\").read()'",
    );
    thread::sleep(Duration::from_secs(2));
    assert_eq!(lines(&bench), ["GET /v1/runs"]);
    assert_eq!(streams(&bench), 0);
}

#[test]
fn a_loop_over_fifty_runs_is_bounded_and_sees_all_ends() {
    let (world, runs) = world_of(50);
    let bench = Bench::new(world);
    let mount = bench.mount().with(LONG).start();
    assert_eq!(count(&mount, "running"), 50);
    bench.server.clear_requests();
    let script = mount.watch(
        "exec sh -c 'while sleep 1; do cat runs/*/status | grep -c running || echo none; done'",
    );
    until("streams are open", SOON, || streams(&bench) > 0);
    // Logs have some left for them.
    let log_of = mount.watch(&format!("exec tail -n +1 -f runs/{}/logs", runs[0]));
    log_of.expect("hello");
    thread::sleep(Duration::from_secs(30));
    assert!(streams(&bench) <= 13, "{}", streams(&bench));
    let calls = lines(&bench);
    let listings = calls.iter().filter(|call| *call == "GET /v1/runs").count();
    let own = calls
        .iter()
        .filter(|call| call.contains("/v1/runs/"))
        .count();
    // For all that have no stream, one listing; the rest is the log.
    assert!((1..=12).contains(&listings), "{calls:?}");
    assert!(own <= 12, "{calls:?}");
    for run in &runs {
        end(&bench, run, "failed");
    }
    script.expect("none");
    assert_eq!(count(&mount, "failed"), 50);
    drop(log_of);
    // The log is read once more after its run has ended; on a busy machine that is later.
    until("what has ended costs nothing", SOON, || {
        bench.server.clear_requests();
        thread::sleep(Duration::from_secs(5));
        bench.server.requests_to(Port::Api, "").is_empty()
    });
}

#[test]
fn without_a_stream_the_status_is_polled() {
    each_user(|bench, mount, run| {
        let events = format!("/v1/runs/{run}/events");
        bench
            .server
            .fault(Fault::api(&events, Action::internal_error()));
        bench.server.clear_requests();
        let status = format!("runs/{run}/status");
        let script = mount.watch(&waiting(
            &status,
            &format!("[ \"$(cat {status})\" = cancelled ]"),
            "1",
        ));
        thread::sleep(Duration::from_secs(30));
        let (tries, calls) = (streams(bench), lines(bench));
        assert!((2..=6).contains(&tries), "{tries} streams");
        assert!((3..=8).contains(&calls.len()), "{calls:?}");
        // A service in trouble hides nothing that is known.
        let own = format!("/v1/runs/{run}");
        bench
            .server
            .fault(Fault::api(&own, Action::internal_error()).times(2));
        thread::sleep(Duration::from_secs(11));
        assert_eq!(mount.cat(&status), "running\n");
        bench.server.world().set_status(run, "cancelled");
        script.expect("seen");
    });
}

#[test]
fn a_log_opened_while_the_status_is_followed_is_in_order() {
    each_user(|bench, mount, run| {
        let script = mount.watch(&format!(
            "exec sh -c 'while cat runs/{run}/status; do sleep 0.6; done'"
        ));
        until("a stream is open", SOON, || streams(bench) == 1);
        for n in 0..3 {
            say(bench, run, &format!("said {n}"));
            log(bench, run, &format!("row {n}"));
        }
        thread::sleep(Duration::from_secs(1));
        let tail = follow(mount, run);
        tail.expect("row 2");
        say(bench, run, "at last");
        tail.expect("at last");
        let text = tail.text();
        let said = [
            "hello", "said 0", "row 0", "said 1", "row 1", "said 2", "row 2", "at last",
        ];
        let places = said.map(|words| {
            assert_eq!(text.matches(words).count(), 1, "{words}: {text}");
            text.find(words)
        });
        assert!(places.is_sorted(), "{text}");
        assert_eq!(streams(bench), 1, "the same stream");
        drop(script);
    });
}
