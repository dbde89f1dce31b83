//! A log's files from rows and events, in any order.

use super::*;
use serde_json::{Value, json};

/// A row as the service sends it.
fn row(value: &Value) -> Row<LogRow> {
    let raw = serde_json::value::to_raw_value(value).unwrap();
    Row {
        value: serde_json::from_str(raw.get()).unwrap(),
        raw,
    }
}

/// How a run that has failed ended.
fn ending() -> Ending {
    Ending {
        status: "failed".into(),
        milliseconds: Some(61_000),
    }
}

/// The second of a minute, as a timestamp.
fn at(second: u32) -> String {
    format!("2026-01-02T03:04:{second:02}.000Z")
}

fn plain(second: u32, kind: &str, message: &str) -> Row<LogRow> {
    row(&json!({
        "timestamp": at(second), "type": kind, "level": "info", "message": message,
    }))
}

/// What Claude Code prints where its agent says a text.
fn assistant(text: &str) -> Value {
    json!({
        "type": "assistant", "parent_tool_use_id": null, "session_id": "s",
        "message": {"id": "msg_1", "content": [{"type": "text", "text": text}]},
    })
}

/// An agent's row as the service sends it.
fn told(second: u32, sequence: u64, data: &Value) -> Row<LogRow> {
    let kind = data["type"].as_str().unwrap();
    row(&json!({
        "timestamp": at(second), "type": "agent", "level": "info",
        "message": format!("[{kind}] {data}"),
        "metadata": {"sequenceNumber": sequence, "eventType": kind, "eventData": data},
    }))
}

/// The row of an agent that says a text.
fn spoken(second: u32, sequence: u64, text: &str) -> Row<LogRow> {
    told(second, sequence, &assistant(text))
}

/// The same as the stream tells it.
fn event(second: u32, sequence: u64, text: &str) -> AgentEvent {
    AgentEvent {
        sequence,
        kind: "assistant".into(),
        data: serde_json::value::to_raw_value(&assistant(text)).unwrap(),
        timestamp: at(second),
    }
}

/// The same row as older deployments send it: without metadata.
fn bare(second: u32, text: &str) -> Row<LogRow> {
    let data = assistant(text);
    row(&json!({
        "timestamp": at(second), "type": "agent", "level": "info",
        "message": format!("[assistant] {data}"),
    }))
}

fn text(logs: &Logs, view: LogView) -> String {
    let mut buffer = Vec::new();
    logs.read(view, 0, usize::MAX, &mut buffer);
    assert_eq!(buffer.len() as u64, logs.size(view), "{view:?}");
    String::from_utf8(buffer).unwrap()
}

fn line(second: u32, kind: &str, message: &str) -> String {
    format!("{} {kind} info {message}\n", at(second))
}

#[test]
fn each_file_has_its_rows_in_their_order() {
    let rows = [
        plain(1, "system", "started"),
        spoken(2, 1, "hello"),
        plain(2, "network", "GET /"),
        plain(3, "odd", "of a kind that is new"),
    ];
    let logs = Logs::ended(rows.to_vec());
    let all = [
        line(1, "system", "started"),
        line(2, "agent", "hello"),
        line(2, "network", "GET /"),
        line(3, "odd", "of a kind that is new"),
    ];
    assert_eq!(text(&logs, LogView::All), all.concat());
    assert_eq!(text(&logs, LogView::System), all[0]);
    assert_eq!(text(&logs, LogView::Agent), all[1]);
    assert_eq!(text(&logs, LogView::Network), all[2]);
    let raw = rows.map(|row| format!("{}\n", row.raw.get()));
    assert_eq!(text(&logs, LogView::Jsonl), raw.concat());
    let events = text(&logs, LogView::Events);
    let read: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(
        read,
        json!({
            "sequence": 1, "type": "assistant", "timestamp": at(2),
            "data": assistant("hello"),
        })
    );
    assert_eq!(events.lines().count(), 1);
}

#[test]
fn a_log_can_be_read_at_any_offset_and_size() {
    let logs = Logs::ended((0..40).map(|n| plain(n, "agent", "é – ok")).collect());
    let whole = text(&logs, LogView::All).into_bytes();
    for offset in [0, 1, 30, whole.len() - 1, whole.len(), whole.len() + 9] {
        for size in [0, 1, 7, 1000, usize::MAX] {
            let mut buffer = b"before".to_vec();
            logs.read(LogView::All, offset as u64, size, &mut buffer);
            let start = offset.min(whole.len());
            let end = start.saturating_add(size).min(whole.len());
            assert_eq!(buffer[6..], whole[start..end], "{offset} {size}");
        }
    }
    let mut buffer = Vec::new();
    logs.read(LogView::All, u64::MAX, 10, &mut buffer);
    assert!(buffer.is_empty());
}

