//! Faults of the network and of the service, through a mount: what a command is
//! told, how soon, what `.vm0fs/errors` says of it, how often the service was
//! asked, and that all is well again afterwards.

mod connections;
mod downloads;
mod errnos;
mod error_answers;
mod rate_budget;
mod unreachable;
mod wrong_content;

use crate::support::fake::{Action, Agent, Fault, File, Kind, Port, Run, VersionSpec, World};
use crate::support::{Bench, Mount, SOON};
use std::{
    ops::RangeInclusive,
    process::Output,
    thread,
    time::{Duration, Instant},
};

/// How the mounts here are started: the longest silence, and for how long a name
/// that was not found stays so.
const ARGUMENTS: [&str; 4] = ["--timeout", "2s", "--list-ttl", "2s"];

/// The tries of a read that a passing fault hits, one after another.
const TRIES: usize = 3;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Listing a folder of names.
    List,
    /// Reading a run's status, by an id that nothing known holds.
    Status,
    /// Reading the same run's page, for another run.
    Page,
    /// Reading a run's log.
    Logs,
    /// Starting a run.
    Start,
    /// Cancelling a run.
    Cancel,
}

impl Deed {
    pub(crate) const ALL: [Self; 6] = [
        Self::List,
        Self::Status,
        Self::Page,
        Self::Logs,
        Self::Start,
        Self::Cancel,
    ];

    fn is_write(self) -> bool {
        matches!(self, Self::Start | Self::Cancel)
    }
}

/// What a fault makes of the deeds.
struct Row {
    name: &'static str,
    action: Action,
    /// What `ls` of a listing, what reading of a run, and what writing says.
    list: &'static str,
    read: &'static str,
    write: &'static str,
    /// How often the service is asked for a read, and for a write.
    reads: RangeInclusive<usize>,
    writes: RangeInclusive<usize>,
    /// What `.vm0fs/errors` says of each; nothing where it has nothing to say of
    /// reads.
    words: &'static [&'static str],
    /// Whether reads are told of there too: that a path does not exist is not.
    reads_told: bool,
    /// What is said of writes besides.
    write_words: &'static [&'static str],
}

impl Row {
    /// A fault that says the same to all, asks once, and is told with `words`.
    fn new(
        name: &'static str,
        action: Action,
        reason: &'static str,
        words: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            action,
            list: reason,
            read: reason,
            write: reason,
            reads: 1..=1,
            writes: 1..=1,
            words,
            reads_told: true,
            write_words: &[],
        }
    }

    /// One that passes, so that reads are tried again.
    fn passing(mut self) -> Self {
        self.reads = TRIES..=TRIES;
        self
    }

    /// One that leaves open whether the service has acted on a write.
    fn open(mut self) -> Self {
        self.write_words = &["may have"];
        self
    }

    fn reason(&self, deed: Deed) -> &'static str {
        match deed {
            Deed::List => self.list,
            _ if deed.is_write() => self.write,
            _ => self.read,
        }
    }
}

/// A mount with something to do each deed on.
pub(crate) struct Scene {
    /// Unmounted before its server goes.
    pub(crate) mount: Mount,
    pub(crate) bench: Bench,
    /// Runs for the status, the page, the log, and to be cancelled.
    runs: [String; 4],
}

impl Scene {
    fn new() -> Self {
        Self::with(&ARGUMENTS)
    }

    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut world = World::empty();
        world.pace = None;
        world.add_agent(Agent::new("writer", world.ago(20_000)));
        let storage = world.add_storage(Kind::Artifact, "report");
        world.add_version(
            &storage,
            VersionSpec::files(vec![File::new("f", "content\n")]),
        );
        let runs = [1, 2, 3, 4].map(|n| {
            let status = if n == 4 { "running" } else { "completed" };
            let run = Run::new("writer", world.ago(9_000 + n)).status(status);
            world.add_run(run)
        });
        let bench = Bench::at_own_address(world);
        let mounting = arguments
            .iter()
            .fold(bench.mount(), |mounting, each| mounting.with([*each]));
        let mount = mounting.start();
        Self { mount, bench, runs }
    }

    pub(crate) fn script(&self, deed: Deed) -> String {
        let [status, page, logs, cancel] = &self.runs;
        match deed {
            Deed::List => "ls artifacts".into(),
            Deed::Status => format!("cat runs/{status}/status"),
            Deed::Page => format!("cat runs/{page}/run.json"),
            Deed::Logs => format!("cat runs/{logs}/logs"),
            // Not the shell's own, which does not look at what closing says.
            Deed::Start => "/bin/echo go > agents/writer/run".into(),
            Deed::Cancel => format!("/bin/echo x > runs/{cancel}/cancel"),
        }
    }

    /// The request that a deed makes, and what tells its line in the errors.
    pub(crate) fn request(&self, deed: Deed) -> (&'static str, String, String) {
        let [status, page, logs, cancel] = &self.runs;
        let (method, path, subject) = match deed {
            Deed::List => ("GET", "artifacts".into(), "list of artifacts".into()),
            Deed::Status => ("GET", format!("runs/{status}"), format!("run {status}")),
            Deed::Page => ("GET", format!("runs/{page}"), format!("run {page}")),
            Deed::Logs => (
                "GET",
                format!("runs/{logs}/logs"),
                format!("logs of run {logs}"),
            ),
            Deed::Start => ("POST", "runs".into(), "start of a run".into()),
            Deed::Cancel => (
                "POST",
                format!("runs/{cancel}/cancel"),
                format!("cancel of run {cancel}"),
            ),
        };
        (method, format!("/v1/{path}"), subject)
    }

    /// How often the service has received the request of a deed.
    fn asked(&self, deed: Deed) -> usize {
        let (method, path, _) = self.request(deed);
        let requests = self.bench.server.requests_to(Port::Api, &path);
        let same = requests
            .iter()
            .filter(|request| request.method == method && request.path == path);
        same.count()
    }

    /// Does all deeds at the same time, and gives what came of each.
    #[track_caller]
    fn all(&self) -> Vec<(Deed, Output)> {
        let running: Vec<_> = Deed::ALL
            .iter()
            .map(|deed| (*deed, self.mount.start(&self.script(*deed))))
            .collect();
        running
            .into_iter()
            .map(|(deed, running)| (deed, running.output()))
            .collect()
    }

    /// Waits until a deed succeeds, for as long as failures stand and a little.
    #[track_caller]
    fn recovers(&self, deed: Deed, name: &str) {
        recovers(&self.mount, &self.script(deed), name);
    }
}

