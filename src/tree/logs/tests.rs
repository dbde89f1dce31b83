//! A log's files from rows and events, in whatever order these come.

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

/// The second of a minute, as a timestamp.
fn at(second: u32) -> String {
    format!("2026-01-02T03:04:{second:02}.000Z")
}

fn plain(second: u32, kind: &str, message: &str) -> Row<LogRow> {
    row(&json!({
        "timestamp": at(second), "type": kind, "level": "info", "message": message,
    }))
}

/// The row of an event whose text is `text`, with `message` for its own.
fn spoken(second: u32, sequence: u64, text: &str, message: &str) -> Row<LogRow> {
    row(&json!({
        "timestamp": at(second), "type": "agent", "level": "info", "message": message,
        "metadata": {
            "sequenceNumber": sequence, "eventType": "assistant",
            "eventData": {"type": "text", "text": text},
        },
    }))
}

/// The same event as the stream tells it.
fn event(second: u32, sequence: u64, text: &str) -> AgentEvent {
    let data = json!({"type": "text", "text": text});
    AgentEvent {
        sequence,
        kind: "assistant".into(),
        data: serde_json::value::to_raw_value(&data).unwrap(),
        timestamp: at(second),
    }
}

/// An event without a text, of which no line can be drawn.
fn silent(second: u32, sequence: u64) -> AgentEvent {
    AgentEvent {
        data: serde_json::value::to_raw_value(&json!({"tool": "Bash"})).unwrap(),
        ..event(second, sequence, "")
    }
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
        spoken(2, 1, "hello", "hello"),
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
            "data": {"type": "text", "text": "hello"},
        })
    );
    assert_eq!(events.lines().count(), 1);
}

#[test]
fn any_part_can_be_read() {
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
fn a_line_is_drawn_from_an_event_once_rows_have_shown_how() {
    let logs = Logs::default();
    assert!(!logs.add_event(event(1, 1, "one")), "nothing shows how yet");
    assert_eq!(text(&logs, LogView::All), "");
    assert_eq!(text(&logs, LogView::Events).lines().count(), 1);
    assert!(logs.add_rows(vec![spoken(1, 1, "one", "one")]));
    assert_eq!(text(&logs, LogView::All), line(1, "agent", "one"));
    assert!(logs.add_event(event(2, 2, "two")), "at once");
    let shown = [line(1, "agent", "one"), line(2, "agent", "two")].concat();
    assert_eq!(text(&logs, LogView::All), shown);
    assert_eq!(text(&logs, LogView::Agent), shown);
    assert_eq!(text(&logs, LogView::System), "");
    assert_eq!(text(&logs, LogView::Jsonl).lines().count(), 1);
    // Its row adds what it has besides.
    assert!(logs.add_rows(vec![spoken(2, 2, "two", "two")]));
    assert_eq!(text(&logs, LogView::All), shown);
    assert_eq!(text(&logs, LogView::Jsonl).lines().count(), 2);
    assert_eq!(text(&logs, LogView::Events).lines().count(), 2);
    assert!(logs.is_in_order());
    // The stream tells it again after a cut.
    assert!(logs.add_event(event(2, 2, "two")));
    assert_eq!(text(&logs, LogView::Events).lines().count(), 2);
    assert_eq!(logs.last_event(), Some(2));
}

#[test]
fn where_rows_say_something_else_nothing_is_drawn() {
    let logs = Logs::default();
    logs.add_rows(vec![spoken(1, 1, "one", "the agent said: one")]);
    assert!(!logs.add_event(event(2, 2, "two")));
    assert_eq!(
        text(&logs, LogView::All),
        line(1, "agent", "the agent said: one")
    );
    logs.add_rows(vec![spoken(2, 2, "two", "two"), spoken(3, 3, "x", "x")]);
    assert!(
        !logs.add_event(event(4, 4, "four")),
        "once is enough to doubt"
    );
}

#[test]
fn an_event_does_not_pass_one_whose_line_is_missing() {
    let logs = Logs::default();
    logs.add_rows(vec![spoken(1, 1, "one", "one")]);
    assert!(!logs.add_event(silent(2, 2)));
    assert!(
        !logs.add_event(event(3, 3, "three")),
        "not before the second"
    );
    assert_eq!(text(&logs, LogView::All), line(1, "agent", "one"));
    let second = row(&json!({
        "timestamp": at(2), "type": "agent", "level": "info", "message": "uses a tool",
        "metadata": {
            "sequenceNumber": 2, "eventType": "assistant", "eventData": {"tool": "Bash"},
        },
    }));
    logs.add_rows(vec![second, spoken(3, 3, "three", "three")]);
    let shown = [
        line(1, "agent", "one"),
        line(2, "agent", "uses a tool"),
        line(3, "agent", "three"),
    ];
    assert_eq!(text(&logs, LogView::All), shown.concat());
    let events = text(&logs, LogView::Events);
    let sequences: Vec<u64> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2, 3], "each once");
    assert!(logs.is_in_order());
}

#[test]
fn an_event_is_one_line_however_it_came() {
    let streamed = Logs::default();
    streamed.add_event(event(1, 1, "a \"quoted\"\nword"));
    let message = "a \"quoted\"\nword";
    let rows = Logs::ended(vec![spoken(1, 1, message, message)]);
    assert_eq!(
        text(&streamed, LogView::Events),
        text(&rows, LogView::Events)
    );
}

#[test]
fn what_was_read_stays_whatever_comes() {
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
                logs.add_rows(vec![spoken(second, n - 1, "text", "text")]);
            }
            3 => {
                logs.add_event(silent(second, n));
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
fn what_came_late_is_in_its_place_in_the_end() {
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
    passed.add_rows(vec![spoken(1, 1, "one", "one")]);
    passed.add_event(event(3, 2, "two"));
    passed.add_rows(vec![plain(2, "system", "b"), spoken(3, 2, "two", "two")]);
    assert!(text(&passed, LogView::All).ends_with(&line(2, "system", "b")));
    assert!(!passed.is_in_order());
    assert!(text(&Logs::ended(passed.rows()), LogView::All).ends_with(&line(3, "agent", "two")));
    // An event whose row never came is no row.
    let drawn = Logs::default();
    drawn.add_rows(vec![spoken(1, 1, "one", "one")]);
    drawn.add_event(event(2, 2, "two"));
    assert!(!drawn.is_in_order());
    assert_eq!(drawn.rows().len(), 1);
}
