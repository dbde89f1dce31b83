//! An archive as a stream of bytes from its presigned URL, resumed where a
//! connection broke.
//!
//! No `Authorization` is ever sent and no redirect followed; queries of
//! presigned URLs appear in no error. reqwest's blocking client applies a
//! client-wide timeout to each wait by itself (the headers, every read of the
//! body), and a timeout set on a *request* to the whole of it: so only the
//! former is used (`blocking/client.rs` and `blocking/response.rs` of 0.13).

use crate::{
    error::{Error, Result, TransportError, TransportKind},
    progress::Progress,
};
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE},
    redirect::Policy,
};
use std::{
    error::Error as _,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use url::Url;

/// Failures in a row, each without [`GAIN`] bytes in between, that are borne.
const FAILURES: u32 = 6;
/// Bytes after which a failure counts as a first one again: so a connection
/// that breaks ever and again gets through, but not one that brings nothing.
const GAIN: u64 = 64 << 10;
/// Links refused in a row: each new one costs a call of the API.
const REFUSALS: u32 = 2;
/// Pause after a failure, doubled with each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// A host that takes longer to connect to is tried again instead.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes downloads.
pub(super) struct Downloader {
    timeout: Duration,
    user_agent: String,
    allow_http: bool,
    /// Made at the first download: a mount that needs none must not fail for
    /// a missing certificate store.
    client: Mutex<Option<Client>>,
}

impl Downloader {
    pub(super) fn new(timeout: Duration, user_agent: String, allow_http: bool) -> Self {
        Self {
            timeout,
            user_agent,
            allow_http,
            client: Mutex::new(None),
        }
    }

    /// Opens a stream: returns when the first headers are there.
    pub(super) fn start<'a>(
        &'a self,
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        progress: &'a Progress,
    ) -> Result<Download<'a>> {
        let mut download = Download {
            from: self,
            client: self.client()?,
            link,
            progress,
            url: None,
            response: None,
            offset: 0,
            skip: 0,
            length: None,
            etag: None,
            failures: 0,
            refusals: 0,
            gained: 0,
            last: Instant::now(),
            changed: false,
        };
        download.connect()?;
        Ok(download)
    }

    fn client(&self) -> Result<Client> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        // Another part of the program may have installed it: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = Client::builder()
            .user_agent(&self.user_agent)
            .redirect(Policy::none())
            // One stream for each connection: no shared window to wait for.
            .http1_only()
            .connect_timeout(CONNECT.min(self.timeout))
            // Half: a stalled connection is replaced once before time is up.
            .timeout(self.timeout / 2)
            .build()
            .map_err(|error| Error::Io {
                context: "preparing downloads".into(),
                source: Arc::new(io::Error::other(words(&error))),
            })?;
        Ok(client.insert(made).clone())
    }
}

/// A download at work. Its read errors hold an [`Error`].
pub(super) struct Download<'a> {
    from: &'a Downloader,
    client: Client,
    link: &'a (dyn Fn() -> Result<Url> + Sync),
    progress: &'a Progress,
    /// The link in use, until it is refused.
    url: Option<Url>,
    response: Option<Response>,
    /// Bytes given out so far.
    offset: u64,
    /// Bytes still to pass over where a store ignored the range.
    skip: u64,
    /// Bytes of the object, where the store said.
    length: Option<u64>,
    etag: Option<String>,
    failures: u32,
    refusals: u32,
    /// The offset from which failures are counted.
    gained: u64,
    /// When a byte last came.
    last: Instant,
    changed: bool,
}

/// Why an attempt failed.
enum Failed {
    /// For good.
    Final(Error),
    /// Another attempt may do.
    Again(Error),
    /// The link is not valid any more: another one may do.
    Refused(Error),
}

