//! Faults of this machine: resources that run out, a clock that jumps, and load.

mod clock;
mod limits;
mod load;
mod readers;

use crate::support::{Bench, Mount, SOON, Who};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Agent, File, Kind, Run, VersionSpec, World};

/// Artifacts `a0` and so on with one small file `f`, an agent, and ended runs.
pub(crate) fn world(artifacts: usize) -> (World, Vec<String>) {
    let mut world = World::empty();
    world.add_agent(Agent::new("writer", world.ago(20_000)));
    for number in 0..artifacts {
        let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
        let files = vec![File::new("f", text(number))];
        world.add_version(&id, VersionSpec::files(files));
    }
    let runs = (0..20).map(|n| world.add_run(Run::new("writer", world.ago(9_000 + n))));
    let runs = runs.collect();
    (world, runs)
}

/// What the file of an artifact holds.
pub(crate) fn text(number: usize) -> String {
    format!("content {number}\n")
}

/// Sets a soft limit of a running process, as its own user may: `prlimit(1)`.
/// Without a value, back to the hard limit.
fn limit(mount: &Mount, what: &str, title: &str, soft: Option<usize>) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", mount.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with(title)).unwrap();
    let hard = line[title.len()..].split_whitespace().nth(1).unwrap();
    let soft = soft.map_or(hard.to_owned(), |soft| soft.to_string());
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--pid={}", mount.pid()))
        .arg(format!("--{what}={soft}:"));
    if let Some((uid, gid)) = mount.who().ids() {
        command.uid(uid).gid(gid);
    }
    assert!(command.status().unwrap().success());
}

/// How many entries `/proc/<pid>/<what>` has: descriptors, or threads.
fn count(mount: &Mount, what: &str) -> usize {
    fs::read_dir(format!("/proc/{}/{what}", mount.pid()))
        .unwrap()
        .count()
}

/// Repeats a command until it gives what it should.
#[track_caller]
pub(crate) fn comes_to(mount: &Mount, script: &str, expected: &str) {
    let end = Instant::now() + SOON;
    loop {
        let output = mount.try_run(script);
        if output.status.success() && output.stdout == expected.as_bytes() {
            return;
        }
        assert!(Instant::now() < end, "{script}: {output:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A mount as `who`, with a cache of a given folder and more than enough room.
pub(crate) fn mounted(bench: &Bench, who: Who, cache: &Path) -> Mount {
    let mounting = bench
        .mount_as(who)
        .with(["--timeout", "5s", "--cache-size", "1GiB"]);
    mounting
        .with(["--cache-dir", cache.to_str().unwrap()])
        .start()
}
