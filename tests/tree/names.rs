//! Names that cannot be a path component are escaped or shortened, not lost.

use crate::support::{Bench, Who};
use std::os::unix::ffi::OsStrExt;
use vm0fs::demo::{Agent, File, Kind, Run, VersionSpec, World, uuid};

const NAMES: [(&str, &str); 10] = [
    ("a/b", "a%2Fb"),
    ("a%2Fb", "a%252Fb"),
    (".", "%2E"),
    ("..", "%2E%2E"),
    ("", "%"),
    ("%", "%25"),
    ("two\nlines", "two%0Alines"),
    ("\u{1b}[31mred", "%1B[31mred"),
    ("mit leerzeichen", "mit leerzeichen"),
    ("日本語", "日本語"),
];

#[test]
fn impossible_names_are_escaped() {
    for who in Who::all() {
        let mut world = World::empty();
        let mut runs = Vec::new();
        for (n, (name, _)) in NAMES.iter().enumerate() {
            let at = world.ago(1_000 + n as i64);
            world.add_agent(Agent::new(*name, at));
            let id = world.add_storage(Kind::Artifact, name);
            let files = vec![File::new("name", (*name).to_owned())];
            let version = world.add_version(&id, VersionSpec::files(files));
            let run = Run::new(*name, at).artifact(*name, version);
            runs.push(world.add_run(run));
        }
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let mut expected: Vec<&str> = NAMES.iter().map(|(_, shown)| *shown).collect();
        expected.sort_unstable();
        assert_eq!(mount.list("agents"), expected);
        assert_eq!(mount.list("artifacts"), expected);
        for ((name, shown), run) in NAMES.iter().zip(&runs) {
            let json = mount.cat(&format!("agents/{shown}/agent.json"));
            let agent: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(agent["name"], *name);
            assert_eq!(mount.cat(&format!("artifacts/{shown}/latest/name")), *name);
            assert_eq!(mount.cat(&format!("runs/{run}/artifact/name")), *name);
            mount.run(&format!("cat 'runs/{run}/agent'"));
        }
    }
}

#[test]
fn long_names_are_shortened_and_stay_apart() {
    let mut world = World::empty();
    let long = |last: char| format!("{}{last}", "x".repeat(299));
    for last in ['a', 'b'] {
        world.add_agent(Agent::new(long(last), world.ago(100)));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let listed = mount.list("agents");
    assert_eq!(listed.len(), 2);
    let mut names = Vec::new();
    for component in &listed {
        assert!(component.len() <= 255);
        let json = mount.cat(&format!("agents/{component}/agent.json"));
        let agent: serde_json::Value = serde_json::from_str(&json).unwrap();
        names.push(agent["name"].as_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, [long('a'), long('b')]);
    mount.fails(&format!("ls agents/{}", long('a')), "File name too long");
}

#[test]
fn two_objects_of_one_name_both_appear() {
    let mut world = World::empty();
    let ids = [uuid("one"), uuid("two")];
    for (id, age) in ids.iter().zip([200, 100]) {
        let mut agent = Agent::new("same", world.ago(age));
        agent.id.clone_from(id);
        world.add_agent(agent);
    }
    let run = Run::new("same", world.ago(50));
    let run = Run {
        agent_id: ids[1].clone(),
        ..run
    };
    let run = world.add_run(run);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let second = format!("same~{}", &ids[1][..8]);
    assert_eq!(mount.list("agents"), ["same", &second]);
    assert!(mount.cat("agents/same/agent.json").contains(&ids[0]));
    assert!(
        mount
            .cat(&format!("agents/{second}/agent.json"))
            .contains(&ids[1])
    );
    assert!(mount.list("agents/same/runs").is_empty());
    assert_eq!(mount.list(&format!("agents/{second}/runs")), [run.as_str()]);
    assert!(mount.cat(&format!("runs/{run}/agent")).contains(&ids[1]));
    assert_eq!(
        mount.run(&format!("readlink agents/{}", ids[1])).trim_end(),
        second
    );
}

#[test]
fn a_name_that_is_not_utf_8_does_not_exist_and_costs_nothing() {
    let bench = Bench::new(World::empty());
    let mount = bench.mount().start();
    mount.run("ls agents runs volumes artifacts");
    bench.server.clear_requests();
    for folder in ["agents", "runs", "volumes", "artifacts", ".", ".vm0fs"] {
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        let error = std::fs::metadata(mount.join(folder).join(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{folder}");
    }
    bench.expect_calls(0, "no such name can exist");
}
