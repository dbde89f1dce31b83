//! Archives that are empty, broken or hostile.

use crate::support::{
    Bench, Who,
    archive::{Tar, gzip},
    noise, reason,
};
use std::{collections::BTreeSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};
use vm0fs::demo::{Action, Fault, File, Kind, Port, VersionSpec, World};

/// A world with one artifact `a` of one version, and the version's id.
fn one(spec: VersionSpec) -> (World, String) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let version = world.add_version(&id, spec);
    (world, version)
}

#[test]
fn a_version_without_files_is_an_empty_directory() {
    let (world, version) = one(VersionSpec::files(Vec::new()));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert!(mount.list(&format!("artifacts/a/{version}")).is_empty());
    mount.fails(&format!("cat artifacts/a/{version}/x"), reason::MISSING);
    let copy = bench.dir().join("copy");
    mount.run(&format!(
        "cp -a artifacts/a/{version} {0} && test -d {0}",
        copy.display()
    ));
    assert!(bench.downloads().is_empty(), "there is nothing to download");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}

#[test]
fn a_broken_archive_is_an_error_as_a_whole() {
    let good = Tar::default()
        .file("first", "complete")
        .file("second", vec![7; 300_000])
        .gz();
    let mut flipped = good.clone();
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    let broken = [
        ("truncated", good[..good.len() - 20].to_vec()),
        ("crc", flipped),
        ("html", b"<html>not an archive</html>".to_vec()),
        ("empty", Vec::new()),
        ("not-tar", gzip(&[b'x'; 2_000])),
    ];
    for who in Who::all() {
        let mut world = World::empty();
        for (name, bytes) in &broken {
            let id = world.add_storage(Kind::Artifact, name);
            world.add_version(&id, VersionSpec::archive(bytes.clone()));
        }
        let id = world.add_storage(Kind::Artifact, "lost");
        world.add_version(&id, VersionSpec::lost());
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let mut versions = Vec::new();
        for (name, _) in &broken {
            let latest = format!("artifacts/{name}/latest");
            mount.fails(&format!("ls {latest}/"), reason::IO);
            mount.fails(&format!("cat {latest}/first"), reason::IO);
            mount.fails(&format!("stat {latest}/missing"), reason::IO);
            let version = mount
                .run(&format!("readlink {latest}"))
                .trim_end()
                .to_owned();
            versions.push(version);
            let told = mount.run(&format!(
                "getfattr --only-values -n user.vm0.last_error {latest}"
            ));
            assert!(!told.is_empty(), "{name}");
        }
        mount.fails("ls artifacts/lost/latest/", ":");
        // The page stands for a second.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let errors = mount.cat(".vm0fs/errors");
        assert_eq!(errors.lines().count(), broken.len() + 1, "{errors}");
        for version in versions {
            let line = errors.lines().find(|line| line.contains(&version));
            assert!(
                line.is_some_and(|line| line.ends_with("(errno 5)")),
                "{errors}"
            );
        }
        // The rest of the tree lives.
        assert_eq!(mount.list("artifacts").len(), broken.len() + 1);
        mount.run("ls -l artifacts/*/ > /dev/null");
        let listing = mount.run("stat -c %F artifacts/crc/latest");
        assert_eq!(listing, "symbolic link\n");
    }
}

#[test]
fn a_download_that_breaks_off_is_resumed() {
    let content = noise(2_000_000);
    let (world, _) = one(VersionSpec::files(vec![File::new("f", content.clone())]));
    let bench = Bench::new(world);
    bench
        .server
        .fault(Fault::store(Action::Truncate { after: 300_000 }).times(2));
    let mount = bench.mount().start();
    assert!(fs::read(mount.join("artifacts/a/latest/f")).unwrap() == content);
    let downloads = bench.downloads();
    assert_eq!(downloads.len(), 3);
    assert!(downloads[1].range.is_some() && downloads[2].range.is_some());
}

#[test]
fn an_expired_link_is_asked_for_again() {
    let (world, _) = one(VersionSpec::files(vec![File::new("f", "content")]));
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::ExpireUrl).times(1));
    let mount = bench.mount().start();
    assert_eq!(mount.cat("artifacts/a/latest/f"), "content");
    let asked = bench.server.requests_to(Port::Api, "/v1/artifacts/");
    let asked = asked.iter().filter(|call| call.path.ends_with("/download"));
    assert_eq!(asked.count(), 2);
}

#[test]
fn a_bomb_costs_neither_memory_nor_disk() {
    let tar = Tar::default().file("zeros", vec![0; 80 << 20]).gz();
    assert!(tar.len() < 1 << 20);
    let (world, _) = one(VersionSpec::archive(tar).declared_size(10));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.fails("cat artifacts/a/latest/zeros", "File too large");
    let cache = bench.dir().join("home-Myself/.cache/vm0fs");
    let used = mount.run(&format!("du -sk {} | cut -f 1", cache.display()));
    assert!(used.trim().parse::<u32>().unwrap() < 1_000, "{used}");
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("over a limit"), "{errors}");
}

#[test]
fn hostile_names_stay_names() {
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"\x1b[2Jescape",
        b"\xff\xfe-invalid",
        b"-rf",
        b" spaces ",
        b"back\\slash",
        b"%2e%2e",
        b"...",
        "\u{202e}reversed".as_bytes(),
    ];
    let mut tar = Tar::default()
        .file("../../../../../../../../tmp/vm0fs-escaped", "evil")
        .file("inside/../../x", "evil")
        .file("/absolute/file", "made relative")
        .file("./dotted", "dotted")
        .special(b'3', "char-device")
        .special(b'4', "block-device")
        .special(b'6', "fifo")
        .directory("empty-dir")
        .file("Case", "upper")
        .file("case", "lower")
        .file("twice", "first")
        .file("twice", "the last wins");
    for name in names {
        tar = tar.file(name, name);
    }
    let (world, version) = one(VersionSpec::archive(tar.gz()).declared_file_count(20));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let root = mount.join(&format!("artifacts/a/{version}"));
    let listed: BTreeSet<Vec<u8>> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_bytes().to_vec())
        .collect();
    let ours: [&[u8]; 6] = [
        b"absolute",
        b"dotted",
        b"empty-dir",
        b"Case",
        b"case",
        b"twice",
    ];
    let expected = names
        .iter()
        .chain(&ours)
        .map(|name| name.to_vec())
        .collect();
    assert_eq!(listed, expected);
    for name in names {
        assert_eq!(fs::read(root.join(OsStr::from_bytes(name))).unwrap(), name);
    }
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("absolute/file"), "made relative");
    assert_eq!(
        (read("Case"), read("case")),
        ("upper".into(), "lower".into())
    );
    assert_eq!(read("twice"), "the last wins");
    assert!(!Path::new("/tmp/vm0fs-escaped").exists());
    let copy = bench.dir().join("copy");
    mount.run(&format!(
        "cp -a artifacts/a/{version} {0} && diff -r artifacts/a/{version} {0}",
        copy.display()
    ));
    // None of the names has become one in the cache.
    let cache = bench.dir().join("home-Myself/.cache/vm0fs");
    let cached = mount.run(&format!(
        "find {} -type f -printf '%f\\n' | sort -u",
        cache.display()
    ));
    for name in cached.lines() {
        let known = [
            "CACHEDIR.TAG",
            "lock",
            "meta.json",
            "name",
            "pack",
            "synced",
            "tree",
        ];
        // Answers of the API, by the hash of what they answer.
        let answer = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = known.contains(&name) || answer || name.starts_with("blob-");
        assert!(known, "{name} in the cache");
    }
}
