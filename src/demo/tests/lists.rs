//! Lists, their cursors and filters, and what goes for every answer.

use super::*;
use crate::fake::Recorded;
use serde_json::json;
use std::collections::BTreeSet;

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
    let is_told = |requests: &[Recorded]| requests.last().is_some_and(|last| last.finished);
    assert!(api.server.wait_for(SOON, is_told));
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
