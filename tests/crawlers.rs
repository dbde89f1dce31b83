//! Indexers and thumbnailers, as real processes of their names: they list
//! names, read what is cached, and start no download.

use crate::support::fake::{Action, Agent, Fault, File, Kind, Port, VersionSpec, World};
use crate::{
    commands::until,
    support::{Bench, Mount, Who, reason},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// An artifact `site` with one version of one file, and a volume `data`.
fn world() -> World {
    let mut world = World::empty();
    let then = world.ago(60);
    world.add_agent(Agent::new("writer", then));
    for (kind, name) in [(Kind::Artifact, "site"), (Kind::Volume, "data")] {
        let storage = world.add_storage(kind, name);
        let files = vec![File::new("d/page", "words\n")];
        world.add_version(&storage, VersionSpec::files(files));
    }
    world
}

/// A copy of a tool under another name, which is the name that the kernel gives
/// its process.
pub(crate) fn program(bench: &Bench, tool: &str, name: &str) -> String {
    let dir = bench.folder("programs", Who::Myself);
    let found = ["/bin", "/usr/bin"]
        .iter()
        .map(|dir| PathBuf::from(dir).join(tool))
        .find(|path| path.exists());
    let path = dir.join(name);
    if !path.exists() {
        fs::copy(found.unwrap(), &path).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

fn status(mount: &Mount) -> Value {
    // A page of it stands for a second.
    std::thread::sleep(Duration::from_millis(1100));
    let text = mount.cat(".vm0fs/status.json");
    serde_json::from_str::<Value>(&text).unwrap()["crawlers"].clone()
}

const PAGE: &str = "artifacts/site/latest/d/page";

#[test]
fn an_indexer_lists_names_and_starts_no_download() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        let updatedb = program(&bench, "ls", "updatedb");
        let tumblerd = program(&bench, "cat", "tumblerd");
        // The kernel cuts this name; that of the program's file is whole.
        let tracker = program(&bench, "cat", "tracker-extract-3");

        let listed = mount.run(&format!("{updatedb} artifacts artifacts/site"));
        assert!(listed.contains("latest"), "{listed}");
        mount.fails(&format!("{updatedb} -R artifacts"), reason::DENIED);
        mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
        mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
        mount.fails(&format!("{tracker} {PAGE}"), reason::DENIED);
        assert_eq!(bench.downloads().len(), 0);
        assert!(bench.server.requests_to(Port::Api, "/download").is_empty());

        let told = status(&mount);
        assert_eq!(told["policy"], "deny");
        let refused = told["refused"].as_object().unwrap();
        let names: Vec<&String> = refused.keys().collect();
        assert_eq!(names, ["tracker-extract", "tumblerd", "updatedb"]);
        assert!(refused["tumblerd"].as_u64() >= Some(2), "{told}");
        let mut status = bench.command(who);
        let shown = status.arg("status").arg(mount.path()).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout);
        for word in ["crawlers   deny; refused to ", "updatedb ", "tumblerd "] {
            assert!(shown.contains(word), "{word:?} is not in {shown}");
        }
        // Once for each program and version, with who asked and what helps.
        let errors = mount.cat(".vm0fs/errors");
        let lines: Vec<&str> = errors.lines().filter(|l| l.contains("tumblerd")).collect();
        assert_eq!(lines.len(), 1, "{errors}");
        for word in [
            "files of artifacts/",
            "(pid ",
            "--crawlers allow",
            "errno 13",
        ] {
            assert!(lines[0].contains(word), "{errors}");
        }
        let log = mount.unmount().join("\n");
        assert!(log.contains("refused to updatedb (pid "), "{log}");
    }
}

#[test]
fn every_program_reads_what_is_cached() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        let tumblerd = program(&bench, "cat", "tumblerd");
        mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
        // What was refused to one is no answer to another.
        assert_eq!(mount.cat(PAGE), "words\n");
        assert_eq!(mount.run(&format!("{tumblerd} {PAGE}")), "words\n");
        assert_eq!(bench.downloads().len(), 1);
        let log = mount.unmount().join("\n");
        assert!(
            log.contains("cat (pid ") && log.contains("asks for files of"),
            "{log}"
        );
    }
}

#[test]
fn a_crawler_sees_names_but_no_content_of_an_evicted_version() {
    let bench = Bench::new(world());
    let cache = bench.folder("cache", Who::Myself);
    let cache = cache.to_str().unwrap();
    let mount = bench.mount().with(["--cache-dir", cache]).start();
    assert_eq!(mount.cat(PAGE), "words\n");
    let cached = |arguments: &[&str]| {
        let mut command = bench.command(Who::Myself);
        let output = command.args(arguments).args(["--cache-dir", cache]);
        String::from_utf8(output.output().unwrap().stdout).unwrap()
    };
    // A process that has just closed a file holds its content for a moment.
    until("the content is evicted", || {
        cached(&["cache", "clear"]);
        cached(&["cache", "ls"]).contains(" tree ")
    });
    let updatedb = program(&bench, "ls", "updatedb");
    let listed = mount.run(&format!("{updatedb} -lR artifacts/site/latest/"));
    assert!(listed.contains("page"), "{listed}");
    bench.server.clear_requests();
    let tumblerd = program(&bench, "cat", "tumblerd");
    mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
    assert_eq!(bench.downloads().len(), 0);
    assert_eq!(mount.cat(PAGE), "words\n");
}

