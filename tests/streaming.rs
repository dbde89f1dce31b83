//! Reading a version while its archive arrives, and the proof of its content.

use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::support::{Bench, Running, Who, noise, reason, store::PATIENCE};
use std::time::Instant;

/// Bytes of the padding between the first file and the last.
const PADDING: usize = 400_000;

fn spec() -> VersionSpec {
    VersionSpec::files(vec![
        File::new("dir/first", "first\n"),
        File::new("padding", noise(PADDING)),
        File::new("dir/last", "last\n"),
    ])
}

/// A world with one artifact `a`, and its version's id.
fn world(spec: VersionSpec) -> (World, String) {
    let mut world = World::empty();
    let storage = world.add_storage(Kind::Artifact, "a");
    let version = world.add_version(&storage, spec);
    (world, version)
}

#[test]
fn files_that_have_arrived_can_be_read_while_the_rest_hangs() {
    for who in Who::all() {
        let (world, version) = world(spec());
        let bench = Bench::new(world);
        let stall = Action::StallBody { after: 200_000 };
        bench.server.fault(Fault::object(&version, stall));
        let mount = bench.mount_as(who).with(["--timeout", "60s"]).start();
        assert_eq!(mount.cat("artifacts/a/latest/dir/first"), "first\n");
        assert_eq!(
            mount.run("stat -c %s artifacts/a/latest/dir/first").trim(),
            "6"
        );
        // The size of what is still arriving is known, and so is its beginning.
        let size = mount.run("stat -c %s artifacts/a/latest/padding");
        assert_eq!(size.trim(), PADDING.to_string());
        let begin = mount.run("head -c 100000 artifacts/a/latest/padding | cksum");
        // That nothing more is there, or that a name is not, is not known yet.
        let mut waiting = [
            mount.start("ls artifacts/a/latest/dir"),
            mount.start("cat artifacts/a/latest/dir/last"),
            mount.start("stat artifacts/a/latest/none"),
            mount.start("getfattr -n user.vm0.sha256 artifacts/a/latest/dir/first"),
        ];
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(waiting.iter_mut().all(Running::is_running), "{who:?}");
        bench.server.clear_faults();
        // A copy with all attributes waits for none.
        assert_eq!(mount.run("getfattr artifacts/a/latest/dir/first"), "");
        // Killed processes leave with the mount that they wait for.
        drop(mount);
        drop(waiting);
        let mount = bench.mount_as(who).start();
        assert_eq!(mount.list("artifacts/a/latest/dir"), ["first", "last"]);
        assert_eq!(
            mount.run("head -c 100000 artifacts/a/latest/padding | cksum"),
            begin
        );
        mount.fails("cat artifacts/a/latest/none", reason::MISSING);
    }
}

#[test]
fn a_slow_archive_is_read_as_it_comes() {
    let (world, version) = world(spec());
    let bench = Bench::new(world);
    // Four seconds for all of it.
    let rate = Action::Rate {
        bytes_per_second: 100_000,
    };
    bench.server.fault(Fault::object(&version, rate));
    let mount = bench.mount().start();
    let all = mount.start("cat artifacts/a/latest/padding | wc -c");
    let began = Instant::now();
    assert_eq!(mount.cat("artifacts/a/latest/dir/first"), "first\n");
    let first = began.elapsed();
    // Asked for by name, it is waited for.
    let hash = mount.run("getfattr --only-values -n user.vm0.sha256 artifacts/a/latest/dir/first");
    let all = all.output();
    assert_eq!(
        String::from_utf8(all.stdout).unwrap().trim(),
        PADDING.to_string()
    );
    assert!(
        first < began.elapsed(),
        "the first file came before the end"
    );
    let expected = mount.run("sha256sum < artifacts/a/latest/dir/first");
    assert_eq!(hash, expected[..64]);
    assert_eq!(bench.downloads().len(), 1, "one download for all");
}

