//! A log that grows while workers are replaced: no line is lost, and none comes twice.

use super::*;
use crate::tree::{Handle, LeftFile, logs::left_logs};

fn add_row(bench: &Bench, id: &str, text: &str) {
    let row = LogRow::system(Timestamp::now(), text);
    bench.server.world().add_log(id, row);
}

fn texts(bench: &Bench, id: &Arc<str>) -> Vec<String> {
    let logs = bench.tree.live.log(id);
    let text = |view| {
        let mut text = Vec::new();
        logs.read(view, 0, 1 << 20, &mut text);
        String::from_utf8(text).unwrap()
    };
    LogView::ALL.map(text).to_vec()
}

/// How often each of these is in the log.
fn counts(bench: &Bench, id: &Arc<str>, words: &[&str]) -> Vec<usize> {
    let text = log(bench, id);
    let lines = |word: &&str| {
        let end = format!(" {word}");
        text.lines().filter(|line| line.ends_with(&end)).count()
    };
    words.iter().map(lines).collect()
}

#[test]
fn a_log_goes_on_where_the_worker_before_left_it() {
    let (mut bench, id) = bench();
    fetch_rows(&bench, &id);
    let _first = bench.tree.live.log(&id);
    while_followed(&bench, &id, || {
        until("the stream is open", || bench.tree.live.streams(&id));
        // The stream tells it before a row does, and so it is shown before the next.
        say(&bench, &id, "two");
        until("the line is there", || log(&bench, &id).contains(" two\n"));
    });
    add_row(&bench, &id, "three");
    // An answer from a moment ago is good enough, without this.
    thread::sleep(Duration::from_millis(2_100));
    fetch_rows(&bench, &id);
    let before = texts(&bench, &id);
    assert_eq!(counts(&bench, &id, &["one", "two", "three"]), [1, 1, 1]);
    for _ in 0..2 {
        bench.replace();
        // As a handle holds it.
        std::mem::forget(bench.tree.live.log(&id));
        assert_eq!(texts(&bench, &id), before);
    }
    let last = bench.tree.live.log(&id);
    assert_eq!(last.last_event(), Some(2), "the stream goes on after it");
    for text in ["four", "five"] {
        add_row(&bench, &id, text);
        bench.replace();
        bench.server.clear_requests();
        let (logs, _) = bench.ask(|view| view.logs(&id)).unwrap();
        let calls = bench.server.requests_to(Port::Api, "/v1/runs/");
        let mut calls = calls.iter().filter(|call| call.path.ends_with("/logs"));
        assert!(calls.all(|call| call.query.contains("since=")), "{calls:?}");
        drop(logs);
    }
    bench.replace();
    let words = ["one", "two", "three", "four", "five"];
    let _held = bench.tree.live.log(&id);
    assert_eq!(counts(&bench, &id, &words), [1; 5]);
    for (after, before) in texts(&bench, &id).iter().zip(&before) {
        assert!(after.starts_with(before.as_str()), "it only grows: {after}");
    }
}

/// Opens the log of a run as a process does, and gives what the next worker finds.
fn open(bench: &Bench, id: &str) -> (u64, Handle, LeftFile) {
    let ino = bench.ino(&format!("runs/{id}/logs"));
    let handle = bench.ask(|view| view.open(ino, true)).unwrap().handle;
    let left = handle.left();
    (ino, handle, left)
}

fn read(bench: &Bench, handle: &Handle) -> String {
    let read = |view: &crate::tree::View<'_>| {
        let mut text = Vec::new();
        view.read(handle, 0, 1 << 20, &mut text).map(|()| text)
    };
    String::from_utf8(bench.ask(read).unwrap()).unwrap()
}

#[test]
fn an_open_log_keeps_its_order_after_its_run_has_ended() {
    let (mut bench, id) = bench();
    let (ino, handle, left) = open(&bench, &id);
    let LeftFile::Log(number) = left else {
        panic!("a live log is no fixed file");
    };
    // It comes late, and stands in the middle for those who open the log then.
    add_row(&bench, &id, "new");
    thread::sleep(Duration::from_millis(2_100));
    fetch_rows(&bench, &id);
    let late = bench.server.world().ago(50);
    bench
        .server
        .world()
        .add_log(&id, LogRow::system(late, "late"));
    {
        let mut world = bench.server.world();
        let end = world.ago(60);
        world.run_mut(&id).unwrap().finish(end, "completed", None);
    }
    let run = FetchKey::run(&id);
    drop(
        bench
            .tree
            .fetch(&run, Instant::now(), &Progress::new(), &|| ()),
    );
    bench.ask(|view| view.logs(&id).map(drop)).unwrap();
    let before = read(&bench, &handle);
    let lines: Vec<&str> = before.lines().collect();
    assert!(lines.len() == 3 && lines[2].ends_with(" late"), "{before}");
    for _ in 0..2 {
        // As the handle of a process would.
        let held = crate::handover::LeftHandle {
            number: bench.tree.handover().new_handle(),
            extent: number,
            ..Default::default()
        };
        bench.tree.handover().add_handle(&held).unwrap();
        bench.replace();
        let again = bench.ask(|view| view.reopen(ino, LeftFile::Log(number)));
        let again = again.unwrap();
        assert_eq!(read(&bench, &again), before);
        let (_, new, left) = open(&bench, &id);
        assert!(matches!(left, LeftFile::Fixed(_)));
        let sorted = read(&bench, &new);
        assert!(sorted.len() == before.len() && sorted != before, "{sorted}");
        std::mem::forget(again);
    }
}

#[test]
fn a_log_that_was_not_kept_is_stale_and_not_another() {
    let (mut bench, id) = bench();
    let (ino, handle, _) = open(&bench, &id);
    bench.replace();
    let other = bench.tree.live.log(&id).number() + 4096;
    for number in [0, 7, other] {
        let lost = bench.ask(|view| view.reopen(ino, LeftFile::Log(number)).map(drop));
        assert_eq!(lost.unwrap_err().errno(), libc::ESTALE, "{number}");
    }
    drop(handle);
}

#[test]
fn a_log_that_no_process_reads_is_given_up() {
    let (mut bench, id) = bench();
    let (_, handle, _) = open(&bench, &id);
    std::mem::forget(handle);
    bench.replace();
    // Left once, and perhaps followed by its name.
    assert_eq!(bench.tree.live.left_numbers().len(), 1);
    bench.replace();
    assert_eq!(bench.tree.live.left_numbers(), [0_u64; 0]);
    let log = bench.tree.live.log(&id);
    fetch_rows(&bench, &id);
    assert!(log.number() > 0);
    drop(log);
    bench.replace();
    let log = bench.tree.live.log(&id);
    assert!(log.number() > 0, "an answer holds it");
    drop(log);
    assert_eq!(left_logs(bench.tree.handover()), []);
}
