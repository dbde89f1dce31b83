//! Processes that read a run's status again and again, such as a script that waits with
//! `until [ "$(cat status)" = completed ]; do sleep 1; done`.
//!
//! A second read of `status`, `run.json` or `error` within ten seconds follows the run,
//! as reading its log does, and shares that stream, however many processes read and
//! whichever of the files. While the stream is open, nothing is asked for the status:
//! the stream tells each change at once, and the run is asked for then. What one
//! command does with one file (`stat`, `open`, `read` to the end) is one read, and a
//! program that goes through all files once, such as `cat runs/*/status` or `grep -r`,
//! follows nothing.
//!
//! Without a stream (it failed, or too many are open) the run is asked for again after
//! 2 s, then after twice as long each time as long as nothing changes, 10 s at most. Of
//! runs that are listed, one refresh of the listing answers for all; runs that have
//! ended cost nothing.

use crate::{
    api::types::RunStatus,
    tree::{answers::LIVE_TTL, node::RunFile},
};
use std::time::{Duration, Instant};

/// The longest that the rows or the status of a live run are shown without asking again,
/// where asking brings nothing new and no stream tells when to ask.
pub(super) const QUIET_TTL: Duration = Duration::from_secs(10);
/// A process that reads again within this time follows the run, and stops following
/// when it has not read for so long.
pub(super) const FOLLOWING: Duration = Duration::from_secs(10);
/// What one command does with a file takes no longer, once it has what it waits for.
const ONE_READ: Duration = Duration::from_millis(500);

/// When a run's status was last asked for, and the answer.
pub(super) type Standing = (Instant, RunStatus);

