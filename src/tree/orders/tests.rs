//! What is written to a control file as a request, and what becomes of it.

use super::{draft::LARGEST, *};
use crate::{
    fake::{Agent, Fault, Run as DemoRun, World, uuid},
    tree::{
        answers::Runs,
        fetch_key::FetchKey,
        ops::files::{Handle, Opened},
        tests::{Bench, html},
        view::View,
    },
};
use serde_json::json;

fn made(text: &str) -> Value {
    Value::Object(request(text.as_bytes().to_vec(), "the-agent").unwrap())
}

#[test]
fn written_text_is_the_prompt() {
    for (text, prompt) in [
        ("Summarise the data\n", "Summarise the data"),
        ("two\nlines\n\n", "two\nlines\n"),
        ("from Windows\r\n", "from Windows"),
        ("no end", "no end"),
        ("[1, 2]\n", "[1, 2]"),
        ("\"quoted\"\n", "\"quoted\""),
        ("  indented\n", "  indented"),
    ] {
        let expected = json!({"prompt": prompt, "agent_id": "the-agent"});
        assert_eq!(made(text), expected, "{text:?}");
    }
}

#[test]
fn a_written_json_object_is_the_whole_request() {
    let whole = r#" {"prompt": "p", "variables": {"a": "1"}, "secrets": {"K": "s"},
        "volumes": {"data": "latest"}, "artifact_name": "out", "agent_version": "3",
        "unheard_of": [1, {"x": null}]}"#;
    let mut expected: Value = serde_json::from_str(whole).unwrap();
    expected["agent_id"] = "the-agent".into();
    assert_eq!(made(whole), expected);
    for target in TARGETS {
        let named = json!({"prompt": "p", target: "given"});
        assert_eq!(made(&named.to_string()), named, "nothing is filled in");
    }
}

#[test]
fn a_request_keeps_the_digits_of_its_numbers() {
    let numbers = "[123456789012345678901234567890,0.10,3.14159265358979323846264338327950288]";
    let whole = format!("{{\"prompt\": \"p\", \"unheard_of\": {numbers}}}");
    let sent = made(&whole).to_string();
    assert!(sent.contains(numbers), "{sent}");
}

#[test]
fn invalid_requests_are_refused_without_being_quoted() {
    for text in [
        "{\"prompt\": \"p\", \"secrets\": {\"K\": \"hush\"",
        "{\"secrets\": {\"K\": \"hush\"}}",
        "{\"prompt\": 7, \"secrets\": {\"K\": \"hush\"}}",
        "{\"prompt\": \" \", \"secrets\": {\"K\": \"hush\"}}",
        "{hush} is not JSON",
        " \n\t\n",
    ] {
        let error = request(text.as_bytes().to_vec(), "a").unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{text}");
        let said = error.to_string();
        assert!(said.contains("no run was started"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    let error = request(vec![b'a', 0xff], "a").unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

/// An agent, a run that is going on and one that has ended.
fn bench() -> (Bench, u64, u64, u64) {
    let mut world = World::empty();
    world.pace = None;
    let then = world.ago(600);
    world.add_agent(Agent::new("writer", then));
    let running = world.add_run(DemoRun::new("writer", then).status("running"));
    let ended = world.add_run(DemoRun::new("writer", then));
    let bench = Bench::new(world);
    let start = bench.ino("agents/writer/run");
    let cancel = bench.ino(&format!("runs/{running}/cancel"));
    let too_late = bench.ino(&format!("runs/{ended}/cancel"));
    bench.calls();
    (bench, start, cancel, too_late)
}

fn opened(bench: &Bench, ino: u64) -> Opened {
    bench.ask(|view| view.open_to_write(ino, true)).unwrap()
}

fn writing(opened: &Opened) -> &Writing {
    match &opened.handle {
        Handle::Control(writing) => writing,
        _ => panic!("not a control file"),
    }
}

/// A write in a request of its own.
fn asked(offset: u64, data: &str) -> WriteRequest<'_> {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    WriteRequest {
        request: REQUESTS.fetch_add(1, Ordering::Relaxed),
        offset,
        appends: false,
        data: data.as_bytes(),
    }
}

fn write(bench: &Bench, opened: &Opened, offset: u64, data: &str) -> Result<()> {
    let write = asked(offset, data);
    bench.ask(|view| view.write(writing(opened), &write))
}

fn finish(bench: &Bench, opened: &Opened) -> Result<()> {
    bench.ask(|view| view.finish(writing(opened)))
}

fn posts(bench: &Bench) -> usize {
    let calls = bench.calls();
    calls.iter().filter(|line| line.starts_with("POST")).count()
}

#[test]
fn several_writes_start_one_run_and_a_second_close_none() {
    let (bench, start, ..) = bench();
    let open = opened(&bench, start);
    for (offset, piece) in [(0, "one "), (4, "tw"), (6, "o\n")] {
        write(&bench, &open, offset, piece).unwrap();
    }
    assert_eq!(posts(&bench), 0, "not before it is closed");
    finish(&bench, &open).unwrap();
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 1);
    let id = uuid("started-run:2");
    assert_eq!(bench.server.world().run(&id).unwrap().prompt, "one two");
    assert_eq!(bench.text("agents/writer/run"), format!("{id}\n"));
    let late = write(&bench, &open, 8, "more").unwrap_err();
    assert_eq!(late.errno(), libc::EINVAL);
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 0);
}

