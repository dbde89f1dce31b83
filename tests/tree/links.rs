//! The links of the mount lead forwards only: programs that follow them into folders
//! come to an end.

use super::Example;
use crate::support::{Bench, Mount, Who};
use std::{fs, path::Path};
use vm0fs::demo::Run;

/// More than a walk that ends makes in a world this small.
const MOST_VISITS: usize = 20_000;

/// Two agents with five runs each, beside what the example has.
fn world() -> vm0fs::demo::World {
    let example = Example::new();
    let mut world = example.world;
    for n in 0..10 {
        let agent = ["writer", "bare"][n % 2];
        let run = Run::new(agent, world.ago(900 + n as i64));
        let run = run.artifact("report", &example.report[n % 2]);
        world.add_run(run.volume("data", &example.data));
    }
    world
}

/// Visits every name below a folder, and every folder that a link leads to, as a
/// program does that knows nothing of loops. Gives how many names that were.
fn visits(folder: &Path, depth: usize, seen: &mut usize) -> usize {
    assert!(depth < 20, "{}", folder.display());
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        *seen += 1;
        count += 1;
        assert!(*seen < MOST_VISITS, "no end of it at {}", path.display());
        let followed = fs::metadata(&path).unwrap_or_else(|error| {
            panic!("{}: {error}", path.display());
        });
        if followed.is_dir() {
            count += visits(&path, depth + 1, seen);
        }
    }
    count
}

#[test]
fn a_walk_that_follows_every_link_comes_to_its_end() {
    let bench = Bench::new(world());
    let mount = bench.mount().start();
    let count = visits(mount.path(), 0, &mut 0);
    let names = mount.run("find . | wc -l");
    let names: usize = names.trim().parse().unwrap();
    assert!(count > names && count < 8 * names, "{count} for {names}");
    // By an id, which no folder lists, things are no different.
    let agent = mount.run("getfattr --only-values -n user.vm0.id agents/writer");
    assert!(visits(&mount.join(&format!("agents/{agent}")), 0, &mut 0) > 10);
    let storage = mount.run("getfattr --only-values -n user.vm0.id artifacts/report");
    let storage = mount.join(&format!("artifacts/{storage}"));
    assert!(visits(&storage, 0, &mut 0) > 5);
}

/// Runs a program that follows links; it must end well by itself.
#[track_caller]
fn ends(mount: &Mount, script: &str) {
    let output = mount.start(script).output();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn programs_that_follow_links_end() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        let out = bench.folder("out", who);
        let out = out.display();
        // What the mount says of itself changes while it is read.
        let all = "agents runs volumes artifacts";
        // The agents' control files, of which reading starts nothing, go along.
        ends(&mount, &format!("tar -ch {all} | tar -t > {out}/names"));
        ends(&mount, &format!("rsync -rL --chmod=Du+w {all} {out}/rsync"));
        ends(&mount, &format!("cp -rL {all} {out} && chmod -R u+w {out}"));
        // GNU find says so where links make a loop.
        ends(&mount, &format!("find -L {all} > {out}/found"));
        ends(
            &mount,
            "python3 -c 'import glob, os
assert len(glob.glob(\"**\", recursive=True)) > 100
assert sum(len(files) for _, _, files in os.walk(\".\", followlinks=True)) > 100'",
        );
        ends(
            &mount,
            "node -e 'const fs = require(\"fs\");
const all = fs.readdirSync(\".\", { recursive: true });
if (all.length < 100) process.exit(1)'",
        );
    }
}
