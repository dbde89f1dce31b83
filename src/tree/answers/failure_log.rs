//! The last failures, for `.vm0fs/errors` and the log: each failure is reported here
//! and nowhere else.

use crate::{error::Error, sync::Mutex};
use jiff::Timestamp;
use std::{collections::VecDeque, fmt::Write, mem};

/// How many failures are kept: a few screens full.
const KEPT: usize = 200;

struct Entry {
    at: Timestamp,
    subject: String,
    error: Error,
    /// How often the same failure has happened in a row, and when last.
    times: u64,
    last: Timestamp,
}

/// Whether two failures say the same. Request ids always differ, and so can the
/// number of bytes that came before a failure.
fn is_same(a: &Error, b: &Error) -> bool {
    match (a, b) {
        (Error::Api(a), Error::Api(b)) => {
            (a.status, &a.code, &a.message) == (b.status, &b.code, &b.message)
        }
        (Error::Invalid(a), Error::Invalid(b)) => a == b,
        (a, b) => mem::discriminant(a) == mem::discriminant(b) && a.errno() == b.errno(),
    }
}

/// The last failures.
#[derive(Default)]
pub(crate) struct FailureLog(Mutex<VecDeque<Entry>>);

impl FailureLog {
    /// Notes a failure and logs it; the same failure in a row is counted. One with
    /// another message is another failure.
    pub(crate) fn note(&self, subject: &str, error: &Error) {
        tracing::warn!(subject, errno = error.errno(), "{error}");
        let now = Timestamp::now();
        let mut entries = self.0.lock();
        let same = |entry: &&mut Entry| entry.subject == subject && is_same(&entry.error, error);
        if let Some(entry) = entries.back_mut().filter(same) {
            entry.times += 1;
            entry.last = now;
            // The newest text has the newest request id.
            entry.error = error.clone();
            return;
        }
        if entries.len() >= KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            at: now,
            subject: subject.to_owned(),
            error: error.clone(),
            times: 1,
            last: now,
        });
    }

    /// How many failures are held.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// One line a failure, oldest first.
    pub(crate) fn render(&self) -> String {
        let entries = self.0.lock();
        let mut out = String::new();
        for entry in entries.iter() {
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
    use super::*;
    use crate::error::ApiError;

    #[test]
    fn a_failure_with_another_message_has_a_line_of_its_own() {
        let log = FailureLog::default();
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
    fn failures_in_a_row_are_counted_and_the_log_is_bounded() {
        let log = FailureLog::default();
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
