//! A mount that outlives the process that serves it.

mod downloads;
mod ends;
mod poison;
mod reading;
mod stepped;
mod survives;
mod under_way;
mod upgrade;

use crate::{
    commands::{Place, Running, finish, kill, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Action, Fault},
        is_mounted, program,
    },
};
use nix::sys::signal::Signal::{SIGKILL, SIGSEGV};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// What the mount's status says of its workers.
#[track_caller]
pub(crate) fn workers(place: &Place) -> Value {
    let status: Value = serde_json::from_str(&place.run("cat .vm0fs/status.json")).unwrap();
    status["workers"].clone()
}

/// Waits until so many workers have been replaced, and gives the last replacement.
#[track_caller]
pub(crate) fn replaced(place: &Place, count: u64) -> Value {
    until("another worker serves", || {
        workers(place)["replaced"].as_u64() >= Some(count)
    });
    let workers = workers(place);
    assert_eq!(workers["replaced"], count, "{workers}");
    workers["replacements"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone()
}

/// All inode numbers, sizes and times of a tree.
fn everything(place: &Place) -> String {
    place.run("find agents artifacts volumes runs -printf '%p %i %s %m %T@\\n' | sort")
}

#[test]
fn a_worker_that_is_killed_is_replaced_and_nothing_else_changes() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let before = everything(&place);
        assert_eq!(workers(&place)["replaced"], 0);
        for (count, signal) in [(1, SIGKILL), (2, SIGSEGV)] {
            let old = place.worker();
            kill(old, signal);
            assert_eq!(everything(&place), before, "{signal}");
            let last = replaced(&place, count);
            assert_eq!(last["cause"], "death");
            let why = last["why"].as_str().unwrap();
            assert!(why.contains(signal.as_str()), "{why}");
            assert!(last["gap_ms"].as_f64().unwrap() > 0.0);
            assert_ne!(place.worker(), old);
        }
        let said = finish(bench.command(who).arg("status").arg(&place.path)).succeeded();
        let supervisor = format!(
            "supervised by process {}; 2 replaced, the last ",
            place.pid()
        );
        assert!(said.contains(&supervisor), "{said}");
        let log = bench
            .dir()
            .join(format!("home-{who:?}/.local/state/vm0fs/vm0fs.log"));
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.matches(" WARN ").count(), 2, "a line for each: {log}");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

/// The descriptors of a process, by what they lead to.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    // The numbers of sockets and pipes differ.
    let kind = |target: std::path::PathBuf| {
        target
            .display()
            .to_string()
            .split(':')
            .next()
            .map(str::to_owned)
    };
    let mut targets: Vec<String> = targets.filter_map(kind).collect();
    targets.sort();
    targets
}

#[test]
fn replacements_leave_no_descriptor_and_no_process_behind() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    let supervisor = place.pid();
    let mut before = descriptors(supervisor);
    // And the program of the last upgrade.
    before.push(program().display().to_string());
    before.sort();
    let mut seen = BTreeSet::new();
    for count in 1..=8 {
        assert!(seen.insert(place.worker()), "a worker of its own");
        finish(bench.command(Who::Myself).arg("upgrade").arg(&place.path)).succeeded();
        assert_eq!(workers(&place)["replaced"], count);
    }
    // None of them has died.
    kill(place.worker(), SIGKILL);
    assert_eq!(replaced(&place, 9)["cause"], "death");
    until("its workers are gone", || {
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(children).unwrap();
        children.split_whitespace().count() == 1
    });
    assert_eq!(descriptors(supervisor), before);
    let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).unwrap();
    assert_eq!(tasks.count(), 1, "it has one thread");
}

#[test]
fn a_worker_that_stands_still_is_replaced() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    kill(place.worker(), nix::sys::signal::Signal::SIGSTOP);
    // Nothing of this is in the kernel's caches.
    assert_eq!(place.run("ls agents"), "writer\n");
    let last = replaced(&place, 1);
    assert_eq!(last["cause"], "hang", "{last}");
    assert_eq!(workers(&place)["replaced"], 1);
    // Also where it has taken the only request, so that none waits to be taken.
    bench
        .server
        .fault(Fault::api("/v1/volumes", Action::Stall).times(1));
    let mut reader = Running::script(Who::Myself, &place.inside("ls volumes"));
    assert!(bench.server.wait_for(SOON, |requests| {
        requests.iter().any(|request| request.path == "/v1/volumes")
    }));
    kill(place.worker(), nix::sys::signal::Signal::SIGSTOP);
    assert_eq!(reader.end(), Some(0));
    assert_eq!(replaced(&place, 2)["cause"], "hang");
}

