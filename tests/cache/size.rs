//! `--cache-size` is a limit that holds; and a full disk is reported as one.

use super::{disk_usage, is_right, mounted, world_of};
use crate::{
    commands::{Place, finish, script, shell},
    living,
    support::{Bench, Who, disk::Disk},
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};
use vm0fs::demo::World;

/// What a cache takes, seen while its lock is held: a walk beside a rename
/// counts what has moved twice.
fn disk_usage_at_rest(cache: &Path) -> u64 {
    let lock = fs::OpenOptions::new()
        .append(true)
        .open(cache.join("v1/lock"));
    let _lock = Flock::lock(lock.unwrap(), FlockArg::LockExclusive).unwrap();
    disk_usage(cache)
}

/// Runs something and gives the most that a cache took meanwhile.
fn most_used(cache: &Path, work: impl FnOnce()) -> u64 {
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(disk_usage_at_rest(cache), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        // The watcher must end when the work fails, too.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(&done);
        work();
    });
    most.load(Ordering::Relaxed)
}

/// The attribute `user.vm0.cached` of an artifact's version.
fn cached(place: &Place, number: u64) -> String {
    place.run(&format!(
        "getfattr --only-values -n user.vm0.cached artifacts/a{number}/latest"
    ))
}

#[test]
fn the_least_recently_used_versions_are_evicted() {
    const CEILING: u64 = 6 << 20;
    const LARGE: usize = 1 << 20;
    for who in Who::all() {
        let bench = Bench::new(world_of(8, LARGE));
        let cache = bench.folder("cache", who);
        let place = mounted(&bench, who, "mnt", &cache, &["--cache-size", "6MiB"]);
        let listed = place.run("ls -lR artifacts/*/latest/ && find artifacts -follow -type f");
        let most = most_used(&cache, || {
            for number in 0..8 {
                is_right(&place, number, LARGE);
            }
        });
        assert!(most <= CEILING, "{most} of {CEILING}");
        assert!(most > CEILING / 3, "{most} of {CEILING}: it is used");
        let held: Vec<String> = (0..8).map(|number| cached(&place, number)).collect();
        assert_eq!(
            (held[0].as_str(), held[7].as_str()),
            ("tree", "yes"),
            "{held:?}"
        );
        let evicted = held.iter().filter(|held| *held == "tree").count();
        assert!(evicted < 6, "{held:?}: no more than needed");

        // The tree outlives the content: looking around costs no download.
        bench.server.clear_requests();
        let again = place.run("ls -lR artifacts/*/latest/ && find artifacts -follow -type f");
        assert_eq!(again, listed);
        assert_eq!(bench.downloads().len(), 0);
        // One that is used again is kept before one that is not.
        let used = held.iter().position(|held| held == "yes").unwrap() as u64;
        thread::sleep(Duration::from_millis(1100));
        let touch =
            format!("cat artifacts/a{used}/latest/folder/text artifacts/a{used}/latest/small");
        place.run(&touch);
        assert_eq!(bench.downloads().len(), 0);
        // On a busy machine more was evicted than needed: there is room for the first ones.
        let gone = (0..8).filter(|number| held[*number as usize] == "tree");
        for (fetched, number) in gone.enumerate() {
            // All of it, as no read is that the kernel answers from what it knows.
            let path = place.path.join(format!("artifacts/a{number}"));
            finish(bench.command(who).arg("prefetch").arg(path)).succeeded();
            is_right(&place, number, LARGE);
            assert_eq!(bench.downloads().len(), fetched + 1);
            assert_eq!(cached(&place, number), "yes");
            assert_eq!(cached(&place, used), "yes");
            if cached(&place, used + 1) == "tree" {
                break;
            }
        }
        assert_eq!(cached(&place, used + 1), "tree", "longer unused");
        finish(&mut place.unmount(&bench)).succeeded();
        assert!(disk_usage(&cache) <= CEILING);
    }
}

