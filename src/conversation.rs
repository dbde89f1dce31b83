//! What an agent's events say: who said what, which tool was used on what, what
//! came of it, how it ended. Claude Code's events and Codex's become the same
//! [`Part`]s here; [`lines`] draws them for a log, [`transcript`] as Markdown,
//! [`report`] as a page, and [`usage`] adds up what they cost.
//!
//! An event is read by itself, without those before it: so a line is the same
//! whether its event came by the stream or in a row, and in which order. The
//! shapes are those of the two programs' public formats (`claude -p
//! --output-format stream-json`, `codex exec --json`); all fields are optional,
//! and what is not known is shown by its type and a piece of it.

mod claude;
mod codex;
pub(crate) mod lines;
mod markdown;
mod media;
pub(crate) mod report;
mod tools;
pub(crate) mod transcript;
pub(crate) mod usage;
mod words;

use crate::json;
use serde_json::Value;
use usage::{End, Spent};

/// How much of something that has no form of its own is shown, in characters.
const PIECE: usize = 160;

/// An event, understood as far as it can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// What it says, in its order. Never empty.
    pub(crate) parts: Vec<Part>,
    /// The tool call that started the subagent which said it.
    pub(crate) parent: Option<String>,
    /// What one message of the model has used, by the message's id: a message
    /// can come in several events, each with the usage of the whole.
    pub(crate) spent: Option<Spent>,
}

/// One thing that an event says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// The agent's program has begun a session.
    Session(Session),
    /// A text.
    Text(Speaker, String),
    /// What the model thought; empty where only it can read it.
    Thinking(String),
    /// A tool is used.
    Call(Call),
    /// What came of a tool's use.
    Outcome(Outcome),
    /// A list of things to do, as it stands now.
    Todo(Vec<Todo>),
    /// A turn or a session has ended.
    End(Box<End>),
    /// One line about something else.
    Note(Level, String),
}

/// Who says a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The agent.
    Agent,
    /// The user, or the agent's program in the user's place.
    User,
}

/// How serious a part is, in the words of a log's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Everything that is as it should be.
    Info,
    /// Something that the agent was warned of.
    Warn,
    /// A failure.
    Error,
}

impl Level {
    /// The word in a log's line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// With what a session began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// The program: `Claude Code` or `Codex`.
    pub(crate) program: &'static str,
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) folder: Option<String>,
    pub(crate) tools: Option<usize>,
    /// Names of MCP servers.
    pub(crate) servers: Vec<String>,
}

/// A tool's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// By which its outcome refers to it.
    pub(crate) id: Option<String>,
    /// The tool.
    pub(crate) name: String,
    /// What it is used on, on one line: a path, a command, a query. May be empty.
    pub(crate) target: String,
    /// The whole of what it was given, where the headline does not say it all.
    pub(crate) input: Option<Block>,
}

/// What came of a tool's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The call's id.
    pub(crate) call: Option<String>,
    /// What was done, where the event says so itself (Codex does).
    pub(crate) title: Option<String>,
    /// What the tool gave: texts, and what is no text by its name and size.
    pub(crate) text: String,
    /// Those of it that a page can show.
    pub(crate) pictures: Vec<media::Picture>,
    pub(crate) failed: bool,
}

/// A text that is shown as it is, and the language that a highlighter needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// As in the info string of a Markdown fence: letters and digits.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Todo {
    pub(crate) state: TodoState,
    pub(crate) text: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TodoState {
    /// Not begun.
    Open,
    /// Being done.
    Current,
    /// Done.
    Done,
}

impl TodoState {
    /// Reads the word of either program.
    fn of(word: &str) -> Self {
        match word {
            "completed" => Self::Done,
            "in_progress" | "inProgress" => Self::Current,
            _ => Self::Open,
        }
    }
}

impl Event {
    /// Understands an event of that type, whose data is JSON as it was sent.
    pub(crate) fn read(kind: &str, data: &str) -> Self {
        let Ok(value) = json::parse::<Value>(data) else {
            return Self::note(Level::Info, kind, &words::piece(data));
        };
        // The type that an event itself says is what its form goes by.
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

    /// How serious it is: as serious as the worst of its parts.
    pub(crate) fn level(&self) -> Level {
        let levels = self.parts.iter().map(|part| match part {
            Part::Outcome(outcome) if outcome.failed => Level::Error,
            Part::End(end) if end.failure.is_some() => Level::Error,
            Part::Note(level, _) => *level,
            _ => Level::Info,
        });
        levels.max().unwrap_or(Level::Info)
    }

    fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            ..Self::default()
        }
    }

    /// One line: what kind of thing it is, and a piece of it.
    fn note(level: Level, kind: &str, piece: &str) -> Self {
        let kind = words::line(kind, 60);
        let line = match (kind.is_empty(), piece.is_empty()) {
            (true, _) => piece.to_owned(),
            (_, true) => kind,
            _ => format!("{kind}: {piece}"),
        };
        Self::of(vec![Part::Note(level, line)])
    }
}

/// What has no form of its own: its type, and a piece of the rest.
fn unknown(kind: &str, value: &Value) -> Event {
    Event::note(Level::Info, kind, &rest(value, &[]).unwrap_or_default())
}

/// A piece of what an event says beside its type, its session and those fields;
/// `None` where it has no other.
fn rest(value: &Value, told: &[&str]) -> Option<String> {
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
    Some(words::piece(&rest.to_string()))
}

/// The events that some older deployments add themselves.
fn lifecycle(kind: &str, value: &Value) -> Option<Event> {
    Some(match kind {
        "vm0_start" => {
            let agent = text(value, "agent").unwrap_or("an agent");
            let prompt = text(value, "prompt").unwrap_or_default();
            let line = format!("Run of {} begins: {prompt}", words::line(agent, 80));
            Event::of(vec![Part::Note(Level::Info, words::line(&line, PIECE))])
        }
        "vm0_result" => {
            let artifact = value.get("artifact").map(words::json_line);
            let line = artifact.map_or_else(
                || "Run has stored its result".to_owned(),
                |artifact| format!("Run has stored its result: artifact {artifact}"),
            );
            Event::of(vec![Part::Note(Level::Info, line)])
        }
        "vm0_error" => {
            let error = value.get("error").map(words::json_text).unwrap_or_default();
            let line = format!("Failed: {}", media::without_base64(&error));
            Event::of(vec![Part::Note(Level::Error, line)])
        }
        _ => return None,
    })
}

/// A field's text, unless it is empty.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// A field's text, owned.
fn owned(value: &Value, field: &str) -> Option<String> {
    text(value, field).map(str::to_owned)
}

/// A field's elements; none where it is no array.
fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
