//! Handles that one worker opened and the next serves.

use super::*;
use crate::{
    error::Result,
    fake::{Agent, File, Kind, LogRow, Port, Run, VersionSpec, World},
    fs::{
        Fs,
        asked::{Asked, Task},
        context::{Context, attempt},
        readdir::fill,
    },
    pending::PendingRequests,
    tree::{Seek, View, tests::Bench},
};
use std::{
    os::unix::ffi::OsStrExt,
    time::{Duration, Instant},
};

/// A worker: the tree of a bench, and the adapter above it.
struct Worker {
    bench: Bench,
    context: Arc<Context>,
}

fn context(bench: &Bench) -> Arc<Context> {
    let timeout = Duration::from_secs(5);
    let pending = PendingRequests::new(bench.tree.clone(), timeout);
    Fs::new(bench.tree.clone(), Arc::new(pending), 0, 0).context
}

impl Worker {
    fn new(world: World) -> Self {
        let bench = Bench::new(world);
        let context = context(&bench);
        Self { bench, context }
    }

    fn replace(&mut self) {
        self.bench.replace();
        self.context = context(&self.bench);
    }

    fn open(&self, path: &str) -> (u64, u64) {
        let ino = self.bench.ino(path);
        let opened = self.bench.ask(|view| view.open(ino, true)).unwrap();
        (ino, self.context.handles.add_file(ino, opened.handle, 0))
    }

    fn read(&self, handle: u64, offset: u64, size: usize) -> Result<Vec<u8>> {
        self.bench.ask(|view| {
            let mut buffer = Vec::new();
            let read = self.context.read(view, handle, offset, size, &mut buffer);
            read.map(|()| buffer)
        })
    }

    fn size(&self, (ino, handle): (u64, u64)) -> u64 {
        let stat = self
            .bench
            .ask(|view| self.context.attributes(view, ino, Some(handle)));
        stat.unwrap().attributes.size
    }

    /// Names of a directory from an offset on, so many at the most, and what comes next.
    fn names(&self, ino: u64, handle: u64, offset: u64, most: usize) -> Result<Vec<String>> {
        let listing = self
            .bench
            .ask(|view| self.context.listing(view, ino, handle, offset));
        let mut names = Vec::new();
        fill(&self.context, listing, ino, offset, |_, name, _, _| {
            if names.len() == most {
                return true;
            }
            names.push(String::from_utf8(name.as_bytes().to_vec()).unwrap());
            false
        })?;
        Ok(names)
    }

    fn is_free(&self) -> bool {
        let left = self.context.handles.open.lock();
        left.is_empty()
    }
}

fn runs(count: usize) -> (World, Vec<String>) {
    let mut world = World::empty();
    world.pace = None;
    let then = world.ago(600);
    world.add_agent(Agent::new("writer", then));
    let run = |n: usize| Run::new("writer", then).prompt(format!("prompt {n}").repeat(20));
    let ids = (0..count).map(|n| world.add_run(run(n))).collect();
    (world, ids)
}

fn volume(world: &mut World, text: &str) -> String {
    let id = world.add_storage(Kind::Volume, "data");
    let file = File::new("a.txt", text.to_owned());
    world.add_version(&id, VersionSpec::files(vec![file]))
}

#[test]
fn a_reader_of_content_goes_on_and_downloads_nothing_again() {
    let mut world = World::empty();
    let text = "0123456789".repeat(1_000);
    let version = volume(&mut world, &text);
    let mut worker = Worker::new(world);
    let (ino, handle) = worker.open(&format!("volumes/data/{version}/a.txt"));
    let empty = worker.open(&format!("volumes/data/{version}/a.txt"));
    let mut read = worker.read(handle, 0, 4_000).unwrap();
    worker.bench.server.clear_requests();
    for _ in 0..2 {
        worker.replace();
        read.extend(worker.read(handle, read.len() as u64, 2_000).unwrap());
    }
    read.extend(worker.read(handle, 8_000, 9_000).unwrap());
    assert!(read == text.as_bytes());
    assert_eq!(worker.size((ino, handle)), 10_000);
    let hole = worker
        .bench
        .ask(|view| worker.context.seek(view, ino, handle, 5, Seek::Hole));
    assert_eq!(hole.unwrap(), Some(10_000));
    assert_eq!(worker.bench.server.requests_to(Port::Store, "").len(), 0);
    // One that was never used again.
    worker.context.handles.remove(empty.1);
    worker.context.handles.remove(handle);
    assert_eq!(worker.read(handle, 0, 1).unwrap_err().errno(), libc::ESTALE);
    worker.replace();
    assert_eq!(worker.read(handle, 0, 1).unwrap_err().errno(), libc::ESTALE);
    assert!(worker.is_free());
    let (_, next) = worker.open(&format!("volumes/data/{version}/a.txt"));
    assert!(next > empty.1, "numbers are never reused");
}

