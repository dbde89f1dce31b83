//! What `stat` and `getfattr` show.

use super::Example;
use crate::support::{Bench, Mount, Who, archive::Tar};
use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt};
use vm0fs::demo::{Agent, File, Kind, LogRow, Run, VersionSpec, World, uuid};

#[test]
fn files_have_the_modes_and_the_owner_of_the_mount() {
    for who in Who::all() {
        let Example {
            world,
            complete,
            report,
            ..
        } = Example::new();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let version = format!("artifacts/report/{}", report[1]);
        let owner = mount.run("id -u; id -g").replace('\n', " ");
        for (path, kind, mode) in [
            (".", "directory", "555"),
            ("agents/writer", "directory", "555"),
            (".vm0fs/help.txt", "regular file", "444"),
            ("agents/writer/run", "regular empty file", "600"),
            (
                &format!("runs/{complete}/cancel"),
                "regular empty file",
                "600",
            ),
            (&format!("runs/{complete}/status"), "regular file", "444"),
            (&format!("runs/{complete}/artifact"), "symbolic link", "777"),
            (&version, "directory", "555"),
            (&format!("{version}/report.md"), "regular file", "444"),
            (&format!("{version}/bin/build.sh"), "regular file", "555"),
        ] {
            let shown = mount.run(&format!("stat -c '%F %a %u %g' {path}"));
            assert_eq!(
                shown.trim_end(),
                format!("{kind} {mode} {owner}").trim_end(),
                "{path}"
            );
        }
        let empty = mount.run(&format!("stat -c '%F %s' {version}/data/empty"));
        assert_eq!(empty, "regular empty file 0\n");
        mount.run(&format!("{version}/bin/build.sh | grep -qx built"));
        mount.fails(&format!("{version}/report.md"), "Permission denied");
        let mounted = mount.run("grep \" $PWD \" /proc/mounts");
        let fields: Vec<&str> = mounted.split(' ').collect();
        assert_eq!((fields[0], fields[2]), ("vm0fs", "fuse.vm0fs"));
        // Not `ro`, since control files are written, and not
        // `default_permissions`, which would answer in place of the mount.
        for (option, is_set) in [
            ("rw", true),
            ("nosuid", true),
            ("nodev", true),
            ("default_permissions", false),
        ] {
            assert_eq!(
                fields[3].split(',').any(|each| each == option),
                is_set,
                "{option}: {mounted}"
            );
        }
    }
}

#[test]
fn an_archive_cannot_set_more_than_the_execute_bit() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let tar = Tar::default()
        .file_with_mode("suid", 0o6755, "x")
        .file_with_mode("sticky", 0o1644, "x")
        .file_with_mode("none", 0, "x");
    world.add_version(&id, VersionSpec::archive(tar.gz()).declared_file_count(3));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let shown = mount.run("cd artifacts/a/latest/ && stat -c '%n %a' *");
    assert_eq!(shown, "none 444\nsticky 444\nsuid 555\n");
}

#[test]
fn times_sort_a_listing() {
    let Example {
        mut world,
        complete,
        failed,
        running,
        report,
        ..
    } = Example::new();
    let pending = world.add_run(Run::new("writer", world.ago(2_500)).status("pending"));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let sorted = mount.run("ls -t runs");
    // Completed at -2938, created at -2500, completed at -1938, started at -998.
    let expected = [&running, &failed, &pending, &complete];
    assert_eq!(sorted.lines().collect::<Vec<_>>(), expected);
    assert_eq!(mount.run("ls -t artifacts"), "report\nother\n");
    assert_eq!(mount.run("ls -t agents"), "writer\nbare\n");
    let versions = mount.run("ls -tr artifacts/report | grep -v latest");
    assert_eq!(versions.lines().collect::<Vec<_>>(), report);
    let at = |path: &str| {
        mount
            .run(&format!("stat -c %Y {path}"))
            .trim()
            .parse::<i64>()
            .unwrap()
    };
    let world = bench.server.world();
    let run = world.run(&complete).unwrap();
    let ended = run.completed_at.unwrap().as_second();
    let made = world
        .version(Kind::Artifact, "report", &report[1])
        .unwrap()
        .created_at;
    drop(world);
    assert_eq!(at(&format!("runs/{complete}")), ended);
    assert_eq!(at(&format!("runs/{complete}/logs")), ended);
    assert_eq!(
        at(&format!("artifacts/report/{}", report[1])),
        made.as_second()
    );
    assert_eq!(
        at(&format!("artifacts/report/{}/report.md", report[1])),
        1_700_000_000
    );
}

