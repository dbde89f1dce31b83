//! Runs that progress: those started through the API, and those of the demo
//! world that go on logging while the server lives.

use super::{
    archive::{File, Maker},
    session::Claude,
    state::ServerState,
    story::{self, Line, Scene, answer, play, play_as},
    world::{Kind, LogRow, Pace, Run, Sample, VersionSpec, World, after, is_terminal},
};
use jiff::Timestamp;
use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

/// Words in a prompt that decide how its run ends.
const FAILS: &str = "fail";
const TIMES_OUT: &str = "time out";

/// A story by its name; one that does not exist does not compile.
macro_rules! story {
    ($name:literal) => {
        include_str!(concat!("stories/", $name, ".story"))
    };
}

/// The story of a run that was started through the API, by its agent.
fn started(agent: &str) -> &'static str {
    let own = story::text(&format!("started-{agent}"));
    own.unwrap_or(story!("started"))
}

/// Carries a started run from pending to its end.
pub(crate) async fn progress(state: Arc<ServerState>, id: String, pace: Pace) {
    tokio::time::sleep(pace.pending).await;
    let began = {
        let mut world = state.world();
        let (lines, files) = plan(&world, &id, pace);
        let run = world.run_mut(&id).filter(|run| !is_terminal(&run.status));
        run.map(|run| {
            let now = Timestamp::now();
            run.status = "running".into();
            run.started_at = Some(now);
            run.metrics.push(sample(now, 0));
            (now, lines, files)
        })
    };
    let Some((start, lines, files)) = began else {
        return;
    };
    let clock = tokio::time::Instant::now();
    for (step, (at, line)) in (1..).zip(lines) {
        tokio::time::sleep_until(clock + at).await;
        let told = with_run(&state, &id, |run| {
            let now = Timestamp::now();
            run.line(now, line);
            run.metrics.push(sample(now, step));
        });
        if told.is_none() {
            return;
        }
    }
    tokio::time::sleep(pace.row).await;
    end(&mut state.world(), &id, files, start);
}

/// The lines of a started run, each with its time after the start, and the files
/// that the run makes.
fn plan(world: &World, id: &str, pace: Pace) -> (Vec<(Duration, Line)>, Vec<File>) {
    let Some(run) = world.run(id) else {
        return (Vec::new(), Vec::new());
    };
    let story = started(&run.agent_name);
    let report = format!(
        "# Result\n\nRun `{id}` of agent `{}` was asked:\n\n> {}\n\n{}\n",
        run.agent_name,
        run.prompt.replace('\n', "\n> "),
        answer(story),
    );
    let modified = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let files = vec![File::new("RESULT.md", report).modified(modified)];
    let mut scene = Scene::of(world, run);
    if scene.input.is_empty() {
        // A request need not name the volume that the agent's configuration names.
        let volume = world.agent_volume(&run.agent_name);
        scene.input = volume.map_or_else(Vec::new, |version| version.files().to_vec());
    }
    scene.output.clone_from(&files);
    let listing: Vec<String> = scene.input.iter().map(|file| file.path.clone()).collect();
    let first = listing.iter().find(|path| path.ends_with(".md"));
    let first = first.or(listing.first());
    let first = first.map_or("RESULT.md".into(), |path| format!("input/{path}"));
    let scene = scene
        .word("listing", listing.join("\n"))
        .word("first", first);
    let length = pace.row.as_millis() as i64 * i64::from(pace.rows);
    let start = Timestamp::now();
    let lines = play(&ended(story, &run.prompt), &scene, start, Some(length));
    let after_start = |at: Timestamp| {
        let milliseconds = at.as_millisecond() - start.as_millisecond();
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
    };
    let lines = lines.into_iter().map(|(at, line)| (after_start(at), line));
    (lines.collect(), files)
}

/// The step in which a started run writes its result.
const WRITES: &str = "Write RESULT.md\n";

