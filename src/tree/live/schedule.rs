//! When the service is asked for a live run, decided from what happens to the run
//! and when: no clock, no lock and no call in here.
//!
//! A process that reads a run's log again and again follows it, and all such
//! processes share one stream of the run's events. The stream tells the agent's lines
//! at once. Other rows are asked for when the stream shows that something happens,
//! out of a budget. Without a stream (it failed, too many are open, or no process has
//! read the log for a while) rows are asked for now and then. What reading a run's
//! status again and again does is told in [`super::watch`].

use super::watch::{FOLLOWING, QUIET_TTL, Standing, Watch};
use crate::tree::{answers::LIVE_TTL, node::RunFile};
use std::time::{Duration, Instant};

/// The wait after a stream that failed, doubled with each failure in a row.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A process reads the log.
    LogRead,
    /// A process reads a file that shows the status, by a request that arrived at that
    /// time; and the status by the newest answer.
    StatusRead(RunFile, Instant, Option<&'a Standing>),
    /// A fetch of rows begins.
    RowsAsked,
    /// It brought rows, or none that are new. Whether the run's status was asked for so
    /// long ago that it may have changed.
    RowsCame { any: bool, old_status: bool },
    /// It failed.
    RowsFailed,
    /// A stream is about to be opened.
    StreamOpens,
    /// The stream is open.
    StreamOpened,
    /// The stream has shown that it lives.
    StreamLives,
    /// The stream has told of the event with this number.
    StreamTold(u64),
    /// The stream is over.
    StreamEnded(End),
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the run.
    Run,
    /// With the last process that followed.
    Followers,
    /// The connection was cut, after the stream had told something.
    Cut,
    /// The stream was of no use.
    Failed,
}

/// Which answer a process is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Show {
    /// One within its lifetime, else one that is asked for now.
    #[default]
    Fresh,
    /// The last one, however old: asking would bring nothing more.
    Last,
    /// One that is asked for now: for a process that follows without a stream. Where the
    /// call fails, one within its lifetime has to do.
    Anew,
}

/// What an event calls for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Which answer the process that reads is shown.
    pub(crate) show: Show,
    /// Whether to open a stream.
    pub(crate) open_stream: bool,
    /// Whether to ask whether the run has ended.
    pub(crate) ask_for_run: bool,
    /// Whether the event that the stream told belongs into the log.
    pub(crate) log_event: bool,
    /// How long the outcome of the fetch stands.
    pub(crate) lasts: Duration,
}

/// Fetches of rows that a followed run may cost.
#[derive(Debug)]
struct Budget {
    left: f64,
    counted: Instant,
}

impl Budget {
    /// Fetches in a burst, and the time that earns another: five a minute.
    const BURST: f64 = 4.0;
    const EARNED_IN: Duration = Duration::from_secs(12);
    /// What of the burst is kept for when the stream tells of something.
    const KEPT_FOR_NEWS: f64 = 2.0;

    fn earn(&mut self, now: Instant, slowdown: u32) {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = now;
        let earned = passed.as_secs_f64() / (Self::EARNED_IN * slowdown).as_secs_f64();
        self.left = Self::BURST.min(self.left + earned);
    }

    /// Whether rows that were asked for so long ago are to be asked for again.
    fn allows(&self, age: Option<Duration>, is_news: bool) -> bool {
        let may = self.left >= 1.0;
        age.is_none_or(|age| {
            let rested = age >= LIVE_TTL;
            let spare = self.left >= 1.0 + Self::KEPT_FOR_NEWS;
            rested && (is_news && may || spare) || age >= Self::EARNED_IN && may
        })
    }

