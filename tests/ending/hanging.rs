//! A mount ends, and `vm0fs unmount` returns, while downloads and calls hang.

use crate::support::fake::{Action, Fault, File, Kind, Port, Recorded, VersionSpec};
use crate::{
    commands::{Place, Running, finish, small_world, until},
    faults::{Deed, Scene},
    support::{Bench, SOON, Who, is_mounted, noise, program},
    waiting::{complaint, deadlines::LONG, wait_for_download, world},
};
use nix::sys::signal::Signal::{self, SIGTERM};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Two seconds, and what a busy machine adds.
const AT_ONCE: Duration = Duration::from_secs(6);

/// For a whole command, which starts processes: two seconds on an idle machine.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn sigterm_ends_a_mount_while_every_kind_of_request_hangs() {
    for action in [Action::Stall, Action::StallBody { after: 3 }] {
        let mut scene = Scene::with(&["--timeout", "5m"]);
        scene.mount.run("ls artifacts/report");
        let deeds = Deed::ALL.into_iter().filter(|deed| *deed != Deed::List);
        for deed in deeds.clone() {
            let (method, path, _) = scene.request(deed);
            let fault = Fault::api_exact(&path, action.clone()).method(method);
            scene.bench.server.fault(fault);
        }
        scene.bench.server.fault(Fault::store(action));
        scene.bench.server.clear_requests();
        let mut hanging: Vec<_> = deeds
            .map(|deed| scene.mount.start(&scene.script(deed)))
            .collect();
        hanging.push(scene.mount.start("cat artifacts/report/latest/f"));
        // What the log and the cancelling ask for first is well.
        let asked = |requests: &[Recorded]| {
            let stuck = requests.iter().filter(|request| !request.finished);
            stuck.count() >= hanging.len()
        };
        assert!(
            scene.bench.server.wait_for(SOON, asked),
            "{:?}",
            scene.bench.server.requests()
        );
        let began = Instant::now();
        scene.mount.signal(SIGTERM);
        let status = scene.mount.wait();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert!(!is_mounted(scene.mount.path()));
        for each in hanging {
            assert!(!each.output().status.success());
        }
    }
}

#[test]
fn signals_end_the_mount_while_a_download_hangs() {
    for who in Who::all() {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let (world, _) = world();
            let bench = Bench::new(world);
            bench
                .server
                .fault(Fault::store(Action::StallBody { after: 1_000 }));
            let mut mount = bench.mount_as(who).with(LONG).start();
            let hanging = mount.start("cat artifacts/slow/latest/f");
            wait_for_download(&bench);
            mount.signal(signal);
            let status = mount.wait();
            assert!(
                status.is_some_and(|status| status.success()),
                "{signal}: {status:?}"
            );
            assert!(!is_mounted(mount.path()), "{signal}");
            complaint(hanging);
        }
    }
}

#[test]
fn lazy_unmount_returns_while_a_download_hangs() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        bench.server.fault(Fault::store(Action::Stall));
        let mut mount = bench.mount_as(who).with(["--timeout", "2s"]).start();
        let hanging = mount.start("cat artifacts/slow/latest/f");
        wait_for_download(&bench);
        let mut command = Command::new(program());
        command.args(["unmount", "--lazy"]).arg(mount.path());
        if let Some((uid, gid)) = who.ids() {
            use std::os::unix::process::CommandExt;
            command.uid(uid).gid(gid);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(!is_mounted(mount.path()), "out of sight at once");
        complaint(hanging);
        let status = mount.wait();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}

#[test]
fn unmount_returns_while_a_download_hangs() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Stall));
        let text = "cat artifacts/site/latest/index.html";
        let file = place.path.join(text.strip_prefix("cat ").unwrap());
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(SOON, |requests| {
            requests.iter().any(|request| request.port == Port::Store)
        }));
        // The reader only waits, so it is let go; then no process is in the mount.
        let said = finish(&mut place.unmount(&bench));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.took < PROMPT, "{said:?}");
        assert!(!is_mounted(&place.path));
        assert_ne!(reader.end(), Some(0));
        place.is_over();
    }
}

// Only root unmounts the mounts of others.
#[test]
#[ignore = "needs root"]
fn unmount_by_root_releases_the_readers_of_another_users_mount() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Ordinary, "mnt");
    bench.server.fault(Fault::store(Action::Stall));
    let file = place.path.join("artifacts/site/latest/index.html");
    let mut reader = Running::script(Who::Ordinary, &format!("cat '{}'", file.display()));
    assert!(bench.server.wait_for(SOON, |requests| {
        requests.iter().any(|request| request.port == Port::Store)
    }));
    let mut unmount = bench.command(Who::Myself);
    let said = finish(unmount.arg("unmount").arg(&place.path));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert_ne!(reader.end(), Some(0));
    place.is_over();
}

#[test]
fn unmount_does_not_release_a_reader_that_receives_data() {
    for who in Who::all() {
        let mut world = small_world();
        let id = world.add_storage(Kind::Artifact, "noise");
        let files = vec![File::new("noise", noise(400_000))];
        world.add_version(&id, VersionSpec::files(files));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Rate {
            bytes_per_second: 80_000,
        }));
        let file = place.path.join("artifacts/noise/latest/noise");
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(SOON, |requests| {
            requests
                .iter()
                .any(|request| request.port == Port::Store && request.bytes_sent > 0)
        }));
        let said = finish(&mut place.unmount(&bench));
        said.failed(&["in use", &format!("cat (pid {})", reader.0.id())]);
        assert_eq!(reader.end(), Some(0), "it has read on to the end");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn unmount_returns_while_the_process_of_the_mount_is_stopped() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        place.stop();
        let file = place.path.join("artifacts/site/latest/index.html");
        let reader = Running::script(who, &format!("cat '{}'", file.display()));
        let name = format!("/proc/{}/comm", reader.0.id());
        until("a process waits for it", || {
            std::fs::read_to_string(&name).is_ok_and(|name| name == "cat\n")
        });
        let said = finish(&mut place.unmount(&bench));
        said.failed(&["in use", "--lazy"]);
        assert!(said.took < PROMPT, "{said:?}");
        drop(reader);
        let said = finish(&mut place.unmount(&bench));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.took < PROMPT, "{said:?}");
        place.signal_all(nix::sys::signal::SIGCONT);
        place.is_over();
    }
}

#[test]
fn unmount_returns_while_an_abandoned_download_goes_on() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        finish(place.mount(&bench).args(["--timeout", "3s"])).succeeded();
        bench.server.fault(Fault::store(Action::Rate {
            bytes_per_second: 1,
        }));
        let file = place.path.join("artifacts/site/latest/index.html");
        let reader = Running::script(who, &format!("timeout -s KILL 1 cat '{}'", file.display()));
        assert!(bench.server.wait_for(SOON, |requests| {
            requests
                .iter()
                .any(|request| request.port == Port::Store && request.bytes_sent > 0)
        }));
        drop(reader);
        let said = finish(place.unmount(&bench).arg("--lazy"));
        assert!(said.took < PROMPT, "{said:?}");
        assert_eq!(said.code, Some(0), "{said:?}");
        until("the mount is gone", || !is_mounted(&place.path));
    }
}
