//! The demo world contains what it promises, and its parts fit together.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::demo::{Kind, Server, is_terminal};
use serde_json::Value;
use std::{collections::BTreeSet, thread, time::Instant};

#[test]
fn the_demo_world_has_what_it_promises() {
    let world = World::demo();
    assert!(world.agents.len() >= 5 && world.runs.len() >= 30);
    assert!(world.agents.iter().any(|agent| agent.versions.len() > 3));
    let statuses: BTreeSet<&str> = world.runs.iter().map(|run| &*run.status).collect();
    assert_eq!(statuses.len(), 6);
    assert!(world.runs.iter().any(|run| run.logs.len() > 1_000));
    assert!(world.runs.iter().any(|run| run.metrics.len() > 300));
    assert!(world.runs.iter().any(|run| run.metrics.is_empty()));
    let sizes = || world.storages.iter().flat_map(|s| &s.versions);
    assert!(sizes().any(|version| version.size > 100 << 20));
    assert!(sizes().any(|version| version.file_count > 300));
    assert!(sizes().any(|version| version.file_count == 0));
    assert!(world.storages.iter().any(|s| s.versions.is_empty()));
    let ids: BTreeSet<&str> = world.runs.iter().map(|run| &*run.id).collect();
    assert_eq!(ids.len(), world.runs.len());
}

#[test]
fn the_demo_world_hangs_together() {
    let world = World::demo();
    for run in &world.runs {
        assert!(world.agent(&run.agent_name).is_some(), "{}", run.agent_name);
        assert_eq!(run.completed_at.is_some(), is_terminal(&run.status));
        if let (Some(name), Some(version)) = (&run.artifact_name, &run.artifact_version) {
            let version = world.version(Kind::Artifact, name, version).unwrap();
            assert!(version.created_at > run.started_at.unwrap(), "{name}");
            assert!(version.created_at < run.completed_at.unwrap(), "{name}");
        }
        for (name, version) in &run.volumes {
            let known = world.version(Kind::Volume, name, version).is_some();
            assert!(known || version == "latest", "{name} {version}");
        }
        assert!(run.logs.is_sorted_by_key(|row| row.at), "{}", run.prompt);
        assert!(run.created_at <= world.born);
        assert!(
            run.logs.iter().all(|row| row.at <= world.born),
            "{}",
            run.prompt
        );
    }
    for storage in &world.storages {
        assert!(
            storage
                .versions
                .is_sorted_by_key(|version| version.created_at)
        );
        let ids: BTreeSet<&str> = storage.versions.iter().map(|v| &*v.id).collect();
        assert_eq!(ids.len(), storage.versions.len(), "{}", storage.name);
    }
}

#[test]
fn the_demo_starts_at_once_and_its_live_run_goes_on() {
    let start = Instant::now();
    let server = Server::start(World::demo()).unwrap();
    // It takes under a second, and more on a busy machine: no 100 MB is hashed.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    let id = server.world().live[0].clone();
    let rows = || server.world().run(&id).unwrap().logs.len();
    let before = rows();
    while rows() < before + 2 {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.world().run(&id).unwrap().status, "running");
}

/// The event that an agent row holds, read from its message.
fn event(row: &crate::demo::LogRow) -> Value {
    let (kind, json) = row.message.split_once("] ").unwrap();
    let event: Value = serde_json::from_str(json).unwrap();
    assert_eq!(kind.strip_prefix('[').unwrap(), event["type"]);
    assert_eq!(row.level, "info");
    event
}