impl Download<'_> {
    /// Bytes of the whole object, where the store said.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it failed because the object is another one by now.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Has a response whose next byte is the one at `offset` (after `skip`).
    fn connect(&mut self) -> Result<()> {
        loop {
            let url = match &self.url {
                Some(url) => url.clone(),
                None => {
                    let url = (self.link)()?;
                    self.progress.advance(0);
                    self.last = Instant::now();
                    self.url.insert(url).clone()
                }
            };
            match self.request(&url) {
                Ok(response) => {
                    self.response = Some(response);
                    return Ok(());
                }
                Err(failed) => self.bear(failed)?,
            }
        }
    }

    /// Prepares for another attempt, or gives up.
    fn bear(&mut self, failed: Failed) -> Result<()> {
        self.response = None;
        if self.offset >= self.gained + GAIN {
            (self.failures, self.refusals) = (0, 0);
            self.gained = self.offset;
        }
        let error = match failed {
            Failed::Final(error) => return Err(error),
            Failed::Refused(error) => {
                self.refusals += 1;
                if self.refusals > REFUSALS {
                    return Err(error);
                }
                self.url = None;
                tracing::debug!("{error}; asking for another link");
                return Ok(());
            }
            Failed::Again(error) => error,
        };
        self.failures += 1;
        let left = self.from.timeout.saturating_sub(self.last.elapsed());
        let kind = match &error {
            Error::Transport(error) => Some(error.kind),
            _ => None,
        };
        // Nobody there at the start: likely no network, which is said soon.
        let most = match kind {
            Some(TransportKind::Connect) if self.offset == 0 => 1,
            _ => FAILURES,
        };
        if left.is_zero() && kind == Some(TransportKind::Stalled) {
            return Err(Error::Timeout {
                what: self.what(),
                seconds: self.from.timeout.as_secs(),
            });
        }
        if left.is_zero() || self.failures > most {
            return Err(error);
        }
        tracing::debug!(byte = self.offset, "{error}; resuming");
        thread::sleep((PAUSE * 2_u32.pow(self.failures - 1)).min(left));
        self.progress.advance(0);
        Ok(())
    }

    fn request(&mut self, url: &Url) -> Result<Response, Failed> {
        let what = name(url);
        let forbidden = |message: &str| {
            Failed::Final(Error::Transport(Arc::new(TransportError {
                request: what.clone(),
                kind: TransportKind::Forbidden,
                message: message.into(),
            })))
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && self.from.allow_http) {
            return Err(forbidden(
                "the download's link is not https; use --allow-http if that is meant",
            ));
        }
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT_ENCODING, "identity");
        if self.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.offset));
            if let Some(etag) = self.etag.as_deref().filter(|etag| !etag.starts_with("W/")) {
                request = request.header(IF_RANGE, etag);
            }
        }
        let response = request
            .send()
            .map_err(|error| Failed::Again(transport(&what, &error)))?;
        self.progress.advance(0);
        let answer = |detail: String| Error::BadAnswer {
            what: what.clone(),
            detail,
        };
        let status = response.status();
        match status {
            StatusCode::OK => self.whole(&response),
            StatusCode::PARTIAL_CONTENT if self.offset > 0 => self.part(&response),
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED
                if self.offset > 0 =>
            {
                Err(self.another())
            }
            // Expired links are 403, from some stores 400 or 401.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Failed::Refused(answer(format!(
                    "HTTP {} from the object store; the download's link is not accepted",
                    status.as_u16()
                ))))
            }
            status if status.is_redirection() => Err(forbidden(
                "the object store redirects, which is not followed",
            )),
            status
                if status.is_server_error()
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT =>
            {
                Err(Failed::Again(answer(format!(
                    "HTTP {} from the object store; try again later",
                    status.as_u16()
                ))))
            }
            status => Err(Failed::Final(answer(format!(
                "HTTP {} from the object store",
                status.as_u16()
            )))),
        }?;
        Ok(response)
    }

    /// A whole object: the first answer, or a range ignored.
    fn whole(&mut self, response: &Response) -> Result<(), Failed> {
        let etag = header(response, ETAG);
        let length = header(response, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if self.offset > 0 && (etag != self.etag || length != self.length) {
            return Err(self.another());
        }
        (self.etag, self.length, self.skip) = (etag, length, self.offset);
        if let Some(length) = length {
            self.progress.expect(length);
        }
        Ok(())
    }

    /// The rest of the object.
    fn part(&mut self, response: &Response) -> Result<(), Failed> {
        let range = header(response, CONTENT_RANGE).unwrap_or_default();
        let parsed = range.strip_prefix("bytes ").and_then(|range| {
            let (span, total) = range.split_once('/')?;
            Some((
                span.split_once('-')?.0.parse::<u64>().ok()?,
                total.to_string(),
            ))
        });
        let Some((start, total)) = parsed.filter(|(start, _)| *start == self.offset) else {
            return Err(Failed::Final(Error::BadAnswer {
                what: self.what(),
                detail: format!(
                    "asked from byte {} on, got Content-Range {range:?}",
                    self.offset
                ),
            }));
        };
        debug_assert_eq!(start, self.offset);
        let other = |known: Option<u64>| known.is_some_and(|known| total != known.to_string());
        let etag = header(response, ETAG);
        if (total != "*" && other(self.length)) || (etag.is_some() && etag != self.etag) {
            return Err(self.another());
        }
        self.skip = 0;
        Ok(())
    }

    /// The object is not the one whose first bytes were given out.
    fn another(&mut self) -> Failed {
        self.changed = true;
        Failed::Final(Error::BadAnswer {
            what: self.what(),
            detail: "the object changed while it was downloaded".into(),
        })
    }

    fn what(&self) -> String {
        self.url.as_ref().map_or_else(|| "GET".into(), name)
    }

    fn broken(&self) -> Failed {
        Failed::Again(Error::Transport(Arc::new(TransportError {
            request: self.what(),
            kind: TransportKind::Broken,
            message: match self.length {
                Some(length) => {
                    format!("the connection ended at byte {} of {length}", self.offset)
                }
                None => format!("the connection ended at byte {}", self.offset),
            },
        })))
    }

    fn next(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            if self.length == Some(self.offset) {
                return Ok(0);
            }
            let Some(response) = &mut self.response else {
                self.connect()?;
                continue;
            };
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
            let most = if skip > 0 {
                skip.min(buf.len())
            } else {
                buf.len()
            };
            match response.read(&mut buf[..most]) {
                Ok(0) if self.skip == 0 && self.length.is_none() => {
                    self.length = Some(self.offset);
                }
                Ok(0) => {
                    let broken = self.broken();
                    self.bear(broken)?;
                }
                Ok(n) => {
                    self.last = Instant::now();
                    if self.skip > 0 {
                        self.skip -= n as u64;
                        self.progress.advance(0);
                        continue;
                    }
                    self.offset += n as u64;
                    self.progress.advance(n as u64);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let failed = match error.get_ref().and_then(|e| e.downcast_ref()) {
                        Some(error) => Failed::Again(transport(&self.what(), error)),
                        None => self.broken(),
                    };
                    self.bear(failed)?;
                }
            }
        }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.next(buf).map_err(io::Error::other)
    }
}

/// The request without its query.
fn name(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Neither can fail for http and https; for others there is nothing to hide.
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    format!("GET {shown}")
}

fn header(response: &Response, name: HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_string())
}

fn transport(what: &str, error: &reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        TransportKind::Stalled
    } else if error.is_connect() {
        TransportKind::Connect
    } else {
        TransportKind::Broken
    };
    Error::Transport(Arc::new(TransportError {
        request: what.into(),
        kind,
        message: words(error),
    }))
}

/// The causes of an error in words. The outermost names the URL, and is left out.
fn words(error: &reqwest::Error) -> String {
    let mut words = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&error.to_string());
        cause = error.source();
    }
    if words.is_empty() {
        words = "no usable answer".into();
    }
    words
}
