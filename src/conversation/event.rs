//! One event of an agent's program, in the same types for each program.

use crate::text::one_line;
use serde::Serialize;
use std::{collections::BTreeMap, ops::Add};

/// An event, understood as far as it can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// What it says, in its order. Never empty.
    pub(crate) parts: Vec<Part>,
    /// The tool call that started the subagent that the event is of.
    pub(crate) parent: Option<String>,
    /// The tokens of one message of the model: a message can come in several events,
    /// each with the usage of the whole message.
    pub(crate) spent: Option<Spent>,
}

/// One thing that an event says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// The agent's program has begun a session.
    Session(Session),
    /// A text.
    Text(Speaker, String),
    /// A thought of the model; empty where it is encrypted.
    Thinking(String),
    /// The agent calls a tool.
    Call(Call),
    /// The result of a tool call.
    Outcome(Outcome),
    /// The agent's list of tasks, as it is now.
    Todo(Vec<Todo>),
    /// A turn or a session has ended.
    End(Box<End>),
    /// Anything else, on one line.
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
    /// No trouble.
    Info,
    /// A warning to the agent.
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

/// The beginning of a session.
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

/// A tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// The id by which the outcome refers to the call.
    pub(crate) id: Option<String>,
    /// The tool.
    pub(crate) name: String,
    /// Its main argument on one line: a path, a command, a query. May be empty.
    pub(crate) target: String,
    /// The whole input, where name and target do not say it all.
    pub(crate) input: Option<Block>,
}

/// The result of a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The call's id.
    pub(crate) call: Option<String>,
    /// The call in words, where the event repeats it (Codex does).
    pub(crate) title: Option<String>,
    /// The output: text, and everything else by its type and size.
    pub(crate) text: String,
    /// The pictures of the output that a page can show.
    pub(crate) pictures: Vec<Picture>,
    pub(crate) failed: bool,
}

/// A text that is shown as it is, and its language for a highlighter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// As in the info string of a Markdown fence: letters and digits.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// One task of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Todo {
    pub(crate) state: TodoState,
    pub(crate) text: String,
}

/// How far a task is.
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
    /// Reads the word of Claude Code or of Codex.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "completed" => Self::Done,
            "in_progress" | "inProgress" => Self::Current,
            _ => Self::Open,
        }
    }
}

impl Event {
    /// The level of the most serious part.
    pub(crate) fn level(&self) -> Level {
        let levels = self.parts.iter().map(|part| match part {
            Part::Outcome(outcome) if outcome.failed => Level::Error,
            Part::End(end) if end.failure.is_some() => Level::Error,
            Part::Note(level, _) => *level,
            _ => Level::Info,
        });
        levels.max().unwrap_or(Level::Info)
    }

    pub(super) fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            ..Self::default()
        }
    }

    /// An event with one line: its kind, and a piece of it.
    pub(super) fn note(level: Level, kind: &str, piece: &str) -> Self {
        let kind = one_line(kind, 60);
        let line = match (kind.is_empty(), piece.is_empty()) {
            (true, _) => piece.to_owned(),
            (_, true) => kind,
            _ => format!("{kind}: {piece}"),
        };
        Self::of(vec![Part::Note(level, line)])
    }
}

/// The place of an event in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its time, as it was sent.
    pub(crate) timestamp: &'a str,
    /// Its number in `events.jsonl`.
    pub(crate) sequence: Option<u64>,
}

/// A picture that a browser can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Its media type, such as `image/png`.
    pub(crate) kind: &'static str,
    /// Base64: letters, digits, `+`, `/` and `=`.
    pub(crate) data: String,
}

/// Tokens of the model, each kind counted once; `None` where no event tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    /// Read, not from a cache.
    #[serde(rename = "input_tokens")]
    pub(crate) input: Option<u64>,
    /// Written.
    #[serde(rename = "output_tokens")]
    pub(crate) output: Option<u64>,
    /// Read from a cache.
    #[serde(rename = "cache_read_input_tokens")]
    pub(crate) cached: Option<u64>,
    /// Read and written to a cache; Codex does not tell.
    #[serde(rename = "cache_creation_input_tokens")]
    pub(crate) stored: Option<u64>,
}

/// Adds a number to another, as far as either is known.
pub(super) fn add<T>(sum: &mut Option<T>, other: Option<T>, add: impl Fn(T, T) -> T) {
    *sum = match (sum.take(), other) {
        (Some(a), Some(b)) => Some(add(a, b)),
        (a, b) => a.or(b),
    };
}

impl Tokens {
    /// All that was read, from a cache or not.
    pub(crate) fn read(&self) -> u64 {
        let read = [self.input, self.cached, self.stored].into_iter();
        read.flatten().fold(0, u64::saturating_add)
    }

    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.input, other.input, u64::saturating_add);
        add(&mut self.output, other.output, u64::saturating_add);
        add(&mut self.cached, other.cached, u64::saturating_add);
        add(&mut self.stored, other.stored, u64::saturating_add);
    }

    /// Whether these can be a later count of the same tokens.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        self.read() >= earlier.read() && self.output >= earlier.output
    }
}

/// What one model has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ModelUse {
    /// Its tokens.
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
    /// US dollars.
    #[serde(rename = "cost_usd")]
    pub(crate) dollars: Option<f64>,
}

/// Cost and tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sum {
    /// US dollars.
    #[serde(rename = "cost_usd")]
    pub(crate) dollars: Option<f64>,
    /// Those of the agent's own model.
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
    /// The same by model, with those of subagents and of the program's own helpers.
    pub(crate) models: BTreeMap<String, ModelUse>,
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.dollars, other.dollars, f64::add);
        self.tokens.add(&other.tokens);
        for (name, usage) in &other.models {
            let total = self.models.entry(name.clone()).or_default();
            total.tokens.add(&usage.tokens);
            add(&mut total.dollars, usage.dollars, f64::add);
        }
    }
}

/// The usage of one message of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    /// The message's id.
    pub(super) message: String,
    pub(super) model: Option<String>,
    pub(super) tokens: Tokens,
    /// Whether the message is the agent's own, not a subagent's.
    pub(super) is_main: bool,
}

impl Spent {
    /// Tokens that the agent itself has read, without its subagents.
    pub(super) fn main_read(&self) -> u64 {
        if self.is_main { self.tokens.read() } else { 0 }
    }
}

/// How a query (Claude Code) or a turn (Codex) ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct End {
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
    /// The final answer, where the end itself says it.
    pub(crate) answer: Option<String>,
    pub(crate) turns: Option<u64>,
    pub(crate) milliseconds: Option<u64>,
    pub(crate) sum: Sum,
    /// Tool calls that were not permitted.
    pub(crate) denials: usize,
    /// Whether this is a turn of Codex: the last text before it is the answer.
    pub(crate) is_turn: bool,
}
