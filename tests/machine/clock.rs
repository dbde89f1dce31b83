//! The clock of the machine that jumps, by years, forwards and backwards.

use super::{comes_to, text, world};
use crate::support::fake::{Action, Fault, File, Kind, LogRow, VersionSpec};
use crate::support::{Bench, Who, reason};
use std::{fs, path::PathBuf, process::Command};

/// In the place of the C library's function: the time of day and so many seconds
/// as a file says.
const SHIM: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        char text[32] = {0};
        int file = open(getenv("CLOCK_AHEAD"), O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
            close(file);
        }
    }
    return (int)result;
}
"#;

const YEAR: i64 = 365 * 24 * 3600;

/// The library, and the file that says how far ahead the clock is.
fn shim(bench: &Bench) -> (PathBuf, PathBuf) {
    let (source, library) = (bench.dir().join("shim.c"), bench.dir().join("shim.so"));
    fs::write(&source, SHIM).unwrap();
    // What Rust itself links with.
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    assert!(compiler.status().unwrap().success());
    (library, bench.dir().join("ahead"))
}

#[test]
fn the_clock_of_the_machine_may_jump() {
    let (mut world, runs) = world(4);
    let live = vm0fs::demo::Run::new("writer", world.ago(60)).status("running");
    let live = world.add_run(live);
    let bench = Bench::new(world);
    let (library, ahead) = shim(&bench);
    let cache = bench.folder("cache", Who::Myself);
    let set = |seconds: i64| {
        // Whole or not at all, for a process that reads it meanwhile.
        let new = bench.dir().join("new");
        fs::write(&new, seconds.to_string()).unwrap();
        fs::rename(new, &ahead).unwrap();
    };
    let mounted = || {
        bench
            .mount()
            .with([
                "--list-ttl",
                "300ms",
                "--cache-dir",
                cache.to_str().unwrap(),
            ])
            .env("LD_PRELOAD", &library)
            .env("CLOCK_AHEAD", &ahead)
            .start()
    };
    set(0);
    let mount = mounted();
    for (number, jump) in [10 * YEAR, -10 * YEAR, -50 * YEAR, 0]
        .into_iter()
        .enumerate()
    {
        let new = format!("new-{number}");
        mount.run(&format!("ls artifacts; cat runs/{live}/logs"));
        set(jump);
        // What was known, what was not, and what is new.
        mount.run(&format!(
            "cat runs/{}/status runs/{}/logs",
            runs[0],
            runs[number + 1]
        ));
        assert_eq!(
            mount.cat(&format!("artifacts/a{number}/latest/f")),
            text(number)
        );
        assert_eq!(mount.cat("artifacts/a0/latest/f"), text(0));
        let mut world = bench.server.world();
        let id = world.add_storage(Kind::Artifact, &new);
        world.add_version(&id, VersionSpec::files(vec![File::new("f", "new\n")]));
        let now = world.ago(-1 - number as i64);
        world.add_log(&live, LogRow::system(now, new.clone()));
        drop(world);
        comes_to(&mount, &format!("cat artifacts/{new}/latest/f"), "new\n");
        comes_to(
            &mount,
            &format!("cat runs/{live}/logs | grep -c {new}"),
            "1\n",
        );
        assert_eq!(mount.cat(".vm0fs/errors"), "", "{jump}");
    }
    // It has seen the jumps.
    set(10 * YEAR);
    bench
        .server
        .fault(Fault::api("/v1/volumes", Action::internal_error()));
    mount.fails("ls volumes", reason::IO);
    let year = mount.run("date -u +%Y");
    let errors = mount.cat(".vm0fs/errors");
    assert!(!errors.starts_with(year.trim()), "{errors}");
    bench.server.clear_faults();
    let log = mount.unmount().join("\n");
    assert!(!log.contains("panicked"), "{log}");
    // Nor does the cache mind when it was made.
    set(-20 * YEAR);
    bench.server.clear_requests();
    let mount = mounted();
    for number in 0..4 {
        assert_eq!(
            mount.cat(&format!("artifacts/a{number}/latest/f")),
            text(number)
        );
    }
    assert_eq!(bench.downloads().len(), 0);
}
