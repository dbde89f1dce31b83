//! What commands say through a mount whose service fails, whose process is gone, or through
//! which nothing can be changed.

use super::world;
use crate::{
    commands::{Place, Said, finish, until},
    support::{
        Bench, Who,
        fake::{Action, Fault, File, Kind, VersionSpec, uuid},
        program,
    },
};
use nix::sys::signal::{SIGCONT, SIGKILL};
use std::{fs, io::Write, os::unix::fs::symlink, path::Path, process::Stdio};

#[track_caller]
fn said(bench: &Bench, who: Who, words: &[&str]) -> Said {
    finish(bench.command(who).args(words))
}

/// A mount of a world with an artifact.
fn mounted(who: Who) -> (Bench, Place) {
    let (mut world, _) = world();
    let storage = world.add_storage(Kind::Artifact, "site");
    world.add_version(&storage, VersionSpec::files(vec![File::new("f", "1")]));
    let bench = Bench::new(world);
    let place = Place::mounted(&bench, who, "mnt");
    (bench, place)
}

#[test]
fn every_command_says_why_a_path_in_a_mount_cannot_be_looked_up() {
    let forbidden = Action::api_error(403, "permission_error", "forbidden", "you may not");
    for (action, told) in [
        (Action::internal_error(), "HTTP 500"),
        (forbidden, "you may not"),
    ] {
        for who in Who::all() {
            let (mut world, _) = world();
            let storage = world.add_storage(Kind::Artifact, "site");
            let version = VersionSpec::files(vec![File::new("f", "1")]);
            let id = world.add_version(&storage, version);
            let bench = Bench::new(world);
            let mount = bench.mount_as(who).start();
            bench.server.fault(Fault::api("/v1/", action.clone()));
            let run = uuid("of another machine");
            let at = ["--mountpoint", mount.path().to_str().unwrap()];
            let latest = said(&bench, who, &[&["cancel", "latest"][..], &at].concat());
            latest.failed(&[told, "latest: GET /v1/runs"]);
            for command in ["logs", "cancel"] {
                let words = [&[command, &run][..], &at].concat();
                said(&bench, who, &words).failed(&[told, &run]);
            }
            let path = mount.join("artifacts/site");
            let path = path.to_str().unwrap();
            let version = format!("{path}/{id}");
            said(&bench, who, &["diff", path, &id, "latest"]).told(&[told]);
            said(&bench, who, &["prefetch", &version]).failed(&[told, path]);
            said(&bench, who, &["cache", "pin", &version]).failed(&[told, path]);
        }
    }
}

#[test]
fn a_mount_through_which_nothing_can_be_changed_is_not_asked_to_cancel() {
    for who in Who::all() {
        for flag in ["--read-only", "--offline"] {
            let (world, run) = world();
            let bench = Bench::new(world);
            let mount = bench.mount_as(who).with([flag]).start();
            let named = mount.path().to_str().unwrap();
            let refused = said(&bench, who, &["cancel", &run, "--mountpoint", named]);
            refused.failed(&[flag, "name no mount"]);
            let mut inside = bench.command(who);
            inside.args(["cancel", &run]).current_dir(mount.path());
            let out = finish(&mut inside).succeeded();
            assert_eq!(out, format!("{run}: cancelled\n"));
            // What cannot be used for one run leaves the others.
            let path = mount.join(&format!("runs/{run}"));
            let both = said(&bench, who, &["cancel", path.to_str().unwrap(), &run]);
            both.told(&[flag]);
            assert_eq!(both.out, format!("{run}: had ended before: cancelled\n"));
            assert_eq!(both.code, Some(1), "{both:?}");
        }
    }
}

