//! `vm0fs unmount`: it waits, names the processes that use the mount, and can
//! detach. What it does while something hangs is tested in `ending/hanging`.

use super::{Place, Running, finish, script, servers_of, small_world, until};
use crate::support::{Bench, Who, is_mounted};

#[test]
fn unmount_waits_until_the_mount_is_gone() {
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
fn unmount_takes_links_and_relative_paths() {
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
fn unmount_works_from_inside_the_mount() {
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
fn unmount_refuses_what_is_no_mount_of_vm0fs() {
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
