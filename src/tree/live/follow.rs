//! Who follows which run, and how often the service is asked for it.
//!
//! A run that is looked at again and again is followed by one stream of
//! its events ([`Tree::follow`]), however many look. The stream tells the agent's
//! lines at once; what else the log has is asked for when the stream shows that
//! something happens, out of an allowance. Without a stream (it fails, there are
//! too many, or a look was the first for a while) the log is asked for now and then.
//! What looking at a run's status again and again does is told in [`status`].

mod status;

use crate::{
    api::{LogReader, RunEvent, types::RunStatus},
    conversation::transcript::Ending,
    error::Result,
    progress::Progress,
    sync::Mutex,
    tree::{Pool, Tree, Want, cache::FOR_EVER, logs::Logs},
};
use status::Watch;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Log rows of a live run stand this long without asking again: long enough
/// for the `stat`, `open`, `read` of one command to agree, short enough that
/// who follows sees a new line within two seconds.
pub(in crate::tree) const LIVE_TTL: Duration = Duration::from_secs(2);
/// The same where asking brought nothing new and no stream tells when to ask.
const QUIET_TTL: Duration = Duration::from_secs(10);
/// Who looks again within this follows; and who has not looked for so long does
/// not any more.
const FOLLOWING: Duration = Duration::from_secs(10);
/// Questions for rows that a followed run may cost in a burst, and the time in
/// which it earns another: five a minute.
const BURST: f64 = 4.0;
const EARNED_IN: Duration = Duration::from_secs(12);
/// What of the burst is kept for when the stream tells of something.
const KEPT_FOR_NEWS: f64 = 2.0;
/// The wait after a stream that failed, doubled with each in a row.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(120);
/// Runs remembered: far more than people follow at a time.
const MOST: usize = 256;

/// What is known of those who look at a run.
#[derive(Debug)]
struct Follow {
    /// When a process last looked.
    looked: Instant,
    /// When rows were last asked for.
    asked: Option<Instant>,
    /// How long to wait with the next question where no stream tells.
    pause: Duration,
    /// Questions that may be asked, as of `counted`.
    allowance: f64,
    counted: Instant,
    /// Since when a stream is being opened, and since when one is open.
    opening: Option<Instant>,
    streams_since: Option<Instant>,
    /// Whether it has told of anything, if only that it lives.
    has_told: bool,
    /// Whether it has told of something: then other rows may have come, too.
    news: bool,
    /// Streams that failed in a row, and when the next may be tried.
    failures: u32,
    next_try: Instant,
    /// The last event that a stream told of. A log that was not asked for is
    /// not kept: the next stream goes on behind it all the same.
    told: Option<u64>,
    watch: Watch,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the run.
    Run,
    /// With its last follower.
    Followers,
    /// It was cut off, having told something.
    Cut,
    /// Without having been of use.
    Failed,
}

/// How a log that is at hand stands to the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) enum Look {
    /// As good as asking.
    Current,
    /// To be asked for again.
    Due,
    /// As old as it is; and whether a stream should be opened.
    Unfollowed { begin: bool },
}

impl Follow {
    fn new(now: Instant) -> Self {
        Self {
            looked: now,
            asked: None,
            pause: LIVE_TTL,
            allowance: BURST,
            counted: now,
            opening: None,
            streams_since: None,
            has_told: false,
            news: false,
            failures: 0,
            next_try: now,
            told: None,
            watch: Watch::new(),
        }
    }

    /// Whether a stream is open.
    fn streams(&self) -> bool {
        self.streams_since.is_some()
    }

    fn earn(&mut self, now: Instant, thrift: u32) {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = now;
        let earned = passed.as_secs_f64() / (EARNED_IN * thrift).as_secs_f64();
        self.allowance = BURST.min(self.allowance + earned);
    }

    fn look(&mut self, now: Instant, thrift: u32) -> Look {
        self.looked = now;
        self.earn(now, thrift);
        let age = self.asked.map(|asked| now.saturating_duration_since(asked));
        if !self.streams() {
            let again = age.is_some_and(|age| (LIVE_TTL..FOLLOWING).contains(&age));
            let begin = again && now >= self.next_try;
            return Look::Unfollowed { begin };
        }
        let may = self.allowance >= 1.0;
        let is_due = age.is_none_or(|age| {
            let rested = age >= LIVE_TTL;
            let spare = self.allowance >= 1.0 + KEPT_FOR_NEWS;
            rested && (self.news && may || spare) || age >= EARNED_IN && may
        });
        if is_due { Look::Due } else { Look::Current }
    }
}

/// Drops the run that was not looked at for longest, of those without a stream.
fn forget_one(follows: &mut HashMap<Arc<str>, Follow>) {
    let idle = follows.iter().filter(|(_, follow)| !follow.streams());
    let oldest = idle.min_by_key(|(_, follow)| follow.looked);
    if let Some(id) = oldest.map(|(id, _)| id.clone()) {
        follows.remove(&id);
    }
}

