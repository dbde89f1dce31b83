//! `transcript.md`: the conversation of a run as Markdown, for people to read and
//! to pass on. It grows at its end only.

use super::{
    event::{Call, End, Event, Level, Outcome, Part, Place, Speaker, TodoState},
    lines,
    markdown::{code, plain, push_fence, push_paragraph, push_quote},
    media::without_base64,
    usage::Usage,
};
use crate::humanize::{count, date_and_time, took};
use jiff::Timestamp;
use std::{collections::HashMap, time::Duration};

/// Lines of a tool's input or output that are shown, and characters of each.
const LINES: usize = 40;
const WIDTH: usize = 1_000;
/// The most subagents within subagents that are indented.
const DEEPEST: usize = 6;

/// The beginning of a transcript: what is known of a run from its first moment.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The run's id.
    pub(crate) run: String,
    /// The agent's name, where it is known.
    pub(crate) agent: Option<String>,
    /// When the run was created.
    pub(crate) created: Timestamp,
    /// The task that the user gave.
    pub(crate) prompt: String,
}

/// How a run as a whole has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The service's word for how it ended.
    pub(crate) status: String,
    /// From the start of its sandbox to its end, where both are known.
    pub(crate) milliseconds: Option<u64>,
}

/// A transcript that is being written: what the next event needs of those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// The depth of each tool call, which may have started a subagent.
    calls: HashMap<String, usize>,
}

impl Transcript {
    /// Appends the beginning.
    pub(crate) fn begin(head: &Head, out: &mut String) {
        let agent = head.agent.as_deref();
        let agent = agent.map_or_else(|| "an agent".to_owned(), plain);
        push_paragraph(out, 0, &format!("# Run of {agent}"));
        let (run, created) = (code(&head.run), head.created);
        let facts = format!("- Run: {run}\n- Agent: {agent}\n- Created: {created}");
        push_paragraph(out, 0, &facts);
        let note = format!(
            "What tools were given and what they gave is cut after {LINES} lines; all of it is in \
             `events.jsonl`."
        );
        push_paragraph(out, 0, &note);
        push_paragraph(out, 0, "## Prompt");
        push_quote(out, 0, &head.prompt);
        push_paragraph(out, 0, "## Conversation");
    }

    /// Appends an event.
    pub(crate) fn event(&mut self, event: &Event, place: Place<'_>, out: &mut String) {
        let depth = event.parent.as_ref().map_or(0, |parent| {
            let call = self.calls.get(parent).copied().unwrap_or(0);
            (call + 1).min(DEEPEST)
        });
        let say = |out: &mut String, text: &str| push_paragraph(out, depth, text);
        for part in &event.parts {
            match part {
                Part::Session(session) => {
                    let line = plain(&session.line());
                    say(out, &format!("*{line}* {}", place.time()));
                }
                Part::Text(speaker, text) => {
                    let name = match (speaker, depth) {
                        (Speaker::User, _) => "User",
                        (Speaker::Agent, 0) => "Agent",
                        (Speaker::Agent, _) => "Subagent",
                    };
                    say(out, &format!("**{name}** {}", place.time()));
                    push_quote(out, depth, &without_base64(text));
                }
                Part::Thinking(thought) => {
                    say(out, "*Thinking*");
                    let (shown, more) = cut(thought);
                    if !thought.trim().is_empty() {
                        push_quote(out, depth, &shown);
                        say_more(out, depth, more, place);
                    }
                }
                Part::Call(call) => {
                    if let Some(id) = &call.id {
                        self.calls.insert(id.clone(), depth);
                    }
                    say(out, &headline(call));
                    if let Some(input) = &call.input {
                        push_block(out, depth, [&input.language, &input.text], place);
                    }
                }
                Part::Outcome(outcome) => push_outcome(out, depth, outcome, place),
                Part::Todo(list) => {
                    let lines = list
                        .iter()
                        .map(|todo| match (todo.state, plain(&todo.text)) {
                            (TodoState::Done, text) => format!("- [x] {text}"),
                            (TodoState::Current, text) => format!("- [ ] **{text}**"),
                            (TodoState::Open, text) => format!("- [ ] {text}"),
                        });
                    say(out, &lines.collect::<Vec<_>>().join("\n"));
                }
                Part::End(end) => push_end(out, depth, end, place),
                Part::Note(level, text) => {
                    let mark = match level {
                        Level::Info => "",
                        Level::Warn => "**Warning** ",
                        Level::Error => "**Error** ",
                    };
                    say(out, &format!("{mark}*{}* {}", plain(text), place.time()));
                }
            }
        }
    }