#[test]
fn sizes_are_true_before_the_first_read() {
    let Example {
        world,
        complete,
        report,
        ..
    } = Example::new();
    let bench = Bench::new(world);
    // In each file of a mount of its own, so that nothing has been read before.
    let files = [
        "logs",
        "logs.jsonl",
        "agent.log",
        "system.log",
        "network.log",
        "metrics.json",
        "metrics.csv",
        "metrics.svg",
        "run.json",
        "prompt",
        "status",
        "error",
    ];
    let mut paths: Vec<String> = files
        .iter()
        .map(|file| format!("runs/{complete}/{file}"))
        .collect();
    paths.extend([
        "agents/writer/config.yaml".into(),
        "agents/writer/versions.json".into(),
        "artifacts/report/.versions.json".into(),
        format!("artifacts/report/{}/report.md", report[1]),
    ]);
    let mount = bench.mount().start();
    let listed = mount.run(&format!("ls runs/{complete} && ls -l runs/{complete}"));
    for path in paths {
        let size = fs::metadata(mount.join(&path)).unwrap().len();
        let read = fs::read(mount.join(&path)).unwrap();
        assert_eq!(read.len() as u64, size, "{path}");
        assert_eq!(
            fs::metadata(mount.join(&path)).unwrap().len(),
            size,
            "{path}"
        );
        let counted = mount.run(&format!("wc -c < {path}"));
        assert_eq!(counted.trim(), size.to_string(), "{path}");
        if let Some(name) = path.strip_prefix(&format!("runs/{complete}/")) {
            let line = listed
                .lines()
                .find(|line| line.starts_with('-') && line.ends_with(&format!(" {name}")));
            let shown = line.unwrap().split_whitespace().nth(4).unwrap();
            assert_eq!(shown, size.to_string(), "ls -l {path}");
        }
    }
}

#[test]
fn a_symlink_is_as_long_as_its_target() {
    let bench = Bench::new(Example::new().world);
    let mount = bench.mount().start();
    let told = mount.run("find . -type l -printf '%s %l\\n'");
    assert!(told.lines().count() >= 14, "{told}");
    for line in told.lines() {
        let (size, target) = line.split_once(' ').unwrap();
        assert_eq!(size.parse::<usize>().unwrap(), target.len(), "{line}");
    }
}

