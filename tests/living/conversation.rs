//! What an agent did, as files to read: transcript, answer, cost and page.

use super::{PUSHED, end_long_ago, lines, until, world};
use crate::support::{Bench, SOON, Who};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Claude, Run, World};

/// What is made of a conversation.
const FILES: [&str; 4] = ["transcript.md", "result", "usage.json", "report.html"];

/// A run that has ended long ago, with a subagent, a failure and an image.
fn ended(prompt: &str, text: &str) -> (World, String) {
    let mut world = World::empty();
    world.add_agent(vm0fs::demo::Agent::new("writer", world.ago(9_000)));
    let then = world.ago(3_600);
    let mut run = Run::new("writer", then).prompt(prompt);
    let mut claude = Claude::new("a conversation", then);
    claude.init().wait(1_000).thinking(text).text(text);
    claude
        .tool("Bash", json!({"command": text, "description": "Try"}))
        .failed(text);
    claude.subagent("general-purpose", "Look closer", text);
    claude.wait(500).text("I look.").returned(text);
    claude.tool("Read", json!({"file_path": "chart.png"}));
    claude.image("image/png", &[7; 15_000]);
    claude.todo(&[(text, "completed"), ("Write", "pending")]);
    claude.wait(900).finish("The answer is 42.");
    run.tell(&mut claude);
    let id = world.add_run(run);
    (world, id)
}

#[test]
fn a_conversation_costs_no_call_beyond_the_rows_of_the_log() {
    for who in Who::all() {
        let (world, run) = ended("Find out", "plain text");
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        bench.server.clear_requests();
        let listed = mount.list(&format!("runs/{run}"));
        for file in FILES {
            assert!(listed.iter().any(|name| name == file), "{file}: {listed:?}");
        }
        let calls = bench.api_calls();
        assert!(
            !lines(&calls).iter().any(|call| call.contains("/logs")),
            "a plain listing fetches no rows: {:?}",
            lines(&calls)
        );
        mount.cat(&format!("runs/{run}/logs"));
        bench.server.clear_requests();
        for file in ["transcript.md", "result", "usage.json"] {
            let size: usize = mount
                .run(&format!("stat -c %s runs/{run}/{file}"))
                .trim()
                .parse()
                .unwrap();
            assert_eq!(
                mount.cat(&format!("runs/{run}/{file}")).len(),
                size,
                "{file}"
            );
        }
        bench.expect_calls(0, "the rows are there");
        // The page has the chart in it.
        mount.cat(&format!("runs/{run}/report.html"));
        let calls = lines(&bench.api_calls());
        assert!(
            calls.iter().all(|call| call.contains("/metrics")) && calls.len() == 1,
            "{calls:?}"
        );
        bench.server.clear_requests();
        mount.run(&format!(
            "cat runs/{run}/report.html runs/{run}/transcript.md | wc -c"
        ));
        bench.expect_calls(0, "what cannot change is kept");
    }
}

#[test]
fn the_answer_and_the_cost_are_what_the_agents_program_said() {
    let (world, run) = ended("Find out", "plain text");
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert_eq!(
        mount.cat(&format!("runs/{run}/result")),
        "The answer is 42.\n"
    );
    let usage: Value = serde_json::from_str(&mount.cat(&format!("runs/{run}/usage.json"))).unwrap();
    let events = mount.cat(&format!("runs/{run}/events.jsonl"));
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    let said = &last["data"];
    for (ours, theirs) in [
        ("turns", &said["num_turns"]),
        ("duration_ms", &said["duration_ms"]),
        ("cost_usd", &said["total_cost_usd"]),
        ("input_tokens", &said["usage"]["input_tokens"]),
        ("output_tokens", &said["usage"]["output_tokens"]),
        (
            "cache_read_input_tokens",
            &said["usage"]["cache_read_input_tokens"],
        ),
    ] {
        assert_eq!(&usage[ours], theirs, "{ours}: {usage} {said}");
    }
    let models = usage["models"].as_object().unwrap();
    assert_eq!(models.len(), said["modelUsage"].as_object().unwrap().len());
}

