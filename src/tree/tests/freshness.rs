//! What is told lasts no longer than it is true.

use super::*;

#[test]
fn a_listing_tells_no_name_for_longer_than_the_listing_lasts() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Artifact, "report");
    world.add_version(&id, files("one"));
    let bench = Bench::new(world);
    let latest = |bench: &Bench| {
        let entries = bench.entries("artifacts/report");
        let (_, stat) = entries.iter().find(|(name, _)| name == "latest").unwrap();
        *stat
    };
    let before = latest(&bench);
    assert!(before.lasts <= TTL, "{:?}", before.lasts);
    assert!(!before.lasts.is_zero(), "yet it is known for now");
    bench.server.world().add_version(&id, files("two"));
    expire();
    let after = latest(&bench);
    assert_ne!(before.attributes.ino, after.attributes.ino);
}

#[test]
fn links_of_a_live_run_change_with_it() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.pace = None;
    let id = world.add_storage(Storages::Artifact, "report");
    let first = world.add_version(&id, files("one"));
    let run = Run::new("writer", then).status("running");
    let run = world.add_run(
        run.artifact("report", first.clone())
            .volume("report", first),
    );
    let bench = Bench::new(world);
    for link in ["artifact", "volumes/report"] {
        let (_, lasts) = bench.walk(&format!("runs/{run}/{link}"));
        assert!(lasts <= TTL, "{link}: {lasts:?}");
    }
    for (name, stat) in bench.entries(&format!("runs/{run}")) {
        let lasts = stat.lasts;
        assert!(
            name != "artifact" && name != "agent" || lasts <= TTL,
            "{name}: {lasts:?}"
        );
    }
    let mut second = files("two");
    second = second.message("later");
    let second = bench.server.world().add_version(&id, second);
    bench.server.world().run_mut(&run).unwrap().artifact_version = Some(second.clone());
    expire();
    assert!(
        bench
            .target(&format!("runs/{run}/artifact"))
            .ends_with(&second)
    );
}

#[test]
fn an_agent_that_is_gone_or_renamed_is_not_shown_for_ever() {
    let mut world = World::empty();
    let then = world.ago(60);
    for name in ["gone", "before", "again"] {
        world.add_agent(Agent::new(name, then));
    }
    let bench = Bench::new(world);
    for name in ["gone", "before", "again"] {
        bench.text(&format!("agents/{name}/agent.json"));
    }
    {
        let mut world = bench.server.world();
        world.agents.retain(|agent| agent.name == "before");
        world.agents[0].name = "after".into();
        let mut again = Agent::new("again", then);
        again.id = "0b7f1c9e-3c1d-4a52-9b1e-2f0a6f4f9d11".into();
        world.add_agent(again);
    }
    expire();
    let agents = bench.ino("agents");
    for name in ["gone", "before"] {
        let found = bench.lookup(agents, name).unwrap();
        assert!(matches!(found, Found::Absent(_)), "{name}: {found:?}");
    }
    assert!(bench.text("agents/after/agent.json").contains("after"));
    assert!(bench.text("agents/again/agent.json").contains("0b7f1c9e"));
}

#[test]
fn logs_of_a_run_that_was_seen_alive_are_for_good_once_it_has_ended() {
    let mut world = World::empty();
    let then = world.ago(3600);
    world.pace = None;
    let run = world.add_run(Run::new("writer", then).status("running"));
    let bench = Bench::new(world);
    // Its own answer is from when it was alive …
    bench.text(&format!("runs/{run}/run.json"));
    bench
        .server
        .world()
        .run_mut(&run)
        .unwrap()
        .finish(then, "completed", None);
    expire();
    // … and a listing's row tells that it ended, long ago.
    bench.entries("runs");
    bench.text(&format!("runs/{run}/logs"));
    bench.calls();
    thread::sleep(Duration::from_millis(2100));
    bench.text(&format!("runs/{run}/logs"));
    assert_eq!(bench.calls(), [""; 0]);
}

#[test]
fn late_rows_of_a_run_without_an_end_time_are_not_missed() {
    let mut world = World::empty();
    let then = world.ago(3600);
    world.pace = None;
    let run = world.add_run(Run::new("writer", then).status("running"));
    world.run_mut(&run).unwrap().status = "cancelled".into();
    world.run_mut(&run).unwrap().completed_at = None;
    let bench = Bench::new(world);
    assert!(bench.text(&format!("runs/{run}/system.log")).is_empty());
    bench
        .server
        .world()
        .add_log(&run, crate::fake::LogRow::system(then, "late"));
    thread::sleep(Duration::from_millis(2100));
    assert!(
        bench
            .text(&format!("runs/{run}/system.log"))
            .contains("late")
    );
}

#[test]
fn a_version_that_a_page_skips_stays() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Volume, "data");
    let first = world.add_version(&id, files("one"));
    world.add_version(&id, files("two"));
    let bench = Bench::new(world);
    bench.entries("volumes/data");
    let mut skipped = bench.server.world().storages[0].versions.remove(0);
    expire();
    skipped.message = None;
    let names = bench.entries("volumes/data");
    assert!(names.iter().any(|(name, _)| *name == first), "{names:?}");
    assert_eq!(
        bench
            .walk(&format!("volumes/data/{first}"))
            .0
            .attributes
            .kind,
        Kind::Directory
    );
}

#[test]
fn statfs_answers_at_once_while_another_mount_holds_the_cache() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Volume, "data");
    let version = world.add_version(&id, files("one"));
    let bench = Bench::new(world);
    assert_eq!(bench.tree.at(Instant::now()).usage().versions, 0);
    bench.text(&format!("volumes/data/{version}/a.txt"));
    assert_eq!(
        bench.tree.at(Instant::now()).usage().with_content,
        1,
        "after a download"
    );
    // Another mount's process that is stopped in the middle of its accounts.
    let lock = std::fs::File::open(bench.dir.path().join("v1/lock")).unwrap();
    let flag = nix::fcntl::FlockArg::LockExclusive;
    let _held = nix::fcntl::Flock::lock(lock, flag).unwrap();
    let started = Instant::now();
    let usage = bench.tree.at(Instant::now()).usage();
    let text = bench.text(".vm0fs/status.json");
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(usage.with_content, 1);
    assert!(text.contains("\"versions_with_content\": 1"), "{text}");
}

#[test]
fn a_rate_limit_is_not_asked_against() {
    let mut world = World::empty();
    let then = world.ago(60);
    let run = world.add_run(Run::new("writer", then));
    let bench = Bench::new(world);
    bench
        .server
        .fault(Fault::api("/v1/runs/", Action::rate_limited(1800)));
    let runs = bench.ino("runs");
    for _ in 0..2 {
        let error = bench.lookup(runs, &run).unwrap_err();
        assert_eq!(error.errno(), libc::EAGAIN, "{error}");
        thread::sleep(Duration::from_millis(2100));
    }
    assert_eq!(bench.calls().len(), 1);
}

#[test]
fn a_worker_in_an_outage_shows_nothing_from_before_what_the_last_one_has_shown() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Artifact, "report");
    let mut bench = Bench::new(world);
    for round in 0..2 {
        let mut shown = String::new();
        for text in ["one", "two"] {
            let version = files(&format!("{text} {round}"));
            let version = bench.server.world().add_version(&id, version);
            expire();
            shown = bench.target("artifacts/report/latest");
            assert_eq!(shown, version);
        }
        bench.server.fault(Fault::api("/v1/", html(503)));
        bench.replace();
        assert_eq!(bench.target("artifacts/report/latest"), shown);
        bench.server.clear_faults();
        // One for which there is no outage yet.
        bench.replace();
    }
}
