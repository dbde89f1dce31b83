//! Reads an event of Claude Code, of Codex, or of the platform itself.

use super::{
    claude, codex,
    event::{Event, Level, Part},
    fields::{PIECE, json_line, json_text, piece, rest, text},
    media,
};
use crate::{json, text::one_line};
use serde_json::Value;

impl Event {
    /// Reads an event of that type, whose data is JSON as it was sent.
    pub(crate) fn read(kind: &str, data: &str) -> Self {
        let Ok(value) = json::parse::<Value>(data) else {
            return Self::note(Level::Info, kind, &piece(data));
        };
        // The event's own type tells its form.
        let kind = text(&value, "type").unwrap_or(kind);
        let event = claude::read(kind, &value)
            .or_else(|| codex::read(kind, &value))
            .or_else(|| lifecycle(kind, &value));
        let mut event = event.unwrap_or_default();
        if event.parts.is_empty() {
            event.parts = unknown(kind, &value).parts;
        }
        event
    }
}

/// An event of an unknown type: its type, and a piece of the rest.
fn unknown(kind: &str, value: &Value) -> Event {
    Event::note(Level::Info, kind, &rest(value, &[]).unwrap_or_default())
}

/// The events that older deployments of the platform add themselves.
fn lifecycle(kind: &str, value: &Value) -> Option<Event> {
    let (level, line) = match kind {
        "vm0_start" => {
            let agent = text(value, "agent").unwrap_or("an agent");
            let prompt = text(value, "prompt").unwrap_or_default();
            let line = format!("Run of {} begins: {prompt}", one_line(agent, 80));
            (Level::Info, one_line(&line, PIECE))
        }
        "vm0_result" => {
            let artifact = value.get("artifact").map(json_line);
            let artifact = artifact.map(|artifact| format!(": artifact {artifact}"));
            let line = "Run has stored its result".to_owned() + &artifact.unwrap_or_default();
            (Level::Info, line)
        }
        "vm0_error" => {
            let error = value.get("error").map(json_text).unwrap_or_default();
            let line = format!("Failed: {}", media::without_base64(&error));
            (Level::Error, line)
        }
        _ => return None,
    };
    Some(Event::of(vec![Part::Note(level, line)]))
}