#[test]
fn a_text_cannot_drive_a_terminal_and_json_is_untouched() {
    let message = "\u{1b}[2Jred\rback\u{8}\u{7f}\u{9b}31m\u{202e}\u{2028}\ttab";
    let rows = vec![
        plain(1, "agent", message),
        plain(2, "agent", "one\ntwo\r\n\nfour\n"),
        row(&json!({"timestamp": "x\u{1b}y", "type": "a\u{7}b", "message": ""})),
    ];
    let raw: Vec<String> = rows.iter().map(|row| row.raw.get().to_owned()).collect();
    let logs = Logs::ended(rows);
    let expected = [
        line(
            1,
            "agent",
            "\\e[2Jred\\x0dback\\x08\\x7f\\x9b31m\\u{202e}\\u{2028}\ttab",
        ),
        line(2, "agent", "one\n    two\n    \n    four"),
        "x\\ey a\\x07b - \n".to_owned(),
    ];
    assert_eq!(text(&logs, LogView::All), expected.concat());
    let json = text(&logs, LogView::Jsonl);
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines, raw, "as they were sent");
    let first: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(first["message"], message);
}

#[test]
fn a_line_is_drawn_from_an_event_at_once_and_its_row_adds_nothing_to_it() {
    let logs = Logs::default();
    logs.add_event(event(1, 1, "one"));
    assert_eq!(text(&logs, LogView::All), line(1, "agent", "one"));
    assert_eq!(text(&logs, LogView::Events).lines().count(), 1);
    assert!(!logs.is_in_order(), "its row has not come");
    assert!(logs.add_rows(vec![spoken(1, 1, "one")]));
    assert!(logs.is_in_order());
    logs.add_event(event(2, 2, "two"));
    let shown = [line(1, "agent", "one"), line(2, "agent", "two")].concat();
    assert_eq!(text(&logs, LogView::All), shown);
    assert_eq!(text(&logs, LogView::Agent), shown);
    assert_eq!(text(&logs, LogView::System), "");
    assert_eq!(text(&logs, LogView::Jsonl).lines().count(), 1);
    assert!(logs.add_rows(vec![spoken(2, 2, "two")]));
    assert_eq!(text(&logs, LogView::All), shown);
    assert_eq!(text(&logs, LogView::Jsonl).lines().count(), 2);
    assert_eq!(text(&logs, LogView::Events).lines().count(), 2);
    assert!(logs.is_in_order());
    // The stream tells it again after a cut.
    logs.add_event(event(2, 2, "two"));
    assert_eq!(text(&logs, LogView::Events).lines().count(), 2);
    assert_eq!(logs.last_event(), Some(2));
}

#[test]
fn a_row_without_a_number_is_matched_with_its_event_by_content() {
    let logs = Logs::default();
    logs.add_event(event(1, 1, "one"));
    logs.add_event(event(2, 2, "two"));
    logs.add_event(event(3, 3, "two"));
    logs.add_rows(vec![
        bare(1, "one"),
        bare(2, "two"),
        bare(3, "two"),
        bare(4, "four"),
    ]);
    let shown = [
        line(1, "agent", "one"),
        line(2, "agent", "two"),
        line(3, "agent", "two"),
        line(4, "agent", "four"),
    ];
    assert_eq!(text(&logs, LogView::All), shown.concat());
    assert!(logs.is_in_order());
    let events = text(&logs, LogView::Events);
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!(last["data"], assistant("four"));
    assert_eq!(last["sequence"], Value::Null);
}

#[test]
fn an_event_whose_row_without_a_number_came_first_is_shown_once() {
    let logs = Logs::default();
    logs.add_rows(vec![
        bare(1, "one"),
        bare(2, "two"),
        plain(2, "system", "up"),
    ]);
    // The stream tells all from the beginning: nothing says how far rows went.
    assert_eq!(logs.last_event(), None);
    for (sequence, text) in [(1, "one"), (2, "two"), (3, "two"), (4, "three")] {
        logs.add_event(event(4, sequence, text));
    }
    logs.add_rows(vec![bare(4, "two"), bare(4, "three"), bare(5, "four")]);
    logs.add_event(event(5, 5, "four"));
    let shown = [
        line(1, "agent", "one"),
        line(2, "agent", "two"),
        line(2, "system", "up"),
        line(4, "agent", "two"),
        line(4, "agent", "three"),
        line(5, "agent", "four"),
    ];
    assert_eq!(text(&logs, LogView::All), shown.concat());
    assert_eq!(logs.last_event(), Some(5));
    assert!(logs.is_in_order());
}

