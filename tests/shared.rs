//! The cache that the machines of a fleet share: what the second machine asks of the
//! API, and what a store in trouble costs.

mod words;

use crate::{
    commands::{finish, shell, until},
    support::{
        Bench, Mount, Mounting, SOON, Who,
        disk::Disk,
        fake::{Agent, Claude, LogRow, Run, World},
        store::{Fault, FaultyStore, PATIENCE, S3, SECRET},
    },
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Runs that have ended long ago, with events and rows.
fn world(count: i64) -> (World, Vec<String>) {
    let mut world = World::empty();
    world.add_agent(Agent::new("writer", world.ago(90_000)));
    let runs = (0..count).map(|n| {
        let then = world.ago(80_000 + 10 * n);
        let mut run = Run::new("writer", then).prompt(format!("number {n}"));
        run.event(then, Claude::said("the answer that others read"));
        run.log(LogRow::system(then, "sandbox started"));
        world.add_run(run)
    });
    let runs = runs.collect();
    (world, runs)
}

/// A machine of its own: a mount with an empty cache.
fn machine<'a>(bench: &'a Bench, name: &str, url: &str) -> Mounting<'a> {
    let cache = bench.folder(name, Who::Myself);
    let mount = bench.mount().env(PATIENCE, "10000");
    mount.with([
        "--cache-dir",
        cache.to_str().unwrap(),
        "--shared-cache",
        url,
    ])
}

fn with_variables<'a>(mount: Mounting<'a>, variables: [(&str, String); 4]) -> Mounting<'a> {
    let add = |mount: Mounting<'a>, (name, value): &(&str, String)| mount.env(name, value.clone());
    variables.iter().fold(mount, add)
}

/// Reads all of a run.
fn read(mount: &Mount, run: &str) -> String {
    mount.run(&format!(
        "cd runs/{run} && cat run.json logs logs.jsonl transcript.md metrics.json status"
    ))
}

fn status(mount: &Mount) -> Value {
    let status: Value = serde_json::from_str(&mount.cat(".vm0fs/status.json")).unwrap();
    status["shared_cache"].clone()
}

/// Waits until a count of the mount is this.
#[track_caller]
fn wait_for(mount: &Mount, count: &str, number: u64) {
    let start = Instant::now();
    while status(mount)[count] != number {
        assert!(start.elapsed() < SOON, "{}", status(mount));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Calls for anything of a single run since the last time.
fn calls_for_runs(bench: &Bench) -> Vec<String> {
    let calls = bench.api_calls();
    let lines = calls.iter().map(|call| call.line());
    let lines = lines
        .filter(|line| line.starts_with("GET /v1/runs/"))
        .collect();
    bench.server.clear_requests();
    lines
}

/// The second machine reads what the first has, without a call.
fn second_machine_asks_for_nothing(
    bench: &Bench,
    run: &str,
    mount: impl Fn(&'static str) -> Mount,
) {
    let first = mount("first");
    let content = read(&first, run);
    assert!(content.contains("the answer that others read"));
    assert_eq!(calls_for_runs(bench).len(), 3, "details, logs, metrics");
    wait_for(&first, "puts", 3);
    let second = mount("second");
    assert_eq!(read(&second, run), content);
    assert_eq!(calls_for_runs(bench), [""; 0]);
    let (first, second) = (status(&first), status(&second));
    assert_eq!((&first["hits"], &first["misses"]), (&0.into(), &3.into()));
    assert_eq!((&second["hits"], &second["misses"]), (&3.into(), &0.into()));
    assert_eq!(second["puts"], 0);
    // Also without the store, from its own disk.
    let again = mount("second");
    assert_eq!(read(&again, run), content);
    assert_eq!(calls_for_runs(bench), [""; 0]);
    assert_eq!(status(&again)["hits"], 0);
}

#[test]
fn a_second_machine_reads_an_ended_run_from_a_folder_without_a_call() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let folder = bench.folder("shared", Who::Myself);
    let url = format!("file://{}", folder.display());
    second_machine_asks_for_nothing(&bench, &runs[0], |name| machine(&bench, name, &url).start());
}

#[test]
fn a_second_machine_reads_an_ended_run_from_s3_without_a_call() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let s3 = S3::start(bench.dir());
    second_machine_asks_for_nothing(&bench, &runs[0], |name| {
        with_variables(machine(&bench, name, "s3://fleet/a/b"), s3.environment()).start()
    });
    let objects = s3.objects();
    assert_eq!(objects.len(), 3);
    for (path, bytes) in objects {
        let path = path
            .strip_prefix(bench.dir())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            path.starts_with("s3/fleet/a/b/v1/") && !path.contains(&runs[0]),
            "{path}"
        );
        assert!(!String::from_utf8_lossy(&bytes).contains("answer"));
    }
}

