//! The agents of the demo world.

use super::{
    super::world::{Agent, World},
    DAY,
};
use serde_json::{Value, json};

/// Name, what it does, the volume it reads and where, versions, days since the first.
pub(super) const AGENTS: [(&str, &str, &str, usize, i64); 6] = [
    (
        "research-analyst",
        "Reads market data and writes a weekly report with figures and sources",
        "market-data",
        4,
        61,
    ),
    (
        "data-cleaner",
        "Brings raw sales exports into one clean, documented table",
        "raw-sales",
        3,
        48,
    ),
    (
        "site-builder",
        "Builds the documentation website from Markdown",
        "site-content",
        5,
        75,
    ),
    (
        "code-reviewer",
        "Reviews the payments service and runs its tests",
        "payments-service",
        2,
        33,
    ),
    (
        "order-watcher",
        "Watches incoming orders and flags those that need a person",
        "shop-config",
        2,
        20,
    ),
    (
        "model-trainer",
        "Trains product embeddings for the shop's search",
        "training-corpus",
        3,
        40,
    ),
];

pub(super) fn add(world: &mut World) {
    for (name, description, volume, versions, days) in AGENTS {
        let first = world.ago(days * DAY);
        let mut agent = Agent::new(name, first);
        for number in 1..=versions {
            // The versions come ever closer to each other, the last some days ago.
            let age = days * DAY / number as i64;
            let config = config(name, description, volume, number);
            agent = agent.version(world.ago(age), Some(config));
        }
        world.add_agent(agent);
    }
    // Made by an older command line: the service has no configuration of it.
    let made = world.ago(90 * DAY);
    world.add_agent(Agent::new("changelog-writer", made).version(made, None));
}

fn config(name: &str, description: &str, volume: &str, number: usize) -> Value {
    // The trainer runs Codex, all others run Claude Code.
    let (framework, key) = match name {
        "model-trainer" => ("codex", "OPENAI_API_KEY"),
        _ => ("claude-code", "ANTHROPIC_API_KEY"),
    };
    let mut agent = json!({
        "description": description,
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
    agents[name] = agent;
    let mut volumes = json!({});
    volumes[volume] = json!({"name": volume, "version": "latest"});
    json!({"version": "1.0", "agents": agents, "volumes": volumes})
}
