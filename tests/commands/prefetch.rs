//! `vm0fs prefetch` on real mounts, and what a mount tells of its downloads.

use super::cache::{MIB, Setting, command, world};
use crate::support::fake::{Action, Fault, Kind};
use crate::support::{Bench, SOON, Who};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use std::{
    fs,
    io::Read,
    thread,
    time::{Duration, Instant},
};

#[test]
fn prefetch_fetches_the_versions_that_are_named() {
    for who in Who::all() {
        let (mut world, ids) = world(&["one", "two", "three"], 300_000);
        world.add_storage(Kind::Volume, "none");
        let bench = Bench::new(world);
        // Root's shows that a fetch needs nothing that a read-only mount refuses.
        let options: &[&str] = if who == Who::Myself {
            &["--read-only"]
        } else {
            &[]
        };
        let setting = Setting::new(&bench, who, options);
        bench.server.clear_requests();
        let below = format!("volumes/two/{}/d/f", ids[1]);
        let out = setting.good(&["prefetch", "volumes/one", &below, "volumes/three/latest/"]);
        for name in ["volumes/one: ", &below, "volumes/three/latest/: "] {
            assert!(out.contains(name), "{who:?} {name}: {out}");
        }
        assert_eq!(bench.downloads().len(), 3, "{who:?}");
        for (id, name) in ids.iter().zip(["one", "two", "three"]) {
            let item = setting.version(id);
            assert_eq!(item["content"], true, "{who:?}");
            assert_eq!(item["name"], name);
            assert_eq!(item["verified"], "yes");
            assert_eq!(
                (&item["files"], &item["size"]),
                (&2.into(), &300_000.into())
            );
            let path = format!("volumes/{name}/latest/");
            assert_eq!(setting.xattr(&path, "key").as_deref(), item["key"].as_str());
            assert_eq!(setting.xattr(&path, "cached").as_deref(), Some("yes"));
            assert_eq!(setting.xattr(&path, "transfer"), None);
        }
        let out = setting.good(&["prefetch", "volumes/one"]);
        assert_eq!(out, "volumes/one: already there\n", "{who:?}");
        assert_eq!(bench.downloads().len(), 3, "{who:?}");
        // What is not there, is no version, or is no mount.
        let out = setting.bad(&["prefetch", "volumes/none", "volumes/nix", "agents", "/etc"]);
        for words in [
            "4 of 4 could not be fetched",
            "volumes/none has no version yet",
            "volumes/nix: No such file",
            "agents is in no version",
            "/etc is not in a vm0fs mount",
        ] {
            assert!(out.contains(words), "{who:?} {words}: {out}");
        }
        let status: Value = serde_json::from_str(&setting.mount.cat(".vm0fs/status.json")).unwrap();
        assert_eq!(status["cache"]["dir"], setting.cache.to_str().unwrap());
        let log = setting.mount.unmount().join("\n");
        let short = &ids[0][..12];
        assert!(
            log.contains(&format!("fetching volumes/one/{short}")),
            "{log}"
        );
        assert!(
            log.contains(&format!("fetched volumes/one/{short}: ")),
            "{log}"
        );
    }
}

#[test]
fn a_failed_prefetch_says_why() {
    let (world, ids) = world(&["good", "bad"], 1000);
    let bench = Bench::new(world);
    let broken = Action::WrongBody(b"this is no archive".to_vec().into());
    bench.server.fault(Fault::object(&ids[1], broken));
    let setting = Setting::new(&bench, Who::Myself, &[]);
    let out = setting.bad(&["prefetch", "volumes/good", "volumes/bad"]);
    assert!(out.contains("volumes/good: "), "{out}");
    assert!(
        out.contains("vm0fs: volumes/bad: archive of version"),
        "{out}"
    );
    let transfers = setting.mount.cat(".vm0fs/transfers");
    let failed = transfers.lines().find(|line| line.contains("/bad/"));
    assert!(
        failed.unwrap().contains("failed: archive of"),
        "{transfers}"
    );
    let out = setting.bad(&["cache", "pin", "volumes/bad"]);
    assert!(out.contains("archive of version"), "{out}");
    assert!(setting.list().iter().all(|item| item["pinned"] == false));
}

