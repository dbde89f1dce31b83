//! A run's log, and then the rows that are added to it. Rows have no ids, and the
//! service's cursor loses some of them.
//!
//! In some deployments the cursor is the last row's timestamp and continues strictly
//! later, which loses the rows that share it; and `has_more` can be false while there
//! are more rows. So the reader continues a full page from its last timestamp,
//! inclusive, and drops the rows it has seen. It compares whole rows and counts
//! repeats, since a program may log the same line twice. If one timestamp has more
//! rows than a page holds, the reader steps over that moment, and asks for it
//! separately: from both ends, and by type.
//!
//! The service cuts `since`, `until` and `cursor` to whole milliseconds, while rows
//! have microseconds or more. Then a millisecond rather than a moment fills a page,
//! and the reader asks for that millisecond up to the beginning of the next, since
//! `until` leaves out what is later in its own millisecond.
//!
//! A later reading begins a little before the newest row, and drops the rows that
//! were returned before. The reader remembers only the rows of that overlap.

use super::{
    paging::{MAX_ROWS_BYTES, Size, page, too_much, understand},
    transport::Transport,
    types::{LogRow, Row},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::one_line,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    cell::Cell,
    collections::{HashMap, HashSet},
};

/// How much older than the newest row a row may be that the service adds later:
/// several programs send rows, each of them in batches.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// Maximum pages of one reading of a log: a million rows, and twice the reads that
/// an account has an hour. The bound of lists is lower, but a part of a log is of
/// no use.
const MAX_PAGES: usize = 10_000;

/// The SHA-256 of a row's text. Agents write the text, and could hide rows behind
/// collisions of a weaker hash.
pub(super) type Key = [u8; 32];

/// Rows with the same text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike {
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
    since: Option<Timestamp>,
    /// The rows from `since` on that were returned.
    pub(super) given: HashMap<Key, Alike>,
}

/// Where a page begins. Without `since` and cursor, at the beginning of the log.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Position {
    since: Option<Timestamp>,
    /// From a page with the same `since`, from which the service may count.
    cursor: Option<String>,
}

impl Position {
    fn since(since: Timestamp) -> Self {
        Self {
            since: Some(since),
            cursor: None,
        }
    }

    /// After the page that began here and sent that cursor.
    fn behind(&self, cursor: Option<String>) -> Option<Self> {
        Some(Self {
            since: self.since,
            cursor: Some(cursor.filter(|cursor| !cursor.is_empty())?),
        })
    }
}

/// Ways past a moment whose rows fill a page, the least lossy first.
#[derive(Clone, Copy)]
enum Step {
    /// The service's cursor, which loses nothing in a sound deployment.
    Cursor,
    /// The usual resolution of timestamps.
    Microsecond,
    /// For a service that reads `since` in milliseconds.
    Millisecond,
}

const STEPS: [Step; 3] = [Step::Cursor, Step::Microsecond, Step::Millisecond];

