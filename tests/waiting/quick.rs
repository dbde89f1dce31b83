//! What needs no network: quick while everything hangs, and never asking.

use super::world;
use crate::support::fake::{Action, Fault, File, Kind, Run, VersionSpec};
use crate::support::{Bench, SOON};
use std::{
    fs, io,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// What each kind of operation may take, as promised. Compared with the one in
/// the middle of many, which takes a few tenths of a millisecond: a machine that
/// is busy does not hit half of them.
const QUICK: Duration = Duration::from_millis(50);
const TIMES: usize = 41;

/// Something that is done in a mount.
type Deed = fn(&Path, &str) -> io::Result<()>;

const DEEDS: [(&str, Deed); 9] = [
    ("stat", |mount, _| fs::metadata(mount).map(drop)),
    ("df", |mount, _| {
        Ok(nix::sys::statvfs::statvfs(mount).map(drop)?)
    }),
    ("ls", |mount, _| list(mount)),
    ("ls agents", |mount, _| list(&mount.join("agents"))),
    ("ls runs", |mount, _| list(&mount.join("runs"))),
    ("status", |mount, run| {
        fs::read(mount.join("runs").join(run).join("status")).map(drop)
    }),
    ("content", |mount, _| {
        fs::read(mount.join("artifacts/quick/latest/f")).map(drop)
    }),
    ("absent", |mount, _| {
        match fs::metadata(mount.join("artifacts/quick/latest/absent")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }),
    (".vm0fs", |mount, _| {
        fs::read(mount.join(".vm0fs/status.json")).map(drop)
    }),
];

fn list(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        entry?;
    }
    Ok(())
}

#[test]
fn what_needs_no_network_is_quick_while_everything_hangs() {
    let (mut world, run) = world();
    let runs: Vec<String> = (0..24)
        .map(|n| world.add_run(Run::new("writer", world.ago(9_000 + n))))
        .collect();
    for n in 0..8 {
        let id = world.add_storage(Kind::Volume, &format!("v{n}"));
        let files = vec![File::new("f", format!("{n}"))];
        world.add_version(&id, VersionSpec::files(files));
    }
    let bench = Bench::new(world);
    let mount = bench
        .mount()
        .with(["--timeout", "5m", "--list-ttl", "10m"])
        .start();
    mount.run(&format!(
        "ls agents runs volumes/* artifacts/* && cat runs/{run}/status artifacts/quick/latest/f"
    ));
    bench.server.fault(Fault::everywhere(Action::Stall));
    bench.server.fault(Fault::store(Action::Stall));
    bench.server.clear_requests();
    let mut hanging: Vec<_> = runs
        .iter()
        .map(|run| mount.start(&format!("cat runs/{run}/logs")))
        .chain((0..8).map(|n| mount.start(&format!("cat volumes/v{n}/latest/f"))))
        .collect();
    // As many as there are workers: sixteen calls, six downloads.
    assert!(bench.server.wait_for(SOON, |requests| requests.len() >= 22));
    let (done, wait) = mpsc::channel();
    let path = mount.path().to_owned();
    thread::spawn(move || {
        for (name, deed) in DEEDS {
            let mut times: Vec<Duration> = (0..TIMES)
                .map(|_| {
                    let began = Instant::now();
                    deed(&path, &run).unwrap();
                    began.elapsed()
                })
                .collect();
            times.sort();
            done.send((name, times[TIMES / 2])).unwrap();
        }
    });
    for (expected, _) in DEEDS {
        let (name, took) = wait
            .recv_timeout(SOON)
            .unwrap_or_else(|error| panic!("{expected}: {error}"));
        assert!(took < QUICK, "{name}: {took:?}");
    }
    assert!(hanging.iter_mut().all(crate::support::Running::is_running));
}

#[test]
fn df_and_the_top_folder_never_ask() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    bench.server.fault(Fault::everywhere(Action::Stall));
    bench.server.clear_requests();
    for script in [
        "df .",
        "df -i .",
        "ls",
        "ls -la",
        "stat . agents runs volumes artifacts",
        "ls -l .vm0fs",
        "cat .vm0fs/status.json .vm0fs/help.txt .vm0fs/errors",
        "find . -maxdepth 1",
    ] {
        let output = mount.start(script).output();
        assert!(output.status.success(), "{script}: {output:?}");
    }
    assert_eq!(bench.server.requests().len(), 0);
}
