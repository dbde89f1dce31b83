//! `report.html`: one self-contained page of a run, for a browser. It has no
//! script and fetches nothing; all that an agent or a user wrote is escaped.

mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod page;
mod pieces;
mod text;
mod threads;

pub(crate) use facts::Facts;

use super::{
    event::{Event, Place},
    usage::Usage,
};
use threads::Threads;

/// Events of the conversation that the page shows: the first and the last ones.
/// A browser takes some seconds to lay out more.
const FIRST: usize = 500;
const LAST: usize = 2_500;

/// A report that is being written, event by event.
pub(crate) struct Report {
    threads: Threads,
    /// How many events there are in all, and how many were added.
    all: usize,
    seen: usize,
}

impl Report {
    /// An empty report, for that many events.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            threads: Threads::default(),
            all,
            seen: 0,
        }
    }

    /// Whether the page leaves out the next event, so that it need not be read.
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
