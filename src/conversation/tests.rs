//! Events of both programs, as the lines of a log and as a transcript.

use super::{event::*, lines, transcript::*, usage::Summary};
use serde_json::{Value, json};

fn line(event: &Value) -> (Level, String) {
    let kind = event["type"].as_str().unwrap_or("odd");
    lines::message(&Event::read(kind, &event.to_string()))
}

fn assistant(block: &Value) -> Value {
    json!({"type": "assistant", "session_id": "s", "parent_tool_use_id": null, "message": {
        "id": "msg_1", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [block], "usage": {"input_tokens": 3, "output_tokens": 9}}})
}

fn result_of(content: &Value, is_error: bool) -> Value {
    json!({"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": is_error}]}})
}

#[test]
fn each_event_of_claude_code_is_drawn_as_a_line_that_people_read() {
    let image = json!([{"type": "text", "text": "read"}, {"type": "image", "source": {
        "type": "base64", "media_type": "image/png", "data": "QUJD".repeat(5_000)}}]);
    let done = json!({
        "type": "result", "subtype": "success", "is_error": false, "duration_ms": 192_400,
        "num_turns": 14, "result": "All is done.", "total_cost_usd": 0.4213,
        "usage": {"input_tokens": 1_200, "cache_creation_input_tokens": 3_000,
            "cache_read_input_tokens": 48_000, "output_tokens": 4_100},
    });
    let todos = json!({"type": "tool_use", "id": "t", "name": "TodoWrite", "input": {"todos": [
        {"content": "Read", "status": "completed", "activeForm": "Reading"},
        {"content": "Write", "status": "in_progress", "activeForm": "Writing"},
        {"content": "Check", "status": "pending", "activeForm": "Checking"}]}});
    let cases = [
        (
            json!({"type": "system", "subtype": "init", "session_id": "s", "model": "claude-sonnet-4-5",
                "cwd": "/home/user/workspace", "tools": ["Bash", "Read"],
                "mcp_servers": [{"name": "github", "status": "connected"}]}),
            "Session begins: Claude Code, claude-sonnet-4-5, 2 tools, 1 MCP server (github), in /home/user/workspace",
        ),
        (
            assistant(&json!({"type": "text", "text": "Two\nlines\n"})),
            "Two\nlines",
        ),
        (
            assistant(&json!({"type": "thinking", "thinking": "Let me\nsee", "signature": "x"})),
            "(thinking) Let me see",
        ),
        (
            assistant(&json!({"type": "redacted_thinking", "data": "x"})),
            "(thinking)",
        ),
        (
            assistant(&json!({"type": "tool_use", "id": "t", "name": "Read",
                "input": {"file_path": "data/prices.csv"}})),
            "→ Read data/prices.csv",
        ),
        (
            assistant(&todos),
            "→ TodoWrite 1 of 3 done\n[x] Read\n[>] Write\n[ ] Check",
        ),
        (
            result_of(&json!("     1→a\n     2→\n    10→b"), false),
            "←  1→a\n 2→\n10→b",
        ),
        (
            result_of(&json!("1\n2\n3\n4\n5\n"), false),
            "← 1\n2\n3\n… 2 more lines",
        ),
        (result_of(&json!(""), false), "← no output"),
        (result_of(&image, false), "← read\n[image/png, 15 kB]"),
        (
            json!({"type": "user", "message": {"role": "user", "content": "Go on"}}),
            "User: Go on",
        ),
        (
            done,
            "Agent done in 3 min 12 s: 14 turns, 52.2k tokens in (48.0k cached), 4.1k out, $0.42",
        ),
        (
            json!({"type": "system", "subtype": "compact_boundary",
                "compact_metadata": {"trigger": "auto", "pre_tokens": 155_000}}),
            "Conversation compacted (155.0k tokens before)",
        ),
        (
            json!({"type": "system", "subtype": "status", "status": "compacting", "session_id": "s"}),
            "system status: {\"status\":\"compacting\"}",
        ),
        (
            json!({"type": "stream_event", "event": {"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "Hel"}}}),
            "stream_event content_block_delta: Hel",
        ),
        (
            json!({"type": "rate_limit_event", "rate_limit_info": {"status": "allowed"}, "uuid": "u"}),
            "rate_limit_event: {\"rate_limit_info\":{\"status\":\"allowed\"}}",
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(line(&event), (Level::Info, expected.to_owned()), "{event}");
    }
}

#[test]
fn a_failure_has_the_level_error() {
    let cases = [
        (
            result_of(
                &json!("<tool_use_error>File does not exist.</tool_use_error>"),
                true,
            ),
            "← File does not exist.",
        ),
        (result_of(&json!(null), true), "← failed"),
        (
            json!({"type": "result", "subtype": "error_max_turns", "is_error": true, "num_turns": 30,
                "duration_ms": 61_000, "total_cost_usd": 0.02}),
            "Agent failed after 1 min 1 s: 30 turns, $0.0200\nmax turns",
        ),
        (
            json!({"type": "result", "subtype": "success", "is_error": true,
                "result": "API Error: 529 Overloaded"}),
            "Agent failed\nAPI Error: 529 Overloaded",
        ),
        (
            json!({"type": "turn.failed", "error": {"message": "stream cut", "additional_details": "at 5"}}),
            "Turn failed\nstream cut\nat 5",
        ),
        (
            json!({"type": "error", "message": "no such model", "error": {"message": "404"}}),
            "no such model\n404",
        ),
        (
            json!({"type": "item.completed", "item": {"id": "item_1", "type": "command_execution",
                "command": "bash -lc 'cargo test'", "aggregated_output": "a\nb\nc\nd\n",
                "exit_code": 101, "status": "failed"}}),
            "← cargo test (exit code 101)\na\nb\n… 2 more lines",
        ),
        (
            json!({"type": "vm0_error", "error": "no sandbox"}),
            "Failed: no sandbox",
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(line(&event), (Level::Error, expected.to_owned()), "{event}");
    }
}

#[test]
fn each_event_of_codex_is_drawn_as_a_line_that_people_read() {
    let item = |phase: &str, item: Value| json!({"type": format!("item.{phase}"), "item": item});
    let cases = [
        (
            json!({"type": "thread.started", "thread_id": "t"}),
            "Session begins: Codex",
        ),
        (json!({"type": "turn.started"}), "Turn begins"),
        (
            json!({"type": "turn.completed", "usage": {
                "input_tokens": 24_763, "cached_input_tokens": 24_448, "output_tokens": 122}}),
            "Turn done: 24.8k tokens in (24.4k cached), 122 out",
        ),
        (
            item(
                "completed",
                json!({"id": "i", "type": "agent_message", "text": "Done."}),
            ),
            "Done.",
        ),
        (
            item(
                "completed",
                json!({"id": "i", "type": "reasoning", "text": "**Plan**"}),
            ),
            "(thinking) **Plan**",
        ),
        (
            item(
                "started",
                json!({"id": "i", "type": "command_execution",
                "command": "/bin/bash -lc \"ls -l\"", "status": "in_progress"}),
            ),
            "→ Bash ls -l",
        ),
        (
            item(
                "completed",
                json!({"id": "i", "type": "file_change", "status": "completed",
                "changes": [{"path": "a.rs", "kind": "add"}, {"path": "b.rs", "kind": "update"}]}),
            ),
            "← 2 files changed\nadd a.rs\nupdate b.rs",
        ),
        (
            item(
                "completed",
                json!({"id": "i", "type": "mcp_tool_call", "server": "docs", "tool": "search",
                "arguments": {"q": "x"}, "result": {"content": [{"type": "text", "text": "found"}]}}),
            ),
            "← docs search\nfound",
        ),
        (
            item(
                "updated",
                json!({"id": "i", "type": "todo_list",
                "items": [{"text": "a", "completed": true}, {"text": "b", "completed": false}]}),
            ),
            "→ Todo 1 of 2 done\n[x] a\n[ ] b",
        ),
        (
            json!({"type": "turn.plan.updated", "explanation": "First this",
                "plan": [{"step": "a", "status": "inProgress"}]}),
            "First this\n→ Plan 0 of 1 done\n[>] a",
        ),
        (
            item(
                "updated",
                json!({"id": "i", "type": "command_execution", "command": "ls",
                "aggregated_output": "a\nb\n", "status": "in_progress"}),
            ),
            "Bash goes on: b",
        ),
        (
            item("updated", json!({"id": "i", "type": "odd_item", "n": 5})),
            "odd_item updated: id: i, type: odd_item, n: 5",
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(line(&event), (Level::Info, expected.to_owned()), "{event}");
    }
    let warning = json!({"type": "warning", "message": "slow"});
    assert_eq!(line(&warning), (Level::Warn, "slow".into()));
}

#[test]
fn a_bar_marks_the_words_of_a_subagent() {
    let mut event = assistant(&json!({"type": "text", "text": "a\nb"}));
    event["parent_tool_use_id"] = json!("toolu_1");
    assert_eq!(line(&event).1, "| a\n| b");
}

#[test]
fn an_unknown_event_is_one_line_and_nothing_panics() {
    for (kind, data, expected) in [
        (
            "new_type",
            r#"{"type":"new_type","a":1}"#,
            "new_type: {\"a\":1}",
        ),
        ("new_type", "{\"type\":\"new_type\"}", "new_type"),
        (
            "assistant",
            "{\"type\":\"assistant\",\"message\":{\"cont",
            "assistant: {\"type\":\"assistant\",\"message\":{\"cont",
        ),
        ("assistant", "null", "assistant: null"),
        ("assistant", "[1,2]", "assistant: [1,2]"),
        ("assistant", r#"{"type":"assistant"}"#, "assistant"),
        (
            "assistant",
            r#"{"type":"assistant","message":{"content":[]}}"#,
            "assistant: {\"message\":{\"content\":[]}}",
        ),
        (
            "assistant",
            r#"{"message":{"content":[{"type":"text","text":""}]}}"#,
            "",
        ),
        (
            "assistant",
            r#"{"message":{"content":[{"type":5},7,null]}}"#,
            "{\"type\":5}\n7\n",
        ),
        (
            "item.completed",
            r#"{"type":"item.completed"}"#,
            "item.completed",
        ),
        ("result", r#"{"type":"result"}"#, "Agent done"),
        ("", "\"\"", "\"\""),
    ] {
        assert_eq!(
            lines::message(&Event::read(kind, data)).1,
            expected,
            "{kind} {data}"
        );
    }
    // Deeper than the parser goes.
    let deep = format!(
        "{{\"type\":\"x\",\"a\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    assert!(
        lines::message(&Event::read("x", &deep))
            .1
            .starts_with("x: {")
    );
}

#[test]
fn a_transcript_keeps_the_order_and_indents_subagents() {
    let mut out = String::new();
    let head = Head {
        run: "r-1".into(),
        agent: Some("research-analyst".into()),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        prompt: "Look\n```\nhere".into(),
    };
    Transcript::begin(&head, &mut out);
    let mut transcript = Transcript::default();
    let mut sequence = 0;
    let mut add = |event: &Value| {
        sequence += 1;
        let place = Place {
            timestamp: "2026-01-02T03:04:06Z",
            sequence: Some(sequence),
        };
        let kind = event["type"].as_str().unwrap();
        let event = Event::read(kind, &event.to_string());
        let before = out.clone();
        transcript.event(&event, place, &mut out);
        assert!(out.starts_with(&before) && out.len() > before.len());
    };
    add(&assistant(
        &json!({"type": "tool_use", "id": "toolu_1", "name": "Task",
        "input": {"description": "Compare", "prompt": "Compare `a` and ``b``"}}),
    ));
    let mut said = assistant(&json!({"type": "text", "text": "It is ![x](y)."}));
    said["parent_tool_use_id"] = json!("toolu_1");
    add(&said);
    let long: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    add(&result_of(&json!(long.join("\n")), false));
    let ending = Ending {
        status: "failed".into(),
        milliseconds: Some(192_000),
    };
    let mut summary = Summary::default();
    summary.add(&Event::read("assistant", &said_with_usage().to_string()));
    Transcript::end(&ending, &summary.usage(), &mut out);
    for expected in [
        "# Run of research-analyst\n\n- Run: `r-1`\n",
        "## Prompt\n\n> Look\n> ```\n> here\n\n## Conversation\n\n",
        "**Task** `Compare`\n\n```text\nCompare `a` and ``b``\n```\n\n",
        "> **Subagent** · 2026-01-02 03:04:06\n>\n> > It is !\\[x](y).\n>\n",
        "*Result*\n\n```text\n0\n1\n",
        "39\n```\n\n*10 more lines: `events.jsonl`, sequence 3*\n\n",
        "## Outcome\n\nThe run ended: **failed** (why: the file `error`)\n\n\
         - Duration: 3 min 12 s\n- Tokens: 1.2k in, 5 out\n",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in {out}");
    }
}

fn said_with_usage() -> Value {
    json!({"type": "assistant", "message": {"id": "m", "content": "x", "usage":
        {"input_tokens": 1_200, "output_tokens": 5}}})
}

#[test]
fn the_end_of_a_transcript_names_a_reason_only_where_there_may_be_one() {
    let end = |status: &str| {
        let ending = Ending {
            status: status.into(),
            milliseconds: None,
        };
        let mut out = String::new();
        Transcript::end(&ending, &Summary::default().usage(), &mut out);
        out
    };
    for status in ["completed", "cancelled"] {
        let expected = format!("## Outcome\n\nThe run ended: **{status}**\n\n");
        assert_eq!(end(status), expected);
    }
    for status in ["failed", "timeout"] {
        assert!(end(status).contains("(why: the file `error`)"));
    }
}

#[test]
fn base64_is_named_wherever_it_stands() {
    let data = "QUJD".repeat(5_000);
    let image = format!("see data:image/png;base64,{data} here");
    let named = "see [image/png, 15 kB] here";
    for event in [
        assistant(&json!({"type": "text", "text": image})),
        assistant(&json!({"type": "thinking", "thinking": image})),
        json!({"type": "user", "message": {"content": image}}),
        result_of(&json!(image), true),
        json!({"type": "result", "is_error": true, "result": image}),
        json!({"type": "turn.failed", "error": {"message": image}}),
        json!({"type": "error", "message": image}),
        json!({"type": "vm0_error", "error": image}),
        json!({"type": "item.completed", "item": {"type": "agent_message", "text": image}}),
        json!({"type": "item.completed", "item": {"type": "web_search", "query": image}}),
        json!({"type": "item.started", "item": {"type": "web_search", "query": image}}),
        json!({"type": "item.completed", "item": {"type": "mcp_tool_call", "error": image}}),
        json!({"type": "item.completed", "item": {"type": "file_write", "path": "a", "diff": image}}),
    ] {
        let kind = event["type"].as_str().unwrap();
        let read = Event::read(kind, &event.to_string());
        let line = lines::message(&read).1;
        let mut transcript = String::new();
        let place = Place {
            timestamp: "2026-01-02T03:04:06Z",
            sequence: Some(1),
        };
        Transcript::default().event(&read, place, &mut transcript);
        for shown in [&line, &transcript] {
            assert!(shown.len() < 1_000, "{event} became {shown}");
        }
        let of_all = format!("{line}{transcript}").replace('\\', "");
        assert!(of_all.contains(named), "{event} became {of_all}");
    }
}

#[test]
fn a_title_is_one_short_line() {
    let query = format!("a\nb {}", "long ".repeat(1_000));
    let event = json!({"type": "item.completed", "item": {"type": "web_search", "query": query}});
    let line = line(&event).1;
    assert!(line.starts_with("← WebSearch a b long"), "{line}");
    assert!(line.chars().count() < 220, "{line}");
}
