//! Server-Sent Events out of bytes: pure, fed in any pieces, bounded.
//!
//! Source: the WHATWG HTML standard, "Server-sent events", sections "Parsing an
//! event stream" and "Interpreting an event stream".

use crate::text::unmarked;
use std::sync::Arc;

/// Maximum size of one event in memory, in bytes as sent: its name, data, id and
/// the line that is being read. (Replacing bytes that are not UTF-8 can triple
/// them.) The largest events hold a tool's output, which the service keeps far
/// smaller.
pub(super) const MAX_EVENT: usize = 16 << 20;

/// Capacity in bytes that the line buffer keeps between lines.
const KEPT_BUFFER: usize = 64 << 10;

/// One event as the stream sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// `event:`, or `message` where the stream named none.
    pub(super) name: String,
    /// The `data:` lines, with a line feed between two of them.
    pub(super) data: String,
    /// The last `id:` so far, or empty. Shared, since a long id stays the id of all
    /// events that follow.
    pub(super) id: Arc<str>,
}

/// An event or a line is longer than [`MAX_EVENT`] bytes. The rest of the stream
/// cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {} MiB", MAX_EVENT >> 20)]
pub(super) struct TooLong;

/// Divides a stream into events. Lines after the last empty line of the stream are
/// no event, and are dropped with the parser.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The part of the current line that has arrived.
    line: Vec<u8>,
    /// Whether a line feed as the next byte belongs to the previous line.
    after_return: bool,
    /// Whether the first line, which may begin with a BOM, has ended.
    begun: bool,
    name: String,
    data: String,
    id: Arc<str>,
}

impl Parser {
    /// Takes the next event from the front of `bytes`. Returns `None`, with `bytes`
    /// empty, if the event is not complete yet.
    ///
    /// # Errors
    /// [`TooLong`].
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, TooLong> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                *bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.held() + piece.len() > MAX_EVENT {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            *bytes = rest;
            if let Some((&ending, rest)) = rest.split_first() {
                *bytes = rest;
                self.after_return = ending == b'\r';
                if let Some(event) = self.end_line() {
                    return Ok(Some(event));
                }
            }
        }
        Ok(None)
    }

    /// Bytes in memory that count against [`MAX_EVENT`].
    fn held(&self) -> usize {
        self.line.len() + self.name.len() + self.data.len() + self.id.len()
    }

    /// Acts on the line that has ended. Returns the event, if the line ended one.
    fn end_line(&mut self) -> Option<Event> {
        let mut line = std::mem::take(&mut self.line);
        let text = match std::mem::replace(&mut self.begun, true) {
            false => unmarked(&line),
            true => &line,
        };
        let event = if text.is_empty() {
            self.dispatch()
        } else {
            self.field(text);
            None
        };
        line.clear();
        line.shrink_to(KEPT_BUFFER);
        self.line = line;
        event
    }

    fn field(&mut self, line: &[u8]) {
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = text(value),
            b"data" => {
                self.data.push_str(&String::from_utf8_lossy(value));
                self.data.push('\n');
            }
            b"id" if !value.contains(&0) => self.id = text(value).into(),
            // A comment, which is a line with an empty field, `retry`, which nothing here
            // follows, or an unknown field.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let mut name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        // Without a data line, there is no event.
        data.pop()?;
        if name.is_empty() {
            name.push_str("message");
        }
        Some(Event {
            name,
            data,
            id: self.id.clone(),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(name: &str, data: &str, id: &str) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
            id: id.into(),
        }
    }

    /// Feeds the pieces one after the other to a new parser.
    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for mut piece in pieces {
            while let Some(event) = parser.next(&mut piece).unwrap() {
                events.push(event);
            }
            assert!(piece.is_empty());
        }
        events
    }

    const SAMPLE: &[u8] = b"\xef\xbb\xbf: a comment\r\nevent: output\r\nid: 7\r\ndata: {\"a\":\r\n\
        data:  \"\xc3\xa9\"}\r\n\r\ndata\rdata\r\rid\ndata:x\n\nevent: lost\n\nfield: no\ndata: y\n\
        id: a\0b\n\r\ndata: unfinished\n";

    fn sample() -> Vec<Event> {
        vec![
            event("output", "{\"a\":\n \"é\"}", "7"),
            event("message", "\n", "7"),
            event("message", "x", ""),
            event("message", "y", ""),
        ]
    }

    #[test]
    fn all_splits_of_a_sample_are_the_same_events() {
        assert_eq!(parse([SAMPLE]), sample());
        assert_eq!(parse(SAMPLE.chunks(1)), sample());
        for first in 0..=SAMPLE.len() {
            for second in first..=SAMPLE.len() {
                let pieces = [&SAMPLE[..first], &SAMPLE[first..second], &SAMPLE[second..]];
                assert_eq!(parse(pieces), sample(), "{first} {second}");
            }
        }
    }

    #[test]
    fn events_are_those_of_the_standards_examples() {
        // The standard's own examples, and cases near them.
        let table: [(&[u8], Vec<Event>); 10] = [
            (
                b"data: YHOO\ndata: +2\ndata: 10\n\n",
                vec![event("message", "YHOO\n+2\n10", "")],
            ),
            (
                b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    event("message", "first event", "1"),
                    event("message", "second event", ""),
                    event("message", " third event", ""),
                ],
            ),
            (
                b"data\n\ndata\ndata\n\ndata:",
                vec![event("message", "", ""), event("message", "\n", "")],
            ),
            (
                b"data:test\n\ndata: test\n\n",
                vec![event("message", "test", ""), event("message", "test", "")],
            ),
            // The end of an event is its empty line, not the end of the bytes.
            (b"data: x\n", vec![]),
            (b"data: x\r\r", vec![event("message", "x", "")]),
            // Only the first BOM is one; fields are told apart by case.
            (
                b"\xef\xbb\xbf\xef\xbb\xbfdata: x\nData: y\n\n\xef\xbb\xbfdata: z\n\n",
                vec![],
            ),
            (b"\xef\xbb\xbf\ndata: x\n\n", vec![event("message", "x", "")]),
            (b"data: \xff\xe2\x82\n\n", vec![event("message", "\u{fffd}\u{fffd}", "")]),
            (
                b"event: a\nevent: b\nid: 1\n\nevent:\ndata: x\n\n",
                vec![event("message", "x", "1")],
            ),
        ];
        for (bytes, expected) in table {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(parse([bytes]), expected, "{shown:?}");
        }
    }

    #[test]
    fn events_are_bounded_in_memory() {
        let piece = vec![b'x'; 1 << 20];
        // A line without end; a comment without end; data lines without end.
        for (start, between) in [("data: ", ""), (":", ""), ("data: ", "\ndata: ")] {
            let mut parser = Parser::default();
            parser.next(&mut start.as_bytes()).unwrap();
            let fed = (0..64).take_while(|_| {
                parser.next(&mut &piece[..]).is_ok() && parser.next(&mut between.as_bytes()).is_ok()
            });
            let fed = fed.count();
            assert!((14..=16).contains(&fed), "{start:?} {between:?}: {fed} MiB");
            assert!(parser.held() <= MAX_EVENT);
        }
        // Many events within the bound are no error.
        let mut parser = Parser::default();
        for _ in 0..40 {
            for part in ["data: ".as_bytes(), &piece] {
                assert_eq!(parser.next(&mut &*part), Ok(None));
            }
            let event = parser.next(&mut "\n\n".as_bytes()).unwrap();
            assert_eq!(event.unwrap().data.len(), piece.len());
        }
        assert!(parser.line.capacity() <= KEPT_BUFFER);
    }
}