#[test]
fn a_smaller_cache_size_holds_from_the_next_mount_on() {
    const LARGE: usize = 1 << 20;
    let who = Who::Myself;
    let bench = Bench::new(world_of(6, LARGE));
    let cache = bench.folder("cache", who);
    let place = mounted(&bench, who, "mnt", &cache, &["--cache-size", "20MiB"]);
    for number in 0..5 {
        is_right(&place, number, LARGE);
    }
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
    assert!(disk_usage(&cache) > 4 << 20);
    let place = mounted(&bench, who, "mnt", &cache, &["--cache-size", "3MiB"]);
    is_right(&place, 5, LARGE);
    assert!(disk_usage(&cache) <= 3 << 20, "{}", disk_usage(&cache));
    finish(&mut place.unmount(&bench)).succeeded();
}

#[test]
fn a_version_larger_than_the_cache_is_refused_with_a_reason() {
    for who in Who::all() {
        let bench = Bench::new(world_of(2, 3 << 20));
        let cache = bench.folder("cache", who);
        let place = mounted(&bench, who, "mnt", &cache, &["--cache-size", "2MiB"]);
        let most = most_used(&cache, || {
            let text = place.inside("cat artifacts/a0/latest/small");
            let said = finish(&mut script(who, &text));
            assert_ne!(said.code, Some(0), "{said:?}");
            said.told(&["No space left on device"]);
        });
        assert!(most <= 2 << 20, "{most}");
        let errors = place.run("cat .vm0fs/errors");
        assert!(errors.contains("--cache-size"), "{errors}");
        assert_eq!(place.run("ls artifacts"), "a0\na1\n");
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

// Only root can make a disk that is small.
#[test]
#[ignore = "needs root"]
fn a_full_disk_is_reported_as_a_full_disk() {
    for who in Who::all() {
        let mut world: World = world_of(1, 3 << 20);
        let small = world.add_storage(vm0fs::demo::Kind::Artifact, "small");
        let files = vec![vm0fs::demo::File::new("file", "fits\n")];
        world.add_version(&small, vm0fs::demo::VersionSpec::files(files));
        let bench = Bench::new(world);
        let disk = Disk::new(&bench.folder("disk", who), who, "2m");
        // The ceiling is no help: it is larger than the disk.
        let place = mounted(&bench, who, "mnt", &disk.0, &["--cache-size", "1GiB"]);
        let text = place.inside("cat artifacts/a0/latest/large | wc -c");
        let said = finish(&mut script(who, &text));
        assert_ne!(said.code, Some(0), "{said:?}");
        said.told(&["No space left on device"]);
        let errors = place.run("cat .vm0fs/errors");
        assert!(
            errors.contains("No space left") && errors.contains("--cache-dir"),
            "{errors}"
        );
        // What failed has left nothing, so that something smaller fits.
        assert_eq!(fs::read_dir(disk.0.join("v1/staging")).unwrap().count(), 0);
        assert_eq!(place.run("cat artifacts/small/latest/file"), "fits\n");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
#[ignore = "needs root"]
fn a_full_disk_stops_no_command_that_needs_no_room_there() {
    for who in Who::all() {
        let (world, run) = living::world();
        let bench = Bench::new(world);
        let disk = Disk::new(&bench.folder("disk", who), who, "2m");
        let fill = format!("cat /dev/zero > '{}/fill' || true", disk.0.display());
        shell(who, &fill);
        let said = |arguments: &[&str]| {
            let mut command = bench.command(who);
            command.env("XDG_CACHE_HOME", &disk.0).args(arguments);
            finish(&mut command)
        };
        // First without a mount, then beside one.
        assert!(said(&["ls", "agents"]).succeeded().contains("writer"));
        said(&["run", "writer", "Go on"]).succeeded();
        let place = Place::new(&bench, who, "mnt");
        let mounted = finish(place.mount(&bench).env("XDG_CACHE_HOME", &disk.0));
        assert_eq!(mounted.code, Some(0), "{mounted:?}");
        mounted.told(&["the disk at ", "is full (0 B free)", "--cache-dir"]);
        assert!(said(&["ls", "runs"]).succeeded().contains("writer"));
        said(&["cancel", &run]).succeeded();
        assert_eq!(place.run(&format!("cat runs/{run}/status")), "cancelled\n");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}
