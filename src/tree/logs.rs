//! A run's log as files: text, JSON lines, the agent's events and the transcript,
//! all from one set of rows. While the run lives the files grow at their end and
//! nowhere else: what a process has read never changes under it.
//!
//! What a file shows of an event is drawn from the event alone (`conversation`),
//! the same way whether the stream told of it or a row holds it.

mod items;
mod kept;
mod lines;

pub(crate) use items::LogView;
pub(crate) use kept::left_logs;

use crate::{
    api::{
        LogReader,
        types::{AgentEvent, LogRow, Row},
    },
    conversation::{
        report::{Facts, Threads, page},
        transcript::{Ending, Head, Transcript},
        usage::{Summary, Usage},
    },
    handover::Handover,
    sync::Mutex,
};
use items::{Item, Said, render};
use jiff::Timestamp;
use kept::{Came, Kept};
use lines::canonical;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, mem, sync::Arc};

/// How many rows are read again once a run has ended, the newest ones: they cost 50
/// calls, a hundredth of the 5,000 reads that an account has an hour.
const READ_AGAIN: usize = 5_000;

/// The SHA-256 of what an event says: agents write it, so a hash that can be made to
/// collide would let them hide events.
type Fingerprint = [u8; 32];

fn fingerprint(told: &str) -> Fingerprint {
    Sha256::digest(told).into()
}

/// One file: the bytes so far, and how many items they are made of.
#[derive(Debug, Default)]
struct DrawnFile {
    text: String,
    items: usize,
}

/// The rows and events of a log, and what was made of them.
#[derive(Debug, Default)]
struct Log {
    items: Vec<Item>,
    files: [DrawnFile; LogView::COUNT],
    /// The beginning of the transcript, and what its next event needs.
    head: Option<Head>,
    transcript: Transcript,
    /// The sum of the events, and of how many items.
    summary: Summary,
    summed: usize,
    /// The page of the run as it was last drawn, with the items and facts it shows.
    report: Option<(usize, Arc<Facts>, Arc<[u8]>)>,
    /// The position after which the next rows are asked for.
    reader: LogReader,
    /// Events shown before their rows came, by their number, as type and data.
    ahead: HashMap<u64, String>,
    /// Rows without a number that were shown before the stream told of their events: how
    /// many say the same, of the first `searched` items.
    untold: HashMap<Fingerprint, usize>,
    searched: usize,
    /// The highest sequence of an event shown.
    last_event: Option<u64>,
    /// The newest time of a row, and whether the files show an item after a later one.
    newest: Option<Timestamp>,
    unsorted: bool,
    /// Whether the files show the end.
    has_end: bool,
    weight: usize,
    /// Where it is left to the next worker, as long as it grows.
    kept: Option<Kept>,
}

/// All rows of a run that have come, and the files made of them so far.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<Log>);

impl Logs {
    /// The log of a run that has ended: its rows, oldest first.
    pub(crate) fn ended(rows: Vec<Row<LogRow>>) -> Self {
        let logs = Self::default();
        logs.add_rows(rows);
        logs
    }

    /// Takes the position after which the next rows are asked for. The fetch, one at a
    /// time, gives it back.
    pub(crate) fn take_reader(&self) -> LogReader {
        mem::take(&mut self.0.lock().reader)
    }

    /// Gives the position back, with the new rows that the fetch brought. Whether there
    /// are any.
    pub(crate) fn give_reader(&self, reader: LogReader, rows: Vec<Row<LogRow>>) -> bool {
        self.add(rows, Some(reader))
    }

    /// Appends new rows. Whether there are any.
    pub(crate) fn add_rows(&self, rows: Vec<Row<LogRow>>) -> bool {
        self.add(rows, None)
    }

    fn add(&self, rows: Vec<Row<LogRow>>, reader: Option<LogReader>) -> bool {
        let mut log = self.0.lock();
        if rows.is_empty() {
            log.reader = reader.unwrap_or(mem::take(&mut log.reader));
            return false;
        }
        log.come(Came::Rows(rows, reader));
        true
    }

    /// Has what comes from now on written down for the next worker, if nothing has come
    /// yet.
    pub(crate) fn keep(&self, handover: &Arc<Handover>, run: &str) {
        let mut log = self.0.lock();
        if log.kept.is_none() && log.items.is_empty() && log.head.is_none() {
            log.kept = Kept::new(handover.clone(), run);
        }
    }

    /// The log of a run that an earlier worker has left; `None` where it is lost.
    pub(crate) fn left(handover: &Arc<Handover>, run: &str, number: u64) -> Option<Self> {
        let mut log = Log::default();
        let kept = Kept::left(handover.clone(), run, number, |came| log.come(came))?;
        log.kept = Some(kept);
        Some(Self(Mutex::new(log)))
    }

    /// The number by which the next worker finds it; 0 for none.
    pub(crate) fn number(&self) -> u64 {
        self.0.lock().kept.as_ref().map_or(0, Kept::number)
    }

