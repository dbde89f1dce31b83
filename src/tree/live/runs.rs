//! The schedules of all runs that processes read, and how many streams there may be.

use super::schedule::{Decision, End, Event, Schedule};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// Streams that are never opened for a status alone: logs come by nothing else within
/// two seconds.
const LEFT_FOR_LOGS: usize = 4;
/// Runs remembered: far more than people follow at a time.
const MOST: usize = 256;

/// All runs that processes read, and that have not ended.
#[derive(Debug)]
pub(super) struct Runs {
    schedules: HashMap<Arc<str>, Schedule>,
    /// How many streams may be open at a time.
    streams: usize,
}

impl Runs {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            schedules: HashMap::new(),
            streams,
        }
    }

    /// Takes in what happens to a run, and decides what it calls for. A stream is
    /// opened only where there may be one more; it counts as being opened, then.
    pub(super) fn on(
        &mut self,
        id: &Arc<str>,
        event: Event<'_>,
        now: Instant,
        slowdown: u32,
    ) -> Decision {
        let most = match event {
            Event::StreamEnded(End::Run) => {
                self.schedules.remove(id);
                return Decision::default();
            }
            Event::StatusRead(..) => self.streams.saturating_sub(LEFT_FOR_LOGS),
            _ => self.streams,
        };
        let mut decision = self.schedule(id, now).on(event, now, slowdown);
        if decision.open_stream {
            decision.open_stream = self.other_streams(id, now) < most;
        }
        if decision.open_stream {
            self.schedule(id, now).on(Event::StreamOpens, now, slowdown);
        }
        decision
    }

    fn schedule(&mut self, id: &Arc<str>, now: Instant) -> &mut Schedule {
        if self.schedules.len() >= MOST && !self.schedules.contains_key(id) {
            self.schedules
                .retain(|_, run| run.streams() || run.is_followed(now));
            if self.schedules.len() >= MOST {
                self.forget_one();
            }
        }
        let schedules = self.schedules.entry(id.clone());
        schedules.or_insert_with(|| Schedule::new(now))
    }

    /// Drops the run that was not read for longest, of those without a stream.
    fn forget_one(&mut self) {
        let idle = self.schedules.iter().filter(|(_, run)| !run.streams());
        let oldest = idle.min_by_key(|(_, run)| run.read());
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            self.schedules.remove(&id);
        }
    }

    fn other_streams(&self, id: &Arc<str>, now: Instant) -> usize {
        let others = self.schedules.iter().filter(|(other, _)| *other != id);
        others.filter(|(_, run)| run.takes_a_stream(now)).count()
    }

    /// What has happened to a run, if a process has read it.
    pub(super) fn get(&self, id: &str) -> Option<&Schedule> {
        self.schedules.get(id)
    }

    /// Those of which streams are open.
    pub(super) fn streamed(&self) -> impl Iterator<Item = &Arc<str>> {
        let runs = self.schedules.iter();
        runs.filter(|(_, run)| run.streams()).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{live::watch::FOLLOWING, node::RunFile};
    use std::time::Duration;

    fn ids(count: usize) -> Vec<Arc<str>> {
        (0..count).map(|n| n.to_string().into()).collect()
    }

    /// Has a process follow the status of a run; whether a stream is to be opened.
    fn follow(runs: &mut Runs, id: &Arc<str>, now: Instant) -> bool {
        let mut read = |now| runs.on(id, Event::StatusRead(RunFile::Status, now, None), now, 1);
        read(now);
        read(now + Duration::from_secs(1)).open_stream
    }

    #[test]
    fn streams_beyond_the_most_are_not_opened() {
        let ids = ids(5);
        let mut runs = Runs::new(3 + LEFT_FOR_LOGS);
        let mut now = Instant::now();
        let mut may = |runs: &mut Runs, n: usize| {
            now += 11 * Duration::from_millis(100);
            follow(runs, &ids[n], now)
        };
        assert!(may(&mut runs, 0) && may(&mut runs, 1) && may(&mut runs, 2) && !may(&mut runs, 3));
        assert!(may(&mut runs, 2), "its own counts once");
        let opened = Instant::now();
        for id in &ids[..3] {
            runs.on(id, Event::StreamOpened, opened, 1);
        }
        assert!(!may(&mut runs, 3));
        runs.on(&ids[1], Event::StreamEnded(End::Followers), opened, 1);
        assert!(may(&mut runs, 3) && !may(&mut runs, 4));
    }

    #[test]
    fn the_runs_remembered_are_bounded() {
        let mut runs = Runs::new(16);
        let start = Instant::now();
        let streamed: Arc<str> = "streamed".into();
        runs.on(&streamed, Event::StreamOpened, start, 1);
        // Each is followed when the next comes.
        for (n, id) in (0_u32..).zip(&ids(10 * MOST)) {
            runs.on(id, Event::LogRead, start + n * Duration::from_millis(1), 1);
        }
        assert!(runs.schedules.len() <= MOST);
        assert!(runs.get(&streamed).is_some_and(Schedule::streams));
        let later = start + 3 * FOLLOWING;
        runs.on(&"new".into(), Event::LogRead, later, 1);
        assert_eq!(runs.schedules.len(), 2, "the others are followed no more");
    }
}
