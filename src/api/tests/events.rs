//! The stream of a run's events, from the demo server and from worse ones.

use super::*;
use crate::fake::{self, World};
use serde_json::json;

fn next(stream: &mut EventStream) -> RunEvent {
    stream.next().unwrap().unwrap()
}

/// A world with a running run of the id `r` that has `events` events.
fn running(events: u64) -> World {
    let mut world = World::empty();
    let now = Timestamp::now();
    let mut run = fake::Run::new("a", now).id("r").status("running");
    for n in 1..=events {
        run.event(now, fake::Claude::said(&n.to_string()));
    }
    world.add_run(run);
    world
}

#[test]
fn a_stream_has_a_runs_events_to_its_end() {
    let server = fake::Server::start(running(2)).unwrap();
    let client = demo_client(&server, Duration::from_secs(5));
    let progress = Progress::new();
    let mut stream = client.run_events("r", None, &progress).unwrap();
    assert!(matches!(
        next(&mut stream),
        RunEvent::Status(RunStatus::Running)
    ));
    for n in 1..=2 {
        let RunEvent::Output(event) = next(&mut stream) else {
            panic!("no output");
        };
        assert_eq!((event.sequence, &*event.kind), (n, "assistant"));
        let said = fake::Claude::said(&n.to_string());
        assert_eq!(event.data.get(), said.to_string());
        assert!(event.timestamp.parse::<Timestamp>().is_ok());
    }
    // Events during the stream.
    {
        let mut world = server.world();
        let run = world.run_mut("r").unwrap();
        run.event(
            Timestamp::now(),
            json!({"type": "result", "subtype": "success"}),
        );
        run.finish(Timestamp::now(), "failed", Some("out of luck".into()));
    }
    let RunEvent::Output(event) = next(&mut stream) else {
        panic!("no output");
    };
    assert_eq!((event.sequence, &*event.kind), (3, "result"));
    assert!(matches!(
        next(&mut stream),
        RunEvent::Status(RunStatus::Failed)
    ));
    assert!(matches!(next(&mut stream), RunEvent::Error(message) if message == "out of luck"));
    assert!(matches!(
        next(&mut stream),
        RunEvent::Complete(RunStatus::Failed)
    ));
    assert!(stream.next().unwrap().is_none());
    assert!(stream.next().unwrap().is_none());
    assert_eq!(client.calls().made, 1);
    assert!(progress.bytes() > 100);
}

#[test]
fn a_stream_continues_after_an_event() {
    let server = fake::Server::start(running(5)).unwrap();
    let client = demo_client(&server, Duration::from_secs(5));
    let mut stream = client.run_events("r", Some(4), &Progress::new()).unwrap();
    assert!(matches!(next(&mut stream), RunEvent::Status(_)));
    assert!(matches!(next(&mut stream), RunEvent::Output(event) if event.sequence == 5));
    let asked = server.requests();
    assert_eq!(asked[0].query, "last_event_id=4");
    server.world().set_status("r", "completed");
    assert!(matches!(next(&mut stream), RunEvent::Status(_)));
    assert!(matches!(next(&mut stream), RunEvent::Complete(_)));
    // The status and the end.
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    assert!(matches!(next(&mut stream), RunEvent::Status(_)));
    assert!(matches!(
        next(&mut stream),
        RunEvent::Complete(RunStatus::Completed)
    ));
    assert!(stream.next().unwrap().is_none());
    let error = client.run_events(&fake::uuid("none"), None, &Progress::new());
    assert!(error.err().unwrap().is_not_found());
}

#[test]
fn heartbeats_keep_a_stream_alive_beyond_the_timeout() {
    let mut world = running(0);
    world.heartbeat = Duration::from_millis(700);
    let server = fake::Server::start(world).unwrap();
    let client = demo_client(&server, Duration::from_millis(200));
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    assert!(matches!(next(&mut stream), RunEvent::Status(_)));
    for _ in 0..2 {
        assert!(matches!(next(&mut stream), RunEvent::Heartbeat));
    }
}

