//! Logs, with the oddities of the service, and metrics.

use super::*;
use jiff::Timestamp;
use serde_json::json;

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