/// Repeats a command until it succeeds.
#[track_caller]
pub(crate) fn recovers(mount: &Mount, script: &str, name: &str) {
    let end = Instant::now() + SOON;
    loop {
        let output = mount.try_run(script);
        if output.status.success() {
            return;
        }
        assert!(Instant::now() < end, "{name}: {script}: {output:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Rows that are checked at the same time: most of each is waiting.
const AT_A_TIME: usize = 4;

/// Checks the rows of a table, some at a time.
fn each<T: Send>(mut rows: Vec<T>, check: impl Fn(T) + Sync) {
    let check = &check;
    while !rows.is_empty() {
        let some = rows.drain(..rows.len().min(AT_A_TIME));
        thread::scope(|scope| {
            for row in some {
                scope.spawn(move || check(row));
            }
        });
    }
}

/// The table.
fn check(rows: Vec<Row>) {
    each(rows, |row| {
        let scene = Scene::new();
        for deed in Deed::ALL {
            let (method, path, _) = scene.request(deed);
            let fault = Fault::api_exact(&path, row.action.clone()).method(method);
            scene.bench.server.fault(fault);
        }
        for (deed, output) in scene.all() {
            let said = String::from_utf8_lossy(&output.stderr);
            let context = format!("{}: {deed:?}: {output:?}", row.name);
            assert!(!output.status.success(), "{context}");
            assert!(said.contains(row.reason(deed)), "{context}");
            assert!(output.stdout.is_empty(), "{context}: part of an answer");
            let expected = if deed.is_write() {
                &row.writes
            } else {
                &row.reads
            };
            let asked = scene.asked(deed);
            assert!(expected.contains(&asked), "{context}: asked {asked} times");
        }
        let errors = scene.mount.cat(".vm0fs/errors");
        for deed in Deed::ALL {
            let (_, _, subject) = scene.request(deed);
            let line = errors
                .lines()
                .find(|line| line.contains(&format!(" {subject}")));
            if !row.reads_told && !deed.is_write() && deed != Deed::List {
                assert_eq!(line, None, "{}: {deed:?}", row.name);
                continue;
            }
            let line = line.unwrap_or_else(|| panic!("{}: {deed:?} is not in {errors}", row.name));
            let more = if deed.is_write() {
                row.write_words
            } else {
                &[]
            };
            for word in row.words.iter().chain(more) {
                assert!(
                    line.contains(word),
                    "{}: {deed:?}: no {word:?} in {line}",
                    row.name
                );
            }
        }
        scene.bench.server.clear_faults();
        // An order is given once, and a new one is a new order.
        let before = scene.asked(Deed::Start);
        scene.mount.run(&scene.script(Deed::Start));
        assert_eq!(scene.asked(Deed::Start), before + 1, "{}", row.name);
        for deed in Deed::ALL.into_iter().filter(|deed| !deed.is_write()) {
            scene.recovers(deed, row.name);
        }
        let [.., cancelled] = &scene.runs;
        let is_over = scene.bench.server.world().run(cancelled).unwrap().status != "running";
        if !is_over {
            scene.mount.run(&scene.script(Deed::Cancel));
        }
        assert_eq!(
            scene.bench.server.world().run(cancelled).unwrap().status,
            "cancelled"
        );
    });
}
