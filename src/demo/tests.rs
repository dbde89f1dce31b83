//! The server as a client meets it, by plain HTTP.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::fake::{Action, Fault, Recorded, Server};
use jiff::Timestamp;
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    redirect::Policy,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
    time::Instant,
};

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

struct Api {
    server: Server,
    client: Client,
}

impl Api {
    fn new(world: World) -> Self {
        Self {
            server: Server::start(world).unwrap(),
            client: client(),
        }
    }

    fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.server.api_url()))
            .bearer_auth(self.server.token())
            .send()
            .unwrap()
    }

    fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_str(&response.text().unwrap()).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.server.api_url()))
            .bearer_auth(self.server.token())
            .body(body.to_string())
            .send()
            .unwrap();
        let status = response.status();
        (
            status,
            serde_json::from_str(&response.text().unwrap()).unwrap(),
        )
    }

    fn presigned(&self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status(), StatusCode::FOUND, "{path}");
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    fn object(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().unwrap()
    }
}

fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().unwrap()).unwrap();
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

/// A world with one artifact of two versions, the older one empty.
fn stored() -> (World, String, String, Vec<u8>) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "report");
    world.add_version(&id, VersionSpec::files(Vec::new()));
    let noise: String = (0..20_000).map(|n: u32| uuid(&n.to_string())).collect();
    let version = world.add_version(&id, VersionSpec::files(vec![File::new("noise", noise)]));
    let bytes = world
        .version(Kind::Artifact, "report", &version)
        .unwrap()
        .archive_bytes();
    (world, id, version, bytes)
}

#[test]
fn the_token_is_asked_for_and_headers_come_always() {
    let api = Api::new(World::empty());
    let token = api.server.token();
    assert!(token.starts_with("vm0_test_") && token.len() == 9 + 64);
    let url = format!("{}/v1/agents", api.server.api_url());
    let bare = api.client.get(&url).send().unwrap();
    assert!(bare.headers().contains_key("x-request-id"));
    assert_eq!(code(bare), (401, "missing_api_key".into()));
    let wrong = api.client.get(&url).bearer_auth("vm0_live_x");
    assert_eq!(code(wrong.send().unwrap()), (401, "invalid_api_key".into()));
    let good = api.get("/v1/agents");
    assert_eq!(good.headers()["x-api-version"], "v1");
    assert_eq!(good.headers()["x-ratelimit-limit"], "5000");
    assert_eq!(good.headers()["x-ratelimit-remaining"], "4999");
    let requests = api.server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].status, Some(401));
    assert!(!requests[0].authorization && requests[2].authorization);
    assert!(requests[2].bytes_sent > 0 && requests[2].finished);
    api.server.clear_requests();
    assert!(api.server.requests().is_empty());
}

#[test]
fn errors_are_the_documented_ones() {
    let api = Api::new(World::empty());
    for path in ["limit=0", "limit=101", "limit=x"] {
        let answer = api.get(&format!("/v1/agents?{path}"));
        assert_eq!(code(answer), (400, "invalid_parameter".into()), "{path}");
    }
    for path in [
        "agents/ID",
        "runs/ID",
        "runs/ID/logs",
        "runs/ID/metrics",
        "runs/ID/events",
        "volumes/ID",
        "artifacts/ID/versions",
        "artifacts/ID/download",
    ] {
        let answer = api.get(&format!("/v1/{}", path.replace("ID", &uuid("none"))));
        assert_eq!(code(answer), (404, "resource_not_found".into()), "{path}");
        // An id that is no UUID is more than the database can bear.
        let answer = api.get(&format!("/v1/{}", path.replace("ID", "x")));
        assert_eq!(answer.status(), 500, "{path}");
        let is_json = answer.text().unwrap().contains("internal_error");
        assert_eq!(is_json, !path.ends_with("download"), "{path}");
    }
    let nowhere = api.get("/v2/agents");
    assert_eq!(nowhere.status(), 404);
    assert!(nowhere.text().unwrap().starts_with("<!DOCTYPE html>"));
}

