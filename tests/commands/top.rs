//! `vm0fs top`, and the file of a mount that it reads.

use super::{Place, finish, until};
use crate::{
    living,
    support::{
        Bench, Mount, Running, Who,
        fake::{Action, Fault},
        noise, reason,
        watched::Watched,
    },
};
use serde_json::Value;
use std::process::{Command, Stdio};
use vm0fs::demo::{File, Kind, VersionSpec, World};

/// Bytes of the file: more than a mount puts into the page cache unasked.
const SIZE: usize = 300_000;

/// A world with a run that goes on, and an artifact `a` with a file `big`; gives the
/// run's id.
fn world() -> (World, String) {
    let (mut world, run) = living::world();
    let storage = world.add_storage(Kind::Artifact, "a");
    let files = vec![
        File::new("sub/big", noise(SIZE)),
        File::new("small", "12345"),
    ];
    world.add_version(&storage, VersionSpec::files(files));
    (world, run)
}

/// `vm0fs top` of a mount.
fn top(bench: &Bench, mount: &Mount, arguments: &[&str]) -> Command {
    let mut command = bench.command(mount.who());
    command.arg("top").arg(mount.path()).args(arguments);
    command
}

#[track_caller]
fn activity(bench: &Bench, mount: &Mount) -> Value {
    let out = finish(&mut top(bench, mount, &["--once", "--json"])).succeeded();
    serde_json::from_str(&out).unwrap()
}

/// What is told of a process, once it is.
#[track_caller]
fn reader(
    bench: &Bench,
    mount: &Mount,
    process: &Running,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    let mut found = Value::Null;
    until("it is shown", || {
        let activity = activity(bench, mount);
        let readers = activity["readers"].as_array().unwrap();
        let own = readers.iter().find(|reader| reader["pid"] == process.pid());
        found = own.cloned().unwrap_or_default();
        is_it(&found)
    });
    found
}

#[test]
fn top_tells_who_reads_what() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let tail = mount.start("exec tail -c +1 -f artifacts/a/latest/sub/big > /dev/null");
        let all = |reader: &Value| reader["bytes"].as_u64() >= Some(SIZE as u64);
        let told = reader(&bench, &mount, &tail, all);
        assert_eq!(told["process"], "tail", "{told}");
        assert_eq!(
            (&told["waiting"], &told["has_ended"]),
            (&0.into(), &false.into())
        );
        let path = told["path"].as_str().unwrap();
        assert!(
            path.starts_with("artifacts/a/") && path.ends_with("/sub/big"),
            "{path}"
        );
        let follower = mount.start(&format!("exec tail -n +1 -f runs/{run}/logs"));
        let told = reader(&bench, &mount, &follower, |reader| !reader.is_null());
        assert_eq!(told["path"], format!("runs/{run}/logs"));
        until("the run is followed", || {
            activity(&bench, &mount)["followed"][0]["run"] == run.as_str()
        });
        let activity = activity(&bench, &mount);
        assert_eq!(activity["followed"][0]["agent"], "writer");
        assert_eq!(activity["downloaded"]["done"], 1);
        let [made, waited] = ["made", "waited"].map(|name| activity["requests"][name].as_u64());
        assert!(made > waited && waited > Some(0), "{activity}");
        let text = finish(&mut top(&bench, &mount, &["--once"])).succeeded();
        for word in ["tail", "/sub/big", "FOLLOWED RUNS 1", "page cache"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn top_tells_what_waits_and_what_is_downloaded() {
    for who in Who::all() {
        let mut world = World::empty();
        let storage = world.add_storage(Kind::Artifact, "a");
        let files = vec![File::new("sub/big", noise(4 << 20))];
        world.add_version(&storage, VersionSpec::files(files));
        let bench = Bench::new(world);
        // The file's name comes, and a part of its content.
        bench
            .server
            .fault(Fault::store(Action::StallBody { after: 2 << 20 }));
        let mount = bench.mount_as(who).start();
        let cat = mount.start("exec cat artifacts/a/latest/sub/big > /dev/null");
        let told = |text: &str| {
            let words = ["DOWNLOADS 1", "artifacts/a/", "/sub/big", "waits", "cat"];
            words.iter().all(|word| text.contains(word))
        };
        until("it waits for the download", || {
            told(&finish(&mut top(&bench, &mount, &["--once"])).succeeded())
        });
        // The processes that wait for a command are called by the program's name.
        let mut prefetch = bench.command(who);
        prefetch.arg("prefetch").arg(mount.join("artifacts/a"));
        prefetch.stdout(Stdio::null()).stderr(Stdio::null());
        let mut prefetch = prefetch.spawn().unwrap();
        until("the prefetch is shown", || {
            let activity = activity(&bench, &mount);
            let readers = activity["readers"].as_array().unwrap();
            assert!(readers.iter().all(|reader| reader["process"] != "exe"));
            readers.iter().any(|reader| reader["process"] == "vm0fs")
        });
        let activity = activity(&bench, &mount);
        let readers = activity["readers"].as_array().unwrap();
        let reader = readers.iter().find(|reader| reader["pid"] == cat.pid());
        assert_eq!(reader.unwrap()["waiting"], 1, "{activity}");
        bench.server.clear_faults();
        prefetch.kill().unwrap();
        prefetch.wait().unwrap();
    }
}

#[test]
fn a_small_file_counts_for_the_process_that_opens_it() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    // Not read, so that the kernel has nothing of it.
    let root = mount.join("artifacts/a/latest");
    finish(bench.command(mount.who()).arg("prefetch").arg(root)).succeeded();
    let shell = mount.start("exec 3< artifacts/a/latest/small; read x <&3; exec sleep 300");
    let told = reader(&bench, &mount, &shell, |reader| reader["opens"] == 1);
    // It is put into the page cache of the kernel when it is opened, and is read again only
    // where the kernel has dropped it since.
    let [bytes, reads] = ["bytes", "reads"].map(|name| told[name].as_u64().unwrap());
    assert_eq!(bytes, 5 + 5 * reads, "{told}");
}

