//! Listings, runs, and names that cost nothing.

use super::calls;
use crate::support::{Bench, Who};
use vm0fs::demo::{Agent, Claude, File, Kind, LogRow, Run, VersionSpec, World};

/// Two agents, four runs, a volume and two artifacts. Gives the runs' ids: the
/// first two have ended long ago, one just now, one is going on.
fn world() -> (World, [String; 4]) {
    let mut world = World::empty();
    for name in ["writer", "reader"] {
        world.add_agent(Agent::new(name, world.ago(9_000)));
    }
    for (kind, name) in [
        (Kind::Volume, "data"),
        (Kind::Artifact, "one"),
        (Kind::Artifact, "two"),
    ] {
        let id = world.add_storage(kind, name);
        world.add_version(&id, VersionSpec::files(vec![File::new("f", name)]));
    }
    let ages = [8_000, 7_000, 70, 60];
    let ids = ages.map(|age| {
        let at = world.ago(age);
        let mut run = Run::new("writer", at);
        if age == 60 {
            run = run.status("running");
        }
        run.event(at, Claude::said("hello"));
        run.log(LogRow::system(at, "sandbox started"));
        run.log(LogRow::network(at, "GET", "https://example.com/", 200, 9));
        world.add_run(run)
    });
    (world, ids)
}

#[test]
fn the_four_top_folders_cost_four_calls() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        // The mount's own greeting is the listing of agents.
        let mount = bench.mount_as(who).start();
        mount.run("ls agents runs volumes artifacts");
        assert_eq!(
            calls(&bench),
            [
                "GET /v1/agents",
                "GET /v1/artifacts",
                "GET /v1/runs",
                "GET /v1/volumes"
            ]
        );
        mount.run("ls . agents runs volumes artifacts");
        mount.run("ls -l agents runs volumes artifacts");
        mount.run("find . -maxdepth 2");
        bench.expect_calls(0, "listed within the TTL");
    }
}

#[test]
fn the_state_of_a_listed_run_costs_nothing_more() {
    let (world, [old, other, new, running]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("ls runs");
    assert_eq!(calls(&bench), ["GET /v1/agents", "GET /v1/runs"]);
    for run in [&old, &new] {
        mount.cat(&format!("runs/{run}/status"));
        mount.cat(&format!("runs/{run}/prompt"));
        mount.run(&format!(
            "stat runs/{run} runs/{run}/status runs/{run}/agent"
        ));
    }
    // By one process, at once: a second process that reads the status half a second
    // later follows the run.
    mount.run(&format!(
        "python3 -c 'import os\nos.chdir(\"runs/{running}\")\n\
         for name in [\".\", \"status\", \"agent\"]: os.lstat(name)\n\
         for name in [\"status\", \"prompt\"]: open(name).read()'"
    ));
    mount.run(&format!(
        "cat runs/{old}/status runs/{other}/status runs/{new}/status; \
         ls -l runs; ls runs/.by-status/*; ls -l agents/*/runs"
    ));
    bench.expect_calls(0, "the listing holds all of that");
}

#[test]
fn a_long_listing_of_artifacts_costs_one() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench.server.clear_requests();
    mount.run("ls -l artifacts/");
    assert_eq!(calls(&bench), ["GET /v1/artifacts"]);
    mount.run("ls -l artifacts/; stat artifacts/one; readlink artifacts/*/latest");
    bench.expect_calls(0, "known from the listing");
}

#[test]
fn names_that_programs_probe_for_cost_nothing() {
    let (world, [run, ..]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench.server.clear_requests();
    let probe = |folders: &[&str]| {
        for folder in folders {
            let names = [
                ".git",
                ".Trash-1000",
                ".Trash",
                ".hidden",
                ".directory",
                "autorun.inf",
                "desktop.ini",
                "Thumbs.db",
                "HEAD",
                ".DS_Store",
            ];
            for name in names {
                let found = std::fs::symlink_metadata(mount.join(&format!("{folder}/{name}")));
                let error = found.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{folder}/{name}");
            }
        }
    };
    // Even before anything has been listed.
    probe(&["agents", "runs", "volumes", "artifacts", ".", ".vm0fs"]);
    bench.expect_calls(0, "cold");
    mount.run(&format!(
        "ls agents runs runs/{run} volumes volumes/data artifacts"
    ));
    mount.run("stat agents/writer");
    bench.server.clear_requests();
    let run = format!("runs/{run}");
    let in_run = format!("{run}/volumes");
    let folders = [
        "agents",
        "agents/writer",
        "agents/writer/runs",
        "runs",
        "runs/.by-status",
        "runs/.by-status/failed",
        &run,
        &in_run,
        "volumes",
        "volumes/data",
        "artifacts",
    ];
    probe(&folders);
    bench.expect_calls(0, "warm");
}

#[test]
fn names_no_object_can_have_cost_no_call_of_their_own() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("ls agents runs volumes artifacts");
    bench.server.clear_requests();
    for path in [
        "agents/nobody",
        "runs/nothing",
        "volumes/none",
        "artifacts/none",
        "artifacts/one/short",
        "agents/writer/none",
        "agents/writer/runs/none",
    ] {
        assert!(!mount.join(path).exists(), "{path}");
    }
    bench.expect_calls(0, "the listings tell");
}

