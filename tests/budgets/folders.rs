//! What a folder of many entries costs: requests grow with the entries, and not with
//! the folder that they are in.

use crate::support::{Bench, Mount, Who};
use std::fs;
use vm0fs::demo::{File, Kind, VersionSpec, World};

/// Entries of either artifact.
const ENTRIES: usize = 20_000;
/// Folders that those of the one are in.
const FOLDERS: usize = 40;
/// The least that a page of a folder has to hold: the kernel asks for so many bytes
/// at once as the program that lists gives room for.
const PER_PAGE: usize = 50;

/// How often a mount's process has written: once for each request that it has
/// answered.
fn answers(mount: &Mount) -> usize {
    let told = fs::read_to_string(format!("/proc/{}/io", mount.pid())).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("syscw: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn attributes_of_a_folder_cost_no_request_for_each_entry() {
    let mut world = World::empty();
    for (name, folders) in [("one", 1), ("many", FOLDERS)] {
        let id = world.add_storage(Kind::Artifact, name);
        let file = |n: usize| File::new(format!("d{:02}/file-{n:05}", n % folders), "x");
        world.add_version(&id, VersionSpec::files((0..ENTRIES).map(file).collect()));
    }
    let bench = Bench::new(world);
    let cache = bench.folder("cache", Who::Myself);
    let start = || {
        let mount = bench.mount();
        mount.with(["--cache-dir", cache.to_str().unwrap()]).start()
    };
    start().run("ls artifacts/one/latest/ artifacts/many/latest/");
    for tool in [
        "find . -size +1000k",
        "find . -newermt @1",
        "du -s --apparent-size .",
        "ls -lR . > /dev/null",
        "python3 -c 'import os; [e.stat(follow_symlinks=False) for e in os.scandir(\"d00\")]'",
    ] {
        // What one has asked for, the kernel knows from then on.
        let mount = start();
        let cost = |name: &str| {
            let script = format!("cd artifacts/{name}/latest/ && {tool}");
            let before = answers(&mount);
            mount.run(&script);
            answers(&mount) - before
        };
        let (one, many) = (cost("one"), cost("many"));
        assert!(one < ENTRIES / PER_PAGE, "{tool}: {one} answers");
        assert!(
            many < ENTRIES / PER_PAGE + 10 * FOLDERS,
            "{tool}: {many} answers"
        );
    }
}
