//! The page of a run whose agent writes what it should not.

use super::*;
use crate::conversation::{
    event::{Event, Place},
    usage::Summary,
};
use serde_json::{Value, json};

const HOSTILE: &str = "</pre></details></article></main><script>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"x ' \u{1b}[2J";

fn facts() -> Facts {
    Facts {
        run: HOSTILE.into(),
        agent: Some(HOSTILE.into()),
        status: HOSTILE.into(),
        has_ended: false,
        error: Some(HOSTILE.into()),
        prompt: HOSTILE.into(),
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        started: None,
        completed: None,
        links: vec![("Volume", HOSTILE.into(), "volumes/x/".into())],
        chart: String::new(),
    }
}

fn page_of(events: &[Value]) -> String {
    let mut threads = Threads::new(events.len());
    let mut summary = Summary::default();
    for (number, event) in events.iter().enumerate() {
        if threads.leaves_out_next() {
            continue;
        }
        let kind = event["type"].as_str().unwrap();
        let event = Event::read(kind, &event.to_string());
        summary.add(&event);
        let place = Place {
            timestamp: HOSTILE,
            sequence: Some(number as u64 + 1),
        };
        threads.event(&event, place);
    }
    page(&facts(), HOSTILE, &summary.usage(), &threads)
}

fn message(kind: &str, parent: Option<&str>, block: &Value) -> Value {
    json!({"type": kind, "parent_tool_use_id": parent, "message": {
        "id": HOSTILE, "model": HOSTILE, "content": [block], "usage": {}}})
}

#[test]
fn nothing_that_an_agent_wrote_is_markup() {
    let call = |id: &str, name: &str, input: Value| {
        message(
            "assistant",
            None,
            &json!({"type": "tool_use", "id": id, "name": name, "input": input}),
        )
    };
    let events = [
        json!({"type": "system", "subtype": "init", "model": HOSTILE, "cwd": HOSTILE,
            "mcp_servers": [{"name": HOSTILE}]}),
        message("assistant", None, &json!({"type": "text", "text": HOSTILE})),
        message(
            "assistant",
            None,
            &json!({"type": "thinking", "thinking": HOSTILE}),
        ),
        call("a", HOSTILE, json!({HOSTILE: HOSTILE})),
        call(
            "b",
            "Write",
            json!({"file_path": HOSTILE, "content": HOSTILE}),
        ),
        call(
            "c",
            "TodoWrite",
            json!({"todos": [{"content": HOSTILE, "status": HOSTILE}]}),
        ),
        message(
            "user",
            None,
            &json!({"type": "tool_result", "tool_use_id": "a", "content": HOSTILE, "is_error": true}),
        ),
        message("user", Some("b"), &json!({"type": "text", "text": HOSTILE})),
        message(
            "user",
            None,
            &json!({"type": "tool_result", "tool_use_id": "?", "content": HOSTILE}),
        ),
        json!({"type": "item.completed", "item": {"type": "command_execution", "command": HOSTILE,
            "aggregated_output": HOSTILE, "status": "failed"}}),
        json!({"type": "result", "is_error": true, "result": HOSTILE, "modelUsage": {HOSTILE: {}}}),
        json!({"type": HOSTILE, HOSTILE: HOSTILE}),
    ];
    let page = page_of(&events);
    fuzzing::check(&page);
    assert!(
        page.matches("&lt;script&gt;").count() >= 20,
        "it is all there as text"
    );
    assert!(page.contains("Content-Security-Policy"));
    assert!(
        !page.contains("src=\"") && !page.contains("url("),
        "nothing is fetched"
    );
}

#[test]
fn a_subagent_is_nested_in_its_call_and_no_depth_harms() {
    let call = |id: &str, parent: Option<&str>| {
        let input = json!({"description": format!("do {id}")});
        message(
            "assistant",
            parent,
            &json!({"type": "tool_use", "id": id, "name": "Task", "input": input}),
        )
    };
    let mut events = vec![call("0", None)];
    for depth in 1..2_000 {
        events.push(call(&depth.to_string(), Some(&(depth - 1).to_string())));
    }
    // A call that is its own parent, and two of one id.
    events.push(call("self", Some("self")));
    events.push(call("0", Some("0")));
    let page = page_of(&events);
    fuzzing::check(&page);
    let inner = page.find("do 1</code>").unwrap();
    let outer_end = page.find("</details>").unwrap();
    assert!(inner < outer_end, "the inner call stands in the outer one");
}

#[test]
fn a_page_is_small_enough_for_a_browser() {
    let text = |text: &str| message("assistant", None, &json!({"type": "text", "text": text}));
    let result = |text: &str| {
        let block = json!({"type": "tool_result", "tool_use_id": "x", "content": text});
        message("user", None, &block)
    };
    let base = page_of(&[]).len();
    // Data is named, in the words of an agent too.
    let data = format!("data:image/png;base64,{}", "QUJD".repeat(5_000));
    let named = page_of(&[text(&data), result(&data)]);
    assert!(named.len() < base + 2_000, "{}", named.len());
    assert_eq!(named.matches("[image/png, 15 kB]").count(), 2);
    // A text of a megabyte is cut, and where the page is full a little is shown.
    let long = "word ".repeat(200 << 10);
    let cut = page_of(&[text(&long)]);
    assert!((256 << 10..300 << 10).contains(&(cut.len() - base)));
    assert!(cut.contains("761856 more characters: <a href=\"events.jsonl\">"));
    let long = &long[..257 << 10];
    let much: Vec<Value> = (0..60).flat_map(|_| [text(long), result(long)]).collect();
    let much = page_of(&much);
    assert!(much.len() < 13 << 20, "{}", much.len());
    assert_eq!(much.matches("<h3>Agent</h3>").count(), 60);
}

#[test]
fn a_thought_that_is_cut_says_where_all_of_it_is() {
    let thought = |lines: usize| {
        let text: String = (0..lines).map(|line| format!("line {line}\n")).collect();
        let block = json!({"type": "thinking", "thinking": text});
        page_of(&[message("assistant", None, &block)])
    };
    let page = thought(203);
    let rest = "3 more lines: <a href=\"events.jsonl\">events.jsonl</a>, sequence 1";
    assert!(page.contains("line 199") && !page.contains("line 200"));
    assert!(page.contains(rest), "{page}");
    assert!(!thought(200).contains("more line"));
}

#[test]
fn a_long_conversation_shows_its_beginning_and_its_end() {
    let events: Vec<Value> = (0..10_000)
        .map(|n| {
            message(
                "assistant",
                None,
                &json!({"type": "text", "text": format!("said {n}.")}),
            )
        })
        .collect();
    let page = page_of(&events);
    for shown in [
        "said 0.",
        "said 499.",
        "said 7500.",
        "said 9999.",
        "7000 events left out",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("said 500.") && !page.contains("said 7499."));
}
