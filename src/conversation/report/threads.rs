//! The conversation as nested entries: a tool call with its result, and a subagent's
//! words in the call that started it.

use super::{
    pieces::{Cut, Gave, Room, rest, write_block},
    text::{attribute, escaped, markdown},
};
use crate::{
    conversation::{
        event::{End, Event, Level, Part, Place, Speaker, Todo, TodoState},
        tools,
    },
    humanize::{count, time_of_day},
    text::one_line,
};
use jiff::Timestamp;
use std::{collections::HashMap, fmt::Write};

/// The most calls within calls that are nested; deeper ones are put on the top level.
/// Entries are written by recursion, and an agent decides how deep they are.
const DEEPEST: usize = 8;

/// Events of the conversation that the page shows: the first and the last ones.
/// A browser takes some seconds to lay out more.
const FIRST: usize = 500;
const LAST: usize = 2_500;

/// One entry.
struct Entry {
    depth: usize,
    body: Body,
    /// Where it stands in `events.jsonl`.
    sequence: Option<u64>,
    /// Its time as HTML.
    time: String,
}

enum Body {
    /// Finished HTML, in an element of that class.
    Said(&'static str, String),
    Tool(Box<Tool>),
    /// Events that are not shown.
    Gap(usize),
}

/// A tool call, or an outcome whose call is not known.
#[derive(Default)]
struct Tool {
    /// The tool's name, where the call is known.
    name: Option<String>,
    /// The headline as HTML.
    head: String,
    input: Option<Cut>,
    todos: Vec<Todo>,
    outcome: Option<Gave>,
    /// Entries of the subagent that the call started.
    inner: Vec<usize>,
}

impl Tool {
    fn has_failed(&self) -> bool {
        let outcome = self.outcome.as_ref();
        outcome.is_some_and(|gave| gave.failed)
    }
}

/// The conversation of a page, which grows event by event.
#[derive(Default)]
pub(crate) struct Threads {
    /// How many events there are in all, and how many were added.
    all: usize,
    seen: usize,
    entries: Vec<Entry>,
    /// The entries of the top level.
    top: Vec<usize>,
    calls: HashMap<String, usize>,
    /// Entries that tell of a failure.
    failures: Vec<usize>,
    room: Room,
}

impl Threads {
    /// No entries yet, for that many events.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }

    /// Whether the page leaves out the next event, so that it need not be read.
    pub(crate) fn leaves_out_next(&mut self) -> bool {
        let number = self.seen;
        self.seen += 1;
        let is_left_out = number >= FIRST && number + LAST < self.all;
        if is_left_out {
            match self.entries.last_mut().map(|entry| &mut entry.body) {
                Some(Body::Gap(count)) => *count += 1,
                _ => {
                    self.add(None, Body::Gap(1), None);
                }
            }
        }
        is_left_out
    }

    fn add(&mut self, parent: Option<usize>, body: Body, place: Option<Place<'_>>) -> usize {
        let number = self.entries.len();
        let parent = parent.filter(|&parent| self.entries[parent].depth < DEEPEST);
        let depth = parent.map_or(0, |parent| self.entries[parent].depth + 1);
        match parent.map(|parent| &mut self.entries[parent].body) {
            Some(Body::Tool(tool)) => tool.inner.push(number),
            _ => self.top.push(number),
        }
        self.entries.push(Entry {
            depth,
            body,
            sequence: place.and_then(|place| place.sequence),
            time: place.map(|place| time(place.timestamp)).unwrap_or_default(),
        });
        number
    }

    /// Adds a row of the agent's that is no event.
    pub(crate) fn text(&mut self, text: &str, place: Place<'_>) {
        let mut html = String::new();
        write_block("output", &self.room.cut(text), place.sequence, &mut html);
        self.add(None, Body::Said("note", html), Some(place));
    }

