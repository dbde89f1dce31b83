//! Downloads: the link, the object store, and the bytes that come from it.

use super::{each, recovers};
use crate::support::fake::{Action, Fault, File, Kind, Port, Server, VersionSpec, World};
use crate::support::{
    Bench, Mount, noise,
    reason::{AGAIN, DENIED, IO, TIMED_OUT, UNREACHABLE},
};
use std::ops::RangeInclusive;

/// What is read: the last file of an archive of two parts, and its text.
const SCRIPT: &str = "cat artifacts/report/latest/z";
const TEXT: &str = "whole\n";

/// What is said of an archive that is none.
const UNUSABLE: &[&str] = &["is unusable"];

/// A fault, where it is, and what a reader makes of it.
struct Row {
    name: &'static str,
    faults: Vec<Fault>,
    /// What `cat` says; `None` where it reads the text all the same.
    reason: Option<&'static str>,
    words: &'static [&'static str],
    /// Requests for the link, and to the object store.
    links: RangeInclusive<usize>,
    downloads: RangeInclusive<usize>,
}

/// A mount of an artifact whose archive comes in several parts; the part of the
/// path that is the link's, and the object's.
struct Scene {
    /// Unmounted before its server goes.
    mount: Mount,
    bench: Bench,
    link: String,
}

impl Scene {
    fn new(timeout: &str) -> Self {
        let mut world = World::empty();
        let storage = world.add_storage(Kind::Artifact, "report");
        let files = vec![File::new("a", noise(9 << 20)), File::new("z", TEXT)];
        world.add_version(&storage, VersionSpec::files(files));
        let bench = Bench::new(world);
        let mount = bench.mount().with(["--timeout", timeout]).start();
        mount.run("ls artifacts/report");
        Self {
            mount,
            bench,
            link: format!("/v1/artifacts/{storage}/download"),
        }
    }
}

fn api(action: Action) -> Vec<Fault> {
    vec![Fault::api("/v1/artifacts/", action)]
}

fn store(action: Action) -> Vec<Fault> {
    vec![Fault::store(action)]
}

fn status(status: u16) -> Action {
    Action::Status {
        status,
        body: "<Error><Code>Test</Code></Error>".into(),
        content_type: "application/xml".into(),
        headers: Vec::new(),
    }
}

/// Checks the rows, in mounts with this timeout.
fn check(timeout: &str, rows: Vec<Row>) {
    each(rows, |row| {
        let scene = Scene::new(timeout);
        scene.bench.server.clear_requests();
        for fault in row.faults {
            scene.bench.server.fault(fault);
        }
        let output = scene.mount.start(SCRIPT).output();
        let context = format!("{}: {output:?}", row.name);
        let links = scene.bench.server.requests_to(Port::Api, &scene.link).len();
        let downloads = scene.bench.downloads();
        assert!(row.links.contains(&links), "{context}: {links} links");
        assert!(
            row.downloads.contains(&downloads.len()),
            "{context}: {} downloads",
            downloads.len()
        );
        assert!(
            downloads.iter().all(|request| !request.authorization),
            "{context}"
        );
        let Some(reason) = row.reason else {
            assert_eq!(String::from_utf8_lossy(&output.stdout), TEXT, "{context}");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(reason),
            "{context}"
        );
        assert!(output.stdout.is_empty(), "{context}: part of a file");
        let errors = scene.mount.cat(".vm0fs/errors");
        let line = errors
            .lines()
            .find(|line| line.contains("files of artifacts/"));
        let line = line.unwrap_or_else(|| panic!("{context}: {errors}"));
        for word in row.words {
            assert!(line.contains(word), "{context}: no {word:?} in {line}");
        }
        assert!(
            !errors.contains("X-Amz-") && !errors.contains("hidden"),
            "{errors}"
        );
        scene.bench.server.clear_faults();
        if row.words == UNUSABLE {
            // Archives do not change: it is not asked for again for a minute, but
            // by a mount that does not know of it.
            let another = scene.bench.mount().start();
            assert_eq!(another.run(SCRIPT), TEXT, "{context}");
            return;
        }
        recovers(
            &scene.mount,
            &format!("test \"$({SCRIPT})\" = whole"),
            row.name,
        );
    });
}

