//! The runs of the demo world, with what they logged and measured.

use super::{
    super::{
        live,
        session::Claude,
        world::{Kind, LogRow, Run, World, after, is_terminal, uuid},
    },
    make::Dice,
    plans::{PLANS, Plan},
};
use jiff::Timestamp;
use serde_json::json;

pub(super) fn add(world: &mut World) {
    for (number, plan) in PLANS.iter().enumerate() {
        let run = run(world, number as u64, plan);
        world.add_run(run);
    }
    let live = watcher(world);
    let id = world.add_run(live);
    world.live.push(id);
}

fn run(world: &World, number: u64, plan: &Plan) -> Run {
    let &(agent, prompt, status, age, seconds, progress, measured, artifact) = plan;
    let created = world.ago(age);
    let mut run = Run::new(agent, created)
        .id(uuid(&format!("demo-run:{number}")))
        .prompt(prompt)
        .status(status);
    run.session_id = Some(uuid(&format!("demo-session:{number}")));
    let started = after(created, 1_400 + number as i64 % 5 * 320);
    let end = if is_terminal(status) {
        after(started, seconds * 1_000)
    } else {
        world.born
    };
    run.started_at = (status != "pending").then_some(started);
    run.completed_at = is_terminal(status).then_some(end);
    run.error = error(status, agent).map(str::to_owned);
    if status == "completed" {
        run.checkpoint_id = Some(uuid(&format!("demo-checkpoint:{number}")));
    }
    if let Some((name, index)) = artifact {
        let version = world
            .storage(Kind::Artifact, name)
            .map(|s| s.versions.get(index));
        if let Some(Some(version)) = version {
            run = run.artifact(name, &version.id);
        }
    }
    if let Some(&(_, _, volume, ..)) = super::agents::AGENTS.iter().find(|a| a.0 == agent) {
        run = run.volume(volume, volume_version(world, volume, created));
    }
    if agent == "site-builder" {
        run = run.volume("brand-assets", "latest");
    }
    if status != "pending" {
        log(&mut run, number, progress, started, end);
    }
    if measured && status != "pending" {
        // A sample each 5 s, as the service takes them.
        let samples = (end.as_second() - started.as_second()) / 5;
        run.metrics = (0..samples)
            .map(|step| live::sample(after(started, step * 5_000), step as u32 + number as u32))
            .collect();
    }
    run
}

/// The version of a volume that was current at a time.
fn volume_version(world: &World, name: &str, at: Timestamp) -> String {
    let Some(storage) = world.storage(Kind::Volume, name) else {
        return "latest".into();
    };
    let earlier = storage.versions.iter().rev().find(|v| v.created_at <= at);
    let version = earlier.or(storage.versions.first());
    version.map_or("latest".into(), |version| version.id.clone())
}

fn error(status: &str, agent: &str) -> Option<&'static str> {
    match (status, agent) {
        ("timeout", _) => Some("Run exceeded its time limit of 30 minutes"),
        ("failed", "model-trainer") => {
            Some("Sandbox ran out of memory (4096 MB): process 'python train.py' was killed")
        }
        ("failed", "data-cleaner") => {
            Some("Secret 'WAREHOUSE_TOKEN' was refused by warehouse.example.com: 401 Unauthorized")
        }
        ("failed", "site-builder") => Some(
            "Agent exited with code 1\n\nbuild.mjs: content/de is empty\n    at load (tools/build.mjs:41:11)\n    at main (tools/build.mjs:12:3)",
        ),
        ("failed", _) => Some("Agent exited with code 1"),
        _ => None,
    }
}

/// What agents of each trade say while they work; `#` becomes a number.
fn sayings(agent: &str) -> [&'static str; 5] {
    match agent {
        "research-analyst" => [
            "Week # has no household panel yet; using the association's bulletin.",
            "Comparing # rows of prices.csv with last year.",
            "Share of lighting moved by # tenths of a point. Checking whether that is one large order.",
            "Drawing chart #.",
            "Source # agrees with our own orders within 3 %.",
        ],
        "data-cleaner" => [
            "Rows up to # are clean.",
            "Rewrote # dates from D.M.YYYY.",
            "Order # appears twice with the same total: kept one.",
            "Region missing in row #, taken from the postcode.",
            "Batch # written.",
        ],
        "site-builder" => [
            "Rendered page #.",
            "Link # leads to a page that has moved; corrected.",
            "Search index has # entries.",
            "Page # has no description; wrote one.",
            "Image # is larger than it is shown.",
        ],
        "code-reviewer" => [
            "Reading payments/refund.py, line #.",
            "Test # passes.",
            "Looking for callers: # found.",
            "Line # compares floats for equality.",
            "Noted finding #.",
        ],
        "model-trainer" => [
            "step #  loss 2.31",
            "step #  loss 1.87  learning rate 0.0004",
            "Checkpoint after step # written.",
            "step #  loss 1.42",
            "Validation after step #: recall@10 0.71",
        ],
        _ => [
            "Reading entry #.",
            "Entry # is new.",
            "Entry # needs no change.",
            "Wording of entry # made shorter.",
            "Entries up to # are done.",
        ],
    }
}

