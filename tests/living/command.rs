//! `vm0fs run`.

use super::{difference, in_order, log, posts, rows, say, until, world};
use crate::support::fake::{Action, Fault, Pace, uuid};
use crate::{
    commands::{finish, kill},
    support::{Bench, SOON, Who, watched::Watched},
};
use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// The id of the run that a test starts first: the world has one already.
fn first_id() -> String {
    uuid("started-run:1")
}

/// `vm0fs run` as `who`.
fn run(bench: &Bench, who: Who, arguments: &[&str]) -> Command {
    let mut command = bench.command(who);
    command.arg("run").args(arguments);
    command
}

/// Runs it with a text for its standard input, and gives what it prints.
#[track_caller]
fn with_input(mut command: Command, input: &str) -> String {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn run_prints_the_id_of_the_run_that_it_starts() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let agent = uuid("agent:writer");
        let said = finish(&mut run(&bench, who, &["writer", "Summarise the data"]));
        assert_eq!(said.err, "");
        assert_eq!(said.succeeded(), format!("{}\n", first_id()));
        finish(&mut run(&bench, who, &[&agent, "by its id"])).succeeded();
        with_input(run(&bench, who, &["writer", "-"]), "from a pipe\n");
        with_input(run(&bench, who, &["writer"]), "two\nlines\n");
        let whole = "{\"prompt\": \"whole\", \"artifact_name\": \"out\"}";
        with_input(run(&bench, who, &["writer"]), whole);
        let big = "word ".repeat(300_000);
        with_input(run(&bench, who, &["writer", "-"]), &big);
        let world = bench.server.world();
        let prompts: Vec<&str> = world.runs[1..].iter().map(|run| &*run.prompt).collect();
        let expected = [
            "Summarise the data",
            "by its id",
            "from a pipe",
            "two\nlines",
            "whole",
        ];
        assert_eq!(prompts[..5], expected);
        assert!(prompts[5] == big && prompts.len() == 6);
        assert_eq!(world.runs[5].artifact_name.as_deref(), Some("out"));
    }
}

#[test]
fn run_follow_prints_the_log_and_exits_as_the_run_ends() {
    for who in Who::all() {
        for (prompt, status, code) in [
            ("Summarise", "completed", 0),
            ("please fail", "failed", 3),
            ("time out", "timeout", 4),
        ] {
            let (mut world, _) = world();
            world.pace = Some(Pace {
                pending: Duration::from_millis(500),
                row: Duration::from_millis(300),
                rows: 10,
            });
            let bench = Bench::new(world);
            let said = finish(&mut run(&bench, who, &["writer", prompt, "--follow"]));
            assert_eq!(said.code, Some(code), "{said:?}");
            let ended = bench
                .server
                .world()
                .run(&first_id())
                .unwrap()
                .status
                .clone();
            assert_eq!(ended, status);
            let (id, shown) = said.out.split_once('\n').unwrap();
            assert_eq!(id, first_id());
            // In the order in which they came: what an event tells comes at once.
            let (shown, rows) = in_order(shown, rows(&bench, &first_id()));
            assert_eq!(difference(&shown, &rows), None, "each row once");
            assert!(rows.len() > 10);
        }
    }
}

#[test]
fn run_says_why_a_run_failed_and_prints_events_unchanged() {
    for who in Who::all() {
        for (prompt, code, word) in [
            ("Summarise", 0, None),
            ("please fail", 3, None),
            ("time out", 4, Some("was ended by its time limit")),
        ] {
            let (mut world, _) = world();
            world.pace = Some(Pace {
                pending: Duration::from_millis(300),
                row: Duration::from_millis(150),
                rows: 8,
            });
            let bench = Bench::new(world);
            let arguments = ["writer", prompt, "--follow", "--json"];
            let said = finish(&mut run(&bench, who, &arguments));
            assert_eq!(said.code, Some(code), "{said:?}");
            let id = first_id();
            let error = bench.server.world().run(&id).unwrap().error.clone();
            assert!(error.is_some() || prompt != "please fail");
            // Standard output has JSON and nothing else.
            let mount = bench.mount_as(who).start();
            assert_eq!(said.out, mount.cat(&format!("runs/{id}/events.jsonl")));
            assert!(said.out.lines().count() > 3);
            for line in said.out.lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(event.is_object(), "{line}");
            }
            let mut err = vec![format!("vm0fs: run {id}")];
            let reason = error.or(word.map(ToOwned::to_owned));
            if let Some(reason) = &reason {
                assert!(said.err.contains(reason.as_str()), "{said:?}");
                err.push(String::new());
            }
            assert!(said.err.starts_with(&format!("{}\n", err[0])), "{said:?}");
            assert_eq!(said.err.lines().count(), err.len(), "said once: {said:?}");
        }
        let (world, _) = world();
        let bench = Bench::new(world);
        let said = finish(&mut run(&bench, who, &["writer", "Go", "--json"]));
        assert_eq!(said.code, Some(2), "only with --follow: {said:?}");
    }
}

#[test]
fn the_reason_is_in_the_file_error_as_soon_as_the_stream_tells() {
    let (world, id) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "10m"]).start();
    assert_eq!(mount.cat(&format!("runs/{id}/error")), "");
    let follower = mount.watch(&format!("exec tail -n +1 -f runs/{id}/logs"));
    until("a stream", SOON, || {
        let path = format!("/v1/runs/{id}/events");
        !bench
            .server
            .requests_to(crate::support::fake::Port::Api, &path)
            .is_empty()
    });
    let reason = "The sandbox ran out of memory";
    {
        let mut world = bench.server.world();
        let run = world.run_mut(&id).unwrap();
        run.finish(jiff::Timestamp::now(), "failed", Some(reason.into()));
    }
    until("the reason", SOON, || {
        mount.cat(&format!("runs/{id}/error")).contains(reason)
    });
    drop(follower);
}

