//! The log of a run that goes on, by the tools that people follow files with.

use super::{
    PUSHED, difference, end_long_ago, files_are_the_rows, get, log, rows, say, streams_and_calls,
    until, world,
};
use crate::support::{Bench, SOON, Who};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    thread,
    time::Duration,
};
use vm0fs::demo::{Claude, LogRow};

/// Shows a file in `less` on a terminal of its own.
fn less(file: &str) -> String {
    format!("exec python3 -c 'import pty; pty.spawn([\"less\", \"-f\", \"+F\", \"{file}\"])'")
}

/// An editor that has nothing but `stat` and `read`: it prints what is new
/// whenever size or time have changed.
const EDITOR: &str = r#"exec python3 -uc '
import os, sys, time
seen, read = None, 0
while True:
    now = os.stat(sys.argv[1])
    if seen != (now.st_size, now.st_mtime_ns):
        seen = (now.st_size, now.st_mtime_ns)
        with open(sys.argv[1]) as file:
            file.seek(read)
            text = file.read()
            read = file.tell()
            print(text, end="")
    time.sleep(0.5)
' "#;

#[test]
fn tools_show_new_lines_within_two_seconds() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let file = format!("runs/{run}/logs");
        let tools = [
            mount.watch(&format!("exec tail -f {file}")),
            mount.watch(&format!("exec tail -F {file}")),
            mount.watch(&format!("exec tail -n +1 -f runs/{run}/agent.log")),
            mount.watch(&less(&file)),
            mount.watch(&format!("{EDITOR} {file}")),
        ];
        for tool in &tools {
            tool.expect("hello");
        }
        until("a stream is open", SOON, || {
            !streams_and_calls(&bench).0.is_empty()
        });
        for n in 0..4 {
            let text = format!("news {n} \u{1b}[31m of\ntwo lines");
            say(&bench, &run, &text);
            let shown = format!("news {n} \\e[31m of");
            let waits: Vec<Duration> = tools.iter().map(|tool| tool.expect(&shown)).collect();
            assert!(waits.iter().all(|wait| *wait < PUSHED), "{waits:?}");
        }
        // What no event tells of is asked for as well.
        log(&bench, &run, "disk is full");
        let wait = tools[0].expect("disk is full");
        assert!(wait < Duration::from_secs(16), "{wait:?}");
        for tool in &tools {
            let text = tool.text();
            assert!(text.contains("    two lines"), "{text}");
            assert!(!text.contains("\u{1b}[31m"), "{text}");
        }
        end_long_ago(&bench, &run);
        let rows = rows(&bench, &run);
        let is_all = |text: &str| difference(text, &rows).is_none();
        // Each looks once a second, of its own accord.
        for tail in &tools[..2] {
            until("tail has all of it", SOON, || is_all(&tail.text()));
        }
        let status = format!("runs/{run}/status");
        until("the status is told", SOON, || {
            mount.cat(&status) == "completed\n"
        });
        files_are_the_rows(&bench, &mount, &run);
        for tail in &tools[..2] {
            assert!(is_all(&tail.text()), "each row once");
        }
    }
}

#[test]
fn a_growing_log_has_its_true_size_and_keeps_what_was_read() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        for n in 0..6 {
            get(&bench, &run, &format!("/{n}"));
            say(&bench, &run, &format!("line {n}"));
            thread::sleep(Duration::from_millis(700));
            let script = format!(
                "cd runs/{run} && for f in logs logs.jsonl agent.log network.log events.jsonl; do \
                 exec 3< $f; s=$(stat -Lc %s /dev/fd/3); [ $(cat <&3 | wc -c) -ge $s ] || echo $f; \
                 head -c $s $f | wc -c | grep -qx $s || echo short $f; done"
            );
            assert_eq!(mount.run(&script), "");
        }
    }
}

