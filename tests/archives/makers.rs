//! The archives of the demo and the tests are those of the programs that pack for
//! the service: GNU tar, node-tar and the Rust crate, header by header.

use crate::support::node_tar;
use flate2::read::GzDecoder;
use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};
use vm0fs::demo::{File, Kind, Maker, VersionSpec, World};

/// When all of the tree was changed, in unix seconds.
const MODIFIED: u64 = 1_767_603_600;

/// A tree with what an agent's folder may have.
fn files() -> Vec<File> {
    let folder = "d".repeat(90);
    let long = format!("{}/{}.txt", "e".repeat(190), "n".repeat(190));
    let files = vec![
        File::new("a.txt", "one\n"),
        File::hard_link("dir/hard", "a.txt"),
        File::new("dir/sub/deep.json", "{}\n".repeat(400)),
        File::symlink("dir/sub/up", "../../a.txt"),
        File::symlink("dirlink", "dir"),
        File::folder("empty"),
        File::new("größe/日本.md", "two\n"),
        File::new(format!("{folder}/{}.txt", "n".repeat(90)), "three\n"),
        File::new(long.clone(), "four\n"),
        File::symlink("longlink", long),
        File::new(format!("{}.tar", "m".repeat(96)), "five\n"),
        File::new("run", "#!/bin/sh\n").executable(),
        File::new("secret", "six\n").mode(0o600),
        File::new("zero", ""),
    ];
    files
        .into_iter()
        .map(|file| file.modified(MODIFIED))
        .collect()
}

/// Our archive of it, unzipped.
fn ours(files: &[File], maker: Maker) -> Vec<u8> {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    world.add_version(&id, VersionSpec::files(files.to_vec()).maker(maker));
    let archive = world.storages[0].versions[0].archive_bytes();
    let mut bytes = Vec::new();
    GzDecoder::new(&archive[..])
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// The tree on disk, all of it changed at the same time.
fn lay_out(root: &Path) {
    for file in files() {
        let path = root.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.is_regular() {
            let content: Vec<u8> = file.parts().flat_map(|part| part.to_vec()).collect();
            fs::write(&path, content).unwrap();
            let mode = match (file.path.as_str(), file.executable) {
                ("secret", _) => 0o600,
                (_, true) => 0o755,
                _ => 0o644,
            };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    fs::create_dir(root.join("empty")).unwrap();
    fs::hard_link(root.join("a.txt"), root.join("dir/hard")).unwrap();
    symlink("../../a.txt", root.join("dir/sub/up")).unwrap();
    symlink("dir", root.join("dirlink")).unwrap();
    let long = format!("{}/{}.txt", "e".repeat(190), "n".repeat(190));
    symlink(long, root.join("longlink")).unwrap();
    let touch = format!(
        "find . -type d -exec chmod 755 {{}} + && find . -depth -exec touch -h -d @{MODIFIED} {{}} +"
    );
    run(Command::new("sh").arg("-c").arg(touch).current_dir(root));
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `scripts/test` installs it"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    output.stdout
}

/// A header and what its entry holds.
#[derive(Debug, PartialEq)]
struct Entry {
    header: Vec<u8>,
    body: Vec<u8>,
}

fn entries(tar: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut rest = tar;
    while rest[..512].iter().any(|byte| *byte != 0) {
        let field = String::from_utf8_lossy(&rest[124..135]).into_owned();
        let size = usize::from_str_radix(field.trim_end_matches(['\0', ' ']), 8).unwrap();
        entries.push(Entry {
            header: rest[..512].to_vec(),
            body: rest[512..512 + size].to_vec(),
        });
        rest = &rest[512 + size.next_multiple_of(512)..];
    }
    entries
}

#[track_caller]
fn are_alike(ours: &[Entry], theirs: &[Entry]) {
    let show = |entry: &Entry| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "·");
        format!("{} | {}", text(&entry.header), text(&entry.body))
    };
    for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(show(ours), show(theirs), "entry {number}");
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn sandbox_archives_are_those_of_gnu_tar() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    let theirs = run(Command::new("tar")
        .args([
            "--sort=name",
            "--owner=user:1000",
            "--group=user:1000",
            "-cf",
            "-",
            ".",
        ])
        .current_dir(root.path()));
    let ours = ours(&files(), Maker::Sandbox);
    are_alike(&entries(&ours), &entries(&theirs));
    assert!(ours == theirs, "the end of the archive");
}

#[test]
fn newer_sandboxes_archives_are_those_of_the_rust_crate() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    let mut builder = tar::Builder::new(Vec::new());
    let regular: Vec<File> = files().into_iter().filter(File::is_regular).collect();
    for file in &regular {
        let path = root.path().join(&file.path);
        builder.append_path_with_name(path, &file.path).unwrap();
    }
    let theirs = builder.into_inner().unwrap();
    let (mut ours, mut theirs) = (entries(&ours(&regular, Maker::RustTar)), entries(&theirs));
    for entry in ours.iter_mut().chain(&mut theirs) {
        // Who runs the test owns the files; so the checksum differs too.
        entry.header[108..124].fill(0);
        entry.header[148..156].fill(0);
    }
    are_alike(&ours, &theirs);
}

#[test]
fn the_clis_archives_are_those_of_node_tar() {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path());
    // The CLI lists no folders.
    let listed: Vec<File> = files()
        .into_iter()
        .filter(|file| file.path != "empty")
        .collect();
    let paths: Vec<&str> = listed.iter().map(|file| &*file.path).collect();
    let package = node_tar();
    let script = "const tar = require(process.argv[1]);\n\
                  tar.create({cwd: process.argv[2], sync: true, file: process.argv[3]}, \
                  JSON.parse(process.argv[4]))";
    let out = tempfile::NamedTempFile::new().unwrap();
    run(Command::new("node")
        .args(["-e", script])
        .arg(&package)
        .arg(root.path())
        .arg(out.path())
        .arg(serde_json::to_string(&paths).unwrap()));
    let theirs = fs::read(out.path()).unwrap();
    let ours = ours(&listed, Maker::NodeTar);
    assert_eq!(ours.len() % 512, theirs.len() % 512);
    let (mut ours, mut theirs) = (entries(&ours), entries(&theirs));
    for entry in ours.iter_mut().chain(&mut theirs) {
        let is_extension = entry.header[156] == b'x';
        // Owner, access and change times, and so the checksum, are the machine's.
        for field in [108..124, 148..156, 265..297, 476..500] {
            entry.header[field].fill(0);
        }
        if is_extension {
            // Likewise, and the record's length with them.
            entry.header[124..136].fill(0);
            let text = String::from_utf8(entry.body.clone()).unwrap();
            let records = text.lines().map(|record| {
                let (_, record) = record.split_once(' ').unwrap();
                let (key, value) = record.split_once('=').unwrap();
                match key {
                    "path" | "linkpath" | "mtime" | "size" => format!("{key}={value}\n"),
                    _ => format!("{key}\n"),
                }
            });
            entry.body = records.collect::<String>().into_bytes();
        }
    }
    are_alike(&ours, &theirs);
}
