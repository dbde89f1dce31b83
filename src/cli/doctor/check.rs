//! One line of the report.

use crate::text::one_line;
use serde::Serialize;
use std::fmt::Write;

/// Characters of a line's parts. The line of `PRUNEFS` is some hundred long.
const LONGEST: usize = 2000;

/// How bad what was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, though not as it might.
    Warn,
    /// Something does not work.
    Fail,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    pub(super) level: Level,
    /// What was looked at.
    subject: String,
    /// What was found, or done about it.
    pub(super) found: String,
    /// What to do.
    pub(super) advice: Option<String>,
    /// Whether it was mended.
    fixed: bool,
}

impl Check {
    fn new(level: Level, subject: &str, found: &str, advice: Option<&str>) -> Self {
        Self {
            level,
            subject: one_line(subject, LONGEST),
            found: one_line(found, LONGEST),
            advice: advice.map(|advice| one_line(advice, LONGEST)),
            fixed: false,
        }
    }

    pub(super) fn ok(subject: &str, found: impl AsRef<str>) -> Self {
        Self::new(Level::Ok, subject, found.as_ref(), None)
    }

    pub(super) fn warn(subject: &str, found: impl AsRef<str>, advice: impl AsRef<str>) -> Self {
        Self::new(Level::Warn, subject, found.as_ref(), Some(advice.as_ref()))
    }

    pub(super) fn fail(subject: &str, found: impl AsRef<str>, advice: impl AsRef<str>) -> Self {
        Self::new(Level::Fail, subject, found.as_ref(), Some(advice.as_ref()))
    }

    /// What was mended, and how.
    pub(super) fn fixed(subject: &str, done: impl AsRef<str>) -> Self {
        Self {
            fixed: true,
            ..Self::ok(subject, done)
        }
    }

    pub(super) fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let mut line = format!("{level:<4}  {}: {}", self.subject, self.found);
        if let Some(advice) = &self.advice {
            let _ = write!(line, "; {advice}");
        }
        line.push('\n');
        line
    }
}
