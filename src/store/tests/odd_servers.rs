//! Downloads from servers that do what RFC 9110 does not promise, or hardly allows.

use super::{parallel, server::*, *};
use std::net::TcpStream;

/// A download in small parts from such a server.
struct Tried {
    result: Result<Arc<Version>>,
    asked: usize,
    bytes: u64,
}

impl Tried {
    fn new(answer: impl Fn(usize, &Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let (server, fixture, progress) =
            (Server::new(answer), parallel::fixture(), Progress::new());
        let result = server.fetch(&fixture, &progress);
        if let Ok(version) = &result {
            assert_eq!(read(version, "f").unwrap().len(), 40_000);
        }
        Self {
            result,
            asked: server.asked().len(),
            bytes: progress.bytes(),
        }
    }

    /// It came wholly, and no byte of it counts twice.
    fn is_whole(&self) {
        self.result.as_ref().unwrap();
        assert_eq!(self.bytes, archive().len() as u64);
    }

    fn error(&self) -> &Error {
        let error = self.result.as_ref().unwrap_err();
        assert!(!matches!(error, Error::Internal(_)), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error
    }
}

/// The range asked for, within the archive.
fn span(asked: &Asked, archive: &[u8]) -> (usize, usize) {
    let (start, end) = asked.range();
    (start, end.min(archive.len()))
}

fn content_range(
    start: usize,
    end: usize,
    length: impl std::fmt::Display,
) -> (&'static str, String) {
    (
        "Content-Range",
        format!("bytes {start}-{}/{length}", end - 1),
    )
}

fn etag() -> (&'static str, String) {
    ("ETag", "\"1\"".into())
}

#[test]
fn more_than_asked_for_is_cut() {
    let sent = archive();
    Tried::new(move |_, asked, stream| {
        let (start, end) = span(asked, &sent);
        let rest = &sent[start..];
        let length = ("Content-Length", rest.len().to_string());
        let range = content_range(start, end, sent.len());
        head(stream, "206 Partial Content", &[etag(), range, length]);
        let _ = stream.write_all(rest);
    })
    .is_whole();
}

#[test]
fn less_than_asked_for_is_asked_for_again() {
    let sent = archive();
    let tried = Tried::new(move |_, asked, stream| {
        let (start, end) = span(asked, &sent);
        let end = end.min(start + 1500);
        let length = ("Content-Length", (end - start).to_string());
        let range = content_range(start, end, sent.len());
        head(stream, "206 Partial Content", &[etag(), range, length]);
        let _ = stream.write_all(&sent[start..end]);
    });
    tried.is_whole();
    assert!(tried.asked > archive().len() / 1500, "{}", tried.asked);
}

#[test]
fn whole_answers_among_ranges_are_skipped_into() {
    let sent = archive();
    Tried::new(move |number, asked, stream| {
        let (start, end) = match number % 2 {
            0 => span(asked, &sent),
            _ => (0, sent.len()),
        };
        let length = ("Content-Length", (end - start).to_string());
        match number % 2 {
            0 => {
                let range = content_range(start, end, sent.len());
                head(stream, "206 Partial Content", &[etag(), range, length]);
            }
            _ => head(stream, "200 OK", &[etag(), length]),
        }
        let _ = stream.write_all(&sent[start..end]);
    })
    .is_whole();
}

#[test]
fn connections_that_close_before_any_header_are_made_again() {
    let sent = archive();
    let tried = Tried::new(move |number, asked, stream| {
        if number % 3 > 0 {
            serve(stream, asked, &sent, "\"1\"", usize::MAX);
        }
    });
    tried.is_whole();
    let tried = Tried::new(|_, _, _| ());
    assert!(tried.asked <= 7, "{}", tried.asked);
    assert_eq!(tried.error().errno(), libc::EIO);
}

#[test]
fn informational_answers_are_passed_over() {
    let sent = archive();
    Tried::new(move |number, asked, stream| {
        let before = match number % 2 {
            0 => "HTTP/1.1 100 Continue\r\n\r\n",
            _ => "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        };
        let _ = stream.write_all(before.as_bytes());
        serve(stream, asked, &sent, "\"1\"", usize::MAX);
    })
    .is_whole();
}

#[test]
fn ranges_in_chunked_encoding_come_wholly_or_are_resumed() {
    // Complete; without the last chunk; with it, but too few bytes.
    for (most, last) in [(usize::MAX, true), (1000, false), (1000, true)] {
        let sent = archive();
        Tried::new(move |number, asked, stream| {
            let (start, end) = span(asked, &sent);
            let chunked = ("Transfer-Encoding", "chunked".to_owned());
            let range = content_range(start, end, sent.len());
            head(stream, "206 Partial Content", &[etag(), range, chunked]);
            let most = if number % 2 == 0 { most } else { usize::MAX };
            let end = end.min(start.saturating_add(most));
            for piece in sent[start..end].chunks(333) {
                let _ = write!(stream, "{:x}\r\n", piece.len());
                let _ = stream.write_all(piece);
                let _ = stream.write_all(b"\r\n");
            }
            if last {
                let _ = stream.write_all(b"0\r\n\r\n");
            }
        })
        .is_whole();
    }
}

#[test]
fn a_wrong_total_is_told_and_never_waited_for() {
    // Of a later part only.
    let sent = archive();
    let tried = Tried::new(move |_, asked, stream| {
        let (start, end) = span(asked, &sent);
        let length = sent.len() + usize::from(start > 0);
        let range = content_range(start, end, length);
        head(stream, "206 Partial Content", &[etag(), range]);
        let _ = stream.write_all(&sent[start..end]);
    });
    let text = tried.error().to_string();
    assert!(text.contains("changed"), "{text}");

    // Of all parts: too large, so that ranges after the end are asked for; too small,
    // so that the archive is cut; nothing at all.
    for (factor, expected) in [(2.0, "changed"), (0.5, "unusable"), (0.0, "unusable")] {
        let sent = archive();
        let tried = Tried::new(move |_, asked, stream| {
            let length = (sent.len() as f64 * factor) as usize;
            let (start, end) = span(asked, &sent);
            if start >= sent.len() {
                return head(stream, "416 Range Not Satisfiable", &[]);
            }
            let range = content_range(start, end, length);
            head(stream, "206 Partial Content", &[etag(), range]);
            let _ = stream.write_all(&sent[start..end]);
        });
        let text = tried.error().to_string();
        assert!(text.contains(expected), "{factor}: {text}");
    }
}

#[test]
fn an_absurd_length_is_refused_before_anything_is_stored() {
    for length in [u64::MAX, u64::MAX - 1, 1 << 60] {
        for is_range in [true, false] {
            let sent = archive();
            let tried = Tried::new(move |_, asked, stream| {
                let (start, end) = span(asked, &sent);
                match is_range {
                    true => {
                        let range = content_range(start, end, length);
                        head(stream, "206 Partial Content", &[etag(), range]);
                    }
                    false => {
                        let length = ("Content-Length", length.to_string());
                        head(stream, "200 OK", &[etag(), length]);
                    }
                }
                let _ = stream.write_all(&sent[start..end]);
            });
            let error = tried.error();
            let errno = error.errno();
            assert!(
                [libc::ENOSPC, libc::EIO].contains(&errno),
                "{length} {is_range}: {error}"
            );
            assert!(tried.asked <= 20, "{}", tried.asked);
        }
    }
}

#[test]
fn an_object_without_bytes_is_no_archive() {
    for status in ["200 OK", "206 Partial Content"] {
        let tried = Tried::new(move |_, _, stream| {
            let headers = [
                ("Content-Range", "bytes 0-0/0".to_owned()),
                ("Content-Length", "0".to_owned()),
            ];
            head(stream, status, &headers);
        });
        let error = tried.error();
        assert!(matches!(error, Error::BadArchive { .. }), "{error}");
        assert_eq!(tried.asked, 1);
    }
}
