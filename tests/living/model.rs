//! The model: random lives of a run against what the files must show.
//!
//! A life is made from a seed: rows come (late, at one moment, with control
//! characters, events of all kinds, whole, cut and without metadata), files are opened, read, followed and
//! left, the wire is bad for a while, the run ends. After each step, what was
//! read before must still be there; in the end, the files are the rows.
//!
//! Which seeds, and for how long: [`Lives`].

mod rows;

use super::{difference, events_of, json_lines, json_of, of_kind};
use crate::support::fake::{Action, Agent, Fault, LogRow, Quirks, Run, World};
use crate::support::{
    Bench, Mount, Who,
    seeds::{Lives, Random},
    watched::Watched,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

const LIVES: Lives = Lives {
    kept: &[
        (
            1_795_824_544_451,
            "rows came twice: a cursor was used without the since it counted from",
        ),
        (
            1_795_826_248_671,
            "more rows at one moment than a page holds, behind a cursor that loses them",
        ),
        (
            1_796_007_786_283,
            "events told before their rows made a log count as too long to be read again in the \
             end: rows that came late were missing for good",
        ),
    ],
    usual: 6,
    at_once: 3,
};

const FILES: [&str; 6] = [
    "logs",
    "logs.jsonl",
    "agent.log",
    "system.log",
    "network.log",
    "events.jsonl",
];

/// A row that comes later than its time by more is found in the end only.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// When all that came in time is to be seen by a process that opens the file anew.
const SEEN: Duration = Duration::from_secs(30);

/// How long a fault of the wire may be felt when it is over.
const FELT: Duration = Duration::from_secs(4);

/// An open file and all that was read of it.
struct Open {
    name: &'static str,
    file: File,
    seen: Vec<u8>,
}

/// How late the end of a run may be told: a stream that fell silent while the wire
/// was bad is given up after 40 s without even a heartbeat.
const END_TOLD: Duration = Duration::from_secs(60);

/// One life.
struct Life {
    random: Random,
    mount: Option<Mount>,
    run: String,
    open: Vec<Open>,
    followers: Vec<(&'static str, Watched)>,
    /// What a fresh look at each file showed last.
    last: HashMap<&'static str, Vec<u8>>,
    sequence: u64,
    /// How many texts bear a mark.
    marks: u64,
    newest: Timestamp,
    /// Rows that came too late to be found before the end.
    late: Vec<Value>,
    is_faulty: bool,
    /// When the wire became well again.
    mended: Option<Instant>,
    /// Dropped last: a folder that is mounted cannot be removed.
    bench: Bench,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::empty();
        world.pace = None;
        world.heartbeat = Duration::from_millis(200 + random.below(800));
        if random.one_in(2) {
            world.quirks = Quirks::none();
        }
        let then = world.ago(60);
        world.add_agent(Agent::new("writer", then));
        let status = *random.pick(&["running", "running", "pending"]);
        let run = world.add_run(Run::new("writer", then).status(status));
        let bench = Bench::new(world);
        let mount = mount(&bench);
        Self {
            random,
            mount: Some(mount),
            run,
            open: Vec::new(),
            followers: Vec::new(),
            last: HashMap::new(),
            sequence: 0,
            marks: 0,
            newest: then,
            late: Vec::new(),
            is_faulty: false,
            mended: None,
            bench,
        }
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount().join(&format!("runs/{}/{name}", self.run))
    }

    /// Lives it to its end.
    fn live(mut self) {
        for _ in 0..40 {
            match self.random.below(12) {
                0..5 => self.append(),
                5 => self.open_one(),
                6 | 7 => self.read_somewhere(),
                8 => self.look_anew(),
                9 => self.begin_or_stop_following(),
                10 if self.random.one_in(2) => self.change_the_wire(),
                _ => thread::sleep(Duration::from_millis(self.random.below(700))),
            }
            self.nothing_has_changed();
        }
        self.all_is_seen();
        self.end();
    }

    fn append(&mut self) {
        // A page and more now and then. Two such in one millisecond are more at
        // one moment than a page holds, but fewer of one type than two pages.
        let count = if self.random.one_in(12) {
            140
        } else {
            1 + self.random.below(4)
        };
        let burst = Timestamp::now();
        for n in 0..count {
            let mut row = self.row();
            if count > 4 {
                let at = burst
                    .checked_add(SignedDuration::from_millis(n as i64 / 60))
                    .unwrap();
                row = LogRow {
                    timestamp: format!("{at:.3}"),
                    at: format!("{at:.3}").parse().unwrap(),
                    ..row
                };
            }
            if row.at < self.newest.checked_sub(OVERLAP).unwrap() {
                self.late.push(json_of(&row));
            }
            self.newest = self.newest.max(row.at);
            self.bench.server.world().add_log(&self.run, row);
        }
    }

    /// What reading gives; `None` where the wire is bad and nothing was known.
    fn allow<T>(&self, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            // A failure stands for an answer for a while.
            Err(error) if self.is_faulty || self.mended.is_some_and(|at| at.elapsed() < FELT) => {
                let error = error.raw_os_error();
                let may = [libc::EIO, libc::ETIMEDOUT, libc::EAGAIN, libc::ENETUNREACH];
                assert!(error.is_some_and(|error| may.contains(&error)), "{error:?}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn open_one(&mut self) {
        let name = *self.random.pick(&FILES);
        if self.open.len() >= 8 {
            self.open.remove(0);
        }
        if let Some(file) = self.allow(File::open(self.path(name))) {
            self.open.push(Open {
                name,
                file,
                seen: Vec::new(),
            });
        }
    }

    fn read_somewhere(&mut self) {
        if self.open.is_empty() {
            return self.open_one();
        }
        let number = self.random.below(self.open.len() as u64) as usize;
        let (all, at, length) = {
            let seen = self.open[number].seen.len() as u64;
            (
                self.random.one_in(2),
                self.random.below(seen + 20),
                self.random.below(5_000),
            )
        };
        let open = &mut self.open[number];
        if all {
            let mut read = 1;
            while read > 0 {
                let mut piece = vec![0; 1 + length as usize];
                read = open
                    .file
                    .read_at(&mut piece, open.seen.len() as u64)
                    .unwrap();
                open.seen.extend_from_slice(&piece[..read]);
            }
            return;
        }
        let mut piece = vec![0; length as usize];
        let read = open.file.read_at(&mut piece, at).unwrap();
        let known = open.seen.get(at as usize..).unwrap_or_default();
        let both = known.len().min(read);
        assert!(known[..both] == piece[..both], "{} at {at}", open.name);
        assert!(
            read >= known.len().min(piece.len()),
            "{} is shorter",
            open.name
        );
    }

    /// A fresh `stat` and a fresh look, which others must agree with.
    fn look_anew(&mut self) {
        let name = *self.random.pick(&FILES);
        let path = self.path(name);
        let Some(stat) = self.allow(fs::metadata(&path)) else {
            return;
        };
        let Some(bytes) = self.allow(fs::read(&path)) else {
            return;
        };
        let last = self.last.entry(name).or_default();
        assert!(bytes.starts_with(last), "{name} has changed");
        assert!(
            stat.len() >= last.len() as u64,
            "{name}: the size went back"
        );
        assert!(
            bytes.len() as u64 >= stat.len(),
            "{name}: the size is a lie"
        );
        if name.ends_with("jsonl") {
            json_lines(std::str::from_utf8(&bytes).unwrap());
        }
        *last = bytes;
    }

    fn begin_or_stop_following(&mut self) {
        if self.followers.len() < 3 && (self.followers.is_empty() || self.random.one_in(2)) {
            let name = *self.random.pick(&FILES);
            let flag = *self.random.pick(&["-f", "-F"]);
            let script = format!("exec tail -n +1 {flag} -s 0.3 runs/{}/{name}", self.run);
            self.followers.push((name, self.mount().watch(&script)));
        } else {
            self.followers.remove(0);
        }
    }

    fn change_the_wire(&mut self) {
        self.is_faulty = !self.is_faulty;
        if !self.is_faulty {
            self.mended = Some(Instant::now());
            return self.bench.server.clear_faults();
        }
        let html = Action::Status {
            status: 200,
            body: "<html></html>".into(),
            content_type: "text/html".into(),
            headers: Vec::new(),
        };
        let actions = [
            Action::internal_error(),
            Action::bad_gateway(),
            html,
            Action::rate_limited(1),
            Action::CloseBeforeHeaders,
            Action::Truncate { after: 300 },
            Action::StallBody { after: 300 },
            Action::Delay(Duration::from_millis(400)),
        ];
        let paths = ["logs", "events", ""];
        let path = format!("/v1/runs/{}/{}", self.run, self.random.pick(&paths));
        let fault = Fault::api(&path, self.random.pick(&actions).clone());
        self.bench.server.fault(fault);
    }

    /// What was read is what is read, and lines are rows.
    fn nothing_has_changed(&mut self) {
        for open in &self.open {
            let mut now = vec![0; open.seen.len()];
            let read = open.file.read_at(&mut now, 0).unwrap();
            assert!(
                now[..read] == open.seen[..read],
                "{} has changed",
                open.name
            );
            assert!(
                read == now.len() || read >= 1 << 16,
                "{} is shorter",
                open.name
            );
            if let Some(last) = self.last.get(open.name) {
                let both = last.len().min(open.seen.len());
                assert!(
                    last[..both] == open.seen[..both],
                    "{}: two truths",
                    open.name
                );
            }
        }
        for (name, follower) in &self.followers {
            let (shown, last) = (follower.text(), self.last.get(name));
            let last = last.map_or(&[][..], Vec::as_slice);
            let both = last.len().min(shown.len());
            let is_tails = shown.starts_with("tail: ") || shown.contains("\ntail: ");
            // While the wire is bad, `tail` may have words of its own.
            assert!(
                is_tails || last[..both] == shown.as_bytes()[..both],
                "{name}: a follower saw something else"
            );
        }
    }

    fn rows(&self) -> Vec<LogRow> {
        super::rows(&self.bench, &self.run)
    }

    /// With a good wire, all that came in time is there soon, and nothing else.
    fn all_is_seen(&mut self) {
        self.bench.server.clear_faults();
        self.is_faulty = false;
        let mut expected = counted(self.rows().iter().map(json_of));
        for row in &self.late {
            let count = expected.get_mut(&row.to_string()).unwrap();
            *count -= 1;
        }
        let whole = counted(self.rows().iter().map(json_of));
        let end = Instant::now() + SEEN;
        loop {
            let shown = fs::read_to_string(self.path("logs.jsonl")).unwrap_or_default();
            let shown = counted(json_lines(&shown).into_iter());
            for (row, count) in &shown {
                assert!(
                    *count <= whole.get(row).copied().unwrap_or(0),
                    "twice: {row}"
                );
            }
            let missing = expected
                .iter()
                .find(|(row, count)| shown.get(*row).copied().unwrap_or(0) < **count);
            let Some((row, _)) = missing else { break };
            assert!(Instant::now() < end, "not seen within {SEEN:?}: {row}");
            thread::sleep(Duration::from_millis(200));
        }
        self.nothing_has_changed();
    }

    fn end(&mut self) {
        let status = *self
            .random
            .pick(&["completed", "failed", "timeout", "cancelled"]);
        {
            let mut world = self.bench.server.world();
            let long_ago = world.ago(45);
            let run = world.run_mut(&self.run).unwrap();
            run.finish(long_ago, status, None);
        }
        let end = Instant::now() + END_TOLD;
        while fs::read_to_string(self.path("status")).unwrap() != format!("{status}\n") {
            assert!(Instant::now() < end, "the end is not told");
            thread::sleep(Duration::from_millis(100));
        }
        // What was asked for before the end was told is final a moment later.
        while !self.is_final() {
            assert!(
                Instant::now() < end,
                "the files are not the rows: {}",
                self.difference()
            );
            thread::sleep(Duration::from_millis(200));
        }
        self.last.clear();
        self.nothing_has_changed();
        self.open.clear();
        self.followers.clear();
        // And from the cache.
        drop(self.mount.take());
        self.bench.server.clear_requests();
        self.mount = Some(mount(&self.bench));
        assert!(self.is_final(), "after a restart: {}", self.difference());
        let (streams, calls) = super::streams_and_calls(&self.bench);
        assert!(streams.is_empty(), "{streams:?}");
        let logs = calls.iter().filter(|call| call.path.ends_with("/logs"));
        assert_eq!(logs.count(), 0, "calls after a restart");
    }

    /// Each file as it is and as it has to be.
    fn pairs(&self) -> [(&'static str, String, String); 6] {
        let rows = self.rows();
        FILES.map(|name| {
            let shown = fs::read_to_string(self.path(name)).unwrap();
            let (shown, expected) = match name {
                "logs" => drawn(shown, &rows),
                "logs.jsonl" => (
                    same(&json_lines(&shown)),
                    same(&rows.iter().map(json_of).collect::<Vec<_>>()),
                ),
                "events.jsonl" => (same(&json_lines(&shown)), same(&events_of(&rows))),
                _ => {
                    let kind = name.strip_suffix(".log").unwrap();
                    drawn(shown, &of_kind(&rows, Some(kind)))
                }
            };
            (name, shown, expected)
        })
    }

    fn is_final(&self) -> bool {
        self.pairs()
            .iter()
            .all(|(_, shown, expected)| shown == expected)
    }

    fn difference(&self) -> String {
        let pairs = self.pairs();
        let Some((name, shown, expected)) = pairs.iter().find(|(_, a, b)| a != b) else {
            return "none any more".into();
        };
        let lines = shown.lines().zip(expected.lines());
        let first = lines.enumerate().find(|(_, (a, b))| a != b);
        let counts = (shown.lines().count(), expected.lines().count());
        format!("{name}: {counts:?} lines, first {first:?}")
    }
}

fn mount(bench: &Bench) -> Mount {
    let options = ["--list-ttl", "1s", "--timeout", "2s"];
    bench.mount_as(Who::Myself).with(options).start()
}

/// A text file, and what it should be: itself, where it shows these rows.
fn drawn(shown: String, rows: &[LogRow]) -> (String, String) {
    match difference(&shown, rows) {
        None => (shown.clone(), shown),
        Some(difference) => (shown, difference),
    }
}

fn same(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

fn counted(values: impl Iterator<Item = Value>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for value in values {
        *counts.entry(value.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn random_lives_of_a_run_match_the_model() {
    LIVES.live(|seed| Life::new(seed).live());
}