#[test]
fn two_writers_at_once_leave_what_all_can_read() {
    let (world, runs) = world(10);
    let bench = Bench::new(world);
    let s3 = S3::start(bench.dir());
    let mount =
        |name| with_variables(machine(&bench, name, "s3://fleet"), s3.environment()).start();
    let writers = [mount("first"), mount("second")];
    let all = || |writer: &Mount| runs.iter().map(|run| read(writer, run)).collect::<String>();
    let contents = thread::scope(|scope| {
        let read = |writer| scope.spawn(move || all()(writer));
        writers
            .each_ref()
            .map(read)
            .map(|content| content.join().unwrap())
    });
    assert_eq!(contents[0], contents[1]);
    for writer in &writers {
        let count = |name: &str| status(writer)[name].as_u64().unwrap();
        let all = || count("puts") + count("already_there") == count("misses");
        until("all that it misses is there", all);
    }
    bench.server.clear_requests();
    let third = mount("third");
    assert_eq!(all()(&third), contents[0]);
    assert_eq!(calls_for_runs(&bench), [""; 0]);
}

#[test]
fn machines_with_another_key_or_token_see_nothing_and_live_runs_stay_away() {
    let (mut world, runs) = world(1);
    let live = world.add_run(Run::new("writer", world.ago(60)).status("running"));
    let bench = Bench::new(world);
    let folder = bench.folder("shared", Who::Myself);
    let url = format!("file://{}", folder.display());
    let first = machine(&bench, "first", &url).start();
    first.run(&format!(
        "cat runs/{live}/logs runs/{live}/status runs/{live}/run.json"
    ));
    read(&first, &runs[0]);
    wait_for(&first, "puts", 3);
    let key = bench.dir().join("key");
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = machine(&bench, "other", &url);
    let other = other
        .with(["--shared-cache-key-file", key.to_str().unwrap()])
        .start();
    bench.server.clear_requests();
    read(&other, &runs[0]);
    assert_eq!(calls_for_runs(&bench).len(), 3);
    assert_eq!(status(&other)["hits"], 0);
    let offline = machine(&bench, "offline", &url).with(["--offline"]).start();
    assert_eq!(status(&offline), Value::Null, "not even a folder is asked");
}

/// Reads many runs through a store with a fault: all is right, and the store is left in
/// peace after the first failure.
#[track_caller]
fn costs_little(variables: [(&str, String); 4], reason: &str, requests: impl Fn() -> usize) {
    let (world, runs) = world(20);
    let bench = Bench::new(world);
    let mount = with_variables(machine(&bench, "first", "s3://fleet"), variables);
    let mount = match reason {
        "no answer within" => mount.env(PATIENCE, "500"),
        _ => mount,
    };
    let mount = mount.start();
    for run in &runs {
        assert!(read(&mount, run).contains("the answer that others read"));
    }
    assert_eq!(calls_for_runs(&bench).len(), 60);
    // Two for the first lookup, two for the first write, and now and then a probe.
    assert!(requests() <= 20, "{}", requests());
    let status = status(&mount);
    let said = [&status["reads_paused"], &status["writes_paused"]];
    assert!(
        said.iter()
            .any(|said| said.as_str().is_some_and(|said| said.contains(reason))),
        "{status}"
    );
    let said = mount.cat(".vm0fs/errors") + &mount.unmount().join("\n");
    assert!(!said.contains(SECRET), "{said}");
    assert!(said.contains("left alone for a while"), "{said}");
}

#[test]
fn a_store_that_fails_costs_a_few_requests_and_no_read() {
    for (fault, reason) in [
        (Fault::Status(403, "AccessDenied"), "AccessDenied"),
        (Fault::Status(503, "SlowDown"), "SlowDown"),
        (Fault::Status(404, "NoSuchBucket"), "NoSuchBucket"),
        (Fault::Silent, "no answer within"),
        (Fault::Cut, "reading failed"),
        (Fault::Stalls, "no answer within"),
    ] {
        let store = FaultyStore::start(fault);
        costs_little(store.environment(), reason, || store.requests());
    }
}

#[test]
fn a_store_that_is_gone_or_refuses_the_secret_costs_no_read() {
    costs_little(
        crate::support::store::environment(1),
        "Connection refused",
        || 0,
    );
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    let mut variables = s3.environment();
    variables[3].1 = "another secret".into();
    costs_little(variables, "SignatureDoesNotMatch", || s3.objects().len());
}

