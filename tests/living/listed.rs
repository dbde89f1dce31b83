//! `vm0fs ls`, `vm0fs logs` and `vm0fs cancel`, with a mount and without one.

use super::{end_long_ago, posts, world};
use crate::support::fake::{
    Action, Agent, Claude, Fault, File, Kind, Run, VersionSpec, World, uuid,
};
use crate::{
    commands::{Said, finish, until},
    support::{Bench, Mount, Who, program, watched::Watched},
};
use serde_json::Value;
use std::process::Command;

/// What a name holds that must not reach a terminal.
const HOSTILE: &str = "a\u{1b}[2J\nb\u{202e}c";

/// A command of `who`, as words.
fn command(bench: &Bench, who: Who, words: &str) -> Command {
    let mut command = bench.command(who);
    command.args(words.split(' '));
    command
}

#[track_caller]
fn said(bench: &Bench, who: Who, words: &str) -> Said {
    finish(&mut command(bench, who, words))
}

/// What a command prints as JSON, an object a line.
#[track_caller]
fn objects(bench: &Bench, who: Who, words: &str) -> Vec<Value> {
    let out = said(bench, who, &format!("{words} --json")).succeeded();
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn field<'a>(rows: &'a [Value], name: &str) -> Vec<&'a str> {
    let values = rows.iter().map(|row| row[name].as_str().unwrap_or("-"));
    values.collect()
}

/// Two agents with runs of every kind, whose ids are the names given here.
fn many() -> World {
    let (mut world, _) = world();
    world.runs.clear();
    world.add_agent(Agent::new(HOSTILE, world.ago(8_000)));
    for (number, (status, agent)) in [
        ("completed", "writer"),
        ("failed", HOSTILE),
        ("timeout", "writer"),
        ("running", "writer"),
    ]
    .into_iter()
    .enumerate()
    {
        let ago = 4_000 - 1_000 * number as i64;
        let run = Run::new(agent, world.ago(ago)).status(status);
        world.add_run(run.prompt(HOSTILE).id(uuid(status)));
    }
    world.add_storage(Kind::Artifact, HOSTILE);
    world
}

#[test]
fn ls_lists_runs_as_a_table_and_exactly_as_json() {
    for who in Who::all() {
        let bench = Bench::new(many());
        let table = said(&bench, who, "ls runs").succeeded();
        assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5, "{table}");
        assert!(lines[0].starts_with("ID ") && lines[0].ends_with("PROMPT"));
        assert!(
            lines[1].starts_with(&format!("{}  running", uuid("running"))),
            "{table}"
        );
        let columns: Vec<usize> = lines.iter().filter_map(|line| line.rfind("  ")).collect();
        assert!(
            columns.windows(2).all(|pair| pair[0] == pair[1]),
            "aligned: {table}"
        );

        let rows = objects(&bench, who, "ls runs");
        let statuses = ["running", "timeout", "failed", "completed"];
        assert_eq!(field(&rows, "status"), statuses);
        for (words, expected) in [
            ("--status failed,timeout", &["timeout", "failed"][..]),
            ("--status running --status failed", &["running", "failed"]),
            ("--since 40m", &["running", "timeout"]),
            ("--agent writer", &["running", "timeout", "completed"]),
            ("--agent writer --limit 2", &["running", "timeout"]),
            ("--status pending", &[]),
        ] {
            let rows = objects(&bench, who, &format!("ls runs {words}"));
            assert_eq!(field(&rows, "status"), expected, "{words}");
        }
        let by_id = format!("ls runs --agent {}", uuid("agent:writer"));
        assert_eq!(objects(&bench, who, &by_id).len(), 3);
        let none = said(&bench, who, "ls runs --status pending");
        none.told(&["nothing to list"]);
        assert_eq!(none.succeeded(), "");

        let mount = bench.mount_as(who).start();
        let out = said(&bench, who, "ls runs --json").succeeded();
        assert_eq!(out, mount.cat("runs/.runs.jsonl"));
    }
}

