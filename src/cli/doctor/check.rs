//! One line of the report.

use crate::text::one_line;
use serde::Serialize;

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
    fn new(level: Level, found: impl AsRef<str>, advice: Option<&str>) -> Self {
        Self {
            level,
            subject: String::new(),
            found: one_line(found.as_ref(), LONGEST),
            advice: advice.map(|advice| one_line(advice, LONGEST)),
            fixed: false,
        }
    }

    pub(super) fn ok(found: impl AsRef<str>) -> Self {
        Self::new(Level::Ok, found, None)
    }

    pub(super) fn warn(found: impl AsRef<str>, advice: impl AsRef<str>) -> Self {
        Self::new(Level::Warn, found, Some(advice.as_ref()))
    }

    pub(super) fn fail(found: impl AsRef<str>, advice: impl AsRef<str>) -> Self {
        Self::new(Level::Fail, found, Some(advice.as_ref()))
    }

    /// What was mended, and how.
    pub(super) fn fixed(done: impl AsRef<str>) -> Self {
        let fixed = true;
        Self {
            fixed,
            ..Self::ok(done)
        }
    }

    /// Says what was looked at.
    pub(super) fn of(self, subject: &str) -> Self {
        let subject = one_line(subject, LONGEST);
        Self { subject, ..self }
    }

    pub(super) fn line(&self) -> String {
        let level = format!("{:?}", self.level).to_lowercase();
        let advice = self.advice.as_ref();
        let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
        format!("{level:<4}  {}: {}{advice}\n", self.subject, self.found)
    }
}
