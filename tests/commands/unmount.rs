//! `vm0fs unmount`: it waits, it says who is in the way, it can detach.

use super::{Place, Running, finish, script, servers_of, small_world, until};
use crate::support::fake::{Action, Fault, File, Kind, Port, VersionSpec};
use crate::support::{Bench, Who, is_mounted};
use std::time::Duration;

/// For an unmount that somebody's download must not delay: it takes two
/// seconds at most on an idle machine.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn it_waits_until_the_mount_is_gone() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for command in ["unmount", "umount"] {
            let place = Place::mounted(&bench, who, "mnt");
            let said = finish(bench.command(who).arg(command).arg(&place.path));
            assert!(!is_mounted(&place.path));
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
            place.is_over();
            let left = place.path.read_dir().unwrap().count();
            assert_eq!(left, 0, "the folder stays, and is empty");
        }
    }
}

#[test]
fn paths_are_taken_as_they_are_written() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let link = place.path.with_file_name("link");
        std::os::unix::fs::symlink(&place.path, &link).unwrap();
        finish(bench.command(who).arg("unmount").arg(&link)).succeeded();
        place.is_over();
        let place = Place::mounted(&bench, who, "mnt");
        let above = place.path.parent().unwrap();
        let mut relative = bench.command(who);
        finish(relative.args(["unmount", "./mnt/"]).current_dir(above)).succeeded();
        place.is_over();
    }
}

#[test]
fn it_works_from_inside() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let program = crate::support::program().display();
        let said = finish(&mut script(
            who,
            &place.inside(&format!("exec {program} unmount .")),
        ));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        place.is_over();
        let place = Place::mounted(&bench, who, "mnt");
        let text = format!(
            "cd agents && exec {program} unmount '{}'",
            place.path.display()
        );
        let said = finish(&mut script(who, &place.inside(&text)));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        place.is_over();
    }
}

#[test]
fn what_is_no_mount_of_ours_is_refused() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let folder = bench.folder("plain", who);
        let missing = bench.dir().join("missing");
        for path in [&folder, &missing] {
            let said = finish(bench.command(who).arg("unmount").arg(path));
            said.failed(&[path.to_str().unwrap(), "nothing is mounted there"]);
        }
        let place = Place::mounted(&bench, who, "mnt");
        let said = finish(bench.command(who).arg("unmount").arg(&folder));
        said.failed(&["nothing is mounted there", place.path.to_str().unwrap()]);
        let inside = place.path.join("agents");
        let said = finish(bench.command(who).arg("unmount").arg(&inside));
        said.failed(&["nothing is mounted there", place.path.to_str().unwrap()]);
        let said = finish(bench.command(who).args(["unmount", "/proc"]));
        said.failed(&["/proc", "proc", "not vm0fs"]);
        assert!(is_mounted(&place.path));
    }
}

#[test]
fn a_busy_mount_is_left_alone_and_its_users_are_named() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let standing = Running::standing_in(who, &place.path);
        let file = place.path.join("artifacts/site/latest/index.html");
        let text = format!("exec sleep 301 < '{}'", file.display());
        let reading = Running::script(who, &text);
        let name = format!("/proc/{}/comm", reading.0.id());
        until("the file is open", || {
            std::fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
        });
        let said = finish(&mut place.unmount(&bench));
        said.failed(&[
            place.path.to_str().unwrap(),
            "in use",
            &format!("sleep (pid {}): current directory", standing.0.id()),
            &format!("sleep (pid {}): open file", reading.0.id()),
            "index.html",
            "--lazy",
        ]);
        assert_eq!(place.run("ls agents"), "writer\n");

        let said = finish(place.unmount(&bench).arg("--lazy"));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(!is_mounted(&place.path));
        assert_eq!(
            servers_of(&place.path).len(),
            1,
            "those in it still have it"
        );
        drop((standing, reading));
        place.is_over();
    }
}