    fn spend(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
}

/// The stream of a run's events.
#[derive(Clone, Copy, Debug, Default)]
enum Stream {
    #[default]
    None,
    /// It is being opened since then.
    Opens(Instant),
    /// It is open since then, and has told of anything, if only that it lives.
    Open { since: Instant, has_told: bool },
}

/// What has happened to a run that processes read.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When a process last read.
    read: Instant,
    /// When rows were last asked for.
    asked: Option<Instant>,
    /// How long rows are shown where no stream tells.
    pause: Duration,
    budget: Budget,
    stream: Stream,
    /// Whether the stream has told of something since rows were asked for: then other
    /// rows may have come, too.
    news: bool,
    /// Streams that failed in a row, and when the next may be tried.
    failures: u32,
    next_try: Instant,
    /// The last event that a stream told of. A log that was not asked for is
    /// not kept: the next stream goes on after this event all the same.
    told: Option<u64>,
    watch: Watch,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            read: now,
            asked: None,
            pause: LIVE_TTL,
            budget: Budget {
                left: Budget::BURST,
                counted: now,
            },
            stream: Stream::None,
            news: false,
            failures: 0,
            next_try: now,
            told: None,
            watch: Watch::new(),
        }
    }

    /// Takes in an event, and decides what it calls for. Answers stand `slowdown` times
    /// as long as usual when the rate limit is near.
    pub(super) fn on(&mut self, event: Event<'_>, now: Instant, slowdown: u32) -> Decision {
        let mut decision = Decision::default();
        match event {
            Event::LogRead => return self.read_log(now, slowdown),
            Event::StatusRead(file, arrived, known) => {
                return self.read_status(file, (arrived, now), known, slowdown);
            }
            Event::RowsAsked => {
                self.budget.spend();
                self.asked = Some(now);
                self.news = false;
            }
            Event::RowsCame { any, old_status } => {
                decision.lasts = self.rest(any) * slowdown;
                // Without a stream nothing else may tell of the end, and a process
                // that has the log open would have it asked for without end.
                decision.ask_for_run = !any && old_status && !self.streams();
            }
            // A process that follows asks again by itself.
            Event::RowsFailed => decision.lasts = self.rest(false),
            Event::StreamOpens => self.stream = Stream::Opens(now),
            Event::StreamOpened => {
                self.stream = Stream::Open {
                    since: now,
                    has_told: false,
                };
            }
            Event::StreamLives => self.has_told(),
            Event::StreamTold(number) => {
                self.has_told();
                self.told = self.told.max(Some(number));
                // Rows that came before would be shown after it.
                decision.log_event = self.asked.is_some();
                self.news |= decision.log_event;
            }
            Event::StreamEnded(end) => self.end(end, now),
        }
        decision
    }

    fn read_log(&mut self, now: Instant, slowdown: u32) -> Decision {
        self.read = now;
        self.budget.earn(now, slowdown);
        let age = self.asked.map(|asked| now.saturating_duration_since(asked));
        let (show, open_stream) = match self.streams() {
            true if self.budget.allows(age, self.news) => (Show::Anew, false),
            true => (Show::Last, false),
            false => {
                let again = age.is_some_and(|age| (LIVE_TTL..FOLLOWING).contains(&age));
                (Show::Fresh, again && now >= self.next_try)
            }
        };
        Decision {
            show,
            open_stream,
            ..Decision::default()
        }
    }

    fn read_status(
        &mut self,
        file: RunFile,
        (arrived, now): (Instant, Instant),
        known: Option<&Standing>,
        slowdown: u32,
    ) -> Decision {
        self.read = now;
        if !self.watch.note(file, arrived, now) || self.streams() {
            return Decision::default();
        }
        // Of a run of which nothing is known, all is asked for anyway.
        let is_due = known.is_some_and(|known| self.watch.is_due(known, now, slowdown));
        Decision {
            show: if is_due { Show::Anew } else { Show::Fresh },
            open_stream: now >= self.next_try,
            ..Decision::default()
        }
    }

    /// How long to wait with the next fetch of rows.
    fn rest(&mut self, any: bool) -> Duration {
        self.pause = match any || self.streams() {
            true => LIVE_TTL,
            false => QUIET_TTL.min(2 * self.pause),
        };
        self.pause
    }

    fn has_told(&mut self) {
        if let Stream::Open { has_told, .. } = &mut self.stream {
            *has_told = true;
        }
    }

    fn end(&mut self, end: End, now: Instant) {
        let was_of_use = match std::mem::take(&mut self.stream) {
            // One that is cut sooner is dearer than asking.
            Stream::Open { since, has_told } => {
                now.saturating_duration_since(since) >= LIVE_TTL && (has_told || end == End::Cut)
            }
            _ => false,
        };
        if was_of_use {
            self.failures = 0;
        } else if end != End::Followers {
            let wait = RETRY * 2u32.saturating_pow(self.failures.min(16));
            self.failures = self.failures.saturating_add(1);
            self.next_try = now + wait.min(LONGEST_RETRY);
        }
    }

    /// Whether a stream is open.
    pub(super) fn streams(&self) -> bool {
        matches!(self.stream, Stream::Open { .. })
    }

    /// Whether a stream is open, or is just being opened.
    pub(super) fn takes_a_stream(&self, now: Instant) -> bool {
        match self.stream {
            Stream::None => false,
            Stream::Opens(since) => now.saturating_duration_since(since) < FOLLOWING,
            Stream::Open { .. } => true,
        }
    }

    /// Whether a process has read lately.
    pub(super) fn is_followed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.read) < FOLLOWING
    }

    /// When a process last read.
    pub(super) fn read(&self) -> Instant {
        self.read
    }

    /// The event after which a stream begins, where `shown` is the last one that the
    /// log shows.
    pub(super) fn last_event(&self, shown: Option<u64>) -> Option<u64> {
        match self.asked {
            Some(_) => shown,
            None => shown.max(self.told),
        }
    }
}

#[cfg(test)]
mod tests;
