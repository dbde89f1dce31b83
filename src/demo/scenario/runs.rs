//! The runs of the demo world, with what they logged and measured.

use super::data::{self, Live, Scenario};
use crate::demo::{
    live,
    story::{self, Scene, play},
    world::{Kind, Run, World, after, is_terminal, uuid},
};
use jiff::Timestamp;

pub(super) fn add(world: &mut World, scenario: &Scenario) {
    for (number, data) in scenario.runs.iter().enumerate() {
        let run = run(world, scenario, number, data);
        world.add_run(run);
    }
    let watcher = watcher(world, scenario, &scenario.live);
    let id = world.add_run(watcher);
    world.live.push(id);
}

fn run(world: &World, scenario: &Scenario, number: usize, data: &data::Run) -> Run {
    let created = world.ago(data.ago.0);
    let mut run = Run::new(&*data.agent, created)
        .id(uuid(&format!("demo-run:{number}")))
        .prompt(&*data.prompt)
        .status(&*data.status);
    run.session_id = Some(uuid(&format!("demo-session:{number}")));
    let started = after(created, 1_400 + number as i64 % 5 * 320);
    let end = match is_terminal(&data.status) {
        true => after(started, data.took.0 * 1_000),
        false => world.born,
    };
    let has_started = data.status != "pending";
    run.started_at = has_started.then_some(started);
    run.completed_at = is_terminal(&data.status).then_some(end);
    run.error.clone_from(&data.error);
    if data.status == "completed" {
        run.checkpoint_id = Some(uuid(&format!("demo-checkpoint:{number}")));
    }
    if let Some(stored) = &data.artifact
        && let Some(storage) = world.storage(Kind::Artifact, &stored.name)
        && let Some(version) = storage.versions.get(stored.version - 1)
    {
        run = run.artifact(&*stored.name, &*version.id);
    }
    run = with_volumes(world, scenario, run);
    if has_started {
        log(world, scenario, &mut run, data, started, end);
    }
    if data.sampled && has_started {
        // The service takes a sample every 5 s.
        let samples = (end.as_second() - started.as_second()) / 5;
        run.metrics = (0..samples)
            .map(|step| live::sample(after(started, step * 5_000), step as u32 + number as u32))
            .collect();
    }
    run
}

/// The run with the volumes that its agent reads.
fn with_volumes(world: &World, scenario: &Scenario, mut run: Run) -> Run {
    let mut agents = scenario.agents.iter();
    let Some(agent) = agents.find(|agent| agent.name == run.agent_name) else {
        return run;
    };
    if let Some(volume) = &agent.volume {
        let version = volume_version(world, volume, run.created_at);
        run = run.volume(&**volume, version);
    }
    if let Some(volume) = &agent.also {
        run = run.volume(&**volume, "latest");
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

/// The log of a run: its story, from its start to its end.
fn log(
    world: &World,
    scenario: &Scenario,
    run: &mut Run,
    data: &data::Run,
    started: Timestamp,
    end: Timestamp,
) {
    let mut scene = Scene::of(world, run);
    let stored = data
        .artifact
        .as_ref()
        .and_then(|stored| scenario.words(stored));
    let words = stored.into_iter().flatten().chain(&data.words);
    scene
        .words
        .extend(words.map(|(name, word)| (&**name, word.clone())));
    let text = |name: &String| {
        story::text(name).unwrap_or_else(|| panic!("the demo has no story {name:?}"))
    };
    let story: String = data.stories.iter().map(text).collect();
    let length = end.as_millisecond() - started.as_millisecond() - LAST;
    let lines = play(&story, &scene, started, Some(length));
    for (at, line) in lines {
        run.line(at, line);
    }
    if data.bare {
        for row in &mut run.logs {
            *row = row.clone().bare();
        }
    }
}

/// Milliseconds between the last row and the end.
const LAST: i64 = 300;

/// Seconds before the first row of the run that goes on logging.
const BEGINNING: i64 = 4;

/// The run that goes on logging.
fn watcher(world: &World, scenario: &Scenario, data: &Live) -> Run {
    let created = world.ago(data.ago.0);
    let mut run = Run::new(&*data.agent, created)
        .id(uuid("demo-run:live"))
        .prompt(&*data.prompt)
        .status("running");
    let started = after(created, 2_000);
    run.started_at = Some(started);
    run.session_id = Some(uuid("demo-session:live"));
    run = with_volumes(world, scenario, run);
    let mut watch = live::Watch::new(world, &run);
    for tick in 0..data.ago.0 - BEGINNING {
        let at = after(started, (tick + 1) * 1_000);
        watch.tick(&mut run, at);
        if tick % 5 == 0 {
            run.metrics.push(live::sample(at, (tick / 5) as u32));
        }
    }
    run
}