#[test]
fn a_crawler_reads_from_a_download_under_way() {
    let mut world = world();
    let storage = world.add_storage(Kind::Artifact, "large");
    let files = vec![
        File::new("first", "1\n"),
        File::new("noise", crate::support::noise(400_000)),
        File::new("last", "2\n"),
    ];
    world.add_version(&storage, VersionSpec::files(files));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let slow = Action::Rate {
        bytes_per_second: 100_000,
    };
    bench.server.fault(Fault::store(slow));
    let reader = mount.start("cat artifacts/large/latest/last");
    // It can be read as soon as its bytes have passed.
    assert_eq!(mount.cat("artifacts/large/latest/first"), "1\n");
    let tumblerd = program(&bench, "cat", "tumblerd");
    let joined = mount.run(&format!("{tumblerd} artifacts/large/latest/last"));
    assert_eq!(joined, "2\n");
    assert_eq!(reader.output().stdout, b"2\n");
    assert_eq!(status(&mount)["refused"], json!({}));
}

#[test]
fn the_option_sets_the_policy_for_crawlers() {
    let bench = Bench::new(world());
    let tumblerd = program(&bench, "cat", "tumblerd");
    let mount = bench.mount().with(["--crawlers", "allow"]).start();
    assert_eq!(mount.run(&format!("{tumblerd} {PAGE}")), "words\n");
    assert_eq!(status(&mount)["policy"], "allow");
    let log = mount.unmount().join("\n");
    assert!(log.contains("tumblerd (pid "), "who asked is told: {log}");

    let home = bench.folder("home-Myself", Who::Myself);
    let config = home.join(".config/vm0fs/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let mount_with = |text: &str, arguments: &[&str]| {
        fs::write(&config, text).unwrap();
        let cache = bench.dir().join(format!("cache-{}", text.len()));
        let mut mounting = bench.mount().with(["--cache-dir", cache.to_str().unwrap()]);
        for argument in arguments {
            mounting = mounting.with([*argument]);
        }
        mounting.start()
    };
    let own = program(&bench, "cat", "my-own-indexer-of-things");
    let mount = mount_with("crawler-names = [\"my-own-indexer-of-things\"]\n", &[]);
    mount.fails(&format!("{own} {PAGE}"), reason::DENIED);
    mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
    assert_eq!(status(&mount)["refused"]["my-own-indexer-"], 1);
    drop(mount);
    let mount = mount_with("crawlers = \"allow\"\n", &[]);
    assert_eq!(mount.run(&format!("{tumblerd} {PAGE}")), "words\n");
    drop(mount);
    // A flag comes first.
    let mount = mount_with("crawlers = \"allow\"  \n", &["--crawlers", "deny"]);
    mount.fails(&format!("{tumblerd} {PAGE}"), reason::DENIED);
    drop(mount);

    fs::write(&config, "crawlers = \"maybe\"\n").unwrap();
    let mut command = bench.command(Who::Myself);
    let said = command.arg("mount").arg(bench.dir().join("m")).output();
    let said = String::from_utf8(said.unwrap().stderr).unwrap();
    for words in ["line 1: `crawlers`", "\"maybe\" is neither deny nor allow"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!Path::new(&bench.dir().join("m")).exists());
}

#[test]
fn a_file_manager_counts_for_nothing_and_opens_what_is_opened() {
    let mut world = World::empty();
    let then = world.ago(60);
    let names: Vec<String> = (0..10).map(|n| format!("a{n}")).collect();
    for name in &names {
        let storage = world.add_storage(Kind::Artifact, name);
        let files = vec![File::new("page", format!("{name}\n"))];
        world.add_version(&storage, VersionSpec::files(files));
    }
    for n in 0..10 {
        world.add_run(vm0fs::demo::Run::new(format!("agent-{n}"), then));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let nautilus = program(&bench, "ls", "nautilus");
    bench.server.clear_requests();
    // As it shows a list, and then what is in each folder of it. A machine that
    // is slower than a click is not so every time.
    let counts = |name: &String| {
        let script = format!("{nautilus} artifacts/{name} artifacts/{name}/latest/");
        let output = mount.try_run(&script);
        String::from_utf8_lossy(&output.stderr).contains(reason::DENIED)
    };
    let refused = names.iter().position(counts).unwrap();
    assert_eq!(bench.downloads().len(), refused);
    let listed = mount.try_run(&format!("{nautilus} -l runs runs/*/"));
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(said.contains(reason::DENIED), "{said}");

    // Others are not in its way, nor is what comes after a moment.
    std::thread::sleep(Duration::from_millis(1500));
    let path = format!("artifacts/{}/latest/", names[refused]);
    assert_eq!(mount.run(&format!("{nautilus} {path}")), "page\n");
    assert_eq!(bench.downloads().len(), refused + 1);
    let errors = mount.cat(".vm0fs/errors");
    let lines = errors
        .lines()
        .filter(|line| line.contains("each of runs for nautilus"));
    assert_eq!(lines.count(), 1, "{errors}");
    let last = names.last().unwrap();
    mount.run(&format!("ls artifacts/{last} artifacts/{last}/latest/"));
}
