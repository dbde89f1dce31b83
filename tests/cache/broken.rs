//! Damage in the cache's files: a version is right, fetched again, or an
//! error; never other content.

use super::{LARGE, expected_sums, is_right, mounted, versions_in, world_of};
use crate::{
    commands::{Place, finish, script},
    support::{Bench, Who},
};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use vm0fs::demo::{File, Kind, VersionSpec, World};

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
fn damage_that_shows_is_repaired() {
    let damages: [(&str, &str, Damage); 11] = [
        ("tree", "cut", cut),
        ("tree", "emptied", empty),
        ("tree", "flipped", flip),
        ("tree", "other head", flip_head),
        ("tree", "removed", remove),
        ("pack", "cut", cut),
        ("pack", "removed", remove),
        ("blob-", "cut", cut),
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

/// Names in the one version of [`a_damaged_name_does_not_cut_a_listing_short`]:
/// so many that the checksum of their index is not computed whenever it is opened.
const NAMES: usize = 60_000;

#[test]
fn a_damaged_name_does_not_cut_a_listing_short() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let files = (0..NAMES).map(|number| File::new(format!("a-long-name-{number:05}"), ""));
    world.add_version(&id, VersionSpec::files(files.collect()));
    let bench = Bench::new(world);
    let cache = bench.folder("cache", Who::Myself);
    let place = mounted(&bench, Who::Myself, "mnt", &cache, &[]);
    let listed = place.run("ls -U artifacts/a/latest/ | wc -l");
    assert_eq!(listed.trim(), NAMES.to_string());
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
    drop(place);
    let tree = file_in(&cache, "tree");
    let bytes = fs::read(&tree).unwrap();
    let name = b"a-long-name-40000";
    let at = bytes.windows(name.len()).position(|part| part == name);
    let file = OpenOptions::new().write(true).open(&tree).unwrap();
    file.write_all_at(b"/", at.unwrap() as u64).unwrap();
    let place = mounted(&bench, Who::Myself, "mnt", &cache, &[]);
    for command in ["ls -U", "ls -l", "find"] {
        let inside = place.inside(&format!("{command} artifacts/a/latest/"));
        let said = finish(&mut script(Who::Myself, &inside));
        assert_ne!(said.code, Some(0), "{command}: no error");
        assert!(said.err.contains("Input/output error"), "{}", said.err);
    }
    let other = place.run("cat artifacts/a/latest/a-long-name-50000 | wc -c");
    assert_eq!(other.trim(), "0");
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
}

/// Known to fail: the cache has checksums of its tree, and none of content.
#[test]
#[ignore = "content in the cache has no checksums yet"]
fn content_that_has_turned_is_not_shown_as_right() {
    let bench = Bench::new(world_of(1, LARGE));
    for name in ["pack", "blob-"] {
        let cache = bench.folder(&format!("cache-{name}"), Who::Myself);
        let place = after_damage(&bench, &cache, name, flip);
        let sums = place.inside("cd artifacts/a0/latest && sha256sum small folder/text large");
        let said = finish(&mut script(Who::Myself, &sums));
        let expected = expected_sums(0, LARGE);
        for line in said.out.lines() {
            assert!(expected.contains(line), "{name}: {line} and no error");
        }
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}
