//! What a load takes is given back after it.

use super::{count, mounted, world};
use crate::{
    commands::shell,
    support::{
        Bench, Mount, Who,
        fake::{Action, Fault},
    },
};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

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

/// CPU time that the mount's process has used.
fn cpu(mount: &Mount) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", mount.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    // The 14th and 15th of all, in the hundredths of a second that Linux shows.
    let ticks: u64 = fields[12..14]
        .iter()
        .map(|f| f.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}

/// Whether requests are taken without blocking now.
fn is_hasty(mount: &Mount) -> bool {
    let process = format!("/proc/{}", mount.pid());
    fs::read_dir(format!("{process}/fd")).unwrap().any(|entry| {
        let entry = entry.unwrap();
        let info = format!("{process}/fdinfo/{}", entry.file_name().to_string_lossy());
        let flags = || {
            let info = fs::read_to_string(info).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            i32::from_str_radix(flags.trim(), 8).ok()
        };
        fs::read_link(entry.path()).is_ok_and(|to| to == Path::new("/dev/fuse"))
            && flags().is_some_and(|flags| flags & libc::O_NONBLOCK != 0)
    })
}

/// This thread and what it starts, before all other processes of the machine and on
/// two cores at most: with more than three a mount takes requests with several
/// threads, and all of them sleep.
struct Favoured {
    thread: String,
    cores: String,
}

impl Favoured {
    fn new() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = status.lines();
        let cores = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = cores.unwrap().trim().to_owned();
        let thread = nix::unistd::gettid().to_string();
        let favoured = Self { thread, cores };
        let two: Vec<String> = favoured
            .all()
            .take(2)
            .map(|core| core.to_string())
            .collect();
        favoured.set("-20", &two.join(","));
        favoured
    }

    /// The numbers of a list such as `0-3,8`.
    fn all(&self) -> impl Iterator<Item = usize> {
        self.cores.split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().unwrap()..=last.parse().unwrap()
        })
    }

    fn set(&self, nice: &str, cores: &str) {
        let thread = &self.thread;
        // A container can lack the right to go before others.
        let script = format!("renice -n {nice} -p {thread} || true; taskset -cp {cores} {thread}");
        shell(Who::Myself, &script);
    }
}

impl Drop for Favoured {
    fn drop(&mut self) {
        self.set("0", &self.cores);
    }
}

// Only root can go before other processes, whose work would end the burst.
#[test]
#[ignore = "needs root"]
fn a_burst_of_requests_keeps_a_thread_awake_only_while_it_lasts() {
    let (world, _) = world(1);
    let bench = Bench::new(world);
    let cache = bench.folder("cache", Who::Myself);
    let favoured = Favoured::new();
    let mount = mounted(&bench, Who::Myself, &cache);
    let file = mount.path().join("artifacts/a0/latest/f");
    let burst = || {
        for _ in 0..1_000 {
            drop(fs::File::open(&file).unwrap());
        }
    };
    let end = Instant::now() + REST;
    burst();
    // With one core no other process could ask meanwhile, so the thread sleeps.
    while favoured.all().count() > 1 && !is_hasty(&mount) {
        assert!(Instant::now() < end, "never");
        burst();
    }
    drop(favoured);
    let end = Instant::now() + REST;
    while is_hasty(&mount) {
        assert!(Instant::now() < end, "still without a request");
        thread::sleep(Duration::from_millis(20));
    }
    let before = cpu(&mount);
    thread::sleep(Duration::from_secs(2));
    let used = cpu(&mount) - before;
    assert!(used < Duration::from_millis(500), "{used:?} in two seconds");
}
