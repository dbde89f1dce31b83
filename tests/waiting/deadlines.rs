//! Hanging downloads and calls: no other request waits for them, and none for ever.

use super::{complaint, slow_version, wait_for_download, world};
use crate::support::fake::{Action, Fault};
use crate::support::{Bench, SOON, Who, reason};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Longer than a test may take: only what does not wait passes.
pub(crate) const LONG: [&str; 2] = ["--timeout", "5m"];

#[test]
fn a_hanging_download_delays_nothing_else() {
    for who in Who::all() {
        for action in [Action::Stall, Action::StallBody { after: 50_000 }] {
            let (world, run) = world();
            let bench = Bench::new(world);
            let version = slow_version(&bench);
            bench.server.fault(Fault::object(&version, action));
            let mount = bench.mount_as(who).with(LONG).start();
            let mut hanging = mount.start("cat artifacts/slow/latest/f");
            wait_for_download(&bench);
            let work = mount.start(&format!(
                "ls -l agents runs volumes artifacts artifacts/slow && cat runs/{run}/logs \
                 && cat artifacts/quick/latest/f && ls -R artifacts/quick && df . \
                 && cat .vm0fs/status.json && stat artifacts/slow/{version}"
            ));
            let output = work.output();
            assert!(output.status.success(), "{who:?}: {output:?}");
            assert!(
                String::from_utf8(output.stdout)
                    .unwrap()
                    .contains("content of quick\n")
            );
            assert!(
                hanging.is_running(),
                "the download hangs for the whole test"
            );
        }
    }
}

#[test]
fn more_hanging_downloads_than_workers_do_not_stop_listings() {
    let (mut world, run) = world();
    for n in 0..12 {
        let id = world.add_storage(vm0fs::demo::Kind::Volume, &format!("v{n}"));
        let files = vec![vm0fs::demo::File::new("f", format!("{n}"))];
        world.add_version(&id, vm0fs::demo::VersionSpec::files(files));
    }
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::Stall));
    let mount = bench.mount().with(LONG).start();
    let hanging: Vec<_> = (0..12)
        .map(|n| mount.start(&format!("cat volumes/v{n}/latest/f")))
        .collect();
    wait_for_download(&bench);
    let work = mount.start(&format!(
        "ls agents runs artifacts && cat runs/{run}/logs runs/{run}/run.json"
    ));
    assert!(work.output().status.success());
    for mut each in hanging {
        assert!(each.is_running());
    }
}

#[test]
fn a_hanging_call_delays_no_other() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(LONG).start();
    bench
        .server
        .fault(Fault::api_exact("/v1/artifacts", Action::Stall));
    bench.server.fault(Fault::api(
        &format!("/v1/runs/{run}/logs"),
        Action::StallBody { after: 1 },
    ));
    let mut listing = mount.start("ls artifacts");
    let mut logs = mount.start(&format!("cat runs/{run}/logs"));
    let both = |requests: &[crate::support::fake::Recorded]| {
        let asked = |part: &str| requests.iter().any(|request| request.path.contains(part));
        asked("/artifacts") && asked("/logs")
    };
    assert!(bench.server.wait_for(SOON, both));
    let work = mount.start(&format!(
        "ls agents runs volumes && cat runs/{run}/run.json runs/{run}/status"
    ));
    let output = work.output();
    assert!(output.status.success(), "{output:?}");
    assert!(listing.is_running() && logs.is_running());
}