    /// Adds an event.
    pub(crate) fn event(&mut self, event: &Event, place: Place<'_>) {
        let parent = event.parent.as_ref();
        let parent = parent.and_then(|parent| self.calls.get(parent).copied());
        let is_sub = event.parent.is_some();
        let mut last_call = None;
        for part in &event.parts {
            let body = match part {
                Part::Session(session) => {
                    Body::Said("note", format!("<p>{}</p>", escaped(&session.line())))
                }
                Part::Text(speaker, text) => {
                    let (class, name) = match speaker {
                        Speaker::Agent if is_sub => ("agent", "Subagent"),
                        Speaker::Agent => ("agent", "Agent"),
                        Speaker::User => ("user", "User"),
                    };
                    Body::Said(class, format!("<h3>{name}</h3>{}", self.room.said(text)))
                }
                Part::Thinking(thought) if thought.trim().is_empty() => {
                    Body::Said("note", "<p>Thinking</p>".into())
                }
                Part::Thinking(thought) => {
                    let Cut { text, more } = self.room.cut(thought);
                    let html = markdown(&text) + &rest(more, "more line", place.sequence);
                    let html = format!(
                        "<details><summary>Thinking</summary><div class=\"quiet\">{html}</div></details>"
                    );
                    Body::Said("note", html)
                }
                Part::Call(call) => Body::Tool(Box::new(Tool {
                    name: Some(call.name.clone()),
                    head: format!(
                        "<b>{}</b> <code>{}</code>",
                        escaped(&call.name),
                        escaped(&call.target)
                    ),
                    input: call.input.as_ref().map(|input| self.room.cut(&input.text)),
                    ..Tool::default()
                })),
                Part::Todo(list) => {
                    let call = last_call.map(|call: usize| &mut self.entries[call].body);
                    if let Some(Body::Tool(tool)) = call {
                        tool.todos = list.clone();
                        continue;
                    }
                    Body::Said("note", list_of(list))
                }
                Part::Outcome(outcome) => {
                    let gave = self.room.fitting(outcome);
                    let Some(gave) = self.answer(gave) else {
                        continue;
                    };
                    let title = gave.title.as_deref().unwrap_or("Result");
                    Body::Tool(Box::new(Tool {
                        head: escaped(&one_line(title, 200)),
                        outcome: Some(gave),
                        ..Tool::default()
                    }))
                }
                Part::End(end) => {
                    let class = end.failure.as_ref().map_or("end", |_| "end failed");
                    Body::Said(class, ended(end))
                }
                Part::Note(level, text) => {
                    let class = match level {
                        Level::Info => "note",
                        Level::Warn => "note warn",
                        Level::Error => "note failed",
                    };
                    Body::Said(class, format!("<p>{}</p>", escaped(text)))
                }
            };
            let has_failed = match &body {
                Body::Said(class, _) => class.contains("failed"),
                Body::Tool(tool) => tool.has_failed(),
                Body::Gap(_) => false,
            };
            let number = self.add(parent, body, Some(place));
            if has_failed {
                self.failures.push(number);
            }
            if let Part::Call(call) = part {
                last_call = Some(number);
                self.calls.extend(call.id.clone().map(|id| (id, number)));
            }
        }
    }

    /// Gives an outcome to its call. Gives it back where the call is not known or has an
    /// outcome already.
    fn answer(&mut self, gave: Gave) -> Option<Gave> {
        let number = gave.call.as_ref().and_then(|call| self.calls.get(call));
        if let Some(&number) = number
            && let Body::Tool(tool) = &mut self.entries[number].body
            && tool.outcome.is_none()
        {
            if gave.failed {
                self.failures.push(number);
            }
            tool.outcome = Some(gave);
            return None;
        }
        Some(gave)
    }

    /// Writes all entries.
    pub(super) fn write(&self, out: &mut String) {
        for &number in &self.top {
            self.write_entry(number, out);
        }
    }

    /// Writes the number of failures, and a link to each.
    pub(super) fn write_failures(&self, out: &mut String) {
        const MOST: usize = 20;
        if self.failures.is_empty() {
            return;
        }
        let failures = count(self.failures.len(), "failure");
        let _ = write!(out, "<nav class=\"failed\"><b>{failures}</b>");
        for &number in self.failures.iter().take(MOST) {
            let name = match &self.entries[number].body {
                Body::Tool(tool) => tool.name.as_deref().unwrap_or("event"),
                Body::Said("end failed", _) => "end",
                _ => "event",
            };
            let _ = write!(out, " <a href=\"#e{number}\">{}</a>", escaped(name));
        }
        if self.failures.len() > MOST {
            out.push_str(" …");
        }
        out.push_str("</nav>\n");
    }

