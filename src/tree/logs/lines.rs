//! A row of a log, and an event, as a line.

use crate::{
    api::types::{AgentEvent, LogRow},
    json,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write;

/// JSON has line breaks between tokens only, never inside a string, so a space
/// in their place changes nothing.
pub(super) fn push_json_line(out: &mut String, raw: &str) {
    out.extend(
        raw.trim()
            .chars()
            .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
    );
    out.push('\n');
}

/// `<timestamp> <type> <level> <message>`; further lines of the message are
/// indented, so that a line that starts with a timestamp is a row of its own.
pub(super) fn push_text_line(out: &mut String, row: &LogRow) {
    for word in [&row.timestamp, &row.kind, &row.level] {
        push_visible(out, if word.is_empty() { "-" } else { word });
        out.push(' ');
    }
    let message = row.message.strip_suffix('\n').unwrap_or(&row.message);
    for (number, line) in message.split('\n').enumerate() {
        if number > 0 {
            out.push_str("\n    ");
        }
        push_visible(out, line.strip_suffix('\r').unwrap_or(line));
    }
    out.push('\n');
}

/// Control characters (C0, DEL, C1) and the Unicode marks that reorder or break
/// lines are written as escapes: what an agent logs must not drive a terminal.
fn push_visible(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\t' => out.push('\t'),
            '\u{1b}' => out.push_str("\\e"),
            c if (c as u32) < 0x20 || ('\u{7f}'..='\u{9f}').contains(&c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", character as u32);
            }
            c => out.push(c),
        }
    }
}

/// `{"sequence", "type", "data", "timestamp"}`: the same bytes whether the event
/// came from the stream or out of a row's metadata.
pub(super) fn push_event_line(out: &mut String, event: &AgentEvent) {
    #[derive(Serialize)]
    struct Line<'a> {
        sequence: u64,
        #[serde(rename = "type")]
        kind: &'a str,
        data: &'a RawValue,
        timestamp: &'a str,
    }
    let data = without_white_space(&json::whole(event.data.get()));
    let data = RawValue::from_string(data);
    let line = Line {
        sequence: event.sequence,
        kind: &event.kind,
        // Without its white space, JSON is still JSON; and programs that read
        // it know no halves of characters.
        data: data.as_ref().map_or(&*event.data, |data| data),
        timestamp: &event.timestamp,
    };
    if let Ok(line) = serde_json::to_string(&line) {
        push_json_line(out, &line);
    }
}

/// JSON without the white space between its tokens, which differs with the way
/// that it came.
fn without_white_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |character: &char| {
        if in_string {
            in_string = escaped || *character != '"';
            escaped = !escaped && *character == '\\';
            return true;
        }
        in_string = *character == '"';
        !matches!(character, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_line_however_it_was_spaced() {
        let line = |data: &str| {
            let mut out = String::new();
            let event = AgentEvent {
                sequence: 7,
                kind: "assistant".into(),
                data: RawValue::from_string(data.into()).unwrap(),
                timestamp: "2026-01-02T03:04:05Z".into(),
            };
            push_event_line(&mut out, &event);
            out
        };
        let tight = line(r#"{"a":"b \" c\\","n":[1,2.50]}"#);
        assert_eq!(
            tight,
            "{\"sequence\":7,\"type\":\"assistant\",\"data\":{\"a\":\"b \\\" c\\\\\",\
             \"n\":[1,2.50]},\"timestamp\":\"2026-01-02T03:04:05Z\"}\n"
        );
        assert_eq!(
            line("{ \"a\" : \"b \\\" c\\\\\",\n\t\"n\": [1,\r\n2.50] }"),
            tight
        );
    }
}
