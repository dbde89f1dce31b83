//! Runs that progress: those started through the API, and those of the demo
//! world that go on logging while the server lives.

use super::{
    Shared,
    archive::File,
    session::Claude,
    world::{Kind, LogRow, Pace, Run, Sample, VersionSpec, World, after, is_terminal},
};
use jiff::Timestamp;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Words in a prompt that decide how its run ends.
const FAILS: &str = "fail";
const TIMES_OUT: &str = "time out";

/// What a started run says, in turn.
const STEPS: [(&str, &str); 8] = [
    ("agent", "Reading the instructions and the mounted volumes."),
    ("network", "POST https://api.anthropic.com/v1/messages 200"),
    (
        "agent",
        "Listing the working directory to see what is there.",
    ),
    ("system", "Checkpoint of the session saved"),
    ("agent", "Working through the input file by file."),
    (
        "network",
        "GET https://packages.example.com/simple/pandas/ 200",
    ),
    (
        "agent",
        "Checking the result against the instructions:\n- structure is complete\n- figures add up",
    ),
    ("agent", "Writing the result to the artifact."),
];

/// Carries a started run from pending to its end.
pub(crate) async fn progress(shared: Arc<Shared>, id: String, pace: Pace) {
    tokio::time::sleep(pace.pending).await;
    let began = with_run(&shared, &id, |run| {
        let now = Timestamp::now();
        run.status = "running".into();
        run.started_at = Some(now);
        let image = "Sandbox started from vm0/claude-code:latest";
        run.log(LogRow::new(now, "system", "info", image));
        run.tell(Claude::new(&run.id.clone(), now).init());
        run.metrics.push(sample(now, 0));
    });
    if began.is_none() {
        return;
    }
    for step in 0..pace.rows {
        tokio::time::sleep(pace.row).await;
        let told = with_run(&shared, &id, |run| tell(run, step));
        if told.is_none() {
            return;
        }
    }
    tokio::time::sleep(pace.row).await;
    end(&mut shared.world(), &id);
}

/// Acts on a run that is there and has not ended.
fn with_run<T>(shared: &Shared, id: &str, act: impl FnOnce(&mut Run) -> T) -> Option<T> {
    let mut world = shared.world();
    let run = world.run_mut(id)?;
    (!is_terminal(&run.status)).then(|| act(run))
}

fn tell(run: &mut Run, step: u32) {
    let now = Timestamp::now();
    let (kind, text) = STEPS[step as usize % STEPS.len()];
    match kind {
        "agent" => {
            run.event(now, Claude::said(text));
        }
        "network" => {
            let mut words = text.split(' ');
            let (method, url) = (words.next(), words.next());
            let row = LogRow::new(now, "network", "info", text).metadata(json!({
                "method": method, "url": url, "status": 200, "duration": 90 + step * 7,
            }));
            run.log(row);
        }
        _ => run.log(LogRow::new(now, kind, "info", text)),
    }
    run.metrics.push(sample(now, step + 1));
}

/// A believable sample: work in waves, memory that grows, a disk that fills.
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

fn end(world: &mut World, id: &str) {
    let now = Timestamp::now();
    let Some(run) = world.run_mut(id).filter(|run| !is_terminal(&run.status)) else {
        return;
    };
    let prompt = run.prompt.to_lowercase();
    if prompt.contains(FAILS) {
        run.log(LogRow::new(
            now,
            "system",
            "error",
            "Agent exited with code 1",
        ));
        return run.finish(now, "failed", Some("Agent exited with code 1".into()));
    }
    if prompt.contains(TIMES_OUT) {
        run.log(LogRow::new(now, "system", "error", "Time limit reached"));
        let error = "Run exceeded its time limit".to_owned();
        return run.finish(now, "timeout", Some(error));
    }
    let name = run
        .artifact_name
        .clone()
        .unwrap_or_else(|| format!("{}-output", run.agent_name));
    let report = format!(
        "# Result\n\nRun `{id}` of agent `{}` was asked:\n\n> {}\n\nIt finished at {now:.0}.\n",
        run.agent_name,
        run.prompt.replace('\n', "\n> "),
    );
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
    files.retain(|file| file.path != "RESULT.md");
    let modified = u64::try_from(now.as_second()).unwrap_or(0);
    files.push(File::new("RESULT.md", report).modified(modified));
    let version = VersionSpec::files(files)
        .message(format!("Result of run {}", &id[..8.min(id.len())]))
        .created_by(format!("agent:{agent}"))
        .created_at(now);
    let version = world.add_version(&storage_id, version);
    if let Some(run) = world.run_mut(id) {
        let message = format!("Artifact {name} saved as version {version}");
        run.log(LogRow::new(now, "system", "info", message));
        run.tell(Claude::new(&run.id.clone(), now).finish("Done."));
        run.artifact_name = Some(name);
        run.artifact_version = Some(version);
        run.finish(now, "completed", None);
    }
}

/// Time between two rows of a run that logs for ever.
const TICK: Duration = Duration::from_secs(1);

/// Rows between two samples of such a run: samples come about every 5 s.
const TICKS_A_SAMPLE: u32 = 5;

/// Rows that such a run keeps at most, a day's and some 60 MB: a demo left
/// alone must not eat the memory.
const MOST_ROWS: usize = 90_000;

/// Goes on logging for the run of that id until it is cancelled.
pub(crate) async fn keep_logging(shared: Arc<Shared>, id: String) {
    loop {
        tokio::time::sleep(TICK).await;
        let went_on = with_run(&shared, &id, |run| {
            let now = Timestamp::now();
            let tick = u32::try_from(run.logs.len()).unwrap_or(0);
            watch(run, tick, now);
            if tick % TICKS_A_SAMPLE == 0 {
                let step = u32::try_from(run.metrics.len()).unwrap_or(0);
                run.metrics.push(sample(now, step));
            }
            if run.logs.len() >= MOST_ROWS {
                run.finish(after(now, 1), "completed", None);
            }
        });
        if went_on.is_none() {
            return;
        }
    }
}

/// What the watcher finds. Seven, so that they do not fall in step with the rest.
const FINDINGS: [&str; 7] = [
    "paid, in stock, nothing to do",
    "paid, leaves with today's parcels",
    "repeat customer, paid, nothing to do",
    "partly in stock, split into two parcels",
    "paid by invoice, within the limit",
    "gift message found, passed on to the packers",
    "paid, pick-up at the shop",
];

/// One row of the demo's watcher, which looks after a web shop's orders.
pub(crate) fn watch(run: &mut Run, tick: u32, now: Timestamp) {
    let order = 48_210 + tick;
    match tick % 10 {
        3 => {
            let url = format!("https://shop.example.com/api/orders?after={order}");
            let row = LogRow::new(now, "network", "info", format!("GET {url} 200"));
            run.log(row.metadata(json!({
                "method": "GET", "url": url, "status": 200, "duration": 40 + tick % 37,
            })));
        }
        7 => {
            let text = format!("Heartbeat: {tick} orders checked, queue is short");
            run.log(LogRow::new(now, "system", "debug", text));
        }
        9 if tick.is_multiple_of(3) => {
            let text = format!("Order {order}: address and postcode do not agree, flagged");
            run.log(LogRow::new(now, "agent", "warn", text));
        }
        _ => {
            let text = format!(
                "Order {order}: {}",
                FINDINGS[tick as usize % FINDINGS.len()]
            );
            run.event(now, Claude::said(&text));
        }
    }
}
