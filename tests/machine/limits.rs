//! Descriptors and threads that run out.

use super::{comes_to, count, limit, mounted, text, world};
use crate::support::{Bench, Who, is_root, reason};

/// The limits as `/proc/<pid>/limits` calls them.
const FILES: &str = "Max open files";
const THREADS: &str = "Max processes";

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

#[test]
fn threads_run_out_and_come_back() {
    if !is_root() {
        eprintln!(
            "skipped: the limit is one of all processes of a user, so another user is needed"
        );
        return;
    }
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
