//! Logs that are read on from where they were read to, and what their rows hold.

use super::*;
use crate::fake::{self, Action, Fault, Quirks, World};
use jiff::SignedDuration;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A log on the demo server, and its reader.
struct Log {
    server: fake::Server,
    client: Client,
    reader: LogReader,
    /// The rows returned so far, raw.
    given: Vec<String>,
    start: Timestamp,
}

impl Log {
    fn new(quirks: Quirks) -> Self {
        let mut world = World::empty();
        world.quirks = quirks;
        let start = world.ago(3600);
        world.add_run(fake::Run::new("a", start).id("r").status("running"));
        let server = fake::Server::start(world).unwrap();
        Self {
            client: demo_client(&server, Duration::from_secs(10)),
            server,
            reader: LogReader::default(),
            given: Vec::new(),
            start,
        }
    }

    /// Adds a row so many milliseconds after the log's beginning.
    fn add(&self, at: i64, text: &str) {
        let at = self.start + SignedDuration::from_millis(at);
        let row = fake::LogRow::system(at, text);
        self.server.world().add_log("r", row);
    }

    /// Reads on; returns the messages, oldest first, and the number of calls.
    fn read(&mut self) -> Result<(Vec<String>, u64)> {
        let before = self.client.calls().made;
        let rows = self
            .client
            .run_logs("r", &mut self.reader, &Progress::new())?;
        self.given
            .extend(rows.iter().map(|row| row.raw.get().to_owned()));
        let texts = rows.into_iter().map(|row| row.value.message).collect();
        Ok((texts, self.client.calls().made - before))
    }

