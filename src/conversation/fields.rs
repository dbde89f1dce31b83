//! The fields of an event's JSON.

use super::media;
use serde_json::Value;

/// Characters of a piece of JSON that are shown.
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

/// The beginning of a text, on one line.
pub(super) fn piece(text: &str) -> String {
    media::line(text, PIECE)
}

/// The beginning of a value on one line: a string's text, else the JSON.
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

/// The beginning of an event's JSON without its type, its session and those fields;
/// `None` where it has no other fields.
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
    fn a_piece_of_a_long_text_is_one_short_line() {
        let long = "word ".repeat(1 << 20);
        assert!(piece(&long).chars().count() <= PIECE + 1);
        assert_eq!(piece("a\n\u{1b}[2Jb"), "a [2Jb");
    }
}