/// The story of a run with the end that its prompt asks for: a run that fails or
/// takes too long ends before it writes its result.
fn ended<'a>(story: &'a str, prompt: &str) -> Cow<'a, str> {
    let prompt = prompt.to_lowercase();
    let end = match (prompt.contains(FAILS), prompt.contains(TIMES_OUT)) {
        (true, _) if story.starts_with("%codex") => story!("fails-codex"),
        (true, _) => story!("fails"),
        (_, true) => story!("times-out"),
        _ => return story.into(),
    };
    let begun = story.find(WRITES).and_then(|at| story[..at].rfind('\n'));
    let begun = begun.map_or(story, |at| &story[..=at]);
    format!("{begun}{end}").into()
}

/// Calls `act` on the run of that id, unless there is none or it has ended.
fn with_run<T>(state: &ServerState, id: &str, act: impl FnOnce(&mut Run) -> T) -> Option<T> {
    let mut world = state.world();
    let run = world.run_mut(id)?;
    (!is_terminal(&run.status)).then(|| act(run))
}

/// A plausible sample: CPU in waves, memory that grows, a disk that fills.
pub(crate) fn sample(at: Timestamp, step: u32) -> Sample {
    let wave = (f64::from(step) * 0.45).sin() * 0.5 + 0.5;
    let ripple = (f64::from(step) * 1.7).sin() * 0.5 + 0.5;
    let cpu = 4.0 + wave * 68.0 + ripple * 21.0;
    Sample {
        at,
        cpu_percent: (cpu * 10.0).round() / 10.0,
        memory_used_mb: 310 + u64::from(step % 180) * 6 + (wave * 240.0) as u64,
        memory_total_mb: 4_096,
        disk_used_mb: 1_840 + u64::from(step) * 3,
        disk_total_mb: 20_480,
    }
}

fn end(world: &mut World, id: &str, made: Vec<File>, start: Timestamp) {
    let now = Timestamp::now();
    let Some(run) = world.run_mut(id).filter(|run| !is_terminal(&run.status)) else {
        return;
    };
    let prompt = run.prompt.to_lowercase();
    if prompt.contains(FAILS) {
        return run.finish(now, "failed", Some("Agent exited with code 1".into()));
    }
    if prompt.contains(TIMES_OUT) {
        let error = "Run exceeded its time limit".to_owned();
        return run.finish(now, "timeout", Some(error));
    }
    let name = run
        .artifact_name
        .clone()
        .unwrap_or_else(|| format!("{}-output", run.agent_name));
    let agent = run.agent_name.clone();
    let storage = world.storage(Kind::Artifact, &name);
    let (storage_id, mut files) = match storage {
        Some(storage) => (
            storage.id.clone(),
            storage
                .current()
                .map_or_else(Vec::new, |v| v.files().to_vec()),
        ),
        None => (world.add_storage(Kind::Artifact, &name), Vec::new()),
    };
    files.retain(|file| made.iter().all(|made| made.path != file.path));
    files.extend(made);
    let version = VersionSpec::files(files)
        .message(format!("Result of run {}", &id[..8.min(id.len())]))
        .created_by(format!("agent:{agent}"))
        .maker(Maker::RustTar)
        .created_at(now);
    let version = world.add_version(&storage_id, version);
    if let Some(run) = world.run_mut(id) {
        let took = now.as_second() - start.as_second();
        run.log(LogRow::system(
            now,
            format!(
                "[sandbox] artifact {name} saved as version {version}\n\
                 [sandbox] exit code 0 after {took} s"
            ),
        ));
        run.artifact_name = Some(name);
        run.artifact_version = Some(version);
        run.finish(now, "completed", None);
    }
}

/// Time between two rows of a run that goes on logging.
const TICK: Duration = Duration::from_secs(1);

/// Rows between two samples of such a run: the service takes a sample every 5 s.
const TICKS_A_SAMPLE: u32 = 5;

/// The most rows of such a run, about eight hours and 100 MB: it ends then, so
/// that a demo left alone does not use up the memory.
const MOST_ROWS: usize = 30_000;

