//! Logs as a whole.

use super::*;

/// A log service; `time` gives each row's moment in microseconds.
struct LogService {
    rows: Vec<(i64, String)>,
    has_more: bool,
    /// The cursor is the last row's moment, and goes on strictly later.
    lossy_cursor: bool,
    ignore_since: bool,
    /// `since`, `until` and the cursor are cut to so many microseconds.
    resolution: i64,
}

impl LogService {
    fn new(moments: impl IntoIterator<Item = i64>) -> Self {
        let rows = moments
            .into_iter()
            .enumerate()
            // Every third text is the same, so that whole rows repeat.
            .map(|(n, moment)| (moment, format!("m{}", if n % 3 == 0 { 0 } else { n })))
            .collect();
        Self {
            rows,
            has_more: false,
            lossy_cursor: true,
            ignore_since: false,
            resolution: 1,
        }
    }

    fn row((moment, text): &(i64, String)) -> String {
        let moment = Timestamp::from_microsecond(*moment).unwrap();
        format!(r#"{{"timestamp":"{moment}","type":"system","level":"info","message":"{text}"}}"#)
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let is_descending = asked.get("order") == Some("desc");
        let cut = |time: i64| time - time.rem_euclid(self.resolution);
        let time = |name| {
            let time = asked.get(name)?.parse::<Timestamp>();
            Some(cut(time.unwrap().as_microsecond()))
        };
        let (until, kind) = (time("until"), asked.get("type"));
        let cursor: Option<i64> = asked.get("cursor").map(|cursor| cursor.parse().unwrap());
        let cursor = cursor.map(|cursor| match self.lossy_cursor {
            true => cut(cursor),
            false => cursor,
        });
        let since = time("since").filter(|_| !self.ignore_since);
        let size: usize = asked.get("limit").unwrap().parse().unwrap();
        let rows: Vec<_> = self
            .rows
            .iter()
            .enumerate()
            .filter(|(n, (moment, _))| match cursor {
                Some(cursor) if self.lossy_cursor => *moment > cursor,
                Some(cursor) => *n as i64 >= cursor,
                None => since.is_none_or(|since| *moment >= since),
            })
            .filter(|(_, (moment, _))| until.is_none_or(|until| *moment <= until))
            .filter(|_| kind.is_none_or(|kind| ["all", "system"].contains(&kind)))
            .collect();
        let mut rows = rows;
        if is_descending {
            rows.reverse();
        }
        rows.truncate(size);
        let next = rows.last().map(|(n, (moment, _))| match self.lossy_cursor {
            true => moment.to_string(),
            false => (n + 1).to_string(),
        });
        let next = next.filter(|_| self.has_more && rows.len() == size);
        let rows: Vec<_> = rows.iter().map(|(_, row)| Self::row(row)).collect();
        json(page_json(&rows, next.is_some(), next.as_deref()))
    }

    /// What was sent and what the client made of it, each as raw rows.
    fn run(self) -> (Vec<String>, Vec<String>, usize) {
        let sent: Vec<_> = self.rows.iter().map(Self::row).collect();
        let server = Server::new(move |asked, _| self.answer(asked));
        let rows = server
            .client()
            .run_logs("r", &mut LogReader::default(), &Progress::new())
            .unwrap();
        let got = rows.iter().map(|row| row.raw.get().to_owned()).collect();
        (sent, got, server.asked().len())
    }
}

#[test]
fn short_logs_cost_one_call() {
    for length in [0, 1, 99] {
        let (sent, got, calls) = LogService::new(0..length).run();
        assert_eq!(sent, got);
        assert_eq!(calls, 1);
    }
}

#[test]
fn logs_lose_nothing_and_repeat_nothing() {
    for has_more in [true, false] {
        // One a moment; seven a moment, over the pages' edges; and the same
        // moment at the very end of a page and start of the next.
        for divisor in [1, 7, 60, 99] {
            for length in [100, 101, 350] {
                let mut service = LogService::new((0..length).map(|n| n / divisor));
                service.has_more = has_more;
                let (sent, got, _) = service.run();
                assert_eq!(sent, got, "{divisor} a moment, {length} rows");
            }
        }
    }
}

#[test]
fn more_rows_at_one_moment_than_a_page_holds_are_read() {
    let moments = || [0; 10].into_iter().chain([5; 150]).chain(6..20);
    // A sound cursor: everything.
    let mut service = LogService::new(moments());
    (service.has_more, service.lossy_cursor) = (true, false);
    let (sent, got, _) = service.run();
    assert_eq!(sent, got);
    // A lossy cursor, or none: from both ends of the moment, so that nothing is
    // missing up to two pages.
    for has_more in [true, false] {
        let mut service = LogService::new(moments());
        service.has_more = has_more;
        let (sent, got, _) = service.run();
        assert_eq!(got, sent);
    }
    // One that is the last, and one of more than can be asked for.
    for (length, missing) in [(200, 0), (230, 30)] {
        for has_more in [true, false] {
            let mut service = LogService::new((0..3).chain(vec![5; length]));
            service.has_more = has_more;
            let (sent, got, _) = service.run();
            assert_eq!(got[..103], sent[..103]);
            assert_eq!(got[103..], sent[103 + missing..]);
        }
    }
}

#[test]
fn a_service_that_cuts_times_to_milliseconds_loses_none_of_its_rows() {
    for has_more in [true, false] {
        // More in one millisecond than a page holds, each at a microsecond of its
        // own, from its beginning or in its middle; over the edges of pages; some
        // at one microsecond; and nearly two pages of them.
        for moments in [
            (0..150).chain(2000..2010).collect::<Vec<_>>(),
            (300..450).chain(1000..1010).collect(),
            (0..50).chain(1900..2090).chain(3000..3001).collect(),
            (0..350).map(|n| n * 7).collect(),
            (0..350).map(|n| n * 40).collect(),
            (0..160).map(|n| 5000 + n / 3).collect(),
            vec![123; 180],
            (0..90).chain(vec![500; 80]).chain(2000..2200).collect(),
            (0..199).chain(1000..1100).collect(),
        ] {
            let mut service = LogService::new(moments.clone());
            (service.resolution, service.has_more) = (1000, has_more);
            let (sent, got, calls) = service.run();
            assert_eq!(got.len(), sent.len(), "{has_more} {moments:?}");
            assert_eq!(got, sent, "{has_more} {moments:?}");
            assert!(calls < 30, "{calls} calls for {} rows", sent.len());
        }
        // More than can be asked for: from both of its ends.
        let mut service = LogService::new((0..230).chain(2000..2010));
        (service.resolution, service.has_more) = (1000, has_more);
        let (sent, got, _) = service.run();
        assert_eq!(got[..100], sent[..100]);
        assert_eq!(got[got.len() - 110..], sent[130..]);
        assert!(got.len() >= sent.len() - 30, "{} rows", got.len());
    }
}

#[test]
fn no_date_is_sent_that_the_service_cannot_read() {
    // A leap second and times of other forms, each the last of its page.
    let row = |n: usize| {
        let time = match n {
            99 => "2016-12-31T23:59:60Z".to_owned(),
            199 => "yesterday".to_owned(),
            299 => String::new(),
            n => format!("2017-01-01T00:{:02}:{:02}.5Z", n / 60, n % 60),
        };
        let kind = if n == 99 { "system" } else { "agent" };
        format!(r#"{{"timestamp":"{time}","type":"{kind}","level":"info","message":"m{n}"}}"#)
    };
    let rows: Vec<_> = (0..330).map(row).collect();
    let sent = rows.clone();
    let server = Server::new(move |asked, _| {
        let Some(since) = asked.get("since") else {
            return json(page_json(&rows[..100], false, None));
        };
        // As JavaScript reads dates: no second is the sixtieth.
        if since.parse::<Timestamp>().is_err() || since.contains(":60") {
            let error = r#"{"error":{"type":"api_error","code":"internal_error","message":"m"}}"#;
            return status(500, &[], error);
        }
        let since: Timestamp = since.parse().unwrap();
        let is_before = |row: &String| {
            let time = row.split('"').nth(3).unwrap().parse::<Timestamp>();
            time.is_ok_and(|time| time < since)
        };
        let start = rows.iter().rposition(is_before).map_or(0, |last| last + 1);
        let end = rows.len().min(start + 100);
        json(page_json(&rows[start..end], false, None))
    });
    let read = server
        .client()
        .run_logs("r", &mut LogReader::default(), &Progress::new());
    let read = read.unwrap();
    let mut got: Vec<_> = read.iter().map(|row| row.raw.get().to_owned()).collect();
    got.sort();
    let mut expected = sent;
    expected.sort();
    assert_eq!(got, expected);
}

#[test]
fn a_page_too_large_to_take_is_asked_for_in_smaller_ones() {
    let row = |n: usize, large: usize| {
        let (minute, second, text) = (n / 60, n % 60, n.to_string());
        let text = text.repeat(large / text.len());
        format!(
            r#"{{"timestamp":"2025-01-01T00:{minute:02}:{second:02}Z","type":"agent","level":"info","message":"{text}"}}"#
        )
    };
    // All rows in one page, so that half of a page's rows are as many bytes.
    let few: &[&str] = &["100", "50", "6", "12", "12", "12", "12"];
    for (count, large, is_declared, expected) in [
        (110, 900_000, true, &["100", "50", "50", "50"] as &[&str]),
        (110, 900_000, false, &["100", "50", "50", "50"]),
        (42, 1_700_000, true, few),
        (42, 1_700_000, false, &["100", "50", "25", "25"]),
    ] {
        let rows: Vec<_> = (0..count).map(|n| row(n, large)).collect();
        let sent: Vec<usize> = rows.iter().map(String::len).collect();
        let server = Server::new(move |asked, _| {
            let size: usize = asked.get("limit").unwrap().parse().unwrap();
            let since = asked.get("since").map_or(0, |since| {
                let since: Timestamp = since.parse().unwrap();
                let begin: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
                usize::try_from(since.duration_since(begin).as_secs()).unwrap()
            });
            let end = rows.len().min(since + size);
            let page = page_json(&rows[since..end], false, None);
            match is_declared {
                true => json(page),
                false => Reply::Raw(format!("HTTP/1.1 200 OK\r\n\r\n{page}")),
            }
        });
        let client = server.client();
        let read = client.run_logs("r", &mut LogReader::default(), &Progress::new());
        let read = read.unwrap();
        let got: Vec<usize> = read.iter().map(|row| row.raw.get().len()).collect();
        assert_eq!(got, sent);
        let asked = server.asked();
        let sizes: Vec<_> = asked
            .iter()
            .filter_map(|asked| asked.get("limit"))
            .collect();
        assert_eq!(sizes, expected);
    }
}

#[test]
fn logs_of_a_service_that_ignores_since_are_read() {
    let mut service = LogService::new(0..350);
    (service.has_more, service.ignore_since) = (true, true);
    let (sent, got, calls) = service.run();
    assert_eq!(sent, got);
    assert!(calls < 15, "{calls}");
}

#[test]
fn logs_come_sorted() {
    let service = LogService::new([3, 1, 2]);
    let (sent, got, _) = service.run();
    assert_eq!(got, [&sent[1], &sent[2], &sent[0]].map(String::clone));
}
