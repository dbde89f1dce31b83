//! The client against a scripted server on loopback: real HTTP over real
//! sockets, with the quirks and faults of the service and of gateways.
#![allow(clippy::unwrap_used)]

mod addresses;
mod dialect;
mod events;
mod faults;
mod lists;
mod logs;
mod posts;
mod reader;
mod refresh;

use super::{types::*, *};
use crate::{
    error::{Error, Result, TransportKind},
    progress::Progress,
    sync::Mutex,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use url::Url;

/// What the server was asked.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    path: String,
    query: Vec<(String, String)>,
    authorization: Option<String>,
    user_agent: Option<String>,
    content_type: Option<String>,
    content_length: Option<String>,
    body: String,
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
        self.asked.lock().clone()
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
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = reader.by_ref().lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let target = first.split(' ').nth(1).unwrap();
    let url = Url::parse(&format!("http://x{target}")).unwrap();
    // As the service reads them: as JSON where that parses. Where a text is meant
    // and a number comes, it answers with 400.
    let read = |(name, value): (String, String)| match serde_json::from_str(&value) {
        Ok(Value::String(text)) => (name, text),
        Ok(other) if !["limit", "version_id"].contains(&&*name) => {
            panic!("{name} is sent as {other}")
        }
        _ => (name, value),
    };
    let mut asked = Asked {
        line: first.clone(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().map(read).collect(),
        authorization: None,
        user_agent: None,
        content_type: None,
        content_length: None,
        body: String::new(),
    };
    for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = Some(value.to_owned()),
            "user-agent" => asked.user_agent = Some(value.to_owned()),
            "content-type" => asked.content_type = Some(value.to_owned()),
            "content-length" => asked.content_length = Some(value.to_owned()),
            _ => {}
        }
    }
    if let Some(length) = &asked.content_length {
        let body = reader.take(length.parse().unwrap());
        asked.body = io::read_to_string(body).unwrap();
    }
    let number = {
        let mut record = record.lock();
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

fn run_json(id: &str, status: &str, minute: u32) -> String {
    format!(
        r#"{{"id":"{id}","agent_id":"a{}","status":"{status}","prompt":"p","created_at":"2025-01-01T00:{minute:02}:00Z"}}"#,
        minute % 2
    )
}

fn run_ids(rows: &[Row<Run>]) -> Vec<&str> {
    rows.iter().map(|row| row.value.id.as_str()).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// A client of the demo server.
fn demo_client(server: &crate::fake::Server, timeout: Duration) -> Client {
    let token = Token::new(server.token()).unwrap();
    let config = config(&server.api_url(), timeout);
    Client::new(ClientConfig { token, ..config }).unwrap()
}
