//! A run's log as files: text, JSON lines and the agent's events, all from one
//! set of rows. While the run lives the files grow at their end and nowhere
//! else: what somebody has read never changes under them.

mod lines;

use crate::{
    api::{
        LogReader,
        types::{AgentEvent, LogRow, Row},
    },
    json,
};
use jiff::Timestamp;
use lines::{push_event_line, push_json_line, push_text_line};
use serde::Deserialize;
use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Which rows, in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogView {
    /// Every row as a text line.
    All,
    /// Every row as the JSON it came as.
    Jsonl,
    /// The agent's rows as text lines.
    Agent,
    /// The sandbox's rows as text lines.
    System,
    /// Network rows as text lines.
    Network,
    /// The agent's events as JSON lines.
    Events,
}

#[cfg(any(test, fuzzing))]
impl LogView {
    /// Every one there is.
    pub(crate) const ALL: [Self; 6] = [
        Self::All,
        Self::Jsonl,
        Self::Agent,
        Self::System,
        Self::Network,
        Self::Events,
    ];
}

/// Rows of a log that is read in some ten calls.
const SHORT: usize = 1_000;

/// How many forms there are.
const VIEWS: usize = 6;

/// What came, in the order in which it is shown.
#[derive(Debug)]
enum Item {
    /// A row. What an event has shown of it already is not shown again.
    Row {
        row: Row<LogRow>,
        in_text: bool,
        in_events: bool,
    },
    /// An event whose row has not come yet; in the text only where the row's
    /// line is known beforehand.
    Event {
        event: AgentEvent,
        line: Option<LogRow>,
    },
}

/// One file: the bytes so far, and how many items they are made of.
#[derive(Debug, Default)]
struct File {
    text: String,
    items: usize,
}

/// How the log came about, and how it goes on.
#[derive(Debug, Default)]
struct Inner {
    items: Vec<Item>,
    files: [File; VIEWS],
    /// Where the next rows are asked for.
    reader: LogReader,
    /// Events shown before their rows came: whether their text was, too.
    ahead: HashMap<u64, bool>,
    /// The highest sequence of an event shown.
    last_event: Option<u64>,
    /// Whether the row of an event that carries a text has had just that for
    /// its message so far. Only then can a line be drawn from an event.
    foretold: Option<bool>,
    /// The newest time of a row, and whether anything is shown behind what it
    /// came before.
    newest: Option<Timestamp>,
    unsorted: bool,
    /// No event will come: nothing needs to be learnt from the rows.
    has_ended: bool,
    weight: usize,
}

/// All rows of a run that have come, and the files made of them so far.
#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<Inner>);

/// The part of an event's data that a row has for its message.
#[derive(Deserialize)]
struct Said {
    text: String,
}

fn said(event: &AgentEvent) -> Option<String> {
    let said: Said = json::parse(event.data.get()).ok()?;
    Some(said.text)
}

/// The row that the service makes of an event that carries a text, as far as
/// it goes by the rows before.
fn foretell(event: &AgentEvent) -> Option<LogRow> {
    Some(LogRow {
        timestamp: event.timestamp.clone(),
        kind: "agent".into(),
        level: "info".into(),
        message: said(event)?,
        event: None,
        unnumbered: None,
    })
}

fn is_same_line(a: &LogRow, b: &LogRow) -> bool {
    (&a.timestamp, &a.kind, &a.level, &a.message) == (&b.timestamp, &b.kind, &b.level, &b.message)
}

impl Logs {
    /// The log of a run that has ended: its rows, oldest first.
    pub(crate) fn ended(rows: Vec<Row<LogRow>>) -> Self {
        let inner = Inner {
            has_ended: true,
            ..Inner::default()
        };
        let logs = Self(Mutex::new(inner));
        logs.add_rows(rows);
        logs
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what tells where to go on asking. To be given back: one fetch asks
    /// at a time.
    pub(crate) fn take_reader(&self) -> LogReader {
        mem::take(&mut self.lock().reader)
    }

    /// Gives it back, whether or not asking has brought rows.
    pub(crate) fn give_reader(&self, reader: LogReader) {
        self.lock().reader = reader;
    }

    /// Appends rows that have not come before. Whether there were any.
    pub(crate) fn add_rows(&self, rows: Vec<Row<LogRow>>) -> bool {
        let mut inner = self.lock();
        let is_news = !rows.is_empty();
        for row in rows {
            inner.add_row(row);
        }
        is_news
    }

    /// Whether it has so few rows that reading all of them again costs little.
    pub(crate) fn is_short(&self) -> bool {
        self.lock().items.len() <= SHORT
    }

    /// Appends those of all rows that have not come before. Whether there were
    /// any.
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

    /// Appends an event, unless it was shown already. Whether its text can be
    /// seen: where it cannot, the rows have to be asked for.
    pub(crate) fn add_event(&self, event: AgentEvent) -> bool {
        self.lock().add_event(event)
    }

    /// The sequence of the last event shown, after which a stream goes on.
    pub(crate) fn last_event(&self) -> Option<u64> {
        self.lock().last_event
    }

    /// When the newest row was written, as far as rows tell.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.lock().newest
    }

