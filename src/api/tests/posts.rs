//! Starting and cancelling runs: what is sent, and that it is sent once.

use super::*;
use crate::fake::{self, Action, Fault, World};
use serde_json::json;

#[test]
fn a_run_is_started_and_cancelled() {
    let mut world = World::empty();
    world.pace = None;
    world.add_agent(fake::Agent::new("scribe", Timestamp::now()));
    let server = fake::Server::start(world).unwrap();
    let client = demo_client(&server, Duration::from_secs(5));
    let progress = Progress::new();
    let body = object(json!({
        "agent": "scribe", "prompt": "Write\n\"it\"", "volumes": {"v": "latest"},
        "secrets": {"KEY": "hidden"},
    }));
    let run = client.start_run(&body, &progress).unwrap();
    assert_eq!(run.value.status, RunStatus::Pending);
    assert_eq!(run.value.prompt, "Write\n\"it\"");
    assert_eq!(run.value.agent_name.as_deref(), Some("scribe"));
    assert_eq!(run.value.volumes.unwrap()["v"], "latest");
    assert!(run.raw.get().contains("session_id"));
    let cancelled = client.cancel_run(&run.value.id, &progress).unwrap();
    assert_eq!(cancelled.value.status, RunStatus::Cancelled);

    let error = client.cancel_run(&run.value.id, &progress).unwrap_err();
    assert!(error.to_string().contains("invalid_state"), "{error}");
    assert_eq!(error.status(), Some(400));
    let error = client
        .cancel_run(&fake::uuid("none"), &progress)
        .unwrap_err();
    assert!(error.is_not_found());
    let body = object(json!({"agent": "nobody", "prompt": "x"}));
    assert!(
        client
            .start_run(&body, &progress)
            .unwrap_err()
            .is_not_found()
    );
    let lines: Vec<_> = server.requests().iter().map(|asked| asked.line()).collect();
    let cancel = format!("POST /v1/runs/{}/cancel", run.value.id);
    assert_eq!(
        lines,
        [
            "POST /v1/runs",
            &cancel,
            &cancel,
            &format!("POST /v1/runs/{}/cancel", fake::uuid("none")),
            "POST /v1/runs"
        ]
    );
    assert_eq!(server.world().runs.len(), 1);
}