#[test]
fn an_event_that_was_cut_is_shown_by_its_beginning() {
    let cut = format!(
        "[user] {{\"type\":\"user\",\"data\":\"{}",
        "é ".repeat(1 << 20)
    );
    let row_of = |data: Value| {
        row(&json!({
            "timestamp": at(1), "type": "agent", "level": "info", "message": cut,
            "metadata": {"sequenceNumber": 7, "eventType": "user", "eventData": data},
        }))
    };
    for row in [plain(1, "agent", &cut), row_of(Value::Null)] {
        let logs = Logs::ended(vec![row]);
        for view in [LogView::All, LogView::Transcript] {
            let shown = text(&logs, view);
            assert!(shown.contains("user"), "{shown}");
            assert!(shown.contains("é é… ") || shown.contains("é … "), "{shown}");
            assert!(shown.contains(" more characters"), "{shown}");
            assert!(shown.len() < 3_000, "{}", shown.len());
        }
        assert!(text(&logs, LogView::Jsonl).contains("é é é é"));
    }
}

#[test]
fn each_row_gives_a_line_even_if_its_event_is_broken() {
    let data = [
        json!({"type": "assistant", "message": {"content": []}}),
        json!({"type": "assistant", "message": {"content": [{"type": "text", "text": ""}]}}),
        json!({"type": "user", "message": {"content": [{"type": "tool_result", "content": null}]}}),
        json!({"type": "of tomorrow"}),
        json!({"type": ""}),
    ];
    let mut rows: Vec<_> = (1..).zip(&data).map(|(n, data)| told(1, n, data)).collect();
    let cut = "[assistant] {\"type\":\"assistant\",\"message\":{\"content\":[{\"ty";
    rows.push(plain(1, "agent", cut));
    rows.push(plain(1, "agent", ""));
    let count = rows.len();
    let logs = Logs::ended(rows);
    let shown = text(&logs, LogView::Agent);
    let lines = shown.lines().filter(|line| line.starts_with(&at(1)));
    assert_eq!(lines.count(), count, "{shown}");
    assert!(shown.contains(cut), "what cannot be read is shown as text");
    assert_eq!(text(&logs, LogView::Jsonl).lines().count(), count);
}