    /// Appends a row of the agent's that is no event.
    pub(crate) fn text(text: &str, place: Place<'_>, out: &mut String) {
        push_paragraph(out, 0, &format!("**Agent** {}", place.time()));
        push_quote(out, 0, &lines::text(text));
    }

    /// Appends how the run as a whole ended and what it cost, and why it failed, in the
    /// service's words. Where the reason is not known here, names the file that has it.
    pub(crate) fn end(ending: &Ending, usage: &Usage, out: &mut String) {
        push_paragraph(out, 0, "## Outcome");
        let mut line = format!("The run ended: **{}**", plain(&ending.status));
        // A run that completed or was cancelled has no reason to tell. The reason itself would
        // be in the transcript only where it is known by chance, and the kernel keeps the
        // transcript of a run that has ended: each worker has to write the same.
        if !["completed", "cancelled"].contains(&ending.status.as_str()) {
            line += " (why: the file `error`)";
        }
        push_paragraph(out, 0, &line);
        let took = ending.milliseconds.map(Duration::from_millis).map(took);
        let took = took.map(|took| ("Duration", took));
        let facts = took.into_iter().chain(usage.facts());
        let told = facts.map(|(name, fact)| format!("- {name}: {fact}"));
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            push_paragraph(out, 0, &told.join("\n"));
        }
    }
}

impl Place<'_> {
    /// `2026-01-02 03:04:05`, UTC; as it was sent where it is no time.
    fn time(&self) -> String {
        match self.timestamp.parse::<Timestamp>() {
            Ok(time) => format!("· {}", date_and_time(time)),
            Err(_) => format!("· {}", plain(self.timestamp)),
        }
    }
}

fn headline(call: &Call) -> String {
    format!("**{}** {}", plain(&call.name), code(&call.target))
        .trim_end()
        .to_owned()
}

fn push_block(out: &mut String, depth: usize, [language, text]: [&str; 2], place: Place<'_>) {
    let (shown, more) = cut(text);
    push_fence(out, depth, language, &shown);
    say_more(out, depth, more, place);
}

fn push_outcome(out: &mut String, depth: usize, outcome: &Outcome, place: Place<'_>) {
    let what = match outcome.failed {
        true => "**Failed**",
        false => "*Result*",
    };
    let title = outcome.title.as_deref().map(code).unwrap_or_default();
    let line = format!("{what} {title}");
    let (line, text) = (line.trim_end(), outcome.text.trim_matches(['\n', '\r']));
    if text.trim().is_empty() {
        push_paragraph(out, depth, &format!("{line} (no output)"));
    } else {
        push_paragraph(out, depth, line);
        push_block(out, depth, ["text", text], place);
    }
}

fn push_end(out: &mut String, depth: usize, end: &End, place: Place<'_>) {
    let line = end.line();
    let (first, _) = line.split_once('\n').unwrap_or((&line, ""));
    let line = format!("**{}** {}", plain(first), place.time());
    push_paragraph(out, depth, &line);
    if let Some(failure) = &end.failure {
        push_fence(out, depth, "text", failure);
    }
}

/// The first lines of a text, and how many more lines it has.
fn cut(text: &str) -> (String, usize) {
    let text = without_base64(text);
    let mut lines = text.trim_end_matches(['\n', '\r']).lines();
    let mut shown = String::new();
    for line in lines.by_ref().take(LINES) {
        shown += &lines::cut(line, WIDTH);
        shown.push('\n');
    }
    (shown, lines.count())
}

/// Appends where the lines are that were left out.
fn say_more(out: &mut String, depth: usize, more: usize, place: Place<'_>) {
    if more > 0 {
        let place = match place.sequence {
            Some(sequence) => format!("`events.jsonl`, sequence {sequence}"),
            None => "`logs.jsonl`".to_owned(),
        };
        let more = count(more, "more line");
        push_paragraph(out, depth, &format!("*{more}: {place}*"));
    }
}
