//! The cache on disk, across mounts: its content is used again, damage is never
//! shown, and its maximum size holds.

#[cfg(debug_assertions)]
mod crashes;
mod damage;
mod folder;
mod remade;
mod size;

use crate::support::fake::{Action, Fault, File, Kind, Port, VersionSpec, World};
use crate::{
    commands::{Place, Running, finish, script, until},
    support::{Bench, Who, is_mounted, noise_of},
};
use nix::sys::signal::SIGKILL;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A world of artifacts `a0`, `a1` and so on, each of one version with a
/// small file, a text in a folder, and a large file of so many bytes.
fn world_of(artifacts: u64, large: usize) -> World {
    let mut world = World::empty();
    for number in 0..artifacts {
        let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
        let files = vec![
            File::new("small", format!("small {number}\n")),
            File::new("folder/text", format!("text {number}\n").repeat(1000)),
            File::new("large", noise_of(number + 1, large)),
        ];
        world.add_version(&id, VersionSpec::files(files));
    }
    world
}

/// Whether the files of an artifact are exactly what the world holds.
#[track_caller]
fn is_right(place: &Place, number: u64, large: usize) {
    let folder = place.path.join(format!("artifacts/a{number}/latest"));
    // Bytes are read before the archive has ended, names only after: by then it
    // is in the cache for good.
    let sums = place.run(&format!(
        "cd '{}' && sha256sum small folder/text large && ls > /dev/null",
        folder.display()
    ));
    assert_eq!(sums, expected_sums(number, large), "a{number}");
}

fn expected_sums(number: u64, large: usize) -> String {
    let world = world_of(number + 1, large);
    let name = format!("a{number}");
    let storage = world.storage(Kind::Artifact, &name).unwrap();
    let files: BTreeMap<&str, String> = storage.versions[0]
        .files()
        .iter()
        .map(|file| {
            let hex = file.sha256().map(|byte| format!("{byte:02x}"));
            (file.path.as_str(), hex.concat())
        })
        .collect();
    ["small", "folder/text", "large"]
        .map(|path| format!("{}  {path}\n", files[path]))
        .concat()
}

/// A mount with a cache of a given folder.
#[track_caller]
fn mounted(bench: &Bench, who: Who, name: &str, cache: &Path, arguments: &[&str]) -> Place {
    let place = Place::new(bench, who, name);
    let mut command = place.mount(bench);
    command.arg("--cache-dir").arg(cache).args(arguments);
    let said = finish(&mut command);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    place
}

/// What a folder takes of the disk.
fn disk_usage(path: &Path) -> u64 {
    let mut command = script(Who::Myself, &format!("du -s -B1 '{}'", path.display()));
    let out = finish(&mut command).out;
    out.split_whitespace().next().unwrap().parse().unwrap()
}

