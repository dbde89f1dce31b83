//! Signals end a mount in order: unmounted, exit code 0, and whoever still
//! uses it meets an error instead of a hang.

use super::{Place, Running, finish, kill, script, small_world, until};
use crate::support::{Bench, Who, is_mounted};
use nix::sys::signal::{SIGHUP, SIGINT, SIGTERM};
use vm0fs::demo::{Action, Fault, Port};

#[test]
fn in_the_foreground() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let mut mount = bench.mount_as(who).start();
            assert_eq!(mount.list("agents"), ["writer"]);
            mount.signal(signal);
            let status = mount.wait();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
            assert!(!is_mounted(mount.path()), "{who:?} {signal}");
        }
    }
}

#[test]
fn in_the_background() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let place = Place::mounted(&bench, who, "mnt");
            kill(place.pid(), signal);
            until("unmounted", || !is_mounted(&place.path));
            place.is_over();
            assert_eq!(place.path.read_dir().unwrap().count(), 0);
        }
    }
}

#[test]
fn while_it_is_in_use() {
    for who in Who::all() {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let bench = Bench::new(small_world());
            let mut mount = bench.mount_as(who).start();
            let standing = Running::standing_in(who, mount.path());
            bench.server.fault(Fault::store(Action::Stall));
            let file = mount.join("artifacts/site/latest/index.html");
            let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
            assert!(bench.server.wait_for(super::SOON, |requests| {
                requests.iter().any(|request| request.port == Port::Store)
            }));
            mount.signal(signal);
            let status = mount.wait();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
            assert!(!is_mounted(mount.path()), "{who:?} {signal}");
            assert_eq!(reader.end(), Some(1), "an error, and not a hang");
            // Whoever stands in it meets an error too.
            let inside = format!("ls '/proc/{}/cwd/'", standing.0.id());
            let listed = finish(&mut script(who, &inside));
            assert_ne!(listed.code, Some(0), "{listed:?}");
        }
    }
}

#[test]
fn before_the_mount_is_ready() {
    // The API says nothing; the command is interrupted while it waits.
    for who in Who::all() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", Action::Stall));
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let child = command
            .arg("--foreground")
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut starting = Running(child.unwrap());
        assert!(
            bench
                .server
                .wait_for(super::SOON, |requests| !requests.is_empty())
        );
        kill(starting.0.id(), SIGINT);
        // After the greeting at the latest, with the mount taken away again.
        assert!(starting.end().is_some());
        assert!(!is_mounted(&place.path));
    }
}

#[test]
fn a_command_that_is_interrupted_leaves_no_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", Action::Stall));
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let child = command.stderr(std::process::Stdio::null()).spawn();
        let mut starting = Running(child.unwrap());
        assert!(
            bench
                .server
                .wait_for(super::SOON, |requests| !requests.is_empty())
        );
        kill(starting.0.id(), SIGINT);
        assert_eq!(starting.end(), None, "a signal ended it");
        place.is_over();
        assert!(!place.path.exists(), "the folder that was made for it");
    }
}
