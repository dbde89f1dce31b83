//! The client against a scripted server on loopback: real HTTP over real
//! sockets, with the quirks and faults of the service and of what is between.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::{Error, TransportKind};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// What the server was asked.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    query: Vec<(String, String)>,
    authorization: Option<String>,
    user_agent: Option<String>,
}

impl Asked {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does.
enum Reply {
    /// Status, header lines, body; with its true length.
    Whole(u16, Vec<String>, String),
    /// These bytes, then the connection closes.
    Raw(String),
    /// These bytes, then silence.
    Stall(String),
    /// These pieces with a wait before each.
    Slow(Duration, Vec<String>),
}

fn json(body: impl ToString) -> Reply {
    Reply::Whole(200, vec![], body.to_string())
}

fn status(status: u16, headers: &[&str], body: &str) -> Reply {
    let headers = headers.iter().map(ToString::to_string).collect();
    Reply::Whole(status, headers, body.to_owned())
}

struct Server {
    base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let record = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, record) = (script.clone(), record.clone());
                thread::spawn(move || serve(stream, &*script, &record));
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn client(&self) -> Client {
        self.client_with(Duration::from_secs(5))
    }

    fn client_with(&self, timeout: Duration) -> Client {
        Client::new(config(&self.base, timeout)).unwrap()
    }
}

fn config(base: &str, timeout: Duration) -> ClientConfig {
    ClientConfig {
        base: base.parse().unwrap(),
        token: Token::new("vm0_live_secret").unwrap(),
        timeout,
        allow_http: false,
        user_agent: "vm0fs/test".into(),
    }
}

fn serve(
    stream: TcpStream,
    script: &(dyn Fn(&Asked, usize) -> Reply + Send + Sync),
    record: &Mutex<Vec<Asked>>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let target = first.split(' ').nth(1).unwrap();
    let url = Url::parse(&format!("http://x{target}")).unwrap();
    let mut asked = Asked {
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        authorization: None,
        user_agent: None,
    };
    for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = Some(value.to_owned()),
            "user-agent" => asked.user_agent = Some(value.to_owned()),
            _ => {}
        }
    }
    let number = {
        let mut record = record.lock().unwrap();
        record.push(asked.clone());
        record.len()
    };
    let mut stream = stream;
    let mut put = |text: &str| drop(stream.write_all(text.as_bytes()));
    match script(&asked, number) {
        Reply::Whole(status, headers, body) => {
            put(&format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n",
                body.len()
            ));
            headers.iter().for_each(|line| put(&format!("{line}\r\n")));
            put("\r\n");
            put(&body);
        }
        Reply::Raw(text) => put(&text),
        Reply::Stall(text) => {
            put(&text);
            thread::sleep(Duration::from_secs(20));
        }
        Reply::Slow(wait, pieces) => {
            for piece in pieces {
                thread::sleep(wait);
                put(&piece);
            }
        }
    }
}

