//! Downloads in parts that are in flight together.

use super::crashes::soon;
use super::server::*;
use super::*;
use crate::{store::fetch::download::Sizes, sync::Condvar};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Small enough that a small archive has many parts.
const SIZES: Sizes = Sizes {
    first: 4000,
    part: 3000,
    connections: 4,
    window: 15_000,
    opening: 15_000,
    patience: Duration::ZERO,
    chunk: 180,
};

pub(super) fn fixture() -> Fixture {
    in_small_parts(Fixture::new())
}

/// One that takes no answer that waits for something in a test for a stall.
fn patient_fixture() -> Fixture {
    in_small_parts(Fixture::with(|config| {
        config.timeout = Duration::from_secs(300)
    }))
}

fn in_small_parts(mut fixture: Fixture) -> Fixture {
    fixture.store.fetcher.downloader().sizes = SIZES;
    fixture
}

/// The parts that an archive of that length has.
fn parts(length: usize) -> usize {
    1 + (length - SIZES.first as usize).div_ceil(SIZES.part as usize)
}

/// Requests that are there at the same time: how many now, and the most there have been.
#[derive(Default)]
struct Together {
    counts: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Together {
    /// Counts a request until so many have been there together, and for a moment more,
    /// in which one too many would come.
    fn pass(&self, least: u64) {
        let end = std::time::Instant::now() + Duration::from_secs(10);
        let mut counts = self.counts.lock();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        self.changed.notify_all();
        while counts.1 < least && std::time::Instant::now() < end {
            (counts, _) = self.changed.wait_timeout(counts, Duration::from_secs(1));
        }
        drop(counts);
        std::thread::sleep(Duration::from_millis(30));
        self.counts.lock().0 -= 1;
    }
}

#[test]
fn each_byte_is_asked_for_once() {
    let archive = archive();
    let (sent, length) = (archive.clone(), archive.len());
    let together = Arc::new(Together::default());
    let counts = Arc::clone(&together);
    let server = Server::new(move |number, asked, stream| {
        // The others are asked for once the first has been answered.
        counts.pass(if number == 0 { 1 } else { SIZES.connections });
        serve(stream, asked, &sent, "\"1\"", usize::MAX);
    });
    let fixture = patient_fixture();
    let progress = Progress::new();
    let version = server.fetch(&fixture, &progress).unwrap();
    assert_eq!(read(&version, "f").unwrap().len(), 40_000);
    assert_eq!(version.meta().archive_bytes, length as u64);
    assert_eq!(
        (progress.bytes(), progress.expected()),
        (length as u64, Some(length as u64))
    );
    let mut ranges: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| (asked.range().0, asked.range().1.min(length)))
        .collect();
    ranges.sort_unstable();
    assert_eq!(ranges.len(), parts(length));
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
    assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, length));
    for asked in &server.asked()[1..] {
        assert_eq!(asked.header("if-range"), Some("\"1\""));
        assert_eq!(asked.header("authorization"), None);
    }
    assert_eq!(together.counts.lock().1, SIZES.connections);
    assert_eq!(server.links.load(Ordering::Relaxed), 1);
}

#[test]
fn resumes_at_every_cut() {
    let archive = archive();
    for parallel in [true, false] {
        for cut in (0..3000).step_by(if parallel { 271 } else { 523 }) {
            let (sent, cuts) = (archive.clone(), Mutex::new(HashMap::new()));
            let server = Server::new(move |_, asked, stream| {
                // The first answer to each part is cut, the second differently.
                let end = asked.range().1;
                let mut cuts = cuts.lock();
                let answers: &mut usize = cuts.entry(end).or_default();
                let most = match *answers % 3 {
                    0 => cut,
                    1 => 3 * cut + 1,
                    _ => usize::MAX,
                };
                *answers += 1;
                drop(cuts);
                // Without an ETag, parts cannot be told to be of one object.
                let etag = if parallel { "\"1\"" } else { "W/\"1\"" };
                serve(stream, asked, &sent, etag, most);
            });
            let progress = Progress::new();
            let fixture = fixture();
            let version = server.fetch(&fixture, &progress).unwrap();
            assert_eq!(
                progress.bytes(),
                archive.len() as u64,
                "no byte twice, cut {cut}"
            );
            assert_eq!(version.meta().archive_bytes, archive.len() as u64);
            assert_eq!(read(&version, "f").unwrap().len(), 40_000);
            assert_eq!(server.links.load(Ordering::Relaxed), 1);
        }
    }
}