#[test]
fn failures_of_the_download_link_are_reported_and_pass() {
    let elsewhere = Server::start(World::empty()).unwrap();
    let other = format!("{}/x?X-Amz-Signature=hidden", elsewhere.api_url());
    let row = |name, action, reason, words, links| Row {
        name,
        faults: api(action),
        reason: Some(reason),
        words,
        links,
        downloads: 0..=0,
    };
    check(
        "2s",
        vec![
            row("500", Action::internal_error(), IO, &["HTTP 500"], 1..=1),
            row("502", Action::bad_gateway(), IO, &["HTTP 502"], 3..=3),
            row(
                "401",
                Action::api_error(401, "authentication_error", "revoked_api_key", "no"),
                DENIED,
                &["revoked_api_key"],
                1..=1,
            ),
            row(
                "404",
                Action::api_error(404, "not_found_error", "resource_not_found", "no"),
                IO,
                &["although the version is listed"],
                1..=1,
            ),
            row(
                "429",
                Action::rate_limited(4),
                AGAIN,
                &["try again in 4 s"],
                1..=1,
            ),
            row(
                "silence",
                Action::Stall,
                TIMED_OUT,
                &["no byte for 2 s"],
                1..=1,
            ),
            row(
                "reset",
                Action::Reset { after: 0 },
                IO,
                &["the connection broke"],
                3..=3,
            ),
            row(
                "no redirect",
                Action::api_error(200, "", "", ""),
                IO,
                &["HTTP 200 instead of a redirect"],
                1..=1,
            ),
            row(
                "a file",
                Action::redirect(302, "file:///etc/passwd"),
                IO,
                &["not https://"],
                1..=1,
            ),
            row(
                "another scheme",
                Action::redirect(302, "ftp://127.0.0.1/hidden"),
                IO,
                &["not https://"],
                1..=1,
            ),
            row(
                "plain http",
                Action::redirect(302, "http://192.0.2.1/hidden"),
                IO,
                &["--allow-http"],
                1..=1,
            ),
            row(
                "a password",
                Action::redirect(302, "https://me:hidden@127.0.0.1/"),
                IO,
                &["user or password"],
                1..=1,
            ),
            row(
                "no listener",
                Action::redirect(302, "http://127.0.0.1:1/x?hidden"),
                UNREACHABLE,
                &["127.0.0.1:1"],
                1..=1,
            ),
            Row {
                downloads: 0..=0,
                ..row(
                    "another server",
                    Action::redirect(302, &other),
                    IO,
                    &["HTTP 404"],
                    1..=1,
                )
            },
        ],
    );
    assert!(
        elsewhere
            .requests()
            .iter()
            .all(|request| !request.authorization)
    );
}