#[test]
fn a_hung_download_does_not_hold_it_up() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Stall));
        let text = "cat artifacts/site/latest/index.html";
        let file = place.path.join(text.strip_prefix("cat ").unwrap());
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(super::SOON, |requests| {
            requests.iter().any(|request| request.port == Port::Store)
        }));
        // Whoever only waits is let go, and then nobody is in it.
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
fn root_lets_go_of_those_in_the_mount_of_another() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Ordinary, "mnt");
    bench.server.fault(Fault::store(Action::Stall));
    let file = place.path.join("artifacts/site/latest/index.html");
    let mut reader = Running::script(Who::Ordinary, &format!("cat '{}'", file.display()));
    assert!(bench.server.wait_for(super::SOON, |requests| {
        requests.iter().any(|request| request.port == Port::Store)
    }));
    let mut unmount = bench.command(Who::Myself);
    let said = finish(unmount.arg("unmount").arg(&place.path));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert_ne!(reader.end(), Some(0));
    place.is_over();
}

#[test]
fn whoever_receives_something_is_not_let_go() {
    for who in Who::all() {
        let mut world = small_world();
        let noise = world.add_storage(Kind::Artifact, "noise");
        let files = vec![File::new("noise", crate::support::noise(400_000))];
        world.add_version(&noise, VersionSpec::files(files));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Rate {
            bytes_per_second: 80_000,
        }));
        let file = place.path.join("artifacts/noise/latest/noise");
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(super::SOON, |requests| {
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
fn a_stopped_process_does_not_hold_it_up() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let server = place.pid();
        super::kill(server, nix::sys::signal::SIGSTOP);
        // All of it, or it takes one more question, whose asker cannot be ended.
        until("it stands still", || {
            let threads = std::fs::read_dir(format!("/proc/{server}/task")).unwrap();
            threads.flatten().all(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat"));
                stat.is_ok_and(|stat| stat.contains(") T "))
            })
        });
        let file = place.path.join("artifacts/site/latest/index.html");
        let reader = Running::script(who, &format!("cat '{}'", file.display()));
        let name = format!("/proc/{}/comm", reader.0.id());
        until("somebody waits for it", || {
            std::fs::read_to_string(&name).is_ok_and(|name| name == "cat\n")
        });
        let said = finish(&mut place.unmount(&bench));
        said.failed(&["in use", "--lazy"]);
        assert!(said.took < PROMPT, "{said:?}");
        drop(reader);
        let said = finish(&mut place.unmount(&bench));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.took < PROMPT, "{said:?}");
        super::kill(server, nix::sys::signal::SIGCONT);
        place.is_over();
    }
}

#[test]
fn a_download_that_nobody_waits_for_any_more_does_not_hold_it_up() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        finish(place.mount(&bench).args(["--timeout", "3s"])).succeeded();
        bench.server.fault(Fault::store(Action::Rate {
            bytes_per_second: 1,
        }));
        let file = place.path.join("artifacts/site/latest/index.html");
        let reader = Running::script(who, &format!("timeout -s KILL 1 cat '{}'", file.display()));
        assert!(bench.server.wait_for(super::SOON, |requests| {
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

#[test]
fn a_newer_mount_in_its_place_outlives_one_that_was_detached() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for ended_by_signal in [false, true] {
            let place = Place::mounted(&bench, who, "mnt");
            let old = place.pid();
            let standing = Running::standing_in(who, &place.path);
            finish(place.unmount(&bench).arg("--lazy")).succeeded();
            finish(&mut place.mount(&bench)).succeeded();
            assert_eq!(servers_of(&place.path).len(), 2);
            if ended_by_signal {
                super::kill(old, nix::sys::signal::SIGTERM);
            } else {
                drop(standing);
            }
            until("the old one has ended", || {
                servers_of(&place.path).len() == 1
            });
            assert_ne!(place.pid(), old);
            assert!(is_mounted(&place.path), "the newer one was taken away");
            assert_eq!(place.run("ls agents"), "writer\n");
            finish(&mut place.unmount(&bench)).succeeded();
            place.is_over();
        }
    }
}

#[test]
fn unmounting_and_mounting_again_at_once_works() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for _ in 0..10 {
            let place = Place::mounted(&bench, who, "mnt");
            finish(&mut place.unmount(&bench)).succeeded();
            finish(&mut place.mount(&bench)).succeeded();
            until("the old one has ended", || {
                servers_of(&place.path).len() == 1
            });
            assert!(is_mounted(&place.path), "the old one took the new one away");
            finish(&mut place.unmount(&bench)).succeeded();
        }
    }
}
