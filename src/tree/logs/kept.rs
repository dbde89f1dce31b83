//! What a log that grows is made of, written down for the next worker in the order in
//! which it came: no later reading of the log would give it in that order again.

use crate::{
    api::{
        LogPosition, LogReader,
        types::{AgentEvent, LogRow, Row},
    },
    conversation::transcript::{Ending, Head},
    handover::{Fields, Handover, Owner, Reader, Stream},
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::{fmt, mem, sync::Arc};

/// Rows of one fetch are written in pieces of about so many bytes.
const PIECE: usize = 16 << 20;

/// What has come to a log.
pub(super) enum Came {
    /// Rows of one fetch, and where the next one goes on.
    Rows(Vec<Row<LogRow>>, Option<LogReader>),
    /// An event that a stream has told.
    Event(AgentEvent),
    /// The beginning of the transcript.
    Head(Head),
    /// The end of the run.
    End(Ending),
}

// The first byte of a record.
const BEGIN: u8 = 1;
const PART: u8 = 2;
const ROWS: u8 = 3;
const EVENT: u8 = 4;
const HEAD: u8 = 5;
const END: u8 = 6;

/// The place of a log in what is left to the next worker. It is given up when the log is
/// dropped.
pub(super) struct Kept {
    handover: Arc<Handover>,
    stream: Stream,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.number())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let record = Fields::new().byte(CLOSED).number(self.number());
        self.handover.add(Owner::Logs, record);
        self.handover.free_stream(&self.stream);
    }
}

// What has happened to the logs that are kept, by the first byte of records in the
// journal.
const OPENED: u8 = 1;
const CLOSED: u8 = 2;
const LEFT: u8 = 3;

/// The logs that an earlier worker has left: their runs and numbers. One that two
/// workers have left, and which no handle holds, is given up.
pub(crate) fn left_logs(handover: &Handover) -> Vec<(Arc<str>, u64)> {
    let mut logs: Vec<(Arc<str>, u64, bool)> = Vec::new();
    handover.records(Owner::Logs, |record| {
        let (Some(kind), Some(number)) = (record.byte(), record.number()) else {
            return;
        };
        match (kind, record.text()) {
            (OPENED, Some(run)) => {
                logs.retain(|(_, known, _)| *known != number);
                logs.push((run.into(), number, false));
            }
            (CLOSED, _) => logs.retain(|(_, known, _)| *known != number),
            _ => {
                let known = logs.iter_mut().find(|(_, known, _)| *known == number);
                known.into_iter().for_each(|(.., is_left)| *is_left = true);
            }
        }
    });
    logs.retain(|(_, number, is_left)| {
        let is_kept = !is_left || handover.is_held(*number);
        let kind = if is_kept { LEFT } else { CLOSED };
        handover.add(Owner::Logs, Fields::new().byte(kind).number(*number));
        is_kept
    });
    let logs = logs.into_iter();
    logs.map(|(run, number, _)| (run, number)).collect()
}

impl Kept {
    /// A place for a log of a run to which nothing has come; `None` where there is no
    /// memory.
    pub(super) fn new(handover: Arc<Handover>, run: &str) -> Option<Self> {
        let stream = handover.stream()?;
        let kept = Self { handover, stream };
        let is_kept = kept.note_open(run) && kept.add(Fields::new().byte(BEGIN));
        is_kept.then_some(kept)
    }

    fn note_open(&self, run: &str) -> bool {
        let record = Fields::new().byte(OPENED).number(self.number()).text(run);
        self.handover.add(Owner::Logs, record)
    }

    /// The place that an earlier worker has left, of which all that came is given to
    /// `each`; `None` where it is lost.
    pub(super) fn left(
        handover: Arc<Handover>,
        run: &str,
        number: u64,
        mut each: impl FnMut(Came),
    ) -> Option<Self> {
        let mut rows = Vec::new();
        let mut is_whole = true;
        let mut count = 0;
        let stream = handover.left_stream(number, |record| {
            count += 1;
            match read(record, &mut rows) {
                Some(Some(came)) => each(came),
                Some(None) => {}
                None => is_whole = false,
            }
        })?;
        // From here on it is given up when it is dropped.
        let kept = Self { handover, stream };
        (is_whole && count > 0 && kept.note_open(run)).then_some(kept)
    }

    /// The number by which the next worker finds it.
    pub(super) fn number(&self) -> u64 {
        self.stream.number()
    }