/// Every row of the log that `reader` has not returned yet, oldest first.
pub(super) fn run_logs(
    transport: &Transport,
    run: &str,
    reader: &mut LogReader,
    progress: &Progress,
) -> Result<Vec<Row<LogRow>>> {
    let segments = ["runs", run, "logs"];
    let mut log = Walk::new(reader);
    let mut from = Position {
        since: reader.since,
        cursor: None,
    };
    let mut steps = STEPS.iter();
    let mut size = Size::new();
    // Where to continue after the furthest page, if the service ignores `since` and
    // so shows its first page again; and the cursors that were used.
    let mut furthest: Option<Position> = None;
    let mut cursors = HashSet::new();
    // The moment that a cursor is to lead through, and the moments that were asked
    // for separately.
    let mut crossing: Option<Timestamp> = None;
    let mut asked = HashSet::new();
    for _ in 0..MAX_PAGES {
        // Formatted here, since the service fails at dates that it cannot read; with
        // full precision, since rows of that very moment are wanted.
        let since = from.since.map(|since| since.to_string());
        let mut query = vec![("order", "asc")];
        if let Some(since) = &since {
            query.push(("since", since));
        }
        if let Some(cursor) = &from.cursor {
            query.push(("cursor", cursor));
        }
        let came = size.ask(transport, &segments, &query, progress)?;
        let label = &came.request.label;
        let page = page(label, &came.body.bytes)?;
        let pagination = page.pagination.unwrap_or_default();
        let length = page.data.len();
        let first = page.data.first().and_then(|row| time_of(row));
        if let (Some(since), Some(first), None) = (from.since, first, &from.cursor) {
            log.is_cut |= first < since && is_same_millisecond(first, since);
        }
        let new = log.add(label, &page.data, from.cursor.is_some())?;
        if let Some(moment) = crossing.take()
            && first != Some(moment)
            && asked.insert(moment)
        {
            log.ask_for(moment, transport, &segments, &mut size, progress)?;
        }
        if length == 0 || (length < came.size && !pagination.has_more) {
            return Ok(log.finish(transport.now(), reader));
        }
        let Some(last) = log.last else {
            // No row so far has a time that can be read, so only a cursor leads on.
            let next = from.behind(pagination.next_cursor);
            match next.filter(|next| cursors.insert(next.clone())) {
                Some(next) => from = next,
                None => return Ok(log.finish(transport.now(), reader)),
            }
            continue;
        };
        if new > 0 {
            steps = STEPS.iter();
            furthest = from.behind(pagination.next_cursor);
            from = Position::since(last);
            continue;
        }
        // A full page without a new row: one moment fills it.
        let next = steps.by_ref().find_map(|step| match step {
            Step::Cursor => [furthest.take(), from.behind(pagination.next_cursor.clone())]
                .into_iter()
                .flatten()
                .find(|next| cursors.insert(next.clone())),
            Step::Microsecond => last
                .checked_add(SignedDuration::from_micros(1))
                .ok()
                .map(Position::since),
            Step::Millisecond => next_millisecond(last).map(Position::since),
        });
        if next.as_ref().is_some_and(|next| next.cursor.is_some()) {
            crossing = Some(last);
        } else if asked.insert(last) {
            log.ask_for(last, transport, &segments, &mut size, progress)?;
        }
        match next {
            Some(next) => from = next,
            None => return Ok(log.finish(transport.now(), reader)),
        }
    }
    Err(Error::BadAnswer {
        what: format!("GET /v1/runs/{}/logs", one_line(run, 80)),
        detail: format!("more than {MAX_PAGES} pages of log rows"),
    })
}

/// The beginning of a moment's millisecond.
fn millisecond(moment: Timestamp) -> Timestamp {
    let nanosecond = moment.as_nanosecond();
    let begin = nanosecond - nanosecond.rem_euclid(1_000_000);
    Timestamp::from_nanosecond(begin).unwrap_or(moment)
}

/// The beginning of the millisecond after a moment's.
fn next_millisecond(moment: Timestamp) -> Option<Timestamp> {
    let next = millisecond(moment).checked_add(SignedDuration::from_millis(1));
    next.ok()
}

fn is_same_millisecond(a: Timestamp, b: Timestamp) -> bool {
    millisecond(a) == millisecond(b)
}

/// How many rows at the end of one list are the first ones of the other.
fn common(a: &[Box<RawValue>], b: &[Box<RawValue>]) -> usize {
    let most = a.len().min(b.len());
    let is_common = |length: &usize| {
        let mut pairs = a[a.len() - length..].iter().zip(b);
        pairs.all(|(a, b)| a.get() == b.get())
    };
    (1..=most).rev().find(is_common).unwrap_or(0)
}

/// A row's time, if it can be read.
fn time_of(row: &RawValue) -> Option<Timestamp> {
    /// The part of a row that holds it.
    #[derive(Deserialize)]
    struct At<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
    }
    let at = serde_json::from_str::<At<'_>>(row.get()).ok()?;
    at.timestamp.parse().ok()
}

/// One reading of a log, from its beginning or from where a reader ended.
pub(super) struct Walk {
    /// As the reader was when the walk began.
    since: Option<Timestamp>,
    given: HashMap<Key, Alike>,
    /// The new rows, each with its time.
    rows: Vec<(Timestamp, Row<LogRow>)>,
    /// The rows that the walk has seen, new or not.
    seen: HashMap<Key, Alike>,
    /// The time of the last row of the last page whose time can be read.
    last: Option<Timestamp>,
    /// Whether the service cuts times to whole milliseconds, as a page has shown.
    is_cut: bool,
    /// The time of the last row that was seen. A row whose own time cannot be read is
    /// sorted by this.
    moment: Timestamp,
    newest: Option<Timestamp>,
    bytes: usize,
}