#[test]
fn a_reader_of_a_table_gets_the_rest_of_the_same_bytes() {
    let (world, _) = runs(300);
    let mut worker = Worker::new(world);
    let first = worker.open("runs/.runs.jsonl");
    let size = worker.size(first);
    let whole = worker.read(first.1, 0, 1 << 20).unwrap();
    assert_eq!(whole.len() as u64, size);
    assert!(size > 40_000, "{size}");
    // Another opening of the same bytes.
    let second = worker.open("runs/.runs.jsonl");
    let mut read = worker.read(first.1, 0, 10_000).unwrap();
    {
        let mut world = worker.bench.server.world();
        for run in &mut world.runs {
            run.prompt = "another".into();
        }
    }
    std::thread::sleep(Duration::from_millis(400));
    for _ in 0..2 {
        worker.replace();
        let at = read.len() as u64;
        read.extend(worker.read(first.1, at, 10_000).unwrap());
    }
    worker.context.handles.remove(first.1);
    worker.replace();
    read.extend(worker.read(second.1, 30_000, 1 << 20).unwrap());
    assert!(read == whole);
    assert_eq!(
        worker.read(second.1, size, 100).unwrap(),
        b"",
        "it is another file now"
    );
    assert_eq!(worker.size(second), size);
    let newer = worker.open("runs/.runs.jsonl");
    assert!(worker.read(newer.1, 0, 1 << 20).unwrap() != whole);
}

#[test]
fn a_status_is_read_as_it_was_opened_whatever_the_next_worker_knows() {
    let (world, ids) = runs(1);
    let mut worker = Worker::new(world);
    let set = |worker: &Worker, status| worker.bench.server.world().set_status(&ids[0], status);
    set(&worker, "completed");
    let status = worker.open(&format!("runs/{}/status", ids[0]));
    // The service, and the next worker with it, takes it back.
    set(&worker, "running");
    worker.bench.forget_answers();
    worker.replace();
    assert_eq!(worker.read(status.1, 0, 100).unwrap(), b"completed\n");
}

#[test]
fn a_file_that_has_grown_has_grown_for_the_next_worker_too() {
    let (world, _) = runs(3);
    let mut worker = Worker::new(world);
    let file = worker.open(".vm0fs/errors");
    assert_eq!(worker.read(file.1, 0, 100).unwrap(), b"");
    let failures = |worker: &Worker, name: &str| {
        let error = Error::Invalid("on purpose".into());
        worker.bench.tree.note_failure(name, &error);
    };
    failures(&worker, "first");
    std::thread::sleep(Duration::from_millis(1_100));
    let grown = worker.read(file.1, 0, 1 << 20).unwrap();
    assert!(!grown.is_empty());
    worker.replace();
    // What it is now is another file, which does not begin as this one does.
    for later in 0..200 {
        failures(&worker, &format!("later {later}"));
    }
    assert!(worker.read(file.1, 0, 1 << 20).unwrap() == grown);
    assert_eq!(worker.size(file), grown.len() as u64);
}