/// Goes on logging for the run of that id until it is cancelled.
pub(crate) async fn keep_logging(state: Arc<ServerState>, id: String) {
    let watch = {
        let world = state.world();
        world.run(&id).map(|run| Watch::new(&world, run))
    };
    let Some(mut watch) = watch else {
        return;
    };
    for tick in 0_u32.. {
        tokio::time::sleep(TICK).await;
        let went_on = with_run(&state, &id, |run| {
            let now = Timestamp::now();
            watch.tick(run, now);
            if tick.is_multiple_of(TICKS_A_SAMPLE) {
                let step = u32::try_from(run.metrics.len()).unwrap_or(0);
                run.metrics.push(sample(now, step));
            }
            if run.logs.len() >= MOST_ROWS {
                watch.end(run, now);
            }
        });
        if went_on.is_none() {
            return;
        }
    }
}

/// The watcher's findings. Seven, which shares no factor with the other lists, so
/// that combinations repeat late.
const FINDINGS: [&str; 7] = [
    "paid, in stock, nothing to do",
    "paid, leaves with today's parcels",
    "repeat customer, paid, nothing to do",
    "partly in stock, split into two parcels",
    "paid by invoice, within the limit",
    "gift message found, passed on to the packers",
    "paid, pick-up at the shop",
];

/// Postcodes that customers gave; the shop's volume knows all but the last.
const POSTCODES: [&str; 5] = ["10115", "20095", "50667", "80331", "01097"];

/// The number of the first order.
const FIRST_ORDER: u32 = 48_210;

/// The demo's watcher, which checks a web shop's orders and logs a row each second.
pub(crate) struct Watch {
    order: u32,
    /// Files of the volume that it reads.
    input: Vec<File>,
    /// The order's lines that are not logged yet.
    lines: VecDeque<Line>,
}

impl Watch {
    /// The watcher of a run, which continues after the last row of its log.
    pub(crate) fn new(world: &World, run: &Run) -> Self {
        let mut watch = Self {
            order: FIRST_ORDER + run.logs.len() as u32,
            input: Scene::of(world, run).input,
            lines: VecDeque::new(),
        };
        if run.logs.is_empty() {
            watch.play(story!("watch-begin"), run);
        }
        watch
    }

    fn play(&mut self, story: &str, run: &Run) {
        let order = self.order;
        let pick = |from: usize| (order as usize) % from;
        let words = [
            ("order", order.to_string()),
            ("before", (order - 1).to_string()),
            ("total", (19 + order * 37 % 2_400).to_string()),
            ("postcode", POSTCODES[pick(POSTCODES.len())].into()),
            ("duration", (40 + order % 37).to_string()),
            ("finding", FINDINGS[pick(FINDINGS.len())].into()),
        ];
        let scene = Scene {
            run,
            input: self.input.clone(),
            output: Vec::new(),
            words: words.into(),
        };
        // Ids follow from the order, so that none comes twice.
        let seed = format!("{}:{order}", run.id);
        let lines = play_as(&seed, story, &scene, Timestamp::UNIX_EPOCH, None);
        self.lines.extend(lines.into_iter().map(|(_, line)| line));
    }

    /// One row more.
    pub(crate) fn tick(&mut self, run: &mut Run, now: Timestamp) {
        if self.lines.is_empty() {
            self.order += 1;
            let story = match (self.order as usize) % POSTCODES.len() {
                4 => story!("watcher-flag"),
                _ => story!("watcher"),
            };
            self.play(story, run);
        }
        if let Some(line) = self.lines.pop_front() {
            run.line(now, line);
        }
    }

    /// Ends a watch that has become too long.
    fn end(&mut self, run: &mut Run, now: Timestamp) {
        let started = run.started_at.unwrap_or(now);
        let mut claude = Claude::new(&format!("{}:end", run.id), started);
        claude
            .at(now)
            .finish("The watch is over; the next one takes over from here.");
        run.tell(&mut claude);
        run.finish(after(now, 1), "completed", None);
    }
}