    /// Asserts that the rows returned are those of the log, in any order.
    #[track_caller]
    fn assert_complete(&self) {
        let mut fresh = LogReader::default();
        let rows = self
            .client
            .run_logs("r", &mut fresh, &Progress::new())
            .unwrap();
        let mut all: Vec<_> = rows.iter().map(|row| row.raw.get().to_owned()).collect();
        let mut given = self.given.clone();
        assert_eq!(all.len(), self.server.world().run("r").unwrap().logs.len());
        all.sort();
        given.sort();
        assert!(all == given, "{} rows, given {}", all.len(), given.len());
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_further_reading_costs_one_call_and_returns_new_rows_only() {
    for quirks in [Quirks::default(), Quirks::none()] {
        let mut log = Log::new(quirks);
        assert_eq!(log.read().unwrap(), (vec![], 1));
        for n in 0..50 {
            log.add(n * 1000, "tick");
        }
        assert_eq!(log.read().unwrap(), (vec!["tick".to_owned(); 50], 1));
        assert_eq!(log.read().unwrap(), (vec![], 1));
        // Late ones, one just like another, and one newer.
        log.add(47_001, "late");
        log.add(49_000, "tick");
        log.add(48_500, "later");
        log.add(49_500, "new");
        let news = texts(&["late", "later", "tick", "new"]);
        assert_eq!(log.read().unwrap(), (news, 1));
        assert_eq!(log.read().unwrap(), (vec![], 1));
        // The overlap goes on from the newest.
        log.add(47_600, "late again");
        log.add(60_000, "much newer");
        let news = texts(&["late again", "much newer"]);
        assert_eq!(log.read().unwrap(), (news, 1));
        log.add(58_000, "on the edge");
        assert_eq!(log.read().unwrap().0, ["on the edge"]);
        log.assert_complete();
    }
}

#[test]
fn a_further_reading_of_many_pages_loses_nothing() {
    for quirks in [Quirks::default(), Quirks::none()] {
        for spacing in [1, 7, 60] {
            let mut log = Log::new(quirks.clone());
            let mut at = 0;
            for news in [1, 99, 100, 350, 3, 220] {
                for n in 0..news {
                    // Many of one moment, many alike, all within the overlap.
                    log.add(
                        (at + n) / spacing,
                        if n % 3 == 0 { "same" } else { "other" },
                    );
                }
                at += news;
                assert_eq!(log.read().unwrap().0.len(), news as usize);
                assert!(log.read().unwrap().0.is_empty());
            }
            log.assert_complete();
        }
    }
}

#[test]
fn a_cursor_counts_from_where_its_page_began() {
    let mut log = Log::new(Quirks::none());
    // The second page begins amid the log, and the moment is longer than it.
    for (moment, rows) in [(0, 50), (5, 250), (6, 30)] {
        (0..rows).for_each(|n| log.add(moment, &format!("{moment} {n}")));
    }
    assert_eq!(log.read().unwrap().0.len(), 330);
    assert!(log.read().unwrap().0.is_empty());
    log.assert_complete();
}

#[test]
fn a_failure_leaves_the_reader_where_it_was() {
    for quirks in [Quirks::default(), Quirks::none()] {
        for action in [Action::internal_error(), Action::WrongBody("<html>".into())] {
            let mut log = Log::new(quirks.clone());
            let fault = || Fault::api("/v1/runs", action.clone()).times(1).skip(1);
            for round in 0..3 {
                for n in 0..150 {
                    log.add(round * 1000 + n, "row");
                }
                log.server.fault(fault());
                assert!(log.read().is_err());
                assert_eq!(log.read().unwrap().0.len(), 150);
                assert!(log.read().unwrap().0.is_empty());
            }
            log.assert_complete();
        }
    }
}

#[test]
fn a_row_from_the_future_hides_nothing() {
    let mut log = Log::new(Quirks::default());
    let now = (Timestamp::now().as_millisecond() - log.start.as_millisecond()) / 1000 * 1000;
    log.add(now, "first");
    log.add(now + 3_600_000, "in an hour");
    assert_eq!(log.read().unwrap().0.len(), 2);
    log.add(now + 10, "second");
    assert_eq!(log.read().unwrap(), (texts(&["second"]), 1));
    assert_eq!(log.read().unwrap(), (vec![], 1));
    log.assert_complete();
}

#[test]
fn a_reader_remembers_only_the_overlap() {
    let mut log = Log::new(Quirks::default());
    for n in 0..2000 {
        log.add(n * 100, &format!("row {n}"));
    }
    assert_eq!(log.read().unwrap().0.len(), 2000);
    assert_eq!(log.reader.given.len(), 21);
    assert!(log.read().unwrap().0.is_empty());
    assert_eq!(log.reader.given.len(), 21);
}

/// A log of which the server shows more and more.
fn growing(rows: Vec<String>, ignore_since: bool) -> (Server, Arc<AtomicUsize>) {
    let shown = Arc::new(AtomicUsize::new(0));
    let limit = shown.clone();
    let server = Server::new(move |asked, _| {
        let rows = &rows[..limit.load(Ordering::Relaxed)];
        let start = match (asked.get("cursor"), asked.get("since")) {
            (Some(cursor), _) => cursor.parse().unwrap(),
            (None, Some(since)) if !ignore_since => {
                let since: Timestamp = since.parse().unwrap();
                let older = |row: &String| {
                    let row: Value = serde_json::from_str(row).unwrap();
                    let time = row["timestamp"].as_str().unwrap().parse::<Timestamp>();
                    // One that has no time is shown wherever it stands.
                    time.is_ok_and(|time| time < since)
                };
                rows.iter().take_while(|row| older(row)).count()
            }
            _ => 0,
        };
        let end = rows.len().min(start + 100);
        let next = (end < rows.len()).then(|| end.to_string());
        json(page_json(
            &rows[start..end],
            next.is_some(),
            next.as_deref(),
        ))
    });
    (server, shown)
}

#[test]
fn a_service_that_ignores_since_and_rows_without_a_time_double_nothing() {
    let row = |n: usize| {
        let time = Timestamp::from_millisecond(n as i64 * 500).unwrap();
        let time = match n % 50 {
            7 => "soon".to_owned(),
            _ => time.to_string(),
        };
        format!(r#"{{"timestamp":"{time}","message":"{}"}}"#, n / 2)
    };
    for ignore_since in [true, false] {
        let rows: Vec<_> = (0..330).map(row).collect();
        let (server, shown) = growing(rows.clone(), ignore_since);
        let client = server.client();
        let mut reader = LogReader::default();
        let mut given = Vec::new();
        for end in [40, 40, 120, 260, 261, 330, 330] {
            let earlier = given.len();
            shown.store(end, Ordering::Relaxed);
            let news = client.run_logs("r", &mut reader, &Progress::new());
            given.extend(news.unwrap().iter().map(|row| row.raw.get().to_owned()));
            assert_eq!(given[earlier..], rows[earlier..end], "{ignore_since} {end}");
        }
    }
}

#[test]
fn the_event_of_an_agents_row_is_read() {
    let row = |metadata: Value| {
        let row =
            json!({"timestamp": "2025-01-01T00:00:00.5Z", "message": "m", "metadata": metadata});
        serde_json::from_str::<LogRow>(&row.to_string()).unwrap()
    };
    let event = row(json!({
        "sequenceNumber": 7, "eventType": "assistant", "eventData": {"b": 1, "a": [1.50, "é"]}, "more": 1,
    }));
    let event = event.event.unwrap();
    assert_eq!((event.sequence, &*event.kind), (7, "assistant"));
    assert_eq!(event.data.get(), r#"{"b":1,"a":[1.5,"é"]}"#);
    assert_eq!(event.timestamp, "2025-01-01T00:00:00.5Z");
    for none in [json!({"eventData": null}), json!({})] {
        let mut metadata = json!({"sequenceNumber": 1, "eventType": "t"});
        metadata.as_object_mut().unwrap().extend(object(none));
        assert_eq!(row(metadata).event.unwrap().data.get(), "null");
    }
    for other in [
        json!(null),
        json!("text"),
        json!([1]),
        json!({}),
        json!({"method": "GET", "url": "u", "status": 200, "duration": 1}),
        json!({"sequenceNumber": "7", "eventType": "t"}),
        json!({"sequenceNumber": -1, "eventType": "t"}),
        json!({"sequenceNumber": 7, "eventType": {}}),
        json!({"eventType": "t"}),
    ] {
        let row = row(other.clone());
        assert!(row.event.is_none(), "{other}");
        assert_eq!(row.message, "m");
    }
    let bare: LogRow = serde_json::from_str(r#"{"timestamp":"t"}"#).unwrap();
    assert!(bare.event.is_none() && bare.kind.is_empty());
    let odd: LogRow =
        serde_json::from_str(r#"{"timestamp":"t","type":null,"level":3,"message":{"a":1}}"#)
            .unwrap();
    assert_eq!(
        (&*odd.kind, &*odd.level, &*odd.message),
        ("", "3", r#"{"a":1}"#),
        "shown all the same"
    );
    // As sent, white space and numbers included.
    let sent = r#"{"timestamp":"t","metadata":{"eventData":{ "x": 1.50 },"sequenceNumber":1,"eventType":"t"}}"#;
    let row: LogRow = serde_json::from_str(sent).unwrap();
    assert_eq!(row.event.unwrap().data.get(), r#"{ "x": 1.50 }"#);
}

#[test]
fn an_agents_row_without_metadata_has_its_event_in_its_message() {
    let row = |kind: &str, message: &str, metadata: Value| {
        let row = json!({"timestamp": "t", "type": kind, "message": message, "metadata": metadata});
        serde_json::from_str::<LogRow>(&row.to_string()).unwrap()
    };
    let whole = r#"{"type":"assistant","cost":1.50,"text":"a ] b \ud83d"}"#;
    let message = format!("[assistant] {whole}");
    let seen = |row: &LogRow| {
        let told = row.told();
        told.map(|(kind, data)| (kind.to_owned(), data.get().to_owned()))
    };
    let expected = Some(("assistant".to_owned(), whole.to_owned()));
    let parts = [
        json!(null),
        json!("odd"),
        json!({}),
        json!({"eventType": "assistant"}),
        json!({"eventType": {}, "eventData": null}),
        json!({"sequenceNumber": "7"}),
        json!({"eventType": "assistant", "eventData": null, "sequenceNumber": -1}),
    ];
    for metadata in parts {
        let row = row("agent", &message, metadata.clone());
        assert_eq!(seen(&row), expected, "{metadata}");
        assert!(row.event.is_none() && row.unnumbered.is_some());
        assert_eq!(row.message, message);
    }
    // A number makes it an event as any, however little else there is.
    for metadata in [
        json!({"sequenceNumber": 7}),
        json!({"sequenceNumber": 7, "eventType": "assistant"}),
        json!({"sequenceNumber": 7, "eventType": []}),
    ] {
        let row = row("agent", &message, metadata.clone());
        assert_eq!(seen(&row), expected, "{metadata}");
        assert_eq!(row.event.unwrap().sequence, 7, "{metadata}");
        assert!(row.unnumbered.is_none());
    }
    // The data without a number or a type: its own says what it is.
    let event = json!({"eventData": {"type": "result", "n": 1}});
    let row_of_data = row("agent", "m", event);
    assert_eq!(row_of_data.told().unwrap().0, "result");
    // What the metadata say counts before the message.
    let both = json!({"eventType": "user", "eventData": {"a": 1}, "sequenceNumber": 3});
    assert_eq!(
        seen(&row("agent", &message, both)),
        Some(("user".into(), r#"{"a":1}"#.into()))
    );
    // Cut by the service, text, or no agent's: then the message is all there is.
    for text in [
        "[assistant] {\"type\":\"assi",
        "[assistant]",
        "[assistant] 5",
        "[assistant {}",
        "plain",
        "",
    ] {
        assert!(row("agent", text, json!(null)).told().is_none(), "{text}");
    }
    assert!(row("system", &message, json!(null)).told().is_none());
    let network = json!({"method": "GET", "url": "u", "status": 200, "duration": 1});
    assert!(
        row("network", "GET u - 200 (1ms)", network)
            .told()
            .is_none()
    );
}

#[test]
fn the_services_clock_is_used() {
    let ahead = SignedDuration::from_hours(3);
    let server = Server::new(move |_, number| {
        let date = match number {
            1 => Timestamp::now() + ahead,
            _ => Timestamp::now(),
        };
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&date)
            .unwrap();
        status(
            200,
            &[&format!("date: {date}")],
            &page_json(&[], false, None),
        )
    });
    let client = server.client();
    let off = || client.now().duration_since(Timestamp::now());
    let near = |left: SignedDuration, right| (left - right).abs() < SignedDuration::from_secs(60);
    assert!(near(off(), SignedDuration::ZERO));
    client.agents(&Progress::new()).unwrap();
    assert!(near(off(), ahead), "{:?}", off());
    client.agents(&Progress::new()).unwrap();
    assert!(near(off(), SignedDuration::ZERO), "{:?}", off());
}
