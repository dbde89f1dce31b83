//! `report.html`: one self-contained page of a run, for a browser. It has no
//! script and fetches nothing; all that an agent or a user wrote is escaped.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod page;
mod pieces;
mod text;
mod threads;

use super::{Event, transcript::Place, usage::Usage};
use jiff::Timestamp;
use text::{attribute, escaped, markdown};
use threads::Threads;

/// Events of the conversation that the page shows: the first and the last ones.
/// A browser takes some seconds to lay out more.
const FIRST: usize = 500;
const LAST: usize = 2_500;

/// What the page says of the run itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// The run's id.
    pub(crate) run: String,
    /// The agent's name, where it is known.
    pub(crate) agent: Option<String>,
    /// The service's word for where the run stands.
    pub(crate) status: String,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
    /// Why it failed, in the service's words.
    pub(crate) error: Option<String>,
    /// What it was asked to do.
    pub(crate) prompt: String,
    /// When it was asked for, began and ended.
    pub(crate) created: Timestamp,
    /// See `created`.
    pub(crate) started: Option<Timestamp>,
    /// See `created`.
    pub(crate) completed: Option<Timestamp>,
    /// What it made and was given: what each is, its name, and a path relative
    /// to the page.
    pub(crate) links: Vec<(&'static str, String, String)>,
    /// The chart of its metrics, as an `<svg>` element; empty where there is none.
    pub(crate) chart: String,
}

/// A report that is being written, event by event.
pub(crate) struct Report {
    threads: Threads,
    /// Events that are to come in all, and how many have come.
    all: usize,
    seen: usize,
}

impl Report {
    /// A report of that many events.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            threads: Threads::default(),
            all,
            seen: 0,
        }
    }

    /// Whether the next event is one of those that the page leaves out: it need
    /// not be read then.
    pub(crate) fn leaves_out_next(&mut self) -> bool {
        let number = self.seen;
        self.seen += 1;
        let is_left_out = number >= FIRST && number + LAST < self.all;
        if is_left_out {
            self.threads.leave_out();
        }
        is_left_out
    }

    /// Adds an event.
    pub(crate) fn event(&mut self, event: &Event, place: Place<'_>) {
        self.threads.event(event, place);
    }

    /// Adds a row of the agent's that is no event.
    pub(crate) fn text(&mut self, text: &str, place: Place<'_>) {
        self.threads.text(text, place);
    }

    /// The page.
    pub(crate) fn page(self, facts: &Facts, answer: &str, usage: &Usage) -> String {
        page::write(facts, answer, usage, &self.threads)
    }
}

#[cfg(test)]
mod tests;
