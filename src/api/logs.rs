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

mod rows;

pub(super) use rows::Rows;
pub use rows::{LogPosition, LogReader};

use super::{
    client::Client,
    paging::{Source, page},
    types::{LogRow, Row},
};
use crate::{error::Result, http::bad_answer, progress::Progress, text::one_line};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

/// Maximum pages of one reading of a log: a million rows, and twice the reads that
/// an account has an hour. The bound of lists is lower, but a part of a log is of
/// no use.
const MAX_PAGES: usize = 10_000;

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

impl Client {
    /// `GET /v1/runs/:id/logs`: the rows of every type that `reader` has not
    /// returned yet, each once, oldest first. A row that the service adds late is
    /// found if its time is at most two seconds before the newest row's.
    ///
    /// Costs one call if less than a page was added since the last time. An error
    /// leaves the reader as it was.
    pub fn run_logs(
        &self,
        id: &str,
        reader: &mut LogReader,
        progress: &Progress,
    ) -> Result<Vec<Row<LogRow>>> {
        let segments = ["runs", id, "logs"];
        let source = Source::new(&self.transport, &segments, progress);
        let mut reading = Reading::new(source, reader);
        for _ in 0..MAX_PAGES {
            match reading.page()? {
                Some(next) => reading.from = next,
                None => return Ok(reading.rows.finish(self.now(), reader)),
            }
        }
        Err(bad_answer(
            &format!("GET /v1/runs/{}/logs", one_line(id, 80)),
            format!("more than {MAX_PAGES} pages of log rows"),
        ))
    }
}

impl Source<'_> {
    /// The rows of a moment of the given type, from one end.
    fn ask_end(&mut self, moment: Moment, kind: &str, order: &str) -> Result<End> {
        let (since, until) = moment.bounds();
        let came = self.ask(&[
            ("order", order),
            ("type", kind),
            ("since", &since.to_string()),
            ("until", &until.to_string()),
        ])?;
        let page = page(&came.request.label, &came.body.bytes)?;
        let (is_full, is_empty) = (page.data.len() >= came.size, page.data.is_empty());
        // A service may ignore parameters that it documents.
        let rows = page.data.into_iter().filter(|row| moment.holds(row));
        Ok(End {
            rows: rows.map(ToOwned::to_owned).collect(),
            is_full,
            is_empty,
        })
    }

    /// The rows of a moment of the given type, from both ends. The result is full if
    /// the ends do not meet.
    fn ask_both_ends(&mut self, moment: Moment, kind: &str) -> Result<End> {
        let mut end = self.ask_end(moment, kind, "asc")?;
        if end.is_full {
            let mut other = self.ask_end(moment, kind, "desc")?.rows;
            other.reverse();
            let both = common(&end.rows, &other);
            end.rows.extend(other.drain(both..));
            end.is_full = both == 0;
        }
        Ok(end)
    }
}

/// Rows of a moment.
struct End {
    rows: Vec<Box<RawValue>>,
    /// Whether there may be more.
    is_full: bool,
    /// Whether the service sent no row at all.
    is_empty: bool,
}

/// A reading under way.
struct Reading<'a> {
    source: Source<'a>,
    rows: Rows,
    /// Where the next page begins.
    from: Position,
    /// The steps that were not tried at the last new row's moment.
    steps: std::slice::Iter<'static, Step>,
    /// Where to continue after the furthest page, if the service ignores `since` and
    /// so shows its first page again.
    furthest: Option<Position>,
    /// The cursors that were used.
    cursors: HashSet<Position>,
    /// The moment that a cursor is to lead through.
    crossing: Option<Timestamp>,
    /// The moments that were asked for separately.
    asked: HashSet<Timestamp>,
}

impl<'a> Reading<'a> {
    fn new(source: Source<'a>, reader: &LogReader) -> Self {
        Self {
            source,
            rows: Rows::new(reader),
            from: Position {
                since: reader.since,
                cursor: None,
            },
            steps: STEPS.iter(),
            furthest: None,
            cursors: HashSet::new(),
            crossing: None,
            asked: HashSet::new(),
        }
    }