    /// A position from which the last 5,000 rows are read again. That finds rows which
    /// came so late that going on from the newest one has passed them over.
    pub(crate) fn reader_again(&self) -> LogReader {
        let rows = self.rows();
        let first = rows.len().saturating_sub(READ_AGAIN);
        let mut times = rows[first..].iter().map(|row| row.value.timestamp.parse());
        LogReader::since(times.find_map(Result::ok).filter(|_| first > 0))
    }

    /// Appends those of rows that were read again which are new. Whether there are any.
    pub(crate) fn add_missing(&self, mut rows: Vec<Row<LogRow>>) -> bool {
        let mut known: HashMap<String, usize> = HashMap::new();
        for row in self.rows() {
            *known.entry(row.raw.get().to_owned()).or_default() += 1;
        }
        rows.retain(|row| match known.get_mut(row.raw.get()) {
            Some(times) if *times > 0 => {
                *times -= 1;
                false
            }
            _ => true,
        });
        self.add_rows(rows)
    }

    /// Appends an event, unless it was shown already.
    pub(crate) fn add_event(&self, event: AgentEvent) {
        let mut log = self.0.lock();
        if log.last_event.is_none_or(|last| event.sequence > last) {
            log.come(Came::Event(event));
        }
    }

    /// Sets the beginning of the transcript, unless it is set.
    pub(crate) fn introduce(&self, head: impl FnOnce() -> Head) {
        let mut log = self.0.lock();
        if log.head.is_none() {
            log.come(Came::Head(head()));
        }
    }

    /// Shows the end of the run, once. For when the rows were asked for after the run
    /// had ended.
    pub(crate) fn conclude(&self, ending: Ending) {
        let mut log = self.0.lock();
        if !log.has_end {
            log.come(Came::End(ending));
        }
    }

    /// The agent's final answer; empty until it is known.
    pub(crate) fn answer(&self) -> String {
        let mut log = self.0.lock();
        log.summary().answer().unwrap_or_default().to_owned()
    }

    /// What the agent's work has cost so far.
    pub(crate) fn usage(&self) -> Usage {
        self.0.lock().summary().usage()
    }

    /// The sequence of the last event shown, after which a stream goes on.
    pub(crate) fn last_event(&self) -> Option<u64> {
        self.0.lock().last_event
    }

    /// The time of the newest row whose time can be read.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.0.lock().newest
    }

    /// The size of one of the files in bytes.
    pub(crate) fn size(&self, view: LogView) -> u64 {
        self.0.lock().file(view).len() as u64
    }

    /// Appends up to `size` bytes of one of the files at `offset` to `buffer`:
    /// fewer only at its end.
    pub(crate) fn read(&self, view: LogView, offset: u64, size: usize, buffer: &mut Vec<u8>) {
        let mut log = self.0.lock();
        let bytes = log.file(view).as_bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = start.min(bytes.len());
        let end = start.saturating_add(size).min(bytes.len());
        buffer.extend_from_slice(&bytes[start..end]);
    }

    /// The page of the run.
    pub(crate) fn report(&self, facts: &Facts) -> Arc<[u8]> {
        let mut log = self.0.lock();
        if let Some((items, drawn, bytes)) = &log.report
            && *items == log.items.len()
            && **drawn == *facts
        {
            return bytes.clone();
        }
        let is_agents =
            |item: &&Item| !matches!(item, Item::Row { row, .. } if row.value.kind != "agent");
        let items: Vec<&Item> = log.items.iter().filter(is_agents).collect();
        let mut threads = Threads::new(items.len());
        for item in items {
            if threads.leaves_out_next() {
                continue;
            }
            match item.said() {
                Some(Said::Event(event, place)) => threads.event(&event, place),
                Some(Said::Text(text, place)) => threads.text(text, place),
                None => {}
            }
        }
        let summary = log.summary();
        let answer = summary.answer().unwrap_or_default();
        let page = page(facts, answer, &summary.usage(), &threads);
        let bytes: Arc<[u8]> = page.into_bytes().into();
        log.report = Some((log.items.len(), Arc::new(facts.clone()), bytes.clone()));
        bytes
    }

    /// Its weight in memory in bytes: the rows, parsed and raw, and the files.
    pub(crate) fn weight(&self) -> usize {
        self.0.lock().weight
    }

    /// Whether the rows came in the order of their times, and each event that was shown
    /// has its row: then the files are final.
    pub(crate) fn is_in_order(&self) -> bool {
        let log = self.0.lock();
        !log.unsorted && log.ahead.is_empty()
    }

    /// The rows, oldest first.
    pub(crate) fn rows(&self) -> Vec<Row<LogRow>> {
        self.0.lock().rows(false)
    }

    /// The log as it is shown once nothing more comes: in the order of time. An event of
    /// which only the stream has told, since the service shows no row of it, stays.
    pub(crate) fn settled(&self) -> Self {
        Self::ended(self.0.lock().rows(true))
    }
}