/// All who look at runs that have not ended.
#[derive(Debug, Default)]
pub(in crate::tree) struct Follows(Mutex<HashMap<Arc<str>, Follow>>);

impl Follows {
    fn with<T>(&self, id: &Arc<str>, act: impl FnOnce(&mut Follow) -> T) -> T {
        let mut follows = self.0.lock();
        let now = Instant::now();
        if follows.len() >= MOST && !follows.contains_key(id) {
            follows.retain(|_, follow| follow.streams() || follow.looked.elapsed() < FOLLOWING);
            if follows.len() >= MOST {
                forget_one(&mut follows);
            }
        }
        act(follows
            .entry(id.clone())
            .or_insert_with(|| Follow::new(now)))
    }

    /// Notes that a process looks at a run's log.
    pub(in crate::tree) fn look(&self, id: &Arc<str>, thrift: u32) -> Look {
        let look = self.with(id, |follow| follow.look(Instant::now(), thrift));
        match look {
            Look::Unfollowed { begin: true } => Look::Unfollowed {
                begin: self.may_open(id, Pool::STREAMS),
            },
            look => look,
        }
    }

    /// Notes that rows are being asked for.
    fn asking(&self, id: &Arc<str>) {
        self.with(id, |follow| {
            let now = Instant::now();
            follow.allowance = (follow.allowance - 1.0).max(0.0);
            follow.asked = Some(now);
            follow.news = false;
        });
    }

    /// Notes whether that brought any, and gives how long the answer stands.
    pub(in crate::tree) fn asked(&self, id: &Arc<str>, brought: bool) -> Duration {
        self.with(id, |follow| {
            follow.pause = match brought || follow.streams() {
                true => LIVE_TTL,
                false => QUIET_TTL.min(2 * follow.pause),
            };
            follow.pause
        })
    }

    /// Notes that a stream is open.
    fn begin(&self, id: &Arc<str>) {
        self.with(id, |follow| {
            (follow.streams_since, follow.has_told) = (Some(Instant::now()), false);
            follow.opening = None;
        });
    }

    /// Notes what the stream has told of.
    fn tell(&self, id: &Arc<str>) {
        self.with(id, |follow| (follow.news, follow.has_told) = (true, true));
    }

    /// Whether the rows have been asked for: then what the stream tells is shown.
    /// `told` is the event that it tells of.
    fn reads_log(&self, id: &Arc<str>, told: u64) -> bool {
        self.with(id, |follow| {
            follow.has_told = true;
            follow.told = follow.told.max(Some(told));
            follow.asked.is_some()
        })
    }

    /// The event behind which a stream begins, where `shown` is the last one that
    /// the log shows.
    fn last_event(&self, id: &Arc<str>, shown: Option<u64>) -> Option<u64> {
        self.with(id, |follow| match follow.asked {
            Some(_) => shown,
            None => shown.max(follow.told),
        })
    }

    /// Whether a process has looked lately.
    fn is_followed(&self, id: &Arc<str>) -> bool {
        self.with(id, |follow| follow.looked.elapsed() < FOLLOWING)
    }

    /// Notes that the stream is over, and why.
    fn end(&self, id: &Arc<str>, end: End) {
        if end == End::Run {
            self.0.lock().remove(id);
            return;
        }
        self.with(id, |follow| {
            // One that is cut so soon is dearer than asking.
            follow.opening = None;
            let lasted = follow.streams_since.take().map(|since| since.elapsed());
            let has_lasted = lasted.is_some_and(|lasted| lasted >= LIVE_TTL);
            if has_lasted && (follow.has_told || end == End::Cut) {
                follow.failures = 0;
            } else if end != End::Followers {
                let wait = RETRY * 2u32.saturating_pow(follow.failures.min(16));
                follow.failures = follow.failures.saturating_add(1);
                follow.next_try = Instant::now() + wait.min(LONGEST_RETRY);
            }
        });
    }

    /// Whether a stream is open.
    pub(in crate::tree) fn streams(&self, id: &Arc<str>) -> bool {
        self.0.lock().get(id).is_some_and(Follow::streams)
    }

    /// How many streams are open.
    pub(in crate::tree) fn count(&self) -> usize {
        let follows = self.0.lock();
        follows.values().filter(|follow| follow.streams()).count()
    }
}

impl Tree {
    /// Reads the events of a run for as long as a process follows it, and keeps
    /// what they tell. Blocks for that long.
    pub(in crate::tree) fn follow(&self, id: &Arc<str>, progress: &Progress) {
        let end = self.told(self.read_events(id, progress));
        if let Err(error) = &end {
            // Asking now and then serves as well: no failure to tell the user.
            tracing::info!("no stream of run {id}: {error}");
        }
        self.follows.end(id, end.unwrap_or(End::Failed));
    }