#[test]
fn a_bad_end_is_an_error_for_all_that_comes_after() {
    let (source, _) = world(spec());
    let storage = source.storage(Kind::Artifact, "a").unwrap();
    let mut archive = storage.current().unwrap().archive_bytes();
    let length = archive.len();
    // The checksum at the very end.
    archive[length - 8..].fill(0xff);
    let (world, version) = world(VersionSpec::archive(archive));
    let bench = Bench::new(world);
    let rate = Action::Rate {
        bytes_per_second: 400_000,
    };
    bench.server.fault(Fault::object(&version, rate));
    let mount = bench.mount().start();
    assert_eq!(mount.cat("artifacts/a/latest/dir/first"), "first\n");
    mount.fails("ls artifacts/a/latest/dir", reason::IO);
    mount.fails("cat artifacts/a/latest/dir/first", reason::IO);
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("unusable"), "{errors}");
    let log = mount.unmount().join("\n");
    assert!(
        log.contains("before their archive turned out unusable"),
        "{log}"
    );
}

#[test]
fn a_large_archive_comes_in_several_ranges_at_a_time() {
    let (world, version) = world(VersionSpec::files(vec![
        File::new("first", "first\n"),
        File::new("large", noise(30 << 20)),
    ]));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("cat artifacts/a/latest/large > /dev/null; ls artifacts/a/latest/");
    let ranges: Vec<_> = bench
        .downloads()
        .iter()
        .filter_map(|call| call.range.clone())
        .collect();
    assert!(ranges.len() > 3, "{ranges:?}");
    let sent: u64 = bench.downloads().iter().map(|call| call.bytes_sent).sum();
    let archive = {
        let world = bench.server.world();
        let storage = world.storage(Kind::Artifact, "a").unwrap();
        assert_eq!(storage.current().unwrap().id, version);
        storage.current().unwrap().archive_bytes().len()
    };
    assert_eq!(sent, archive as u64, "no byte twice");
    assert_eq!(bench.links(), 1);
}

#[test]
fn strict_refuses_also_what_another_mount_or_machine_has_unpacked() {
    let wrong = "0123456789abcdef".repeat(4);
    for option in ["warn", "off"] {
        let (world, _) = world(spec().id(&wrong));
        let bench = Bench::new(world);
        let shared = bench.folder("shared", Who::Myself);
        let url = format!("file://{}", shared.display());
        let mount = |cache: &str, verify: &str| {
            let cache = bench.folder(cache, Who::Myself);
            let arguments = ["--shared-cache", &url, "--verify", verify, "--cache-dir"];
            let mount = bench.mount().env(PATIENCE, "10000").with(arguments);
            mount.with([cache.to_str().unwrap()]).start()
        };
        let first = mount("first", option);
        assert_eq!(first.cat("artifacts/a/latest/dir/last"), "last\n");
        // It writes what is left when it ends.
        first.unmount();
        for cache in ["first", "second"] {
            let mount = mount(cache, "strict");
            mount.fails("ls artifacts/a/latest/dir", reason::IO);
            let errors = mount.cat(".vm0fs/errors");
            assert!(
                errors.contains("--verify=warn"),
                "{option} {cache}: {errors}"
            );
        }
        assert_eq!(
            mount("first", "warn").cat("artifacts/a/latest/dir/last"),
            "last\n"
        );
    }
}

#[test]
fn content_that_differs_from_its_version_id_is_marked_or_refused() {
    let wrong = "0123456789abcdef".repeat(4);
    for (option, verified) in [("warn", Some("no")), ("off", Some("n/a")), ("strict", None)] {
        let (world, _) = world(spec().id(&wrong));
        let bench = Bench::new(world);
        let mount = bench.mount().with(["--verify", option]).start();
        match verified {
            Some(word) => {
                assert_eq!(mount.list("artifacts/a/latest/dir"), ["first", "last"]);
                let shown =
                    mount.run("getfattr --only-values -n user.vm0.verified artifacts/a/latest/");
                assert_eq!(shown, word, "{option}");
            }
            None => {
                mount.fails("ls artifacts/a/latest/dir", reason::IO);
                let errors = mount.cat(".vm0fs/errors");
                assert!(errors.contains("--verify=warn"), "{errors}");
            }
        }
    }
}