#[test]
fn failures_of_the_object_store_are_reported_and_pass() {
    let row = |name, action, reason, words, links, downloads| Row {
        name,
        faults: store(action),
        reason: Some(reason),
        words,
        links,
        downloads,
    };
    check(
        "2s",
        vec![
            row(
                "404",
                status(404),
                IO,
                &["HTTP 404 from the object store"],
                1..=1,
                1..=1,
            ),
            // Links that are refused, each of the few that are asked for.
            row(
                "403",
                status(403),
                IO,
                &[
                    "HTTP 403",
                    "link is not accepted: see that this machine's clock",
                ],
                3..=3,
                3..=3,
            ),
            row(
                "expired",
                Action::ExpireUrl,
                IO,
                &["HTTP 403"],
                3..=3,
                3..=3,
            ),
            row(
                "500",
                status(500),
                IO,
                &["HTTP 500 from the object store"],
                1..=1,
                4..=7,
            ),
            row(
                "503",
                status(503),
                IO,
                &["HTTP 503 from the object store"],
                1..=1,
                4..=7,
            ),
            row(
                "redirect",
                Action::redirect(302, "/elsewhere"),
                IO,
                &["redirects"],
                1..=1,
                1..=1,
            ),
            row(
                "closed",
                Action::CloseBeforeHeaders,
                IO,
                &["GET http://"],
                1..=1,
                4..=7,
            ),
            row(
                "reset",
                Action::Reset { after: 0 },
                IO,
                &["GET http://"],
                1..=1,
                4..=7,
            ),
            row(
                "silence",
                Action::Stall,
                TIMED_OUT,
                &["--timeout"],
                1..=1,
                1..=3,
            ),
            row(
                "silence in the body",
                Action::StallBody { after: 0 },
                TIMED_OUT,
                &["--timeout"],
                1..=1,
                1..=12,
            ),
        ],
    );
}

#[test]
fn broken_archives_are_reported_and_pass() {
    let row = |name, faults, reason, words| Row {
        name,
        faults,
        reason: Some(reason),
        words,
        links: 1..=3,
        // Two parts, seven tries each.
        downloads: 1..=14,
    };
    let fine = |name, faults, downloads| Row {
        reason: None,
        downloads,
        ..row(name, faults, "", &[])
    };
    let cut = |after| Action::Truncate { after };
    let other = |skip: u32| Fault::store(Action::ChangeEtag).skip(skip).times(1);
    let range = Action::ContentRange("bytes 5-9/10".into());
    // Nothing is silent here, but a busy machine may be slow.
    check(
        "20s",
        vec![
            row(
                "nothing ever",
                store(cut(0)),
                IO,
                &["end of file before message length"],
            ),
            // Each try gets further: it ends well.
            fine("cut again and again", store(cut(3 << 20)), 4..=8),
            fine(
                "reset once",
                vec![Fault::store(Action::Reset { after: 1 << 20 }).times(1)],
                3..=3,
            ),
            fine("ranges ignored", store(Action::NoRange), 1..=1),
            fine(
                "an object that changes once",
                vec![Fault::store(Action::ChangeEtag).skip(1)],
                3..=5,
            ),
            row(
                "one that changes ever again",
                vec![other(1), other(3), other(5)],
                IO,
                &["the object changed"],
            ),
            row(
                "another range",
                store(range.clone()),
                IO,
                &["got Content-Range"],
            ),
            row(
                "another range later",
                vec![Fault::store(range).skip(1)],
                IO,
                &["got Content-Range"],
            ),
            row(
                "no range",
                store(Action::ContentRange("here".into())),
                IO,
                &["got Content-Range"],
            ),
            // Of 206 more is known than its length: the rest is asked for.
            fine(
                "less than said",
                vec![Fault::store(Action::ContentLength(5_000)).times(1)],
                3..=5,
            ),
            // Of a whole object nothing else is known: the archive ends too early.
            row(
                "less than there is",
                vec![
                    Fault::store(Action::NoRange),
                    Fault::store(Action::ContentLength(5_000)),
                ],
                IO,
                UNUSABLE,
            ),
            row(
                "more than there is",
                vec![
                    Fault::store(Action::NoRange),
                    Fault::store(Action::ContentLength(64 << 20)),
                ],
                IO,
                &["end of file before message length"],
            ),
            row(
                "no archive",
                store(Action::WrongBody("<html>".into())),
                IO,
                UNUSABLE,
            ),
            row(
                "an empty object",
                store(Action::WrongBody("".into())),
                IO,
                UNUSABLE,
            ),
            row(
                "none after all",
                vec![Fault::store(status(404)).skip(1)],
                IO,
                &["HTTP 404"],
            ),
        ],
    );
}
