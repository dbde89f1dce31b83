//! Descriptors, threads and the length of files, which run out.

use super::{comes_to, count, limit, mounted, text, world};
use crate::{
    commands::{Place, finish, script, until},
    support::{Bench, Running, Who, noise, reason},
};
use std::{os::unix::process::CommandExt, process::Command};
use vm0fs::demo::{File, Kind, VersionSpec};

/// The limits as `/proc/<pid>/limits` calls them.
const FILES: &str = "Max open files";
const THREADS: &str = "Max processes";
const LENGTH: &str = "Max file size";

#[test]
fn descriptors_run_out_and_come_back() {
    for who in Who::all() {
        let (world, runs) = world(3);
        let bench = Bench::new(world);
        let cache = bench.folder("cache", who);
        let mount = mounted(&bench, who, &cache);
        assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
        mount.run("ls runs");
        let before = count(&mount, "fd");
        // Not one more than it has.
        limit(&mount, "nofile", FILES, Some(before));
        for number in 0..3 {
            let output = mount
                .start(&format!("cat artifacts/a{number}/latest/f"))
                .output();
            // What lingers may do; what does not is an honest error.
            match output.status.success() {
                true => assert_eq!(String::from_utf8(output.stdout).unwrap(), text(number)),
                false => assert_eq!(output.stdout, b"", "{output:?}"),
            }
        }
        let output = mount.start("cat artifacts/a2/latest/f").output();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(reason::IO) || said.contains(reason::UNREACHABLE),
            "{output:?}"
        );
        mount.try_run(&format!("cat runs/{}/logs", runs[0]));
        // What is known needs none.
        assert_eq!(mount.run("ls runs").lines().count(), runs.len());
        let errors = mount.cat(".vm0fs/errors");
        assert!(errors.contains("Too many open files"), "{errors}");
        limit(&mount, "nofile", FILES, None);
        for number in 0..3 {
            comes_to(
                &mount,
                &format!("cat artifacts/a{number}/latest/f"),
                &text(number),
            );
        }
        comes_to(
            &mount,
            &format!("cat runs/{}/status", runs[0]),
            "completed\n",
        );
        mount.unmount();
    }
}

// The limit is one of all processes of a user, so another user is needed.
#[test]
#[ignore = "needs root"]
fn threads_run_out_and_come_back() {
    let who = Who::Ordinary;
    let (world, runs) = world(3);
    let bench = Bench::new(world);
    let cache = bench.folder("cache", who);
    // By name: looking one up takes a thread, too.
    let url = bench.server.api_url().replace("127.0.0.1", "localhost");
    let mount = bench
        .mount_as(who)
        .with([
            "--timeout",
            "5s",
            "--cache-dir",
            cache.to_str().unwrap(),
            "--api-url",
            &url,
        ])
        .start();
    assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
    limit(&mount, "nproc", THREADS, Some(1));
    let read_all = "for n in 0 1 2; do cat artifacts/a$n/latest/f & done; wait; true";
    for (round, run) in runs[..2].iter().enumerate() {
        if round == 1 {
            // Workers without work have left by then.
            std::thread::sleep(std::time::Duration::from_secs(11));
        }
        let output = mount.start(read_all).output();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            shown
                .lines()
                .all(|line| (0..3).any(|n| text(n).trim() == line)),
            "{output:?}"
        );
        let output = mount.start(&format!("cat runs/{run}/status")).output();
        if output.status.success() {
            assert_eq!(output.stdout, b"completed\n");
        }
    }
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("ulimit -u"), "{errors}");
    assert!(
        !errors.contains("report this"),
        "no defect of its own: {errors}"
    );
    limit(&mount, "nproc", THREADS, None);
    for number in 0..3 {
        comes_to(
            &mount,
            &format!("cat artifacts/a{number}/latest/f"),
            &text(number),
        );
    }
    for run in &runs[..4] {
        comes_to(&mount, &format!("cat runs/{run}/status"), "completed\n");
    }
    mount.unmount();
}

