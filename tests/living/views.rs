//! Views of runs: by agent, by status, and links to what they used; and a
//! listing of ten thousand.

use super::{streams_and_calls, until};
use crate::support::{Bench, SOON, Who};
use std::collections::BTreeSet;
use vm0fs::demo::{Agent, File, Kind, Quirks, Run, VersionSpec, World, uuid};

/// So many runs of two agents, most of which have ended.
fn world_of(count: usize, quirks: Quirks) -> World {
    let mut world = World::empty();
    world.pace = None;
    world.quirks = quirks;
    for name in ["writer", "reader"] {
        world.add_agent(Agent::new(name, world.ago(90_000)));
    }
    for n in 0..count {
        let at = world.ago(80_000 - n as i64);
        let status = match n % 100 {
            1 => "failed",
            2 => "cancelled",
            3 => "timeout",
            _ => "completed",
        };
        let agent = if n % 2 == 0 { "writer" } else { "reader" };
        world.add_run(Run::new(agent, at).status(status));
    }
    world
}

/// What `runs` holds beside runs.
const HIDDEN: [&str; 3] = [".by-status", ".runs.jsonl", ".runs.csv"];

fn ids(bench: &Bench, wanted: impl Fn(&Run) -> bool) -> BTreeSet<String> {
    let world = bench.server.world();
    let runs = world.runs.iter().filter(|run| wanted(run));
    runs.map(|run| run.id.clone()).collect()
}

fn set(names: Vec<String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

#[test]
fn ten_thousand_runs_are_listed_and_refreshed_cheaply() {
    for who in Who::all() {
        let bench = Bench::new(world_of(10_000, Quirks::none()));
        let (going_on, pending) = {
            let mut world = bench.server.world();
            let (a, b) = (world.runs[9_990].id.clone(), world.runs[9_999].id.clone());
            for (id, status) in [(&a, "running"), (&b, "pending")] {
                world.set_status(id, status);
            }
            (a, b)
        };
        let mount = bench.mount_as(who).with(["--list-ttl", "1s"]).start();
        let all = ids(&bench, |_| true);
        let listed = |mount: &crate::support::Mount| {
            let mut names = set(mount.list("runs"));
            for hidden in HIDDEN {
                assert!(names.remove(hidden), "{hidden}");
            }
            names
        };
        assert_eq!(listed(&mount), all);
        let first = bench.api_calls().len();
        assert!(first <= 103, "{first} calls for 100 pages");
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        bench.server.clear_requests();
        assert_eq!(listed(&mount), all);
        let second: Vec<String> = bench.api_calls().iter().map(|call| call.line()).collect();
        assert!((1..=2).contains(&second.len()), "{second:?}");
        // What is new and what has ended is seen all the same.
        let new = {
            let mut world = bench.server.world();
            world.set_status(&going_on, "completed");
            let now = jiff::Timestamp::now();
            world.add_run(Run::new("writer", now).status("running").id(uuid("new")))
        };
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        bench.server.clear_requests();
        assert!(listed(&mount).contains(&new));
        assert_eq!(mount.cat(&format!("runs/{going_on}/status")), "completed\n");
        assert_eq!(set(mount.list("runs/.by-status/running")), set(vec![new]));
        assert_eq!(
            set(mount.list("runs/.by-status/pending")),
            set(vec![pending])
        );
        let calls = bench.api_calls().len();
        assert!(calls <= 6, "{calls}");
        // After a restart, what was known need not be read again.
        mount.unmount();
        bench.server.clear_requests();
        let mount = bench.mount_as(who).with(["--list-ttl", "1s"]).start();
        assert_eq!(listed(&mount), ids(&bench, |_| true));
        let (_, calls) = streams_and_calls(&bench);
        let runs = calls.iter().filter(|call| call.path == "/v1/runs").count();
        assert!(runs <= 3, "{runs} calls after a restart");
    }
}

#[test]
fn views_show_the_runs_that_they_name() {
    for who in Who::all() {
        let bench = Bench::new(world_of(230, Quirks::none()));
        let mount = bench.mount_as(who).start();
        for agent in ["writer", "reader"] {
            let shown = set(mount.list(&format!("agents/{agent}/runs")));
            assert_eq!(shown, ids(&bench, |run| run.agent_name == agent));
        }
        for status in [
            "completed",
            "failed",
            "cancelled",
            "timeout",
            "running",
            "pending",
        ] {
            let shown = set(mount.list(&format!("runs/.by-status/{status}")));
            assert_eq!(shown, ids(&bench, |run| run.status == status), "{status}");
        }
        let broken = mount.run("find -L agents/*/runs runs/.by-status -maxdepth 2 -type l");
        assert_eq!(broken, "", "each link leads to its run");
    }
}

#[test]
fn a_lossy_listing_is_completed_by_listings_of_each_status() {
    let mut world = world_of(0, Quirks::default());
    // The newest have the greatest ids, so that the first page ends the listing.
    for n in 0..320_u32 {
        let id = format!("{:08x}{}", 0xf000_0000 - n, &uuid(&n.to_string())[8..]);
        let status = match n % 4 {
            0 => "completed",
            1 => "failed",
            2 => "cancelled",
            _ => "timeout",
        };
        let at = world.ago(10 + i64::from(n));
        world.add_run(Run::new("writer", at).status(status).id(id));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let mut shown = set(mount.list("runs"));
    shown.retain(|name| !HIDDEN.contains(&name.as_str()));
    assert_eq!(shown, ids(&bench, |_| true));
}

#[test]
fn links_are_relative_and_lead_to_what_was_used() {
    for who in Who::all() {
        let mut world = world_of(0, Quirks::default());
        let files = |text: &str| VersionSpec::files(vec![File::new("f", text.to_owned())]);
        let data = world.add_storage(Kind::Volume, "data");
        let old = world.add_version(&data, files("old"));
        let code = world.add_storage(Kind::Volume, "code");
        world.add_version(&code, files("older"));
        world.add_version(&code, files("newest"));
        let out = world.add_storage(Kind::Artifact, "out");
        let made = world.add_version(&out, files("made"));
        let run = Run::new("writer", world.ago(900))
            .artifact("out", made.clone())
            .volume("data", old.clone())
            .volume("code", "latest");
        let run = world.add_run(run);
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let links = mount.run(&format!(
            "cd runs/{run} && readlink agent artifact volumes/data volumes/code && \
             readlink ../.by-status/completed/{run} ../../agents/writer/runs/{run}"
        ));
        let expected = format!(
            "../../agents/writer/agent.json\n../../artifacts/out/{made}\n../../../volumes/data/{old}\n\
             ../../../volumes/code/latest\n../../{run}\n../../../runs/{run}\n"
        );
        assert_eq!(links, expected);
        let read = mount.run(&format!(
            "cd agents/writer/runs/{run} && cat artifact/f volumes/data/f volumes/code/f"
        ));
        assert_eq!(read, "madeoldnewest");
        until("the agent is there", SOON, || {
            mount
                .try_run(&format!("cat runs/{run}/agent"))
                .status
                .success()
        });
    }
}