#[test]
fn ls_lists_agents_artifacts_and_volumes() {
    for who in Who::all() {
        let mut world = many();
        for (kind, name) in [(Kind::Artifact, "report"), (Kind::Volume, "data")] {
            let storage = world.add_storage(kind, name);
            let files = vec![File::new("a", "12345")];
            world.add_version(&storage, VersionSpec::files(files));
        }
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        for what in ["agents", "artifacts", "volumes"] {
            let table = said(&bench, who, &format!("ls {what}")).succeeded();
            assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
            let rows = objects(&bench, who, &format!("ls {what}"));
            assert_eq!(table.lines().count(), rows.len() + 1, "{table}");
            let mut names: Vec<String> = mount.list(what);
            names.sort();
            let plain = |name: &&str| !name.contains('\n');
            let mut listed = field(&rows, "name");
            listed.retain(plain);
            names.retain(|name| !name.contains('%'));
            assert_eq!(listed, names);
            // It can be read, and is not listed.
            let file = format!("{what}/.{what}.jsonl");
            assert_eq!(
                mount.run(&format!("cat {file} | wc -l")).trim(),
                rows.len().to_string()
            );
        }
        let rows = objects(&bench, who, "ls artifacts");
        let report = rows.iter().find(|row| row["name"] == "report").unwrap();
        let latest = mount.run("readlink artifacts/report/latest");
        assert_eq!(report["version"], latest.trim());
        assert!(report["size"] == 5 && report["files"] == 1, "{report}");
        said(&bench, who, "ls everything").told(&["unrecognized subcommand"]);
    }
}

#[test]
fn a_mount_of_the_same_account_is_asked_for_what_it_knows() {
    for who in Who::all() {
        let bench = Bench::new(many());
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        mount.run("ls agents runs");
        bench.server.clear_requests();
        let of_mount = said(&bench, who, "ls runs --json").succeeded();
        said(&bench, who, "ls agents").succeeded();
        bench.expect_calls(0, "the mount knows them");
        // Where the user says how to reach the service, it is asked.
        let anew = said(&bench, who, "ls runs --json --timeout 20s").succeeded();
        assert_eq!(anew, of_mount);
        assert!(!bench.api_calls().is_empty());
        bench.server.clear_requests();

        // Another account's answers are not those of the mount.
        let mut other = command(&bench, who, "ls agents");
        finish(other.env("VM0_API_KEY", "another")).failed(&["401"]);
        // In its folder, it is the one.
        let cd = format!(
            "cd '{}' && '{}' ls agents --limit 1",
            mount.path().display(),
            program().display()
        );
        assert_eq!(crate::commands::shell(who, &cd).lines().count(), 2);
        let second = bench.mount_as(who).start();
        let mut without = command(&bench, who, "ls agents");
        finish(without.env_remove("VM0_API_KEY")).failed(&[
            "several mounts",
            "--mountpoint",
            mount.path().to_str().unwrap(),
            second.path().to_str().unwrap(),
        ]);
        let named = format!("ls agents --mountpoint {}", second.path().display());
        let mut named = command(&bench, who, &named);
        finish(named.env_remove("VM0_API_KEY")).succeeded();
        said(&bench, who, "ls agents --mountpoint /").failed(&["no vm0fs is mounted there"]);
    }
}

#[test]
fn words_mean_runs_that_a_mount_has_not_listed_yet() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who);
        let mount = mount.with(["--list-ttl", "1h", "--read-only"]).start();
        mount.run("cat runs/.runs.jsonl && ls agents/writer/latest/");
        let mut ago = 50;
        let mut start = |name: &str| {
            let id = uuid(name);
            ago -= 1;
            let mut world = bench.server.world();
            let run = Run::new("writer", world.ago(ago)).status("running");
            let mut run = run.id(id.clone());
            run.event(world.ago(1), Claude::said(name));
            world.add_run(run);
            drop(world);
            bench.server.clear_requests();
            id
        };
        for name in ["latest", "writer/latest", "beginning"] {
            let id = start(name);
            let word = name.replace("beginning", &id[..8]);
            let out = said(&bench, who, &format!("logs {word}")).succeeded();
            assert!(out.contains(name), "{word}: {out}");
            assert!(bench.api_calls().len() <= 4, "{:?}", bench.api_calls());
        }
        mount.unmount();

        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        for word in ["latest", "writer/latest", "beginning"] {
            mount.run("cat runs/.runs.jsonl && ls agents/writer/latest/");
            let id = start(&format!("another {word}"));
            let word = word.replace("beginning", &id[..8]);
            let out = said(&bench, who, &format!("cancel {word}")).succeeded();
            assert_eq!(out, format!("{id}: cancelled\n"), "{word}");
        }
    }
}