#[test]
fn a_failure_has_the_level_error_even_if_its_row_says_info() {
    let failed = json!({"type": "user", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": "No such file", "is_error": true}]}});
    let logs = Logs::ended(vec![told(1, 1, &failed)]);
    let shown = format!("{} agent error ← No such file\n", at(1));
    assert_eq!(text(&logs, LogView::All), shown);
}

#[test]
fn an_event_is_the_same_line_from_the_stream_and_in_a_row() {
    let streamed = Logs::default();
    streamed.add_event(event(1, 1, "a \"quoted\"\nword"));
    let rows = Logs::ended(vec![spoken(1, 1, "a \"quoted\"\nword")]);
    for view in [LogView::Events, LogView::All, LogView::Transcript] {
        assert_eq!(text(&streamed, view), text(&rows, view), "{view:?}");
    }
}

#[test]
fn a_transcript_begins_with_the_run_and_ends_with_its_end_once() {
    let logs = Logs::default();
    let head = || Head {
        run: "r".into(),
        agent: Some("a".into()),
        created: at(0).parse().unwrap(),
        prompt: "Do it".into(),
    };
    logs.introduce(head);
    let begun = text(&logs, LogView::Transcript);
    assert!(begun.starts_with("# Run of a\n"), "{begun}");
    logs.add_event(event(1, 1, "one"));
    logs.introduce(head);
    logs.add_rows(vec![spoken(1, 1, "one"), plain(2, "system", "bye")]);
    logs.conclude(ending());
    logs.conclude(ending());
    let whole = text(&logs, LogView::Transcript);
    assert!(whole.starts_with(&begun));
    assert_eq!(whole.matches("## Outcome").count(), 1);
    assert!(whole.contains("> one\n"), "{whole}");
    assert!(whole.ends_with("- Duration: 1 min 1 s\n\n"), "{whole}");
    assert!(
        !whole.contains("bye"),
        "the sandbox is not in the conversation"
    );
    assert!(logs.is_in_order());
    assert_eq!(
        text(&logs, LogView::All).lines().count(),
        2,
        "the end is no row"
    );
    logs.add_rows(vec![spoken(3, 2, "late")]);
    assert!(text(&logs, LogView::Transcript).starts_with(&whole));
    assert!(!logs.is_in_order(), "to be drawn anew in its order");
}

#[test]
fn the_answer_and_the_cost_are_those_of_all_events() {
    let logs = Logs::default();
    assert_eq!(logs.answer(), "");
    assert_eq!(logs.usage().turns, None);
    logs.add_event(event(1, 1, "working"));
    let result = json!({
        "type": "result", "subtype": "success", "is_error": false, "result": "42",
        "num_turns": 3, "duration_ms": 1500, "total_cost_usd": 0.25,
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 2},
    });
    assert_eq!(logs.answer(), "");
    logs.add_rows(vec![spoken(1, 1, "working"), told(2, 2, &result)]);
    assert_eq!(logs.answer(), "42");
    let usage = serde_json::to_value(logs.usage()).unwrap();
    assert_eq!(
        usage,
        json!({
            "turns": 3, "duration_ms": 1500, "cost_usd": 0.25, "input_tokens": 10,
            "output_tokens": 5, "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 2, "models": {},
        })
    );
}

#[test]
fn bytes_that_were_read_stay_when_rows_and_events_come() {
    let logs = Logs::default();
    let mut before = LogView::ALL.map(|view| text(&logs, view));
    for n in 1..50_u64 {
        let second = (n * 7 % 50) as u32;
        match n % 5 {
            0 => {
                logs.add_rows(vec![plain(second, "system", "late or not")]);
            }
            1 => {
                logs.add_event(event(second, n, "text"));
            }
            2 => {
                logs.add_rows(vec![spoken(second, n - 1, "text")]);
            }
            3 => {
                logs.add_event(event(second, n, ""));
            }
            _ => {
                logs.add_rows(vec![plain(second, "network", "GET")]);
            }
        }
        let after = LogView::ALL.map(|view| text(&logs, view));
        for (before, after) in before.iter().zip(&after) {
            assert!(after.starts_with(before.as_str()), "{n}");
        }
        before = after;
    }
}

#[test]
fn late_rows_are_in_their_order_once_the_log_is_final() {
    let logs = Logs::default();
    logs.add_rows(vec![plain(1, "agent", "a"), plain(5, "agent", "e")]);
    assert!(logs.is_in_order());
    assert!(logs.add_rows(vec![plain(3, "system", "c")]));
    assert!(!logs.add_rows(Vec::new()));
    assert!(!logs.is_in_order());
    let unreadable = row(&json!({"timestamp": "soon", "type": "agent", "message": "f"}));
    logs.add_rows(vec![unreadable]);
    let messages: Vec<String> = logs
        .rows()
        .into_iter()
        .map(|row| row.value.message)
        .collect();
    assert_eq!(
        messages,
        ["a", "c", "f", "e"],
        "what has no time stays behind what it came after"
    );
    // What came before an event whose line was drawn at once.
    let passed = Logs::default();
    passed.add_rows(vec![spoken(1, 1, "one")]);
    passed.add_event(event(3, 2, "two"));
    passed.add_rows(vec![plain(2, "system", "b"), spoken(3, 2, "two")]);
    assert!(text(&passed, LogView::All).ends_with(&line(2, "system", "b")));
    assert!(!passed.is_in_order());
    assert!(text(&Logs::ended(passed.rows()), LogView::All).ends_with(&line(3, "agent", "two")));
    // An event whose row never came stays what was shown, and is told from rows.
    let drawn = Logs::default();
    drawn.add_rows(vec![spoken(1, 1, "one")]);
    drawn.add_event(event(2, 2, "two"));
    drawn.add_event(event(4, 3, "three"));
    drawn.add_rows(vec![spoken(4, 3, "three"), plain(3, "system", "c")]);
    assert!(!drawn.is_in_order());
    assert_eq!(drawn.rows().len(), 3);
    let settled = drawn.settled();
    assert!(settled.is_in_order());
    let stored = Logs::ended(settled.rows());
    for logs in [&settled, &stored] {
        assert_eq!(logs.rows().len(), 4);
        let shown = text(logs, LogView::All);
        let at = |part: &str| {
            shown
                .find(part)
                .unwrap_or_else(|| panic!("{part}: {shown}"))
        };
        assert!(at("two") < at("c\n") && at("c\n") < at("three"), "{shown}");
        let events = text(logs, LogView::Events);
        assert_eq!(events, text(&drawn, LogView::Events));
        let rows = text(logs, LogView::Jsonl);
        assert_eq!(rows.matches(r#""source":"stream""#).count(), 1, "{rows}");
    }
}

mod kept;
