//! The cache's folder becomes read-only, full or another user's while it is used.

use crate::{
    machine::{comes_to, mounted, text, world},
    support::{Bench, Who, disk::Disk, noise_of, reason},
};
use std::{os::unix::fs::chown, process::Command};
use vm0fs::demo::{File, Kind, VersionSpec, World};

fn sh(script: &str) {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

// Only root can mount a file system for the cache.
#[test]
#[ignore = "needs root"]
fn a_read_only_cache_fails_only_new_fetches() {
    for who in Who::all() {
        let (world, runs) = world(2);
        let bench = Bench::new(world);
        let cache = bench.folder("cache", who);
        let disk = Disk::new(&cache, who, "8m");
        let mount = mounted(&bench, who, &cache);
        assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
        disk.remount("ro");
        // What the cache has can be read, and what needs no cache works as before.
        assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
        assert_eq!(
            mount.cat(&format!("runs/{}/status", runs[0])),
            "completed\n"
        );
        mount.run(&format!("cat runs/{}/logs", runs[0]));
        mount.fails("cat artifacts/a1/latest/f", reason::IO);
        let errors = mount.cat(".vm0fs/errors");
        assert!(errors.contains("Read-only file system"), "{errors}");
        disk.remount("rw");
        comes_to(&mount, "cat artifacts/a1/latest/f", &text(1));
        mount.unmount();
    }
}

// Only root can give a folder to another user.
#[test]
#[ignore = "needs root"]
fn a_cache_given_to_another_user_fails_only_what_needs_it() {
    let who = Who::Ordinary;
    let (world, runs) = world(2);
    let bench = Bench::new(world);
    let cache = bench.folder("cache", who);
    let mount = mounted(&bench, who, &cache);
    assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
    sh(&format!(
        "chown -R 0:0 '{0}' && chmod 700 '{0}'",
        cache.display()
    ));
    for number in 0..2 {
        let output = mount.try_run(&format!("cat artifacts/a{number}/latest/f"));
        match output.status.success() {
            // It is open still.
            true => assert_eq!(String::from_utf8(output.stdout).unwrap(), text(number)),
            false => assert_eq!(output.stdout, b"", "{output:?}"),
        }
    }
    mount.fails("cat artifacts/a1/latest/f", reason::IO);
    assert_eq!(
        mount.cat(&format!("runs/{}/status", runs[0])),
        "completed\n"
    );
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("Permission denied"), "{errors}");
    let (uid, gid) = who.ids().unwrap();
    sh(&format!("chown -R {uid}:{gid} '{}'", cache.display()));
    chown(&cache, Some(uid), Some(gid)).unwrap();
    for number in 0..2 {
        comes_to(
            &mount,
            &format!("cat artifacts/a{number}/latest/f"),
            &text(number),
        );
    }
    mount.unmount();
}

// Only root can make a disk that is small.
#[test]
#[ignore = "needs root"]
fn a_disk_that_fills_up_while_unpacking_evicts_versions() {
    for who in Who::all() {
        // Two of three fit at a time: the disk says so before the ceiling does.
        let mut world = World::empty();
        for number in 0..3 {
            let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
            let files = vec![File::new("noise", noise_of(number, 3 << 20))];
            world.add_version(&id, VersionSpec::files(files));
        }
        let bench = Bench::new(world);
        let cache = bench.folder("cache", who);
        let _disk = Disk::new(&cache, who, "8m");
        let mount = mounted(&bench, who, &cache);
        for number in [0, 1, 2, 0, 1, 2] {
            // The one before may linger for a moment.
            comes_to(
                &mount,
                &format!("wc -c < artifacts/a{number}/latest/noise"),
                "3145728\n",
            );
        }
        mount.unmount();
    }
}