#[test]
fn the_transfers_file_shows_running_downloads() {
    let (world, ids) = world(&["slow \u{202e}name"], 3 * MIB);
    let bench = Bench::new(world);
    let rate = Action::Rate {
        bytes_per_second: MIB as u64 / 2,
    };
    bench.server.fault(Fault::object(&ids[0], rate));
    let setting = Setting::new(&bench, Who::Myself, &[]);
    assert_eq!(setting.mount.cat(".vm0fs/transfers"), "");
    let path = setting.mount.path().join("volumes");
    let path = fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let mut child = command(
        &bench,
        Who::Myself,
        &setting.mount,
        &["prefetch", path.to_str().unwrap()],
    )
    .spawn()
    .unwrap();
    let end = Instant::now() + SOON;
    let line = loop {
        let text = setting.mount.cat(".vm0fs/transfers");
        if text.contains("running") && text.contains('%') && !text.contains(" 0 %") {
            break text;
        }
        assert!(Instant::now() < end, "{text:?}");
        thread::sleep(Duration::from_millis(50));
    };
    assert!(line.starts_with("volumes/slow name/"), "{line}");
    assert!(
        line.contains(" of 3.0 MiB") && line.contains("/s  "),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(child.wait().unwrap().success());
    thread::sleep(Duration::from_millis(1100));
    let text = setting.mount.cat(".vm0fs/transfers");
    assert!(text.contains("done in"), "{text}");
    let mut out = String::new();
    child.stdout.unwrap().read_to_string(&mut out).unwrap();
    assert!(out.contains("MiB in "), "{out}");
    // No bar where no terminal shows it.
    let mut err = String::new();
    child.stderr.unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
}

#[test]
fn ctrl_c_ends_prefetch_and_pin_at_once() {
    for arguments in [
        &["prefetch", "volumes/v"][..],
        &["cache", "pin", "volumes/v"],
    ] {
        let (world, ids) = world(&["v"], MIB);
        let bench = Bench::new(world);
        bench
            .server
            .fault(Fault::object(&ids[0], Action::StallBody { after: 1000 }));
        let setting = Setting::new(&bench, Who::Myself, &["--timeout", "20s"]);
        let mut child = command(&bench, Who::Myself, &setting.mount, arguments)
            .spawn()
            .unwrap();
        let stalls = |requests: &[crate::support::fake::Recorded]| {
            requests
                .iter()
                .any(|request| request.line().contains("/bucket/"))
        };
        assert!(bench.server.wait_for(SOON, stalls), "{arguments:?}");
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let started = Instant::now();
        kill(pid, Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments:?}");
        assert!(started.elapsed() < Duration::from_secs(15), "{arguments:?}");
        // The mount is as alive as before, and still fetching.
        assert_eq!(setting.mount.list("volumes"), ["v"]);
        assert!(setting.mount.cat(".vm0fs/transfers").contains("volumes/v/"));
    }
}

/// The fetch of a part that becomes one of all is told as that, and in all of its bytes.
#[test]
fn what_came_is_told_in_full() {
    let (world, ids) = world(&["v"], 20 * MIB);
    let archive = {
        let storage = world.storage(Kind::Volume, "v").unwrap();
        storage.current().unwrap().archive_bytes().len() as u64
    };
    let size = vm0fs::humanize::size(archive);
    let bench = Bench::new(world);
    let setting = Setting::new(&bench, Who::Myself, &[]);
    let out = setting.good(&["prefetch", "volumes/v"]);
    assert!(out.contains(&format!("volumes/v: {size} in ")), "{out}");
    let evict = || {
        let started = Instant::now();
        while setting.version(&ids[0])["content"] == true {
            assert!(started.elapsed() < SOON);
            setting.good(&setting.cache(&["clear"]));
        }
    };
    evict();
    let out = setting.good(&["prefetch", "volumes/v"]);
    assert!(out.contains(&format!("volumes/v: {size} in ")), "{out}");
    evict();
    bench.server.fault(Fault::object(&ids[0], Action::NoRange));
    let read = "dd if=volumes/v/latest/d/f bs=4k skip=1000 count=1 iflag=direct status=none";
    setting.mount.run(&format!("{read} | sha256sum"));
    let transfers = setting.mount.cat(".vm0fs/transfers");
    let whole = transfers.lines().next().unwrap();
    assert!(whole.contains(&format!("{size} of {size}")), "{transfers}");
    assert!(whole.contains("done in"), "{transfers}");
    let part = transfers.lines().find(|line| line.contains("/d/f "));
    assert!(
        part.is_some_and(|line| !line.contains("MiB")),
        "{transfers}"
    );
}