#[test]
fn a_post_sends_the_documented_request() {
    let server = Server::new(|_, _| status(202, &[], &run_json("1", "pending", 0)));
    let client = server.client();
    let body = object(json!({"prompt": "é", "agent": "a"}));
    client.start_run(&body, &Progress::new()).unwrap();
    client.cancel_run("r/1", &Progress::new()).unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /v1/runs HTTP/1.1");
    assert_eq!(asked[0].body, r#"{"prompt":"é","agent":"a"}"#);
    assert_eq!(asked[0].content_type.as_deref(), Some("application/json"));
    assert_eq!(
        asked[0].authorization.as_deref(),
        Some("Bearer vm0_live_secret")
    );
    assert_eq!(asked[1].line, "POST /v1/runs/r%2F1/cancel HTTP/1.1");
    assert_eq!(
        (asked[1].content_length.as_deref(), &*asked[1].body),
        (Some("0"), "")
    );
}

/// What the two POSTs come to with a server that answers like this; each must
/// have been sent exactly so many times.
#[track_caller]
fn errors(calls: usize, reply: impl Fn() -> Reply + Send + Sync + 'static) -> [Error; 2] {
    let server = Server::new(move |_, _| reply());
    let client = server.client_with(Duration::from_millis(500));
    let body = object(json!({"prompt": "x"}));
    let start = client.start_run(&body, &Progress::new()).unwrap_err();
    let cancel = client.cancel_run("r", &Progress::new()).unwrap_err();
    assert_eq!(server.asked().len(), 2 * calls, "{start}");
    assert_eq!(client.calls().made, 2 * calls as u64);
    [start, cancel]
}

const STARTED: &str = "; the run may have been started: look in runs/ before trying again";
const CANCELLED: &str =
    "; the run may have been cancelled: look at its status in runs/ before trying again";

#[test]
fn a_post_with_an_open_outcome_is_not_sent_again_and_says_so() {
    let replies: [fn() -> Reply; 11] = [
        || status(500, &["x-request-id: q7"], ""),
        || status(502, &[], "<html>"),
        || status(503, &["retry-after: 0"], ""),
        || status(504, &[], ""),
        || Reply::Raw(String::new()),
        || Reply::Raw("HTTP/1.1 202 OK\r\ncontent-length: 100\r\n\r\n{\"id\"".into()),
        || Reply::Stall(String::new()),
        || Reply::Stall("HTTP/1.1 202 OK\r\ncontent-length: 100\r\n\r\n{".into()),
        || status(202, &[], "<html>"),
        || status(202, &[], "{}"),
        || status(200, &[], ""),
    ];
    for reply in replies {
        for (error, advice) in errors(1, reply).into_iter().zip([STARTED, CANCELLED]) {
            let message = error.to_string();
            assert!(message.ends_with(advice), "{message}");
            assert!(message.starts_with("POST /v1/runs"), "{message}");
            assert_eq!(message.matches("again").count(), 1, "{message}");
        }
    }
}

#[test]
fn a_post_with_a_known_outcome_has_no_advice() {
    let known = r#"{"error":{"type":"invalid_request_error","code":"missing_parameter","message":"m","param":"prompt"}}"#;
    for (code, headers, calls) in [
        (400, [].as_slice(), 1),
        (401, &[], 1),
        (403, &[], 1),
        (404, &[], 1),
        (409, &[], 1),
        (429, &[], 1),
        (429, &["retry-after: 600"], 1),
        // It says that it has not begun, and when to come again.
        (429, &["retry-after: 0"], 3),
        (307, &["location: /v1/runs/"], 1),
        (302, &["location: http://127.0.0.1:9/v1/runs"], 1),
    ] {
        for error in errors(calls, move || status(code, headers, known)) {
            let message = error.to_string();
            assert!(!message.contains("may have been"), "{message}");
            if code < 400 {
                assert_eq!(transport_kind(&error), TransportKind::Forbidden);
                assert!(message.contains("redirected to http://127.0.0.1"));
            } else {
                assert_eq!(error.status(), Some(code));
            }
        }
    }
}

#[test]
fn a_post_that_the_service_has_not_begun_is_sent_again() {
    let server = Server::new(|_, number| match number {
        1 => status(429, &["retry-after: 0"], ""),
        _ => status(202, &[], &run_json("1", "pending", 0)),
    });
    let body = object(json!({"prompt": "x"}));
    let run = server.client().start_run(&body, &Progress::new()).unwrap();
    assert_eq!(run.value.id, "1");
    assert_eq!(server.asked()[0].body, server.asked()[1].body);

    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let client = Client::new(config(&base, Duration::from_secs(5))).unwrap();
    let error = client.start_run(&body, &Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Connect);
    assert!(!error.to_string().contains("may have been"), "{error}");
    assert_eq!(
        client.calls().made,
        3,
        "tried again: no server can have received it"
    );
}

/// A kept connection that the server closes instead of answering.
#[test]
fn a_connection_that_dies_under_a_post_is_not_used_to_send_it_twice() {
    let mut world = World::empty();
    world.pace = None;
    world.add_agent(fake::Agent::new("a", Timestamp::now()));
    let server = fake::Server::start(world).unwrap();
    let client = demo_client(&server, Duration::from_secs(5));
    client.agents(&Progress::new()).unwrap();
    server.fault(Fault::api("/v1/runs", Action::CloseBeforeHeaders).times(1));
    let body = object(json!({"agent": "a", "prompt": "x"}));
    let error = client.start_run(&body, &Progress::new()).unwrap_err();
    assert!(error.to_string().ends_with(STARTED), "{error}");
    assert_eq!(server.requests().len(), 2);
    // Cut after the run has begun.
    server.fault(Fault::api("/v1/runs", Action::Truncate { after: 10 }).times(1));
    let error = client.start_run(&body, &Progress::new()).unwrap_err();
    assert!(error.to_string().ends_with(STARTED), "{error}");
    assert_eq!(server.world().runs.len(), 1);
}

#[test]
fn secrets_that_are_echoed_are_not_shown() {
    let body = object(json!({
        "prompt": "visible", "variables": {"V": "plain-value"},
        "secrets": {"A": "hunter2", "B": "hunter2-longer", "C": "", "D": "two\nlines"},
    }));
    let echo = "no vm0_live_secret hunter2-longer, hunter2; two\nlines; plain-value in visible";
    let documented = json!({"error": {
        "type": "hunter2", "code": "hunter2", "message": echo, "param": "secrets.hunter2",
    }});
    let raw = format!("{{\"odd\":{}}}", json!(echo));
    let wrong = format!(
        r#"{{"id":"hunter2","status":"failed","created_at":{}}}"#,
        json!(echo)
    );
    for (code, answer) in [
        (400, documented.to_string()),
        (500, documented.to_string()),
        (400, raw.clone()),
        (400, echo.to_owned()),
        (400, format!("<title>{echo}</title>")),
        (202, wrong),
    ] {
        let id = "x-request-id: of vm0_live_secret and hunter2";
        let server = Server::new(move |_, _| status(code, &[id], &answer));
        let client = server.client();
        let error = client.start_run(&body, &Progress::new()).unwrap_err();
        let told = client.calls().last_request_id.unwrap();
        assert_eq!(told, "of [token] and [secret]");
        for shown in [error.to_string(), format!("{error:?}")] {
            for secret in ["hunter2", "longer", "lines", "vm0_live_secret"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        if code != 202 {
            let shown = error.to_string();
            assert!(shown.contains("plain-value in visible"), "{shown}");
            assert!(
                shown.contains("no [token] [secret], [secret]; [secret];"),
                "{shown}"
            );
        }
    }
}
