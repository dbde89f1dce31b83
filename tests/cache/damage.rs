//! Damage in the cache's files: a version is right, fetched again, or an
//! error; never other content.

use super::{LARGE, expected_sums, is_right, mounted, versions_in, world_of};
use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::{
    commands::{Place, finish, script},
    support::{Bench, Who, noise_of},
};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// What is done to a file.
type Damage = fn(&Path);

/// Cuts a file to half.
fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

/// Empties a file.
fn empty(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
}

/// Turns over all bits of a stretch in the middle of a file.
fn flip(path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let length = file.metadata().unwrap().len();
    let mut bytes = vec![0; (length / 4).clamp(1, 4096) as usize];
    let start = length / 2;
    let read = file.read_at(&mut bytes, start).unwrap();
    bytes.truncate(read);
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    file.write_all_at(&bytes, start).unwrap();
}

/// Turns over the bits of the first bytes.
fn flip_head(path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut bytes = [0; 16];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    file.write_all_at(&bytes[..read], 0).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// A file of the one version in a cache whose name begins so.
fn file_in(cache: &Path, name: &str) -> PathBuf {
    let versions = versions_in(cache);
    assert_eq!(versions.len(), 1);
    let mut entries = fs::read_dir(&versions[0]).unwrap().flatten();
    let found = entries.find(|entry| entry.file_name().to_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("no {name}")).path()
}

/// Downloads a version, damages it while nothing is mounted, and gives a new
/// mount.
fn after_damage(bench: &Bench, cache: &Path, name: &str, damage: Damage) -> Place {
    let who = Who::Myself;
    let place = mounted(bench, who, "mnt", cache, &[]);
    is_right(&place, 0, LARGE);
    finish(&mut place.unmount(bench)).succeeded();
    place.is_over();
    drop(place);
    damage(&file_in(cache, name));
    mounted(bench, who, "mnt", cache, &[])
}

#[test]
fn damaged_cache_files_are_repaired() {
    let damages: [(&str, &str, Damage); 15] = [
        ("tree", "cut", cut),
        ("tree", "emptied", empty),
        ("tree", "flipped", flip),
        ("tree", "other head", flip_head),
        ("tree", "removed", remove),
        ("pack", "cut", cut),
        ("pack", "flipped", flip),
        ("pack", "other head", flip_head),
        ("pack", "removed", remove),
        ("blob-", "cut", cut),
        ("blob-", "flipped", flip),
        ("blob-", "other head", flip_head),
        ("blob-", "removed", remove),
        ("meta.json", "cut", cut),
        ("meta.json", "removed", remove),
    ];
    let bench = Bench::new(world_of(1, LARGE));
    for (number, (name, how, damage)) in damages.into_iter().enumerate() {
        let cache = bench.folder(&format!("cache{number}"), Who::Myself);
        let place = after_damage(&bench, &cache, name, damage);
        let sums = place.inside("cd artifacts/a0/latest && sha256sum small folder/text large");
        let said = finish(&mut script(Who::Myself, &sums));
        assert_eq!(said.out, expected_sums(0, LARGE), "{name} {how}: {said:?}");
        let listed = place.run("cd artifacts/a0/latest && find . -type f | sort | xargs wc -c");
        assert!(
            listed.contains(&format!("{LARGE} ./large")),
            "{name} {how}: {listed}"
        );
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

/// A file of the one version that is read through a handle opened before.
fn read_from(file: &fs::File, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; LARGE];
    let mut filled = 0;
    loop {
        let n = file.read_at(&mut bytes[filled..], offset + filled as u64);
        match n.unwrap() {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Has the kernel forget what it has read of a file.
fn forget(file: &fs::File) {
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    posix_fadvise(file, 0, 0, advice).unwrap();
}

#[test]
fn damage_under_an_open_file_is_repaired() {
    let bench = Bench::new(world_of(1, LARGE));
    let damages: [(&str, Damage); 4] = [
        ("pack", flip),
        ("blob-", flip),
        ("pack", cut),
        ("blob-", empty),
    ];
    for (number, (name, damage)) in damages.into_iter().enumerate() {
        let cache = bench.folder(&format!("cache{number}"), Who::Myself);
        let place = mounted(&bench, Who::Myself, "mnt", &cache, &[]);
        is_right(&place, 0, LARGE);
        let folder = place.path.join("artifacts/a0/latest");
        let files = ["folder/text", "large"].map(|name| {
            let file = fs::File::open(folder.join(name)).unwrap();
            let before = read_from(&file, 0);
            forget(&file);
            (name, file, before)
        });
        bench.server.clear_requests();
        // Slowly, so that reads come upon a part.
        bench.server.fault(Fault::store(Action::Rate {
            bytes_per_second: 3 << 20,
        }));
        damage(&file_in(&cache, name));
        for (name, file, before) in &files {
            for offset in [0, 1000, before.len() as u64 / 2] {
                forget(file);
                let after = read_from(file, offset);
                assert!(
                    after == before[offset as usize..],
                    "{number} {name} {offset}"
                );
            }
        }
        is_right(&place, 0, LARGE);
        // What is read, in parts, and no byte much more than once.
        let sent: u64 = bench.downloads().iter().map(|one| one.bytes_sent).sum();
        assert!(sent < 2 * LARGE as u64, "{number}: {sent}");
        bench.server.clear_faults();
        drop(files);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn damage_without_a_network_is_an_error() {
    let bench = Bench::new(world_of(1, LARGE));
    for (number, name) in ["pack", "blob-"].into_iter().enumerate() {
        let cache = bench.folder(&format!("cache{number}"), Who::Myself);
        let place = after_damage(&bench, &cache, name, flip);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
        let place = Place::new(&bench, Who::Myself, "mnt");
        let mut command = place.mount(&bench);
        let said = finish(command.arg("--cache-dir").arg(&cache).arg("--offline"));
        assert_eq!(said.code, Some(0), "{said:?}");
        let sums = place.inside("cd artifacts/a0/latest && sha256sum small folder/text large");
        let said = finish(&mut script(Who::Myself, &sums));
        let expected = expected_sums(0, LARGE);
        for line in said.out.lines() {
            assert!(expected.contains(line), "{name}: {line} and no error");
        }
        assert!(said.err.contains("Network is unreachable"), "{said:?}");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

/// A version whose index is too large to be read whole when it is opened.
fn of_many_files() -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a0");
    let files = (0..60_000).map(|n| {
        let path = format!("folder-{:02}/a-name-of-some-length-{n:05}", n / 1000);
        File::new(path, "")
    });
    world.add_version(&id, VersionSpec::files(files.collect()));
    world
}

#[test]
fn a_damaged_large_index_is_repaired() {
    let bench = Bench::new(of_many_files());
    let cache = bench.folder("cache", Who::Myself);
    let place = mounted(&bench, Who::Myself, "mnt", &cache, &[]);
    let list = "cd artifacts/a0/latest/ && find . | sort | sha256sum";
    let right = place.run(list);
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
    let damages: [(&str, Damage); 3] = [
        ("flipped", flip),
        ("flipped under a mount", flip),
        ("cut under a mount", cut),
    ];
    for (how, damage) in damages {
        let is_under = how.contains("under");
        if !is_under {
            damage(&file_in(&cache, "tree"));
        }
        bench.server.clear_requests();
        let place = mounted(&bench, Who::Myself, "mnt", &cache, &[]);
        if is_under {
            place.run("ls artifacts/a0/latest/folder-00");
            damage(&file_in(&cache, "tree"));
        }
        assert_eq!(place.run(list), right, "{how}");
        assert_eq!(bench.downloads().len(), 1, "{how}");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn damage_under_a_file_opened_while_it_arrived_is_repaired() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a0");
    let (first, rest) = (noise_of(1, 200 << 10), noise_of(2, 600 << 10));
    let files = vec![File::new("first", first.clone()), File::new("rest", rest)];
    world.add_version(&id, VersionSpec::files(files));
    let bench = Bench::new(world);
    let cache = bench.folder("cache", Who::Myself);
    let place = mounted(&bench, Who::Myself, "mnt", &cache, &["--timeout", "4s"]);
    place.run("ls artifacts/a0");
    bench
        .server
        .fault(Fault::store(Action::StallBody { after: 300 << 10 }));
    let folder = place.path.join("artifacts/a0/latest");
    let file = fs::File::open(folder.join("first")).unwrap();
    assert!(read_from(&file, 0) == first);
    assert_eq!(versions_in(&cache).len(), 0, "it is still arriving");
    bench.server.clear_faults();
    place.run("ls artifacts/a0/latest/");
    flip_head(&file_in(&cache, "pack"));
    forget(&file);
    assert!(read_from(&file, 0) == first, "damage was shown");
    drop(file);
    finish(&mut place.unmount(&bench)).succeeded();
}
