//! Going on with another program or other settings, in place.

use super::{replaced, workers};
use crate::{
    commands::{Place, Running, finish, kill, shell, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Action, Fault},
        is_mounted, program,
    },
};
use nix::sys::signal::Signal::{SIGHUP, SIGKILL};
use serde_json::Value;
use std::{
    ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, process::Command, thread, time::Duration,
};

#[test]
fn a_mount_goes_on_with_the_program_on_disk_or_as_it_is() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        // A program of its own, that can be exchanged.
        let copy = bench.folder("program", who).join("vm0fs");
        let exchange = |text: Option<&str>| {
            // Its file is in use: another one takes the name.
            let new = copy.with_extension("new");
            let from = match text {
                None => program().to_owned(),
                Some(text) => {
                    let written = copy.with_extension("text");
                    fs::write(&written, text).unwrap();
                    written
                }
            };
            // By another process: what this one has open to write, each child that another
            // test starts holds for a moment, and then it cannot be executed.
            let mut install = Command::new("install");
            finish(install.args(["-m", "755"]).arg(from).arg(&new)).succeeded();
            fs::rename(&new, &copy).unwrap();
        };
        exchange(None);
        let mut mount = bench.command_of(&copy, who);
        finish(mount.arg("mount").arg(&place.path)).succeeded();
        let upgrade = || finish(bench.command(who).arg("upgrade").arg(&place.path));
        let shown = place.path.display().to_string();

        exchange(None);
        let said = upgrade().succeeded();
        assert!(said.contains(&format!("{shown}: vm0fs ")), "{said}");
        let last = replaced(&place, 1);
        assert_eq!(last["cause"], "upgrade");
        let runs = |path: &str| fs::read_link(path).unwrap();
        let worker = format!("/proc/{}/exe", worker_of(&place));
        assert_eq!(runs(&worker), copy, "the new file");
        // Which is what goes on after a death, also once its file is another one.
        exchange(Some("no program"));
        kill(worker_of(&place), SIGKILL);
        assert_eq!(place.run("ls agents"), "writer\n");
        assert_eq!(replaced(&place, 2)["cause"], "death");
        let worker = format!("/proc/{}/exe", worker_of(&place));
        let runs = runs(&worker).display().to_string();
        assert!(runs.starts_with(&*copy.to_string_lossy()), "{runs}");
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert_eq!(size(Path::new(&worker)), size(program()), "not the script");

        for (wrong, why) in [
            (
                Some("#!/bin/sh\nexit 3\n"),
                "it ended before it could take over",
            ),
            (Some("no program"), "starting "),
        ] {
            exchange(wrong);
            upgrade().failed(&[&shown, "not upgraded, and served as before", why]);
        }
        fs::remove_file(&copy).unwrap();
        upgrade().failed(&[&shown, "No such file"]);
        assert_eq!(workers(&place)["replaced"], 2);
        assert_eq!(place.run("ls agents"), "writer\n");
        finish(&mut place.unmount(&bench)).succeeded();
        until("its supervisor has ended", || !is_mounted(&place.path));
    }
}

/// The worker, also of another program than the one under test.
fn worker_of(place: &Place) -> u32 {
    let status: Value = serde_json::from_str(&place.run("cat .vm0fs/status.json")).unwrap();
    u32::try_from(status["pid"].as_u64().unwrap()).unwrap()
}