#[test]
fn a_limit_of_file_sizes_fails_a_fetch_and_no_mount() {
    for who in Who::all() {
        let (mut world, runs) = world(2);
        let id = world.add_storage(Kind::Artifact, "large");
        let large = File::new("f", noise(3_000_000));
        world.add_version(&id, VersionSpec::files(vec![large]));
        let bench = Bench::new(world);
        let cache = bench.folder("cache", who);
        let mount = mounted(&bench, who, &cache);
        // Bytes: less than that version has, more than the others.
        limit(&mount, "fsize", LENGTH, Some(1 << 20));
        let size = mount.run("stat -c %s artifacts/large/latest/f || true");
        let output = mount
            .start("cat artifacts/large/latest/f > /dev/null")
            .output();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("File too large"),
            "{size}{said}"
        );
        let errors = mount.cat(".vm0fs/errors");
        assert!(
            errors.contains("ulimit -f") && errors.contains("LimitFSIZE"),
            "{errors}"
        );
        let told =
            mount.run("getfattr --only-values -n user.vm0.last_error artifacts/large/latest/");
        assert!(told.contains("ulimit -f"), "{told}");
        // The mount lives, and what is shorter can be had.
        assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
        assert_eq!(
            mount.cat(&format!("runs/{}/status", runs[0])),
            "completed\n"
        );
        limit(&mount, "fsize", LENGTH, None);
        comes_to(&mount, "wc -c < artifacts/large/latest/f", "3000000\n");
        mount.unmount();
    }
}

#[test]
fn a_mount_that_may_write_no_file_lists_and_says_why_it_fetches_nothing() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let command = bench.command(Who::Myself);
    let path = bench.folder("mnt", Who::Myself);
    let cache = bench.folder("cache", Who::Myself);
    let program = command.get_program().to_str().unwrap();
    let script = format!(
        "ulimit -f 0; {program} mount --cache-dir {} {1} || exit 1; cd {1}; ls runs; \
         cat artifacts/a0/latest/f; cat .vm0fs/errors; cd /; ulimit -f unlimited; \
         {program} unmount {1}",
        cache.display(),
        path.display()
    );
    let mut shell = std::process::Command::new("bash");
    // The pipes of this process are no files.
    shell.args(["-c", &script]).env_clear().env("LC_ALL", "C");
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    let output = Running::of(&mut shell).output();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(runs.iter().all(|run| told.contains(run)), "{output:?}");
    assert!(told.contains("ulimit -f"), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("File too large"), "{output:?}");
    assert!(!crate::support::is_mounted(&path));
}

/// In kilobytes, as `ulimit -d` wants them: what a mount has when it begins, and some more.
const LITTLE: usize = 56_000;

#[test]
fn a_fetch_for_which_there_is_no_memory_fails_and_the_mount_lives() {
    for who in Who::all() {
        let (world, runs) = world(40);
        let bench = Bench::new(world);
        let place = Place::new(&bench, who, "mnt");
        let mount = place.mount(&bench);
        let mut command = Command::new("bash");
        command.args(["-c", &format!("ulimit -Sd {LITTLE}; exec \"$@\""), "bash"]);
        command.arg(mount.get_program()).args(mount.get_args());
        for (name, value) in mount.get_envs() {
            command.env(name, value.unwrap());
        }
        if let Some((uid, gid)) = who.ids() {
            command.uid(uid).gid(gid);
        }
        finish(&mut command).succeeded();
        let worker = place.worker();
        // Many at once: each would need memory of its own.
        let all = "for n in $(seq 0 39); do cat artifacts/a$n/latest/f & done 2> /dev/null; wait";
        let said = place.run(all);
        for line in said.lines() {
            assert!((0..40).any(|number| text(number).trim() == line), "{line}");
        }
        place.run(&format!("cat runs/{}/logs runs.json || true", runs[0]));
        let errors = place.run("cat .vm0fs/errors");
        let nearly = "of data, ulimit -d is nearly used: Cannot allocate memory";
        assert!(errors.contains(nearly), "{errors}");
        assert_eq!(place.worker(), worker, "it has not died of it");
        // Without the limit, all of it can be had.
        let lift = format!("prlimit --pid={worker} --data=unlimited:");
        finish(&mut script(who, &lift)).succeeded();
        until("it is read", || {
            let read = finish(&mut script(who, &place.inside("cat artifacts/a*/latest/f")));
            read.code == Some(0) && read.out.lines().count() == 40
        });
    }
}