    fn read_events(&self, id: &Arc<str>, progress: &Progress) -> Result<End> {
        let logs = self.live_logs(id);
        let last = self.follows.last_event(id, logs.last_event());
        let mut stream = self.api.run_events(id, last, progress)?;
        self.follows.begin(id);
        let mut end = End::Failed;
        while self.follows.is_followed(id) {
            match stream.next()? {
                Some(RunEvent::Output(event)) => {
                    end = End::Cut;
                    // Rows that came before would be shown behind it.
                    if self.follows.reads_log(id, event.sequence) {
                        logs.add_event(event);
                        self.follows.tell(id);
                    }
                }
                Some(RunEvent::Status(status)) => self.note_status(id, &status, progress)?,
                Some(RunEvent::Complete(status)) => {
                    self.note_status(id, &status, progress)?;
                    // The rest of its log is there now.
                    let logs = &self.known.logs;
                    logs.expire(id, Instant::now(), Duration::ZERO);
                    // An answer that does not say so yet is no end to it.
                    return Ok(match self.has_ended(id) {
                        true => End::Run,
                        false => End::Failed,
                    });
                }
                Some(RunEvent::Heartbeat) => {
                    self.follows.with(id, |follow| follow.has_told = true);
                    end = End::Cut;
                }
                Some(RunEvent::Error(reason)) => self.reasons.note(id, reason),
                // It goes on from the last event with the next look.
                None => return Ok(end),
            }
        }
        Ok(End::Followers)
    }

    /// Asks for a run whose status is another one than was known.
    fn note_status(&self, id: &Arc<str>, status: &RunStatus, progress: &Progress) -> Result<()> {
        if self.known.status(id).as_ref() == Some(status) {
            return Ok(());
        }
        self.ask_for_run(id, progress)
    }

    fn ask_for_run(&self, id: &Arc<str>, progress: &Progress) -> Result<()> {
        let want = Want::Run(id.clone());
        self.bring(&want, Instant::now(), progress)?;
        self.keep(&want);
        Ok(())
    }

    /// Asks, now and then, whether a run has ended that has nothing new to say:
    /// without a stream nothing else may, and its log would be asked for as long
    /// as a process has it open.
    fn look_for_the_end(&self, id: &Arc<str>, progress: &Progress) {
        let age = self.known.status_age(id);
        if age.is_none_or(|age| age >= self.list_ttl())
            && let Err(error) = self.ask_for_run(id, progress)
        {
            // The next time does as well.
            tracing::debug!("whether run {id} has ended: {error}");
        }
    }

    /// The log of a run that grows, the same for all who look at it.
    pub(in crate::tree) fn live_logs(&self, id: &Arc<str>) -> Arc<Logs> {
        let mut live = self.live.lock();
        if let Some(logs) = live.get(id).and_then(|logs| logs.upgrade()) {
            return logs;
        }
        live.retain(|_, logs| logs.strong_count() > 0);
        let logs = Arc::new(Logs::default());
        live.insert(id.clone(), Arc::downgrade(&logs));
        logs
    }

    /// Has a log show how its run has ended.
    pub(in crate::tree) fn conclude(&self, id: &Arc<str>, logs: &Logs) {
        let detail = self.known.run.last(id);
        let error = detail.and_then(|(row, _)| row.value.error.clone());
        if let Some((_, row)) = self.known.newest_of(id) {
            let run = &row.value;
            let times = run.started_at.zip(run.completed_at);
            let took = times.map(|(start, end)| end.duration_since(start).as_millis());
            logs.conclude(Ending {
                status: run.status.as_str().to_owned(),
                error,
                milliseconds: took.and_then(|took| u64::try_from(took).ok()),
            });
        }
    }

    /// Asks for the rows of a log that have not come yet.
    pub(in crate::tree) fn bring_logs(&self, id: &Arc<str>, progress: &Progress) -> Result<()> {
        let asked = Instant::now();
        // As it was before the call: a run that ends during it has more to say.
        let lasts = self.rest_lasts(id);
        let logs = self.live_logs(id);
        self.follows.asking(id);
        let brought = if lasts == Some(FOR_EVER) && logs.is_short() {
            // A row can have come so late that going on from the last one has
            // passed it over. All of it, for good, is worth a call more.
            let rows = self.api.run_logs(id, &mut LogReader::default(), progress)?;
            logs.add_missing(rows)
        } else {
            let mut reader = logs.take_reader();
            let rows = self.api.run_logs(id, &mut reader, progress);
            logs.give_reader(reader);
            logs.add_rows(rows?)
        };
        let ttl = match lasts {
            Some(lasts) => lasts,
            None => self.follows.asked(id, brought) * self.thrift(),
        };
        if !brought && lasts.is_none() && !self.follows.streams(id) {
            self.look_for_the_end(id, progress);
        }
        // The run had ended before this was asked: what it still says comes late.
        if lasts.is_some() {
            self.conclude(id, &logs);
        }
        // What was shown in the order in which it came is shown in the order
        // of time from now on; a process that has it open goes on as before.
        let kept = match ttl == FOR_EVER && !logs.is_in_order() {
            true => Arc::new(Logs::ended(logs.rows())),
            false => logs,
        };
        let weight = kept.weight();
        self.known.logs.put(id.clone(), kept, asked, ttl, weight);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