/// The folders of the versions in a cache.
pub(crate) fn versions_in(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join("v1/versions")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What lies in a cache's staging folder.
fn staged_in(cache: &Path) -> usize {
    fs::read_dir(cache.join("v1/staging")).unwrap().count()
}

/// What a fetch that can be gone on with has in the cache: its directory and its lock file.
fn left_in(cache: &Path) -> usize {
    let all = fs::read_dir(cache.join("v1/staging")).unwrap().flatten();
    2 * all
        .filter(|entry| entry.path().join("journal").exists())
        .count()
}

/// Enough that a file has a blob of its own.
const LARGE: usize = 3 << 20;

#[test]
fn cached_versions_survive_a_restart() {
    for who in Who::all() {
        let bench = Bench::new(world_of(2, LARGE));
        let cache = bench.folder("cache", who);
        let place = mounted(&bench, who, "mnt", &cache, &[]);
        is_right(&place, 0, LARGE);
        is_right(&place, 1, LARGE);
        let listed = place.run("ls -lR artifacts/*/latest/");
        assert_eq!(bench.downloads().len(), 2);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();

        bench.server.clear_requests();
        let place = mounted(&bench, who, "mnt", &cache, &[]);
        is_right(&place, 0, LARGE);
        is_right(&place, 1, LARGE);
        assert_eq!(place.run("ls -lR artifacts/*/latest/"), listed);
        assert_eq!(bench.downloads().len(), 0, "all of it was there");
        let asked: Vec<String> = bench.api_calls().iter().map(|call| call.line()).collect();
        assert!(
            !asked.iter().any(|line| line.contains("download")),
            "{asked:?}"
        );
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn a_kill_during_a_download_leaves_nothing_broken() {
    for who in Who::all() {
        let bench = Bench::new(world_of(1, LARGE));
        let cache = bench.folder("cache", who);
        let place = mounted(&bench, who, "mnt", &cache, &[]);
        bench
            .server
            .fault(Fault::store(Action::StallBody { after: 1 << 20 }));
        let file = place.path.join("artifacts/a0/latest/small");
        let reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(crate::support::SOON, |requests| {
            requests.iter().any(|request| request.bytes_sent >= 1 << 20)
        }));
        until("the download has begun to unpack", || staged_in(&cache) > 0);
        place.signal_all(SIGKILL);
        drop(reader);
        place_is_dead(&place);
        assert!(staged_in(&cache) > 0, "a kill leaves what it was at");

        bench.server.clear_faults();
        let place = mounted_over_dead(&bench, &place, &cache);
        assert_eq!(staged_in(&cache), left_in(&cache), "stale staging is gone");
        assert_eq!(
            versions_in(&cache).len(),
            0,
            "and is not taken for a version"
        );
        is_right(&place, 0, LARGE);
        assert_eq!(staged_in(&cache), 0);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[track_caller]
fn place_is_dead(place: &Place) {
    until("the processes are gone", || place.processes().is_empty());
    assert!(is_mounted(&place.path));
}

/// Mounts where a kill has left a dead mount.
#[track_caller]
fn mounted_over_dead(bench: &Bench, dead: &Place, cache: &Path) -> Place {
    let place = Place {
        who: dead.who,
        path: dead.path.clone(),
    };
    let said = finish(place.mount(bench).arg("--cache-dir").arg(cache));
    assert_eq!(said.code, Some(0), "{said:?}");
    place
}

#[test]
fn two_mounts_share_one_cache() {
    const CEILING: u64 = 16 << 20;
    for who in Who::all() {
        let bench = Bench::new(world_of(3, LARGE));
        let cache = bench.folder("cache", who);
        let size = ["--cache-size", "16MiB"];
        let one = mounted(&bench, who, "one", &cache, &size);
        let other = mounted(&bench, who, "other", &cache, &size);
        std::thread::scope(|scope| {
            for place in [&one, &other] {
                scope.spawn(|| {
                    for number in 0..3 {
                        is_right(place, number, LARGE);
                    }
                });
            }
        });
        let downloads = bench.downloads().len();
        assert!((3..=6).contains(&downloads), "{downloads}");
        assert!(disk_usage(&cache) <= CEILING, "{}", disk_usage(&cache));
        assert_eq!(versions_in(&cache).len(), 3, "one copy of each");
        // One that ends takes nothing from the other.
        bench.server.clear_requests();
        finish(&mut one.unmount(&bench)).succeeded();
        one.is_over();
        for number in 0..3 {
            is_right(&other, number, LARGE);
        }
        assert_eq!(bench.downloads().len(), 0);
        finish(&mut other.unmount(&bench)).succeeded();
    }
}

#[test]
fn a_cache_removed_while_mounted_is_made_again() {
    for who in Who::all() {
        let bench = Bench::new(world_of(2, LARGE));
        let cache = bench.folder("cache", who);
        let place = mounted(&bench, who, "mnt", &cache, &[]);
        is_right(&place, 0, LARGE);
        fs::remove_dir_all(&cache).unwrap();
        // The parent may be root's: it is there again, and empty.
        bench.folder("cache", who);
        is_right(&place, 0, LARGE);
        is_right(&place, 1, LARGE);
        place.run("ls -lR artifacts/*/latest/");
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn an_unusable_cache_folder_is_reported_before_mounting() {
    for who in Who::all() {
        let bench = Bench::new(world_of(1, 10));
        let file = bench.folder("files", who).join("file");
        fs::write(&file, "").unwrap();
        let mut folders = vec![file, PathBuf::from("/proc/vm0fs-cache")];
        if who == Who::Ordinary {
            folders.push(bench.folder("of-root", Who::Myself));
        }
        for folder in folders {
            let place = Place::new(&bench, who, "mnt");
            let mut command = place.mount(&bench);
            let said = finish(command.arg("--cache-dir").arg(&folder));
            said.failed(&[folder.to_str().unwrap(), "--cache-dir"]);
            assert!(!is_mounted(&place.path));
        }
        assert_eq!(bench.server.requests_to(Port::Store, "").len(), 0);
    }
}
