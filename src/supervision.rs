//! What a worker knows of its supervisor, and what became of the workers before it:
//! for `status`.

use crate::{humanize::date_and_time, sync::Mutex};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Replacements that are remembered; the count goes on.
pub const MOST_REMEMBERED: usize = 16;

/// How a mount's warnings end that the API gives cause for, which pass with its outage.
pub const API_WARNING: &str = "mounted all the same, see .vm0fs/errors";

/// Of what a mount has warned as it began, what concerns it still once the API answers.
pub fn without_api_warnings(warnings: &mut Vec<String>) {
    warnings.retain(|warning| !warning.contains(API_WARNING));
}

/// Why another worker serves now.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The one before died.
    Death,
    /// It did not answer, and the supervisor ended it.
    Hang,
    /// The user asked for the program as it is on disk (`vm0fs upgrade`).
    Upgrade,
    /// The user asked for the settings as they are now (SIGHUP).
    Reload,
}

/// A worker that another one has replaced.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Replacement {
    /// When the other one began to serve.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What happened to the worker, in words.
    pub why: String,
    /// The milliseconds in which no worker served.
    pub gap_ms: f64,
    /// The version of vm0fs that serves since.
    pub version: String,
}

/// The supervisor of a mount as its worker sees it. The default is a mount without one.
#[derive(Debug, Default)]
pub struct Supervision(Mutex<Seen>);

/// What `status.json` shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seen {
    /// The supervisor's process id; `None` without one.
    pub supervisor: Option<u32>,
    /// Why no other worker would take this one's place, where that is so.
    pub unguarded: Option<String>,
    /// How many workers have been replaced.
    pub replaced: u64,
    /// The last of these replacements, the oldest first.
    pub replacements: Vec<Replacement>,
    /// Upgrades and reloads that were refused.
    pub refused: u64,
    /// Why the last one was.
    pub last_refusal: Option<String>,
}

impl Supervision {
    /// What is known now.
    pub fn seen(&self) -> Seen {
        self.0.lock().clone()
    }

    /// Changes what is known.
    pub fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock());
    }
}

impl Seen {
    /// What a mount at `place` does, in a line for a service manager.
    /// `away` is since when the API has not answered, where that is so.
    pub fn told(&self, place: &Path, away: Option<Timestamp>, remark: Option<&str>) -> String {
        let mut told = format!("serving {}", place.display());
        if let Some(last) = self.replacements.last() {
            let (count, why) = (self.replaced, &last.why);
            told += &format!("; workers replaced: {count}, the last: {why}");
        }
        if let Some(remark) = remark {
            told += &format!("; {remark}");
        }
        if let Some(since) = away {
            let since = date_and_time(since);
            told += &format!(
                "; the API has not answered since {since} UTC, what was last known is shown"
            );
        }
        told
    }

    /// Adds a replacement.
    pub fn add(&mut self, replacement: Replacement) {
        self.replaced += 1;
        if self.replacements.len() == MOST_REMEMBERED {
            self.replacements.remove(0);
        }
        self.replacements.push(replacement);
    }
}