#[test]
fn a_log_that_grows_is_read_whole() {
    let mut world = World::empty();
    let at = world.ago(100);
    let mut run = Run::new("writer", at).status("running");
    run.log(LogRow::system(at, "first"));
    let id = world.add_run(run);
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    let log = mount.join(&format!("runs/{id}/logs"));
    let first = fs::read_to_string(&log).unwrap();
    assert!(first.ends_with("first\n"), "{first}");
    let row = LogRow::system(jiff::Timestamp::now(), "second".repeat(3_000));
    bench.server.world().add_log(&id, row);
    let end = std::time::Instant::now() + crate::support::SOON;
    loop {
        let size = fs::metadata(&log).unwrap().len();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.len() as u64 >= size, "shorter than stat said");
        if text.len() > first.len() {
            assert!(text.starts_with(&first) && text.ends_with("second\n"));
            break;
        }
        assert!(std::time::Instant::now() < end, "the new row never came");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn attributes(mount: &Mount, path: &str) -> BTreeMap<String, String> {
    let text = mount.run(&format!("getfattr -h -d -m - {path} 2>&1"));
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| {
            let name = name.strip_prefix("user.vm0.").unwrap_or(name);
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}

#[test]
fn extended_attributes_describe_objects_and_versions() {
    for who in Who::all() {
        let Example {
            world,
            complete,
            report: [first, _, third],
            data,
            ..
        } = Example::new();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let version = format!("artifacts/report/{first}");
        let mut before = attributes(&mount, &version);
        // What the cache calls it, for `vm0fs cache`.
        let key = before.remove("key").unwrap();
        assert!(
            key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{key}"
        );
        let expected = [
            ("id", first.as_str()),
            ("version", &first),
            ("message", "First draft"),
            ("created_by", "agent:writer"),
            ("file_count", "1"),
            ("size", "6"),
            ("cached", "no"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(before, BTreeMap::from(expected.clone()));
        mount.cat(&format!("{version}/report.md"));
        // The file may come before the archive's end, a listing not.
        assert_eq!(mount.list(&version), ["report.md"]);
        let mut after = BTreeMap::from(expected);
        after.insert("key".into(), key);
        after.insert("cached".into(), "yes".into());
        after.insert("verified".into(), "yes".into());
        assert_eq!(attributes(&mount, &version), after);
        let empty = attributes(&mount, &format!("artifacts/report/{third}"));
        assert_eq!((&*empty["cached"], &*empty["file_count"]), ("yes", "0"));
        assert!(!empty.contains_key("message"));
        assert_eq!(
            attributes(&mount, &format!("runs/{complete}"))["id"],
            complete
        );
        assert_eq!(
            attributes(&mount, "agents/writer")["id"],
            uuid("agent:writer")
        );
        let volume = attributes(&mount, "volumes/data");
        assert_eq!(
            (&*volume["id"], &*volume["version"]),
            (&*uuid("volume:data"), &*data)
        );
        mount.fails(
            "getfattr -n user.vm0.none volumes/data",
            "No such attribute",
        );
        // As a file system without them answers: `ls -l` then asks but once.
        for name in ["security.selinux", "system.posix_acl_access"] {
            mount.fails(
                &format!("getfattr -n {name} volumes/data"),
                "Operation not supported",
            );
        }
    }
}

#[test]
fn a_version_whose_content_differs_from_its_id_is_marked() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let file = || vec![File::new("f", "content")];
    let wrong = world.add_version(&id, VersionSpec::files(file()).id("0".repeat(64)));
    let other = world.add_version(&id, VersionSpec::files(file()).id("ver_0123456789"));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    for (version, verified) in [(wrong, "no"), (other, "n/a")] {
        let path = format!("artifacts/a/{version}");
        // A listing waits for the whole archive.
        assert_eq!(mount.list(&path), ["f"]);
        assert_eq!(attributes(&mount, &path)["verified"], verified);
    }
}

#[test]
fn hard_links_share_an_inode() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let tar = Tar::default()
        .file("d/first", "content")
        .hard_link("second", "d/first")
        .hard_link("d/third", "second")
        .file("single", "content");
    world.add_version(&id, VersionSpec::archive(tar.gz()).declared_file_count(4));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let stat =
        |path: &str| fs::metadata(mount.join(&format!("artifacts/a/latest/{path}"))).unwrap();
    let first = stat("d/first");
    for path in ["second", "d/third"] {
        assert_eq!(stat(path).ino(), first.ino(), "{path}");
        assert_eq!(
            fs::read(mount.join(&format!("artifacts/a/latest/{path}"))).unwrap(),
            b"content"
        );
    }
    assert_eq!((first.nlink(), stat("single").nlink()), (3, 1));
    assert_ne!(stat("single").ino(), first.ino());
    let copy = bench.dir().join("copy");
    mount.run(&format!(
        "cp -a artifacts/a/latest/ {0} && test {0}/second -ef {0}/d/third",
        copy.display()
    ));
}

#[test]
fn inodes_are_unique_and_outlive_refetch_and_remount() {
    let Example {
        mut world, report, ..
    } = Example::new();
    world.add_agent(Agent::new("third", world.ago(1)));
    let bench = Bench::new(world);
    let version = format!("artifacts/report/{}", report[1]);
    let inodes = |mount: &Mount, below: &str| {
        mount.run(&format!("find {below} -printf '%i %p\\n' | sort -k 2"))
    };
    let first = bench.mount().start();
    // Symlinks with one target may share a number; nothing else does.
    let twice = first.run("find . ! -type l -printf '%i\\n' | sort | uniq -d");
    assert_eq!(twice, "", "an inode number of two files");
    let content = inodes(&first, &version);
    assert_eq!(inodes(&first, &version), content);
    first.unmount();
    let second = bench.mount().start();
    assert_eq!(inodes(&second, &version), content, "after a remount");
    second.unmount();
    let elsewhere = bench.folder("other-cache", Who::Myself);
    let third = bench
        .mount()
        .with(["--cache-dir", elsewhere.to_str().unwrap()])
        .start();
    assert_eq!(inodes(&third, &version), content, "after another download");
}
