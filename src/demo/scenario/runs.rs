//! The runs of the demo world, with what they logged and measured.

use super::{
    super::{
        live,
        story::{Scene, play},
        world::{Kind, Run, World, after, is_terminal, uuid},
    },
    plans::{PLANS, Plan},
    stories::words,
};
use jiff::Timestamp;

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
    let &(agent, prompt, status, age, seconds, _, measured, artifact) = plan;
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
        log(world, &mut run, plan, started, end);
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

/// The log of a run: its story, from its start to its end.
fn log(world: &World, run: &mut Run, plan: &Plan, started: Timestamp, end: Timestamp) {
    let mut scene = Scene::of(world, run);
    scene.words.extend(words(plan));
    let length = end.as_millisecond() - started.as_millisecond() - LAST;
    let lines = play(plan.5, &scene, started, Some(length));
    for (at, line) in lines {
        run.line(at, line);
    }
    if plan.0 == OLD_AGENT && plan.3 > OLD {
        for row in &mut run.logs {
            *row = row.clone().bare();
        }
    }
}

/// Milliseconds between the last row and the end.
const LAST: i64 = 300;

/// An agent whose runs are older than the service's metadata of rows, and how
/// many seconds ago that was.
const OLD_AGENT: &str = "changelog-writer";
const OLD: i64 = 20 * super::DAY;

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
    let mut watch = live::Watch::new(world, &run);
    for tick in 0..WATCHED {
        let at = after(started, i64::from(tick + 1) * 1_000);
        watch.tick(&mut run, at);
        if tick % 5 == 0 {
            run.metrics.push(live::sample(at, tick / 5));
        }
    }
    run
}
