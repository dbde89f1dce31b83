//! Real tools on real files, through the kernel.

mod attributes;
mod copying;
mod node;
mod programs;
mod reading;

use crate::support::{Bench, Mount};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use vm0fs::demo::{File, Kind, VersionSpec, World};

/// A world with one artifact `a` that holds `files`.
fn artifact(files: Vec<File>) -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    world.add_version(&id, VersionSpec::files(files));
    world
}

/// Some dozens of files of all sizes, with names, modes and times to be kept.
fn project() -> Vec<File> {
    let mut files = vec![
        File::new("README.md", "# Project\nneedle in a readme\n"),
        File::new("empty", ""),
        File::new("bin/run.sh", "#!/bin/sh\necho \"run $1\"\n").executable(),
        File::new("name with spaces/ünï¢ode – file.txt", "needle\n").modified(1_600_000_000),
        File::new("big", crate::support::noise(3_000_001)).modified(1_650_000_000),
        File::new(format!("{}/{}", "d".repeat(200), "f".repeat(200)), "long\n"),
    ];
    for n in 0..60_u64 {
        let text = format!("file {n}\n").repeat(n as usize * 20);
        let file = File::new(format!("src/m{}/file{n}.txt", n % 7), text);
        files.push(file.modified(1_700_000_000 + n));
    }
    files
}

/// Writes the files to a folder, as they were packed.
fn write_out(files: &[File], folder: &Path) {
    for file in files {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> = file.parts().flat_map(|part| part.to_vec()).collect();
        fs::write(&path, content).unwrap();
        let mode = if file.executable { 0o555 } else { 0o444 };
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(file.modified);
        let opened = fs::File::options().append(true).open(&path).unwrap();
        opened.set_modified(time).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Reads the files of a folder, to be packed.
fn pack_up(folder: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let executable = path.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let file = File::new(name, fs::read(&path).unwrap());
            files.push(if executable { file.executable() } else { file });
        }
    }
    files
}

/// Runs a shell script in a folder; it must succeed.
#[track_caller]
fn prepare(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-ec", script])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A mount of `files`, a folder that holds the same, and an empty one to write
/// to, which belongs to who mounted.
fn compared(bench: &Bench, mount: &Mount, files: &[File]) -> (String, String, String) {
    let original = bench.dir().join("original");
    write_out(files, &original);
    let output = bench.folder("output", mount.who());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let version = mount
        .run("readlink artifacts/a/latest")
        .trim_end()
        .to_owned();
    let mounted = mount.join(&format!("artifacts/a/{version}"));
    (text(&mounted), text(&original), text(&output))
}
