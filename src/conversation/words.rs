//! Numbers and pieces of text as people read them.

use super::{PIECE, media};
use crate::humanize;
pub(super) use crate::humanize::{decimal_size as bytes, dollars, tokens};
pub(super) use crate::text::one_line as line;
use serde_json::Value;
use std::time::Duration;

/// A piece of something that has no form of its own.
pub(super) fn piece(text: &str) -> String {
    line(&media::without_base64(text), PIECE)
}

/// A value on one line: a string's text, else the JSON.
pub(super) fn json_line(value: &Value) -> String {
    piece(&json_text(value))
}

/// A string's text, else the value as JSON.
pub(super) fn json_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    humanize::count(number as u64, noun)
}

/// Milliseconds: `0.8 s`, `42 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn time(milliseconds: u64) -> String {
    humanize::took(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_one_short_line_however_long_the_text() {
        let long = "word ".repeat(1 << 20);
        assert!(piece(&long).chars().count() <= PIECE + 1);
        assert_eq!(piece("a\n\u{1b}[2Jb"), "a [2Jb");
    }
}