#[test]
fn words_that_name_nothing_are_reported_with_the_nearest() {
    let bench = Bench::new(many());
    let who = Who::Myself;
    let fails = |words: &str, told: &[&str]| said(&bench, who, words).failed(told);
    fails(
        "ls runs --status faild",
        &["did you mean \"failed\"?", "timeout"],
    );
    fails(
        "ls runs --agent wirter",
        &["no agent \"wirter\"", "did you mean \"writer\"?"],
    );
    fails("logs wirter/latest", &["did you mean \"writer\"?"]);
    fails("logs writer", &["is an agent", "writer/latest"]);
    fails("logs nope", &["no run \"nope\"", "vm0fs ls runs"]);
    fails("logs ../agents", &["no run"]);
    let (first, second) = (uuid("twin-1"), uuid("twin-2"));
    let prefix = "feedbeef";
    {
        let mut world = bench.server.world();
        for id in [first, second] {
            let run = Run::new("writer", world.ago(5)).status("completed");
            world.add_run(run.id(format!("{prefix}{}", &id[8..])));
        }
    }
    fails(
        &format!("logs {prefix}"),
        &["2 runs begin with", "give more of the id", "writer, "],
    );
}

#[test]
fn logs_shows_the_log_of_a_run_by_any_of_its_names() {
    for who in Who::all() {
        for is_mounted in [false, true] {
            let (world, run) = world();
            let bench = Bench::new(world);
            let mount = bench.mount_as(who).start();
            let log = mount.cat(&format!("runs/{run}/logs"));
            let events = mount.cat(&format!("runs/{run}/events.jsonl"));
            assert!(log.contains("hello") && events.contains("hello"));
            let _mount: Option<Mount> = is_mounted.then_some(mount);
            for name in [
                &run,
                &run[..8],
                "latest",
                "writer/latest",
                &format!("runs/{run}/"),
            ] {
                let out = said(&bench, who, &format!("logs {name}")).succeeded();
                assert_eq!(out, log, "{name}");
            }
            let out = said(&bench, who, "logs latest --json").succeeded();
            assert_eq!(out, events);
            let lines = Vec::from_iter(log.split_inclusive('\n'));
            for count in [0, 1, 2, lines.len(), lines.len() + 7] {
                let last = lines[lines.len().saturating_sub(count)..].concat();
                let out = said(&bench, who, &format!("logs latest --tail {count}")).succeeded();
                assert_eq!(out, last, "{count} of {log}");
            }
            let wrong = said(&bench, who, "logs latest -n few");
            wrong.told(&["\"few\" is not a whole number", "like 20"]);
        }
    }
}

#[test]
fn logs_follow_exits_as_the_run_has_ended() {
    for who in Who::all() {
        for is_mounted in [false, true] {
            for (status, code) in [
                ("completed", 0),
                ("failed", 3),
                ("timeout", 4),
                ("cancelled", 5),
            ] {
                let (world, run) = world();
                let bench = Bench::new(world);
                end_long_ago(&bench, &run);
                bench.server.world().run_mut(&run).unwrap().status = status.into();
                let _mount = is_mounted.then(|| bench.mount_as(who).start());
                let said = said(&bench, who, "logs latest --follow");
                assert_eq!(said.code, Some(code), "{said:?}");
                assert!(said.out.contains("hello"), "{said:?}");
                let lines = if code == 0 { 0 } else { 1 };
                assert_eq!(said.err.lines().count(), lines, "{said:?}");
                if code == 0 {
                    let last = said.out.split_inclusive('\n').next_back();
                    let tail = self::said(&bench, who, "logs latest --follow --tail 1");
                    assert_eq!(Some(&*tail.succeeded()), last);
                }
            }
        }
    }
}