#[test]
fn an_expired_link_is_asked_for_once_for_all() {
    let sent = archive();
    let served = AtomicUsize::new(0);
    let server = Server::new(move |_, asked, stream| {
        let expired = asked.path.ends_with("secret0") && served.fetch_add(1, Ordering::SeqCst) > 3;
        if expired {
            // All who use it are refused, and none before the others have asked.
            std::thread::sleep(Duration::from_millis(50));
            head(stream, "403 Forbidden", &[("Content-Length", "0".into())]);
        } else {
            serve(stream, asked, &sent, "\"1\"", usize::MAX);
        }
    });
    let fixture = fixture();
    let progress = Progress::new();
    server.fetch(&fixture, &progress).unwrap();
    assert_eq!(server.links.load(Ordering::Relaxed), 2);
    assert_eq!(progress.bytes(), archive().len() as u64);
    let again = server.asked();
    let again = again.iter().filter(|asked| asked.path.ends_with("secret1"));
    assert!(again.count() > 1);

    // Refused to many parts while an earlier one is slow, it is asked for again twice in
    // all, not for each.
    let sent = archive();
    let server = Server::new(move |_, asked, stream| match asked.start() {
        0 => serve(stream, asked, &sent, "\"1\"", usize::MAX),
        4000 => {
            std::thread::sleep(Duration::from_millis(500));
            serve(stream, asked, &sent, "\"1\"", usize::MAX);
        }
        _ => head(stream, "403 Forbidden", &[("Content-Length", "0".into())]),
    });
    let error = server
        .fetch(&super::parallel::fixture(), &Progress::new())
        .unwrap_err();
    assert!(error.to_string().contains("HTTP 403"), "{error}");
    assert_eq!(server.links.load(Ordering::Relaxed), 3);

    // A link that the service does not give any more ends it.
    let sent = archive();
    let server = Server::new(move |_, asked, stream| match asked.start() {
        0 => serve(stream, asked, &sent, "\"1\"", usize::MAX),
        _ => head(stream, "403 Forbidden", &[("Content-Length", "0".into())]),
    });
    let asked = AtomicBool::new(false);
    let link = || match asked.swap(true, Ordering::SeqCst) {
        false => server.link(),
        true => Err(Error::NotFound("artifact".into())),
    };
    let request = FetchRequest {
        url: &link,
        ..request("v")
    };
    let error = fixture
        .store
        .fetch(
            &FetchRequest {
                key: key("w"),
                ..request
            },
            &Progress::new(),
        )
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn a_change_amid_the_parts_starts_over() {
    let old = archive();
    let new = Tar::default().file("new", vec![b'n'; 300_000]).gz();
    let sent = new.clone();
    let server = Server::new(move |number, asked, stream| match number {
        0..4 => serve(stream, asked, &old, "\"old\"", usize::MAX),
        _ => serve(stream, asked, &sent, "\"new\"", usize::MAX),
    });
    let fixture = fixture();
    let version = server.fetch(&fixture, &Progress::new()).unwrap();
    assert_eq!(listing(&version), ["new"]);
    assert_eq!(fixture.on_disk(), (1, 0));
    assert!(server.links.load(Ordering::Relaxed) <= 3);
}

#[test]
fn ranges_ignored_at_once_or_later() {
    for after in [0, 3] {
        let sent = archive();
        let server = Server::new(move |number, asked, stream| {
            if number < after {
                return serve(stream, asked, &sent, "\"1\"", usize::MAX);
            }
            let headers = [
                ("ETag", "\"1\"".to_string()),
                ("Content-Length", sent.len().to_string()),
            ];
            head(stream, "200 OK", &headers);
            let _ = stream.write_all(&sent);
        });
        let progress = Progress::new();
        let fixture = fixture();
        let version = server.fetch(&fixture, &progress).unwrap();
        assert_eq!(read(&version, "f").unwrap().len(), 40_000);
        assert_eq!(progress.bytes(), archive().len() as u64);
        assert!(after > 0 || server.asked().len() == 1);
    }
}

#[test]
fn trouble_of_one_part_is_its_own() {
    let sent = archive();
    let trouble = AtomicUsize::new(0);
    let server = Server::new(move |number, asked, stream| match number {
        2 => head(stream, "503 Slow Down", &[("Content-Length", "0".into())]),
        // A stall, of one only: the others go on, and it is replaced.
        3 if trouble.fetch_add(1, Ordering::SeqCst) == 0 => {
            serve(stream, asked, &sent, "\"1\"", 100);
            std::thread::sleep(Duration::from_secs(4));
        }
        _ => serve(stream, asked, &sent, "\"1\"", usize::MAX),
    });
    let fixture = fixture();
    let started = std::time::Instant::now();
    server.fetch(&fixture, &Progress::new()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));

    // All of them stalled: told by the timeout, in time, without the query.
    let sent = archive();
    let server = Server::new(move |number, asked, stream| {
        serve(
            stream,
            asked,
            &sent,
            "\"1\"",
            if number == 0 { 4000 } else { 0 },
        );
        std::thread::sleep(Duration::from_secs(6));
    });
    let started = std::time::Instant::now();
    let fixture = super::parallel::fixture();
    let error = server.fetch(&fixture, &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(fixture.on_disk(), (0, 0));
}

#[test]
fn memory_is_bounded_by_the_window() {
    let archive: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let sizes = Sizes {
        first: 400_000,
        part: 300_000,
        connections: 4,
        window: 1_500_000,
        opening: 1_500_000,
        patience: Duration::ZERO,
        chunk: 60_000,
    };
    for etag in ["\"1\"", "W/\"1\""] {
        let body = archive.clone();
        let server = Server::new(move |_, asked, stream| {
            let (start, end) = head_of(stream, asked, &body, etag);
            let _ = stream.write_all(&body[start..end]);
        });
        let mut fixture = Fixture::new();
        fixture.store.fetcher.downloader().sizes = sizes;
        let link = || server.link();
        let progress = Progress::new();
        let mut download = fixture
            .store
            .fetcher
            .downloader()
            .start(&link, &progress)
            .unwrap();
        assert_eq!(download.length().unwrap(), Some(archive.len() as u64));
        let window = match etag {
            "\"1\"" => sizes.window,
            // What the channel of one part holds.
            _ => 1_000_000,
        };
        let (mut read, mut most) = (0, 0);
        let mut buf = [0; 10_000];
        while let n @ 1.. = download.read(&mut buf).unwrap() {
            assert!(buf[..n] == archive[read..read + n]);
            read += n;
            std::thread::sleep(Duration::from_micros(300));
            // What the reader has not taken from its own chunk counts as read. A chunk is
            // counted when it has been handed over: the reader may have it before.
            let ahead = progress.bytes().saturating_sub(read as u64);
            most = most.max(ahead);
            assert!(ahead <= window + (512 << 10), "{ahead} bytes ahead");
        }
        assert_eq!(read, archive.len());
        assert!(most > window / 3, "the window is used: {most}");
    }
}

#[test]
fn given_up_it_stops_asking() {
    let sent = archive();
    let has_read = Arc::new(AtomicBool::new(false));
    let may_go_on = Arc::clone(&has_read);
    let server = Server::new(move |number, asked, stream| {
        let (start, end) = head_of(stream, asked, &sent, "\"1\"");
        let mut rest = &sent[start..end];
        if number == 0 {
            // All that the reader takes, so that the window gets no more room than this.
            let _ = stream.write_all(&rest[..100]);
            rest = &rest[100..];
            soon("it has read", || may_go_on.load(Ordering::SeqCst));
        }
        let _ = stream.write_all(rest);
    });
    let mut fixture = patient_fixture();
    let link = || server.link();
    let mut download = fixture
        .store
        .fetcher
        .downloader()
        .start(&link, &Progress::new())
        .unwrap();
    download.read_exact(&mut [0; 10]).unwrap();
    has_read.store(true, Ordering::SeqCst);
    // The window has room for the first part and three more.
    soon("all that it may are asked for", || {
        server.asked().len() >= 4
    });
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.asked().len(), 4, "bounded by the window");
    assert!(parts(archive().len()) > 4);
    drop(download);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn an_empty_object_is_no_archive() {
    let server = Server::new(|_, asked, stream| match asked.header("range") {
        Some(_) => {
            let range = [("Content-Range", "bytes */0".to_string())];
            head(stream, "416 Range Not Satisfiable", &range);
        }
        None => head(stream, "200 OK", &[("Content-Length", "0".into())]),
    });
    let error = server.fetch(&fixture(), &Progress::new()).unwrap_err();
    assert!(matches!(error, Error::BadArchive { .. }), "{error}");
}