impl Log {
    /// The rows, oldest first, with or without those of events whose rows have not come.
    fn rows(&self, with_events: bool) -> Vec<Row<LogRow>> {
        let mut moment = Timestamp::MIN;
        let rows = self.items.iter().filter_map(|item| {
            let row = match item {
                Item::Row { row, .. } => row.clone(),
                Item::Event(event) if with_events && self.ahead.contains_key(&event.sequence) => {
                    Row::of_event(event)?
                }
                Item::Event(_) | Item::End(..) => return None,
            };
            moment = row.value.timestamp.parse().unwrap_or(moment);
            Some((moment, row))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(moment, _)| *moment);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Takes in what has come, once it is written down.
    fn come(&mut self, came: Came) {
        if self.kept.as_ref().is_some_and(|kept| !kept.note(&came)) {
            // What comes after a gap would be shown in another order.
            self.kept = None;
        }
        match came {
            Came::Rows(rows, reader) => {
                self.reader = reader.unwrap_or(mem::take(&mut self.reader));
                rows.into_iter().for_each(|row| self.add_row(row));
            }
            Came::Event(event) => self.add_event(event),
            Came::Head(head) => self.head = Some(head),
            Came::End(ending) => {
                self.has_end = true;
                self.items.push(Item::End(ending));
            }
        }
    }

    fn add_event(&mut self, event: AgentEvent) {
        self.last_event = Some(event.sequence);
        let told = canonical(&event.kind, &event.data);
        if self.has_row_of(&told) {
            return;
        }
        self.ahead.insert(event.sequence, told);
        self.unsorted |= self.has_end;
        self.weight += 3 * event.data.get().len() + 128;
        self.items.push(Item::Event(event));
    }

    fn add_row(&mut self, row: Row<LogRow>) {
        // The row parsed and raw, and its text in two files.
        self.weight += 4 * row.raw.get().len() + 128;
        if let Ok(moment) = row.value.timestamp.parse::<Timestamp>() {
            self.unsorted |= self.newest.is_some_and(|newest| moment < newest);
            self.newest = self.newest.max(Some(moment));
        }
        let is_shown = self.was_ahead(&row.value);
        if let Some(event) = row.value.event.as_ref().filter(|_| !is_shown) {
            self.last_event = self.last_event.max(Some(event.sequence));
        }
        // It is shown after an event that is later, or after the end.
        let is_late = !self.ahead.is_empty() || self.has_end && row.value.kind == "agent";
        self.unsorted |= !is_shown && is_late;
        self.items.push(Item::Row { row, is_shown });
    }

    /// Whether the event of a row was shown before the row came.
    fn was_ahead(&mut self, row: &LogRow) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        if let Some(event) = &row.event {
            return self.ahead.remove(&event.sequence).is_some();
        }
        // Only the content tells which event it is.
        let Some((kind, data)) = row.told() else {
            return false;
        };
        let told = canonical(kind, data);
        let same = self.ahead.iter().filter(|(_, shown)| **shown == told);
        let first = same.map(|(sequence, _)| *sequence).min();
        first.is_some_and(|first| self.ahead.remove(&first).is_some())
    }

    /// Whether a row without a number has shown an event before the stream tells of it:
    /// the row was read before the stream began, or came sooner.
    fn has_row_of(&mut self, told: &str) -> bool {
        for item in &self.items[self.searched..] {
            if let Item::Row { row, .. } = item
                && row.value.event.is_none()
                && let Some((kind, data, _)) = item.told()
            {
                *self
                    .untold
                    .entry(fingerprint(&canonical(kind, data)))
                    .or_default() += 1;
            }
        }
        self.searched = self.items.len();
        if self.untold.is_empty() {
            return false;
        }
        let rows = self.untold.get_mut(&fingerprint(told));
        let before = rows.map_or(0, |rows| mem::replace(rows, rows.saturating_sub(1)));
        before > 0
    }

    /// A file's text, with everything that has come.
    fn file(&mut self, view: LogView) -> &str {
        let file = &mut self.files[view as usize];
        if view == LogView::Transcript
            && file.text.is_empty()
            && let Some(head) = &self.head
        {
            Transcript::begin(head, &mut file.text);
        }
        for (at, item) in self.items.iter().enumerate().skip(file.items) {
            match (view, item) {
                (LogView::Transcript, Item::End(ending)) => {
                    // The sum of the events before it, whenever it is drawn.
                    let mut summary = Summary::default();
                    add_all(&mut summary, &self.items[..at]);
                    Transcript::end(ending, &summary.usage(), &mut file.text);
                }
                (LogView::Transcript, _) => match item.said() {
                    Some(Said::Event(event, place)) => {
                        self.transcript.event(&event, place, &mut file.text);
                    }
                    Some(Said::Text(text, place)) => Transcript::text(text, place, &mut file.text),
                    None => {}
                },
                _ => render(view, item, &mut file.text),
            }
        }
        file.items = self.items.len();
        &file.text
    }

    /// The sum of all events that have come.
    fn summary(&mut self) -> &Summary {
        add_all(&mut self.summary, &self.items[self.summed..]);
        self.summed = self.items.len();
        &self.summary
    }
}

/// Adds what items say.
fn add_all(summary: &mut Summary, items: &[Item]) {
    for item in items {
        if let Some(Said::Event(event, _)) = item.said() {
            summary.add(&event);
        }
    }
}

#[cfg(test)]
mod tests;