#[test]
fn a_reader_of_a_directory_meets_each_name_once() {
    let (world, mut ids) = runs(100);
    let mut worker = Worker::new(world);
    let ino = worker.bench.ino("runs");
    let handle = worker.context.handles.add_directory(ino);
    let mut names = worker.names(ino, handle, 0, 40).unwrap();
    {
        let mut world = worker.bench.server.world();
        let then = world.ago(1);
        for _ in 0..30 {
            world.add_run(Run::new("writer", then));
        }
    }
    std::thread::sleep(Duration::from_millis(400));
    loop {
        worker.replace();
        let more = worker.names(ino, handle, names.len() as u64, 40).unwrap();
        if more.is_empty() {
            break;
        }
        names.extend(more);
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    ids.sort();
    assert_eq!(names, ids);
    // `rewinddir` asks for a new listing.
    assert_eq!(
        worker.names(ino, handle, 0, 1_000).unwrap().len(),
        2 + 3 + 130
    );
}

#[test]
fn a_directory_that_was_read_in_one_reply_stays_what_it_was() {
    let (world, _) = runs(10);
    let mut worker = Worker::new(world);
    let ino = worker.bench.ino("runs");
    let handle = worker.context.handles.add_directory(ino);
    let names = worker.names(ino, handle, 0, 1_000).unwrap();
    assert_eq!(names.len(), 2 + 3 + 10);
    let then = worker.bench.server.world().ago(1);
    worker
        .bench
        .server
        .world()
        .add_run(Run::new("writer", then));
    std::thread::sleep(Duration::from_millis(400));
    worker.replace();
    let rest = worker
        .names(ino, handle, names.len() as u64, 1_000)
        .unwrap();
    assert_eq!(rest, [""; 0]);
    let middle = worker.names(ino, handle, 5, 1_000).unwrap();
    assert_eq!(middle, names[5..], "no other listing in its place");
}

#[test]
fn a_directory_of_a_version_is_read_on_from_its_index() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Volume, "data");
    let files = (0..500).map(|n| File::new(format!("{n:03}"), "x"));
    let version = world.add_version(&id, VersionSpec::files(files.collect()));
    let mut worker = Worker::new(world);
    let ino = worker.bench.ino(&format!("volumes/data/{version}"));
    let handle = worker.context.handles.add_directory(ino);
    let mut names = worker.names(ino, handle, 0, 100).unwrap();
    while names.len() < 502 {
        worker.replace();
        let more = worker.names(ino, handle, names.len() as u64, 100).unwrap();
        assert!(!more.is_empty());
        names.extend(more);
    }
    let expected: Vec<String> = (0..500).map(|n| format!("{n:03}")).collect();
    assert_eq!(names[2..], expected);
}

#[test]
fn what_the_page_cache_may_hold_is_known_to_the_next_worker() {
    let mut worker = Worker::new(World::empty());
    for ino in [1, 2, 3, 2] {
        worker.context.outdated.insert(ino);
    }
    worker.context.outdated.remove(3);
    for _ in 0..2 {
        worker.replace();
        let outdated = &worker.context.outdated;
        let found: Vec<u64> = (0..6).filter(|ino| outdated.contains(*ino)).collect();
        assert_eq!(found, [1, 2]);
    }
}

#[test]
fn handles_of_any_bytes_are_refused() {
    let (world, ids) = runs(1);
    let mut worker = Worker::new(world);
    let ino = worker.bench.ino(&format!("runs/{}/status", ids[0]));
    let mut handles = Vec::new();
    for kind in 0..=255 {
        for extent in [0, 1, 1 << 41 | 12, u64::MAX] {
            let number = worker.context.handles.handover.new_handle();
            let record = LeftHandle {
                number,
                ino: ino ^ u64::from(kind > 10),
                kind,
                opener: 7,
                size: u64::MAX,
                extent,
            };
            worker.context.handles.handover.add_handle(&record).unwrap();
            handles.push((record.ino, number));
        }
    }
    worker.replace();
    for (ino, handle) in handles {
        assert!(worker.read(handle, 0, 10).is_err());
        assert!(worker.names(ino, handle, 5, 10).is_err());
        worker.context.handles.remove(handle);
    }
}