/// All ids that the pages give, one list a page.
fn pages(api: &Api, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.json(&format!("{path}&cursor={cursor}"));
        let rows = page["data"].as_array().unwrap();
        let ids = rows.iter().map(|row| row["id"].as_str().unwrap().into());
        pages.push(ids.collect());
        match page["pagination"]["next_cursor"].as_str() {
            Some(next) if next != cursor && pages.len() < 50 => cursor = next.into(),
            _ => return pages,
        }
    }
}

#[test]
fn cursors_by_id_lose_and_repeat_rows_and_documented_ones_do_not() {
    let mut world = World::empty();
    for number in 0..50 {
        let run = Run::new("a", world.ago(number));
        world.add_run(run);
    }
    let newest = world.runs[0].id.clone();
    let api = Api::new(world);
    let quirky = pages(&api, "/v1/runs?limit=10");
    assert_eq!(quirky[0][0], newest);
    let all: Vec<String> = quirky.concat();
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert!(distinct.len() < 50, "the quirk loses rows");
    for (page, next) in quirky.iter().zip(&quirky[1..]) {
        assert!(next.iter().all(|id| id > page.last().unwrap()));
    }
    api.server.world().quirks.cursor_by_id = false;
    let good = pages(&api, "/v1/runs?limit=10");
    assert_eq!(good.len(), 5);
    assert_eq!(good.concat().iter().collect::<BTreeSet<_>>().len(), 50);
}

#[test]
fn run_filters_are_ignored_or_not() {
    let mut world = World::empty();
    let old = Run::new("a", world.ago(100));
    let old = world.add_run(old);
    let other = Run::new("b", world.ago(1)).status("running");
    world.add_run(other);
    let since = world.ago(50);
    let api = Api::new(world);
    let count = |query: &str| {
        let page = api.json(&format!("/v1/runs?{query}"));
        page["data"].as_array().unwrap().len()
    };
    let agent = format!("agent_id={}", uuid("agent:a"));
    assert_eq!(count("status=running"), 1);
    assert_eq!((count(&agent), count(&format!("since={since}"))), (2, 2));
    api.server.world().quirks = Quirks::none();
    assert_eq!((count(&agent), count(&format!("since={since}"))), (1, 1));
    assert_eq!(
        code(api.get("/v1/runs?status=asleep")),
        (400, "invalid_parameter".into())
    );
    let detail = api.json(&format!("/v1/runs/{old}"));
    assert_eq!(detail["execution_time_ms"], 60_000);
    assert!(detail.get("volumes").is_none());
}

/// A run with `times` log rows; every instant has `share` of them.
fn logged(kinds: &[&str], rows: usize, share: usize) -> (World, String) {
    let mut world = World::empty();
    let id = world.add_run(Run::new("a", world.born));
    for row in 0..rows {
        let at = world::after(world.born, (row / share) as i64);
        let kind = kinds[row % kinds.len()];
        let text = format!("row {row}");
        let row = match kind {
            "agent" => LogRow::agent(at, row as u64 + 1, Claude::said(&text)),
            _ => LogRow::system(at, text),
        };
        world.add_log(&id, row);
    }
    (world, id)
}

