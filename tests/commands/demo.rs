//! `vm0fs demo`: what it prints, that its world can be walked by ordinary
//! tools without one error, and that nothing stays behind.

use super::{Place, Running, finish, kill, script, servers_of, shell, until};
use crate::support::{Bench, Who, is_mounted};
use nix::sys::signal::{SIGINT, SIGTERM};
use std::{
    fs,
    io::{BufRead, BufReader},
    iter,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{ChildStdout, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
};
use vm0fs::demo::World;

/// A demo that has said that it is ready.
struct Demo {
    running: Running,
    place: Place,
    said: String,
    port: u16,
    temporary: PathBuf,
}

/// Reads what a demo prints until it says how to end it.
fn read_tour(stdout: ChildStdout) -> String {
    let (line, lines) = mpsc::channel();
    // Reads on to the end, or a write of the demo would fail.
    thread::spawn(move || {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
    });
    let mut said = String::new();
    while !said.contains("Ctrl-C ends it") {
        let text = lines.recv_timeout(super::SOON);
        said.push_str(&text.unwrap_or_else(|_| panic!("no more than: {said}")));
        said.push('\n');
    }
    said
}

/// A port of this host that no process uses, nor is given by the kernel.
fn free_port() -> u16 {
    static NUMBER: AtomicU16 = AtomicU16::new(0);
    let process = (std::process::id() % 1000) as u16;
    let mut ports = iter::repeat_with(|| {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        10_000 + 20 * process + number % 20
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(is_free).unwrap()
}

impl Demo {
    fn start(bench: &Bench, who: Who) -> Self {
        let place = Place::new(bench, who, "demo");
        let temporary = bench.folder(&format!("tmp-{who:?}"), who);
        let port = free_port();
        let mut command = bench.command(who);
        command
            .args(["demo", "--port", &port.to_string()])
            .arg(&place.path)
            .env("TMPDIR", &temporary)
            // None of the real settings has a say in it.
            .env("VM0_API_URL", "http://127.0.0.1:9")
            .env("VM0_API_KEY", "not-the-demos")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let said = read_tour(running.0.stdout.take().unwrap());
        Self {
            running,
            place,
            said,
            port,
            temporary,
        }
    }

    #[track_caller]
    fn ends(mut self) {
        assert_eq!(self.running.end(), Some(0));
        assert!(!is_mounted(&self.place.path));
        assert!(!self.place.path.exists(), "the folder that it made");
        assert_eq!(self.temporary.read_dir().unwrap().count(), 0, "its cache");
        assert!(TcpStream::connect(("127.0.0.1", self.port)).is_err());
        let home = format!("home-{:?}", self.place.who);
        let home = self.temporary.with_file_name(home);
        assert!(!home.join(".cache/vm0fs").exists(), "the real cache");
    }
}

#[test]
fn demo_mounts_prints_a_tour_and_leaves_no_trace() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let ends: [fn(&Bench, &Demo); 3] = [
            |_, demo| kill(demo.running.0.id(), SIGINT),
            |_, demo| kill(demo.running.0.id(), SIGTERM),
            |bench, demo| drop(finish(&mut demo.place.unmount(bench)).succeeded()),
        ];
        for end in ends {
            let demo = Demo::start(&bench, who);
            let shown = demo.place.path.to_str().unwrap();
            for word in [
                "Try",
                shown,
                "agents",
                "runs",
                &format!("vm0fs unmount {shown}"),
            ] {
                assert!(demo.said.contains(word), "{word} is not in {}", demo.said);
            }
            // Every line of the tour works as it is printed.
            let tour: Vec<&str> = demo
                .said
                .lines()
                .filter(|line| line.starts_with("  "))
                .collect();
            assert!(tour.len() >= 4, "{}", demo.said);
            for line in tour {
                let out = shell(who, line);
                assert!(!out.is_empty(), "{line}");
            }
            end(&bench, &demo);
            demo.ends();
        }
    }
}

#[test]
fn what_a_killed_demo_leaves_the_next_one_removes() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let mut killed = Demo::start(&bench, who);
        kill(killed.running.0.id(), nix::sys::signal::Signal::SIGKILL);
        killed.running.end();
        let left = |demo: &Demo| demo.temporary.read_dir().unwrap().count();
        assert_eq!(left(&killed), 1, "{who:?}");
        // In the place of the dead mount.
        let mut next = Demo::start(&bench, who);
        assert_eq!(left(&next), 1, "its own, {who:?}");
        kill(next.running.0.id(), SIGINT);
        assert_eq!(next.running.end(), Some(0));
        assert_eq!(left(&next), 0, "{who:?}");
        assert!(!is_mounted(&next.place.path));
    }
}

