//! Servers that do not speak v1, and the errors for them.

use super::*;

const HTML: &str =
    "<!DOCTYPE html><html><head><TITLE>404: This page could not be found.</TITLE></head>";

/// The message of the client if it takes the answer for one of another server, or
/// an error with another outcome.
fn said(code: u16, headers: &[&str], body: &str) -> Result<String, String> {
    let body = body.to_owned();
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    let server = Server::new(move |_, _| Reply::Whole(code, headers.clone(), body.clone()));
    let client = server.client();
    let agents = client.agents(&Progress::new());
    let checked = client.check(&Progress::new());
    let error = match agents {
        Ok(rows) => {
            assert!(checked.is_ok(), "{checked:?}");
            return Err(format!("agents: {}", ids(&rows).join(" ")));
        }
        Err(error) => error,
    };
    let Error::NotV1 { before, .. } = &error else {
        assert!(!matches!(checked, Err(Error::NotV1 { .. })));
        return Err(error.to_string());
    };
    assert!(!before && !error.is_not_found());
    assert!(matches!(checked, Err(Error::NotV1 { .. })));
    assert_eq!(server.asked().len(), 2, "asked once by each");
    let text = error.to_string();
    let asked = format!("GET {}/v1/agents was answered with", server.base);
    for word in [&*asked, "--api-url", "VM0_API_URL", "`vm0fs demo`"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("vm0_live_secret") && !text.chars().any(char::is_control));
    assert!(text.chars().count() < 700, "{text}");
    Ok(text)
}

#[test]
fn a_server_that_does_not_speak_v1_is_named() {
    let unknown = r#"{"error":{"message":"Not found","code":"NOT_FOUND"}}"#;
    let route =
        r#"{"message":"Route GET:/v1/agents not found","error":"Not Found","statusCode":404}"#;
    let url = r#"{"error":{"type":"invalid_request_error","code":"unknown_url","message":"Unknown request URL"}}"#;
    let login = r#"{"error":{"message":"Not authenticated","code":"UNAUTHORIZED"}}"#;
    let key = r#"{"type":"error","error":{"type":"authentication_error","message":"x-api-key header is required"}}"#;
    let port = "<title>400 The plain HTTP request was sent to HTTPS port</title>";
    let bare = r#"{"agents":[],"pagination":{"has_more":false}}"#;
    let models = r#"{"data":[{"id":"m","object":"model"}],"pagination":{}}"#;
    for (code, body, word) in [
        (
            404,
            HTML,
            "HTTP 404 and a page in HTML (404: This page could",
        ),
        (404, "", "HTTP 404 and nothing more"),
        (404, "404 page not found\n", "text \"404 page not found\""),
        (404, unknown, "JSON of another form (Not found)"),
        (404, route, "Route GET"),
        (404, url, "Unknown request URL"),
        (
            401,
            login,
            "HTTP 401 and JSON of another form (Not authenticated)",
        ),
        (401, key, "x-api-key"),
        (401, "", "HTTP 401"),
        (403, "<title>Just a moment...</title>", "Just a moment"),
        (405, "no vm0_live_secret", "no [token]"),
        (400, port, "plain HTTP request"),
        (200, HTML, "HTTP 200 and a page in HTML"),
        (200, "", "HTTP 200 and nothing more"),
        (200, "OK", "the text \"OK\""),
        (200, "[]", "JSON of another form"),
        (200, "{}", "without fields"),
        (
            200,
            r#"{"object":"list","data":[]}"#,
            "a list without `pagination`",
        ),
        (
            200,
            r#"{"data":[],"has_more":false}"#,
            "the fields data, has_more",
        ),
        (200, r#"{"data":{"agents":[]}}"#, "no list `data`"),
        (200, bare, "no list `data`"),
        (
            200,
            r#"{"status":"ok","version":"1.2"}"#,
            "the fields status, version",
        ),
        (200, models, "a list of other things"),
    ] {
        let text = said(code, &[], body).unwrap_or_else(|other| panic!("{code} {body}: {other}"));
        assert!(text.contains(word), "{body}: {text}");
    }
}

#[test]
fn an_outage_and_errors_of_v1_are_not_taken_for_another_server() {
    let v1 = ["x-api-version: v1"].as_slice();
    let none = [].as_slice();
    let scope = r#"{"error":{"type":"authentication_error","code":"invalid_api_key","message":"The user has no scope; create one"}}"#;
    let odd = r#"{"error":{"code":"X","message":"m"}}"#;
    let bad_row = r#"{"data":[{"id":"bad"}],"pagination":{}}"#;
    let empty = r#"{"data":[],"pagination":{"has_more":false,"next_cursor":null}}"#;
    for (code, headers, body, word) in [
        (502, none, "<title>502 Bad Gateway</title>", "HTTP 502"),
        (503, none, "", "HTTP 503"),
        (504, none, "late", "HTTP 504"),
        (500, none, HTML, "HTTP 500"),
        (429, none, "slow down", "HTTP 429"),
        (401, none, scope, "has no scope; create one"),
        // Its own word that it is v1 counts, even where other things are wrong.
        (404, v1, odd, "HTTP 404"),
        (200, v1, HTML, "unexpected answer"),
        (200, v1, r#"{"data":[]}"#, "agents: "),
        (200, v1, bad_row, "agents: "),
        // Broken off, and not of another form.
        (200, none, "{\"data\":[{\"id\":", "unexpected answer"),
        (200, none, empty, "agents: "),
    ] {
        let text = said(code, headers, body).expect_err(body);
        assert!(text.contains(word), "{code} {body}: {text}");
    }
}

#[test]
fn a_server_that_has_spoken_v1_may_have_a_gateway_in_front_of_it() {
    let server = Server::new(|asked, number| match number {
        1 => json(page_json(&[agent_json("a")], false, None)),
        2 => status(404, &[], HTML),
        _ => match asked.path.ends_with("/download") {
            true => status(500, &[], HTML),
            false => json(r#"{"object":"list","data":[]}"#),
        },
    });
    let client = server.client();
    client.agents(&Progress::new()).unwrap();
    let error = client.run("r", &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::NotV1 { before: true, .. }));
    assert!(!error.is_not_found());
    assert!(error.to_string().contains("gateway"), "{error}");
    // What is empty because it is another list is no empty list.
    let error = client.agents(&Progress::new()).unwrap_err();
    assert!(matches!(error, Error::NotV1 { .. }), "{error}");
    // Downloads fail in HTML even where all is well otherwise.
    let url = client.download_url(StorageKind::Volume, "s", "v", &Progress::new());
    let error = url.unwrap_err();
    assert_eq!(error.status(), Some(500));
    assert!(error.to_string().contains("could not be found"), "{error}");
}