#[test]
fn all_that_the_demos_agents_send_are_events_of_agent_programs() {
    const TYPES: [&str; 18] = [
        "system",
        "assistant",
        "user",
        "result",
        "stream_event",
        "rate_limit_event",
        "thread.started",
        "turn.started",
        "turn.completed",
        "turn.failed",
        "item.started",
        "item.updated",
        "item.completed",
        "error",
        "vm0_start",
        "vm0_result",
        "vm0_error",
        "turn.plan.updated",
    ];
    let world = World::demo();
    let mut seen = BTreeSet::new();
    for run in &world.runs {
        let mut calls = BTreeSet::new();
        let rows = run.logs.iter().filter(|row| row.kind == "agent");
        for (number, row) in rows.enumerate() {
            let event = event(row);
            let kind = event["type"].as_str().unwrap();
            assert!(TYPES.contains(&kind), "{kind}");
            if let Some(metadata) = &row.metadata {
                assert_eq!(metadata["eventData"], event);
                assert_eq!(metadata["eventType"], kind);
                assert_eq!(metadata["sequenceNumber"], number as u64 + 1);
            } else {
                seen.insert("no metadata".to_owned());
            }
            seen.insert(kind.to_owned());
            if let Some(item) = event["item"]["type"].as_str() {
                seen.insert(item.to_owned());
            }
            for block in event["message"]["content"].as_array().into_iter().flatten() {
                let block_kind = block["type"].as_str().unwrap();
                seen.insert(block_kind.to_owned());
                match block_kind {
                    "tool_use" => {
                        assert!(!block["input"].is_null(), "{block}");
                        seen.insert(block["name"].as_str().unwrap().to_owned());
                        calls.insert(block["id"].as_str().unwrap().to_owned());
                    }
                    "tool_result" => {
                        let id = block["tool_use_id"].as_str().unwrap();
                        assert!(calls.remove(id), "{}: {block}", run.prompt);
                        assert_ne!(block["content"], "", "{}: {block}", run.prompt);
                        if block["content"][0]["type"] == "image" {
                            let data = &block["content"][0]["source"]["data"];
                            assert!(data.as_str().unwrap().starts_with("iVBORw0KGgo"), "PNG");
                            seen.insert("image".into());
                        }
                        if block["is_error"] == true {
                            seen.insert("failed".into());
                        }
                    }
                    _ => {}
                }
                if !event["parent_tool_use_id"].is_null() {
                    seen.insert("subagent".into());
                }
            }
        }
        assert!(calls.is_empty(), "{}: calls without results", run.prompt);
    }
    for wanted in [
        "no metadata",
        "thinking",
        "text",
        "tool_use",
        "tool_result",
        "image",
        "failed",
        "subagent",
        "Read",
        "Edit",
        "Write",
        "Bash",
        "Glob",
        "Grep",
        "Task",
        "WebFetch",
        "WebSearch",
        "TodoWrite",
        "mcp__shop__next_order",
        "result",
        "stream_event",
        "rate_limit_event",
        "command_execution",
        "file_change",
        "reasoning",
        "todo_list",
        "mcp_tool_call",
        "web_search",
        "agent_message",
        "turn.completed",
        "turn.failed",
        "vm0_start",
        "vm0_result",
    ] {
        assert!(seen.contains(wanted), "no {wanted} in the demo");
    }
}

#[test]
fn the_demos_runs_end_as_their_status_says() {
    let world = World::demo();
    for run in &world.runs {
        let rows = run.logs.iter().filter(|row| row.kind == "agent");
        let events: Vec<Value> = rows.map(event).collect();
        let ends: Vec<&Value> = events
            .iter()
            .filter(|event| {
                ["result", "turn.completed", "turn.failed"]
                    .contains(&event["type"].as_str().unwrap())
            })
            .collect();
        let what = &run.prompt;
        match run.status.as_str() {
            "completed" => {
                assert_eq!(ends.len(), 1, "{what}");
                assert!(ends[0]["is_error"] != true && ends[0]["type"] != "turn.failed");
                if ends[0]["type"] == "result" {
                    let took = run.completed_at.unwrap().as_millisecond()
                        - run.started_at.unwrap().as_millisecond();
                    let told = ends[0]["duration_ms"].as_i64().unwrap();
                    assert!(
                        told <= took && told * 10 > took * 7,
                        "{what}: {told} of {took}"
                    );
                    let answer = ends[0]["result"].as_str().unwrap();
                    assert!(answer.len() > 40, "{what}: {answer}");
                }
            }
            "failed" => {
                assert_eq!(ends.len(), 1, "{what}");
                let error = run.error.as_deref().unwrap();
                let told = serde_json::to_string(ends[0]).unwrap();
                let is_told = told.contains(error.lines().next().unwrap())
                    || error == "Agent exited with code 1" && told.contains("exited with code 1");
                assert!(is_told, "{what}: {told}");
            }
            _ => assert_eq!(ends.len(), 0, "{what}"),
        }
    }
}

#[test]
fn no_word_of_a_story_is_left_open() {
    let world = World::demo();
    let open = |text: &str| {
        let mut pieces = text.split('{').skip(1);
        pieces.any(|piece| {
            let word = piece.split('}').next().unwrap_or("");
            piece.contains('}')
                && !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
    };
    for run in &world.runs {
        for row in &run.logs {
            // This one is an argument of curl, not a word of a story.
            let text = row.message.replace("%{http_code}", "");
            assert!(!open(&text), "{}: {text}", run.prompt);
        }
    }
}

#[test]
fn rows_of_the_sandbox_and_the_network_are_as_the_service_has_them() {
    let world = World::demo();
    let of = |kind: &'static str| {
        let rows = world.runs.iter().flat_map(|run| &run.logs);
        rows.filter(move |row| row.kind == kind)
    };
    assert!(of("system").all(|row| row.level == "info" && row.metadata.is_none()));
    for sign in ["\n", "\r", "\u{1b}["] {
        assert!(
            of("system").any(|row| row.message.contains(sign)),
            "{sign:?}"
        );
    }
    for row in of("network") {
        let metadata = row.metadata.as_ref().unwrap();
        let status = metadata["status"].as_u64().unwrap();
        let text = format!(
            "{} {} - {status} ({}ms)",
            metadata["method"].as_str().unwrap(),
            metadata["url"].as_str().unwrap(),
            metadata["duration"]
        );
        assert_eq!(row.message, text);
        assert_eq!(row.level, if status >= 400 { "error" } else { "info" });
    }
    assert!(of("network").any(|row| row.level == "error"));
}
