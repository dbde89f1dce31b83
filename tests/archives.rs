//! Archives as programs really make them, and numbers as programs really read them.
//!
//! Each is made by the program itself and read through a mount. Nothing is unpacked
//! here: what the mount shows is held against the folder that was packed.

mod fields;
mod holes;
mod makers;

use crate::support::{Bench, Mount, node_tar};
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs, path::Path, process::Command};
use vm0fs::demo::{Kind, VersionSpec, World};

/// Runs a shell script in a folder; it must succeed.
#[track_caller]
pub(crate) fn shell(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env("NODE_TAR", node_tar())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names that each form of tar can hold.
const SHORT: &str = "
    mkdir -p src/empty src/deep/er
    cd src
    echo one > a
    head -c 3000000 /dev/urandom > deep/er/large
    printf '#!/bin/sh\\n' > run
    : > nothing
    ln a deep/hard
    ln -s deep/er link
    ln -s ../a deep/up
    ln -s nowhere gone
";
/// Names that need an extension of their own.
const LONG: &str = "
    n=$(printf 'n%.0s' {1..200})
    mkdir -p \"$n/$n\"
    echo long > \"$n/$n/file\"
    ln -s \"$n/$n/file\" \"$n/link\"
    echo text > 'ünï – 设计.txt'
";
/// Modes and times as a mount shows them.
const FINISH: &str = "
    find . -type f -exec chmod 444 {} +
    chmod 555 run
    find . -depth -mindepth 1 -exec touch -h -d @1600000007 {} +
    find . -depth -type d -exec chmod 555 {} +
";

/// What a folder holds: kind, mode, size of what is no folder, names, time, target.
const TOLD: &str = "find . -mindepth 1 \\( -type d -printf '%P %y %m %T@\\n' -o \
     -printf '%P %y %m %s %T@ %l\\n' \\) | sort";
/// Files that are hard links of one another.
const LINKED: &str = "find . -links +1 ! -type d -printf '%P\\n' | sort";
const SUMS: &str = "find . -type f -print0 | sort -z | xargs -0 sha256sum";

/// The same as [`SUMS`], as the mount tells it.
const HASHES: &str = "find . -type f -print0 | sort -z | xargs -0 python3 -c \"import os, sys
for path in sys.argv[1:]:
    print(os.getxattr(path, 'user.vm0.sha256').decode() + '  ' + path)\"";

/// The id of a version of a storage with the regular files of a folder.
fn id_of(storage: &str, folder: &Path) -> String {
    let sums = shell(folder, SUMS);
    let mut lines: Vec<String> = sums
        .lines()
        .map(|line| format!("{}:{}", &line[68..], &line[..64]))
        .collect();
    lines.sort();
    let text = format!("storage:{storage}\n{}", lines.join("\n"));
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |mut id, byte| {
            write!(id, "{byte:02x}").unwrap();
            id
        })
}

