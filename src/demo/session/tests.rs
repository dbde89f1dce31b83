//! The events have the shapes that the programs send.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::demo::World;
use serde_json::{Value, json};

fn events<P>(session: &mut Session<P>) -> Vec<Value> {
    session.take().into_iter().map(|(_, event)| event).collect()
}

fn claude() -> Claude {
    Claude::new("seed", World::empty().born)
}

#[test]
fn blocks_of_one_message_come_in_events_of_one_id() {
    let mut claude = claude();
    claude.thinking("hm").text("I look.");
    claude.tool("Bash", json!({"command": "ls"}));
    claude.tool("Read", json!({"file_path": "/a"}));
    claude
        .result("a")
        .failed("File does not exist.")
        .text("Not there.");
    let events = events(&mut claude);
    let id = |event: &Value| event["message"]["id"].as_str().unwrap().to_owned();
    let ids: Vec<String> = events[..4].iter().map(id).collect();
    assert!(ids.iter().all(|other| *other == ids[0]) && ids[0].starts_with("msg_01"));
    assert_eq!(ids[0].len(), 28);
    assert_ne!(id(&events[6]), ids[0]);
    let usages: Vec<&Value> = events[..4].iter().map(|e| &e["message"]["usage"]).collect();
    assert!(usages.iter().all(|usage| *usage == usages[0]));
    let block = |at: usize| &events[at]["message"]["content"][0];
    assert_eq!(block(4)["tool_use_id"], block(2)["id"]);
    assert_eq!(block(4)["is_error"], false);
    assert_eq!(block(5)["tool_use_id"], block(3)["id"]);
    assert_eq!(block(5)["is_error"], true);
    assert_eq!(events[5]["tool_use_result"], "Error: File does not exist.");
}

#[test]
fn a_subagent_speaks_under_the_call_that_started_it() {
    let mut claude = claude();
    claude.subagent("Explore", "Find callers", "Who calls partial()?");
    claude
        .tool("Grep", json!({"pattern": "partial"}))
        .result("a.py");
    claude
        .text("a.py does.")
        .returned("a.py")
        .text("So it is a.py.");
    let events = events(&mut claude);
    let call = &events[0]["message"]["content"][0];
    assert_eq!(call["name"], "Task");
    for event in &events[1..5] {
        assert_eq!(event["parent_tool_use_id"], call["id"]);
    }
    assert_eq!(
        events[5]["message"]["content"][0]["tool_use_id"],
        call["id"]
    );
    assert_eq!(events[5]["parent_tool_use_id"], Value::Null);
    assert_eq!(events[6]["parent_tool_use_id"], Value::Null);
}

#[test]
fn a_result_counts_each_message_once() {
    let mut claude = claude();
    claude
        .thinking("hm")
        .text("one")
        .tool("Bash", json!({"command": "x"}));
    claude.wait(4_000).denied().finish("Done.");
    let events = events(&mut claude);
    let result = events.last().unwrap();
    let output = |at: usize| {
        events[at]["message"]["usage"]["output_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(result["usage"]["output_tokens"], output(0) + output(4));
    assert_eq!(result["num_turns"], 2);
    assert_eq!(result["duration_ms"], 4_000);
    assert_eq!(result["result"], "Done.");
    assert_eq!(result["permission_denials"][0]["tool_name"], "Bash");
    assert!(result["total_cost_usd"].as_f64().unwrap() > 0.0);
    claude.abort("error_max_turns", &["Reached maximum number of turns (2)"]);
    let (_, last) = claude.take().pop().unwrap();
    assert!(last.get("result").is_none() && last["is_error"] == true);
}

#[test]
fn a_codex_command_starts_and_completes_as_one_item() {
    let mut codex = Codex::new("seed", World::empty().born);
    codex
        .begin()
        .todo(&[("look", false)])
        .command("ls")
        .printed("a\n");
    codex
        .output("a\nb\n", 2)
        .todo(&[("look", true)])
        .message("Two.")
        .finish();
    let events = events(&mut codex);
    let types: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "thread.started",
            "turn.started",
            "item.started",
            "item.started",
            "item.updated",
            "item.completed",
            "item.updated",
            "item.completed",
            "item.completed",
            "turn.completed"
        ]
    );
    assert_eq!(events[3]["item"]["id"], events[5]["item"]["id"]);
    assert_eq!(events[5]["item"]["status"], "failed");
    assert_eq!(events[8]["item"]["type"], "todo_list");
    assert!(events[9]["usage"]["cached_input_tokens"].is_u64());
    codex.fail("stream disconnected");
    assert_eq!(codex.take()[1].1["error"]["message"], "stream disconnected");
}

#[test]
fn a_row_says_its_event_twice() {
    let mut world = World::empty();
    let mut run = Run::new("writer", world.ago(9));
    run.event(world.born, Claude::said("first\nsecond"));
    run.tell(Codex::new("s", world.born).begin());
    world.add_run(run);
    let rows = &world.runs[0].logs;
    for (row, sequence) in rows.iter().zip(1..) {
        let metadata = row.metadata.clone().unwrap();
        let kind = metadata["eventType"].as_str().unwrap();
        assert_eq!(metadata["sequenceNumber"], sequence);
        assert_eq!(metadata["eventData"]["type"], kind);
        let json = row.message.strip_prefix(&format!("[{kind}] ")).unwrap();
        assert!(!json.contains('\n'));
        let event: Value = serde_json::from_str(json).unwrap();
        assert_eq!(event, metadata["eventData"]);
        assert_eq!((row.level.as_str(), row.kind.as_str()), ("info", "agent"));
    }
    assert_eq!(rows.len(), 3);
}
