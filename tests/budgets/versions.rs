//! Downloads, and where the token goes.

use super::{calls, downloads};
use crate::support::fake::{Agent, File, Kind, Port, Run, VersionSpec, World};
use crate::support::{Bench, Who};

/// An artifact `a` of two versions; gives their ids.
fn world() -> (World, [String; 2]) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let versions = [1, 2].map(|version| {
        let files = (0..50).map(|n| {
            let path = format!("d{}/f{n}", n % 5);
            File::new(path, format!("content {n} of {version}\n"))
        });
        let spec = VersionSpec::files(files.collect()).created_at(world.ago(100 - version));
        world.add_version(&id, spec)
    });
    (world, versions)
}

#[test]
fn forty_readers_of_a_cold_version_share_a_download() {
    for who in Who::all() {
        let (world, [version, _]) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        mount.list("artifacts/a");
        bench.server.clear_requests();
        let read = mount.run(&format!(
            "cd artifacts/a/{version}; for i in $(seq 40); do cat d$((i % 5))/f$i & done; wait"
        ));
        assert_eq!(read.lines().count(), 40);
        assert_eq!(downloads(&bench), 1);
        let made = calls(&bench);
        assert_eq!(made.len(), 1, "one link: {made:?}");
        assert!(made[0].ends_with("/download"), "{made:?}");
    }
}

#[test]
fn reading_a_version_again_asks_for_nothing() {
    let (world, [version, _]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let path = format!("artifacts/a/{version}");
    let walk = format!(
        "find {path} -printf '%p %s %m %T@\\n' | sort | sha256sum; grep -rl content {path} | wc -l"
    );
    let first = mount.run(&walk);
    assert!(first.ends_with("\n50\n"), "{first}");
    assert_eq!(downloads(&bench), 1);
    bench.server.clear_requests();
    assert_eq!(mount.run(&walk), first);
    mount.run(&format!(
        "ls -lR {path}; du -s {path}; cat {path}/d0/f0; getfattr -Rd {path}"
    ));
    assert!(
        bench.server.requests().is_empty(),
        "{:#?}",
        bench.server.requests()
    );
    // Nor does another mount with the same cache, but for the way to it.
    mount.unmount();
    bench.server.clear_requests();
    let again = bench.mount().start();
    assert_eq!(again.run(&walk), first);
    assert_eq!(downloads(&bench), 0);
    let made = calls(&bench);
    assert!(
        made.iter().all(|line| !line.ends_with("/download")),
        "{made:#?}"
    );
}

#[test]
fn looking_at_versions_downloads_nothing() {
    let (world, [version, _]) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.run("ls artifacts/a");
    bench.server.clear_requests();
    mount.run("ls -l artifacts/a; ls -la artifacts/a; cat artifacts/a/.versions.json");
    mount.run(&format!(
        "stat artifacts/a/{version} artifacts/a/latest; ls -d artifacts/a/*"
    ));
    mount.run(&format!(
        "getfattr -d artifacts/a/{version} artifacts/a artifacts; ls -ld artifacts/a/latest/"
    ));
    mount.run(&format!(
        "readlink artifacts/a/{}; find artifacts -maxdepth 2",
        &version[..8]
    ));
    mount.run("df . artifacts/a; stat -f .");
    bench.expect_calls(0, "the list of versions holds all of that");
    assert_eq!(downloads(&bench), 0);
}

#[test]
fn an_evicted_version_is_walked_without_a_request() {
    let mut world = World::empty();
    let ids = ["a", "b"].map(|name| {
        let id = world.add_storage(Kind::Artifact, name);
        let files = vec![
            File::new("big", vec![name.as_bytes()[0]; 1_500_000]),
            File::new("d/small", name),
        ];
        world.add_version(&id, VersionSpec::files(files))
    });
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--cache-size", "2MiB"]).start();
    let paths = [
        format!("artifacts/a/{}", ids[0]),
        format!("artifacts/b/{}", ids[1]),
    ];
    for path in &paths {
        mount.run(&format!("cat {path}/big | wc -c"));
    }
    assert_eq!(downloads(&bench), 2);
    bench.server.clear_requests();
    let walked = mount.run(&format!(
        "find {0} -printf '%P %s\\n' | sort; ls -lR {0}; du -s {0}",
        paths[0]
    ));
    assert!(
        walked.contains("big 1500000\n") && walked.contains("d/small 1\n"),
        "{walked}"
    );
    let cached = mount.run(&format!(
        "getfattr --only-values -n user.vm0.cached {}",
        paths[0]
    ));
    assert_eq!(cached, "tree");
    assert!(
        bench.server.requests().is_empty(),
        "{:#?}",
        bench.server.requests()
    );
    // A read fetches again.
    assert_eq!(mount.cat(&format!("{}/d/small", paths[0])), "a");
    assert_eq!(downloads(&bench), 1);
}

#[test]
fn the_token_goes_to_the_api_only() {
    for who in Who::all() {
        let (mut world, [version, _]) = world();
        world.add_agent(Agent::new("writer", world.ago(50)));
        world.add_run(Run::new("writer", world.ago(40)).artifact("a", version));
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        mount.run(
            "find -L . -maxdepth 5 -type f -exec cat {} + > /dev/null; getfattr -Rd . > /dev/null",
        );
        let requests = bench.server.requests();
        let agent = format!("vm0fs/{}", env!("CARGO_PKG_VERSION"));
        assert!(downloads(&bench) >= 2);
        for request in &requests {
            assert_eq!(
                request.authorization,
                request.port == Port::Api,
                "{request:?}"
            );
            assert_eq!(
                request.user_agent.as_deref(),
                Some(agent.as_str()),
                "{request:?}"
            );
            assert!(!request.query.contains(bench.server.token()), "{request:?}");
        }
        let pid = mount.pid();
        let told = mount.run(&format!("cat .vm0fs/*; tr '\\0' ' ' < /proc/{pid}/cmdline"));
        let log = mount.unmount().join("\n");
        for text in [&told, &log] {
            assert!(!text.contains(bench.server.token()), "{text}");
            assert!(
                !text.contains("signature=") && !text.contains("X-Amz"),
                "{text}"
            );
        }
    }
}