#[test]
fn a_request_that_has_killed_two_workers_is_answered_eio_and_named_once() {
    let mut worker = Worker::new(World::empty());
    let ino = worker.bench.ino("runs");
    let task = || Task::on("lookup", ino).named(b"poison");
    for _ in 0..2 {
        worker.context.admit(&task()).unwrap();
        let working = worker.context.working_on(&task());
        worker.bench.tree.handover().mark_guilty();
        std::mem::forget(working);
        worker.replace();
        crate::handover::forget_work();
    }
    let fs = Fs {
        context: worker.context.clone(),
    };
    for _ in 0..3 {
        let (reply, replied) = std::sync::mpsc::channel();
        let asked = move |_: &Context, result: Result<()>| reply.send(result).unwrap();
        fs.serve(0, task(), |_, _| panic!("it was tried"), asked);
        let error = replied.recv().unwrap().unwrap_err();
        assert_eq!(error.errno(), libc::EIO);
        assert!(error.to_string().contains("has ended 2 workers"), "{error}");
    }
    let (reply, replied) = std::sync::mpsc::channel();
    let other = Task::on("lookup", ino).named(b"other");
    fs.serve(
        0,
        other,
        |_, _| Ok(()),
        move |_, result| reply.send(result).unwrap(),
    );
    replied.recv().unwrap().unwrap();
    let errors = worker.bench.text(".vm0fs/errors");
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("poison"), "{errors}");
    assert!(!lines[0].contains("times"), "{errors}");
}

#[test]
fn a_reader_of_a_live_log_goes_on_where_it_was() {
    let mut world = World::empty();
    world.pace = None;
    let then = world.ago(60);
    let id = world.add_run(Run::new("writer", then).status("running"));
    for n in 0..300 {
        let at = then + jiff::SignedDuration::from_millis(20 * n);
        world.add_log(&id, LogRow::system(at, format!("line {n}")));
    }
    let mut worker = Worker::new(world);
    let file = worker.open(&format!("runs/{id}/logs"));
    let mut read = worker.read(file.1, 0, 5_000).unwrap();
    for n in 300..306 {
        let row = LogRow::system(jiff::Timestamp::now(), format!("line {n}"));
        worker.bench.server.world().add_log(&id, row);
        worker.replace();
        loop {
            let more = worker.read(file.1, read.len() as u64, 100_000).unwrap();
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
    }
    let text = String::from_utf8(read).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split(" info ").nth(1).unwrap())
        .collect();
    let expected: Vec<String> = (0..306).map(|n| format!("line {n}")).collect();
    let differs = lines
        .iter()
        .zip(&expected)
        .position(|(line, expected)| line != expected);
    assert_eq!((differs, lines.len()), (None, expected.len()));
    worker.context.handles.remove(file.1);
}

#[test]
fn a_file_that_is_opened_once_the_next_worker_is_about_to_begin_is_opened_by_that_one() {
    let worker = Worker::new(World::empty());
    let handover = worker.bench.tree.handover().clone();
    handover.close();
    let mut last = handover.new_handle();
    let (context, ino) = (worker.context.clone(), worker.bench.ino("agents"));
    let opening = std::thread::spawn(move || context.handles.add_directory(ino));
    // Until it has a number.
    while handover.new_handle() == last + 1 {
        last += 1;
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(!opening.is_finished(), "the kernel knows of it");
}

#[test]
fn what_is_done_once_the_next_worker_is_about_to_begin_is_answered_by_that_one() {
    let worker = Worker::new(World::empty());
    let (done, is_done) = std::sync::mpsc::channel();
    let (answered, is_answered) = std::sync::mpsc::channel();
    let context = worker.context.clone();
    let ask = move || {
        let asked = Asked {
            tid: 0,
            task: Task::on("write", 1),
            since: Instant::now(),
            has_waited: false,
            permitted: None,
        };
        // Another worker takes over in the middle of it.
        let operation = move |context: &Context, _: &View<'_>| {
            context.tree.handover().close();
            done.send(()).unwrap();
            Ok(())
        };
        attempt(context, asked, 1, operation, move |_, result| {
            answered.send(result).unwrap();
        });
    };
    std::thread::spawn(ask);
    is_done.recv().unwrap();
    let answer = is_answered.recv_timeout(Duration::from_millis(50));
    assert!(answer.is_err(), "{answer:?}");
}
