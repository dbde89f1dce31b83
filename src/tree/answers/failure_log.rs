//! The last failures, for `.vm0fs/errors` and the log: each failure is reported here
//! and nowhere else. They are left to the next worker: a user looks after a death.

use crate::{
    error::Error,
    handover::{Fields, Handover, Owner, Reader, Stream},
    sync::Mutex,
    text::one_line,
};
use jiff::Timestamp;
use std::{collections::VecDeque, fmt::Write, mem, sync::Arc};

/// How many failures are kept: a few screens full.
const KEPT: usize = 200;

/// How many records a stream has before the failures that are kept go to a new one, and
/// how long the texts in a record are, in characters: what is left takes some hundred KB.
const MOST_RECORDS: usize = 2 * KEPT;
const LONGEST: usize = 1000;

struct Entry {
    at: Timestamp,
    subject: String,
    error: Error,
    /// How often the same failure has happened in a row, and when last.
    times: u64,
    last: Timestamp,
}

/// Whether two failures have the same cause. Request ids always differ, and so can the
/// number of bytes that came before a failure.
fn is_same(a: &Error, b: &Error) -> bool {
    match (a, b) {
        (Error::Api(a), Error::Api(b)) => {
            (a.status, &a.code, &a.message) == (b.status, &b.code, &b.message)
        }
        (Error::Invalid(a), Error::Invalid(b)) => a == b,
        (a, b) => {
            let is_of_a_kind = mem::discriminant(a) == mem::discriminant(b);
            is_of_a_kind && a.errno() == b.errno() && words(a) == words(b)
        }
    }
}

/// What a failure says, without its numbers but for the status of an answer.
fn words(error: &Error) -> Vec<String> {
    let (text, mut is_status) = (error.to_string(), false);
    let words = text.split_whitespace().map(|word| {
        let is_kept = is_status;
        is_status = word == "HTTP";
        match is_kept {
            true => word.to_owned(),
            false => word.replace(|c: char| c.is_ascii_digit(), ""),
        }
    });
    words.collect()
}

impl Entry {
    /// A record of it; whether it stands for the one before, which has happened again.
    fn record(&self, again: bool) -> Fields {
        let text = |text: &str| one_line(text, LONGEST);
        let record = Fields::new().byte(again.into());
        let record = record.text(&self.at.to_string());
        let record = record.text(&self.last.to_string()).number(self.times);
        let record = record.text(&text(&self.subject));
        let record = record.number(u64::from(self.error.errno().unsigned_abs()));
        record.text(&text(&self.error.to_string()))
    }

    /// What a record says, and whether it stands for the one before; `None` for what no
    /// worker has written.
    fn read(record: &mut Reader<'_>) -> Option<(Self, bool)> {
        let again = record.byte()? != 0;
        let (at, last) = (record.text()?.parse().ok()?, record.text()?.parse().ok()?);
        let times = record.number()?;
        let subject = one_line(record.text()?, LONGEST);
        let errno = i32::try_from(record.number()?).ok()?;
        let message = one_line(record.text()?, LONGEST);
        let entry = Self {
            at,
            subject,
            error: Error::Earlier { message, errno },
            times,
            last,
        };
        Some((entry, again))
    }
}

/// The last failures.
pub(crate) struct FailureLog {
    known: Mutex<Known>,
    handover: Arc<Handover>,
}

#[derive(Default)]
struct Known {
    entries: VecDeque<Entry>,
    /// Where they are left to the next worker, and how many records that has.
    stream: Option<Stream>,
    records: usize,
}

impl Known {
    /// Adds a failure, or what has become of the last one.
    fn add(&mut self, entry: Entry, again: bool) {
        if again {
            self.entries.pop_back();
        }
        if self.entries.len() >= KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Leaves the last failure to the next worker. Where that cannot be done, it is in the
    /// log all the same.
    fn leave(&mut self, handover: &Handover, again: bool) {
        let Some(last) = self.entries.back() else {
            return;
        };
        if let Some(stream) = &self.stream
            && self.records < MOST_RECORDS
            && handover.add_to(stream, &last.record(again))
        {
            self.records += 1;
            return;
        }
        let Some(stream) = handover.stream() else {
            return;
        };
        let mut entries = self.entries.iter();
        let named = Fields::new().number(stream.number());
        // Named once all is in it: until then, the next worker finds the one before.
        let is_left = entries.all(|entry| handover.add_to(&stream, &entry.record(false)))
            && handover.add(Owner::Failures, named);
        if !is_left {
            return handover.free_stream(&stream);
        }
        self.records = self.entries.len();
        if let Some(before) = self.stream.replace(stream) {
            handover.free_stream(&before);
        }
    }
}

impl FailureLog {
    /// The failures that an earlier worker has left.
    pub(crate) fn new(handover: Arc<Handover>) -> Self {
        let mut number = None;
        handover.records(Owner::Failures, |record| number = record.number());
        let mut known = Known::default();
        let stream = number.and_then(|number| {
            handover.left_stream(number, |record| {
                known.records += 1;
                if let Some((entry, again)) = Entry::read(record) {
                    known.add(entry, again);
                }
            })
        });
        known.stream = stream;
        Self {
            known: Mutex::new(known),
            handover,
        }
    }

    /// The number of what an earlier worker has left, if one has.
    pub(crate) fn left_number(&self) -> Option<u64> {
        self.known.lock().stream.as_ref().map(Stream::number)
    }