/// The log of a run: a beginning, so many rows of progress, an end.
fn log(run: &mut Run, number: u64, progress: u32, started: Timestamp, end: Timestamp) {
    let mut dice = Dice::new(number + 100);
    let say = |run: &mut Run, at: Timestamp, text: &str| {
        run.event(at, Claude::said(text));
    };
    let system = |run: &mut Run, at: Timestamp, level: &str, text: &str| {
        run.log(LogRow::new(at, "system", level, text));
    };
    system(
        run,
        started,
        "info",
        "Sandbox started from vm0/claude-code:latest",
    );
    // The mounts of one step share its time.
    let mounted = after(started, 640);
    let volumes: Vec<String> = run.volumes.keys().cloned().collect();
    for volume in volumes {
        system(
            run,
            mounted,
            "info",
            &format!("Volume {volume} mounted at /home/user/input"),
        );
    }
    system(run, mounted, "debug", "Environment: 3 variables, 1 secret");
    run.tell(Claude::new(&run.id.clone(), after(started, 900)).init());
    let plan = format!(
        "I will work in three steps:\n  1. look at the input\n  2. {}\n  3. check the result and store it",
        match run.agent_name.as_str() {
            "code-reviewer" => "read the change and run the tests",
            "model-trainer" => "train, with a checkpoint every 500 steps",
            _ => "do the work in small batches",
        }
    );
    say(run, after(started, 4_200), &plan);

    let sayings = sayings(&run.agent_name.clone());
    let span = (end.as_millisecond() - started.as_millisecond() - 9_000).max(1_000);
    for row in 0..progress {
        let at = after(started, 6_000 + span * i64::from(row) / i64::from(progress));
        match row % 9 {
            4 => {
                let url = dice.pick(&[
                    "https://api.anthropic.com/v1/messages",
                    "https://packages.example.com/simple/pandas/",
                    "https://data.example.com/v2/weeks",
                ]);
                let method = if url.contains("anthropic") {
                    "POST"
                } else {
                    "GET"
                };
                let status = if dice.below(14) == 0 { 503 } else { 200 };
                let level = if status == 200 { "info" } else { "warn" };
                let duration = 80 + dice.below(1_900);
                let text = format!("{method} {url} {status} ({duration} ms)");
                run.log(LogRow::new(at, "network", level, text).metadata(json!({
                    "method": method, "url": url, "status": status, "duration": duration,
                })));
            }
            7 if run.agent_name == "code-reviewer" => say(
                run,
                at,
                "\u{1b}[32m.......\u{1b}[0m\u{1b}[31mF\u{1b}[0m\u{1b}[32m......\u{1b}[0m\n\u{1b}[31m\u{1b}[1m1 failed\u{1b}[0m, \u{1b}[32m13 passed\u{1b}[0m in 0.42s",
            ),
            7 => system(
                run,
                at,
                "debug",
                &format!("Disk {} MB used, {} processes", 1_840 + row, 9 + row % 4),
            ),
            8 if row % 2 == 0 => {
                // Microseconds, as rows from the sandbox itself have them.
                let precise = after(at, 7);
                let text = format!("Slow read of input, {} ms", 200 + dice.below(500));
                run.log(LogRow::new(at, "system", "warn", text).precise(precise));
            }
            step => {
                let text = sayings[step as usize % 5].replace('#', &(row * 7 + 3).to_string());
                say(run, at, &text);
            }
        }
    }
    conclude(run, end);
}

fn conclude(run: &mut Run, end: Timestamp) {
    let at = after(end, -900);
    let (level, text) = match run.status.as_str() {
        "completed" => {
            run.tell(Claude::new("x", at).finish("Done. The result is complete and checked."));
            let stored = run.artifact_name.clone().zip(run.artifact_version.clone());
            let text = stored.map_or(
                "Run finished without an artifact".into(),
                |(name, version)| format!("Artifact {name} saved as version {version}"),
            );
            ("info", text)
        }
        "failed" => {
            let cause = run.error.clone().unwrap_or_default();
            run.tell(Claude::new("x", at).fail(&format!("I could not finish: {cause}")));
            ("error", cause)
        }
        "timeout" => ("error", run.error.clone().unwrap_or_default()),
        "cancelled" => ("warn", "Run cancelled by ada@example.com".into()),
        _ => return,
    };
    run.log(LogRow::new(after(end, -300), "system", level, text));
}

/// Seconds for which the live run has been at work when the server starts.
const WATCHED: u32 = 260;

/// The run that goes on logging.
fn watcher(world: &World) -> Run {
    let created = world.ago(i64::from(WATCHED) + 4);
    let mut run = Run::new("order-watcher", created)
        .id(uuid("demo-run:live"))
        .prompt("Watch the incoming orders. Flag what needs a person, and say why.")
        .status("running");
    let started = after(created, 2_000);
    run.started_at = Some(started);
    run.session_id = Some(uuid("demo-session:live"));
    run = run.volume("shop-config", volume_version(world, "shop-config", created));
    let image = "Sandbox started from vm0/claude-code:latest";
    run.log(LogRow::new(started, "system", "info", image));
    for tick in 0..WATCHED {
        let at = after(started, i64::from(tick + 1) * 1_000);
        live::watch(&mut run, tick, at);
        if tick % 5 == 0 {
            run.metrics.push(live::sample(at, tick / 5));
        }
    }
    run
}