#[test]
fn a_run_can_be_named_by_its_path_in_a_mount() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let inside = |folder: &str, words: [&str; 2]| {
            let mut command = bench.command(who);
            finish(command.args(words).current_dir(mount.join(folder)))
        };
        let of_run = format!("runs/{run}");
        let log = mount.cat(&format!("{of_run}/logs"));
        let whole = mount.join(&of_run);
        let whole = whole.to_str().unwrap();
        for (folder, name) in [
            ("", whole),
            ("", &format!("{whole}/")),
            (&of_run, "."),
            (&of_run, &format!("../{}", &run[..8])),
            (&of_run, "../../agents/writer/latest"),
            ("agents/writer", "./latest"),
            ("agents", "writer/latest"),
            ("agents/writer/runs", &format!("./{run}")),
        ] {
            assert_eq!(
                inside(folder, ["logs", name]).succeeded(),
                log,
                "{folder} {name}"
            );
        }
        let links = bench.folder("links", who);
        symlink(whole, links.join("run")).unwrap();
        symlink("run", links.join("again")).unwrap();
        symlink("loop", links.join("loop")).unwrap();
        for name in ["run", "again", "run/logs"] {
            let name = links.join(name);
            let out = inside("", ["logs", name.to_str().unwrap()]).succeeded();
            assert_eq!(out, log, "{name:?}");
        }
        let name = links.join("loop");
        inside("", ["logs", name.to_str().unwrap()]).failed(&["there is no"]);
        // Options for the service mean the service.
        let away = ["logs", whole, "--api-url", "http://127.0.0.1:1"];
        said(&bench, who, &away).failed(&["127.0.0.1:1"]);
        let both = ["--mountpoint", mount.path().to_str().unwrap()];
        said(&bench, who, &[&away[..], &both].concat()).failed(&["leave out"]);
        for name in [".", "./latest", "agents/writer/.."] {
            inside("", ["logs", name]).failed(&["there is no"]);
        }
        for command in ["top", "status", "unmount", "upgrade"] {
            let holds = format!("in the mount {}", mount.path().display());
            inside("/", [command, whole]).failed(&["mounted there", &holds]);
        }
        let out = inside(&format!("{of_run}/volumes"), ["cancel", ".."]).succeeded();
        assert_eq!(out, format!("{run}: cancelled\n"));
    }
}