    /// Reads a page; returns where the next one begins, or `None` at the end.
    fn page(&mut self) -> Result<Option<Position>> {
        // Formatted here, since the service fails at dates that it cannot read; with
        // full precision, since rows of that very moment are wanted.
        let since = self.from.since.map(|since| since.to_string());
        let mut query = vec![("order", "asc")];
        query.extend(since.iter().map(|since| ("since", &**since)));
        query.extend(self.from.cursor.iter().map(|cursor| ("cursor", &**cursor)));
        let came = self.source.ask(&query)?;
        let label = &came.request.label;
        let page = page(label, &came.body.bytes)?;
        let pagination = page.pagination.unwrap_or_default();
        let length = page.data.len();
        let first = page.data.first().and_then(|row| time_of(row));
        if let (Some(since), Some(first), None) = (self.from.since, first, &self.from.cursor) {
            self.rows.is_cut |= first < since && millisecond(first) == millisecond(since);
        }
        let by_cursor = self.from.cursor.is_some();
        let new = self.rows.add(label, &page.data, by_cursor)?;
        if let Some(moment) = self.crossing.take()
            && first != Some(moment)
        {
            self.ask_for(moment)?;
        }
        match length == 0 || (length < came.size && !pagination.has_more) {
            true => Ok(None),
            false => self.next(new, pagination.next_cursor),
        }
    }

    /// Where the page begins that follows one with so many new rows and this cursor.
    fn next(&mut self, new: usize, cursor: Option<String>) -> Result<Option<Position>> {
        let behind = self.from.behind(cursor);
        let Some(last) = self.rows.last else {
            // No row so far has a time that can be read, so only a cursor leads on.
            return Ok(behind.filter(|next| self.cursors.insert(next.clone())));
        };
        if new > 0 {
            self.steps = STEPS.iter();
            self.furthest = behind;
            return Ok(Some(Position::since(last)));
        }
        // A full page without a new row: one moment fills it.
        let next = self.step(last, behind);
        match next.as_ref().is_some_and(|next| next.cursor.is_some()) {
            true => self.crossing = Some(last),
            false => self.ask_for(last)?,
        }
        Ok(next)
    }

    /// The next way past the moment `last` that was not tried.
    fn step(&mut self, last: Timestamp, behind: Option<Position>) -> Option<Position> {
        let by_cursor = [self.furthest.take(), behind].into_iter().flatten();
        let mut by_cursor = by_cursor.filter(|next| self.cursors.insert(next.clone()));
        self.steps.find_map(|step| match step {
            Step::Cursor => by_cursor.next(),
            Step::Microsecond => last
                .checked_add(SignedDuration::from_micros(1))
                .ok()
                .map(Position::since),
            Step::Millisecond => next_millisecond(last).map(Position::since),
        })
    }

    /// Asks once for the rows of one moment, from both ends; and by type, if these do
    /// not meet. There is no other way past a moment that fills a page, if the cursor
    /// steps over it.
    fn ask_for(&mut self, moment: Timestamp) -> Result<()> {
        if !self.asked.insert(moment) {
            return Ok(());
        }
        let last = self.rows.last;
        let mut window = Moment::new(moment, self.rows.is_cut);
        let mut all = self.source.ask_both_ends(window, "all")?;
        if all.is_empty && !window.is_cut && millisecond(moment) != moment {
            // There are rows at that moment. A service that sends none has cut `until`
            // to before them.
            self.rows.is_cut = true;
            window = Moment::new(moment, true);
            all = self.source.ask_both_ends(window, "all")?;
        }
        if !all.is_full {
            self.rows.add_moment(&all.rows)?;
        } else {
            // Then the rows of the moment come ordered by type.
            for kind in ["agent", "system", "network"] {
                let end = self.source.ask_both_ends(window, kind)?;
                self.rows.add_moment(&end.rows)?;
                if end.is_full {
                    tracing::warn!(
                        kind,
                        %moment,
                        "more log rows at one moment than can be asked for: some are missing"
                    );
                }
            }
        }
        self.rows.last = last;
        Ok(())
    }
}

/// A moment that is asked for separately, or its millisecond if the service cuts
/// times.
#[derive(Clone, Copy)]
struct Moment {
    at: Timestamp,
    is_cut: bool,
}

impl Moment {
    fn new(at: Timestamp, is_cut: bool) -> Self {
        let is_cut = is_cut && millisecond(at) != at;
        Self { at, is_cut }
    }

    /// The values of `since` and `until`.
    fn bounds(self) -> (Timestamp, Timestamp) {
        match self.is_cut {
            true => (
                millisecond(self.at),
                next_millisecond(self.at).unwrap_or(self.at),
            ),
            false => (self.at, self.at),
        }
    }

    fn holds(self, row: &RawValue) -> bool {
        time_of(row).is_some_and(|at| match self.is_cut {
            true => millisecond(at) == millisecond(self.at),
            false => at == self.at,
        })
    }
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
