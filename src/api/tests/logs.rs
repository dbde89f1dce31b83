//! Logs as a whole.

use super::*;

/// A log service; `time` gives each row's moment in microseconds.
struct LogService {
    rows: Vec<(i64, String)>,
    has_more: bool,
    /// The cursor is the last row's moment, and goes on strictly later.
    lossy_cursor: bool,
    ignore_since: bool,
    /// `since` is read in units of this many microseconds.
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
        format!(r#"{{"timestamp":"{moment}","type":"agent","level":"info","message":"{text}"}}"#)
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let is_descending = asked.get("order") == Some("desc");
        let time = |name| {
            let time = asked.get(name)?.parse::<Timestamp>();
            Some(time.unwrap().as_microsecond())
        };
        let (until, kind) = (time("until"), asked.get("type"));
        let cursor: Option<i64> = asked.get("cursor").map(|cursor| cursor.parse().unwrap());
        let since = asked
            .get("since")
            .filter(|_| !self.ignore_since)
            .map(|since| {
                let since = since.parse::<Timestamp>().unwrap().as_microsecond();
                since - since.rem_euclid(self.resolution)
            });
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
            .filter(|_| kind.is_none_or(|kind| ["all", "agent"].contains(&kind)))
            .collect();
        let mut rows = rows;
        if is_descending {
            rows.reverse();
        }
        rows.truncate(100);
        let next = rows.last().map(|(n, (moment, _))| match self.lossy_cursor {
            true => moment.to_string(),
            false => (n + 1).to_string(),
        });
        let next = next.filter(|_| self.has_more && rows.len() == 100);
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
fn more_rows_at_one_moment_than_a_page_holds() {
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
    // `since` read in milliseconds, no cursor: on with the next millisecond.
    let mut service = LogService::new((0..150).chain(2000..2010));
    service.resolution = 1000;
    let (sent, got, _) = service.run();
    assert_eq!(got[..100], sent[..100]);
    assert_eq!(got[100..], sent[150..]);
}

#[test]
fn logs_of_a_service_that_ignores_since() {
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