/// Serves an archive for each of these commands, which write `$out.tar.gz` or
/// `$out.tar`, of the folder `src`; gives the mount and the names.
fn mounted(folder: &Path, makers: &[(&str, String)]) -> (Bench, Mount) {
    let mut world = World::empty();
    let source = folder.join("src");
    for (name, command) in makers {
        shell(folder, &format!("out={name}; {command}"));
        let archive = fs::read(folder.join(format!("{name}.tar.gz")));
        let id = world.add_storage(Kind::Artifact, name);
        let spec = VersionSpec::archive(archive.unwrap()).id(id_of(&id, &source));
        world.add_version(&id, spec.declared_size(200_000_000));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    (bench, mount)
}

fn verified(mount: &Mount, name: &str) -> String {
    mount.run(&format!(
        "getfattr --only-values -n user.vm0.verified artifacts/{name}/latest/"
    ))
}

/// node-tar, over all that is in `src`. Not beside other work: version 7.5 may then
/// end in the middle, without an error, where it meets hard links.
fn node() -> String {
    "node -e \"require(process.env.NODE_TAR).create({sync: true, gzip: true, cwd: 'src', \
     file: '$out.tar.gz'}, ['.'])\""
        .into()
}

/// Python's tarfile.
fn python(format: &str) -> String {
    format!(
        "python3 -c \"import sys, tarfile; \
         tarfile.open(sys.argv[1], 'w:gz', format=tarfile.{format}).add('src', '.')\" $out.tar.gz"
    )
}

fn everywhere() -> Vec<(&'static str, String)> {
    vec![
        ("gnu", "tar -C src -czf $out.tar.gz --format=gnu .".into()),
        (
            "gnu-old",
            "tar -C src -czf $out.tar.gz --format=oldgnu .".into(),
        ),
        (
            "gnu-pax",
            "tar -C src -czf $out.tar.gz --format=pax .".into(),
        ),
        (
            "gnu-sorted",
            "tar -C src -czf $out.tar.gz --sort=name -S .".into(),
        ),
        ("bsd", "bsdtar -C src -czf $out.tar.gz .".into()),
        (
            "bsd-pax",
            "bsdtar -C src -czf $out.tar.gz --format=pax .".into(),
        ),
        (
            "bsd-gnu",
            "bsdtar -C src -czf $out.tar.gz --format=gnutar .".into(),
        ),
        ("node", node()),
        ("python-pax", python("PAX_FORMAT")),
        ("python-gnu", python("GNU_FORMAT")),
        ("pigz", "tar -C src -c . | pigz -b 128 > $out.tar.gz".into()),
        (
            "pigz-independent",
            "tar -C src -c . | pigz -i -b 128 > $out.tar.gz".into(),
        ),
        ("bgzip", "tar -C src -c . | bgzip -c > $out.tar.gz".into()),
        (
            "members",
            "tar -C src -c . | split -b 700000 --filter='gzip -1' - > $out.tar.gz".into(),
        ),
        ("unpacked", "tar -C src -cf $out.tar.gz .".into()),
    ]
}

fn short_only() -> Vec<(&'static str, String)> {
    vec![
        (
            "gnu-ustar",
            "tar -C src -czf $out.tar.gz --format=ustar .".into(),
        ),
        ("gnu-v7", "tar -C src -czf $out.tar.gz --format=v7 .".into()),
        (
            "bsd-ustar",
            "bsdtar -C src -czf $out.tar.gz --format=ustar .".into(),
        ),
        (
            "bsd-v7",
            "bsdtar -C src -czf $out.tar.gz --format=v7tar .".into(),
        ),
        ("python-ustar", python("USTAR_FORMAT")),
    ]
}

#[test]
fn every_program_s_archive_is_shown_as_the_folder_that_was_packed() {
    let folders = tempfile::tempdir().unwrap();
    for (kind, names, makers) in [
        ("long", [SHORT, LONG].concat(), everywhere()),
        ("short", SHORT.to_owned(), short_only()),
    ] {
        let folder = folders.path().join(kind);
        fs::create_dir(&folder).unwrap();
        shell(&folder, &[&names, FINISH].concat());
        let source = folder.join("src");
        let (_bench, mount) = mounted(&folder, &makers);
        let (told, sums) = (shell(&source, TOLD), shell(&source, SUMS));
        for (name, _) in &makers {
            let root = mount.join(&format!("artifacts/{name}/latest/"));
            assert_eq!(shell(&root, TOLD), told, "{name}");
            assert_eq!(shell(&root, SUMS), sums, "{name}");
            assert_eq!(shell(&root, HASHES), sums, "{name}");
            // node-tar stores such a file twice.
            if *name != "node" {
                assert_eq!(shell(&root, LINKED), "a\ndeep/hard\n", "{name}");
            }
            assert_eq!(verified(&mount, name), "yes", "{name}");
        }
    }
}

#[test]
fn the_archive_of_the_cli_holds_listed_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell(folder, &[SHORT, LONG, FINISH].concat());
    // As the CLI lists them: files and links, without folders.
    shell(
        folder,
        "cd src && find . ! -type d -printf '%P\\n' > ../list",
    );
    let listed = "const files = require('fs').readFileSync('list', 'utf8').trim().split('\\n'); \
        require(process.env.NODE_TAR).create({sync: true, gzip: true, cwd: 'src', file: 'cli.tar.gz'}, files)";
    let (_bench, mount) = mounted(folder, &[("cli", format!("node -e \"{listed}\""))]);
    let files = "find . ! -type d -printf '%P %y %m %s %T@ %l\\n' | sort";
    let root = mount.join("artifacts/cli/latest/");
    assert_eq!(shell(&root, files), shell(&folder.join("src"), files));
    assert_eq!(shell(&root, SUMS), shell(&folder.join("src"), SUMS));
    assert_eq!(verified(&mount, "cli"), "yes");
    assert!(!root.join("empty").exists());
}
