//! Without a network: what was known is shown, at once, and the rest is an
//! honest error; over restarts too.

use crate::support::fake::{Agent, File, Kind, Run, Server, VersionSpec, World};
use crate::support::{Bench, SOON, Who, reason};
use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

/// An agent, an ended run with a log, and two artifacts.
fn world() -> (World, String) {
    let mut world = World::empty();
    world.token = Some(format!("vm0_test_{}", "ab".repeat(32)));
    world.add_agent(Agent::new("writer", world.ago(9_000)));
    let mut run = Run::new("writer", world.ago(9_000)).status("completed");
    run.event(world.ago(8_990), vm0fs::demo::Claude::said("all done"));
    let run = world.add_run(run);
    for name in ["cached", "other"] {
        let storage = world.add_storage(Kind::Artifact, name);
        let files = vec![File::new("f", format!("content of {name}\n"))];
        world.add_version(&storage, VersionSpec::files(files));
    }
    (world, run)
}

/// Everything a mount can show of what [`look`] has looked at.
fn shows_what_is_known(mount: &crate::support::Mount, run: &str) {
    assert_eq!(mount.list("agents"), ["writer"]);
    assert_eq!(mount.list("artifacts"), ["cached", "other"]);
    assert_eq!(
        mount.cat("artifacts/cached/latest/f"),
        "content of cached\n"
    );
    assert!(mount.run("cat agents/writer/agent.json").contains("writer"));
    assert!(mount.cat(&format!("runs/{run}/logs")).contains("all done"));
    assert_eq!(mount.cat(&format!("runs/{run}/status")), "completed\n");
    mount.run(&format!("cat runs/{run}/run.json runs/{run}/metrics.json"));
}

/// Looks at all of it but the artifact `other`, while the service is there.
fn look(mount: &crate::support::Mount, run: &str) {
    mount.run("ls agents runs artifacts volumes artifacts/cached artifacts/other agents/writer");
    shows_what_is_known(mount, run);
}

#[test]
fn an_offline_mount_shows_what_an_earlier_one_has_seen() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        look(&mount, &run);
        mount.unmount();
        bench.server.clear_requests();
        let mount = bench.mount_as(who).with(["--offline"]).start();
        shows_what_is_known(&mount, &run);
        mount.fails("cat artifacts/other/latest/f", reason::UNREACHABLE);
        mount.fails("cat artifacts/other/latest/f", reason::UNREACHABLE);
        bench.expect_calls(0, "offline");
        assert_eq!(bench.downloads().len(), 0);
        let errors = mount.cat(".vm0fs/errors");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains("--offline"), "{errors}");
    }
}

/// What is on disk is proven by a fetch, which needs no network.
#[test]
fn an_offline_mount_proves_what_was_sealed_without_a_proof() {
    let mut world = World::empty();
    for (name, id) in [
        ("right", None),
        ("wrong", Some("0123456789abcdef".repeat(4))),
    ] {
        let storage = world.add_storage(Kind::Artifact, name);
        let spec = VersionSpec::files(vec![File::new("f", "content\n")]);
        world.add_version(&storage, id.iter().fold(spec, |spec, id| spec.id(id)));
    }
    let bench = Bench::new(world);
    let look = |mount: &crate::support::Mount, name: &str| {
        assert_eq!(
            mount.cat(&format!("artifacts/{name}/latest/f")),
            "content\n"
        );
    };
    let mount = bench.mount().with(["--verify=off"]).start();
    mount.run("ls artifacts");
    for name in ["right", "wrong"] {
        look(&mount, name);
    }
    mount.unmount();
    bench.server.clear_requests();
    let mount = bench.mount().with(["--verify=strict", "--offline"]).start();
    look(&mount, "right");
    mount.fails("cat artifacts/wrong/latest/f", reason::UNREACHABLE);
    bench.expect_calls(0, "offline");
    assert_eq!(bench.downloads().len(), 0);
}