#[test]
#[ignore = "needs root"]
fn all_mounts_are_those_of_the_user_who_asks() {
    let bench = Bench::new(small_world());
    // In a mount namespace of its own, where there are no other mounts.
    let mut places = String::new();
    let own = Who::Myself;
    for (who, run) in [(own, "root"), (own, "alone"), (Who::Ordinary, "user")] {
        let place = bench.folder(run, who);
        let home = bench.folder(&format!("home-{run}"), who);
        places += &format!(
            " {run}='{}' {run}_home='{}'",
            place.display(),
            home.display()
        );
    }
    let script = format!(
        r#"set -eu; {places}
        trap 'umount -l "$root" "$alone" "$user" 2>/dev/null || true' EXIT
        grep -o ' [^ ]* [^ ]* - fuse.vm0fs' /proc/self/mountinfo | while read -r place _; do
            place=$(printf "$place")
            # One of another test may have gone meanwhile, as its folder was removed.
            umount -l "$place" 2> /dev/null || [ ! -e "$place" ]
        done
        as_root() {{ HOME=$root_home "$PROGRAM" "$@"; }}
        as_user() {{ setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups \
            env HOME="$user_home" "$PROGRAM" "$@"; }}
        as_user upgrade --all
        as_root mount "$root"; as_root mount --no-supervisor "$alone"; as_user mount "$user"
        as_root upgrade --all; as_user upgrade --all
        as_root unmount "$root"; as_root unmount "$alone"; as_user unmount "$user""#
    );
    let mut command = bench.command_of(Path::new("unshare"), Who::Myself);
    command
        .args(["--mount", "--propagation", "private", "bash", "-c", &script])
        .env("PROGRAM", program());
    let said = finish(&mut command);
    assert_eq!(said.err, "", "{said:?}");
    let out = said.succeeded();
    let lines: Vec<&str> = out.lines().collect();
    let [nothing, root, alone, user] = lines[..] else {
        panic!("{out}");
    };
    assert_eq!(nothing, "you have mounted nothing");
    // Nothing can take over from what has no supervisor.
    for (line, place, what) in [
        (root, "root", "vm0fs "),
        (alone, "alone", "left as it is: "),
        (user, "user", "vm0fs "),
    ] {
        let place = bench.dir().join(place);
        let expected = format!("{}: {what}", place.display());
        assert!(line.starts_with(&expected), "{out}");
    }
}

#[test]
fn a_mountpoint_whose_name_is_no_text_goes_on_as_others_do() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let parent = bench.folder(&format!("places-{who:?}"), who);
        let path = parent.join(OsStr::from_bytes(b"v\xff"));
        let place = Place { who, path };
        finish(&mut place.mount(&bench)).succeeded();
        // A shell finds it by its beginning.
        let list = format!("ls '{}'/v*/agents", parent.display());
        assert_eq!(shell(who, &list), "writer\n");
        finish(bench.command(who).arg("upgrade").arg(&place.path)).succeeded();
        assert_eq!(shell(who, &list), "writer\n");
        let status = format!("cat '{}'/v*/.vm0fs/status.json", parent.display());
        let status: Value = serde_json::from_str(&shell(who, &status)).unwrap();
        assert_eq!(status["workers"]["replaced"], 1, "{status}");
        finish(&mut place.unmount(&bench)).succeeded();
        assert!(!is_mounted(&place.path));
    }
}

#[test]
fn an_upgrade_lets_a_download_go_on_and_open_files_be_read() {
    let mut world = small_world();
    let site = world.add_storage(vm0fs::demo::Kind::Artifact, "large");
    let text = crate::support::noise(3 << 20);
    let files = vec![vm0fs::demo::File::new("f", text.clone())];
    world.add_version(&site, vm0fs::demo::VersionSpec::files(files));
    let bench = Bench::new(world);
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    // Half of a file has been read when the worker changes.
    let script = format!(
        "exec 3< artifacts/large/latest/f; head -c 1000000 <&3 > {0}; \
         vm0fs=$1; $vm0fs upgrade . && cat <&3 >> {0}",
        bench.dir().join("read").display()
    );
    let inside = place.inside(&script);
    let mut command = Command::new("bash");
    command.args(["-c", &inside, "bash"]).arg(program());
    finish(&mut command).succeeded();
    assert!(fs::read(bench.dir().join("read")).unwrap() == text);
    // And one that waits for the service gets its answer from the next.
    bench
        .server
        .fault(Fault::api("/v1/volumes", Action::Delay(Duration::from_secs(2))).times(1));
    let mut waiting = Running::script(Who::Myself, &place.inside("ls volumes"));
    assert!(bench.server.wait_for(SOON, |requests| {
        requests.iter().any(|request| request.path == "/v1/volumes")
    }));
    finish(bench.command(Who::Myself).arg("upgrade").arg(&place.path)).succeeded();
    assert_eq!(waiting.end(), Some(0));
    assert_eq!(workers(&place)["replaced"], 2);
}

