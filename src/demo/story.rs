//! Stories of runs, as text (`stories/*.story`): what an agent does, step by step.
//! Playing a story gives the rows that the service would log.
//!
//! ```text
//! %codex                        the agent program; without it, Claude Code
//! @1.5 text                     after 1.5 s the agent says the lines below
//! I look around first.
//! @0.4+2 Bash List it :: ls     a call after 0.4 s, its result below 2 s later
//! README.md
//! @1 Bash! Test :: ./test       one that fails
//! @1 Read input/README.md       the result is the file's content, from the run's
//!                               volume (`input/`) or artifact (all else)
//! @repeat 3 … @again            steps three times, `{n}` counting from 1, `{nnn}` from 101
//! ```
//!
//! `{name}` becomes a word of the [`Scene`], `\e` an escape and `\r` a carriage
//! return. Waits are scaled to the run's length.

mod play;
mod texts;

pub(crate) use play::{Scene, play, play_as};
pub(crate) use texts::text;

use super::world::{LogRow, Run};
use jiff::Timestamp;
use serde_json::Value;

/// The content of a row, before it has its time.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Event(Value),
    System(String),
    Network {
        method: String,
        url: String,
        status: u16,
        duration: u64,
    },
}

impl Run {
    /// Adds a line of a story to the log.
    pub(crate) fn line(&mut self, at: Timestamp, line: Line) {
        match line {
            Line::Event(event) => self.event(at, event),
            Line::System(chunk) => self.log(LogRow::system(at, chunk)),
            Line::Network {
                method,
                url,
                status,
                duration,
            } => self.log(LogRow::network(at, &method, &url, status, duration)),
        }
    }
}

/// The text of a story's last result.
pub(crate) fn answer(story: &str) -> String {
    let steps = steps(story, &[]).into_iter();
    let mut results = steps.filter(|step| step.verb == "result");
    results
        .next_back()
        .map_or_else(String::new, |step| step.body)
}

/// One step: `@WAIT[+TOOK] VERB[!] REST`, and the lines below.
#[derive(Clone, Debug)]
struct Step {
    /// Seconds before it.
    wait: f64,
    /// Seconds until its result.
    took: f64,
    verb: String,
    failed: bool,
    rest: String,
    body: String,
}

impl Step {
    /// The parts before and after ` :: `.
    fn parts(&self) -> (&str, Option<&str>) {
        match self.rest.split_once(" :: ") {
            Some((first, second)) => (first, Some(second)),
            None => (&self.rest, None),
        }
    }
}

/// Seconds that a tool takes where the story does not say.
const TOOK: f64 = 0.4;

/// The steps of a story, with repeated parts written out.
fn steps(story: &str, words: &[(&str, String)]) -> Vec<Step> {
    let words = || words.iter().map(|(name, word)| (name, word));
    let mut all: Vec<Step> = Vec::new();
    // Where the repeated part begins, and how often it is repeated.
    let mut repeat: Option<(usize, usize)> = None;
    for line in story.lines() {
        // Other lines may begin with the sign, such as `@media`.
        let is_head = |head: &&str| {
            head.starts_with(|first: char| first.is_ascii_digit())
                || head.starts_with("repeat ")
                || *head == "again"
        };
        if let Some(head) = line.strip_prefix('@').filter(is_head) {
            let head = &fill(head, words());
            if let Some(count) = head.strip_prefix("repeat ") {
                repeat = Some((all.len(), count.trim().parse().unwrap_or(1)));
            } else if head == "again" {
                if let Some((start, count)) = repeat.take() {
                    let part = all.split_off(start);
                    all.extend((1..=count).flat_map(|n| part.iter().map(move |s| numbered(s, n))));
                }
            } else {
                all.push(parse(head));
            }
        } else if let Some(step) = all.last_mut() {
            step.body.push_str(line);
            step.body.push('\n');
        }
    }
    for step in &mut all {
        let body = step.body.trim_end_matches('\n');
        step.body = body.replace("\\e", "\u{1b}").replace("\\r", "\r");
        step.body = fill(&step.body, words());
    }
    all
}

/// A text with each `{name}` replaced by its word.
pub(crate) fn fill<N: AsRef<str>, W: AsRef<str>>(
    text: &str,
    words: impl IntoIterator<Item = (N, W)>,
) -> String {
    let mut text = text.to_owned();
    for (name, word) in words {
        if text.contains('{') {
            text = text.replace(&format!("{{{}}}", name.as_ref()), word.as_ref());
        }
    }
    text
}

fn parse(head: &str) -> Step {
    let (times, rest) = head.split_once(' ').unwrap_or((head, ""));
    let (wait, took) = times.split_once('+').unwrap_or((times, ""));
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (verb, failed) = match verb.strip_suffix('!') {
        Some(verb) => (verb, true),
        None => (verb, false),
    };
    Step {
        wait: wait.parse().unwrap_or(1.0),
        took: took.parse().unwrap_or(TOOK),
        verb: verb.into(),
        failed,
        rest: rest.into(),
        body: String::new(),
    }
}

/// The step in the `n`th repetition: `{n}` and `{nnn}` are its number, `{roll}` is a
/// number that looks random.
fn numbered(step: &Step, n: usize) -> Step {
    // Fibonacci hashing: the golden ratio's bits spread consecutive numbers.
    let roll = ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 900 + 100;
    let fill = |text: &str| {
        let text = text.replace("{nnn}", &(100 + n).to_string());
        let text = text.replace("{n}", &n.to_string());
        text.replace("{roll}", &roll.to_string())
    };
    Step {
        rest: fill(&step.rest),
        body: fill(&step.body),
        ..step.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_story_is_its_steps() {
        let story = "%codex\n@1.5 text\n{who} looks.\n\n@0.2+3 Bash! List :: ls {n}\n\\e[1mx\\r\n\
                     @repeat 2\n@1 text\nTurn {n}.\n@again\n@2 result\nDone.\n";
        let steps = steps(story, &[("who", "Ada".into())]);
        let verbs: Vec<&str> = steps.iter().map(|step| &*step.verb).collect();
        assert_eq!(verbs, ["text", "Bash", "text", "text", "result"]);
        assert_eq!(steps[0].body, "Ada looks.");
        assert_eq!((steps[1].wait, steps[1].took), (0.2, 3.0));
        assert!(steps[1].failed);
        assert_eq!(steps[1].parts(), ("List", Some("ls {n}")));
        assert_eq!(steps[1].body, "\u{1b}[1mx\r");
        assert_eq!(steps[3].body, "Turn 2.");
    }
}