    /// The size of one of the files in bytes.
    pub(crate) fn size(&self, view: LogView) -> u64 {
        self.lock().file(view).len() as u64
    }

    /// Appends up to `size` bytes of one of the files at `offset` to `buffer`:
    /// fewer only at its end.
    pub(crate) fn read(&self, view: LogView, offset: u64, size: usize, buffer: &mut Vec<u8>) {
        let mut inner = self.lock();
        let bytes = inner.file(view).as_bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = start.min(bytes.len());
        let end = start.saturating_add(size).min(bytes.len());
        buffer.extend_from_slice(&bytes[start..end]);
    }

    /// Its weight in memory in bytes: the rows, parsed and raw, and the files.
    pub(crate) fn weight(&self) -> usize {
        self.lock().weight
    }

    /// Whether the rows came in the order of their times, and nothing was drawn
    /// from an event whose row never came: then what was shown is final.
    pub(crate) fn is_in_order(&self) -> bool {
        let inner = self.lock();
        !inner.unsorted && inner.ahead.is_empty()
    }

    /// The rows, oldest first.
    pub(crate) fn rows(&self) -> Vec<Row<LogRow>> {
        let inner = self.lock();
        let mut moment = Timestamp::MIN;
        let rows = inner.items.iter().filter_map(|item| match item {
            Item::Row { row, .. } => {
                moment = row.value.timestamp.parse().unwrap_or(moment);
                Some((moment, row.clone()))
            }
            Item::Event { .. } => None,
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(moment, _)| *moment);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

impl Inner {
    fn add_row(&mut self, row: Row<LogRow>) {
        // Parsed and raw, and twice as text.
        self.weight += 4 * row.raw.get().len() + 128;
        if let Ok(moment) = row.value.timestamp.parse::<Timestamp>() {
            self.unsorted |= self.newest.is_some_and(|newest| moment < newest);
            self.newest = self.newest.max(Some(moment));
        }
        let (mut in_text, mut in_events) = (true, true);
        if let Some(event) = &row.value.event {
            if !self.has_ended
                && let Some(line) = foretell(event)
            {
                let as_foretold = is_same_line(&line, &row.value);
                self.foretold = Some(self.foretold != Some(false) && as_foretold);
            }
            match self.ahead.remove(&event.sequence) {
                Some(had_text) => (in_text, in_events) = (!had_text, false),
                None => self.last_event = self.last_event.max(Some(event.sequence)),
            }
        }
        // Shown behind an event that it came before.
        let is_event = row.value.event.is_some();
        self.unsorted |= in_text && self.ahead.values().any(|had_text| *had_text)
            || is_event && in_events && !self.ahead.is_empty();
        self.items.push(Item::Row {
            row,
            in_text,
            in_events,
        });
    }

    fn add_event(&mut self, event: AgentEvent) -> bool {
        if self.last_event.is_some_and(|last| event.sequence <= last) {
            return true;
        }
        self.last_event = Some(event.sequence);
        // Not before one whose text is still missing: lines keep their order.
        let in_turn = self.ahead.values().all(|had_text| *had_text);
        let may = self.foretold == Some(true) && in_turn;
        let line = foretell(&event).filter(|_| may);
        let is_shown = line.is_some();
        self.ahead.insert(event.sequence, is_shown);
        self.weight += 2 * event.data.get().len() + 128;
        self.items.push(Item::Event { event, line });
        is_shown
    }

    /// A file's text with all that has come.
    fn file(&mut self, view: LogView) -> &str {
        let file = &mut self.files[view as usize];
        for item in &self.items[file.items..] {
            render(view, item, &mut file.text);
        }
        file.items = self.items.len();
        &file.text
    }
}

/// Appends what a file shows of an item.
fn render(view: LogView, item: &Item, out: &mut String) {
    let is_wanted = |row: &LogRow| match view {
        LogView::All => true,
        LogView::Agent => row.kind == "agent",
        LogView::System => row.kind == "system",
        LogView::Network => row.kind == "network",
        LogView::Jsonl | LogView::Events => false,
    };
    match (view, item) {
        (LogView::Jsonl, Item::Row { row, .. }) => push_json_line(out, row.raw.get()),
        (LogView::Jsonl, Item::Event { .. }) => {}
        (LogView::Events, Item::Event { event, .. }) => push_event_line(out, event),
        (LogView::Events, Item::Row { row, in_events, .. }) => {
            if let Some(event) = row.value.event.as_ref().filter(|_| *in_events) {
                push_event_line(out, event);
            }
        }
        (_, Item::Row { row, in_text, .. }) if *in_text && is_wanted(&row.value) => {
            push_text_line(out, &row.value);
        }
        (_, Item::Event { line, .. }) => {
            if let Some(line) = line.as_ref().filter(|line| is_wanted(line)) {
                push_text_line(out, line);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