#[test]
fn log_pages_have_the_quirks_of_the_service() {
    let (world, id) = logged(&["agent", "system"], 30, 3);
    let api = Api::new(world);
    let path = format!("/v1/runs/{id}/logs?limit=10");
    let first = api.json(&path);
    assert_eq!(first["pagination"]["has_more"], true);
    let cursor = first["pagination"]["next_cursor"].as_str().unwrap();
    assert_eq!(cursor, first["data"][9]["timestamp"].as_str().unwrap());
    let second = api.json(&format!("{path}&cursor={cursor}"));
    // Rows 9 to 11 share an instant; the page ended with row 9, so two are lost.
    let says = |page: &Value, text: &str| {
        let message = page["data"][0]["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    };
    says(&second, "row 12");
    let again = api.json(&format!("{path}&since={cursor}"));
    says(&again, "row 9");
    // Of one type, more rows are not admitted.
    let agent = api.json(&format!("{path}&type=agent"));
    assert_eq!(agent["data"].as_array().unwrap().len(), 10);
    assert_eq!(agent["pagination"]["has_more"], false);
    let last = api.json(&format!("{path}&order=desc&limit=1"));
    says(&last, "row 29");
    let until = api.json(&format!("{path}&until={cursor}&limit=100"));
    assert_eq!(until["data"].as_array().unwrap().len(), 12);

    api.server.world().quirks.log_cursor_by_time = false;
    let mut rows = 0;
    let mut cursor = "0".to_owned();
    loop {
        let page = api.json(&format!("{path}&type=agent&cursor=%22{cursor}%22"));
        rows += page["data"].as_array().unwrap().len();
        match page["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = next.into(),
            None => break,
        }
    }
    assert_eq!(rows, 15);
}

#[test]
fn values_are_read_as_json_where_they_parse() {
    let mut world = World::empty();
    for name in ["123", "true", "null", "1e5", "x"] {
        world.add_agent(Agent::new(name, world.born));
    }
    let api = Api::new(world);
    let found = |value: &str| api.json(&format!("/v1/agents?name={value}"))["data"].clone();
    for name in ["123", "true", "null", "1e5"] {
        let answer = api.get(&format!("/v1/agents?name={name}"));
        assert_eq!(code(answer), (400, "invalid_parameter".into()), "{name}");
        assert_eq!(found(&format!("%22{name}%22"))[0]["name"], name);
    }
    assert_eq!(found("x")[0]["name"], "x");
    assert_eq!(found("%22x%22")[0]["name"], "x");
    for limit in ["3", "%223%22"] {
        let page = api.json(&format!("/v1/agents?limit={limit}"));
        assert_eq!(page["data"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn times_are_cut_to_milliseconds_and_bad_ones_are_a_failure() {
    let mut world = World::empty();
    let id = world.add_run(Run::new("writer", world.born));
    let begin: Timestamp = "2025-01-01T00:00:00.001Z".parse().unwrap();
    for microsecond in [0, 300, 600, 1_000] {
        let at = begin + Duration::from_micros(microsecond);
        let row = LogRow::system(at, microsecond.to_string());
        world.add_log(&id, row.precise(at));
    }
    let api = Api::new(world);
    let path = format!("/v1/runs/{id}/logs?limit=100");
    let rows = |query: &str| -> Vec<String> {
        let page = api.json(&format!("{path}&{query}"));
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["message"].as_str().unwrap().to_owned())
            .collect()
    };
    let inside = "2025-01-01T00:00:00.0013Z";
    assert_eq!(
        rows(&format!("since={inside}")),
        ["0", "300", "600", "1000"]
    );
    assert_eq!(rows(&format!("until={inside}")), ["0"]);
    assert_eq!(rows(&format!("cursor={inside}")), ["300", "600", "1000"]);
    for name in ["since", "until", "cursor"] {
        let answer = api.get(&format!("{path}&{name}=yesterday"));
        assert_eq!(code(answer), (500, "internal_error".into()), "{name}");
    }
    api.server.world().quirks = Quirks::none();
    assert_eq!(
        rows(&format!("since={inside}&until={inside}")),
        ["300"],
        "as documented"
    );
}

#[test]
fn downloads_stand_outside_of_the_common_form() {
    let (world, id, ..) = stored();
    let api = Api::new(world);
    let answer = api.get(&format!("/v1/artifacts/{id}"));
    assert!(answer.headers().contains_key("x-request-id"));
    let answer = api.get(&format!("/v1/artifacts/{id}/download"));
    for name in ["x-request-id", "x-api-version"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
}

#[test]
fn metrics_have_a_summary() {
    let (mut world, id) = logged(&["agent"], 1, 1);
    let born = world.born;
    let sample = |step| live::sample(born, step);
    world.run_mut(&id).unwrap().metrics = vec![sample(0), sample(1)];
    let bare = world.add_run(Run::new("a", born).status("running"));
    let api = Api::new(world);
    let metrics = api.json(&format!("/v1/runs/{id}/metrics"));
    assert_eq!(metrics["data"].as_array().unwrap().len(), 2);
    assert_eq!(metrics["summary"]["total_duration_ms"], 60_000);
    let expected = sample(0).memory_used_mb.max(sample(1).memory_used_mb);
    assert_eq!(metrics["summary"]["max_memory_used_mb"], expected);
    let none = api.json(&format!("/v1/runs/{bare}/metrics"));
    assert_eq!(none["data"], json!([]));
    assert_eq!(none["summary"]["total_duration_ms"], Value::Null);
}

#[test]
fn downloads_redirect_to_the_store_which_knows_ranges() {
    let (world, id, version, bytes) = stored();
    let api = Api::new(world);
    let base = format!("/v1/artifacts/{id}/download");
    let url = api.presigned(&base);
    assert!(url.starts_with(&format!("{}/bucket/artifacts/", api.server.store_url())));
    for wanted in [&version[..], &version[..8]] {
        api.presigned(&format!("{base}?version_id={wanted}"));
    }
    let short = api.get(&format!("{base}?version_id={}", &version[..7]));
    assert_eq!(code(short).0, 404);
    let empty = version_id(&id, &[]);
    let empty = api.get(&format!("{base}?version_id={empty}"));
    assert_eq!(code(empty).0, 404);

    let whole = api.object(&url, &[]);
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.content_length(), Some(bytes.len() as u64));
    assert_eq!(whole.bytes().unwrap(), bytes);
    let part = api.object(&url, &[("range", "bytes=100-299"), ("if-range", &etag)]);
    assert_eq!(part.status(), 206);
    let range = format!("bytes 100-299/{}", bytes.len());
    assert_eq!(part.headers()["content-range"], range.as_str());
    assert_eq!(part.bytes().unwrap(), bytes[100..300]);
    let tail = api.object(&url, &[("range", "bytes=-7")]);
    assert_eq!(tail.bytes().unwrap(), bytes[bytes.len() - 7..]);
    let rest = api.object(&url, &[("range", "bytes=200000-"), ("if-match", &etag)]);
    assert_eq!(rest.bytes().unwrap(), bytes[200_000..]);
    let other = api.object(&url, &[("range", "bytes=5-"), ("if-range", "\"x\"")]);
    assert_eq!(other.status(), 200);
    assert_eq!(
        api.object(&url, &[("if-match", "\"x\"")]).status(),
        StatusCode::PRECONDITION_FAILED
    );
    let past = format!("bytes={}-", bytes.len());
    assert_eq!(api.object(&url, &[("range", &past)]).status(), 416);
    let head = api.client.head(&url).send().unwrap();
    assert_eq!(
        head.headers()["content-length"],
        bytes.len().to_string().as_str()
    );

    let both = api.client.get(&url).bearer_auth(api.server.token());
    let both = both.send().unwrap();
    assert_eq!(both.status(), 400);
    assert!(both.text().unwrap().contains("Only one auth mechanism"));
    let forged = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999");
    let forged = api.object(&forged, &[]);
    assert_eq!(forged.status(), 403);
    assert!(forged.text().unwrap().contains("SignatureDoesNotMatch"));
    api.server.world().url_lifetime = Duration::ZERO;
    let expired = api.object(&api.presigned(&base), &[]);
    assert_eq!(expired.status(), 403);
    assert!(expired.text().unwrap().contains("Request has expired"));
}

#[test]
fn ambiguous_prefixes_and_lost_objects() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Volume, "v");
    let none = world.add_storage(Kind::Volume, "none");
    for end in ["1", "2"] {
        let spec = VersionSpec::lost().id(format!("abcdefab{end}"));
        world.add_version(&id, spec);
    }
    let api = Api::new(world);
    let base = format!("/v1/volumes/{id}/download");
    let twice = api.get(&format!("{base}?version_id=abcdefab"));
    assert_eq!(code(twice), (400, "invalid_parameter".into()));
    let lost = api.object(&api.presigned(&base), &[]);
    assert_eq!(lost.status(), 404);
    assert!(lost.text().unwrap().contains("NoSuchKey"));
    assert_eq!(
        code(api.get(&format!("/v1/volumes/{none}/download"))).0,
        404
    );
    let versions = api.json(&format!("/v1/volumes/{id}/versions"));
    assert_eq!(versions["data"][0]["id"], "abcdefab2", "newest first");
    assert_eq!(versions["data"][0]["volume_id"], id.as_str());
    let detail = api.json(&format!("/v1/volumes/{none}"));
    assert_eq!(detail["current_version"], Value::Null);
}

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

/// Sends a GET by hand and reads what comes until the end or 500 ms of silence.
fn raw(url: &str, token: &str) -> (Vec<u8>, bool) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let closed = !matches!(
        ended.map_err(|error| error.kind()),
        Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    );
    (bytes, closed)
}

fn body_of(answer: &[u8]) -> &[u8] {
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    &answer[at + 4..]
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
    let (answer, closed) = raw(&url, "");
    assert!(closed, "cut");
    assert_eq!(body_of(&answer), &bytes[..70_000]);
    let length = format!("content-length: {}", bytes.len());
    assert!(String::from_utf8_lossy(&answer).contains(&length));

    server.fault(Fault::store(Action::StallBody { after: 300_000 }).times(1));
    let (answer, closed) = raw(&url, "");
    assert!(!closed, "open, but silent");
    assert_eq!(body_of(&answer), &bytes[..300_000]);
    let last = server.requests().pop().unwrap();
    assert_eq!((last.bytes_sent, last.finished), (300_000, false));

    server.fault(Fault::api("/v1/agents", Action::CloseBeforeHeaders).times(1));
    assert_eq!(raw(&list, token), (Vec::new(), true));
    assert_eq!(server.requests().pop().unwrap().status, None);

    server.fault(Fault::api("/v1/agents", Action::Stall).times(1));
    assert_eq!(raw(&list, token), (Vec::new(), false));

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
    assert!(took < Duration::from_secs(2), "{took:?}");
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
    let waiting = [
        thread::spawn(move || client().get(list).bearer_auth(token).send().is_err()),
        thread::spawn(move || client().get(url).send().unwrap().bytes().is_err()),
    ];
    // The archive's first bytes have gone out, and the list is asked for.
    let is_stalled = |requests: &[Recorded]| {
        requests.len() >= 3 && requests.iter().any(|request| request.bytes_sent == 10)
    };
    assert!(api.server.wait_for(Duration::from_secs(10), is_stalled));
    let start = Instant::now();
    let address = api.server.address;
    drop(api);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
    for thread in waiting {
        assert!(thread.join().unwrap());
    }
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn with_agent(pace: Pace) -> World {
    let mut world = World::empty();
    let agent = Agent::new("writer", world.born).version(world.born, None);
    world.add_agent(agent);
    world.pace = Some(pace);
    world
}

fn wait_for(api: &Api, id: &str, status: &str) -> Value {
    let start = Instant::now();
    loop {
        let run = api.json(&format!("/v1/runs/{id}"));
        if run["status"] == status {
            return run;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{run}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn started_runs_tell_whole_sessions_however_they_end() {
    let mut world = World::demo();
    world.pace = Some(Pace::QUICK);
    let names: Vec<String> = world
        .agents
        .iter()
        .map(|agent| agent.name.clone())
        .collect();
    let api = Api::new(world);
    for name in names {
        for (prompt, status, end) in [
            ("Do it", "completed", Some(false)),
            ("Please fail", "failed", Some(true)),
            ("Time out", "timeout", None),
        ] {
            let (_, run) = api.post("/v1/runs", &json!({"agent": name, "prompt": prompt}));
            let id = run["id"].as_str().unwrap();
            wait_for(&api, id, status);
            let world = api.server.world();
            let run = world.run(id).unwrap();
            let events = run
                .logs
                .iter()
                .filter_map(|row| row.metadata.as_ref()?.get("eventData"));
            let events: Vec<&Value> = events.collect();
            let program = match name.as_str() {
                "model-trainer" => "thread.started",
                _ => "system",
            };
            assert_eq!(events[0]["type"], program);
            let last = events.last().unwrap();
            let ended = match last["type"].as_str().unwrap() {
                "result" => Some(last["is_error"] == true),
                "turn.completed" => Some(false),
                "turn.failed" => Some(true),
                _ => None,
            };
            assert_eq!(ended, end, "{name}, {prompt}: {last}");
            let text = serde_json::to_string(&events).unwrap();
            for open in ["{prompt}", "{first}", "{listing}", "<head "] {
                assert!(!text.contains(open), "{name}: {open}");
            }
            let ids: Vec<&str> = events
                .iter()
                .filter_map(|event| event["uuid"].as_str())
                .collect();
            let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
            assert_eq!(ids.len(), unique.len(), "{name}: an event comes twice");
        }
    }
}

#[test]
fn started_runs_progress_to_a_new_artifact_version() {
    let api = Api::new(with_agent(Pace::QUICK));
    let request = json!({"agent": "writer", "prompt": "Write", "volumes": {"v": "latest"}});
    let (status, run) = api.post("/v1/runs", &request);
    assert_eq!(status, 202);
    assert_eq!(run["status"], "pending");
    assert_eq!(run["started_at"], Value::Null);
    assert_eq!(run["volumes"]["v"], "latest");
    let id = run["id"].as_str().unwrap();
    let run = wait_for(&api, id, "completed");
    let version = run["artifact_version"].as_str().unwrap();
    let artifacts = api.json("/v1/artifacts");
    assert_eq!(artifacts["data"][0]["name"], "writer-output");
    assert_eq!(artifacts["data"][0]["current_version_id"], version);
    let logs = api.json(&format!("/v1/runs/{id}/logs"));
    assert!(logs["data"].as_array().unwrap().len() >= 10);
    let (status, error) = api.post(&format!("/v1/runs/{id}/cancel"), &json!({}));
    assert_eq!(status, 400);
    assert_eq!(error["error"]["code"], "invalid_state");

    let (_, failing) = api.post("/v1/runs", &json!({"agent": "writer", "prompt": "Fail"}));
    let failed = wait_for(&api, failing["id"].as_str().unwrap(), "failed");
    assert_eq!(failed["error"], "Agent exited with code 1");
}

#[test]
fn runs_are_refused_and_cancelled() {
    let slow = Pace {
        pending: Duration::from_secs(60),
        ..Pace::QUICK
    };
    let api = Api::new(with_agent(slow));
    let start = |request: Value| {
        let (status, answer) = api.post("/v1/runs", &request);
        (status.as_u16(), answer["error"]["code"].clone())
    };
    assert_eq!(
        start(json!({"agent": "writer"})),
        (400, json!("missing_parameter"))
    );
    assert_eq!(
        start(json!({"prompt": "x"})),
        (400, json!("missing_parameter"))
    );
    assert_eq!(start(json!(["x"])), (400, json!("invalid_parameter")));
    let unknown = start(json!({"agent": "nobody", "prompt": "x"}));
    assert_eq!(unknown, (404, json!("resource_not_found")));
    let (_, run) = api.post("/v1/runs", &json!({"agent": "writer", "prompt": "x"}));
    let path = format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    let (status, cancelled) = api.post(&path, &json!({}));
    assert_eq!(status, 200);
    assert_eq!(cancelled["status"], "cancelled");
    let session = run["session_id"].as_str().unwrap();
    let (status, next) = api.post("/v1/runs", &json!({"session_id": session, "prompt": "x"}));
    assert_eq!(status, 202);
    assert_eq!(next["session_id"], session);
}

/// The events of a stream until it ends: name, id, data.
fn events(response: Response) -> Vec<(String, String, Value)> {
    let mut events = Vec::new();
    let mut current = (String::new(), String::new(), Value::Null);
    for line in BufReader::new(response).lines() {
        let line = line.unwrap();
        match line.split_once(": ") {
            Some(("event", name)) => current.0 = name.into(),
            Some(("id", id)) => current.1 = id.into(),
            Some(("data", data)) => current.2 = serde_json::from_str(data).unwrap(),
            _ => events.push(std::mem::take(&mut current)),
        }
    }
    events
}

#[test]
fn events_stream_until_the_run_ends_and_resume() {
    let mut world = with_agent(Pace::QUICK);
    world.heartbeat = Duration::from_millis(80);
    let id = world.add_run(Run::new("writer", world.born).status("running"));
    let run = world.run_mut(&id).unwrap();
    run.event(run.created_at, Claude::said("one"));
    run.event(run.created_at, Claude::said("two"));
    let api = Api::new(world);
    let path = format!("/v1/runs/{id}/events");
    let response = api.get(&format!("{path}?last_event_id=%221%22"));
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let reader = thread::spawn(move || events(response));
    thread::sleep(Duration::from_millis(300));
    {
        let mut world = api.server.world();
        let run = world.run_mut(&id).unwrap();
        let now = Timestamp::now();
        run.event(now, Claude::said("three"));
        run.finish(now, "failed", Some("broken".into()));
    }
    let seen = reader.join().unwrap();
    let names: Vec<&str> = seen.iter().map(|event| &*event.0).collect();
    assert_eq!(names[..2], ["status", "output"]);
    assert_eq!(seen[1].1, "2", "resumed after the first");
    assert_eq!(seen[1].2["data"], Claude::said("two"));
    assert!(names.contains(&"heartbeat"));
    let end = ["output", "status", "error", "complete"];
    assert_eq!(names[names.len() - 4..], end);
    let late = events(api.get(&path));
    let names: Vec<&str> = late.iter().map(|event| &*event.0).collect();
    assert_eq!(names, ["status", "complete"]);
    assert_eq!(late[1].2["error"], "broken");
}

#[test]
fn limits_can_be_enforced() {
    let mut world = World::empty();
    world.quirks.read_limit = 2;
    world.quirks.enforce_limits = true;
    let api = Api::new(world);
    for _ in 0..2 {
        assert_eq!(api.get("/v1/agents").status(), 200);
    }
    let over = api.get("/v1/agents");
    assert_eq!(over.headers()["x-ratelimit-remaining"], "0");
    assert!(over.headers().contains_key("retry-after"));
    assert_eq!(code(over), (429, "rate_limit_exceeded".into()));
    assert_eq!(api.get("/v1/runs").status(), 200, "another endpoint");
}

#[test]
fn a_config_is_shown_or_hidden() {
    let mut world = World::empty();
    let config = json!({"version": "1.0"});
    let agent = Agent::new("a", world.ago(9))
        .version(world.ago(9), None)
        .version(world.ago(5), Some(config.clone()));
    let id = world.add_agent(agent);
    world.add_agent(Agent::new("b", world.born));
    let api = Api::new(world);
    assert_eq!(api.json(&format!("/v1/agents/{id}"))["config"], config);
    let versions = api.json(&format!("/v1/agents/{id}/versions"));
    assert_eq!(versions["data"][0]["version_number"], 2);
    let named = api.json("/v1/agents?name=b");
    assert_eq!(named["data"].as_array().unwrap().len(), 1);
    api.server.world().quirks.hide_agent_config = true;
    assert!(
        api.json(&format!("/v1/agents/{id}"))
            .get("config")
            .is_none()
    );
}

#[test]
fn an_address_in_use_is_an_error() {
    let server = Server::start(World::empty()).unwrap();
    let error = Server::start_on(World::empty(), server.address).unwrap_err();
    assert!(error.to_string().starts_with("listening on 127.0.0.1:"));
}