impl Walk {
    pub(super) fn new(reader: &LogReader) -> Self {
        Self {
            since: reader.since,
            given: reader.given.clone(),
            rows: Vec::new(),
            seen: HashMap::new(),
            last: None,
            is_cut: false,
            moment: reader.since.unwrap_or(Timestamp::MIN),
            newest: None,
            bytes: 0,
        }
    }

    /// Adds the rows of a page; returns how many of them the walk had not seen. Only
    /// a page after a cursor does not overlap with the one before. There, a row with
    /// the text of an earlier one is another row, unless the page has no other rows,
    /// or the service cuts cursors.
    pub(super) fn add(
        &mut self,
        label: &str,
        page: &[&RawValue],
        by_cursor: bool,
    ) -> Result<usize> {
        let keys: Vec<Key> = page
            .iter()
            .map(|raw| Sha256::digest(raw.get()).into())
            .collect();
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

    /// Asks for the rows of one moment, or of its millisecond if the service cuts
    /// times, from both ends; and by type, if these do not meet. There is no other
    /// way past a moment that fills a page, if the cursor steps over it.
    fn ask_for(
        &mut self,
        moment: Timestamp,
        transport: &Transport,
        segments: &[&str],
        size: &mut Size,
        progress: &Progress,
    ) -> Result<()> {
        let last = self.last;
        let is_cut = self.is_cut && millisecond(moment) != moment;
        let (since, until) = match is_cut {
            true => (
                millisecond(moment),
                next_millisecond(moment).unwrap_or(moment),
            ),
            false => (moment, moment),
        };
        let (since, until) = (since.to_string(), until.to_string());
        let is_wanted = |row: &RawValue| {
            time_of(row).is_some_and(|at| match is_cut {
                true => is_same_millisecond(at, moment),
                false => at == moment,
            })
        };
        let came_last = Cell::new(0);
        let mut ask = |kind: &str, order: &str| -> Result<(Vec<Box<RawValue>>, bool)> {
            let query = [
                ("order", order),
                ("type", kind),
                ("since", &*since),
                ("until", &*until),
            ];
            let came = size.ask(transport, segments, &query, progress)?;
            let page = page(&came.request.label, &came.body.bytes)?;
            let is_full = page.data.len() >= came.size;
            came_last.set(page.data.len());
            // A service may ignore parameters that it documents.
            let rows = page.data.into_iter().filter(|row| is_wanted(row));
            Ok((rows.map(ToOwned::to_owned).collect(), is_full))
        };
        // The rows from both ends, and whether the ends meet.
        let mut both_ends = |kind: &str| -> Result<(Vec<Box<RawValue>>, bool)> {
            let (mut rows, is_full) = ask(kind, "asc")?;
            if !is_full {
                return Ok((rows, true));
            }
            let (mut end, _) = ask(kind, "desc")?;
            end.reverse();
            let both = common(&rows, &end);
            rows.extend(end.drain(both..));
            Ok((rows, both > 0))
        };
        let mut take = |rows: Vec<Box<RawValue>>| {
            let rows: Vec<&RawValue> = rows.iter().map(|row| &**row).collect();
            self.add("the log rows of one moment", &rows, false)
        };
        match both_ends("all")? {
            // There are rows at that moment. A service that sends none has cut `until`
            // to before them.
            (_, true) if came_last.get() == 0 && !is_cut && millisecond(moment) != moment => {
                self.is_cut = true;
                return self.ask_for(moment, transport, segments, size, progress);
            }
            (rows, true) => {
                take(rows)?;
            }
            // Then the rows of the moment come ordered by type.
            (_, false) => {
                for kind in ["agent", "system", "network"] {
                    let (rows, is_whole) = both_ends(kind)?;
                    take(rows)?;
                    if !is_whole {
                        tracing::warn!(
                            kind,
                            %moment,
                            "more log rows at one moment than can be asked for: some are missing"
                        );
                    }
                }
            }
        }
        self.last = last;
        Ok(())
    }

    /// The rows, oldest first even if the service did not sort them; sets the reader
    /// to continue after them. A row whose time cannot be read stays after the one
    /// that it followed.
    pub(super) fn finish(mut self, now: Timestamp, reader: &mut LogReader) -> Vec<Row<LogRow>> {
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