#[test]
fn demo_keeps_a_mountpoint_that_existed() {
    let bench = Bench::new(World::empty());
    let place = Place::new(&bench, Who::Myself, "demo");
    fs::create_dir(&place.path).unwrap();
    let demo = Demo::start(&bench, Who::Myself);
    kill(demo.running.0.id(), SIGINT);
    let Demo { mut running, .. } = demo;
    assert_eq!(running.end(), Some(0));
    assert!(place.path.is_dir());
}

#[test]
fn the_whole_tree_of_the_demo_can_be_walked() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let demo = Demo::start(&bench, who);
        let place = &demo.place;
        let copies = bench.folder(&format!("copies-{who:?}"), who);
        let listed = place.run("ls -R");
        assert!(listed.lines().count() > 500, "{listed}");
        assert!(place.run("ls runs | wc -l").trim().parse::<u32>().unwrap() >= 30);
        place.run("for run in runs/*; do cat $run/logs $run/status $run/run.json; done");
        let dangling = place.run("find . -xtype l");
        assert_eq!(dangling, "", "links that lead nowhere");
        let copy = format!(
            "for site in artifacts/*; do cp -a $site/latest/ '{0}'/$(basename $site); \
             diff -r $site/latest/ '{0}'/$(basename $site); done",
            copies.display()
        );
        assert_eq!(place.run(&copy), "");
        // Everything is read once; the pattern is one that nothing holds.
        let found = finish(&mut script(
            who,
            &place.inside("grep -r NoSuchWordAnywhere-7 ."),
        ));
        assert_eq!((found.code, found.err.as_str()), (Some(1), ""), "{found:?}");
        let verified = place.run(
            "for version in artifacts/*/* volumes/*/*; do \
             [ -z \"$(ls -A $version/)\" ] && continue; \
             getfattr --only-values -n user.vm0.verified $version || exit; echo; done | sort | uniq -c",
        );
        // Of each maker: GNU tar, node-tar or the Rust crate.
        let words: Vec<&str> = verified.split_whitespace().skip(1).collect();
        assert_eq!(words, ["yes"], "{verified}");
        assert_eq!(place.run("cat .vm0fs/errors"), "");
        kill(demo.running.0.id(), SIGINT);
        demo.ends();
    }
}

#[test]
fn demo_serve_only_answers_curl() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let mut command = bench.command(who);
        command
            .args(["demo", "--serve-only"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running(command.spawn().unwrap());
        let said = read_tour(running.0.stdout.take().unwrap());
        let curl = said.lines().find(|line| line.contains("curl ")).unwrap();
        let answer = shell(who, &curl.replace("curl ", "curl -sf "));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["data"].as_array().unwrap().len(), 2, "{answer}");
        // What it says of a mount works too.
        let line = said
            .lines()
            .find(|line| line.contains("vm0fs mount"))
            .unwrap();
        let place = Place::new(&bench, who, "mnt");
        let program = crate::support::program().to_str().unwrap();
        let line = line
            .replace(
                "vm0fs mount",
                &format!(
                    "HOME='{}' {program} mount",
                    place.path.parent().unwrap().display()
                ),
            )
            .replace("~/vm0", place.path.to_str().unwrap());
        assert_eq!(finish(&mut script(who, &line)).code, Some(0), "{line}");
        assert!(place.run("ls agents").lines().count() > 1);
        finish(&mut place.unmount(&bench)).succeeded();
        let without = shell(
            who,
            &curl
                .replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ")
                .replace("Bearer vm0", "Bearer no"),
        );
        assert_eq!(without, "401");
        kill(running.0.id(), SIGINT);
        assert_eq!(running.end(), Some(0));
    }
}

#[test]
fn demo_reports_a_port_in_use() {
    let bench = Bench::new(World::empty());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let place = Place::new(&bench, Who::Myself, "demo");
    for arguments in [vec!["--serve-only"], vec![place.path.to_str().unwrap()]] {
        let mut command = bench.command(Who::Myself);
        let said = finish(command.args(["demo", "--port", &port]).args(arguments));
        said.failed(&[&port, "in use", "--port"]);
    }
    assert!(!place.path.exists());
    assert_eq!(servers_of(&place.path), [0u32; 0]);
}

#[test]
fn demo_reports_an_unusable_mountpoint() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let folder = bench.folder("used", who);
        fs::write(folder.join("file"), "").unwrap();
        let temporary = bench.folder("tmp", who);
        let mut command = bench.command(who);
        command.arg("demo").arg(&folder).env("TMPDIR", &temporary);
        finish(&mut command).failed(&["not empty"]);
        until("its cache is gone", || {
            temporary.read_dir().unwrap().count() == 0
        });
        assert!(folder.join("file").exists());
    }
}

#[test]
fn demo_names_the_variable_of_a_folder_that_is_missing() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let mut command = bench.command(who);
        command.args(["demo", "new"]).env("TMPDIR", "/proc/none");
        finish(&mut command).failed(&["in /proc/none: ", "TMPDIR"]);
    }
}
