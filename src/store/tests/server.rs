//! A server that does what object stores and networks do.

use super::*;
use std::{
    io::{BufRead, BufReader},
    net::{Shutdown, TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
};

/// A request as it came: path with query, and headers in lower case.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The number of the link, of [`Server::link`].
    pub(super) fn link(&self) -> u32 {
        let (_, number) = self.path.rsplit_once("secret").unwrap();
        number.parse().unwrap()
    }

    /// Where the range asked for starts.
    pub(super) fn start(&self) -> usize {
        self.range().0
    }

    /// Start and end of the range asked for.
    pub(super) fn range(&self) -> (usize, usize) {
        let range = self.header("range").unwrap_or("bytes=0-");
        let (start, last) = range
            .strip_prefix("bytes=")
            .unwrap()
            .split_once('-')
            .unwrap();
        let end = match last {
            "" => usize::MAX,
            last => last.parse::<usize>().unwrap() + 1,
        };
        (start.parse().unwrap(), end)
    }
}

pub(super) type Answer = dyn Fn(usize, &Asked, &mut TcpStream) + Send + Sync;

/// One answer a connection; the number says which.
pub(super) struct Server {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(super) links: AtomicU32,
}

impl Server {
    pub(super) fn new(
        answer: impl Fn(usize, &Asked, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        let log = Arc::clone(&asked);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (mut stream, answer, log) =
                    (stream.unwrap(), Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let Some(Ok(first)) = lines.next() else {
                        return;
                    };
                    let headers = lines
                        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
                        .filter_map(|line| {
                            let (name, value) = line.split_once(':')?;
                            Some((name.to_lowercase(), value.trim().to_string()))
                        });
                    let request = Asked {
                        path: first.split(' ').nth(1).unwrap().to_string(),
                        headers: headers.collect(),
                    };
                    log.lock().push(request.clone());
                    answer(number, &request, &mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self {
            address,
            asked,
            links: AtomicU32::new(0),
        }
    }

    pub(super) fn link(&self) -> Result<Url> {
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "http://{}/archive.tar.gz?signature=secret{number}",
            self.address
        );
        Ok(Url::parse(&text).unwrap())
    }

    pub(super) fn fetch(&self, fixture: &Fixture, progress: &Progress) -> Result<Arc<Version>> {
        let link = || self.link();
        let request = FetchRequest {
            url: &link,
            ..request("v")
        };
        fixture.store.fetch(&request, progress)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

pub(super) fn head(stream: &mut TcpStream, status: &str, headers: &[(&str, String)]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let _ = stream.write_all(format!("{text}\r\n").as_bytes());
}

/// As an object store answers: the range asked for, cut after `most` bytes.
pub(super) fn serve(
    stream: &mut TcpStream,
    asked: &Asked,
    archive: &[u8],
    etag: &str,
    most: usize,
) {
    let (start, end) = head_of(stream, asked, archive, etag);
    let _ = stream.write_all(&archive[start..start.saturating_add(most).min(end)]);
}

/// The headers of [`serve`], and what is to be sent.
pub(super) fn head_of(
    stream: &mut TcpStream,
    asked: &Asked,
    archive: &[u8],
    etag: &str,
) -> (usize, usize) {
    let length = archive.len();
    let fresh = asked.header("if-range").is_none_or(|known| known == etag);
    let (start, end) = match asked.range() {
        (start, end) if fresh && asked.header("range").is_some() => (start, end.min(length)),
        _ => (0, length),
    };
    let partial = (start, end) != (0, length) || (fresh && asked.header("range").is_some());
    let mut headers = vec![
        ("ETag", etag.to_string()),
        ("Content-Length", (end - start).to_string()),
    ];
    if partial {
        headers.push((
            "Content-Range",
            format!("bytes {start}-{}/{length}", end - 1),
        ));
    }
    let status = if partial {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    head(stream, status, &headers);
    (start, end)
}

/// Some 40 KB that do not compress.
pub(super) fn archive() -> Vec<u8> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    Tar::default()
        .file("f", noise.take(40_000).collect::<Vec<_>>())
        .gz()
}
