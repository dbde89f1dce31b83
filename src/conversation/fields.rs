//! The fields of an event's JSON.

use super::media;
use serde_json::Value;

/// How much of something that has no form of its own is shown, in characters.
pub(super) const PIECE: usize = 160;

/// A field's text, unless it is empty.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// A field's text, owned.
pub(super) fn owned(value: &Value, field: &str) -> Option<String> {
    text(value, field).map(str::to_owned)
}

/// A field's elements; none where it is no array.
pub(super) fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A piece of something that has no form of its own.
pub(super) fn piece(text: &str) -> String {
    media::line(text, PIECE)
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

/// A piece of what an event says beside its type, its session and those fields;
/// `None` where it has no other.
pub(super) fn rest(value: &Value, told: &[&str]) -> Option<String> {
    let mut rest = value.clone();
    if let Some(fields) = rest.as_object_mut() {
        for field in ["type", "session_id", "uuid", "parent_tool_use_id"] {
            fields.shift_remove(field);
        }
        for field in told {
            fields.shift_remove(*field);
        }
        if fields.is_empty() {
            return None;
        }
    }
    Some(piece(&rest.to_string()))
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
