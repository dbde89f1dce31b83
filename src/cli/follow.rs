//! Prints a file of a run, to its end or to the end of the run, and tells by the exit
//! code how the run has ended.

use super::{
    output::{print_bytes, tell},
    source::{OpenFile, Source},
};
use crate::{error::Result, logging, text::one_line};
use jiff::Timestamp;
use std::{
    cell::Cell,
    collections::VecDeque,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// The files of a run that can be followed: its log, and its events.
pub(super) const LOG: &str = "logs";
pub(super) const EVENTS: &str = "events.jsonl";

/// How often the log is looked at: what a stream has brought is there by then.
const LOOK: Duration = Duration::from_millis(200);
/// Rows that come late are waited for so long after the run has ended.
const LATE: Duration = Duration::from_secs(3);
/// No row comes later than so many seconds after the end of a run.
const LATEST: i64 = 60;
/// The wait after a failure that may pass, doubled with each in a row.
const RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How a run can end, and the exit code that tells.
const ENDS: [(&str, u8); 4] = [
    ("completed", 0),
    ("failed", 3),
    ("timeout", 4),
    ("cancelled", 5),
];

/// Whether a status is one of a run that has ended.
pub(super) fn has_ended(status: &str) -> bool {
    ENDS.iter().any(|(word, _)| *word == status)
}

/// A run that is shown.
pub(super) struct Follower<'a> {
    source: &'a Source,
    /// The run's name in the mount.
    run: &'a str,
    /// Whether the user has been told why the run has failed.
    has_said_why: Cell<bool>,
    /// Whether the user has been told of trouble that goes on.
    trouble: Cell<bool>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(source: &'a Source, run: &'a str) -> Self {
        Self {
            source,
            run,
            has_said_why: Cell::new(false),
            trouble: Cell::new(false),
        }
    }

    /// Prints what a file of the run holds now, or the last `tail` lines of that; whether it
    /// holds anything.
    ///
    /// # Errors
    /// What reading it fails with.
    pub(super) fn show(&self, file: &str, tail: Option<usize>) -> Result<bool> {
        let file = self.source.open(&["runs", self.run, file])?;
        let mut offset = self.start(&file, tail)?;
        loop {
            let bytes = self.source.read_at(&file, offset)?;
            if bytes.is_empty() {
                return Ok(offset > 0);
            }
            if !print_bytes(&bytes)? {
                return Ok(true);
            }
            offset += bytes.len() as u64;
        }
    }

    /// Where the last `tail` lines of a file begin, of what it holds now.
    fn start(&self, file: &OpenFile, tail: Option<usize>) -> Result<u64> {
        let Some(tail) = tail else { return Ok(0) };
        let (mut offset, mut starts) = (0, VecDeque::from([0]));
        loop {
            let bytes = self.source.read_at(file, offset)?;
            if bytes.is_empty() {
                break;
            }
            let lines = (offset + 1..)
                .zip(&bytes)
                .filter(|(_, byte)| **byte == b'\n');
            for (start, _) in lines {
                starts.push_back(start);
                // One more than is asked for: no line may follow the last.
                if starts.len() > tail.saturating_add(1) {
                    starts.pop_front();
                }
            }
            offset += bytes.len() as u64;
        }
        starts.pop_back_if(|start| *start == offset);
        let first = starts.len().saturating_sub(tail);
        Ok(starts.get(first).copied().unwrap_or(offset))
    }

    /// Why there is nothing to show, for a user who waits for it.
    ///
    /// # Errors
    /// What reading the run's status fails with.
    pub(super) fn why_empty(&self) -> Result<String> {
        let status = self.source.text(&["runs", self.run, "status"])?;
        let (run, status) = (self.run, one_line(&status, 40));
        Ok(match has_ended(&status) {
            true => format!("run {run} has logged nothing; its status is {status}"),
            false => format!(
                "run {run} has logged nothing yet; its status is {status}, and --follow waits \
                 for more"
            ),
        })
    }

    /// Why a file of the run is shown as it was last known, where it is. One that has
    /// ended has no more to say than was read of it.
    pub(super) fn why_old(&self, file: &str) -> Option<String> {
        let why = self.source.why_old(&["runs", self.run, file])?;
        let status = self.source.text(&["runs", self.run, "status"]);
        let has_ended = status.is_ok_and(|status| has_ended(&status));
        (!has_ended).then_some(why)
    }

    /// Says once why a mount has nothing new of a file; a tree says so itself, as it logs.
    fn say_trouble(&self, why: Option<String>) {
        let is_news = self.trouble.replace(why.is_some()) != why.is_some();
        if let (Source::Mount(_), true, Some(why)) = (self.source, is_news, why) {
            tell(&format!("{why}; what comes is shown once that is over"));
        }
    }

    /// Asks again until the answer is no failure that may pass: the run goes on
    /// meanwhile, so that is no reason to stop following.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        let mut pause = RETRY;
        loop {
            match ask() {
                Err(error) if error.may_pass() => self.say_trouble(Some(error.to_string())),
                answer => return answer,
            }
            thread::sleep(pause);
            pause = LONGEST_RETRY.min(2 * pause);
        }
    }

    /// Says something about why the run has failed, unless that was said.
    fn say_once(&self, why: &str) {
        if !self.has_said_why.replace(true) {
            tell(&format!("run {}{why}", self.run));
        }
    }

    /// Says once why the run has failed, where that is known without a call.
    fn say_why(&self) {
        if let Source::Tree(tree, _) = self.source
            && let Some(reason) = tree.why_failed(self.run)
        {
            self.say_once(&format!(": {reason}"));
        }
    }

    /// Says once how the run has ended, and why.
    fn say_end(&self, end: &str) {
        // Only the answer for this run has the reason, and may have to be fetched.
        match self.source.text(&["runs", self.run, "error"]) {
            Ok(reason) if !reason.is_empty() => self.say_once(&format!(": {reason}")),
            Ok(_) => {}
            Err(error) => tracing::warn!("the error of run {} cannot be read: {error}", self.run),
        }
        match end {
            "failed" => self.say_once(" failed, and the service does not say why"),
            "timeout" => self.say_once(" was ended by its time limit"),
            "cancelled" => self.say_once(" was cancelled"),
            _ => {}
        }
    }

    /// How long rows may still come: for none where the run has ended long ago.
    fn late(&self) -> Duration {
        let run = self.source.read(&["runs", self.run, "run.json"]);
        let run = run.ok().and_then(|run| serde_json::from_slice(&run).ok());
        let run: serde_json::Value = run.unwrap_or_default();
        let ended = run["completed_at"].as_str();
        let ended = ended.and_then(|at| at.parse::<Timestamp>().ok());
        let age = ended.map(|at| Timestamp::now().duration_since(at).as_secs());
        match age.is_some_and(|age| age > LATEST) {
            true => Duration::ZERO,
            false => LATE,
        }
    }

    /// Prints a file of the run to its end, or from the last `tail` of its lines so far on,
    /// and tells by the exit code how the run ended.
    ///
    /// # Errors
    /// What is no failure that may pass.
    pub(super) fn follow(&self, file: &str, tail: Option<usize>) -> Result<ExitCode> {
        logging::tell_failures();
        let status = ["runs", self.run, "status"];
        self.patiently(|| self.source.open(&status))?;
        let log = self.patiently(|| self.source.open(&["runs", self.run, file]))?;
        let mut offset = self.patiently(|| self.start(&log, tail))?;
        let mut ended: Option<(u8, Instant)> = None;
        let (mut next_look, mut pause) = (Instant::now(), RETRY);
        let mut next_question = Instant::now();
        loop {
            let bytes = match self.source.read_at(&log, offset) {
                // Of a mount; the other source keeps to itself what may pass.
                Err(error) if error.may_pass() => Vec::new(),
                bytes => bytes?,
            };
            if !bytes.is_empty() {
                offset += bytes.len() as u64;
                if !print_bytes(&bytes)? {
                    // The reader has gone.
                    return Ok(ExitCode::SUCCESS);
                }
                continue;
            }
            self.say_why();
            if ended.is_none() && Instant::now() >= next_question {
                self.say_trouble(self.source.why_old(&["runs", self.run, file]));
                next_question = Instant::now() + RETRY;
            }
            match ended {
                Some((code, until)) if Instant::now() >= until => return Ok(ExitCode::from(code)),
                None if Instant::now() >= next_look => match self.source.text(&status) {
                    Ok(word) => {
                        if let Some((end, code)) = ENDS.iter().find(|(end, _)| *end == word) {
                            self.say_end(end);
                            ended = Some((*code, Instant::now() + self.late()));
                        }
                        pause = RETRY;
                    }
                    // The failure is in the log; rows may still come.
                    Err(error) if error.may_pass() => {
                        next_look = Instant::now() + pause;
                        pause = LONGEST_RETRY.min(2 * pause);
                    }
                    Err(error) => return Err(error),
                },
                Some(_) | None => {}
            }
            thread::sleep(LOOK);
        }
    }
}