#[test]
fn text_appended_to_a_control_file_is_the_prompt() {
    let (bench, start, ..) = bench();
    let first = opened(&bench, start);
    write(&bench, &first, 0, "first").unwrap();
    finish(&bench, &first).unwrap();
    let size = bench.text("agents/writer/run").len() as u64;
    let second = opened(&bench, start);
    write(&bench, &second, size, "sec").unwrap();
    write(&bench, &second, size + 3, "ond").unwrap();
    finish(&bench, &second).unwrap();
    let third = opened(&bench, start);
    for piece in ["th", "ird"] {
        let write = WriteRequest {
            appends: true,
            ..asked(size, piece)
        };
        let append = |view: &View<'_>| view.write(writing(&third), &write);
        bench.ask(append).unwrap();
    }
    finish(&bench, &third).unwrap();
    let world = bench.server.world();
    let prompts: Vec<&str> = world.runs[2..].iter().map(|run| &*run.prompt).collect();
    assert_eq!(prompts, ["first", "second", "third"]);
}

#[test]
fn holes_and_floods_are_refused_and_truncation_is_not() {
    let (bench, start, ..) = bench();
    let open = opened(&bench, start);
    write(&bench, &open, 0, "0123456789").unwrap();
    assert_eq!(
        write(&bench, &open, 11, "x").unwrap_err().errno(),
        libc::EINVAL
    );
    bench
        .ask(|view| view.touch(start, true, Some((writing(&open), 4))))
        .unwrap();
    write(&bench, &open, 4, "!").unwrap();
    let flood = "x".repeat(LARGEST);
    let error = write(&bench, &open, 5, &flood).unwrap_err();
    assert_eq!(error.errno(), libc::EFBIG);
    assert!(error.to_string().contains("16 MiB"), "{error}");
    finish(&bench, &open).unwrap();
    let world = bench.server.world();
    assert_eq!(world.runs.last().unwrap().prompt, "0123!");
}

#[test]
fn closing_without_a_write_starts_no_run() {
    let (bench, start, cancel, _) = bench();
    for ino in [start, cancel] {
        let open = opened(&bench, ino);
        write(&bench, &open, 0, "").unwrap();
        finish(&bench, &open).unwrap();
    }
    assert_eq!(posts(&bench), 0);
}