#[test]
fn a_mount_whose_supervisor_is_killed_is_served_on_and_says_so() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        kill(place.pid(), SIGKILL);
        until("it says so", || workers(&place)["supervisor"].is_null());
        assert_eq!(
            place.run("cat artifacts/site/latest/*"),
            "<h1>It works</h1>\n"
        );
        let said = finish(bench.command(who).arg("status").arg(&place.path)).succeeded();
        assert!(
            said.contains("unguarded: the supervisor has ended"),
            "{said}"
        );
        let said = finish(bench.command(who).arg("upgrade").arg(&place.path));
        said.failed(&["it has no supervisor"]);
        // As without one: a death is the end, and the next mount takes its place.
        kill(place.worker(), SIGKILL);
        until("it is gone", || place.processes().is_empty());
        assert!(is_mounted(&place.path));
        finish(&mut place.mount(&bench)).succeeded();
        assert_eq!(place.run("ls agents"), "writer\n");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn without_a_supervisor_a_mount_ends_with_its_process() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    finish(place.mount(&bench).arg("--no-supervisor")).succeeded();
    assert_eq!(place.processes(), [place.pid()]);
    let said = finish(bench.command(Who::Myself).arg("status").arg(&place.path)).succeeded();
    assert!(said.contains("one process, without a supervisor"), "{said}");
    kill(place.pid(), SIGKILL);
    until("it is gone", || place.processes().is_empty());
    assert!(is_mounted(&place.path));
}

#[test]
fn a_mount_can_be_taken_away_while_its_worker_is_replaced() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for lazy in [false, true] {
            let place = Place::mounted(&bench, who, "mnt");
            kill(place.worker(), SIGKILL);
            let mut command = place.unmount(&bench);
            command.args(lazy.then_some("--lazy"));
            let said = finish(&mut command);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
            place.is_over();
        }
    }
}

#[test]
fn a_supervisor_holds_no_token() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    let token = bench.server.token().as_bytes();
    let holds = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let in_environment = environment.windows(token.len()).any(|part| part == token);
        in_environment
            || memory(pid)
                .iter()
                .any(|part| part.windows(token.len()).any(|part| part == token))
    };
    assert!(holds(place.worker()), "this would be seen");
    assert!(!holds(place.pid()));
    // And its workers get it all the same.
    kill(place.worker(), SIGKILL);
    assert_eq!(
        place.run("ls agents volumes"),
        "agents:\nwriter\n\nvolumes:\n"
    );
    assert!(!holds(place.pid()));
    let _still = Running::standing_in(Who::Myself, &place.path);
}

#[test]
fn a_supervisor_that_waits_gives_back_the_program() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    // How much of the code is there depends on how the kernel caches the file. Nothing of
    // the constants is needed to wait, and some of them for all else that it does.
    let forgets = |when: &str| {
        until(when, || constants(place.pid()) == 0);
        assert!(constants(place.worker()) > 0, "this would be seen");
    };
    forgets("the mount serves");
    kill(place.worker(), SIGKILL);
    replaced(&place, 1);
    forgets("a worker has died");
    finish(bench.command(Who::Myself).arg("upgrade").arg(&place.path)).succeeded();
    forgets("the program has been upgraded");
}

/// How much of the program's constants a process has in memory, in KiB.
fn constants(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut lines = maps.lines();
    let file = program().display().to_string();
    lines
        .find(|line| line.contains(" r--p 00000000 ") && line.ends_with(&file))
        .unwrap();
    let size = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let size = size.trim().strip_suffix(" kB").unwrap();
    size.parse().unwrap()
}

/// What can be written of a process's memory.
fn memory(pid: u32) -> Vec<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut parts = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        // What is not there (guard pages, the kernel's own) cannot be read.
        let mut part = vec![0; usize::try_from(to - from).unwrap().min(64 << 20)];
        if memory.read_at(&mut part, from).is_ok() {
            parts.push(part);
        }
    }
    assert!(!parts.is_empty());
    parts
}