#[test]
fn sighup_reads_the_settings_again() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let config = bench.folder("config", Who::Myself).join("vm0fs");
    fs::create_dir(&config).unwrap();
    let set = |text: &str| fs::write(config.join("config.toml"), text).unwrap();
    set("list-ttl = \"7s\"\n");
    let mut mount = place.mount(&bench);
    finish(mount.env("XDG_CONFIG_HOME", config.parent().unwrap())).succeeded();
    let ttl = || {
        let status: Value = serde_json::from_str(&place.run("cat .vm0fs/status.json")).unwrap();
        status["listings"]["ttl_seconds"].as_f64().unwrap()
    };
    assert_eq!(ttl(), 7.0);
    set("list-ttl = \"9s\"\n");
    kill(place.pid(), SIGHUP);
    assert_eq!(replaced(&place, 1)["cause"], "reload");
    assert_eq!(ttl(), 9.0);
    // What is wrong is said, and changes nothing.
    set("list-ttl = 9\n");
    kill(place.pid(), SIGHUP);
    until("it is refused", || workers(&place)["refused"] == 1);
    let why = workers(&place)["last_refusal"].to_string();
    assert!(why.contains("config.toml"), "{why}");
    set("allow-other = true\n");
    kill(place.pid(), SIGHUP);
    until("it is refused", || workers(&place)["refused"] == 2);
    let why = workers(&place)["last_refusal"].to_string();
    assert!(why.contains("--allow-other has changed"), "{why}");
    set("read-only = true\n");
    kill(place.pid(), SIGHUP);
    until("it is refused", || workers(&place)["refused"] == 3);
    let why = workers(&place)["last_refusal"].to_string();
    assert!(
        why.contains("--read-only or --no-exec has changed"),
        "{why}"
    );
    assert_eq!((ttl(), &workers(&place)["replaced"]), (9.0, &1.into()));
}

#[test]
fn a_next_worker_that_dies_while_the_one_before_it_ends_is_replaced() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    finish(place.mount(&bench).args(["--timeout", "30s"])).succeeded();
    // It ends only once it has sent this, or given up, which is after all of the rounds.
    bench
        .server
        .fault(Fault::api_exact("/v1/runs", Action::Stall).method("POST"));
    let script = place.inside("echo hello > agents/writer/run");
    let _writer = Running::script(Who::Myself, &script);
    assert!(bench.server.wait_for(SOON, |requests| {
        requests.iter().any(|request| request.method == "POST")
    }));
    let old = place.worker();
    let is_there = |pid: u32| place.processes().contains(&pid);
    // The next one dies in vain where it was not ready by then. Where it was, the one
    // before ends, and no other is begun.
    for seconds in [1, 2, 5] {
        kill(place.pid(), SIGHUP);
        until("there are two", || {
            place.processes().len() == 3 || !is_there(old)
        });
        if !is_there(old) {
            break;
        }
        let all = place.processes();
        let next = all
            .into_iter()
            .filter(|pid| ![old, place.pid()].contains(pid));
        thread::sleep(Duration::from_secs(seconds));
        next.for_each(|pid| kill(pid, SIGKILL));
        thread::sleep(Duration::from_secs(2));
    }
    until("it was told to end", || !is_there(old));
    assert_eq!(replaced(&place, 1)["cause"], "death");
    assert_eq!(place.run("ls agents"), "writer\n");
}