    /// Notes a failure and logs it; the same failure in a row is counted. One with
    /// another message is another failure.
    pub(crate) fn note(&self, subject: &str, error: &Error) {
        tracing::warn!(subject, errno = error.errno(), "{error}");
        let now = Timestamp::now();
        let mut known = self.known.lock();
        let same = |entry: &&Entry| entry.subject == subject && is_same(&entry.error, error);
        let before = known.entries.back().filter(same);
        let before = before.map(|entry| (entry.at, entry.times));
        let (at, times) = before.unwrap_or((now, 0));
        let entry = Entry {
            at,
            subject: subject.to_owned(),
            // The newest text has the newest request id.
            error: error.clone(),
            times: times.saturating_add(1),
            last: now,
        };
        known.add(entry, before.is_some());
        known.leave(&self.handover, before.is_some());
    }

    /// When the last failure was noted.
    pub(crate) fn noted(&self) -> Option<Timestamp> {
        self.known.lock().entries.back().map(|entry| entry.last)
    }

    /// How many failures are held.
    pub(crate) fn len(&self) -> usize {
        self.known.lock().entries.len()
    }

    /// One line a failure, oldest first.
    pub(crate) fn render(&self) -> String {
        let known = self.known.lock();
        let mut out = String::new();
        for entry in &known.entries {
            // A message may quote the service: it stays on its line.
            let message = entry.error.to_string().replace(char::is_control, " ");
            let (at, subject, errno) = (entry.at, &entry.subject, entry.error.errno());
            let _ = write!(out, "{at:.3} {subject}: {message} (errno {errno})");
            if entry.times > 1 {
                let _ = write!(out, " ({} times, last {:.3})", entry.times, entry.last);
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::ApiError;

    fn log(handover: &Arc<Handover>) -> FailureLog {
        FailureLog::new(handover.clone())
    }

    /// What the next worker takes over.
    fn next(handover: &Handover) -> Arc<Handover> {
        let memory = handover.fd().try_clone_to_owned().unwrap();
        Arc::new(Handover::take_over(memory).unwrap())
    }

    #[test]
    fn the_next_worker_has_the_last_failures_of_the_one_before() {
        let mut handover = Arc::new(Handover::new().unwrap());
        let mut shown = String::new();
        for worker in 0..4 {
            let log = log(&handover);
            assert_eq!(log.render(), shown);
            if let Some(number) = log.left_number() {
                handover.free_all_but([number].into_iter());
            }
            // More than a stream has, and with repetitions, which count on.
            for count in 0..MOST_RECORDS * worker {
                log.note(&format!("run {}", count / 3), &Error::Stale);
            }
            shown = log.render();
            handover = next(&handover);
        }
        assert_eq!(shown.lines().count(), KEPT);
        assert!(shown.contains("(3 times, last "), "{shown}");
    }

    #[test]
    fn what_is_left_is_bounded_and_damage_is_skipped() {
        let handover = Arc::new(Handover::new().unwrap());
        let long = log(&handover);
        long.note(&"s".repeat(9999), &Error::Invalid("m".repeat(9999)));
        let handover = next(&handover);
        let log = log(&handover);
        assert!(log.render().len() < 3 * LONGEST);
        {
            let known = log.known.lock();
            let stream = known.stream.as_ref().unwrap();
            for record in [Fields::new().byte(9), Fields::new().byte(0).text("today")] {
                assert!(handover.add_to(stream, &record));
            }
        }
        log.note("run x", &Error::Stale);
        let after = super::FailureLog::new(next(&handover));
        assert_eq!(after.len(), 2);
        assert!(after.render().ends_with("(errno 116)\n"));
        // A number of nothing.
        let handover = next(&handover);
        handover.add(Owner::Failures, Fields::new().number(77));
        assert_eq!(super::FailureLog::new(next(&handover)).len(), 0);
    }

    #[test]
    fn a_failure_with_another_message_has_a_line_of_its_own() {
        let log = log(&Arc::new(Handover::new().unwrap()));
        let refused = |message: &str, id: &str| {
            let error = ApiError {
                status: 400,
                message: message.into(),
                request_id: Some(id.into()),
                ..ApiError::default()
            };
            log.note("start of a run", &Error::Api(error.into()));
        };
        refused("too vague", "1");
        refused("too vague", "2");
        refused("too long", "3");
        for why in ["no prompt", "not UTF-8"] {
            log.note("start of a run", &Error::Invalid(why.into()));
        }
        let text = log.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains("too vague [request id 2]") && lines[0].contains("2 times"));
        assert!(lines[1].contains("too long") && lines[3].contains("not UTF-8"));
    }

    #[test]
    fn failures_of_different_causes_are_lines_of_their_own() {
        let log = log(&Arc::new(Handover::new().unwrap()));
        let failed = |detail: &str| {
            let (what, detail) = ("GET https://store/x".into(), detail.into());
            log.note("version x", &Error::BadAnswer { what, detail });
        };
        failed("HTTP 404 from the object store");
        failed("HTTP 503 from the object store; try again later");
        failed("HTTP 502 from the object store; try again later");
        failed("the connection ended at byte 17");
        failed("the connection ended at byte 4711");
        let text = log.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[3].contains("byte 4711") && lines[3].contains("2 times"),
            "{text}"
        );
    }

    #[test]
    fn failures_in_a_row_are_counted_and_the_log_is_bounded() {
        let log = log(&Arc::new(Handover::new().unwrap()));
        for _ in 0..3 {
            log.note("logs of run x", &Error::Invalid("a\nb".into()));
        }
        assert_eq!(log.len(), 1);
        let text = log.render();
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("a b") && text.contains("3 times"), "{text}");
        for i in 0..1000 {
            log.note(&format!("run {i}"), &Error::Stale);
        }
        assert_eq!(log.len(), KEPT);
    }
}
