//! Where requests go, and where the token goes: redirects, downloads, bases.

use super::*;

#[test]
fn the_token_goes_to_no_other_origin() {
    let other = Server::new(|_, _| json(page_json(&[], false, None)));
    let location = format!("location: {}/v1/agents?sig=hidden", other.base);
    let server = Server::new(move |_, _| status(302, &[&location], ""));
    let error = server.client().agents(&Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Forbidden);
    assert!(error.to_string().contains(&other.base), "{error}");
    assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    assert!(other.asked().is_empty());
}

#[test]
fn redirects_within_the_origin_are_followed() {
    let server = Server::new(|asked, _| match asked.path.as_str() {
        "/v1/agents" => status(308, &["location: /v1/agents/"], ""),
        "/v1/agents/" => json(page_json(&[], false, None)),
        other => status(301, &[&format!("location: {other}x")], ""),
    });
    let client = server.client();
    assert!(client.agents(&Progress::new()).is_ok());
    assert_eq!(server.asked().len(), 2);
    let error = client.run("r", &Progress::new()).unwrap_err();
    assert_eq!(transport_kind(&error), TransportKind::Forbidden);
    assert_eq!(server.asked().len(), 8);
}

#[test]
fn a_download_leads_to_https_or_from_loopback_to_loopback() {
    let table = [
        (
            "location: https://store.example/a.tar.gz?sig=hidden#f",
            Ok("https://store.example/a.tar.gz?sig=hidden"),
        ),
        (
            "location: http://127.0.0.1:9/a?sig=hidden",
            Ok("http://127.0.0.1:9/a?sig=hidden"),
        ),
        (
            "location: http://store.example/a?sig=hidden",
            Err("--allow-http"),
        ),
        (
            "location: https://me:pw@store.example/a?sig=hidden",
            Err("password"),
        ),
        ("location: file:///etc/passwd", Err("https://")),
        ("location: data:,x", Err("https://")),
        ("location: https://", Err("Location")),
        ("x-none: 1", Err("Location")),
    ];
    for (header, expected) in table {
        let server = Server::new(move |asked, _| {
            assert_eq!(asked.path, "/v1/artifacts/s/download");
            assert_eq!(asked.get("version_id"), Some("v&1"));
            status(302, &[header], "")
        });
        let url = server
            .client()
            .download_url(StorageKind::Artifact, "s", "v&1", &Progress::new());
        match (url, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{header}: {error}");
                let shown = format!("{error:?} {error}");
                assert!(
                    !shown.contains("hidden") && !shown.contains("v&1"),
                    "{shown}"
                );
            }
            (url, _) => panic!("{header}: {url:?}"),
        }
    }
    let server = Server::new(|_, number| match number {
        1 => status(
            404,
            &[],
            r#"{"error":{"type":"not_found_error","code":"resource_not_found","message":"m"}}"#,
        ),
        _ => json("{}"),
    });
    let client = server.client();
    let get = || client.download_url(StorageKind::Volume, "s", "v", &Progress::new());
    assert!(get().unwrap_err().is_not_found());
    assert!(matches!(get().unwrap_err(), Error::BadAnswer { .. }));
}

#[test]
fn bases_that_would_show_the_token_are_refused() {
    let client = |base: &str, allow_http| {
        Client::new(ClientConfig {
            allow_http,
            ..config(base, Duration::from_secs(1))
        })
    };
    for (base, origin) in [
        ("https://api.vm0.ai", "https://api.vm0.ai"),
        ("https://API.vm0.ai:443/", "https://api.vm0.ai"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://127.8.0.1/prefix/", "http://127.8.0.1/prefix"),
    ] {
        assert_eq!(client(base, false).unwrap().origin(), origin);
    }
    for (base, word) in [
        ("http://api.vm0.ai", "--allow-http"),
        ("http://localhost.example", "--allow-http"),
        ("ftp://api.vm0.ai", "https://"),
        ("https://user:pw@api.vm0.ai", "user or password"),
        ("https://api.vm0.ai/?x", "query"),
    ] {
        let message = client(base, false).err().unwrap().to_string();
        assert!(message.contains(word), "{message}");
        assert!(!message.contains("pw@"), "{message}");
    }
    assert!(client("http://api.vm0.ai", true).is_ok());
    let server = Server::new(|asked, _| {
        assert_eq!(asked.path, "/prefix/v1/agents");
        json(page_json(&[], false, None))
    });
    let client = client(&format!("{}/prefix/", server.base), false).unwrap();
    assert!(client.agents(&Progress::new()).is_ok());
}
