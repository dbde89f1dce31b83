//! Error answers, broken connections, silence, and bodies that are too large.

use super::*;

#[test]
fn error_answers_are_decoded() {
    let table = [
        (
            401,
            r#"{"error":{"type":"authentication_error","code":"invalid_api_key","message":"no"}}"#,
            "invalid_api_key: no; check the token",
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
        assert_eq!(
            server.asked().len(),
            1,
            "a reader that has waited once waits no more"
        );
    }
    // Three times the timeout in all, but never silent for that long.
    let server = Server::new(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[".to_owned();
        let mut pieces = vec![head];
        pieces.extend((0..28).map(|_| " ".to_owned()));
        pieces.push("],\"pagination\":{\"has_more\":false}}".into());
        Reply::Slow(Duration::from_millis(100), pieces)
    });
    let client = server.client_with(Duration::from_secs(1));
    assert!(client.agents(&Progress::new()).unwrap().is_empty());
}

#[test]
fn a_refused_connection_is_an_error_that_names_the_host() {
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
fn a_body_that_is_too_large_is_refused() {
    let server = Server::new(|_, _| {
        Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".into())
    });
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let asked = server.asked();
    let sizes: Vec<_> = asked
        .iter()
        .filter_map(|asked| asked.get("limit"))
        .collect();
    assert_eq!(sizes, ["100", "50", "6", "1"], "which are no smaller");
    // Without a length: found while it comes.
    let server = Server::new(|_, _| {
        let blanks = " ".repeat((64 << 20) + 1);
        Reply::Raw(format!("HTTP/1.1 200 OK\r\n\r\n{blanks}"))
    });
    let client = server.client_with(Duration::from_secs(60));
    let error = client.run("r", &Progress::new()).unwrap_err();
    assert!(error.to_string().contains("64 MiB"), "{error}");
    assert_eq!(server.asked().len(), 1);
}