#[test]
fn a_plain_listing_fetches_no_logs() {
    let (world, [run, ..]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("ls runs");
    bench.server.clear_requests();
    mount.run(&format!("ls runs/{run}"));
    assert_eq!(calls(&bench), [format!("GET /v1/runs/{run}")]);
    mount.run("find runs -name logs; ls runs/*");
    let made = calls(&bench);
    let only_runs = made
        .iter()
        .all(|line| !line.ends_with("/logs") && !line.ends_with("/metrics"));
    assert!(only_runs && made.len() == 3, "{made:#?}");
    let listed = mount.run(&format!(
        "find runs/{run} -name '*.log' -o -name 'logs*' | sort | wc -l"
    ));
    assert_eq!(listed.trim(), "5");
    bench.expect_calls(0, "names only");
}

#[test]
fn five_log_files_come_from_one_walk() {
    let (world, [run, ..]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("ls runs");
    bench.server.clear_requests();
    mount.cat(&format!("runs/{run}/logs"));
    let walk = calls(&bench);
    assert!(
        walk.iter()
            .all(|line| *line == format!("GET /v1/runs/{run}/logs")),
        "{walk:?}"
    );
    assert!(
        (1..=4).contains(&walk.len()),
        "a walk of three rows: {walk:?}"
    );
    mount.run(&format!(
        "cd runs/{run} && cat logs logs.jsonl agent.log system.log network.log"
    ));
    mount.run(&format!("cd runs/{run} && wc -l logs logs.jsonl agent.log system.log network.log && stat logs network.log"));
    bench.expect_calls(0, "all five are made of the rows");
}

#[test]
fn what_has_ended_is_asked_for_once() {
    let (world, [run, ..]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    let all =
        format!("cd runs/{run} && cat run.json error prompt status logs metrics.json agent.log");
    mount.run(&all);
    let first = calls(&bench);
    let of_run = |line: &&String| line.contains(&run);
    let detail = first
        .iter()
        .filter(|line| **line == format!("GET /v1/runs/{run}"));
    assert_eq!(detail.count(), 1, "{first:#?}");
    // Past the time that something live would be good for.
    std::thread::sleep(std::time::Duration::from_millis(2_300));
    mount.run(&all);
    mount.run(&format!("ls -lR runs/{run}"));
    let second = calls(&bench);
    assert_eq!(second.iter().filter(of_run).count(), 0, "{second:#?}");
}

#[test]
fn a_list_ttl_of_zero_asks_each_time_and_a_long_one_never() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let live = bench.mount().with(["--list-ttl", "0s"]).start();
    bench.server.clear_requests();
    for _ in 0..3 {
        assert_eq!(live.list("volumes"), ["data"]);
    }
    let made = calls(&bench);
    assert_eq!(
        made, ["GET /v1/volumes"; 3],
        "one for each listing, not for each step of it"
    );
    bench.server.world().add_storage(Kind::Volume, "new");
    assert_eq!(live.list("volumes"), ["data", "new"]);
    drop(live);
    bench.server.clear_requests();
    let calm = bench.mount().with(["--list-ttl", "1h"]).start();
    assert_eq!(calm.list("volumes"), ["data", "new"]);
    bench.server.clear_requests();
    bench.server.world().add_storage(Kind::Volume, "newer");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(calm.list("volumes"), ["data", "new"]);
    bench.expect_calls(0, "an hour is not over");
}

#[test]
fn a_short_ttl_refreshes_by_one_listing() {
    let (world, [.., running]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "300ms"]).start();
    mount.run("ls runs");
    std::thread::sleep(std::time::Duration::from_millis(400));
    bench.server.clear_requests();
    bench.server.world().set_status(&running, "failed");
    assert_eq!(mount.cat(&format!("runs/{running}/status")), "failed\n");
    assert_eq!(calls(&bench), ["GET /v1/runs"], "refreshes every live run");
}

#[test]
fn forty_readers_of_a_cold_listing_share_a_call() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    bench.server.clear_requests();
    mount.run("for i in $(seq 40); do ls artifacts >/dev/null & done; wait");
    assert_eq!(calls(&bench), ["GET /v1/artifacts"]);
}