#[test]
fn a_log_is_what_happened_and_not_json() {
    let (world, run) = ended("Find out", "plain text");
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let logs = mount.cat(&format!("runs/{run}/logs"));
    for expected in [
        " agent info Session begins: Claude Code, ",
        " agent info (thinking) plain text\n",
        " agent info plain text\n",
        " agent info → Bash Try\n",
        " agent error ← plain text\n",
        " agent info → Task Look closer\n",
        " agent info | I look.\n",
        " agent info ← [image/png, 15 kB]\n",
        " agent info → TodoWrite 1 of 2 done\n    [x] plain text\n    [ ] Write\n",
        " agent info Agent done in ",
    ] {
        assert!(logs.contains(expected), "{expected:?} is not in {logs}");
    }
    assert!(!logs.contains("{\""), "{logs}");
    let rows = mount.cat(&format!("runs/{run}/logs.jsonl"));
    assert!(
        rows.len() > 4 * logs.len(),
        "what was sent is in logs.jsonl"
    );
}

#[test]
fn tail_shows_a_transcript_grow_within_two_seconds() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let tail = mount.watch(&format!("exec tail -n +1 -f runs/{run}/transcript.md"));
        tail.expect("> hello");
        until("a stream is open", SOON, || {
            !super::streams_and_calls(&bench).0.is_empty()
        });
        for n in 0..3 {
            let mut claude = Claude::new(&format!("step {n}"), Timestamp::now());
            claude
                .text(&format!("step {n}"))
                .tool("Bash", json!({"command": format!("make step-{n}")}));
            bench
                .server
                .world()
                .run_mut(&run)
                .unwrap()
                .tell(&mut claude);
            let wait = tail.expect(&format!("**Bash** `make step-{n}`"));
            assert!(wait < PUSHED, "{wait:?}");
        }
        let read = tail.text();
        end_long_ago(&bench, &run);
        tail.expect("The run ended: **completed**");
        assert!(tail.text().starts_with(&read));
        let whole = mount.cat(&format!("runs/{run}/transcript.md"));
        assert_eq!(whole, tail.text(), "it is the same for who opens it later");
    }
}

/// Counts what connects, and answers nothing.
fn listener() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream;
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, count)
}

/// Headless Chromium with a profile of its own, on a file.
fn chromium(bench: &Bench, arguments: &[&str], file: &str) -> String {
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--virtual-time-budget=3000",
        ])
        .arg(format!(
            "--user-data-dir={}/chromium",
            bench.dir().display()
        ))
        .args(arguments)
        .arg(file);
    let began = Instant::now();
    let output = command
        .output()
        .expect("chromium is installed: run the tests with scripts/test");
    assert!(
        output.status.success(),
        "{:?} after {:?}: {}",
        output.status,
        began.elapsed(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_shows_a_report_and_runs_and_fetches_nothing_in_it() {
    let (port, fetched) = listener();
    let origin = format!("http://127.0.0.1:{port}");
    let hostile = format!(
        "</pre></summary></details></article></main></style>\
         <script>document.title = 'taken over'; fetch('{origin}/a')</script>\
         <img src={origin}/b onerror=\"document.title = 'taken over'\">\
         <link rel=stylesheet href={origin}/c><style>@import url({origin}/d)</style>\
         <iframe src={origin}/e></iframe><svg onload=\"document.title = 'taken over'\">\
         <base href={origin}/><meta http-equiv=refresh content=\"0;url={origin}/f\">\
         ![x]({origin}/g)\n\n![y]({origin}/h)\n\n<video src={origin}/i></video>"
    );
    let (world, run) = ended(&hostile, &hostile);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let page = mount.join(&format!("runs/{run}/report.html"));
    let page = format!("file://{}", page.display());
    let dom = chromium(&bench, &["--dump-dom"], &page);
    assert_eq!(fetched.load(Ordering::SeqCst), 0, "nothing is fetched");
    let title = dom
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split("</title>").next());
    let title = title.unwrap();
    assert!(title.starts_with("writer: "), "{title}");
    assert!(!title.starts_with("taken over"), "{title}");
    for element in [
        "<script",
        "<img src=\"http",
        "<iframe",
        "<link",
        "<video",
        "<base",
    ] {
        assert!(!dom.contains(element), "{element} is in the page");
    }
    assert!(dom.contains("Look closer") && dom.contains("[image/png, 15 kB]"));
    assert!(dom.contains("The answer is 42."));
    for (width, name) in [("1100,1400", "wide.png"), ("390,844", "narrow.png")] {
        let picture = bench.dir().join(name);
        let screenshot = format!("--screenshot={}", picture.display());
        chromium(
            &bench,
            &[&screenshot, &format!("--window-size={width}")],
            &page,
        );
        let bytes = std::fs::read(&picture).unwrap();
        assert!(
            bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000,
            "{}",
            bytes.len()
        );
    }
}
