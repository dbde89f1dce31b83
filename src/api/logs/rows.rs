//! Which rows of a log are new, and in which order they stand.

use crate::{
    api::{
        paging::{MAX_ROWS_BYTES, too_much, understand},
        types::{LogRow, Row},
    },
    error::Result,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// How much older than the newest row a row may be that the service adds later:
/// several programs send rows, each of them in batches.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// The SHA-256 of a row's text. Agents write the text, and could hide rows behind
/// collisions of a weaker hash.
pub(in crate::api) type Key = [u8; 32];

/// Rows with the same text.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Alike {
    count: usize,
    /// Their time. [`Timestamp::MAX`] if the time cannot be read, so that the rows
    /// are never forgotten; [`Timestamp::MIN`] if nothing of the row can.
    at: Timestamp,
}

/// How far a run's log has been read. Takes some kilobytes, however long the log is.
#[derive(Debug, Default)]
pub struct LogReader {
    /// Where the next reading begins; `None` for the beginning of the log. No row
    /// before it is new.
    pub(super) since: Option<Timestamp>,
    /// The rows from `since` on that were returned.
    pub(in crate::api) given: HashMap<Key, Alike>,
}

impl LogReader {
    /// A reader of the rows from a moment on; without one, of the whole log.
    pub fn since(since: Option<Timestamp>) -> Self {
        let given = HashMap::new();
        Self { since, given }
    }
}

/// How far a log has been read, to be written down: where the next reading begins, and
/// the rows from there on that were returned, by their hashes, with how many are alike
/// and their time.
pub type LogPosition = (Option<Timestamp>, Vec<([u8; 32], usize, Timestamp)>);

impl From<LogPosition> for LogReader {
    fn from((since, given): LogPosition) -> Self {
        let given = given.into_iter();
        Self {
            since,
            given: given
                .map(|(key, count, at)| (key, Alike { count, at }))
                .collect(),
        }
    }
}

impl From<&LogReader> for LogPosition {
    fn from(reader: &LogReader) -> Self {
        let given = reader.given.iter();
        let given = given.map(|(key, alike)| (*key, alike.count, alike.at));
        (reader.since, given.collect())
    }
}

/// The rows of one reading of a log, from its beginning or from where a reader ended.
#[derive(Default)]
pub(in crate::api) struct Rows {
    /// As the reader was when the reading began.
    since: Option<Timestamp>,
    given: HashMap<Key, Alike>,
    /// The new rows, each with its time.
    rows: Vec<(Timestamp, Row<LogRow>)>,
    /// The rows that the reading has seen, new or not.
    seen: HashMap<Key, Alike>,
    /// The time of the last row of the last page whose time can be read.
    pub(super) last: Option<Timestamp>,
    /// Whether the service cuts times to whole milliseconds, as a page has shown.
    pub(super) is_cut: bool,
    /// The time of the last row that was seen. A row whose own time cannot be read is
    /// sorted by this.
    moment: Timestamp,
    newest: Option<Timestamp>,
    bytes: usize,
}

impl Rows {
    pub(in crate::api) fn new(reader: &LogReader) -> Self {
        Self {
            since: reader.since,
            given: reader.given.clone(),
            moment: reader.since.unwrap_or(Timestamp::MIN),
            ..Self::default()
        }
    }

    /// Adds the rows of a page; returns how many of them it had not seen. Only
    /// a page after a cursor does not overlap with the one before. There, a row with
    /// the text of an earlier one is another row, unless the page has no other rows,
    /// or the service cuts cursors.
    pub(in crate::api) fn add(
        &mut self,
        label: &str,
        page: &[&RawValue],
        by_cursor: bool,
    ) -> Result<usize> {
        let key = |raw: &&RawValue| -> Key { Sha256::digest(raw.get()).into() };
        let keys: Vec<Key> = page.iter().map(key).collect();
        let follows =
            by_cursor && !self.is_cut && keys.iter().any(|key| !self.seen.contains_key(key));
        let mut here: HashMap<Key, usize> = HashMap::new();
        let mut added = 0;
        for (raw, key) in page.iter().zip(keys) {
            let here = here.entry(key).or_default();
            *here += 1;
            let seen = self.seen.get(&key).map_or(0, |alike| alike.count);
            let is_seen = !follows && *here <= seen;
            let value = understand::<LogRow>(label, raw);
            let time = value.as_ref().and_then(|row| row.timestamp.parse().ok());
            self.last = time.or(self.last);
            self.newest = self.newest.max(time);
            if is_seen {
                continue;
            }
            added += 1;
            self.moment = time.unwrap_or(self.moment);
            let count = seen + 1;
            // A row that is not returned need not be remembered.
            let unknown = value.as_ref().map_or(Timestamp::MIN, |_| Timestamp::MAX);
            let at = time.unwrap_or(unknown);
            self.seen.insert(key, Alike { count, at });
            // A service that ignores `since` shows rows again that were returned before.
            let given = self.given.get(&key).map_or(0, |alike| alike.count);
            let is_new = count > given && self.since.is_none_or(|since| at >= since);
            if let (Some(value), true) = (value, is_new) {
                self.bytes += raw.get().len();
                if self.bytes > MAX_ROWS_BYTES {
                    return Err(too_much(label));
                }
                let raw = (*raw).to_owned();
                self.rows.push((self.moment, Row { value, raw }));
            }
        }
        Ok(added)
    }

    /// Adds the rows of one moment that were asked for separately.
    pub(super) fn add_moment(&mut self, rows: &[Box<RawValue>]) -> Result<usize> {
        let rows: Vec<&RawValue> = rows.iter().map(|row| &**row).collect();
        self.add("the log rows of one moment", &rows, false)
    }

    /// The rows, oldest first even if the service did not sort them; sets the reader
    /// to continue after them. A row whose time cannot be read stays after the one
    /// that it followed.
    pub(in crate::api) fn finish(
        mut self,
        now: Timestamp,
        reader: &mut LogReader,
    ) -> Vec<Row<LogRow>> {
        // A row with a time in the future, by a wrong clock, must not hide later rows
        // with the right time.
        let newest = self.newest.map(|newest| newest.min(now));
        let since = newest.and_then(|newest| {
            // Some deployments know whole milliseconds only.
            let since = newest.checked_sub(OVERLAP).ok()?.as_millisecond();
            Timestamp::from_millisecond(since).ok()
        });
        let since = since.max(self.since);
        for (key, alike) in self.seen {
            let count = |given: &mut Alike| given.count = given.count.max(alike.count);
            self.given.entry(key).and_modify(count).or_insert(alike);
        }
        self.given
            .retain(|_, alike| since.is_none_or(|since| alike.at >= since));
        self.given.shrink_to_fit();
        reader.since = since;
        reader.given = self.given;
        self.rows.sort_by_key(|(moment, _)| *moment);
        self.rows.into_iter().map(|(_, row)| row).collect()
    }
}