    fn write_entry(&self, number: usize, out: &mut String) {
        let Entry {
            body,
            sequence,
            time,
            ..
        } = &self.entries[number];
        match body {
            Body::Said(class, html) => {
                let _ = writeln!(
                    out,
                    "<article id=\"e{number}\" class=\"{class}\">{time}{html}</article>"
                );
            }
            Body::Gap(number) => {
                let events = count(*number, "event");
                let _ = writeln!(
                    out,
                    "<article class=\"note\"><p>{events} left out here: all are in \
                     <a href=\"transcript.md\">transcript.md</a> and \
                     <a href=\"events.jsonl\">events.jsonl</a></p></article>"
                );
            }
            Body::Tool(tool) => {
                let (head, todos, outcome) = (&tool.head, &tool.todos, tool.outcome.as_ref());
                let has_failed = tool.has_failed();
                let class = if has_failed { "tool failed" } else { "tool" };
                // Failed calls and lists of tasks are open: people look for them.
                let is_open = has_failed && tool.name.is_some() || !todos.is_empty();
                let open = if is_open { " open" } else { "" };
                let mark = outcome.map(mark).unwrap_or_default();
                let _ = write!(
                    out,
                    "<article id=\"e{number}\" class=\"{class}\">{time}\
                     <details{open}><summary>{head}{mark}</summary>"
                );
                if !todos.is_empty() {
                    out.push_str(&list_of(todos));
                }
                if let Some(input) = &tool.input {
                    write_block("input", input, *sequence, out);
                }
                for &number in &tool.inner {
                    self.write_entry(number, out);
                }
                // The output of a tool that writes a list repeats the list.
                if let Some(gave) = outcome.filter(|_| todos.is_empty() || has_failed) {
                    write_outcome(gave, *sequence, out);
                }
                out.push_str("</details></article>\n");
            }
        }
    }
}

/// The mark at the end of a summary: whether the call failed, and the lines of output.
fn mark(gave: &Gave) -> String {
    match (gave.failed, gave.lines) {
        (true, _) => " <span class=\"mark failed\">failed</span>".into(),
        (false, 0 | 1) => String::new(),
        (false, lines) => format!(" <span class=\"mark\">{}</span>", count(lines, "line")),
    }
}

fn ended(end: &End) -> String {
    let line = end.line();
    let mut lines = line.splitn(2, '\n');
    let first = escaped(lines.next().unwrap_or_default());
    let rest = lines
        .next()
        .map(|rest| format!("<pre>{}</pre>", escaped(rest)));
    format!("<p><b>{first}</b></p>{}", rest.unwrap_or_default())
}

fn list_of(list: &[Todo]) -> String {
    let mut out = format!(
        "<ul class=\"todo\" aria-label=\"{}\">",
        attribute(&tools::progress(list))
    );
    for todo in list {
        let (class, sign) = match todo.state {
            TodoState::Done => ("done", "☑"),
            TodoState::Current => ("current", "◉"),
            TodoState::Open => ("open", "☐"),
        };
        let _ = write!(
            out,
            "<li class=\"{class}\">{sign} {}</li>",
            escaped(&todo.text)
        );
    }
    out + "</ul>"
}

fn write_outcome(gave: &Gave, sequence: Option<u64>, out: &mut String) {
    for picture in &gave.pictures {
        let _ = write!(
            out,
            "<p><img alt=\"{0}\" src=\"data:{0};base64,{1}\"></p>",
            picture.kind, picture.data,
        );
    }
    let class = match gave.failed {
        true => "output failed",
        false => "output",
    };
    match gave.text.text.trim().is_empty() {
        true => out.push_str("<p class=\"quiet\">no output</p>"),
        false => write_block(class, &gave.text, sequence, out),
    }
}

/// The time of day, with date and time as its title.
fn time(timestamp: &str) -> String {
    match timestamp.parse::<Timestamp>() {
        Ok(time) => format!(
            "<time datetime=\"{0}\" title=\"{0}\">{1}</time>",
            time,
            time_of_day(time),
        ),
        Err(_) => format!("<time>{}</time>", escaped(&one_line(timestamp, 40))),
    }
}
