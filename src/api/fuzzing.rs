//! Entry points of the fuzz targets `sse` and `answer` (`tests/fuzz`), also for the
//! test that runs their seeds. Each takes bytes as a server might send them, and
//! panics if the result breaks a promise.

use super::{
    clock::Clock,
    counters::Counters,
    error_body::api_error,
    events::{RunEvent, understand},
    logs::{LogReader, Rows},
    paging::{self, Pages, object},
    sse::{Event, Parser},
    token::Token,
    types::{Agent, LogRow, Metrics, Row, Run, Storage, StorageVersion},
};
use crate::error::Error;
use jiff::Timestamp;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// The token, which no message may show.
pub const TOKEN: &str = "vm0_pat_fuzzing";

/// What an answer was decoded as.
pub enum Understood {
    /// Agents, of a list or one alone.
    Agents(Vec<Row<Agent>>),
    /// Runs, likewise.
    Runs(Vec<Row<Run>>),
    /// Volumes or artifacts, likewise.
    Storages(Vec<Row<Storage>>),
    /// Versions of a volume or artifact.
    Versions(Vec<Row<StorageVersion>>),
    /// An agent's events from a stream, and the rows of a log from two readings.
    Log(Vec<RunEvent>, Vec<Row<LogRow>>),
    /// Samples and summary of a run.
    Metrics(Box<RawValue>),
    /// An error, or nothing that is shown.
    Nothing,
}

/// A stream's events, and whether it ended with an error.
type Parsed = (Vec<Event>, bool);

/// A stream of events.
///
/// `data`: the number of lengths (modulo 16), those lengths, and the stream, which
/// is cut into pieces of these lengths, over and over. All ways of cutting must give
/// the same events, which are those of a parser as simple as the standard's text; and
/// each event must be decoded or skipped.
pub fn sse(data: &[u8]) -> Vec<RunEvent> {
    let Some((&count, rest)) = data.split_first() else {
        return Vec::new();
    };
    let (lengths, stream) = rest.split_at(rest.len().min(usize::from(count % 16)));
    let whole = parse([stream].into_iter());
    assert_eq!(
        whole,
        parse(stream.chunks(1)),
        "byte by byte as in one piece"
    );
    assert_eq!(
        whole,
        parse(pieces(lengths, stream)),
        "in pieces as in one piece"
    );
    assert_eq!(whole.0, by_the_standard(stream), "as the standard has it");
    let events = whole.0.into_iter();
    events.filter_map(|event| understand("", event)).collect()
}

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Parsed {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match parser.next(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return (events, true),
            }
        }
        assert!(piece.is_empty(), "all of a piece is taken");
    }
    (events, false)
}

/// `stream` cut into pieces of the given lengths, over and over; empty ones count.
fn pieces<'a>(lengths: &'a [u8], mut stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let moves = lengths.iter().any(|length| *length > 0);
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = match lengths.next() {
            _ if stream.is_empty() => return None,
            Some(length) if moves => usize::from(*length),
            _ => stream.len(),
        };
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        stream = rest;
        Some(piece)
    })
}

/// "Interpreting an event stream" of the WHATWG HTML standard, word by word, over
/// a stream that is all there.
fn by_the_standard(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines = Vec::new();
    let mut rest = stream;
    while let Some(end) = rest.iter().position(|byte| b"\r\n".contains(byte)) {
        lines.push(String::from_utf8_lossy(&rest[..end]));
        let ending = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + ending..];
    }
    let (mut events, mut id) = (Vec::new(), String::new());
    let (mut name, mut data) = (String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
            if let Some(data) = data.strip_suffix('\n') {
                events.push(Event {
                    name: if name.is_empty() {
                        "message".into()
                    } else {
                        name
                    },
                    data: data.to_owned(),
                    id: id.as_str().into(),
                });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => data.extend([value, "\n"]),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    events
}

/// An answer of the API.
///
/// `data`: what was asked for (a byte: `0` to `;`), and the body; pages and the
/// parts of other answers have a byte 0x1e between them, which is in no JSON.
pub fn answer(data: &[u8]) -> Understood {
    let Some((&asked, body)) = data.split_first() else {
        return Understood::Nothing;
    };
    match asked % 12 {
        0 => Understood::Agents(list(body, |agent: &Agent| agent.id.clone())),
        1 => Understood::Runs(list(body, |run: &Run| run.id.clone())),
        2 => Understood::Storages(list(body, |storage: &Storage| storage.id.clone())),
        3 => Understood::Versions(list(body, |version: &StorageVersion| version.id.clone())),
        4 => {
            let mut pages = Pages::<IgnoredAny>::new();
            if let Err(error) = pages.add("GET /v1", body, |_| true) {
                no_secret(&error.to_string());
            }
            Understood::Nothing
        }
        5 => Understood::Agents(one(body)),
        6 => Understood::Runs(one(body)),
        7 => Understood::Storages(one(body)),
        8 => Understood::Versions(one(body)),
        9 => match object::<Metrics>(body) {
            Ok(row) => Understood::Metrics(row.raw),
            Err(_) => Understood::Nothing,
        },
        10 => log(body),
        _ => {
            refused(body);
            Understood::Nothing
        }
    }
}

fn parts(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == 0x1e)
}