#[test]
fn one_opening_cancels_once_and_the_service_refuses_a_second() {
    let (bench, _, cancel, too_late) = bench();
    let open = opened(&bench, cancel);
    write(&bench, &open, 0, "\n").unwrap();
    write(&bench, &open, 1, "\n").unwrap();
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 1);
    let open = opened(&bench, too_late);
    let error = write(&bench, &open, 0, "\n").unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    assert!(error.to_string().contains("cannot be cancelled"), "{error}");
    // The same writing has the same answer.
    write(&bench, &open, 0, "\n").unwrap_err();
    assert_eq!(posts(&bench), 1);
    let told = bench.ask(|view| view.getxattr(too_late, b"user.vm0.last_error"));
    assert_eq!(told.unwrap(), error.to_string().into_bytes());
}

#[test]
fn an_order_that_fails_is_not_given_again() {
    let (bench, start, ..) = bench();
    bench
        .server
        .fault(Fault::api_exact("/v1/runs", html(502)).method("POST"));
    let open = opened(&bench, start);
    write(&bench, &open, 0, "once").unwrap();
    let error = finish(&bench, &open).unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
    assert!(
        error.to_string().contains("may have been started"),
        "{error}"
    );
    bench.server.clear_faults();
    // Longer than a failure of a question stands.
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    assert_eq!(finish(&bench, &open).unwrap_err().errno(), libc::EIO);
    assert_eq!(posts(&bench), 1);
}

#[test]
fn only_the_owner_may_use_a_control_file() {
    let (bench, start, cancel, _) = bench();
    let root = bench.ino("agents");
    for ino in [start, cancel] {
        let denied = bench.ask(|view| view.open_to_write(ino, false).map(drop));
        assert_eq!(denied.unwrap_err().errno(), libc::EACCES);
        let denied = bench.ask(|view| view.open(ino, false).map(drop));
        assert_eq!(denied.unwrap_err().errno(), libc::EACCES);
    }
    for is_owner in [true, false] {
        let refused = bench.ask(|view| view.open_to_write(root, is_owner).map(drop));
        assert_eq!(refused.unwrap_err().errno(), libc::EROFS);
    }
    let refused = bench.ask(|view| view.touch(root, true, None).map(drop));
    assert_eq!(refused.unwrap_err().errno(), libc::EROFS);
    bench.ask(|view| view.touch(start, true, None)).unwrap();
    let denied = bench.ask(|view| view.touch(start, false, None).map(drop));
    assert_eq!(denied.unwrap_err().errno(), libc::EACCES);
}

#[test]
fn runs_that_are_started_at_once_are_all_listed() {
    let (bench, ..) = bench();
    let tree = &bench.tree;
    let key = FetchKey::runs();
    let list = || tree.bring(&key, &Progress::default(), &|| ());
    list().unwrap();
    let id = |thread: u32, n: u32| uuid(&format!("{thread} {n}"));
    let start = |id: String| {
        let raw = json!({"id": id, "agent_id": "a", "agent_name": "writer", "status": "pending",
            "prompt": "p", "created_at": "2026-01-02T03:04:05Z"});
        let raw = serde_json::value::to_raw_value(&raw).unwrap();
        let value = serde_json::from_str(raw.get()).unwrap();
        tree.answers.note_run(Row { value, raw }, Instant::now());
    };
    std::thread::scope(|scope| {
        for thread in 0..6 {
            scope.spawn(move || (0..30).for_each(|n| start(id(thread, n))));
        }
        scope.spawn(|| (0..10).for_each(|_| drop(list().unwrap())));
    });
    let (listing, _) = tree.answers.of::<Runs>().last(&()).unwrap();
    let missing = (0..6).flat_map(|thread| (0..30).map(move |n| id(thread, n)));
    let missing = missing.filter(|id| listing.id(id).is_none());
    assert_eq!(missing.count(), 0, "started, and not listed");
}

mod taken_over;