fn agent_json(id: &str) -> String {
    format!(r#"{{"id":"{id}","name":"n-{id}","created_at":"2025-01-01T00:00:00Z","extra":1}}"#)
}

fn page_json(rows: &[String], has_more: bool, cursor: Option<&str>) -> String {
    format!(
        r#"{{"data":[{}],"pagination":{{"has_more":{has_more},"next_cursor":{}}}}}"#,
        rows.join(","),
        cursor.map_or("null".into(), |cursor| format!("{cursor:?}"))
    )
}

fn ids(rows: &[Row<Agent>]) -> Vec<&str> {
    rows.iter().map(|row| row.value.id.as_str()).collect()
}

fn transport_kind(error: &Error) -> TransportKind {
    match error {
        Error::Transport(transport) => transport.kind,
        other => panic!("not a transport error: {other:?}"),
    }
}

#[test]
fn one_page_one_call() {
    let server = Server::new(|_, _| {
        Reply::Whole(
            200,
            vec![
                "x-request-id: req-1".into(),
                "x-ratelimit-limit: 5000".into(),
                "x-ratelimit-remaining: 4999".into(),
                "x-ratelimit-reset: 1700000000".into(),
            ],
            page_json(&[agent_json("a"), agent_json("b")], false, None),
        )
    });
    let client = server.client();
    let progress = Progress::new();
    let agents = client.agents(&progress).unwrap();
    assert_eq!(ids(&agents), ["a", "b"]);
    assert_eq!(agents[0].raw.get(), agent_json("a"));
    assert!(progress.bytes() > 100);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/v1/agents");
    assert_eq!(asked[0].query, [("limit".into(), "100".into())]);
    assert_eq!(
        asked[0].authorization.as_deref(),
        Some("Bearer vm0_live_secret")
    );
    assert_eq!(asked[0].user_agent.as_deref(), Some("vm0fs/test"));
    let calls = client.calls();
    assert_eq!((calls.made, calls.failed), (1, 0));
    assert_eq!(
        calls.rate_limit,
        Some(RateLimit {
            limit: 5000,
            remaining: 4999,
            reset: 1_700_000_000
        })
    );
    assert_eq!(calls.last_request_id.as_deref(), Some("req-1"));
}

#[test]
fn pages_that_overlap_and_cursors_that_repeat() {
    let server = Server::new(|asked, _| {
        json(match asked.get("cursor") {
            None => page_json(&[agent_json("a"), agent_json("b")], true, Some("b")),
            Some("b") => page_json(&[agent_json("b"), agent_json("c")], true, Some("c")),
            // Something new each time, and a cursor that was there before.
            Some(_) => page_json(&[agent_json("d"), agent_json("a")], true, Some("b")),
        })
    });
    let agents = server.client().agents(&Progress::new()).unwrap();
    assert_eq!(ids(&agents), ["a", "b", "c", "d"]);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_page_with_nothing_new_ends_the_list() {
    let server = Server::new(|_, number| {
        json(page_json(
            &[agent_json("a")],
            true,
            Some(&number.to_string()),
        ))
    });
    let agents = server.client().agents(&Progress::new()).unwrap();
    assert_eq!(ids(&agents), ["a"]);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_list_without_end_ends() {
    let server = Server::new(|_, number| {
        let row = agent_json(&number.to_string());
        json(page_json(&[row], true, Some(&number.to_string())))
    });
    let agents = server.client().agents(&Progress::new()).unwrap();
    assert_eq!(agents.len(), paging::MAX_PAGES);
}

#[test]
fn bad_rows_cost_only_themselves() {
    let server = Server::new(|_, _| {
        let rows = [
            "null".into(),
            "{}".into(),
            r#"{"id":"x","name":7}"#.into(),
            agent_json("a"),
        ];
        json(page_json(&rows, false, None))
    });
    let agents = server.client().agents(&Progress::new()).unwrap();
    assert_eq!(ids(&agents), ["a"]);
}

#[test]
fn bodies_that_are_not_the_envelope() {
    for body in [
        "",
        "[]",
        "null",
        "<html>",
        r#"{"data":{}}"#,
        "{\"data\":[",
        "\u{0}",
    ] {
        let server = Server::new(move |_, _| json(body));
        let error = server.client().agents(&Progress::new()).unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{body}: {error}");
        assert!(error.to_string().contains("GET /v1/agents"), "{error}");
    }
    let server = Server::new(|_, _| json(r#"{"data":[]}"#));
    assert!(server.client().agents(&Progress::new()).unwrap().is_empty());
}

#[test]
fn objects_versions_and_metrics() {
    let server = Server::new(|asked, _| {
        json(match asked.path.as_str() {
            "/v1/agents/a%2F..%2Fb%20c" => agent_json("a"),
            "/v1/agents/a/versions" => page_json(&[r#"{"id":"v","n":1.0}"#.into()], false, None),
            "/v1/runs/r/metrics" => r#"{"data":[{"cpu_percent":1.50}],"summary":{}}"#.into(),
            "/v1/runs/bad/metrics" => "{}".into(),
            other => panic!("{other}"),
        })
    });
    let client = server.client();
    let progress = Progress::new();
    assert_eq!(client.agent("a/../b c", &progress).unwrap().value.id, "a");
    let versions = client.agent_versions("a", &progress).unwrap();
    assert_eq!(versions[0].get(), r#"{"id":"v","n":1.0}"#);
    let metrics = client.run_metrics("r", &progress).unwrap();
    assert!(metrics.get().contains("1.50"));
    assert!(client.run_metrics("bad", &progress).is_err());
    let made = client.calls().made;
    for id in ["", ".", ".."] {
        assert!(client.agent(id, &progress).unwrap_err().is_not_found());
    }
    assert_eq!(
        client.calls().made,
        made,
        "a name that is no id costs no call"
    );
}

fn run_json(id: &str, status: &str, minute: u32) -> String {
    format!(
        r#"{{"id":"{id}","agent_id":"a{}","status":"{status}","prompt":"p","created_at":"2025-01-01T00:{minute:02}:00Z"}}"#,
        minute % 2
    )
}

fn run_ids(rows: &[Row<Run>]) -> Vec<&str> {
    rows.iter().map(|row| row.value.id.as_str()).collect()
}

#[test]
fn run_filters_are_applied_again() {
    let server = Server::new(|_, _| {
        let rows = [
            run_json("1", "failed", 1),
            run_json("2", "failed", 2),
            run_json("3", "failed", 3),
            run_json("4", "odd-word", 5),
        ];
        json(page_json(&rows, false, None))
    });
    let client = server.client();
    let filter = RunFilter {
        agent_id: Some("a1".into()),
        since: Some("2025-01-01T00:02:00Z".parse().unwrap()),
        status: None,
    };
    let rows = client.runs(&filter, &Progress::new()).unwrap();
    assert_eq!(run_ids(&rows), ["4", "3"], "newest first");
    let asked = &server.asked()[0];
    assert_eq!(asked.get("agent_id"), Some("a1"));
    assert_eq!(asked.get("since"), Some("2025-01-01T00:02:00Z"));
    let filter = RunFilter {
        status: Some(RunStatus::Failed),
        ..RunFilter::default()
    };
    assert_eq!(client.runs(&filter, &Progress::new()).unwrap().len(), 3);
}

#[test]
fn skipped_runs_come_back_by_status_and_a_sound_list_costs_no_more() {
    let server = Server::new(|asked, _| {
        json(match (asked.get("status"), asked.get("cursor")) {
            (None, None) => page_json(
                &[run_json("9", "running", 9), run_json("4", "failed", 8)],
                true,
                Some("4"),
            ),
            // By id, from 4: row 9 again, and row 3 for ever skipped.
            (None, Some(_)) => page_json(&[run_json("9", "running", 9)], false, None),
            (Some("failed"), _) => page_json(
                &[run_json("4", "failed", 8), run_json("3", "failed", 7)],
                false,
                None,
            ),
            _ => page_json(&[], false, None),
        })
    });
    let runs = server
        .client()
        .runs(&RunFilter::default(), &Progress::new());
    assert_eq!(run_ids(&runs.unwrap()), ["9", "4", "3"]);
    assert_eq!(server.asked().len(), 8);

    // The union fails: what the plain list gave stays.
    let server = Server::new(|asked, _| match asked.get("status") {
        None => json(page_json(&[run_json("9", "running", 9)], true, Some("9"))),
        Some(_) => status(429, &["retry-after: 99"], ""),
    });
    let runs = server
        .client()
        .runs(&RunFilter::default(), &Progress::new());
    assert_eq!(run_ids(&runs.unwrap()), ["9"]);
    assert_eq!(server.asked().len(), 3);

    let server = Server::new(|asked, _| {
        json(match asked.get("cursor") {
            None => page_json(
                &[run_json("9", "running", 9), run_json("4", "failed", 8)],
                true,
                Some("4"),
            ),
            _ => page_json(&[run_json("3", "failed", 7)], false, None),
        })
    });
    let runs = server
        .client()
        .runs(&RunFilter::default(), &Progress::new());
    assert_eq!(runs.unwrap().len(), 3);
    assert_eq!(server.asked().len(), 2);
}

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
        assert_eq!(asked.get("order"), Some("asc"));
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
            .take(100)
            .collect();
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
        let rows = server.client().run_logs("r", &Progress::new()).unwrap();
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
    // A lossy cursor, or none: the moment's first hundred, and all the rest.
    for has_more in [true, false] {
        let mut service = LogService::new(moments());
        service.has_more = has_more;
        let (sent, got, _) = service.run();
        assert_eq!(got[..110], sent[..110]);
        assert_eq!(got[110..], sent[160..]);
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

#[test]
fn error_answers() {
    let table = [
        (
            401,
            r#"{"error":{"type":"authentication_error","code":"invalid_api_key","message":"no"}}"#,
            "invalid_api_key: no; check the token",
            1,
        ),
        (
            404,
            "<html><title>404 Not Found</title>",
            "404 Not Found (an HTML page",
            1,
        ),
        (500, "", "(empty answer)", 1),
        (
            502,
            "<html><title>502 Bad Gateway</title>",
            "HTTP 502: 502 Bad Gateway",
            3,
        ),
        (503, "", "Service Unavailable", 3),
        (504, "upstream", "Gateway Timeout: upstream", 3),
        (
            429,
            r#"{"error":{"code":"rate","message":"slow"}}"#,
            "slow",
            1,
        ),
    ];
    for (code, body, expected, calls) in table {
        let server = Server::new(move |_, _| status(code, &["x-request-id: q7"], body));
        let client = server.client();
        let error = client.agent("a", &Progress::new()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("GET /v1/agents/a: HTTP"), "{message}");
        assert!(message.ends_with("[request id q7]"), "{message}");
        assert_eq!(error.status(), Some(code));
        assert_eq!(server.asked().len(), calls, "{code}");
        assert_eq!(client.calls().failed, calls as u64);
    }
}

#[test]
fn passing_faults_are_tried_again() {
    let first: [fn() -> Reply; 5] = [
        || status(502, &[], ""),
        || status(429, &["retry-after: 0"], ""),
        || Reply::Raw(String::new()),
        || Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\"".into()),
        || {
            Reply::Raw(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n".into(),
            )
        },
    ];
    for first in first {
        let server = Server::new(move |_, number| match number {
            1 => first(),
            _ => json(agent_json("a")),
        });
        assert!(server.client().agent("a", &Progress::new()).is_ok());
        assert_eq!(server.asked().len(), 2);
    }
}

#[test]
fn long_rate_limits_are_not_waited_for() {
    for code in [429, 503] {
        let server = Server::new(move |_, _| status(code, &["retry-after: 3000"], ""));
        let started = Instant::now();
        let error = server.client().agent("a", &Progress::new()).unwrap_err();
        assert!(error.to_string().contains("try again in 3000 s"), "{error}");
        assert_eq!(server.asked().len(), 1);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_truncated_body_is_never_an_answer() {
    let server = Server::new(|_, _| {
        Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":[]}".into())
    });
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Broken);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn silence_is_bounded_and_a_slow_answer_is_not_cut() {
    for text in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"] {
        let server = Server::new(move |_, _| Reply::Stall(text.into()));
        let client = server.client_with(Duration::from_millis(400));
        let started = Instant::now();
        let error = client.agents(&Progress::new()).unwrap_err();
        assert_eq!(transport_kind(&error), TransportKind::Stalled);
        assert!(error.to_string().contains("--timeout"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(server.asked().len(), 1, "who has waited once waits no more");
    }
    // Three times the timeout in all, but never silent for that long.
    let server = Server::new(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[".to_owned();
        let mut pieces = vec![head];
        pieces.extend((0..8).map(|_| " ".to_owned()));
        pieces.push("]}".into());
        Reply::Slow(Duration::from_millis(150), pieces)
    });
    let client = server.client_with(Duration::from_millis(500));
    assert!(client.agents(&Progress::new()).unwrap().is_empty());
}

#[test]
fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = Client::new(config(&format!("http://{port}"), Duration::from_secs(5))).unwrap();
    let error = client.agents(&Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Connect);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn too_large_a_body_is_refused() {
    let server = Server::new(|_, _| {
        Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".into())
    });
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    // Without a length: found while it comes.
    let server = Server::new(|_, _| {
        let mut text = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
        text.extend(std::iter::repeat_n(' ', (64 << 20) + 1));
        Reply::Raw(text)
    });
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert!(error.to_string().contains("64 MiB"), "{error}");
}

#[test]
fn the_token_stays_at_home() {
    let other = Server::new(|_, _| json(r#"{"data":[]}"#));
    let location = format!("location: {}/v1/agents?sig=hidden", other.base);
    let server = Server::new(move |_, _| status(302, &[&location], ""));
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Forbidden);
    assert!(error.to_string().contains(&other.base), "{error}");
    assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    assert!(other.asked().is_empty());
}

#[test]
fn redirects_within_the_origin() {
    let server = Server::new(|asked, _| match asked.path.as_str() {
        "/v1/agents" => status(308, &["location: /v1/agents/"], ""),
        "/v1/agents/" => json(r#"{"data":[]}"#),
        other => status(301, &[&format!("location: {other}x")], ""),
    });
    let client = server.client();
    assert!(client.agents(&Progress::new()).is_ok());
    assert_eq!(server.asked().len(), 2);
    let error = client.run("r", &Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Forbidden);
    assert_eq!(server.asked().len(), 8);
}

#[test]
fn download_locations() {
    let table = [
        (
            "location: https://store.example/a.tar.gz?sig=hidden#f",
            Ok("https://store.example/a.tar.gz?sig=hidden"),
        ),
        (
            "location: http://127.0.0.1:9/a?sig=hidden",
            Ok("http://127.0.0.1:9/a?sig=hidden"),
        ),
        (
            "location: http://store.example/a?sig=hidden",
            Err("--allow-http"),
        ),
        (
            "location: https://me:pw@store.example/a?sig=hidden",
            Err("password"),
        ),
        ("location: file:///etc/passwd", Err("https://")),
        ("location: data:,x", Err("https://")),
        ("location: https://", Err("Location")),
        ("x-none: 1", Err("Location")),
    ];
    for (header, expected) in table {
        let server = Server::new(move |asked, _| {
            assert_eq!(asked.path, "/v1/artifacts/s/download");
            assert_eq!(asked.get("version_id"), Some("v&1"));
            status(302, &[header], "")
        });
        let url = server
            .client()
            .download_url(StorageKind::Artifact, "s", "v&1", &Progress::new());
        match (url, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{header}: {error}");
                let shown = format!("{error:?} {error}");
                assert!(
                    !shown.contains("hidden") && !shown.contains("v&1"),
                    "{shown}"
                );
            }
            (url, _) => panic!("{header}: {url:?}"),
        }
    }
    let server = Server::new(|_, number| match number {
        1 => status(
            404,
            &[],
            r#"{"error":{"code":"resource_not_found","message":"m"}}"#,
        ),
        _ => json("{}"),
    });
    let client = server.client();
    let get = || client.download_url(StorageKind::Volume, "s", "v", &Progress::new());
    assert!(get().unwrap_err().is_not_found());
    assert!(matches!(get().unwrap_err(), Error::BadAnswer { .. }));
}

#[test]
fn bases() {
    let client = |base: &str, allow_http| {
        Client::new(ClientConfig {
            allow_http,
            ..config(base, Duration::from_secs(1))
        })
    };
    for (base, origin) in [
        ("https://api.vm0.ai", "https://api.vm0.ai"),
        ("https://API.vm0.ai:443/", "https://api.vm0.ai"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://127.8.0.1/prefix/", "http://127.8.0.1/prefix"),
    ] {
        assert_eq!(client(base, false).unwrap().origin(), origin);
    }
    for (base, word) in [
        ("http://api.vm0.ai", "--allow-http"),
        ("http://localhost.example", "--allow-http"),
        ("ftp://api.vm0.ai", "https://"),
        ("https://user:pw@api.vm0.ai", "user or password"),
        ("https://api.vm0.ai/?x", "query"),
    ] {
        let message = client(base, false).err().unwrap().to_string();
        assert!(message.contains(word), "{message}");
        assert!(!message.contains("pw@"), "{message}");
    }
    assert!(client("http://api.vm0.ai", true).is_ok());
    let server = Server::new(|asked, _| {
        assert_eq!(asked.path, "/prefix/v1/agents");
        json(r#"{"data":[]}"#)
    });
    let client = client(&format!("{}/prefix/", server.base), false).unwrap();
    assert!(client.agents(&Progress::new()).is_ok());
}