#[test]
#[ignore = "needs root"]
fn only_the_user_who_mounted_may_look() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--allow-other"]).start();
    let file = mount.join(".vm0fs/activity.json");
    let shown = super::shell(Who::Ordinary, &format!("ls -l {}", file.display()));
    assert!(shown.starts_with("-r--------"), "{shown}");
    let cat = finish(&mut super::script(
        Who::Ordinary,
        &format!("cat {}", file.display()),
    ));
    cat.failed(&[reason::DENIED]);
    let mut command = bench.command(Who::Ordinary);
    finish(command.arg("top").arg(mount.path()).arg("--once"))
        .failed(&["only the user who mounted"]);
    // Root may, also where no other user may enter.
    let closed = bench.mount_as(Who::Ordinary).start();
    let mut command = bench.command(Who::Myself);
    let text = finish(command.arg("top").arg(closed.path()).arg("--once")).succeeded();
    assert!(text.contains("no process is using the mount"), "{text}");
}

#[test]
fn top_reports_a_mount_that_is_not_there_or_does_not_answer() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        let top = || {
            let mut command = bench.command(who);
            command.arg("top").arg(&place.path).arg("--once");
            finish(&mut command)
        };
        top().succeeded();
        place.stop();
        top().failed(&["is stopped", "kill -CONT"]);
        place.signal_all(nix::sys::signal::SIGCONT);
        finish(&mut place.unmount(&bench)).succeeded();
        top().failed(&["no vm0fs is mounted there"]);
    }
}

/// `vm0fs top` on a terminal of 80 columns and 24 rows, whose keys are this process's
/// input.
fn on_a_terminal(bench: &Bench, mount: &Mount) -> (Watched, std::process::ChildStdin) {
    let script = format!(
        "stty rows 24 cols 80; {} top {} --interval 100ms; echo left with $?; stty -a",
        crate::support::program().display(),
        mount.path().display()
    );
    Watched::on_a_terminal(bench, mount.who(), &script)
}

#[test]
fn top_draws_on_a_terminal_and_leaves_it_as_it_was() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    for leave in ["q", "\u{3}"] {
        let (mut terminal, mut keys) = on_a_terminal(&bench, &mount);
        terminal.expect("\u{1b}[?1049h");
        terminal.expect("q leaves.");
        Watched::type_in(&mut keys, leave);
        terminal.expect("left with 0");
        let text = terminal.text();
        let end = text.rfind("\u{1b}[?1049l").unwrap();
        assert!(text[end..].contains("left with 0"), "{text}");
        terminal.expect(" icanon");
        assert!(terminal.text().contains(" echo "), "{}", terminal.text());
        drop(keys);
        assert!(terminal.end().success());
    }
}