/// The reads of a run's status.
#[derive(Debug)]
pub(super) struct Watch {
    /// The files read, and when each read began or was answered.
    reads: Vec<(RunFile, Instant)>,
    /// When a second read of one of them came last.
    again: Option<Instant>,
    /// The status then, how old it may get where no stream tells, and
    /// when it was last found too old.
    known: Option<Standing>,
    pause: Duration,
    asked: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            reads: Vec::new(),
            again: None,
            known: None,
            pause: LIVE_TTL,
            asked: None,
        }
    }

    /// Notes a read of a file by a request that arrived at `arrived`. Whether the
    /// file is read again and again.
    pub(super) fn note(&mut self, file: RunFile, arrived: Instant, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < FOLLOWING;
        let mark = match self.reads.iter_mut().find(|(each, _)| *each == file) {
            Some((_, mark)) => mark,
            None => {
                self.reads.push((file, now));
                return false;
            }
        };
        let passed = arrived.saturating_duration_since(*mark);
        if passed >= ONE_READ {
            self.again = (passed < FOLLOWING).then_some(now).or(self.again);
            *mark = now;
        } else if arrived <= *mark || now.saturating_duration_since(arrived) >= ONE_READ {
            // It has waited for its answer: the next request comes after that.
            *mark = now;
        }
        self.again.is_some_and(recent)
    }

    /// Whether the run is to be asked for again; notes that it is, then.
    pub(super) fn is_due(&mut self, known: &Standing, now: Instant, slowdown: u32) -> bool {
        let last = self.known.as_ref();
        let (is_news, is_newer) = match last {
            Some(last) => (last.1 != known.1, last.0 < known.0),
            None => (true, true),
        };
        // A fetch that failed, or that another process shared, has brought no news either.
        let failed = |asked: Instant| !is_newer && asked > known.0;
        let age = now.saturating_duration_since(self.asked.map_or(known.0, |at| at.max(known.0)));
        if is_news {
            self.pause = LIVE_TTL;
        } else if is_newer {
            self.pause = QUIET_TTL.min(2 * self.pause);
        }
        self.known = Some(known.clone());
        let is_due = age >= self.pause * slowdown;
        if is_due {
            if self.asked.is_some_and(failed) {
                self.pause = QUIET_TTL.min(2 * self.pause);
            }
            self.asked = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Reads `status` at so many milliseconds, each time answered at once; gives
    /// whether each was taken for following.
    fn reads(watch: &mut Watch, start: Instant, at: &[u64]) -> Vec<bool> {
        at.iter()
            .map(|at| {
                let now = start + Duration::from_millis(*at);
                watch.note(RunFile::Status, now, now)
            })
            .collect()
    }

    #[test]
    fn the_second_read_of_a_status_within_ten_seconds_follows() {
        let start = Instant::now();
        let table: [(&[u64], &[bool]); 5] = [
            // `stat`, `open` and `read` of one command.
            (&[0, 1, 40, 499], &[false; 4]),
            (&[0, 1, 1_000, 1_001], &[false, false, true, true]),
            // However often a process reads.
            (&[0, 200, 400, 600], &[false, false, false, true]),
            (&[0, 9_999, 19_000], &[false, true, true]),
            (&[0, 10_000, 20_000, 21_000], &[false, false, false, true]),
        ];
        for (at, followed) in table {
            let mut watch = Watch::new();
            assert_eq!(reads(&mut watch, start, at), followed, "{at:?}");
        }
    }

    #[test]
    fn a_read_that_waited_for_its_answer_counts_once() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        let mut watch = Watch::new();
        // `stat` waits for three seconds, and runs again then; `open` comes next.
        assert!(!watch.note(RunFile::Status, at(0), at(0)));
        assert!(!watch.note(RunFile::Status, at(0), at(3)));
        assert!(!watch.note(RunFile::Status, at(3), at(3)));
        // The same with the second request.
        let soon = at(3) + Duration::from_millis(10);
        assert!(!watch.note(RunFile::Status, soon, at(6)));
        assert!(!watch.note(RunFile::Status, at(6), at(6)));
        assert!(watch.note(RunFile::Status, at(7), at(7)));
    }

    #[test]
    fn one_read_of_each_file_is_no_following() {
        let start = Instant::now();
        let mut watch = Watch::new();
        for (second, file) in [
            (0, RunFile::Status),
            (2, RunFile::Json),
            (4, RunFile::Error),
        ] {
            let now = start + second * SECOND;
            assert!(!watch.note(file, now, now), "{file:?}");
        }
        let now = start + 6 * SECOND;
        assert!(watch.note(RunFile::Json, now, now));
    }

    #[test]
    fn without_a_stream_a_run_is_asked_for_less_often_until_it_changes() {
        let mut watch = Watch::new();
        let start = Instant::now();
        let at = |second: u32| start + second * SECOND;
        let standing = |asked, status| (at(asked), status);
        // A process reads each second; what is asked for comes at once.
        let (mut asked, mut last) = (Vec::new(), 0);
        for second in 0..60 {
            if watch.is_due(&standing(last, RunStatus::Running), at(second), 1) {
                asked.push(second);
                last = second;
            }
        }
        assert_eq!(asked, [2, 6, 14, 24, 34, 44, 54]);
        // Other processes ask for it, and nothing is new.
        let mut other = Watch::new();
        let due = asked.iter().map(|second| {
            let known = standing(*second, RunStatus::Running);
            other.is_due(&known, at(*second + 1), 1)
        });
        assert!(!due.collect::<Vec<_>>().contains(&true));
        assert_eq!(other.pause, QUIET_TTL);
        // It changes.
        let pending = standing(60, RunStatus::Pending);
        assert!(!watch.is_due(&pending, at(61), 1));
        assert!(
            !watch.is_due(&pending, at(63), 2),
            "when the rate limit is near"
        );
        assert!(watch.is_due(&pending, at(64), 2));
    }

    #[test]
    fn a_fetch_that_fails_is_repeated_less_often() {
        let start = Instant::now();
        let known = (start, RunStatus::Running);
        let mut watch = Watch::new();
        let mut asked = Vec::new();
        for second in 0..60 {
            if watch.is_due(&known, start + second * SECOND, 1) {
                asked.push(second);
            }
        }
        assert_eq!(asked, [2, 4, 8, 16, 26, 36, 46, 56]);
    }
}
