//! The archives are as their makers make them: another reader unpacks them, and the
//! headers are compared with those of GNU tar and node-tar.

#![allow(clippy::unwrap_used)]
use super::*;
use axum::body::Bytes;
use sha2::{Digest, Sha256};
use std::io::Read;

fn unpack(archive: &Archive) -> Vec<(String, u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < archive.len() {
        bytes.extend_from_slice(&archive.slice(bytes.len() as u64, 100_000));
    }
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    tar.entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (
                String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
                entry.header().mode().unwrap(),
                content,
            )
        })
        .collect()
}

#[test]
fn all_forms_unpack_to_the_same_files() {
    let long = format!("{}/{}.txt", "d".repeat(90), "n".repeat(90));
    let longer = format!("{}/{}.txt", "d".repeat(190), "n".repeat(190));
    let block = |byte: u8| Bytes::from(vec![byte; 70_000]);
    let files = [
        File::new("a.txt", "one"),
        File::new("bin/run", "#!/bin/sh\n").executable(),
        File::new("größe/日本.md", "two"),
        File::new(long, "three"),
        File::new(longer, vec![7; 512]),
        File::blocks("big", vec![block(1), block(2)], vec![0, 1, 1, 0], None),
        File::new("empty", ""),
        File::new("last", "x".repeat(600)),
    ];
    for maker in [Maker::NodeTar, Maker::RustTar, Maker::Sandbox] {
        let mut entries = unpack(&Archive::pack(&files, maker));
        entries.retain(|(path, ..)| !path.ends_with('/'));
        assert_eq!(entries.len(), files.len(), "{maker:?}");
        for (path, mode, content) in entries {
            let name = path.trim_start_matches("./");
            assert_eq!(path.starts_with("./"), maker == Maker::Sandbox);
            let file = files.iter().find(|file| file.path == name).unwrap();
            assert_eq!(mode & 0o777, if file.executable { 0o755 } else { 0o644 });
            assert_eq!(content.len() as u64, file.size());
            assert_eq!(Sha256::digest(&content)[..], file.sha256());
        }
    }
}

#[test]
fn version_ids_are_those_of_the_service() {
    let files = [File::new("b", "2"), File::new("a", "1")];
    let text = format!("storage:s\na:{}\nb:{}", sha256_hex("1"), sha256_hex("2"));
    assert_eq!(version_id("s", &files), sha256_hex(text));
    assert_eq!(version_id("s", &[]), sha256_hex("storage:s\n"));
    // U+FF5E sorts before U+1F600 by code point, after it by UTF-16 unit.
    let files = [File::new("\u{ff5e}", ""), File::new("\u{1f600}", "")];
    let empty = sha256_hex("");
    let text = format!("storage:s\n\u{1f600}:{empty}\n\u{ff5e}:{empty}");
    assert_eq!(version_id("s", &files), sha256_hex(text));
}
#[test]
fn a_list_follows_links_as_its_maker_does() {
    let files = [
        File::new("a/one", "1"),
        File::hard_link("two", "a/one"),
        File::symlink("to-file", "a/one"),
        File::symlink("to-folder", "a"),
        File::symlink("a/up", ".."),
        File::symlink("lost", "none"),
        File::symlink("out", "../etc/passwd"),
        File::folder("empty"),
        File::new(".git/HEAD", "ref"),
        File::new(".vm0/state", "{}"),
    ];
    let paths = |maker| {
        let mut paths: Vec<String> = listed(&files, maker).into_iter().map(|one| one.0).collect();
        paths.sort();
        paths
    };
    assert_eq!(paths(Maker::RustTar), ["a/one", "two"]);
    assert_eq!(
        paths(Maker::NodeTar),
        [".git/HEAD", "a/one", "to-file", "two"]
    );
    let followed = paths(Maker::Sandbox);
    assert!(
        followed.starts_with(&["a/one".into(), "to-file".into()]),
        "{followed:?}"
    );
    assert!(followed.contains(&"to-folder/one".into()), "{followed:?}");
    assert!(
        followed
            .iter()
            .all(|path| !path.contains("git") && !path.contains("lost"))
    );
    let spec = crate::demo::VersionSpec::files(files.to_vec()).maker(Maker::Sandbox);
    let mut world = crate::demo::World::empty();
    let id = world.add_storage(crate::demo::Kind::Artifact, "a");
    let version = world.add_version(&id, spec);
    assert_eq!(version, version_id(&id, &files));
    assert_eq!(
        world.storages[0].versions[0].file_count,
        followed.len() as u64
    );
}