    fn add(&self, record: Fields) -> bool {
        self.handover.add_to(&self.stream, &record)
    }

    /// Writes down what has come, before it is shown; whether that could be done.
    pub(super) fn note(&self, came: &Came) -> bool {
        match came {
            Came::Rows(rows, reader) => self.note_rows(rows, reader.as_ref()),
            Came::Event(event) => {
                let record = Fields::new().byte(EVENT).number(event.sequence);
                let record = record.text(&event.kind).text(event.data.get());
                self.add(record.text(&event.timestamp))
            }
            Came::Head(head) => {
                let record = Fields::new().byte(HEAD).text(&head.run).text(&head.prompt);
                let record = record.text(&head.created.to_string());
                self.add(match &head.agent {
                    Some(agent) => record.text(agent),
                    None => record,
                })
            }
            Came::End(end) => {
                let record = Fields::new().byte(END).text(&end.status);
                self.add(record.number(end.milliseconds.map_or(0, |took| took + 1)))
            }
        }
    }

    /// The rows of one fetch count when the last of their records is there.
    fn note_rows(&self, rows: &[Row<LogRow>], reader: Option<&LogReader>) -> bool {
        let part = || Fields::new().byte(PART);
        let (mut record, mut bytes) = (part(), 0);
        for row in rows {
            record = record.text(row.raw.get());
            bytes += row.raw.get().len();
            if bytes >= PIECE {
                if !self.add(mem::replace(&mut record, part())) {
                    return false;
                }
                bytes = 0;
            }
        }
        let end = Fields::new().byte(ROWS);
        let end = match reader {
            None => end.byte(0),
            Some(reader) => position(end.byte(1), &LogPosition::from(reader)),
        };
        self.add(end.bytes(&record.as_bytes()[1..]))
    }
}

fn position(record: Fields, (since, given): &LogPosition) -> Fields {
    let since = since.map(|since| since.to_string());
    let record = record.text(since.as_deref().unwrap_or_default());
    let record = record.number(given.len() as u64);
    given.iter().fold(record, |record, (key, count, at)| {
        let record = record.bytes(key).number(*count as u64);
        record.text(&at.to_string())
    })
}

fn read_position(record: &mut Reader<'_>) -> Option<LogReader> {
    let since = match record.text()? {
        "" => None,
        since => Some(since.parse().ok()?),
    };
    let mut given = Vec::new();
    for _ in 0..record.small()? {
        let key = record.bytes()?.try_into().ok()?;
        let count = record.small()? as usize;
        given.push((key, count, record.text()?.parse::<Timestamp>().ok()?));
    }
    Some(LogPosition::from((since, given)).into())
}

fn read_rows(record: &mut Reader<'_>, rows: &mut Vec<Row<LogRow>>) -> Option<()> {
    while let Some(raw) = record.text() {
        let raw = RawValue::from_string(raw.to_owned()).ok()?;
        let value = serde_json::from_str(raw.get()).ok()?;
        rows.push(Row { value, raw });
    }
    Some(())
}

/// Takes a record; `None` for one that this program has not written. Rows are put
/// together until the last of one fetch.
fn read(record: &mut Reader<'_>, rows: &mut Vec<Row<LogRow>>) -> Option<Option<Came>> {
    Some(match record.byte()? {
        BEGIN => None,
        PART => {
            read_rows(record, rows)?;
            None
        }
        ROWS => {
            let reader = match record.byte()? {
                0 => None,
                _ => Some(read_position(record)?),
            };
            read_rows(&mut Reader::of(record.bytes()?), rows)?;
            Some(Came::Rows(mem::take(rows), reader))
        }
        EVENT => {
            let sequence = record.number()?;
            let kind = record.text()?.to_owned();
            let data = RawValue::from_string(record.text()?.to_owned()).ok()?;
            let timestamp = record.text()?.to_owned();
            Some(Came::Event(AgentEvent {
                sequence,
                kind,
                data,
                timestamp,
            }))
        }
        HEAD => Some(Came::Head(Head {
            run: record.text()?.to_owned(),
            prompt: record.text()?.to_owned(),
            created: record.text()?.parse().ok()?,
            agent: record.text().map(str::to_owned),
        })),
        END => {
            let status = record.text()?.to_owned();
            let milliseconds = record.number()?.checked_sub(1);
            Some(Came::End(Ending {
                status,
                milliseconds,
            }))
        }
        _ => return None,
    })
}
