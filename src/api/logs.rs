//! A run's log as a whole, and then what is added to it: rows without ids,
//! behind a cursor that loses some.
//!
//! In some deployments the cursor is the last row's timestamp and goes on
//! strictly later, which loses the rows that share it, and `has_more` says no
//! while there is more. So a full page is always followed from its last
//! timestamp, inclusive, and what was seen already is dropped: whole rows are
//! compared, and repeats counted, since a program may well log the same line
//! twice. More rows than a page holds at one timestamp cannot be had this way
//! where the cursor is such a one: then the walk steps over that moment, which
//! is asked for by itself, from both ends and by type.
//!
//! The service cuts `since`, `until` and `cursor` to whole milliseconds, while rows
//! have microseconds or more. Then what fills a page is a millisecond, not a moment,
//! and it is a millisecond that is asked for by itself: up to the beginning of the
//! next, since `until` leaves out what is later in its own.
//!
//! A further reading walks in the same way from a little before the newest row,
//! and drops what an earlier one has given. Only the rows of that overlap have
//! to be remembered for it.

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

/// How much older than the newest row a row may be that comes after it: rows
/// come from several programs, each of which sends them in bundles.
const OVERLAP: SignedDuration = SignedDuration::from_secs(2);

/// Pages that one reading of a log may have: a million rows, twice an hour's
/// allowance of reads. A list is bounded sooner, but a log is no use in part.
const MAX_PAGES: usize = 10_000;

/// The SHA-256 of a row's text: agents write the text, so a hash that can be
/// made to collide would let them hide rows.
pub(super) type Key = [u8; 32];

/// Rows that are the same from the first character to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike {
    count: usize,
    /// Their time. The latest there is where it cannot be read, so that they are
    /// never forgotten; the earliest where nothing of the row can.
    at: Timestamp,
}

/// How far a run's log has been read. Some kilobytes, however long the log is.
#[derive(Debug, Default)]
pub struct LogReader {
    /// Where the next reading begins: no row before it is new. `None` for the
    /// beginning of the log.
    since: Option<Timestamp>,
    /// The rows from `since` on that have been given.
    pub(super) given: HashMap<Key, Alike>,
}

/// Where the next page begins: the beginning of the log, or so far behind it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Position {
    since: Option<Timestamp>,
    /// Of a page that had the same `since`: it may count from there.
    cursor: Option<String>,
}

impl Position {
    fn since(since: Timestamp) -> Self {
        Self {
            since: Some(since),
            cursor: None,
        }
    }

    /// Behind the page that began here and gave that cursor.
    fn behind(&self, cursor: Option<String>) -> Option<Self> {
        Some(Self {
            since: self.since,
            cursor: Some(cursor.filter(|cursor| !cursor.is_empty())?),
        })
    }
}

/// Ways past a moment that fills a page by itself, the least lossy first.
#[derive(Clone, Copy)]
enum Step {
    /// The service's own cursor: loses nothing where it is a sound one.
    Cursor,
    /// The timestamps' usual resolution.
    Microsecond,
    /// For a service that reads `since` in milliseconds.
    Millisecond,
}

const STEPS: [Step; 3] = [Step::Cursor, Step::Microsecond, Step::Millisecond];

/// Every row of the log that can be had and that `reader` has not given yet,
/// oldest first.
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
    // What comes behind the furthest page, for a service that ignores `since`
    // and so shows its first page again; and the cursors that were used.
    let mut furthest: Option<Position> = None;
    let mut cursors = HashSet::new();
    // The moment that a cursor is to lead through, and those that were asked for
    // by themselves.
    let mut crossing: Option<Timestamp> = None;
    let mut asked = HashSet::new();
    for _ in 0..MAX_PAGES {
        // Written by ourselves: the service fails at a date that it cannot read,
        // and with what precision it has, since rows of its moment are wanted.
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
            // No row so far whose time can be read: only a cursor leads on.
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
        // Nothing new, in a full page: one moment fills it.
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

/// The beginning of the one after it.
fn next_millisecond(moment: Timestamp) -> Option<Timestamp> {
    let next = millisecond(moment).checked_add(SignedDuration::from_millis(1));
    next.ok()
}

fn is_same_millisecond(a: Timestamp, b: Timestamp) -> bool {
    millisecond(a) == millisecond(b)
}

/// How many rows at the end of one list are those at the beginning of the other.
fn common(a: &[Box<RawValue>], b: &[Box<RawValue>]) -> usize {
    let most = a.len().min(b.len());
    let is_common = |length: &usize| {
        let mut pairs = a[a.len() - length..].iter().zip(b);
        pairs.all(|(a, b)| a.get() == b.get())
    };
    (1..=most).rev().find(is_common).unwrap_or(0)
}

/// A row's time, where it can be read.
fn time_of(row: &RawValue) -> Option<Timestamp> {
    /// As much of a row as that takes.
    #[derive(Deserialize)]
    struct At<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
    }
    let at = serde_json::from_str::<At<'_>>(row.get()).ok()?;
    at.timestamp.parse().ok()
}

/// One reading of a log, from its beginning or from where a reader was.
pub(super) struct Walk {
    /// As the reader was when the walk began.
    since: Option<Timestamp>,
    given: HashMap<Key, Alike>,
    /// The new rows, each with its time.
    rows: Vec<(Timestamp, Row<LogRow>)>,
    /// What the walk has come upon, new or not.
    seen: HashMap<Key, Alike>,
    /// The time of the last row of the last page, of those whose time can be read.
    last: Option<Timestamp>,
    /// Whether the service has shown that it cuts times to whole milliseconds.
    is_cut: bool,
    /// The time of the last row that was come upon: that of one whose own
    /// cannot be read.
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

    /// Takes what a page adds; returns how many rows the walk had not come upon
    /// before. Only a page that a cursor gave follows the last one without
    /// overlap, so there a row like an earlier one is another row, unless the
    /// page has nothing else, or the service cuts cursors.
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
            // What nobody is given need not be remembered.
            let unknown = value.as_ref().map_or(Timestamp::MIN, |_| Timestamp::MAX);
            let at = time.unwrap_or(unknown);
            self.seen.insert(key, Alike { count, at });
            // A service that ignores `since` shows again what is long given.
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

    /// Asks for the rows of one moment, or of its millisecond where the service
    /// knows no less, from both ends and, where these do not meet, for those of
    /// each type: where the cursor steps over a moment that fills a page, there is
    /// no other way.
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
            // A service may know less of its own parameters than it says.
            let rows = page.data.into_iter().filter(|row| is_wanted(row));
            Ok((rows.map(ToOwned::to_owned).collect(), is_full))
        };
        // The rows that both ends give, and whether these meet.
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
            // There are rows at that moment: only a service that cuts `until` to
            // before them has none to give.
            (_, true) if came_last.get() == 0 && !is_cut && millisecond(moment) != moment => {
                self.is_cut = true;
                return self.ask_for(moment, transport, segments, size, progress);
            }
            (rows, true) => {
                take(rows)?;
            }
            // In some order of the types, then.
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

    /// The rows, oldest first even where the service did not sort them, and
    /// the reader set to go on behind them. A row whose time cannot be read
    /// stays behind the one it came after.
    pub(super) fn finish(mut self, now: Timestamp, reader: &mut LogReader) -> Vec<Row<LogRow>> {
        // A row from the future, by a wrong clock, must not hide those that
        // come after it with the right time.
        let newest = self.newest.map(|newest| newest.min(now));
        let since = newest.and_then(|newest| {
            // Whole milliseconds: some services know no finer ones.
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