#[test]
fn a_handle_sees_its_file_grow_and_never_change() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let path = |file: &str| mount.join(&format!("runs/{run}/{file}"));
    let names = ["logs", "logs.jsonl", "agent.log", "events.jsonl"];
    let files = names.map(|name| File::open(path(name)).unwrap());
    let mut seen: [Vec<u8>; 4] = Default::default();
    for n in 0..16 {
        match n % 4 {
            0 => log(&bench, &run, "something"),
            1 => {
                // One that comes late stands in its place at the service only.
                let mut world = bench.server.world();
                let earlier = world.ago(59);
                world.add_log(&run, LogRow::system(earlier, "late"));
            }
            _ => say(&bench, &run, &format!("said {n}")),
        }
        thread::sleep(Duration::from_millis(350));
        for (file, seen) in files.iter().zip(&mut seen) {
            let mut file = file;
            file.seek(SeekFrom::Start(0)).unwrap();
            let mut whole = Vec::new();
            file.read_to_end(&mut whole).unwrap();
            assert!(whole.starts_with(seen), "what was read has changed");
            let mut tail = vec![0; 64];
            let at = whole.len().saturating_sub(64) as u64;
            let read = file.read_at(&mut tail, at).unwrap();
            assert_eq!(tail[..read.min(64)], whole[at as usize..][..read.min(64)]);
            *seen = whole;
        }
    }
    end_long_ago(&bench, &run);
    until("the run has ended", SOON, || {
        mount.cat(&format!("runs/{run}/status")) == "completed\n"
    });
    files_are_the_rows(&bench, &mount, &run);
    // Those that were open go on with what they had.
    for (file, seen) in files.iter().zip(&seen) {
        let mut now = vec![0; seen.len()];
        file.read_exact_at(&mut now, 0).unwrap();
        assert!(now == *seen);
    }
}

#[test]
fn the_page_cache_serves_no_stale_log() {
    let (mut world, run) = world();
    // Of the same length, so that nothing but the content tells them apart.
    let then = world.ago(50);
    world.add_log(&run, LogRow::system(then, "bbbb"));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let path = mount.join(&format!("runs/{run}/logs"));
    // Mapped while it grows, the file has pages in the kernel.
    let map = "import mmap, sys, os\n\
               f = open(sys.argv[1], 'rb')\n\
               m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n\
               sys.stdout.write(m[:].decode())";
    let mapped = || mount.run(&format!("python3 -c \"{map}\" {}", path.display()));
    let first = mapped();
    assert_eq!(difference(&first, &rows(&bench, &run)), None);
    let earlier = bench.server.world().ago(51);
    let late = LogRow::system(earlier, "aaaa");
    bench.server.world().add_log(&run, late.clone());
    say(&bench, &run, "so that it is asked for");
    until("the new lines are there", SOON, || {
        fs::read_to_string(&path).unwrap().contains("so that")
    });
    let live = mapped();
    assert!(live.starts_with(&first), "{live}");
    assert_eq!(live, fs::read_to_string(&path).unwrap());
    end_long_ago(&bench, &run);
    until("the run has ended", SOON, || {
        mount.cat(&format!("runs/{run}/status")) == "completed\n"
    });
    let rows = rows(&bench, &run);
    let read = || fs::read_to_string(&path).unwrap();
    until("the final text is read", SOON, || {
        difference(&read(), &rows).is_none()
    });
    assert!(read().contains(&format!("{} system info aaaa\n", late.timestamp)));
    assert_eq!(mapped(), read());
}

#[test]
fn events_have_a_file_of_their_own() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let file = format!("runs/{run}/events.jsonl");
        let follower = mount.watch(&format!("exec tail -n +1 -f {file}"));
        follower.expect("\"sequence\":1");
        until("a stream is open", SOON, || {
            !streams_and_calls(&bench).0.is_empty()
        });
        {
            let mut world = bench.server.world();
            let run = world.run_mut(&run).unwrap();
            let mut claude = Claude::new("tools", Timestamp::now());
            let input = serde_json::json!({"command": "ls \"a b\""});
            run.tell(claude.tool("Bash", input));
        }
        let wait = follower.expect("\"tool_use\"");
        assert!(wait < PUSHED, "{wait:?}");
        say(&bench, &run, "done");
        follower.expect("\"sequence\":3");
        // It is finite: a read ends at what there is.
        assert_eq!(mount.run(&format!("wc -l < {file}")), "3\n");
        end_long_ago(&bench, &run);
        until("the run has ended", SOON, || {
            mount.cat(&format!("runs/{run}/status")) == "completed\n"
        });
        files_are_the_rows(&bench, &mount, &run);
        assert_eq!(follower.text(), mount.cat(&file));
    }
}

#[test]
fn an_event_of_any_shape_is_shown() {
    let (mut world, run) = world();
    let at = world.ago(30);
    let said = Claude::said("quote \" backslash \\ newline \n unicode \u{1f600} tab \t");
    world.run_mut(&run).unwrap().event(at, said);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    files_are_the_rows(&bench, &mount, &run);
}
