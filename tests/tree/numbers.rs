//! Numbers of the service keep their digits: ids and amounts can have more of them
//! than 64 bits or a double hold.

use crate::support::Bench;
use crate::support::fake::{Action, Agent, Fault, Kind, Run, VersionSpec, World};
use serde_json::json;

/// Numbers that no type of a programming language holds as they are.
const NUMBERS: [&str; 5] = [
    "123456789012345678901234567890",
    "-98765432109876543210",
    "18446744073709551616",
    "3.14159265358979323846264338327950288",
    "0.10",
];

/// An object that holds them.
fn numbers() -> String {
    let fields = NUMBERS.iter().enumerate();
    let fields: Vec<String> = fields
        .map(|(n, number)| format!("\"n{n}\": {number}"))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

#[test]
fn every_file_shows_numbers_as_the_service_sent_them() {
    let mut world = World::empty();
    let then = world.ago(9_000);
    let config: serde_json::Value = serde_json::from_str(&numbers()).unwrap();
    world.add_agent(Agent::new("writer", then).version(then, Some(config)));
    let run = world.add_run(Run::new("writer", then));
    let id = world.add_storage(Kind::Artifact, "a");
    let version = world.add_version(&id, VersionSpec::files(Vec::new()));
    let bench = Bench::new(world);
    // Fields that vm0fs does not know pass through.
    let odd = |rest: serde_json::Value| {
        let rest = rest.to_string();
        let body = format!("{}, \"odd\": {}}}", &rest[..rest.len() - 1], numbers());
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let at = then.to_string();
    let detail = odd(
        json!({"id": run, "agent_name": "writer", "status": "completed",
        "prompt": "p", "created_at": at, "completed_at": at}),
    );
    let versions = odd(json!({"id": version, "created_at": at}));
    let page = json!({"data": [versions], "pagination": {"has_more": false}});
    let wrong = |body: String| Action::WrongBody(body.into());
    bench.server.fault(Fault::api_exact(
        &format!("/v1/runs/{run}"),
        wrong(detail.to_string()),
    ));
    bench.server.fault(Fault::api_exact(
        &format!("/v1/artifacts/{id}/versions"),
        wrong(page.to_string()),
    ));
    let mount = bench.mount().start();
    for file in [
        "agents/writer/agent.json".to_owned(),
        "agents/writer/config.yaml".into(),
        format!("runs/{run}/run.json"),
        "artifacts/a/.versions.json".into(),
    ] {
        let text = mount.cat(&file);
        for (n, number) in NUMBERS.iter().enumerate() {
            let line = text.lines().find(|line| line.contains(&format!("n{n}")));
            let shown = line.unwrap_or_else(|| panic!("{file}: {text}"));
            let shown = shown.split(": ").last().unwrap().trim_end_matches(',');
            assert_eq!(shown, *number, "{file}");
        }
    }
    let list = mount.cat("agents/writer/versions.json");
    assert!(list.starts_with('['), "{list}");
}
