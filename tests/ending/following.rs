//! A mount that follows a run ends as promptly as any other.

use crate::{
    commands::finish,
    living::{follow_by_stream, say, streams_and_calls, until, world},
    support::{Bench, Mount, SOON, Who, is_mounted},
};
use nix::sys::signal::SIGTERM;
use std::time::{Duration, Instant};

/// Two seconds at most on an idle machine.
const PROMPT: Duration = Duration::from_secs(10);

/// A mount with an open stream, which tells nothing for a long time.
fn streaming(bench: &Bench, who: Who, run: &str) -> Mount {
    bench.server.world().heartbeat = Duration::from_secs(60);
    let mount = bench.mount_as(who).start();
    let follower = follow_by_stream(bench, &mount, run);
    say(bench, run, "it flows");
    follower.expect("it flows");
    mount
}

#[test]
fn unmount_and_sigterm_return_while_a_stream_is_open() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = streaming(&bench, who, &run);
        until("no process has the file open", SOON, || {
            let script = format!("! fuser -s runs/{run}/logs 2>/dev/null || ! command -v fuser");
            mount.try_run(&script).status.success()
        });
        let start = Instant::now();
        // The follower was killed, not waited for: it may be there for a moment.
        while !finish(bench.command(who).arg("unmount").arg(mount.path()))
            .err
            .is_empty()
        {
            assert!(start.elapsed() < SOON);
        }
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        assert!(!is_mounted(mount.path()));
        let mut mount = mount;
        assert!(mount.wait().unwrap().success());
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        until("the service sees it go", SOON, || {
            // What it has still to say finds no reader.
            say(&bench, &run, "to no reader");
            streams_and_calls(&bench)
                .0
                .iter()
                .all(|call| call.finished || call.bytes_sent > 0)
        });

        let mut mount = streaming(&bench, who, &run);
        let start = Instant::now();
        mount.signal(SIGTERM);
        assert!(mount.wait().unwrap().success());
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        assert!(!is_mounted(mount.path()));
    }
}

#[test]
fn sigterm_ends_a_mount_while_a_run_is_followed() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mut mount = bench.mount_as(who).start();
        let mut follower = follow_by_stream(&bench, &mount, &run);
        let start = Instant::now();
        mount.signal(SIGTERM);
        assert!(mount.wait().unwrap().success());
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
        assert!(!is_mounted(mount.path()));
        // It meets an error, not a hang.
        follower.end();
    }
}

#[test]
fn unmount_names_the_process_that_follows_a_run() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let follower = follow_by_stream(&bench, &mount, &run);
        let said = finish(bench.command(who).arg("unmount").arg(mount.path()));
        said.failed(&[
            "in use",
            &format!("tail (pid {})", follower.pid()),
            "open file",
            "/logs",
            "--lazy",
        ]);
        assert!(said.took < PROMPT, "{said:?}");
        say(&bench, &run, "still there");
        follower.expect("still there");
    }
}
