//! Runs that are started, refused, cancelled, and followed by their events.

use super::*;
use jiff::Timestamp;
use serde_json::json;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    thread,
    time::Instant,
};

fn with_agent(pace: Pace) -> World {
    let mut world = World::empty();
    let agent = Agent::new("writer", world.born).version(world.born, None);
    world.add_agent(agent);
    world.pace = Some(pace);
    world
}

fn wait_for(api: &Api, id: &str, status: &str) -> Value {
    let start = Instant::now();
    loop {
        let run = api.json(&format!("/v1/runs/{id}"));
        if run["status"] == status {
            return run;
        }
        assert!(start.elapsed() < SOON, "{run}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn started_runs_tell_whole_sessions_however_they_end() {
    let mut world = World::demo();
    world.pace = Some(Pace::QUICK);
    let names: Vec<String> = world
        .agents
        .iter()
        .map(|agent| agent.name.clone())
        .collect();
    let api = Api::new(world);
    for name in names {
        for (prompt, status, end) in [
            ("Do it", "completed", Some(false)),
            ("Please fail", "failed", Some(true)),
            ("Time out", "timeout", None),
        ] {
            let (_, run) = api.post("/v1/runs", &json!({"agent": name, "prompt": prompt}));
            let id = run["id"].as_str().unwrap();
            wait_for(&api, id, status);
            let world = api.server.world();
            let run = world.run(id).unwrap();
            let events = run
                .logs
                .iter()
                .filter_map(|row| row.metadata.as_ref()?.get("eventData"));
            let events: Vec<&Value> = events.collect();
            let program = match name.as_str() {
                "model-trainer" => "thread.started",
                _ => "system",
            };
            assert_eq!(events[0]["type"], program);
            let last = events.last().unwrap();
            let ended = match last["type"].as_str().unwrap() {
                "result" => Some(last["is_error"] == true),
                "turn.completed" => Some(false),
                "turn.failed" => Some(true),
                _ => None,
            };
            assert_eq!(ended, end, "{name}, {prompt}: {last}");
            let text = serde_json::to_string(&events).unwrap();
            for open in ["{prompt}", "{first}", "{listing}", "<head "] {
                assert!(!text.contains(open), "{name}: {open}");
            }
            let ids: Vec<&str> = events
                .iter()
                .filter_map(|event| event["uuid"].as_str())
                .collect();
            let unique: BTreeSet<&&str> = ids.iter().collect();
            assert_eq!(ids.len(), unique.len(), "{name}: an event comes twice");
        }
    }
}

#[test]
fn started_runs_progress_to_a_new_artifact_version() {
    let api = Api::new(with_agent(Pace::QUICK));
    let request = json!({"agent": "writer", "prompt": "Write", "volumes": {"v": "latest"}});
    let (status, run) = api.post("/v1/runs", &request);
    assert_eq!(status, 202);
    assert_eq!(run["status"], "pending");
    assert_eq!(run["started_at"], Value::Null);
    assert_eq!(run["volumes"]["v"], "latest");
    let id = run["id"].as_str().unwrap();
    let run = wait_for(&api, id, "completed");
    let version = run["artifact_version"].as_str().unwrap();
    let artifacts = api.json("/v1/artifacts");
    assert_eq!(artifacts["data"][0]["name"], "writer-output");
    assert_eq!(artifacts["data"][0]["current_version_id"], version);
    let logs = api.json(&format!("/v1/runs/{id}/logs"));
    assert!(logs["data"].as_array().unwrap().len() >= 10);
    let (status, error) = api.post(&format!("/v1/runs/{id}/cancel"), &json!({}));
    assert_eq!(status, 400);
    assert_eq!(error["error"]["code"], "invalid_state");

    let (_, failing) = api.post("/v1/runs", &json!({"agent": "writer", "prompt": "Fail"}));
    let failed = wait_for(&api, failing["id"].as_str().unwrap(), "failed");
    assert_eq!(failed["error"], "Agent exited with code 1");
}

#[test]
fn runs_are_refused_and_cancelled() {
    let slow = Pace {
        pending: Duration::from_secs(60),
        ..Pace::QUICK
    };
    let api = Api::new(with_agent(slow));
    let start = |request: Value| {
        let (status, answer) = api.post("/v1/runs", &request);
        (status.as_u16(), answer["error"]["code"].clone())
    };
    assert_eq!(
        start(json!({"agent": "writer"})),
        (400, json!("missing_parameter"))
    );
    assert_eq!(
        start(json!({"prompt": "x"})),
        (400, json!("missing_parameter"))
    );
    assert_eq!(start(json!(["x"])), (400, json!("invalid_parameter")));
    let unknown = start(json!({"agent": "nobody", "prompt": "x"}));
    assert_eq!(unknown, (404, json!("resource_not_found")));
    let (_, run) = api.post("/v1/runs", &json!({"agent": "writer", "prompt": "x"}));
    let path = format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    let (status, cancelled) = api.post(&path, &json!({}));
    assert_eq!(status, 200);
    assert_eq!(cancelled["status"], "cancelled");
    let session = run["session_id"].as_str().unwrap();
    let (status, next) = api.post("/v1/runs", &json!({"session_id": session, "prompt": "x"}));
    assert_eq!(status, 202);
    assert_eq!(next["session_id"], session);
}

/// The events of a stream until it ends: name, id, data.
fn events(response: Response) -> impl Iterator<Item = (String, String, Value)> {
    let mut lines = BufReader::new(response).lines();
    std::iter::from_fn(move || {
        let mut event = (String::new(), String::new(), Value::Null);
        for line in lines.by_ref() {
            let line = line.unwrap();
            match line.split_once(": ") {
                Some(("event", name)) => event.0 = name.into(),
                Some(("id", id)) => event.1 = id.into(),
                Some(("data", data)) => event.2 = serde_json::from_str(data).unwrap(),
                _ => return Some(event),
            }
        }
        None
    })
}

#[test]
fn events_stream_until_the_run_ends_and_resume() {
    let mut world = with_agent(Pace::QUICK);
    world.heartbeat = Duration::from_millis(80);
    let id = world.add_run(Run::new("writer", world.born).status("running"));
    let run = world.run_mut(&id).unwrap();
    run.event(run.created_at, Claude::said("one"));
    run.event(run.created_at, Claude::said("two"));
    let api = Api::new(world);
    let path = format!("/v1/runs/{id}/events");
    let response = api.get(&format!("{path}?last_event_id=1"));
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = events(response);
    let begin: Vec<_> = stream.by_ref().take(3).collect();
    let names: Vec<&str> = begin.iter().map(|event| &*event.0).collect();
    assert_eq!(names, ["status", "output", "heartbeat"]);
    assert_eq!(begin[1].1, "2", "resumed after the first");
    assert_eq!(begin[1].2["data"], Claude::said("two"));
    {
        let mut world = api.server.world();
        let run = world.run_mut(&id).unwrap();
        let now = Timestamp::now();
        run.event(now, Claude::said("three"));
        run.finish(now, "failed", Some("broken".into()));
    }
    let names: Vec<String> = stream.map(|event| event.0).collect();
    let end = ["output", "status", "error", "complete"];
    assert_eq!(names[names.len() - 4..], end);
    let late: Vec<_> = events(api.get(&path)).collect();
    let names: Vec<&str> = late.iter().map(|event| &*event.0).collect();
    assert_eq!(names, ["status", "complete"]);
    assert_eq!(late[1].2["error"], "broken");
}
