//! The agents of the demo world.

use super::data::{self, Scenario};
use crate::demo::world::{Agent, World};
use serde_json::{Value, json};

pub(super) fn add(world: &mut World, scenario: &Scenario) {
    for agent in &scenario.agents {
        let agent = self::agent(world, agent);
        world.add_agent(agent);
    }
}

fn agent(world: &World, data: &data::Agent) -> Agent {
    let first = data.ago.0;
    let mut agent = Agent::new(&*data.name, world.ago(first));
    for number in 1..=data.versions {
        // The versions come ever closer to each other, the last some days ago.
        let version = config(data, number);
        agent = agent.version(world.ago(first / number), version);
    }
    agent
}

/// The configuration of a version, if the service has one.
fn config(data: &data::Agent, number: i64) -> Option<Value> {
    let (framework, volume) = (data.framework.as_ref()?, data.volume.as_ref()?);
    let key = match framework.as_str() {
        "codex" => "OPENAI_API_KEY",
        _ => "ANTHROPIC_API_KEY",
    };
    let mut agent = json!({
        "description": data.description,
        "framework": framework,
        "image": format!("vm0/{framework}:latest"),
        "working_dir": "/home/user/workspace",
        "instructions": "AGENTS.md",
        "volumes": [format!("{volume}:/home/user/input")],
        "environment": {
            key: format!("${{{{ secrets.{key} }}}}"),
            "LANG": "en_GB.UTF-8",
        },
    });
    if number > 1 {
        agent["skills"] = json!(["https://github.com/vm0-ai/vm0-skills/tree/main/github"]);
        agent["environment"]["REPORT_STYLE"] = "${{ vars.REPORT_STYLE }}".into();
    }
    if number > 2 {
        agent["experimental_runner"] = json!({"group": "acme/large"});
    }
    let mut agents = json!({});
    agents[&data.name] = agent;
    let mut volumes = json!({});
    volumes[volume] = json!({"name": volume, "version": "latest"});
    Some(json!({"version": "1.0", "agents": agents, "volumes": volumes}))
}
