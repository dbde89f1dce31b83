//! Lists in pages, objects, and the list of runs.

use super::*;

#[test]
fn a_list_of_one_page_costs_one_call() {
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
fn the_limit_that_is_shown_is_that_of_the_endpoint_with_the_least_left() {
    // Remaining, of how many, until when.
    let told = [
        (70, 100, 1),
        (4999, 5000, 1),
        (60, 100, 1),
        (99, 100, 2),
        (4998, 5000, 2),
    ];
    let server = Server::new(move |_, number| {
        let (remaining, limit, reset) = told[number - 1];
        Reply::Whole(
            200,
            vec![
                format!("x-ratelimit-limit: {limit}"),
                format!("x-ratelimit-remaining: {remaining}"),
                format!("x-ratelimit-reset: {reset}"),
            ],
            page_json(&[], false, None),
        )
    });
    let client = server.client();
    let shown = told.map(|(last, _, _)| {
        client.agents(&Progress::new()).unwrap();
        let calls = client.calls();
        assert_eq!(calls.last_limit.unwrap().remaining, last);
        calls.rate_limit.unwrap().remaining
    });
    assert_eq!(shown, [70, 70, 60, 99, 99]);
}

#[test]
fn overlapping_pages_and_repeated_cursors_double_no_row() {
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
fn odd_values_cost_only_their_fields() {
    let server = Server::new(|asked, _| {
        let times = r#""status":"running","created_at":"2026-01-02T03:04:05Z""#;
        json(match asked.path.as_str() {
            "/v1/runs" => {
                let odd = format!(
                    r#"{{"id":"a","prompt":null,"agent_name":7,"started_at":"soon",{times}}}"#
                );
                page_json(&[odd], false, None)
            }
            "/v1/runs/a" => format!(
                r#"{{"id":"a","error":{{}},"volumes":{{"x":null,"y":"v1"}},"artifacts":[],{times}}}"#
            ),
            _ => page_json(
                &[
                    r#"{"type":"agent","message":"none"}"#.into(),
                    r#"{"timestamp":null,"type":"agent","message":"null"}"#.into(),
                    r#"{"timestamp":1764684000000,"type":"agent","message":"number"}"#.into(),
                ],
                false,
                None,
            ),
        })
    });
    let (client, progress) = (server.client(), Progress::new());
    let runs = client.runs(&progress).unwrap();
    let run = &runs[0].value;
    assert_eq!((&*run.prompt, &run.agent_name), ("", &None));
    assert_eq!(run.started_at, None);
    let run = client.run("a", &progress).unwrap().value;
    let volumes = run.volumes.unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(volumes, [("y".to_owned(), "v1".to_owned())]);
    assert_eq!((run.error, run.artifacts), (None, None));
    let mut reader = LogReader::default();
    let rows = client.run_logs("a", &mut reader, &progress).unwrap();
    let messages: Vec<&str> = rows.iter().map(|row| &*row.value.message).collect();
    assert_eq!(messages, ["none", "null", "number"]);
}

#[test]
fn a_body_without_the_envelope_is_an_error() {
    for body in [
        "",
        "[]",
        "null",
        "<html>",
        r#"{"data":{}}"#,
        "{\"data\":[",
        "\u{0}",
    ] {
        let server = Server::new(move |_, _| status(200, &["x-api-version: v1"], body));
        let error = server.client().agents(&Progress::new()).unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{body}: {error}");
        assert!(error.to_string().contains("GET /v1/agents"), "{error}");
    }
    let server = Server::new(|_, _| json(page_json(&[], false, None)));
    assert!(server.client().agents(&Progress::new()).unwrap().is_empty());
}

#[test]
fn objects_versions_and_metrics_are_read() {
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

#[test]
fn runs_come_newest_first_with_any_status() {
    let server = Server::new(|_, _| {
        let rows = [
            run_json("1", "failed", 1),
            run_json("2", "failed", 2),
            run_json("3", "failed", 3),
            run_json("4", "odd-word", 5),
        ];
        json(page_json(&rows, false, None))
    });
    let rows = server.client().runs(&Progress::new()).unwrap();
    assert_eq!(run_ids(&rows), ["4", "3", "2", "1"]);
}

#[test]
fn skipped_runs_are_found_by_status() {
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
    let runs = server.client().runs(&Progress::new());
    assert_eq!(run_ids(&runs.unwrap()), ["9", "4", "3"]);
    assert_eq!(server.asked().len(), 8);

    // The union fails: what the plain list gave stays.
    let server = Server::new(|asked, _| match asked.get("status") {
        None => json(page_json(&[run_json("9", "running", 9)], true, Some("9"))),
        Some(_) => status(429, &["retry-after: 99"], ""),
    });
    let runs = server.client().runs(&Progress::new());
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
    let runs = server.client().runs(&Progress::new());
    assert_eq!(runs.unwrap().len(), 3);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn lists_come_in_smaller_pages_where_those_are_too_large() {
    let rows: Vec<String> = (0..130)
        .map(|n| {
            let long = "x".repeat(if n < 110 { 900_000 } else { 10 });
            format!(
                r#"{{"id":"{n:03}","name":"n","created_at":"2025-01-01T00:00:00Z","long":"{long}"}}"#
            )
        })
        .collect();
    let server = Server::new(move |asked, _| {
        let size: usize = asked.get("limit").unwrap().parse().unwrap();
        let start: usize = asked.get("cursor").map_or(0, |at| at.parse().unwrap());
        let end = rows.len().min(start + size);
        let next = (end < rows.len()).then(|| end.to_string());
        json(page_json(
            &rows[start..end],
            next.is_some(),
            next.as_deref(),
        ))
    });
    let agents = server.client().agents(&Progress::new()).unwrap();
    let expected: Vec<String> = (0..130).map(|n| format!("{n:03}")).collect();
    assert_eq!(ids(&agents), expected);
    let asked = server.asked();
    let sizes: Vec<_> = asked
        .iter()
        .filter_map(|asked| asked.get("limit"))
        .collect();
    assert_eq!(sizes, ["100", "50", "50", "50"]);
    // A cursor that is a number is sent as the text that it is.
    let line = &asked[2].line;
    assert!(line.contains("cursor=%2250%22"), "{line}");
}

#[test]
fn values_that_would_be_read_as_json_are_quoted() {
    let server = Server::new(|asked, _| match asked.path.ends_with("/download") {
        true => status(302, &["location: https://store.test/a"], ""),
        false => json(page_json(&[], false, None)),
    });
    let client = server.client();
    for (id, sent) in [
        ("123", "%22123%22"),
        ("true", "%22true%22"),
        ("null", "%22null%22"),
        ("1e5", "%221e5%22"),
        (r#""x""#, "%22%5C%22x%5C%22%22"),
        ("[1]", "%22%5B1%5D%22"),
        (" 7 ", "%22+7+%22"),
        ("a1", "a1"),
        ("12345678-1", "12345678-1"),
        ("{", "%7B"),
    ] {
        let query = [("agent_id", id)];
        let progress = Progress::new();
        let source = paging::Source::new(&client.transport, &["runs"], &progress);
        paging::list::<Run>(source, &query, |_| false).unwrap();
        let asked = server.asked().pop().unwrap();
        let line = &asked.line;
        assert!(line.contains(&format!("agent_id={sent}&")), "{line}");
        assert_eq!(asked.get("agent_id"), Some(id));
        assert!(line.contains("limit=100 "), "{line}");
    }
    // Downloads take a value as it is.
    let version = "12345678";
    let url = client.download_url(StorageKind::Volume, "s", version, &Progress::new());
    assert!(url.is_ok());
    let line = server.asked().pop().unwrap().line;
    assert!(line.contains("version_id=12345678 "), "{line}");
}