#[test]
fn ended_runs_are_never_asked_for_again() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    look(&mount, &run);
    mount.unmount();
    let mount = bench.mount().start();
    bench.server.clear_requests();
    let logs = mount.cat(&format!("runs/{run}/logs"));
    assert!(logs.contains("all done"), "{logs}");
    mount.run(&format!(
        "cat runs/{run}/run.json runs/{run}/metrics.json runs/{run}/logs.jsonl"
    ));
    mount.run(&format!("ls -l runs/{run}/"));
    bench.expect_calls(0, "an ended run after a restart");
}

#[test]
fn another_account_sees_no_kept_answers() {
    let (first, run) = world();
    let bench = Bench::new(first);
    let mount = bench.mount().start();
    look(&mount, &run);
    mount.unmount();
    let mut command = bench.command(Who::Myself);
    let path = bench.folder("other-account", Who::Myself);
    command
        .env("VM0_API_KEY", "vm0_test_other")
        .args(["mount", "--offline"])
        .arg(&path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = std::fs::read_dir(path.join("agents"))
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    vm0fs::unmount::unmount(&path, true, |_| ()).unwrap();
    assert!(listed.is_err(), "{listed:?}");
}

#[test]
fn an_outage_is_noticed_once_and_so_is_its_end() {
    let (world, run) = world();
    let mut bench = Bench::at_own_address(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    look(&mount, &run);
    let address = bench.end_server();
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        shows_what_is_known(&mount, &run);
        mount.fails("cat artifacts/other/latest/f", reason::UNREACHABLE);
        took.push(began.elapsed());
    }
    // Eight operations that waited for a connection would take a second each. Some may
    // have met a busy moment of the machine, or a probe.
    took.sort_unstable();
    assert!(took[10] < Duration::from_secs(4), "none waits: {took:?}");
    let errors = mount.cat(".vm0fs/errors");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let (world, _) = self::world();
    bench.server = Server::start_on(world, address).unwrap();
    let end = Instant::now() + SOON;
    while !mount
        .try_run("cat artifacts/other/latest/f")
        .status
        .success()
    {
        assert!(Instant::now() < end, "{}", mount.cat(".vm0fs/errors"));
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(mount.cat("artifacts/other/latest/f"), "content of other\n");
}

#[test]
fn a_process_that_only_reads_sees_the_end_of_an_outage() {
    let live = || {
        let (mut world, _) = world();
        let mut run = Run::new("writer", world.ago(60)).status("running");
        run.event(world.ago(50), vm0fs::demo::Claude::said("before"));
        let run = world.add_run(run);
        (world, run)
    };
    let (world, run) = live();
    let mut bench = Bench::at_own_address(world);
    let mount = bench.mount().start();
    let mut log = std::fs::File::open(mount.path().join(format!("runs/{run}/logs"))).unwrap();
    // As a log shipper does. (`read_to_string` would ask for the size, which is another
    // operation.)
    let mut more = || {
        let mut buffer = [0; 4096];
        let read = log.read(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    assert!(more().contains("before"));
    let address = bench.end_server();
    // Until no request is tried any more but probes.
    let is_out = || !mount.cat(".vm0fs/status.json").contains("\"outage\": null");
    let end = Instant::now() + SOON;
    while !is_out() {
        assert!(Instant::now() < end, "the outage is not noticed");
        assert_eq!(more(), "");
        thread::sleep(Duration::from_millis(200));
    }
    for _ in 0..24 {
        thread::sleep(Duration::from_millis(500));
        assert_eq!(more(), "");
    }
    let (mut world, same) = live();
    assert_eq!(run, same);
    let now = world.ago(0);
    world
        .run_mut(&run)
        .unwrap()
        .event(now, vm0fs::demo::Claude::said("after"));
    bench.server = Server::start_on(world, address).unwrap();
    // The longest pause between two probes is half a minute.
    let end = Instant::now() + SOON + Duration::from_secs(30);
    let mut seen = String::new();
    while !seen.contains("after") {
        assert!(Instant::now() < end, "{:?}", bench.server.requests());
        thread::sleep(Duration::from_millis(200));
        seen += &more();
    }
}
