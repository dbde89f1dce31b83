//! One part of an object, with as many requests as it takes.

use super::parts::Shared;
use crate::{
    error::{Error, Result, TransportError, TransportKind},
    http,
};
use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE},
};
use std::{
    error::Error as _,
    sync::Arc,
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

/// Why an attempt failed.
enum Failed {
    /// For good.
    Final(Error),
    /// Another attempt may do.
    Again(Error),
    /// The link of that number is not valid any more: another one may do.
    Refused(Error, u32),
}

/// The way to one part.
pub(super) struct Attempt<'a> {
    shared: &'a Arc<Shared>,
    start: u64,
    /// Where it ends; `None` while only the stream will tell.
    end: Option<u64>,
    /// Where the next byte belongs.
    offset: u64,
    /// Bytes still to pass over where a store ignored the range.
    skip: u64,
    /// Whether the store cannot answer a range of an object this short.
    plain: bool,
    failures: u32,
    /// The offset from which failures are counted.
    gained: u64,
    /// When a byte last came.
    last: Instant,
    /// The request without its query.
    what: String,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, start: u64, end: Option<u64>) -> Self {
        Self {
            shared,
            start,
            end,
            offset: start,
            skip: 0,
            plain: false,
            failures: 0,
            gained: start,
            last: Instant::now(),
            what: "GET".into(),
        }
    }

    /// Fetches the part, whatever it takes.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            match self.once().await {
                Ok(()) => {
                    self.shared.done(self.start, self.offset);
                    return Ok(());
                }
                Err(failed) => self.bear(failed).await?,
            }
        }
    }

    /// Prepares for another attempt, or gives up.
    async fn bear(&mut self, failed: Failed) -> Result<()> {
        if self.offset >= self.gained + GAIN {
            self.failures = 0;
            self.shared.state().refusals = 0;
            self.gained = self.offset;
        }
        let error = match failed {
            Failed::Final(error) => return Err(error),
            Failed::Refused(error, link) => {
                let mut state = self.shared.state();
                if state.refuse(link) {
                    if state.refusals > REFUSALS {
                        return Err(error);
                    }
                    tracing::debug!("{error}; asking for another link");
                }
                return Ok(());
            }
            Failed::Again(error) => error,
        };
        self.failures += 1;
        let left = self.shared.timeout.saturating_sub(self.last.elapsed());
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
                what: self.what.clone(),
                seconds: self.shared.timeout.as_secs(),
            });
        }
        if left.is_zero() || self.failures > most {
            return Err(error);
        }
        tracing::debug!(byte = self.offset, "{error}; resuming");
        tokio::time::sleep((PAUSE * 2_u32.pow(self.failures - 1)).min(left)).await;
        self.shared.progress.advance(0);
        Ok(())
    }

    /// One request and its answer.
    async fn once(&mut self) -> Result<(), Failed> {
        if self.end == Some(self.offset) {
            return Ok(());
        }
        let (link, number, waited) = self.shared.link().await;
        if waited {
            self.last = Instant::now();
        }
        let mut response = self.request(&link, number).await?;
        loop {
            let next = tokio::time::timeout(self.shared.timeout / 2, response.chunk()).await;
            match next {
                Ok(Ok(Some(chunk))) => {
                    self.last = Instant::now();
                    if self.give(chunk).await {
                        // Read to its end, the connection can be used again.
                        let _ = tokio::time::timeout(PAUSE, response.chunk()).await;
                        return Ok(());
                    }
                }
                Ok(Ok(None)) => return self.ended(),
                Ok(Err(error)) => return Err(Failed::Again(transport(&self.what, &error))),
                Err(_) => return Err(Failed::Again(self.stalled())),
            }
        }
    }

    /// Hands over what came; whether that was the last of the part.
    async fn give(&mut self, mut chunk: Bytes) -> bool {
        if self.skip > 0 {
            let n = chunk
                .len()
                .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= n as u64;
            drop(chunk.split_to(n));
            self.shared.progress.advance(0);
        }
        if let Some(end) = self.end {
            let left = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
            chunk.truncate(left);
        }
        if !chunk.is_empty() {
            let n = chunk.len() as u64;
            if self.shared.room(self.offset, self.offset + n).await {
                self.last = Instant::now();
            }
            self.offset += n;
            self.shared.progress.advance(n);
            self.shared.push(self.start, chunk);
        }
        self.end == Some(self.offset)
    }

    /// The stream ended.
    fn ended(&mut self) -> Result<(), Failed> {
        if self.skip == 0 && self.end.is_none_or(|end| end == self.offset) {
            return Ok(());
        }
        Err(self.broken())
    }

    async fn request(&mut self, url: &Url, number: u32) -> Result<Response, Failed> {
        self.what = name(url);
        let what = self.what.clone();
        let forbidden = |message: &str| {
            Failed::Final(Error::Transport(Arc::new(TransportError {
                request: what.clone(),
                kind: TransportKind::Forbidden,
                message: message.into(),
            })))
        };
        let allowed = match url.scheme() {
            "https" => true,
            "http" => self.shared.allow_http,
            _ => false,
        };
        if !allowed {
            return Err(forbidden(
                "the download's link is not https; use --allow-http if that is meant",
            ));
        }
        let mut request = self
            .shared
            .client
            .get(url.clone())
            .header(ACCEPT_ENCODING, "identity");
        let (begun, length, etag) = {
            let state = self.shared.state();
            // While no byte was given out, any object will do.
            let tied = self.offset > 0 || state.parallel;
            let etag = state.etag.clone().filter(|etag| tied && is_strong(etag));
            (state.begun, state.length, etag)
        };
        let range = match self.end {
            _ if self.plain && self.offset == 0 => None,
            Some(end) if Some(end) != length => Some(format!("bytes={}-{}", self.offset, end - 1)),
            None if self.offset == 0 => None,
            _ => Some(format!("bytes={}-", self.offset)),
        };
        let ranged = range.is_some();
        if let Some(range) = range {
            request = request.header(RANGE, range);
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        let response = match tokio::time::timeout(self.shared.timeout / 2, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let mut failed = transport(&what, &error);
                if let (Error::Transport(failed), Ok(Some(proxy))) =
                    (&mut failed, http::proxy_for(url))
                    && failed.kind == TransportKind::Connect
                {
                    let failed = Arc::make_mut(failed);
                    failed.message = format!("through {proxy}: {}", failed.message);
                }
                return Err(Failed::Again(failed));
            }
            Err(_) => return Err(Failed::Again(self.stalled())),
        };
        self.shared.progress.advance(0);
        let answer = |detail: String| Error::BadAnswer {
            what: what.clone(),
            detail,
        };
        let status = response.status();
        match status {
            StatusCode::OK => self.whole(&response, begun),
            StatusCode::PARTIAL_CONTENT if ranged => self.part(&response, begun),
            // Of an empty object there is no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE if ranged && !begun => {
                self.plain = true;
                Err(Failed::Again(answer("HTTP 416 for the first bytes".into())))
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED if begun => {
                Err(self.another())
            }
            // Expired links are 403, from some stores 400 or 401.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let detail = format!(
                    "HTTP {} from the object store; the download's link is not accepted",
                    status.as_u16()
                );
                Err(Failed::Refused(answer(detail), number))
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

    /// A whole object: a range ignored, or not asked for.
    fn whole(&mut self, response: &Response, begun: bool) -> Result<(), Failed> {
        let etag = header(response, ETAG);
        let length = header(response, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if !begun || self.offset == 0 && self.start == 0 {
            // Nothing was given out: whatever it is now is what it is.
            if begun && !self.is_only() {
                return self.compare(etag, length);
            }
            self.end = length;
            Shared::begin(self.shared, length, etag, false);
            return Ok(());
        }
        self.compare(etag, length)?;
        self.skip = self.offset;
        Ok(())
    }

    /// Whether no other part is, or will be, of this object.
    fn is_only(&self) -> bool {
        !self.shared.state().parallel
    }

    fn compare(&mut self, etag: Option<String>, length: Option<u64>) -> Result<(), Failed> {
        let same = {
            let state = self.shared.state();
            etag == state.etag && length == state.length
        };
        match same {
            true => Ok(()),
            false => Err(self.another()),
        }
    }

    /// A part of the object.
    fn part(&mut self, response: &Response, begun: bool) -> Result<(), Failed> {
        let range = header(response, CONTENT_RANGE).unwrap_or_default();
        let parsed = range.strip_prefix("bytes ").and_then(|range| {
            let (span, total) = range.split_once('/')?;
            Some((
                span.split_once('-')?.0.parse::<u64>().ok()?,
                total.parse::<u64>().ok(),
                total == "*",
            ))
        });
        let parsed = parsed.filter(|(start, total, unknown)| {
            *start == self.offset && (total.is_some() || *unknown)
        });
        let Some((_, total, _)) = parsed else {
            return Err(Failed::Final(Error::BadAnswer {
                what: self.what.clone(),
                detail: format!(
                    "asked from byte {} on, got Content-Range {range:?}",
                    self.offset
                ),
            }));
        };
        let etag = header(response, ETAG);
        if !begun {
            let Some(total) = total else {
                // Where it ends must be known to ask for parts: ask for all.
                self.plain = true;
                return Err(Failed::Again(Error::BadAnswer {
                    what: self.what.clone(),
                    detail: "a range without the object's length".into(),
                }));
            };
            self.end = Some(total.min(self.shared.sizes.first));
            Shared::begin(self.shared, Some(total), etag, true);
            return Ok(());
        }
        let other = {
            let state = self.shared.state();
            (total.is_some() && state.length.is_some() && total != state.length)
                || (etag.is_some() && etag != state.etag)
        };
        if other {
            return Err(self.another());
        }
        self.skip = 0;
        Ok(())
    }

    /// The object is not the one whose first bytes were given out.
    fn another(&mut self) -> Failed {
        self.shared.state().changed = true;
        Failed::Final(Error::BadAnswer {
            what: self.what.clone(),
            detail: "the object changed while it was downloaded".into(),
        })
    }

    fn stalled(&self) -> Error {
        Error::Transport(Arc::new(TransportError {
            request: self.what.clone(),
            kind: TransportKind::Stalled,
            message: format!("no byte came after byte {}", self.offset),
        }))
    }

    fn broken(&self) -> Failed {
        Failed::Again(Error::Transport(Arc::new(TransportError {
            request: self.what.clone(),
            kind: TransportKind::Broken,
            message: match self.end {
                Some(end) => format!("the connection ended at byte {} of {end}", self.offset),
                None => format!("the connection ended at byte {}", self.offset),
            },
        })))
    }
}

/// Whether an ETag stands for the very bytes (RFC 9110, 8.8.1), so that
/// `If-Range` may be asked with it.
pub(super) fn is_strong(etag: &str) -> bool {
    !etag.starts_with("W/")
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
