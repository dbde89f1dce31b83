//! Faults, as the tests put them on the wire.

use super::*;
use crate::fake::{Action, Fault, Recorded};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Instant,
};

#[test]
fn faults_that_answer_something_else() {
    let (world, id, version, bytes) = stored();
    let api = Api::new(world);
    let base = format!("/v1/artifacts/{id}/download");
    let server = &api.server;
    server.fault(Fault::api("/v1/agents", Action::bad_gateway()).times(1));
    let answer = api.get("/v1/agents");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["content-type"], "text/html");
    assert_eq!(api.get("/v1/agents").status(), 200, "once only");
    server.fault(Fault::api_exact("/v1/runs", Action::rate_limited(7)).skip(1));
    assert_eq!(api.get("/v1/runs").status(), 200, "skipped");
    assert_eq!(api.get("/v1/runs").headers()["retry-after"], "7");
    assert_eq!(api.get("/v1/runs/x").status(), 500, "not this path");
    server.clear_faults();
    assert_eq!(api.get("/v1/runs").status(), 200);
    server.fault(Fault::api("/v1/runs", Action::internal_error()));
    assert_eq!(
        code(api.get("/v1/runs")),
        (500, "internal_error".to_owned())
    );
    server.fault(Fault::api("/v1/volumes", Action::WrongBody("{".into())));
    assert_eq!(api.get("/v1/volumes").text().unwrap(), "{");

    let url = api.presigned(&base);
    let etag = |response: Response| response.headers()["etag"].clone();
    let before = etag(api.object(&url, &[]));
    server.fault(Fault::object(&version, Action::ChangeEtag).times(1));
    assert_ne!(etag(api.object(&url, &[])), before);
    assert_eq!(etag(api.object(&url, &[])), before);
    server.fault(Fault::store(Action::ChangeEtag).times(1));
    let held = [("if-match", before.to_str().unwrap())];
    assert_eq!(api.object(&url, &held).status(), 412);
    server.fault(Fault::store(Action::ExpireUrl).times(1));
    assert_eq!(api.object(&url, &[]).status(), 403);
    server.fault(Fault::store(Action::NoRange).times(1));
    let whole = api.object(&url, &[("range", "bytes=1-2")]);
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.bytes().unwrap(), bytes);
    server.fault(Fault::store(Action::WrongBody("not gzip".into())).times(1));
    let wrong = api.object(&url, &[("range", "bytes=4-")]);
    assert_eq!(wrong.text().unwrap(), "gzip");
}

/// A GET that was sent by hand.
struct Raw(TcpStream);

impl Raw {
    fn get(url: &str, token: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let authorization = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Self(stream)
    }

    /// The head of the answer.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// The next bytes.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server closes the connection, and nothing comes before.
    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !is_timeout(&error),
        }
    }

    /// Whether the connection stays open and nothing comes for a while.
    fn is_silent(&mut self) -> bool {
        let a_while = Some(Duration::from_millis(500));
        self.0.set_read_timeout(a_while).unwrap();
        self.0.read(&mut [0]).is_err_and(|error| is_timeout(&error))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[test]
fn faults_on_the_connection() {
    let (world, id, _, bytes) = stored();
    let api = Api::new(world);
    let url = api.presigned(&format!("/v1/artifacts/{id}/download"));
    let server = &api.server;
    let list = format!("{}/v1/agents", server.api_url());
    let token = server.token();

    server.fault(Fault::store(Action::Truncate { after: 70_000 }).times(1));
    let mut answer = Raw::get(&url, "");
    let length = format!("content-length: {}", bytes.len());
    assert!(answer.head().contains(&length));
    assert_eq!(answer.bytes(70_000), &bytes[..70_000]);
    assert!(answer.is_closed(), "cut");

    server.fault(Fault::store(Action::StallBody { after: 300_000 }).times(1));
    let mut answer = Raw::get(&url, "");
    answer.head();
    assert_eq!(answer.bytes(300_000), &bytes[..300_000]);
    assert!(answer.is_silent());
    let last = server.requests().pop().unwrap();
    assert_eq!((last.bytes_sent, last.finished), (300_000, false));

    server.fault(Fault::api("/v1/agents", Action::CloseBeforeHeaders).times(1));
    assert!(Raw::get(&list, token).is_closed());
    assert_eq!(server.requests().pop().unwrap().status, None);

    server.fault(Fault::api("/v1/agents", Action::Stall).times(1));
    assert!(Raw::get(&list, token).is_silent());

    let delay = Duration::from_millis(150);
    server.fault(Fault::api("/v1/agents", Action::Delay(delay)).times(1));
    let start = Instant::now();
    assert_eq!(api.get("/v1/agents").status(), 200);
    assert!(start.elapsed() >= delay);

    let rate = bytes.len() as u64 * 2;
    let slow = Action::Rate {
        bytes_per_second: rate,
    };
    server.fault(Fault::store(slow).times(1));
    let start = Instant::now();
    assert_eq!(api.object(&url, &[]).bytes().unwrap(), bytes);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(400), "{took:?}");
    assert!(took < SOON / 2, "{took:?}");
}

#[test]
fn a_drop_ends_stalled_answers_at_once() {
    let (world, id, _, _) = stored();
    let api = Api::new(world);
    let url = api.presigned(&format!("/v1/artifacts/{id}/download"));
    api.server.fault(Fault::api("/v1/agents", Action::Stall));
    api.server
        .fault(Fault::store(Action::StallBody { after: 10 }));
    let list = format!("{}/v1/agents", api.server.api_url());
    let token = api.server.token().to_owned();
    let listing = thread::spawn(move || client().get(list).bearer_auth(token).send().is_err());
    let (begun, has_begun) = mpsc::channel();
    let downloading = thread::spawn(move || {
        let mut response = client().get(url).send().unwrap();
        response.read_exact(&mut [0; 10]).unwrap();
        begun.send(()).unwrap();
        response.read_to_end(&mut Vec::new()).is_err()
    });
    // The archive's first bytes have come, and the list is asked for.
    has_begun.recv_timeout(SOON).unwrap();
    let is_asked = |requests: &[Recorded]| requests.len() >= 3;
    assert!(api.server.wait_for(SOON, is_asked));
    let start = Instant::now();
    let address = api.server.address;
    drop(api);
    assert!(start.elapsed() < SOON / 2);
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    for thread in [listing, downloading] {
        assert!(thread.join().unwrap());
    }
    assert!(start.elapsed() < SOON);
}
