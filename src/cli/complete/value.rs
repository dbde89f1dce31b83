//! A value that is offered: between two processes, and to the shells, a line.

use crate::text::{one_line, turns_text};

/// Characters of a description.
const DESCRIPTION: usize = 80;

/// A value, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) about: String,
}

impl Value {
    /// A value, and what is said of it, on one line.
    pub(super) fn new(text: &str, about: &str) -> Self {
        Self {
            text: text.to_owned(),
            about: one_line(about, DESCRIPTION),
        }
    }

    /// One of which nothing is said.
    pub(super) fn plain(text: String) -> Self {
        Self::new(&text, "")
    }

    /// The value and, after a tab, what is said of it.
    pub(super) fn line(&self) -> String {
        match self.about.as_str() {
            "" => self.text.clone(),
            about => format!("{}\t{about}", self.text),
        }
    }

    /// Reads such a line.
    pub(super) fn read(line: &str) -> Self {
        let (text, about) = line.split_once('\t').unwrap_or((line, ""));
        Self::new(text, about)
    }

    /// Whether a terminal can show it as it is: such values alone are offered.
    pub(super) fn is_harmless(&self) -> bool {
        let turns = |c: char| c.is_control() || turns_text(c);
        !self.text.is_empty() && !self.text.chars().any(turns)
    }
}
