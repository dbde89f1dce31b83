//! Measurements, not tests:
//! `VM0FS_ARCHIVE=<a tar.gz> cargo test --release --lib -- --ignored --nocapture speed`.

use super::downloads::*;
use super::*;
use std::{os::unix::fs::FileExt, time::Instant};

/// Names the archive that is served from a file.
const ARCHIVE: &str = "VM0FS_ARCHIVE";

fn serve_file(path: PathBuf, rate: Option<u64>) -> Server {
    Server::new(move |_, asked, stream| {
        let file = fs::File::open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        let (start, end) = asked.range();
        let end = (end as u64).min(length);
        let headers = [
            ("ETag", "\"1\"".to_string()),
            ("Content-Length", (end - start as u64).to_string()),
            (
                "Content-Range",
                format!("bytes {start}-{}/{length}", end - 1),
            ),
        ];
        head(stream, "206 Partial Content", &headers);
        let (mut at, started) = (start as u64, Instant::now());
        let mut piece = vec![0; if rate.is_some() { 64 << 10 } else { 256 << 10 }];
        while at < end {
            let n = piece.len().min((end - at) as usize);
            file.read_exact_at(&mut piece[..n], at).unwrap();
            if stream.write_all(&piece[..n]).is_err() {
                return;
            }
            at += n as u64;
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64((at - start as u64) as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(started.elapsed()));
            }
        }
    })
}

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or_default().to_string()
}

#[test]
#[ignore = "measures"]
fn speed_of_downloads_and_unpacking() {
    let path = PathBuf::from(std::env::var_os(ARCHIVE).expect(ARCHIVE));
    let length = path.metadata().unwrap().len();
    let megabytes = |since: Instant| length as f64 / 1e6 / since.elapsed().as_secs_f64();
    let drain = |connections: u64, rate: Option<u64>| {
        let server = serve_file(path.clone(), rate);
        let mut fixture = Fixture::new();
        fixture.store.fetcher.downloader().sizes.connections = connections;
        if connections == 1 {
            fixture.store.fetcher.downloader().sizes.first = 1 << 40;
        }
        let link = || server.link();
        let started = Instant::now();
        let mut download = fixture
            .store
            .fetcher
            .downloader()
            .start(&link, &Progress::new())
            .unwrap();
        let mut buf = vec![0; 128 << 10];
        while download.read(&mut buf).unwrap() > 0 {}
        megabytes(started)
    };
    for round in 0..3 {
        let (one, six) = (drain(1, None), drain(6, None));
        eprintln!("{round}: bare, no limit: one stream {one:.0} MB/s, parallel {six:.0} MB/s");
    }
    eprintln!("after downloads: {}", peak());
    let unpack = |connections: u64, id: &str, rate: Option<u64>| {
        let server = serve_file(path.clone(), rate);
        let mut fixture = Fixture::with(|config| config.ceiling = 40 << 30);
        fixture.store.fetcher.downloader().sizes.connections = connections;
        if connections == 1 {
            fixture.store.fetcher.downloader().sizes.first = 1 << 40;
        }
        let (link, started) = (|| server.link(), Instant::now());
        let request = FetchRequest {
            url: &link,
            ..request(id)
        };
        let version = fixture.store.fetch(&request, &Progress::new()).unwrap();
        let took = started.elapsed();
        eprintln!(
            "{connections} connections, hashed {}: {took:?}, {:.0} MB/s of content; {}",
            id.len() == 64,
            version.meta().bytes as f64 / 1e6 / took.as_secs_f64(),
            peak()
        );
    };
    for _ in 0..2 {
        unpack(1, "v", None);
        unpack(6, "v", None);
        unpack(6, &"0".repeat(64), None);
    }
    let limit = Some(20_000_000);
    unpack(6, &"0".repeat(64), limit);
    eprintln!(
        "limited to 20 MB/s a connection: {:.0} MB/s",
        drain(6, limit)
    );
}