#[test]
fn names_of_mountpoints_do_not_change_the_terminal() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "e\u{1b}[31mvil\u{7}");
        let inside = place.path.join("runs");
        let beside = place.path.parent().unwrap();
        for path in [beside.to_str().unwrap(), inside.to_str().unwrap()] {
            for command in ["unmount", "upgrade", "status"] {
                let said = said(&bench, who, &[command, path]);
                let text = said.out.clone() + &said.err;
                assert!(text.contains("[31mvil") || command != "unmount", "{said:?}");
                assert!(!text.contains(['\u{1b}', '\u{7}']), "{said:?}");
            }
        }
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn every_command_says_what_to_do_about_a_mount_that_is_stopped_or_dead() {
    for who in Who::all() {
        let (bench, place) = mounted(who);
        let mountpoint = place.path.to_str().unwrap();
        let version = format!("{mountpoint}/artifacts/site/latest");
        let commands = [
            &["top", "--once", mountpoint][..],
            &["prefetch", &version],
            &["cache", "pin", &version],
            &["upgrade", mountpoint],
            &["ls", "runs", "--mountpoint", mountpoint],
        ];
        place.stop();
        for words in commands {
            said(&bench, who, words).failed(&["is stopped", "kill -CONT", "--lazy"]);
        }
        place.signal_all(SIGCONT);
        place.signal_all(SIGKILL);
        until("it is dead", || {
            let status = said(&bench, who, &["status", mountpoint]);
            status.out.contains(": dead: ")
        });
        for words in commands {
            said(&bench, who, words).failed(&["its process is gone; mount again at", "--lazy"]);
        }
        let around = format!("{mountpoint}/agents/../agents/writer/latest");
        said(&bench, who, &["logs", &around]).failed(&["its process is gone"]);
        // That leaves other mounts to be used.
        let other = bench.mount_as(who).start();
        let good = other.join("artifacts/site/latest");
        let good = good.to_str().unwrap();
        for words in [&["prefetch"][..], &["cache", "pin"]] {
            let both = said(&bench, who, &[words, &[&*version, good]].concat());
            both.told(&["its process is gone", "mount again at"]);
            assert!(both.out.contains(good), "{both:?}");
            assert_eq!(both.code, Some(1), "{both:?}");
        }
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn no_command_enters_a_mount_that_is_stopped() {
    for who in Who::all() {
        let (bench, place) = mounted(who);
        let mountpoint = place.path.to_str().unwrap();
        let folder = bench.folder("links", who);
        let link = folder.join("to-mnt");
        symlink(mountpoint, &link).unwrap();
        let version = format!("{}/artifacts/site/latest", link.display());
        let run = format!("{}/agents/writer/latest", link.display());
        let around = format!("{mountpoint}/agents/../agents/writer/latest");
        let beside = folder.join("to-places");
        symlink(place.path.parent().unwrap(), &beside).unwrap();
        let by_folder = format!("{}/mnt", beside.display());
        let inside = format!("{mountpoint}/agents");
        let roundabout = format!("{}/../links/to-mnt/agents/..", folder.display());

        said(&bench, who, &["prefetch", &version]).succeeded();
        let ids = said(&bench, who, &["cache", "ls", "--json"]).succeeded();
        let ids: serde_json::Value = serde_json::from_str(&ids).unwrap();
        let id = ids[0]["version"].as_str().unwrap();
        // A process that stands there, and waits for a word.
        let text = format!("cd '{mountpoint}' && read word && exec \"$0\" cache pin {id}");
        let mut standing = bench.command_of(Path::new("sh"), who);
        standing.args(["-c", &text]).arg(program());
        let standing = standing.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut standing = standing.stdout(Stdio::piped()).spawn().unwrap();
        until("it stands there", || {
            let place = fs::read_link(format!("/proc/{}/cwd", standing.id()));
            place.is_ok_and(|cwd| cwd == Path::new(mountpoint))
        });
        place.stop();
        for words in [
            &["prefetch", &*version][..],
            &["cache", "pin", &version],
            &["diff", &version, "a", "b"],
            &["logs", &run],
            &["cancel", &run],
            &["logs", &around],
            &["status", &roundabout],
            &["top", "--once", &roundabout],
            &["upgrade", &roundabout],
            &["ls", "runs", "--mountpoint", &roundabout],
            &["mount", &roundabout],
            &["mount", mountpoint],
            &["demo", &roundabout],
            &["demo", mountpoint],
            &["demo", &by_folder],
            &["demo", &inside],
        ] {
            let said = said(&bench, who, words);
            said.told(&["is stopped", "kill -CONT", "--lazy"]);
            // As diff(1) has it, 1 is for versions that differ.
            let trouble = if words[0] == "diff" { 2 } else { 1 };
            assert_eq!(said.code, Some(trouble), "{said:?}");
        }
        let elsewhere = folder.join("elsewhere");
        for cache in [&inside, &version, &roundabout] {
            for words in [
                &["cache", "ls"][..],
                &["doctor"],
                &["mount", elsewhere.to_str().unwrap()],
            ] {
                let words = [words, &["--cache-dir", cache]].concat();
                let said = said(&bench, who, &words);
                assert_eq!(said.code, Some(1), "{said:?}");
                let all = said.out + &said.err;
                let told = all.contains("cannot be in a mount of vm0fs");
                assert!(told && all.contains(mountpoint), "{words:?}: {all}");
            }
        }
        // The cache alone knows what an id is.
        standing.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let pinned = standing.wait_with_output().unwrap();
        assert!(pinned.status.success(), "{pinned:?}");
        place.signal_all(SIGCONT);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}
