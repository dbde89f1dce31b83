//! A run's log rows as text and as JSON lines.

use crate::api::types::{LogRow, Row};
use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
};

/// Which rows, in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogView {
    /// Every row as a text line.
    All,
    /// Every row as the JSON it came as.
    Jsonl,
    /// The agent's rows as text lines.
    Agent,
    /// The sandbox's rows as text lines.
    System,
    /// Network rows as text lines.
    Network,
}

/// All rows of a run, oldest first, and the files made of them so far.
#[derive(Debug)]
pub(crate) struct Logs {
    rows: Vec<Row<LogRow>>,
    files: [OnceLock<Arc<[u8]>>; 5],
}

impl Logs {
    /// Takes the rows in the order the files are to have.
    pub(crate) fn new(rows: Vec<Row<LogRow>>) -> Self {
        Self {
            rows,
            files: Default::default(),
        }
    }

    /// The rows, oldest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row<LogRow>> {
        self.rows.iter()
    }

    /// The bytes of one of the files.
    pub(crate) fn file(&self, view: LogView) -> Arc<[u8]> {
        self.files[view as usize]
            .get_or_init(|| self.render(view).into_bytes().into())
            .clone()
    }

    /// Its weight in memory in bytes: the rows, parsed and raw, and the two
    /// files that hold all of them.
    pub(crate) fn weight(&self) -> usize {
        self.rows
            .iter()
            .map(|row| 4 * row.raw.get().len() + 128)
            .sum()
    }

    fn render(&self, view: LogView) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let wanted = match view {
                LogView::All => true,
                LogView::Jsonl => {
                    push_json_line(&mut out, row.raw.get());
                    continue;
                }
                LogView::Agent => row.value.kind == "agent",
                LogView::System => row.value.kind == "system",
                LogView::Network => row.value.kind == "network",
            };
            if wanted {
                push_text_line(&mut out, &row.value);
            }
        }
        out
    }
}

/// JSON has line breaks between tokens only, never inside a string, so a space
/// in their place changes nothing.
fn push_json_line(out: &mut String, raw: &str) {
    out.extend(
        raw.trim()
            .chars()
            .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
    );
    out.push('\n');
}

/// `<timestamp> <type> <level> <message>`; further lines of the message are
/// indented, so that a line that starts with a timestamp is a row of its own.
fn push_text_line(out: &mut String, row: &LogRow) {
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
            '\u{200e}'
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn row(json: &str) -> Row<LogRow> {
        Row {
            value: serde_json::from_str(json).unwrap(),
            raw: RawValue::from_string(json.into()).unwrap(),
        }
    }

    fn text(logs: &Logs, view: LogView) -> String {
        String::from_utf8(logs.file(view).to_vec()).unwrap()
    }

    #[test]
    fn lines() {
        let logs = Logs::new(vec![
            row(
                r#"{"timestamp":"2026-01-02T03:04:05Z","type":"agent","level":"info","message":"one\ntwo\r\n"}"#,
            ),
            row(
                r#"{"timestamp":"2026-01-02T03:04:05.123456Z","type":"system","level":"warn","message":"\u001b[31mred\u001b[0m\u0007\ta"}"#,
            ),
            row(
                "{\"timestamp\":\"2026-01-02T03:04:06Z\",\n \"type\":\"network\",\"level\":\"debug\",\"message\":\"\"}",
            ),
            row(r#"{"timestamp":"2026-01-02T03:04:07Z","type":"new","message":"\u202eevil"}"#),
        ]);
        assert_eq!(
            text(&logs, LogView::All),
            "2026-01-02T03:04:05Z agent info one\n    two\n\
             2026-01-02T03:04:05.123456Z system warn \\e[31mred\\e[0m\\x07\ta\n\
             2026-01-02T03:04:06Z network debug \n\
             2026-01-02T03:04:07Z new - \\u{202e}evil\n"
        );
        assert_eq!(text(&logs, LogView::Agent).lines().count(), 2);
        assert_eq!(text(&logs, LogView::System).lines().count(), 1);
        assert_eq!(text(&logs, LogView::Network).lines().count(), 1);
        let jsonl = text(&logs, LogView::Jsonl);
        assert_eq!(
            jsonl.lines().count(),
            4,
            "a row is a line, whatever its white space"
        );
        for line in jsonl.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert!(
            jsonl.contains(r"\u001b[31m"),
            "nothing is changed in the JSON"
        );
    }
}
