//! How a run stands, for those who look at it again and again: a script that
//! waits with `until [ "$(cat status)" = completed ]; do sleep 1; done`.
//!
//! Looking at `status`, `run.json` or `error` a second time within ten seconds is
//! following the run, as reading its log is, and shares that stream, however many
//! look and at whichever of them. While the stream is open, nothing is asked for
//! the status; it tells each change at once, and the run is asked for then. What
//! one command does with one file (`stat`, `open`, `read` to the end) is one look,
//! and a program that goes through all files once, such as `cat runs/*/status` or
//! `grep -r`, follows nothing.
//!
//! Without a stream (it fails, or there are [`MOST`] already) the run is asked for
//! again after 2 s, then after twice as long each time as long as nothing changes,
//! at the most 10 s. Of runs that are listed, one refresh of the listing answers for
//! all; runs that have ended cost nothing.

use super::{FOLLOWING, Follow, Follows, LIVE_TTL, QUIET_TTL};
use crate::{
    api::types::RunStatus,
    tree::{Pool, View, Want, node::RunFile, ops::rows::Age},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Streams that are opened for the status alone, at the most: some are left for
/// logs, which come by nothing else within two seconds.
const MOST: usize = Pool::STREAMS - 4;

/// What one command does with a file takes no longer, once it has what it waits for.
const ONE_LOOK: Duration = Duration::from_millis(500);

/// When a run's status was last asked for, and how it stood.
type Standing = (Instant, RunStatus);

/// Those who look at how a run stands.
#[derive(Debug)]
pub(super) struct Watch {
    /// The files looked at, and when each look began or was answered.
    looks: Vec<(RunFile, Instant)>,
    /// When a second look at one of them came last.
    again: Option<Instant>,
    /// How the run stood then, how old that may get where no stream tells, and
    /// when it was last found too old.
    known: Option<Standing>,
    pause: Duration,
    asked: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            looks: Vec::new(),
            again: None,
            known: None,
            pause: LIVE_TTL,
            asked: None,
        }
    }

    /// Notes a look at a file by a request that arrived at `since`. Whether the
    /// file is looked at again and again.
    fn note(&mut self, file: RunFile, since: Instant, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < FOLLOWING;
        let mark = match self.looks.iter_mut().find(|(each, _)| *each == file) {
            Some((_, mark)) => mark,
            None => {
                self.looks.push((file, now));
                return false;
            }
        };
        let passed = since.saturating_duration_since(*mark);
        if passed >= ONE_LOOK {
            self.again = (passed < FOLLOWING).then_some(now).or(self.again);
            *mark = now;
        } else if since <= *mark || now.saturating_duration_since(since) >= ONE_LOOK {
            // It has waited for its answer: what comes next comes after that.
            *mark = now;
        }
        self.again.is_some_and(recent)
    }

    /// Whether what is known is to be asked for again; notes that it is, then.
    fn is_due(&mut self, known: &Standing, now: Instant, thrift: u32) -> bool {
        let last = self.known.as_ref();
        let (is_news, is_newer) = match last {
            Some(last) => (last.1 != known.1, last.0 < known.0),
            None => (true, true),
        };
        // Asking that failed, or that another look did, has brought no news either.
        let failed = |asked: Instant| !is_newer && asked > known.0;
        let age = now.saturating_duration_since(self.asked.map_or(known.0, |at| at.max(known.0)));
        if is_news {
            self.pause = LIVE_TTL;
        } else if is_newer {
            self.pause = QUIET_TTL.min(2 * self.pause);
        }
        self.known = Some(known.clone());
        let is_due = age >= self.pause * thrift;
        if is_due {
            if self.asked.is_some_and(failed) {
                self.pause = QUIET_TTL.min(2 * self.pause);
            }
            self.asked = Some(now);
        }
        is_due
    }
}

/// What a look at how a run stands calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Call {
    /// A stream of its events.
    stream: bool,
    /// The run, at once.
    run: bool,
}

impl Follow {
    fn look_at(
        &mut self,
        file: RunFile,
        (since, now): (Instant, Instant),
        known: Option<&Standing>,
        thrift: u32,
    ) -> Call {
        self.looked = now;
        if !self.watch.note(file, since, now) || self.streams() {
            return Call::default();
        }
        Call {
            stream: now >= self.next_try,
            // Of one that nothing is known of, all is asked for anyway.
            run: known.is_some_and(|known| self.watch.is_due(known, now, thrift)),
        }
    }
}

