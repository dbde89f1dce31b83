//! Paths by id and by a version's prefix, and objects that no listing shows.

use super::Example;
use crate::support::{Bench, Who, reason};
use vm0fs::demo::{Agent, File, Kind, Run, VersionSpec, World, uuid};

#[test]
fn ids_are_links_to_names() {
    for who in Who::all() {
        let bench = Bench::new(Example::new().world);
        let mount = bench.mount_as(who).start();
        let agent = uuid("agent:writer");
        let volume = uuid("volume:data");
        let artifact = uuid("artifact:report");
        let link = |path: String| mount.run(&format!("readlink {path}")).trim_end().to_owned();
        assert_eq!(link(format!("agents/{agent}")), "writer");
        assert_eq!(link(format!("volumes/{volume}")), "data");
        assert_eq!(link(format!("artifacts/{artifact}")), "report");
        mount.run(&format!(
            "cat agents/{agent}/agent.json artifacts/{artifact}/.versions.json"
        ));
        assert_eq!(
            mount.cat(&format!("volumes/{volume}/latest/in.csv")),
            "a,b\n1,2\n"
        );
        assert_eq!(
            mount.list("agents"),
            ["bare", "writer"],
            "ids are not listed"
        );
        let unknown = uuid("nobody");
        for folder in ["agents", "runs", "volumes", "artifacts"] {
            mount.fails(&format!("ls {folder}/{unknown}"), reason::MISSING);
        }
    }
}

#[test]
fn a_prefix_of_a_version_id_is_a_link_if_it_is_unique() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let spec = |text: &str| VersionSpec::files(vec![File::new("f", text.to_owned())]);
    let same = "abcdef0123";
    let one = world.add_version(&id, spec("1").id(format!("{same}{}", "1".repeat(54))));
    let two = world.add_version(&id, spec("2").id(format!("{same}{}", "2".repeat(54))));
    let other = world.add_version(&id, spec("3"));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let short = &other[..8];
    assert_eq!(
        mount
            .run(&format!("readlink artifacts/a/{short}"))
            .trim_end(),
        other
    );
    assert_eq!(mount.cat(&format!("artifacts/a/{short}/f")), "3");
    assert_eq!(mount.cat(&format!("artifacts/a/{}/f", &other[..40])), "3");
    assert_eq!(mount.cat(&format!("artifacts/a/{}/f", &one[..11])), "1");
    assert_eq!(mount.cat(&format!("artifacts/a/{}/f", &two[..11])), "2");
    for wrong in [same, &other[..7], "ffffffff00", &format!("{other}0")] {
        mount.fails(&format!("ls artifacts/a/{wrong}"), reason::MISSING);
    }
}

/// A world with the service's paging, which skips rows: more runs, agents and
/// storages than any page shows.
fn crowded() -> World {
    let mut world = World::empty();
    for n in 0..260 {
        // The newest have the greatest ids: the first page ends the listing.
        let id = uuid(&n.to_string());
        let id = format!("{:08x}{}", 0xf000_0000_u32 - n, &id[8..]);
        world.add_run(Run::new("writer", world.ago(10 + i64::from(n))).id(id));
        let at = world.ago(10 + i64::from(n));
        let storage = world.add_storage(Kind::Artifact, &format!("s{n:03}"));
        let spec = VersionSpec::files(vec![File::new("f", format!("{n}"))]).created_at(at);
        let storage_id = format!("{:08x}{}", 0xf000_0000_u32 - n, &storage[8..]);
        let last = world.storages.last_mut().unwrap();
        last.id.clone_from(&storage_id);
        world.add_version(&storage_id, spec);
    }
    world
}

#[test]
fn an_object_that_no_listing_shows_is_found_by_its_id() {
    let world = crowded();
    let (run, storage) = (world.runs[250].id.clone(), world.storages[250].id.clone());
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let listed = mount.list("runs");
    assert!(
        listed.len() > 100 && !listed.contains(&run),
        "{}",
        listed.len()
    );
    assert_eq!(mount.cat(&format!("runs/{run}/status")), "completed\n");
    assert_eq!(
        mount.cat(&format!("runs/{run}/prompt")),
        "Summarise the data\n"
    );
    let listed = mount.list("artifacts");
    assert!(!listed.contains(&"s250".to_owned()), "{}", listed.len());
    assert_eq!(
        mount.run(&format!("readlink artifacts/{storage}")),
        "s250\n"
    );
    assert_eq!(mount.cat(&format!("artifacts/{storage}/latest/f")), "250");
    // Once reached, it is there by its name.
    assert_eq!(mount.cat("artifacts/s250/latest/f"), "250");
}

#[test]
fn a_version_made_after_the_listing_is_found_by_its_whole_id() {
    let bench = Bench::new(Example::new().world);
    let mount = bench.mount().start();
    mount.list("volumes/data");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let id = uuid("volume:data");
    let spec = VersionSpec::files(vec![File::new("new", "n")]);
    let version = bench.server.world().add_version(&id, spec);
    assert_eq!(mount.cat(&format!("volumes/data/{version}/new")), "n");
}

#[test]
fn a_run_leads_to_an_agent_that_no_listing_shows() {
    let mut world = World::empty();
    for n in 0..260 {
        let mut agent = Agent::new(format!("agent-{n:03}"), world.ago(10 + i64::from(n)));
        agent.id = format!("{:08x}{}", 0xf000_0000_u32 - n, &agent.id[8..]);
        world.add_agent(agent);
    }
    let agent_id = world.agents[250].id.clone();
    let run = Run::new("agent-250", world.ago(5));
    let run = world.add_run(Run {
        agent_id: agent_id.clone(),
        ..run
    });
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert!(!mount.list("agents").contains(&"agent-250".to_owned()));
    let json = mount.cat(&format!("runs/{run}/agent"));
    assert!(json.contains("\"agent-250\""), "{json}");
    assert_eq!(
        mount.list(&format!("agents/{agent_id}/runs")),
        [run.as_str()]
    );
}

#[test]
fn a_run_leads_to_a_version_that_no_listing_shows() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let mut versions: Vec<String> = (0..260_i64)
        .map(|n| {
            let files = vec![File::new("f", format!("{n}"))];
            let spec = VersionSpec::files(files).created_at(world.ago(1_000 - n));
            world.add_version(&id, spec)
        })
        .collect();
    let runs: Vec<String> = (0..versions.len())
        .step_by(20)
        .map(|n| {
            let run = Run::new("writer", world.ago(5)).artifact("a", &versions[n]);
            world.add_run(run)
        })
        .collect();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let listed = mount.list("artifacts/a");
    versions.retain(|version| !listed.contains(version));
    assert!(!versions.is_empty(), "the service skips rows of so many");
    for (n, run) in runs.iter().enumerate() {
        let read = mount.cat(&format!("runs/{run}/artifact/f"));
        assert_eq!(read, (n * 20).to_string());
    }
    let hidden = &versions[0];
    mount.run(&format!(
        "stat artifacts/a/{hidden} && getfattr -d artifacts/a/{hidden}"
    ));
    // What does not exist costs a question, and no trouble is told of it.
    bench.server.clear_requests();
    for _ in 0..3 {
        mount.fails(
            &format!("ls artifacts/a/{}", "0".repeat(64)),
            reason::MISSING,
        );
        mount.fails(
            &format!("ls artifacts/a/{}", "0".repeat(63)),
            reason::MISSING,
        );
    }
    let asked = bench.api_calls();
    let downloads = asked.iter().filter(|call| call.path.ends_with("/download"));
    assert_eq!(downloads.count(), 1, "{asked:#?}");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}