#[test]
fn a_silent_stream_ends_with_an_error() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let server = Server::new(move |_, _| {
        Reply::Stall(format!("{head}event: heartbeat\ndata: {{}}\n\n: still"))
    });
    let mut client = server.client();
    assert_eq!(client.transport.stream_timeout, Duration::from_secs(40));
    client.transport.stream_timeout = Duration::from_millis(400);
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    assert!(matches!(next(&mut stream), RunEvent::Heartbeat));
    let error = stream.next().unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Stalled);
    assert!(error.to_string().contains("heartbeat"), "{error}");
    assert!(
        stream.next().unwrap().is_none(),
        "after an error it has ended"
    );
    let longer = server.client_with(Duration::from_secs(90));
    assert_eq!(longer.transport.stream_timeout, Duration::from_secs(90));
}

/// A server that answers every stream with this body.
fn streaming(body: impl Into<String>) -> Server {
    let body = body.into();
    Server::new(move |_, _| {
        status(
            200,
            &["content-type: Text/Event-Stream; charset=utf-8"],
            &body,
        )
    })
}

#[test]
fn undocumented_events_are_skipped() {
    let server = streaming(
        "event: novelty\ndata: {}\n\nevent: output\ndata: {\"sequence\":\"x\"}\n\n\
         event: status\ndata: not json\n\ndata: {\"status\":\"running\"}\n\n\
         event: error\ndata: {}\n\nevent: output\nid: 9\ndata: {\"sequence\":9,\"type\":\"t\"}\n\n\
         event: status\ndata: {\"status\":\"odd\"}\n\nevent: complete\ndata: {\"status\"",
    );
    let client = server.client();
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    let RunEvent::Output(event) = next(&mut stream) else {
        panic!("no output");
    };
    assert_eq!((event.sequence, event.data.get()), (9, "null"));
    assert!(matches!(next(&mut stream), RunEvent::Status(RunStatus::Other(word)) if word == "odd"));
    assert!(stream.next().unwrap().is_none());
}

#[test]
fn a_stream_that_breaks_or_never_ends_a_line_is_an_error() {
    let server = Server::new(|_, _| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        Reply::Raw(format!("{head}content-length: 99\r\n\r\nevent: x\n"))
    });
    let client = server.client();
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    let error = stream.next().unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Broken);

    let server = streaming(format!("data: {}\n\n", "x".repeat(sse::MAX_EVENT)));
    let client = server.client();
    let mut stream = client.run_events("r", None, &Progress::new()).unwrap();
    let error = stream.next().unwrap_err();
    assert!(error.to_string().contains("16 MiB"), "{error}");
    assert!(stream.next().unwrap().is_none());
}

#[test]
fn an_answer_that_is_no_stream_is_an_error() {
    const HTML: &[&str] = &["content-type: text/html"];
    const ECHO: &[&str] = &["content-type: for/vm0_live_secret"];
    const ELSEWHERE: &[&str] = &["location: http://127.0.0.1:9/v1/runs/r/events"];
    for (code, headers, word, calls) in [
        (200, HTML, "text/html", 1),
        (200, &[], "content type", 1),
        (200, ECHO, "for/[token]", 1),
        (204, &["content-type: text/event-stream"], "HTTP 204", 1),
        (302, ELSEWHERE, "redirected to http://127.0.0.1:9", 1),
        (503, &[], "HTTP 503", 3),
    ] {
        let server = Server::new(move |_, _| status(code, headers, ""));
        let client = server.client();
        let result = client.run_events("r", None, &Progress::new());
        let error = result.err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
        assert!(error.contains("GET /v1/runs/r/events"), "{error}");
        assert_eq!(server.asked().len(), calls, "{error}");
        assert_eq!(client.calls().failed, calls as u64);
    }
}
