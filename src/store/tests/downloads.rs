//! Downloads from a server that does what object stores and networks do.

use super::server::*;
use super::*;
use std::{
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
};

#[test]
fn a_small_archive_comes_whole_with_one_request() {
    let archive = archive();
    let sent = archive.clone();
    let server =
        Server::new(move |_, asked, stream| serve(stream, asked, &sent, "\"1\"", usize::MAX));
    let fixture = Fixture::new();
    let progress = Progress::new();
    let version = server.fetch(&fixture, &progress).unwrap();
    assert_eq!(read(&version, "f").unwrap().len(), 40_000);
    assert_eq!(version.meta().archive_bytes, archive.len() as u64);
    assert_eq!(
        (progress.bytes(), progress.expected()),
        (archive.len() as u64, Some(archive.len() as u64))
    );
    // Once the version is in the cache, no request is made.
    server.fetch(&fixture, &progress).unwrap();
    let asked = server.asked();
    assert_eq!((asked.len(), server.links.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[0].header("user-agent"), Some("vm0fs/test"));
    // One round trip tells what the object is, and brings all of a small one.
    assert_eq!(asked[0].header("range"), Some("bytes=0-8388607"));
}

#[test]
fn resumes_from_the_byte_reached() {
    for cut in [0, 1, 511, 20_000, 39_000] {
        let sent = archive();
        let length = sent.len();
        let server = Server::new(move |number, asked, stream| {
            let most = if number < 3 { cut } else { usize::MAX };
            serve(stream, asked, &sent, "\"1\"", most);
        });
        let fixture = Fixture::new();
        let progress = Progress::new();
        let version = server.fetch(&fixture, &progress).unwrap();
        assert_eq!(version.meta().archive_bytes, length as u64);
        assert_eq!(progress.bytes(), length as u64, "no byte twice");
        let asked = server.asked();
        for (at, asked) in asked.iter().enumerate() {
            assert_eq!(asked.start(), (cut * at).min(length), "cut {cut}");
            let condition = (asked.start() > 0).then_some("\"1\"");
            assert_eq!(asked.header("if-range"), condition);
        }
        let connections = length.checked_div(cut).map_or(4, |whole| 4.min(whole + 1));
        assert_eq!(asked.len(), connections, "cut {cut}");
        assert_eq!(server.links.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn resumes_after_every_byte() {
    let archive: Vec<u8> = Tar::default()
        .file("a", "first".repeat(9))
        .file("b", &archive()[..99])
        .gz();
    let length = archive.len();
    // Many at a time, since each pauses before it goes on.
    let next = AtomicU32::new(0);
    let resume = || {
        loop {
            let cut = next.fetch_add(1, Ordering::Relaxed) as usize;
            if cut >= length {
                return;
            }
            let sent = archive.clone();
            let server = Server::new(move |number, asked, stream| {
                let most = if number == 0 { cut } else { usize::MAX };
                serve(stream, asked, &sent, "\"1\"", most);
            });
            let (fixture, progress) = (Fixture::new(), Progress::new());
            let version = server.fetch(&fixture, &progress).unwrap();
            assert_eq!(read(&version, "a").unwrap(), "first".repeat(9).as_bytes());
            assert_eq!(read(&version, "b").unwrap().len(), 99);
            assert_eq!(progress.bytes(), length as u64, "no byte twice, cut {cut}");
            let starts: Vec<usize> = server.asked().iter().map(Asked::start).collect();
            assert_eq!(starts, [0, cut]);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(resume);
        }
    });
    assert!(length > 200, "{length}");
}

#[test]
fn a_server_that_ignores_ranges() {
    let sent = archive();
    let server = Server::new(move |number, _, stream| {
        let most = if number == 0 { 15_000 } else { sent.len() };
        head(
            stream,
            "200 OK",
            &[("Content-Length", sent.len().to_string())],
        );
        let _ = stream.write_all(&sent[..most]);
    });
    let fixture = Fixture::new();
    let progress = Progress::new();
    let version = server.fetch(&fixture, &progress).unwrap();
    assert_eq!(read(&version, "f").unwrap().len(), 40_000);
    assert_eq!(server.asked()[1].start(), 15_000);
    assert_eq!(progress.bytes(), archive().len() as u64);
}

#[test]
fn an_expired_link_is_replaced() {
    let sent = archive();
    let server = Server::new(
        move |_, asked, stream| match asked.path.ends_with("secret2") {
            true => serve(stream, asked, &sent, "\"1\"", usize::MAX),
            false if asked.path.ends_with("secret0") && asked.start() == 0 => {
                serve(stream, asked, &sent, "\"1\"", 10_000);
            }
            false => head(stream, "403 Forbidden", &[("Content-Length", "0".into())]),
        },
    );
    let fixture = Fixture::new();
    server.fetch(&fixture, &Progress::new()).unwrap();
    // Refused twice, asked for again twice, then from the byte reached.
    assert_eq!(server.links.load(Ordering::Relaxed), 3);
    assert_eq!(server.asked().last().unwrap().start(), 10_000);

    let server = Server::new(|_, _, stream| {
        head(stream, "403 Forbidden", &[("Content-Length", "0".into())])
    });
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(error.to_string().contains("HTTP 403"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
    assert_eq!(server.links.load(Ordering::Relaxed), 3, "bounded");
}

#[test]
fn a_changed_object_starts_over() {
    let old = archive();
    let new = Tar::default().file("new", vec![b'n'; 30_000]).gz();
    let sent = new.clone();
    let server = Server::new(move |number, asked, stream| match number {
        0 => serve(stream, asked, &old, "\"old\"", 10_000),
        _ => serve(stream, asked, &sent, "\"new\"", usize::MAX),
    });
    let fixture = Fixture::new();
    let version = server.fetch(&fixture, &Progress::new()).unwrap();
    assert_eq!(listing(&version), ["new"]);
    assert_eq!(server.asked().len(), 3);
    assert_eq!(fixture.on_disk(), (1, 0));

    // One that never stays the same fails.
    let sent = archive();
    let server = Server::new(move |number, asked, stream| {
        serve(stream, asked, &sent, &format!("\"{number}\""), 10_000);
    });
    let fixture = Fixture::new();
    let error = server.fetch(&fixture, &Progress::new()).unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
    assert_eq!(fixture.on_disk(), (0, 0));

    // Other bytes under another length, from a store without ETags.
    let sent = archive();
    let server = Server::new(move |number, asked, stream| {
        let (start, end) = (asked.start(), sent.len() + number);
        let range = [
            ("Content-Length", (end - start).to_string()),
            ("Content-Range", format!("bytes {start}-{}/{end}", end - 1)),
        ];
        match start {
            0 => head(stream, "200 OK", &range[..1]),
            _ => head(stream, "206 Partial Content", &range),
        }
        let _ = stream.write_all(&sent[start..start + 5_000]);
    });
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
}

#[test]
fn a_wrong_range_is_not_believed() {
    let sent = archive();
    let server = Server::new(move |number, asked, stream| match number {
        0 => serve(stream, asked, &sent, "\"1\"", 10_000),
        _ => {
            let range = format!("bytes 0-{}/{}", sent.len() - 1, sent.len());
            head(stream, "206 Partial Content", &[("Content-Range", range)]);
            let _ = stream.write_all(&sent);
        }
    });
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[test]
fn trouble_of_the_store_passes() {
    let sent = archive();
    let server = Server::new(move |number, asked, stream| match number {
        0 => head(stream, "503 Slow Down", &[("Content-Length", "0".into())]),
        2 => head(stream, "500 Oops", &[("Content-Length", "0".into())]),
        _ => serve(stream, asked, &sent, "\"1\"", 25_000),
    });
    server.fetch(&Fixture::new(), &Progress::new()).unwrap();
    assert_eq!(server.asked().len(), 4);
    assert_eq!(server.links.load(Ordering::Relaxed), 1);

    let server = Server::new(|_, _, stream| {
        head(stream, "503 Slow Down", &[("Content-Length", "0".into())])
    });
    let started = std::time::Instant::now();
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(error.errno(), libc::EIO, "{error}");
    assert!(server.asked().len() <= 7);
}

#[test]
fn a_stall_is_replaced_once_then_told() {
    let sent = archive();
    let server = Server::new(move |number, asked, stream| {
        serve(stream, asked, &sent, "\"1\"", 10_000);
        if number == 0 {
            std::thread::sleep(Duration::from_secs(5));
        } else {
            serve_rest(stream, &sent, asked.start() + 10_000);
        }
    });
    fn serve_rest(stream: &mut TcpStream, sent: &[u8], from: usize) {
        let _ = stream.write_all(&sent[from..]);
    }
    let started = std::time::Instant::now();
    server.fetch(&Fixture::new(), &Progress::new()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));

    // Slow but alive is no stall: twice the timeout in all.
    let sent = archive();
    let server = Server::new(move |_, asked, stream| {
        serve(stream, asked, &sent, "\"1\"", 1);
        for piece in sent[1..].chunks(sent.len() / 16) {
            std::thread::sleep(Duration::from_millis(250));
            let _ = stream.write_all(piece);
        }
    });
    server.fetch(&Fixture::new(), &Progress::new()).unwrap();
    assert_eq!(server.asked().len(), 1);

    let sent = archive();
    let server = Server::new(move |number, asked, stream| {
        if number == 0 {
            serve(stream, asked, &sent, "\"1\"", 10_000);
        }
        std::thread::sleep(Duration::from_secs(6));
    });
    let started = std::time::Instant::now();
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(
        matches!(error, Error::Timeout { seconds: 2, .. }),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn redirects_plain_http_and_absent_objects_are_errors_without_secrets() {
    let server = Server::new(|_, _, stream| {
        head(
            stream,
            "302 Found",
            &[("Location", "http://127.0.0.1:1/".into())],
        );
    });
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert!(
        matches!(&error, Error::Transport(e) if e.kind == crate::error::TransportKind::Forbidden),
        "{error}"
    );
    // Plain http without leave: not even connected to.
    let fixture = Fixture::with(|config| config.allow_http = false);
    let error = server.fetch(&fixture, &Progress::new()).unwrap_err();
    assert!(error.to_string().contains("--allow-http"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(server.asked().len(), 1);
    // No server at the address, and an object that is gone.
    let nowhere = || Ok(Url::parse("http://127.0.0.1:1/a?signature=secret").unwrap());
    let request = FetchRequest {
        url: &nowhere,
        ..request("v")
    };
    let error = Fixture::new()
        .store
        .fetch(&request, &Progress::new())
        .unwrap_err();
    assert_eq!(error.errno(), libc::ENETUNREACH, "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
    let server = Server::new(|_, _, stream| {
        head(stream, "404 Not Found", &[("Content-Length", "0".into())])
    });
    let error = server.fetch(&Fixture::new(), &Progress::new()).unwrap_err();
    assert_eq!(
        error.errno(),
        libc::EIO,
        "a file of an archive that is gone still exists: {error}"
    );
}

#[test]
fn a_link_that_fails_is_told_apart_from_an_archive_that_is_none() {
    let fails = || Err(Error::NotFound("artifact".into()));
    let request = FetchRequest {
        url: &fails,
        ..request("v")
    };
    let error = Fixture::new()
        .store
        .fetch(&request, &Progress::new())
        .unwrap_err();
    assert!(error.is_not_found());
    let server =
        Server::new(|_, asked, stream| serve(stream, asked, b"<html></html>", "\"1\"", usize::MAX));
    let fixture = Fixture::new();
    let error = server.fetch(&fixture, &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadArchive { .. }), "{error}");
    assert_eq!(fixture.on_disk(), (0, 0));
    // Without a length, a body that is cut is found by gzip.
    let sent = archive();
    let server = Server::new(move |_, _, stream| {
        head(stream, "200 OK", &[]);
        let _ = stream.write_all(&sent[..20_000]);
    });
    let error = server.fetch(&fixture, &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadArchive { .. }), "{error}");
}