impl Follows {
    /// Whether another stream may be opened beside those of other runs, where
    /// there may be so many; notes that it is being opened, then.
    pub(super) fn may_open(&self, id: &Arc<str>, most: usize) -> bool {
        let mut follows = self.0.lock();
        let now = Instant::now();
        let others = follows.iter().filter(|(other, follow)| {
            let opening = follow.opening;
            let opens = opening.is_some_and(|at| now.saturating_duration_since(at) < FOLLOWING);
            *other != id && (follow.streams() || opens)
        });
        let may = others.count() < most;
        if may && let Some(follow) = follows.get_mut(id) {
            follow.opening = Some(now);
        }
        may
    }
}

impl View<'_> {
    /// Notes that a process looks at a file that shows how a run stands: done again
    /// and again, that is following. Gives how new the run must be that the file is
    /// made of.
    pub(in crate::tree) fn look_at_status(&self, id: &Arc<str>, file: RunFile) -> Age {
        let tree = self.tree;
        if self.whatever_is_known || tree.is_away() || tree.has_ended(id) {
            return Age::Current;
        }
        let known = tree.known.standing(id);
        let (thrift, times) = (tree.thrift(), (self.since, Instant::now()));
        let call = tree.follows.with(id, |follow| {
            follow.look_at(file, times, known.as_ref(), thrift)
        });
        if call.stream && tree.follows.may_open(id, MOST) {
            self.wishes.borrow_mut().push(Want::Follow(id.clone()));
        }
        match call.run {
            true => Age::Anew,
            false => Age::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks at `status` at so many milliseconds, each answered at once; gives
    /// whether each was taken for following.
    fn looks(watch: &mut Watch, start: Instant, at: &[u64]) -> Vec<bool> {
        at.iter()
            .map(|at| {
                let now = start + Duration::from_millis(*at);
                watch.note(RunFile::Status, now, now)
            })
            .collect()
    }

    #[test]
    fn the_second_look_within_ten_seconds_follows() {
        let start = Instant::now();
        let table: [(&[u64], &[bool]); 5] = [
            // `stat`, `open` and `read` of one command.
            (&[0, 1, 40, 499], &[false; 4]),
            (&[0, 1, 1_000, 1_001], &[false, false, true, true]),
            // However closely one looks.
            (&[0, 200, 400, 600], &[false, false, false, true]),
            (&[0, 9_999, 19_000], &[false, true, true]),
            (&[0, 10_000, 20_000, 21_000], &[false, false, false, true]),
        ];
        for (at, followed) in table {
            let mut watch = Watch::new();
            assert_eq!(looks(&mut watch, start, at), followed, "{at:?}");
        }
    }

    #[test]
    fn a_look_that_waited_for_its_answer_is_one() {
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
    fn one_look_at_each_file_is_no_following() {
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
    fn without_a_stream_a_run_is_asked_for_less_and_less_until_it_changes() {
        let mut watch = Watch::new();
        let start = Instant::now();
        let at = |second: u32| start + second * SECOND;
        let standing = |asked, status| (at(asked), status);
        // One who looks each second; what is asked for comes at once.
        let (mut asked, mut last) = (Vec::new(), 0);
        for second in 0..60 {
            if watch.is_due(&standing(last, RunStatus::Running), at(second), 1) {
                asked.push(second);
                last = second;
            }
        }
        assert_eq!(asked, [2, 6, 14, 24, 34, 44, 54]);
        // Asked for by others, for a run of which nothing is new.
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
        assert!(!watch.is_due(&pending, at(63), 2), "when calls are short");
        assert!(watch.is_due(&pending, at(64), 2));
    }

    #[test]
    fn asking_that_fails_is_repeated_less_and_less() {
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

    #[test]
    fn streams_beyond_the_most_are_not_opened() {
        let follows = Follows::default();
        let ids: Vec<Arc<str>> = (0..5).map(|n| n.to_string().into()).collect();
        for id in &ids {
            follows.look(id, 1);
        }
        let may = |n: usize| follows.may_open(&ids[n], 3);
        assert!(may(0) && may(1) && may(2) && !may(3));
        assert!(may(2), "its own counts once");
        ids[..3].iter().for_each(|id| follows.begin(id));
        assert!(!may(3));
        follows.end(&ids[1], super::super::End::Followers);
        assert!(may(3) && !may(4));
    }
}