#[test]
fn bytes_of_another_program_are_missing_objects() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let store = FaultyStore::start(Fault::Foreign);
    let mount = machine(&bench, "first", "s3://fleet");
    let mount = with_variables(mount, store.environment()).start();
    assert!(read(&mount, &runs[0]).contains("the answer that others read"));
    assert_eq!(calls_for_runs(&bench).len(), 3);
    let status = status(&mount);
    assert_eq!(
        (&status["damaged"], &status["hits"]),
        (&3.into(), &0.into())
    );
    let log = mount.unmount();
    let lines = log.iter().filter(|line| line.contains("is left aside"));
    assert_eq!(lines.count(), 3, "{log:#?}");
}

#[test]
fn a_store_without_conditional_put_is_written_all_the_same() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let store = FaultyStore::start(Fault::Plain);
    let mount = machine(&bench, "first", "s3://fleet");
    let mount = with_variables(mount, store.environment()).start();
    read(&mount, &runs[0]);
    wait_for(&mount, "puts", 3);
}

#[test]
fn a_store_to_read_only_serves_reads() {
    let (world, runs) = world(3);
    let bench = Bench::new(world);
    let s3 = S3::start(bench.dir());
    let first = with_variables(machine(&bench, "first", "s3://fleet"), s3.environment()).start();
    read(&first, &runs[0]);
    read(&first, &runs[1]);
    wait_for(&first, "puts", 6);
    let store = FaultyStore::start(Fault::ReadOnly(s3.port()));
    let second = machine(&bench, "second", "s3://fleet");
    let second = with_variables(second, store.environment()).start();
    read(&second, &runs[2]);
    wait_for(&second, "not_put", 3);
    bench.server.clear_requests();
    read(&second, &runs[0]);
    read(&second, &runs[1]);
    assert_eq!(calls_for_runs(&bench), [""; 0]);
    wait_for(&second, "hits", 6);
    let status = status(&second);
    assert_eq!(status["reads_paused"], Value::Null, "{status}");
    let why = status["writes_paused"].as_str().unwrap();
    assert!(why.contains("AccessDenied"), "{why}");
}

/// `vm0fs shared-cache` with these arguments, without a token.
fn command(bench: &Bench, arguments: &str) -> Command {
    let mut command = bench.command(Who::Myself);
    command.env_remove("VM0_API_KEY").arg("shared-cache");
    command.env(PATIENCE, "10000");
    command.args(arguments.split(' '));
    command
}

#[test]
fn init_makes_a_key_and_status_and_prune_need_none() {
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    let run = |arguments: &str| {
        let mut command = command(&bench, arguments);
        command
            .envs(s3.environment())
            .env("VM0FS_SHARED_CACHE", "s3://fleet/x");
        finish(&mut command)
    };
    let first = run("init");
    assert_eq!(first.code, Some(0), "{first:?}");
    let home = bench.folder("home-Myself", Who::Myself);
    let key = home.join(".config/vm0fs/shared-cache.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let made = fs::read_to_string(&key).unwrap();
    for text in [
        "made",
        "shared-cache = \"s3://fleet/x\"",
        "AWS_SECRET_ACCESS_KEY",
        "shared-cache.key",
    ] {
        assert!(first.out.contains(text), "{text}: {first:?}");
    }
    assert!(!first.out.contains(SECRET) && !first.out.contains(made.trim()));
    let again = run("init");
    assert!(again.out.contains("found"), "{again:?}");
    assert_eq!(fs::read_to_string(&key).unwrap(), made);
    assert_eq!(s3.objects().len(), 0, "what was tried out is removed");
    let folder = bench.dir().join("s3/fleet/x/v1/a");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("b".repeat(63)), "12345").unwrap();
    fs::write(folder.join("notes"), "a user's").unwrap();
    let status = run("status --json");
    let said: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(
        (&said["objects"], &said["bytes"]),
        (&1.into(), &5.into()),
        "{status:?}"
    );
    let pruned = run("prune --older-than 30d");
    assert!(pruned.out.contains("removed 0 objects"), "{pruned:?}");
    shell(
        Who::Myself,
        &format!("touch -d '40 days ago' {}/*", folder.display()),
    );
    let pruned = run("prune --older-than 30d");
    assert!(pruned.out.contains("removed 1 object, 5 B"), "{pruned:?}");
    assert_eq!(s3.objects().len(), 1, "what vm0fs has not named stays");
}

