//! Many readers of more versions than the cache holds.

use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::support::{Bench, noise_of};
use std::{fmt::Write, time::Duration};

/// Versions, each with a file of so many bytes, and a ceiling that holds five
/// beside the share of the API's answers.
const VERSIONS: usize = 50;
const BYTES: usize = 400_000;
const CACHE: &str = "2500KB";

/// Processes, and versions that each of them reads one after another.
const PROCESSES: usize = 200;
const READS: usize = 3;

/// What the process of that number reads: others in another order.
fn reads(process: usize) -> [usize; READS] {
    [process, process * 7 + 3, process * 13 + 11].map(|n| n % VERSIONS)
}

#[test]
fn two_hundred_processes_over_fifty_versions_with_room_for_five() {
    let mut world = World::empty();
    let mut sums = Vec::new();
    for number in 0..VERSIONS {
        let id = world.add_storage(Kind::Artifact, &format!("v{number}"));
        let files = vec![
            File::new("noise", noise_of(number as u64 + 1, BYTES)),
            File::new("text", format!("text {number}\n")),
        ];
        let mut lines = String::new();
        for file in &files {
            let sum = file.sha256().map(|byte| format!("{byte:02x}")).concat();
            let path = &file.path;
            writeln!(lines, "{sum}  artifacts/v{number}/latest/{path}").unwrap();
        }
        sums.push(lines);
        world.add_version(&id, VersionSpec::files(files));
    }
    let bench = Bench::new(world);
    for process in 0..PROCESSES {
        let lines: String = reads(process).iter().map(|n| sums[*n].as_str()).collect();
        std::fs::write(bench.dir().join(format!("sums{process}")), lines).unwrap();
    }
    let mount = bench
        .mount()
        .with(["--cache-size", CACHE, "--list-ttl", "10m"])
        .start();
    mount.run("ls artifacts/*/ > /dev/null");
    bench.server.clear_requests();
    // Long enough for many to be under way at a time.
    bench
        .server
        .fault(Fault::store(Action::Delay(Duration::from_millis(50))));
    let script = format!(
        "for i in $(seq 0 {}); do sha256sum --check --quiet {}/sums$i & done; wait",
        PROCESSES - 1,
        bench.dir().display()
    );
    let output = mount.try_run(&script);
    let said = format!("{output:?}");
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&[][..], &[][..]),
        "{said}"
    );
    // Who comes while a version is there shares it: a fifth of one for each read
    // in fact, and never more than one.
    let downloads = bench.downloads().len();
    assert!(downloads >= VERSIONS, "{downloads} downloads");
    assert!(downloads <= PROCESSES * READS, "{downloads} downloads");
}
