//! The first download of a version, whose worker ends in the middle of it.

use super::{
    stepped::{How, Stepped, replace},
    workers,
};
use crate::{
    cache::versions_in,
    commands::{Place, Running, finish, kill, shell, until},
    support::{
        Bench, Who,
        fake::{Action, Fault, File, Kind, VersionSpec, World},
        noise, program,
    },
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use serde_json::Value;
use std::path::PathBuf;

const MIB: usize = 1 << 20;
const LARGE: usize = 128 * MIB;
const SMALL: usize = 1500;

fn small(number: usize) -> String {
    format!("text of {number}\n").repeat(1 + number % 60)
}

/// An artifact `a` of small files, a large one, and small ones.
fn world() -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let name = |at: usize| match at < SMALL / 2 {
        true => format!("a-first/{at:04}"),
        false => format!("z-last/{at:04}"),
    };
    let mut files: Vec<File> = (0..SMALL)
        .map(|at| File::new(name(at), small(at)))
        .collect();
    files.push(File::new("large", noise(LARGE)));
    world.add_version(&id, VersionSpec::files(files));
    world
}

/// Reads all of it, and prints a sum.
const READ: &str = "cat artifacts/a/latest/large artifacts/a/latest/a-first/0007 \
    artifacts/a/latest/z-last/* | cksum";

/// What [`READ`] prints.
fn expected() -> String {
    let mut text = noise(LARGE);
    let all = [7].into_iter().chain(SMALL / 2..SMALL);
    all.for_each(|at| text.extend_from_slice(small(at).as_bytes()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all");
    std::fs::write(&path, text).unwrap();
    shell(Who::Myself, &format!("cksum < '{}'", path.display()))
}

/// Bytes that the object store has sent.
fn sent(bench: &Bench) -> usize {
    let bytes = bench
        .downloads()
        .iter()
        .map(|it| it.bytes_sent)
        .sum::<u64>();
    bytes as usize
}

/// Waits until so much of the large file is on disk.
fn wait_for(bench: &Bench, who: Who, least: usize) {
    let staging = cache(bench, who).join("v1/staging");
    until("so much is unpacked", || {
        let fetches = std::fs::read_dir(&staging).into_iter().flatten().flatten();
        let mut blobs = fetches.filter_map(|it| it.path().join("blob-0").metadata().ok());
        blobs.any(|blob| blob.len() as usize >= least)
    });
}

/// So many bytes a second on each connection: most of it comes while a test looks on.
fn slow(bench: &Bench, rate: usize) {
    let bytes_per_second = rate as u64;
    bench
        .server
        .fault(Fault::store(Action::Rate { bytes_per_second }));
}

fn cache(bench: &Bench, who: Who) -> PathBuf {
    bench.dir().join(format!("home-{who:?}/.cache/vm0fs"))
}

fn log(bench: &Bench, who: Who) -> String {
    let home = bench.dir().join(format!("home-{who:?}"));
    std::fs::read_to_string(home.join(".local/state/vm0fs/vm0fs.log")).unwrap()
}

/// The download was gone on with so often, and never begun anew.
#[track_caller]
fn went_on(bench: &Bench, who: Who, times: usize) {
    let log = log(bench, who);
    let count = |words: &str| log.matches(words).count();
    assert_eq!(count("going on with its download at byte "), times, "{log}");
    assert_eq!(
        count("downloading it again") + count("of no use"),
        0,
        "{log}"
    );
}

/// The status and the transfers of a mount in which all has come.
fn is_complete(place: &Place, bench: &Bench) {
    let status: Value = serde_json::from_str(&place.run("cat .vm0fs/status.json")).unwrap();
    assert_eq!(status["downloads"]["running"], 0, "{status}");
    assert_eq!(status["downloads"]["failed"], 0, "{status}");
    let transfers = place.run("cat .vm0fs/transfers");
    assert!(transfers.contains("done in "), "{transfers}");
    assert_eq!(place.run("cat .vm0fs/errors"), "");
    let version = &versions_in(&cache(bench, place.who))[0];
    assert!(!version.join("journal").exists());
    let mut verify = bench.command(place.who);
    let said = finish(verify.args(["cache", "verify"])).succeeded();
    assert!(
        said.contains("good: its id is the hash of the content"),
        "{said}"
    );
}

#[test]
fn workers_that_are_killed_leave_what_they_have_unpacked() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        slow(&bench, 3 * MIB);
        let mut reader = Stepped::shell(&bench, &place, "reader", READ);
        let mut prefetch = Running::script(
            who,
            &format!(
                "exec '{}' prefetch '{}' > /dev/null",
                program().display(),
                place.path.join("artifacts/a").display()
            ),
        );
        for part in 1..=3 {
            wait_for(&bench, who, part * LARGE / 5);
            replace(&place, How::Kill(SIGKILL));
        }
        bench.server.clear_faults();
        assert_eq!(reader.printed(), expected());
        assert_eq!(prefetch.end(), Some(0));
        assert_eq!(workers(&place)["replaced"], 3);
        // Each loses what was on its way: 28 MiB at the most, and what the system buffers.
        // From the start it would be more than twice as much.
        let sent = sent(&bench);
        assert!(sent < LARGE * 19 / 10, "{sent} of {LARGE}");
        went_on(&bench, who, 3);
        is_complete(&place, &bench);
    }
}