// Only root can make a disk that is small.
#[test]
#[ignore = "needs root"]
fn init_on_a_full_disk_leaves_no_part_of_a_key() {
    let bench = Bench::new(World::empty());
    let shared = bench.folder("shared", Who::Myself);
    let disk = Disk::new(&bench.folder("disk", Who::Myself), Who::Myself, "64k");
    let (key, filler) = (disk.0.join("key"), disk.0.join("filler"));
    let arguments = format!(
        "init --shared-cache file://{} --shared-cache-key-file {}",
        shared.display(),
        key.display()
    );
    fs::write(&filler, [0; 1 << 20]).unwrap_err();
    finish(&mut command(&bench, &arguments)).failed(&["No space left"]);
    assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 1, "only the filler");
    fs::remove_file(&filler).unwrap();
    let made = finish(&mut command(&bench, &arguments));
    assert!(made.out.contains("made"), "{made:?}");
    assert!(
        finish(&mut command(&bench, &arguments))
            .out
            .contains("found")
    );
    assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 1, "only the key");
}

#[test]
fn a_profile_of_aws_says_how_to_reach_a_store() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let s3 = S3::start(bench.dir());
    let environment = s3.environment();
    let aws = bench.folder("home-Myself", Who::Myself).join(".aws");
    fs::create_dir(&aws).unwrap();
    let [(_, endpoint), (_, region), (_, id), (_, secret)] = environment;
    let keys = format!("[fleet]\naws_access_key_id={id}\naws_secret_access_key = {secret}\n");
    fs::write(aws.join("credentials"), keys).unwrap();
    let config = format!("[profile fleet]\nregion = {region}\nendpoint_url = {endpoint}\n");
    fs::write(aws.join("config"), config).unwrap();
    let run = |profile: &str| {
        let mut command = command(&bench, "init --shared-cache s3://fleet/x");
        finish(command.env("AWS_PROFILE", profile))
    };
    let said = run("fleet");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET));
    run("other").failed(&["no profile \"other\" in", ".aws/credentials"]);
    let cache = bench.folder("cache", Who::Myself);
    let mount = bench.mount().with(["--cache-dir", cache.to_str().unwrap()]);
    let mount = mount.with(["--shared-cache", "s3://fleet/x"]);
    let mount = mount.env("AWS_PROFILE", "fleet").start();
    read(&mount, &runs[0]);
    wait_for(&mount, "puts", 3);
}

#[test]
fn what_cannot_be_used_is_said_at_once_and_without_secrets() {
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    let file = |name: &str, text: &str| {
        let path: &Path = &bench.dir().join(name);
        fs::write(path, text).unwrap();
        path.display().to_string()
    };
    let bad_key = format!(
        "init --shared-cache s3://fleet --shared-cache-key-file {}",
        file("k", "hidden")
    );
    let no_key = "init --shared-cache s3://fleet --shared-cache-key-file /proc/none/key";
    let cases: [(&str, Option<&str>, &str); 7] = [
        ("status", None, "--shared-cache URL"),
        ("status --shared-cache http://x", None, "s3://bucket/prefix"),
        (
            "status --shared-cache file:///no/such/folder",
            None,
            "No such file",
        ),
        (
            "init --shared-cache s3://fleet",
            Some("AWS_ACCESS_KEY_ID"),
            "no credentials",
        ),
        (
            "init --shared-cache s3://fleet",
            Some("AWS_SECRET_ACCESS_KEY"),
            "SignatureDoesNotMatch",
        ),
        (&bad_key, None, "32 bytes in base64"),
        (no_key, None, "write with --shared-cache-key-file"),
    ];
    for (arguments, changed, expected) in cases {
        let mut command = command(&bench, arguments);
        command.envs(s3.environment());
        match changed {
            Some("AWS_ACCESS_KEY_ID") => {
                command
                    .env_remove("AWS_ACCESS_KEY_ID")
                    .env_remove("AWS_SECRET_ACCESS_KEY");
            }
            Some(name) => {
                command.env(name, "hidden");
            }
            None => {}
        }
        let said = finish(&mut command);
        assert_eq!(said.code, Some(1), "{arguments}: {said:?}");
        assert!(said.err.contains(expected), "{arguments}: {said:?}");
        let all = said.out + &said.err;
        assert!(!all.contains("hidden") && !all.contains(SECRET), "{all}");
    }
    let mut command = command(&bench, "init --shared-cache s3://fleet");
    command
        .envs(s3.environment())
        .env("AWS_ENDPOINT_URL", "http://s3.example");
    let said = finish(&mut command);
    assert!(said.err.contains("--allow-http"), "{said:?}");
}