#[test]
fn cancel_says_what_became_of_each_run() {
    for who in Who::all() {
        for is_mounted in [false, true] {
            let bench = Bench::new(many());
            let _mount = is_mounted.then(|| bench.mount_as(who).start());
            let (running, failed) = (uuid("running"), uuid("failed"));
            let both = said(&bench, who, &format!("cancel {} {failed}", &running[..8]));
            let told = format!("{running}: cancelled\n{failed}: had ended before: failed\n");
            assert_eq!(both.succeeded(), told);
            assert_eq!(posts(&bench), 1, "an ended run is not sent to the service");
            assert_eq!(
                bench.server.world().run(&running).unwrap().status,
                "cancelled"
            );
            let again = said(&bench, who, &format!("cancel zebra {running}"));
            again.failed(&["zebra: there is no run \"zebra\""]);
            assert_eq!(
                again.out,
                format!("{running}: had ended before: cancelled\n")
            );
        }
    }
}

#[test]
fn a_cancel_that_the_service_refuses_is_told_in_its_words() {
    for is_mounted in [false, true] {
        let bench = Bench::new(many());
        let mount = is_mounted.then(|| bench.mount().start());
        let refusal = Action::api_error(403, "permission_error", "forbidden", "not your run");
        let path = format!("/v1/runs/{}/cancel", uuid("running"));
        bench.server.fault(Fault::api_exact(&path, refusal));
        let said = said(&bench, Who::Myself, "cancel writer/latest");
        said.failed(&["writer/latest: ", "not your run"]);
        assert_eq!(said.out, "");
        drop(mount);
    }
}

#[test]
fn no_name_of_the_service_leads_out_of_a_mount() {
    let mut world = many();
    let odd = "../../../tmp/x1";
    let run = Run::new("writer", world.ago(1)).status("running");
    world.add_run(run.id(odd));
    let bench = Bench::new(world);
    for is_mounted in [false, true] {
        let _mount = is_mounted.then(|| bench.mount().start());
        let said = said(&bench, Who::Myself, "logs latest");
        assert_eq!(said.succeeded(), "");
    }
    let said = said(&bench, Who::Myself, "cancel latest");
    assert_eq!(said.succeeded(), "..%2F..%2F..%2Ftmp%2Fx1: cancelled\n");
}

#[test]
fn ls_shows_what_was_last_known_while_the_service_is_away() {
    let mut bench = Bench::at_own_address(many());
    let who = Who::Myself;
    let before = said(&bench, who, "ls runs --json").succeeded();
    let mut after = command(&bench, who, "ls runs --json");
    bench.end_server();
    let said = finish(&mut after);
    said.told(&["what follows is what was last known"]);
    assert_eq!(said.succeeded(), before);
}

#[test]
fn a_mount_says_that_it_shows_what_was_last_known() {
    for who in Who::all() {
        let (world, run) = world();
        let mut bench = Bench::at_own_address(world);
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        let of = |words: &str| format!("{words} --mountpoint {}", mount.path().display());
        let before = said(&bench, who, &of("ls runs")).succeeded();
        let log = said(&bench, who, &of("logs latest")).succeeded();
        bench.end_server();
        // Another run may be the latest by now.
        said(&bench, who, &of("cancel latest")).failed(&["latest: ", "refused"]);
        let listed = said(&bench, who, &of("ls runs"));
        listed.told(&["refused", "what follows is what was last known"]);
        assert_eq!(listed.succeeded(), before);
        let told = said(&bench, who, &of("logs latest"));
        told.told(&[
            "the runs are those that were last known",
            "the log is as it was last known",
        ]);
        assert_eq!(told.succeeded(), log);
        until("status tells of it", || {
            let status = said(&bench, who, &format!("status {}", mount.path().display()));
            status.out.contains("not reached now: ")
        });
        let mut follow = command(&bench, who, &of(&format!("logs {run} --follow")));
        let follow = Watched::start(&mut follow);
        follow.expect("what comes is shown once that is over");
    }
}