/// A follower of a run that goes on until the test ends it.
fn following(bench: &Bench, who: Who) -> (Watched, String) {
    let watched = Watched::start(&mut run(bench, who, &["writer", "Go", "-f"]));
    watched.expect(&format!("{}\n", first_id()));
    bench.server.world().set_status(&first_id(), "running");
    (watched, first_id())
}

#[test]
fn run_prints_each_line_as_it_comes_and_reports_a_cancel() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let (mut follower, id) = following(&bench, who);
        log(&bench, &id, "begun");
        say(&bench, &id, "first");
        follower.expect("agent info first");
        until("a stream", SOON, || {
            !bench
                .server
                .requests_to(
                    crate::support::fake::Port::Api,
                    &format!("/v1/runs/{id}/events"),
                )
                .is_empty()
        });
        say(&bench, &id, "second \u{1b}[2J");
        let wait = follower.expect("second \\e[2J");
        assert!(wait < super::PUSHED, "{wait:?}");
        let now = jiff::Timestamp::now();
        let mut world = bench.server.world();
        world.run_mut(&id).unwrap().finish(now, "cancelled", None);
        drop(world);
        assert_eq!(follower.end().code(), Some(5));
        // How it ended is said on standard error.
        let end = format!("vm0fs: run {id} was cancelled\n");
        until("all is printed", SOON, || {
            // What it printed last may still be in the pipe when it has ended.
            let text = follower.text();
            if text.matches(&end).count() != 1 {
                return false;
            }
            let text = text.replace(&end, "");
            let log = text.strip_prefix(&format!("{id}\n"));
            // What the stream tells does not wait for what has to be asked for.
            log.is_some_and(|log| {
                let (log, rows) = in_order(log, rows(&bench, &id));
                difference(&log, &rows).is_none()
            })
        });
        let text = follower.text();
        assert_eq!(text.matches(&end).count(), 1, "{text}");
    }
}

#[test]
fn run_goes_on_following_through_a_failure_of_the_service() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        // No stream that tells of the status.
        let of_run = format!("/v1/runs/{}", first_id());
        let events = Fault::api_exact(&format!("{of_run}/events"), Action::internal_error());
        bench.server.fault(events);
        let (mut follower, id) = following(&bench, who);
        say(&bench, &id, "first");
        follower.expect("agent info first");
        bench
            .server
            .fault(Fault::api(&of_run, Action::internal_error()));
        follower.expect(&format!("GET {of_run}: HTTP 500"));
        thread::sleep(Duration::from_secs(3));
        let now = jiff::Timestamp::now();
        bench
            .server
            .world()
            .run_mut(&id)
            .unwrap()
            .finish(now, "failed", None);
        bench.server.clear_faults();
        assert_eq!(follower.end().code(), Some(3));
    }
}

#[test]
fn interrupting_the_run_command_cancels_no_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let (mut follower, id) = following(&bench, who);
        kill(follower.pid(), nix::sys::signal::SIGINT);
        follower.end();
        assert_eq!(bench.server.world().run(&id).unwrap().status, "running");
        assert_eq!(posts(&bench), 1);
    }
}

#[test]
fn the_run_command_succeeds_when_its_reader_leaves() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let id = first_id();
    let mut command = run(&bench, Who::Myself, &["writer", "Go", "--follow"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    until("it is started", SOON, || posts(&bench) == 1);
    bench.server.world().set_status(&id, "running");
    say(&bench, &id, "to no reader");
    let end = std::time::Instant::now() + SOON;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(
            std::time::Instant::now() < end,
            "it goes on without a reader"
        );
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn run_reports_what_cannot_be_started() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let said = finish(&mut run(&bench, who, &["nobody", "Go"]));
        said.failed(&["no agent \"nobody\"", "ls agents"]);
        let said = finish(&mut run(&bench, who, &["writer", " \n"]));
        said.failed(&["no prompt"]);
        let said = finish(&mut run(&bench, who, &["writer"]));
        said.failed(&["no prompt"]);
        let said = finish(&mut run(&bench, who, &["writer", "{\"prompt\": \"hush\""]));
        said.failed(&["JSON object"]);
        assert!(!said.err.contains("hush"), "{said:?}");
        assert_eq!(posts(&bench), 0);
        let refusal = Action::api_error(
            400,
            "invalid_request_error",
            "invalid_parameter",
            "too vague",
        );
        let of_posts = |action| Fault::api_exact("/v1/runs", action).method("POST");
        bench.server.fault(of_posts(refusal));
        let said = finish(&mut run(&bench, who, &["writer", "Go"]));
        said.failed(&["too vague", "invalid_parameter"]);
        assert_eq!(said.out, "");
        bench.server.clear_faults();
        bench.server.fault(of_posts(Action::CloseBeforeHeaders));
        let said = finish(&mut run(&bench, who, &["writer", "Go"]));
        said.failed(&["may have been started"]);
        assert_eq!(posts(&bench), 2, "each sent once");
        bench.server.clear_faults();
        let mut unknown = run(&bench, who, &["writer", "Go"]);
        let said = finish(unknown.env("VM0_API_KEY", "not-the-token"));
        said.failed(&["401"]);
        assert!(!said.err.contains("not-the-token"), "{said:?}");
    }
}
