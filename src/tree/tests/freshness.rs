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
fn links_of_a_live_run_follow_it() {
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