fn one<T: DeserializeOwned>(body: &[u8]) -> Vec<Row<T>> {
    let row = object(body);
    let row =
        row.map_err(|error| no_secret(&paging::not_documented("GET /v1", &error).to_string()));
    row.into_iter().collect()
}

/// The rows of a list, whose pages are the parts: each object once.
fn list<T: DeserializeOwned>(body: &[u8], id: impl Fn(&T) -> String) -> Vec<Row<T>> {
    let mut pages = Pages::new();
    for page in parts(body) {
        match pages.add("", page, |_| false) {
            Ok(Some(next)) => assert!(!next.is_empty(), "a cursor leads somewhere"),
            Ok(None) | Err(_) => break,
        }
    }
    let rows = pages.listing.rows;
    let mut ids = HashSet::new();
    for row in &rows {
        assert!(ids.insert(id(&row.value)), "an object is there once");
        assert!(body.len() >= row.raw.get().len());
    }
    rows
}

/// A log: its stream, and then its pages, which a cursor has given where they
/// begin with a line feed. What has been read once does not come again.
fn log(body: &[u8]) -> Understood {
    let mut parts = parts(body);
    let events = sse(parts.next().unwrap_or_default());
    let pages: Vec<&[u8]> = parts.collect();
    let now: Timestamp = Timestamp::from_second(1_800_000_000).unwrap_or_default();
    let mut reader = LogReader::default();
    let mut read = || {
        let mut rows = Rows::new(&reader);
        for page in &pages {
            let Ok(read) = paging::page("", page) else {
                break;
            };
            let by_cursor = page.starts_with(b"\n");
            if rows.add("", &read.data, by_cursor).is_err() {
                break;
            }
        }
        rows.finish(now, &mut reader)
    };
    let rows = read();
    assert_eq!(read().len(), 0, "what has been given is not given again");
    Understood::Log(events, rows)
}

/// An error answer: its status in two bytes, lines of headers up to an empty one,
/// and the body. No message of it holds the token or more than a line.
fn refused(answer: &[u8]) {
    let Some((status, mut rest)) = answer.split_at_checked(2) else {
        return;
    };
    let status = 100 + ((u16::from(status[0]) << 8) | u16::from(status[1])) % 900;
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            break;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    let (Ok(status), Ok(token)) = (StatusCode::from_u16(status), Token::new(TOKEN)) else {
        return;
    };
    let counters = Counters::default();
    let redact = |text: &str| token.redact(text);
    counters.answered(&headers, &redact);
    let clock = Clock::default();
    clock.told(&headers, Timestamp::UNIX_EPOCH);
    let _ = clock.at(Timestamp::UNIX_EPOCH);
    let error = api_error("GET /v1", status, &headers, rest, &redact);
    let error = Error::Api(error.into());
    let _ = (error.errno(), error.is_not_found());
    let told = serde_json::to_string(&counters.calls()).unwrap_or_default();
    no_secret(&told);
    no_secret(&error.to_string());
}

/// A message is one line of some length, without the token.
fn no_secret(text: &str) {
    assert!(!text.contains(TOKEN), "the token is in a message: {text}");
    assert!(!text.chars().any(char::is_control), "{text:?} is no line");
    // Four texts of 300 characters at most, an id, and words of our own.
    assert!(text.chars().count() < 2_000, "a message has bounds");
}