#[test]
fn a_stalled_read_ends_with_etimedout() {
    for who in Who::all() {
        for after in [0, 50_000] {
            let (world, _) = world();
            let bench = Bench::new(world);
            let version = slow_version(&bench);
            // Resuming gets no further either.
            let first = Fault::object(&version, Action::StallBody { after });
            bench.server.fault(first.times(1));
            bench
                .server
                .fault(Fault::object(&version, Action::Stall).skip(1));
            let mount = bench.mount_as(who).with(["--timeout", "1s"]).start();
            let said = complaint(mount.start("cat artifacts/slow/latest/f"));
            assert!(said.contains(reason::TIMED_OUT), "{said}");
            let errors = mount.cat(".vm0fs/errors");
            assert!(errors.contains("--timeout"), "{errors}");
            // The same version is there once the network is well again.
            bench.server.clear_faults();
            let end = Instant::now() + SOON;
            while !mount
                .try_run("cat artifacts/slow/latest/f")
                .status
                .success()
            {
                assert!(Instant::now() < end, "it never recovers");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

#[test]
fn a_stalled_call_ends_with_etimedout() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--timeout", "1s"]).start();
    bench.server.fault(Fault::api("/v1/", Action::Stall));
    for command in [
        "ls runs".to_owned(),
        "ls volumes".to_owned(),
        format!("cat runs/{run}/logs"),
    ] {
        let said = complaint(mount.start(&command));
        assert!(said.contains(reason::TIMED_OUT), "{command}: {said}");
    }
}

#[test]
fn a_slow_but_steady_download_takes_its_time() {
    let (world, _) = world();
    let bench = Bench::new(world);
    // 200,000 bytes in eight seconds.
    let rate = Action::Rate {
        bytes_per_second: 25_000,
    };
    bench
        .server
        .fault(Fault::object(&slow_version(&bench), rate));
    // Half of it without a byte would be a stall.
    let mount = bench.mount().with(["--timeout", "4s"]).start();
    let started = Instant::now();
    let output = mount.start("cat artifacts/slow/latest/f").output();
    assert!(output.status.success(), "{output:?}");
    assert!(
        started.elapsed() > Duration::from_secs(4),
        "it was to be longer than the timeout"
    );
    assert_eq!(
        mount.run("wc -c < artifacts/slow/latest/a-noise").trim(),
        "200000"
    );
    assert_eq!(bench.downloads().len(), 1, "in one piece");
}

#[test]
fn killed_readers_end_at_the_deadline() {
    let (world, _) = world();
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::Stall));
    let mount = bench.mount().with(["--timeout", "2s"]).start();
    let readers: Vec<_> = (0..5)
        .map(|_| mount.start("exec cat artifacts/slow/latest/f"))
        .collect();
    wait_for_download(&bench);
    for reader in &readers {
        let pid = nix::unistd::Pid::from_raw(reader.pid() as i32);
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }
    for reader in readers {
        let status = reader.output().status;
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    }
    assert_eq!(mount.list("artifacts"), ["quick", "slow"]);
}

#[test]
fn forty_lookups_of_a_hanging_listing_wake_together() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(LONG).start();
    bench.server.clear_requests();
    let delay = Action::Delay(Duration::from_millis(1_500));
    bench.server.fault(Fault::api_exact("/v1/artifacts", delay));
    // One after another they would take a minute.
    let all =
        mount.start("for i in $(seq 40); do test -d artifacts/quick || echo failed & done; wait");
    let output = all.output();
    assert_eq!(
        (output.status.success(), output.stdout.len()),
        (true, 0),
        "{output:?}"
    );
    let calls = bench.api_calls().len();
    assert!(
        calls <= 2,
        "{calls} calls for one listing and its list of versions"
    );
}

#[test]
fn more_hanging_calls_than_workers_end_too() {
    let (mut world, _) = world();
    let runs: Vec<String> = (0..24)
        .map(|n| {
            let run = vm0fs::demo::Run::new("writer", world.ago(9_000 + n));
            world.add_run(run)
        })
        .collect();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--timeout", "2s"]).start();
    mount.run("ls runs");
    for run in &runs {
        let path = format!("/v1/runs/{run}/logs");
        bench.server.fault(Fault::api_exact(&path, Action::Stall));
    }
    let all = mount.start("for run in runs/*; do cat $run/logs & done; wait");
    let hung = |requests: &[crate::support::fake::Recorded]| {
        let logs = requests
            .iter()
            .filter(|request| request.path.ends_with("/logs"));
        logs.count() >= 16
    };
    assert!(bench.server.wait_for(SOON, hung));
    // Queued behind them, it comes to its turn or to the deadline.
    let listed = mount
        .start("ls volumes || ls volumes || ls volumes")
        .output();
    assert!(listed.status.success(), "{listed:?}");
    let said = String::from_utf8(all.output().stderr).unwrap();
    assert_eq!(
        said.matches(reason::TIMED_OUT).count(),
        runs.len(),
        "{said}"
    );
}
