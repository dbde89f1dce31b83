//! An event as the lines of a log.

use super::{
    event::{End, Event, Level, Outcome, Part, Session, Speaker, Todo, TodoState, Tokens},
    media::{self, without_base64},
};
use crate::{
    humanize::{count, dollars, tokens, took},
    text::{one_line, push_visible, push_visible_lines},
};
use std::{borrow::Cow, time::Duration};

/// Lines of a tool's output that are shown, and characters of each.
const OUTPUT_LINES: usize = 3;
const OUTPUT_WIDTH: usize = 160;
/// Characters of a thought.
const THOUGHT: usize = 120;
/// Characters of a line that is no event: one that the service has cut can be
/// megabytes of JSON.
const TEXT_WIDTH: usize = 1_000;

/// The marks before a tool call and before its output.
const CALL: &str = "→ ";
const OUTCOME: &str = "← ";

/// The level of an event and its text, in one line or more.
pub(crate) fn message(event: &Event) -> (Level, String) {
    let mut out = String::new();
    for part in &event.parts {
        let said = said(part);
        let lines = said.trim_end_matches(['\n', '\r']).split('\n');
        for line in lines {
            if !out.is_empty() {
                out.push('\n');
            }
            // A bar marks the words of a subagent.
            if event.parent.is_some() {
                out.push_str("| ");
            }
            out.push_str(line);
        }
    }
    (event.level(), out)
}

/// A text of the agent's that is no event, in its lines.
pub(crate) fn text(text: &str) -> String {
    let lines = text.trim_end_matches(['\n', '\r']).split('\n');
    let lines = lines.map(|line| short(line, TEXT_WIDTH));
    lines.collect::<Vec<_>>().join("\n")
}

fn said(part: &Part) -> String {
    match part {
        Part::Session(session) => session.line(),
        Part::Text(Speaker::Agent, text) => without_base64(text).into_owned(),
        Part::Text(Speaker::User, text) => format!("User: {}", without_base64(text)),
        Part::Thinking(thought) => match media::line(thought, THOUGHT) {
            line if line.is_empty() => "(thinking)".to_owned(),
            line => format!("(thinking) {line}"),
        },
        Part::Call(call) => format!("{CALL}{} {}", call.name, call.target)
            .trim_end()
            .to_owned(),
        Part::Outcome(outcome) => output(outcome),
        Part::Todo(list) => todo(list),
        Part::End(end) => end.line(),
        Part::Note(_, text) => text.clone(),
    }
}

impl Session {
    /// How the session began, on one line.
    pub(crate) fn line(&self) -> String {
        let servers = (!self.servers.is_empty()).then(|| {
            let names = one_line(&self.servers.join(", "), 120);
            format!("{} ({names})", count(self.servers.len(), "MCP server"))
        });
        let folder = self.folder.as_deref();
        let with = [
            Some(self.program.to_owned()),
            self.model.as_deref().map(|model| one_line(model, 80)),
            self.tools.map(|tools| count(tools, "tool")),
            servers,
            folder.map(|folder| format!("in {}", one_line(folder, 200))),
        ];
        let with: Vec<String> = with.into_iter().flatten().collect();
        format!("Session begins: {}", with.join(", "))
    }
}

impl Tokens {
    /// Tokens read and written: `477.2k in (468.7k cached), 840 out`, with a noun after
    /// the first number where it needs one.
    pub(super) fn line(&self, noun: &str) -> String {
        let cached = match self.cached {
            None | Some(0) => String::new(),
            Some(cached) => format!(" ({} cached)", tokens(cached)),
        };
        let (read, output) = (tokens(self.read()), tokens(self.output.unwrap_or(0)));
        format!("{read}{noun} in{cached}, {output} out")
    }
}

impl End {
    /// How it ended and what it cost, on one line; why it failed on the next ones.
    pub(crate) fn line(&self) -> String {
        let what = if self.is_turn { "Turn" } else { "Agent" };
        let (how, joint) = match self.failure {
            Some(_) => ("failed", "after"),
            None => ("done", "in"),
        };
        let mut line = format!("{what} {how}");
        if let Some(time) = self.milliseconds.map(Duration::from_millis) {
            line += &format!(" {joint} {}", took(time));
        }
        let cost = self.cost();
        if !cost.is_empty() {
            line += &format!(": {cost}");
        }
        if let Some(failure) = &self.failure {
            line += &format!("\n{failure}");
        }
        line
    }

    /// Turns, tokens and cost, as far as they are told.
    pub(crate) fn cost(&self) -> String {
        let mut parts = Vec::new();
        if let Some(turns) = self.turns.filter(|_| !self.is_turn) {
            parts.push(count(turns, "turn"));
        }
        let told = &self.sum.tokens;
        if told.read() > 0 || told.output > Some(0) {
            parts.push(told.line(" tokens"));
        }
        parts.extend(self.sum.dollars.map(dollars));
        if self.denials > 0 {
            parts.push(format!("{} not permitted", count(self.denials, "tool use")));
        }
        parts.join(", ")
    }
}

/// The first lines of a tool's output, and how many more it has.
fn output(outcome: &Outcome) -> String {
    let mut lines: Vec<String> = outcome.title.iter().cloned().collect();
    let text = outcome.text.trim_matches(['\n', '\r']);
    let room = OUTPUT_LINES - lines.len();
    let mut more = 0;
    if !text.trim().is_empty() {
        let first: Vec<&str> = text.lines().take(room).collect();
        // All lines lose the same indent, so columns stay columns.
        let indent = |line: &&str| line.len() - line.trim_start_matches(' ').len();
        let filled = first.iter().filter(|line| !line.trim().is_empty());
        let indent = filled.map(indent).min().unwrap_or(0);
        let rest = first
            .iter()
            .map(|line| line.get(indent..).unwrap_or_default());
        lines.extend(rest.map(|line| short(line, OUTPUT_WIDTH)));
        more = text.lines().count() - first.len();
    }
    if lines.is_empty() {
        let none = if outcome.failed {
            "failed"
        } else {
            "no output"
        };
        lines.push(none.to_owned());
    }
    if more > 0 {
        lines.push(format!("… {}", count(more, "more line")));
    }
    format!("{OUTCOME}{}", lines.join("\n"))
}

/// A line of at most `width` characters, and how many more it has.
pub(super) fn cut(line: &str, width: usize) -> Cow<'_, str> {
    match line.char_indices().nth(width) {
        None => line.into(),
        Some((end, _)) => {
            let more = count(line[end..].chars().count(), "more character");
            format!("{}… {more}", &line[..end]).into()
        }
    }
}

/// A line without base64, cut where it is long.
fn short(line: &str, width: usize) -> String {
    cut(&without_base64(line.trim_end()), width).into_owned()
}

/// A list of tasks, a line each.
fn todo(list: &[Todo]) -> String {
    if list.is_empty() {
        return "Nothing to do".to_owned();
    }
    let lines = list.iter().map(|todo| {
        let mark = match todo.state {
            TodoState::Done => "[x]",
            TodoState::Current => "[>]",
            TodoState::Open => "[ ]",
        };
        format!("{mark} {}", todo.text)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `<timestamp> <type> <level> <message>`; further lines of the message are
/// indented, so that a line that starts with a timestamp is a row of its own.
pub(crate) fn push(out: &mut String, words: [&str; 3], message: &str) {
    for word in words {
        push_visible(out, if word.is_empty() { "-" } else { word });
        out.push(' ');
    }
    let message = message.strip_suffix('\n').unwrap_or(message);
    push_visible_lines(out, message, "\n    ");
    out.push('\n');
}
