//! A run's log as a whole: rows without ids, behind a cursor that loses some.
//!
//! In some deployments the cursor is the last row's timestamp and goes on
//! strictly later, which loses the rows that share it, and `has_more` says no
//! while there is more. So a full page is always followed from its last
//! timestamp, inclusive, and what was seen already is dropped: whole rows are
//! compared, and repeats counted, since a program may well log the same line
//! twice. More rows than a page holds at one timestamp cannot be had this way
//! where the cursor is such a one: then the walk steps over that moment.

use super::{
    http::Http,
    paging::{LIMIT, MAX_PAGES, MAX_ROWS_BYTES, PAGE, page, too_much, understand},
    types::{LogRow, Row},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::one_line,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// Where the next page begins.
enum From {
    Start,
    Since(String),
    Cursor(String),
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

/// Every row of the log that can be had, once, oldest first.
pub(super) fn run_logs(http: &Http, run: &str, progress: &Progress) -> Result<Vec<Row<LogRow>>> {
    let segments = ["runs", run, "logs"];
    let mut log = Log::default();
    let mut from = From::Start;
    let mut steps = STEPS.iter();
    // The cursor of the furthest page, for a service that ignores `since`
    // and so shows its first page again; and those that were used.
    let mut furthest = None;
    let mut cursors = HashSet::new();
    for _ in 0..MAX_PAGES {
        let mut query = vec![("order", "asc"), ("limit", LIMIT)];
        match &from {
            From::Start => {}
            From::Since(since) => query.push(("since", since)),
            From::Cursor(cursor) => query.push(("cursor", cursor)),
        }
        let request = http.request(&segments, &query)?;
        let body = http.get(&request, progress)?;
        let page = page(&request.label, &body)?;
        let pagination = page.pagination.unwrap_or_default();
        let length = page.data.len();
        let new = log.add(&request.label, &page.data, matches!(from, From::Cursor(_)))?;
        if length == 0 || (length < PAGE && !pagination.has_more) {
            return Ok(log.finish());
        }
        let Some(last) = log.last.clone() else {
            return Ok(log.finish());
        };
        if new > 0 {
            steps = STEPS.iter();
            furthest = pagination.next_cursor;
            from = From::Since(last);
            continue;
        }
        // Nothing new, in a full page: one moment fills it.
        let next = steps.by_ref().find_map(|step| {
            let moment = last.parse::<Timestamp>();
            match step {
                Step::Cursor => [furthest.take(), pagination.next_cursor.clone()]
                    .into_iter()
                    .flatten()
                    .find(|cursor| !cursor.is_empty() && cursors.insert(cursor.clone()))
                    .map(From::Cursor),
                Step::Microsecond => moment
                    .ok()?
                    .checked_add(SignedDuration::from_micros(1))
                    .ok()
                    .map(|moment| From::Since(moment.to_string())),
                Step::Millisecond => Timestamp::from_millisecond(moment.ok()?.as_millisecond() + 1)
                    .ok()
                    .map(|moment| From::Since(moment.to_string())),
            }
        });
        tracing::warn!(
            request = request.label,
            moment = one_line(&last, 40),
            "more log rows at one moment than a page holds: some may be missing"
        );
        match next {
            Some(next) => from = next,
            None => return Ok(log.finish()),
        }
    }
    Err(Error::BadAnswer {
        what: format!("GET /v1/runs/{}/logs", one_line(run, 80)),
        detail: format!("more than {MAX_PAGES} pages of log rows"),
    })
}

/// What has been read so far.
#[derive(Default)]
struct Log {
    rows: Vec<Row<LogRow>>,
    /// How often each whole row was taken, by the SHA-256 of its text: agents
    /// write the text, so a hash that can be made to collide would let them
    /// hide rows.
    taken: HashMap<[u8; 32], usize>,
    /// The timestamp of the last row of the last page.
    last: Option<String>,
    bytes: usize,
}

impl Log {
    /// Takes what a page adds; returns how many rows that is. Only a page
    /// that a cursor gave follows the last one without overlap, so there a row
    /// like an earlier one is another row, unless the page has nothing else.
    fn add(&mut self, label: &str, page: &[&RawValue], by_cursor: bool) -> Result<usize> {
        let keys: Vec<[u8; 32]> = page
            .iter()
            .map(|raw| Sha256::digest(raw.get()).into())
            .collect();
        let follows = by_cursor && keys.iter().any(|key| !self.taken.contains_key(key));
        let mut here: HashMap<[u8; 32], usize> = HashMap::new();
        let mut new = 0;
        for (raw, key) in page.iter().zip(keys) {
            let here = here.entry(key).or_default();
            *here += 1;
            let taken = self.taken.entry(key).or_default();
            let known = !follows && *here <= *taken;
            if !known {
                *taken += 1;
                new += 1;
                self.bytes += raw.get().len();
                if self.bytes > MAX_ROWS_BYTES {
                    return Err(too_much(label));
                }
            }
            if let Some(value) = understand::<LogRow>(label, raw) {
                self.last = Some(value.timestamp.clone());
                if !known {
                    self.rows.push(Row {
                        value,
                        raw: (*raw).to_owned(),
                    });
                }
            }
        }
        Ok(new)
    }

    /// The rows, oldest first even where the service did not sort them. A row
    /// whose time cannot be read stays behind the one it came after.
    fn finish(self) -> Vec<Row<LogRow>> {
        let mut moment = Timestamp::MIN;
        let mut rows: Vec<_> = self
            .rows
            .into_iter()
            .map(|row| {
                moment = row.value.timestamp.parse().unwrap_or(moment);
                (moment, row)
            })
            .collect();
        rows.sort_by_key(|(moment, _)| *moment);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}
