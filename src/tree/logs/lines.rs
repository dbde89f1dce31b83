//! Rows and events of a log as lines of JSON.

use crate::{conversation::Place, json};
use serde::Serialize;
use serde_json::value::RawValue;

/// Appends JSON on one line: it has line breaks between tokens only, never inside a
/// string, so a space in their place changes nothing.
pub(super) fn push_json_line(out: &mut String, raw: &str) {
    out.extend(
        raw.trim()
            .chars()
            .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
    );
    out.push('\n');
}

/// Appends `{"sequence", "type", "data", "timestamp"}`: the same bytes whether the event
/// came from the stream or in a row. The sequence is null where a row of an older
/// deployment lacks it.
pub(super) fn push_event_line(out: &mut String, kind: &str, data: &RawValue, place: Place<'_>) {
    #[derive(Serialize)]
    struct Line<'a> {
        sequence: Option<u64>,
        #[serde(rename = "type")]
        kind: &'a str,
        data: &'a RawValue,
        timestamp: &'a str,
    }
    // White space differs between the stream and the rows. A lone half of a UTF-16 pair
    // is replaced, which many programs cannot read.
    let tight = RawValue::from_string(tight(data));
    let line = Line {
        sequence: place.sequence,
        kind,
        data: tight.as_deref().unwrap_or(data),
        timestamp: place.timestamp,
    };
    if let Ok(line) = serde_json::to_string(&line) {
        push_json_line(out, &line);
    }
}

/// The content of an event, without the white space between its tokens.
pub(super) fn canonical(kind: &str, data: &RawValue) -> String {
    format!("{kind} {}", tight(data))
}

/// JSON without the white space between its tokens.
fn tight(data: &RawValue) -> String {
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
    json::whole(data.get()).chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_in_an_event_does_not_change_its_line() {
        let line = |data: &str| {
            let mut out = String::new();
            let data = RawValue::from_string(data.into()).unwrap();
            let place = Place {
                timestamp: "2026-01-02T03:04:05Z",
                sequence: Some(7),
            };
            push_event_line(&mut out, "assistant", &data, place);
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
