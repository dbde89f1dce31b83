//! Measurements, not tests:
//! `VM0FS_ARCHIVE=<a tar.gz> cargo test --release --lib -- --ignored --nocapture speed`.

use super::server::*;
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

/// Not a test but a measurement: `cargo test --release -- --ignored --nocapture how_fast`.
#[test]
#[ignore = "measures"]
fn how_fast() {
    const WORDS: [&str; 32] = [
        "let", "mut", "return", "self", "function", "import", "const", "value", "if", "else",
        "for", "while", "struct", "string", "number", "async", "await", "export", "default",
        "class", "public", "static", "void", "null", "true", "false", "match", "enum", "impl",
        "trait", "where", "use",
    ];
    let mut state = 1_u64;
    let mut tar = Tar::default();
    for at in 0..100_000 {
        // Compresses about threefold, as text does.
        let mut content = Vec::with_capacity(2060);
        while content.len() < 2048 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1442);
            content.extend_from_slice(WORDS[(state >> 59) as usize].as_bytes());
            content.extend_from_slice(&[b" \n_.,"[(state >> 40) as usize % 5]]);
            content.extend_from_slice((state >> 44 & 0xff).to_string().as_bytes());
        }
        content.truncate(2048);
        tar = tar.file(
            format!("dir{}/sub{}/file{at}.txt", at / 1000, at / 100),
            content,
        );
    }
    let archive = tar.gz();
    let started = std::time::Instant::now();
    let mut inflated = flate2::read::MultiGzDecoder::new(&archive[..]);
    io::copy(&mut inflated, &mut io::sink()).unwrap();
    eprintln!("inflating alone: {:?}", started.elapsed());
    for id in ["v".to_string(), "0".repeat(64)] {
        let fixture = Fixture::new();
        let started = std::time::Instant::now();
        let version = fixture.put(&id, &archive).unwrap();
        let took = started.elapsed();
        let fresh = Store::open(config(fixture.folder.path())).unwrap();
        let started = std::time::Instant::now();
        let again = fresh.version(&key(&id)).unwrap();
        eprintln!(
            "{} entries, {} MB of gzip, hashed: {}: {took:?}; tree of {} bytes opens in {:?}",
            version.index().len(),
            archive.len() >> 20,
            id.len() == 64,
            again.meta().tree_bytes,
            started.elapsed()
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    eprintln!(
        "{:?}",
        status.lines().find(|line| line.starts_with("VmHWM"))
    );
}

/// As [`how_fast`], for memory: run it alone.
#[test]
#[ignore = "measures"]
fn a_million_files() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        line.unwrap().to_string()
    };
    // Made in pieces, each a member of its own: the tar is not in memory.
    let mut archive = Vec::new();
    for piece in 0..1000 {
        let files = (0..1000).fold(Tar::default(), |tar, at| {
            tar.file(format!("directory-{piece}/some-file-{at}.txt"), "content")
        });
        archive.extend(gzip(&files.0));
    }
    archive.extend(gzip(&[0; 1024]));
    let fixture = Fixture::new();
    let before = peak();
    let started = std::time::Instant::now();
    fixture.put(&"0".repeat(64), &archive).unwrap();
    eprintln!("{:?}, peak {} after {before}", started.elapsed(), peak());
    let fresh = Store::open(config(fixture.folder.path())).unwrap();
    let started = std::time::Instant::now();
    let version = fresh.version(&key(&"0".repeat(64))).unwrap();
    eprintln!(
        "tree of {} bytes opens in {:?}",
        version.meta().tree_bytes,
        started.elapsed()
    );
}
