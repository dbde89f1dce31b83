//! What a load takes is given back after it.

use super::{count, mounted, world};
use crate::support::{Bench, Mount, Who};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Action, Fault};

/// For workers without work to leave: they wait ten seconds for more.
const REST: Duration = Duration::from_secs(40);

/// Descriptors that are no connections: those are kept for the next request, for a
/// minute and no more than there were at a time.
fn files(mount: &Mount) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", mount.pid())).unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let is_socket = |target: &std::path::PathBuf| target.to_string_lossy().starts_with("socket:");
    targets.filter(|target| !is_socket(target)).count()
}

/// Everything at the same time, some of it in vain; the failures are of no concern.
fn load(bench: &Bench, mount: &Mount) {
    bench
        .server
        .fault(Fault::store(Action::CloseBeforeHeaders).times(3));
    bench
        .server
        .fault(Fault::api("/v1/runs/", Action::internal_error()).times(5));
    mount.try_run(
        "for n in $(seq 0 29); do cat artifacts/a$n/latest/f & done; \
         for run in runs/*; do cat $run/logs $run/run.json $run/metrics.svg & ls -l $run & done; \
         find artifacts > /dev/null & wait",
    );
    bench.server.clear_faults();
}

#[test]
fn descriptors_and_threads_return_to_their_start() {
    let (world, _) = world(30);
    let bench = Bench::new(world);
    let cache = bench.folder("cache", Who::Myself);
    let mount = mounted(&bench, Who::Myself, &cache);
    // Versions stay open, as many as there are; what else a first load leaves
    // (the downloader's thread, for one) is there for good.
    load(&bench, &mount);
    let settle = |most: Option<(usize, usize)>| {
        let end = Instant::now() + REST;
        let (mut last, mut since) = ((0, 0), Instant::now());
        loop {
            let now = (files(&mount), count(&mount, "task"));
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let is_low = most.is_some_and(|most| now.0 <= most.0 && now.1 <= most.1);
            if is_low || most.is_none() && since.elapsed() > Duration::from_secs(12) {
                return now;
            }
            assert!(
                Instant::now() < end,
                "{now:?} files and threads, not {most:?}"
            );
            thread::sleep(Duration::from_millis(200));
        }
    };
    let start = settle(None);
    for _ in 0..3 {
        load(&bench, &mount);
    }
    assert!(count(&mount, "task") > start.1, "it was a load");
    settle(Some(start));
}
