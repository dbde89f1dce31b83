//! Workers that have died: how, how often, and whether they are gone.

use super::worker::{Worker, told};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// So many deaths within so long are too many: the next worker would die too.
const MOST: usize = 5;
const WITHIN: Duration = Duration::from_secs(10);

/// How long the words of a death may take to come, while callers wait for the next worker;
/// and where there is none any more: the kernel frees the memory of a process first.
const WORDS: Duration = Duration::from_millis(20);
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The deaths of late.
#[derive(Default)]
pub(super) struct Deaths {
    /// The last ones, the oldest first.
    last: VecDeque<Death>,
    /// Processes that are not gone yet.
    ending: Vec<(Worker, Option<u64>)>,
    /// Whether one is gone since [`Deaths::take_gone`] was last asked.
    has_gone: bool,
    count: u64,
    /// What the worker that serves, or is about to, said went wrong.
    reason: Option<String>,
}

struct Death {
    number: u64,
    at: Instant,
    pid: u32,
    how: Option<String>,
    reason: Option<String>,
}

impl Deaths {
    /// Takes what a worker says went wrong, before it ends.
    pub(super) fn explain(&mut self, reason: String) {
        self.reason = Some(reason);
    }

    /// Adds a worker that has died.
    pub(super) fn add(&mut self, worker: Worker) {
        self.count += 1;
        self.last.push_back(Death {
            number: self.count,
            at: Instant::now(),
            pid: worker.pid(),
            how: None,
            reason: self.reason.take().or(worker.stopped_because.clone()),
        });
        if self.last.len() > MOST {
            self.last.pop_front();
        }
        self.ending.push((worker, Some(self.count)));
        self.reap();
    }

    /// Watches a worker end that is not needed any more.
    pub(super) fn watch(&mut self, worker: Worker) {
        self.ending.push((worker, None));
    }

    /// Whether to ask [`Deaths::take_gone`] soon: processes are still to be gone, or one is.
    pub(super) fn are_ending(&self) -> bool {
        self.has_gone || !self.ending.is_empty()
    }

    /// Whether a process is gone since this was last asked. Requests that its last threads
    /// took while it ended are held by no worker, and nothing else reveals them.
    pub(super) fn take_gone(&mut self) -> bool {
        self.reap();
        std::mem::take(&mut self.has_gone)
    }

    /// Takes away the processes that are gone.
    fn reap(&mut self) {
        let last = &mut self.last;
        let has_gone = &mut self.has_gone;
        self.ending.retain_mut(|(worker, number)| {
            let Some(status) = worker.status() else {
                return true;
            };
            *has_gone = true;
            let death = last.iter_mut().find(|death| Some(death.number) == *number);
            if let Some(death) = death {
                death.how = Some(told(status));
            }
            false
        });
    }

    /// Whether the next worker is not to be tried any more.
    pub(super) fn are_too_many(&self, now: Instant) -> bool {
        let recent = |death: &&Death| now.saturating_duration_since(death.at) <= WITHIN;
        self.last.iter().filter(recent).count() >= MOST
    }

    /// How the last one went, in words that follow others.
    pub(super) fn last(&mut self) -> String {
        self.wait(WORDS, |last| last.back().is_none_or(Death::is_told));
        self.last.back().map(Death::words).unwrap_or_default()
    }

    /// Waits until what is known of the last ones is enough, for so long at the most.
    fn wait(&mut self, limit: Duration, is_enough: impl Fn(&VecDeque<Death>) -> bool) {
        let until = Instant::now() + limit;
        while !is_enough(&self.last) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            self.reap();
        }
    }

    /// Each of the last ones, in a line. It may wait a second for the processes to be gone.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.wait(LAST_WORDS, |last| last.iter().all(Death::is_told));
        let line = |death: &Death| format!("worker {} died{}", death.pid, death.words());
        self.last.iter().map(line).collect()
    }
}

impl Death {
    fn is_told(&self) -> bool {
        self.how.is_some()
    }

    fn words(&self) -> String {
        let how = self.how.as_deref().unwrap_or("it is not gone yet");
        match &self.reason {
            Some(reason) => format!(" ({how}): {reason}"),
            None => format!(" ({how})"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::supervisor::message::Socket;
    use std::{os::fd::BorrowedFd, process::Command};

    fn worker(script: &str) -> Worker {
        let (socket, _) = Socket::pair().unwrap();
        let command = |_: &[Option<BorrowedFd<'_>>]| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        Worker::start(socket, &[], command).unwrap()
    }

    #[test]
    fn an_ended_process_is_reported_even_after_its_exit_status_was_read() {
        let mut deaths = Deaths::default();
        assert!(!deaths.are_ending() && !deaths.take_gone());
        deaths.add(worker("kill -9 $$"));
        deaths.watch(worker("exit 0"));
        deaths.wait(Duration::from_secs(60), |last| {
            last.iter().all(Death::is_told)
        });
        assert_eq!(deaths.last(), " (SIGKILL)");
        while !deaths.ending.is_empty() {
            deaths.reap();
        }
        assert!(deaths.are_ending(), "it is still to be told");
        assert!(deaths.take_gone());
        assert!(!deaths.are_ending() && !deaths.take_gone());
    }
}