#[test]
fn the_next_mount_goes_on_with_a_download() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        slow(&bench, 2 * MIB);
        let mut reader = Stepped::shell(&bench, &place, "reader", READ);
        wait_for(&bench, who, LARGE / 2);
        kill(place.pid(), SIGTERM);
        assert_ne!(reader.end(), Some(0));
        until("it has ended", || place.processes().is_empty());
        let mut doctor = bench.command(who);
        let said = finish(doctor.arg("doctor"));
        assert!(
            said.out.contains("1 to go on with when read again"),
            "{said:?}"
        );
        bench.server.clear_faults();
        let place = Place::mounted(&bench, who, "next");
        // By names alone: nothing of it is known before the archive has ended.
        assert_eq!(
            place.run("ls artifacts/a/latest"),
            "a-first\nlarge\nz-last\n"
        );
        let said = log(&bench, who);
        assert!(
            said.contains("going on with its download at byte "),
            "{said}"
        );
        assert_eq!(place.run(READ), expected());
        let sent = sent(&bench);
        assert!(sent < LARGE * 15 / 10, "{sent} of {LARGE}");
        went_on(&bench, who, 1);
        is_complete(&place, &bench);
    }
}

#[test]
fn another_object_is_not_mixed_with_what_was_there() {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    slow(&bench, 3 * MIB);
    let mut reader = Stepped::shell(&bench, &place, "reader", READ);
    wait_for(&bench, Who::Myself, LARGE / 3);
    bench.server.clear_faults();
    bench.server.fault(Fault::store(Action::ChangeEtag));
    replace(&place, How::Kill(SIGKILL));
    assert_eq!(reader.printed(), expected());
    let log = log(&bench, Who::Myself);
    assert!(
        log.contains("the archive changed; downloading it again"),
        "{log}"
    );
    is_complete(&place, &bench);
}

#[test]
fn an_upgrade_does_not_wait_for_a_download() {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    slow(&bench, MIB);
    let mut reader = Stepped::shell(&bench, &place, "reader", READ);
    wait_for(&bench, Who::Myself, LARGE / 4);
    replace(&place, How::Upgrade);
    let so_far = sent(&bench);
    // Had it been waited for, all would have been sent.
    assert!(so_far < LARGE, "{so_far}: it was waited for");
    replace(&place, How::Reload);
    bench.server.clear_faults();
    assert_eq!(reader.printed(), expected());
    let sent = sent(&bench);
    assert!(sent < LARGE * 16 / 10, "{sent} of {LARGE}");
    went_on(&bench, Who::Myself, 2);
    is_complete(&place, &bench);
}

#[test]
fn an_upgrade_waits_for_a_download_that_could_only_begin_anew() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let files = vec![File::new("large", noise(6 * MIB))];
    world.add_version(&id, VersionSpec::files(files));
    let bench = Bench::new(world);
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    // In three seconds.
    let bytes_per_second = 2 * MIB as u64;
    bench.server.fault(Fault::store(Action::NoRange));
    bench
        .server
        .fault(Fault::store(Action::Rate { bytes_per_second }));
    let mut reader = Stepped::shell(&bench, &place, "reader", "cat artifacts/a/latest/large");
    wait_for(&bench, Who::Myself, MIB / 2);
    replace(&place, How::Reload);
    assert!(reader.succeeded() == noise(6 * MIB));
    assert_eq!(bench.downloads().len(), 1);
}
