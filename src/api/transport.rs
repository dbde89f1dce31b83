//! Requests to the API's origin: sends the token, follows redirects within the
//! origin only, reads bounded bodies, and tries again where that is safe.
//!
//! Timeouts limit silence, not the whole request. reqwest's blocking client applies
//! its `timeout` once up to the headers and again to each read of the body
//! (`blocking/client.rs`, `blocking/response.rs`); a timeout of a single *request*
//! would count the whole body. Streams of events may be silent for longer than
//! other answers, so they have a separate client.

use super::{
    body::{self, Body, Within, too_large},
    clock::Clock,
    config::{ClientConfig, check},
    counters::Counters,
    dialect,
    error_body::api_error,
    failure::{Failure, forbidden, severed},
    headers::is_marked,
    request::{Form, Request},
    token::Token,
};
use crate::{
    error::{Error, Result},
    http::{self, Retry, Silence, bad_answer},
    progress::Progress,
    text::one_line,
};
use jiff::Timestamp;
use reqwest::{
    StatusCode,
    blocking::{Client, ClientBuilder, Response},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
};
use std::{
    io::{self, Read},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use url::Url;

/// Bytes of the body of an error or redirect that are read.
const MAX_ERROR_BODY: u64 = 64 << 10;

/// Characters of a server's text that a message repeats.
const MAX_TEXT: usize = 200;

/// Redirects within the API's origin that one request follows.
const MAX_REDIRECTS: usize = 5;

/// The client closes an unused connection after this, before most gateways and
/// NATs drop it silently (which the next request would notice after `--timeout`).
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// Interval of the keep-alive probes on quiet TCP and HTTP/2 connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The shortest silence after which a stream of events counts as dead: two of the
/// service's heartbeats, which come every 15 s, and some latency.
const STREAM_SILENCE: Duration = Duration::from_secs(40);

/// An answer that is no error.
enum Reply {
    Success(Response),
    Redirect(Url),
}

/// The way to one API origin.
pub(super) struct Transport {
    /// `None` only during `drop`.
    client: Option<Client>,
    /// For streams that may be silent for longer than `timeout`. Made for the first
    /// stream, since a client has a thread.
    stream_client: OnceLock<Client>,
    pub(super) base: Url,
    user_agent: String,
    token: Token,
    authorization: HeaderValue,
    timeout: Duration,
    pub(super) stream_timeout: Duration,
    allow_http: bool,
    pub(super) counters: Counters,
    clock: Clock,
    /// Whether the server has answered as the API v1 does.
    spoken: AtomicBool,
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self> {
        let base = config.base;
        check(&base, config.allow_http)?;
        if base.scheme() == "https" {
            http::require_certificates()?;
        }
        let mut transport = Self {
            client: None,
            stream_client: OnceLock::new(),
            base,
            user_agent: config.user_agent,
            authorization: config.token.header()?,
            token: config.token,
            timeout: config.timeout,
            stream_timeout: config.timeout.max(STREAM_SILENCE),
            allow_http: config.allow_http,
            counters: Counters::default(),
            clock: Clock::default(),
            spoken: AtomicBool::new(false),
        };
        transport.client = Some(transport.build(transport.timeout)?);
        Ok(transport)
    }

    /// A reqwest client with this timeout.
    fn build(&self, silence: Duration) -> Result<Client> {
        let builder = http::builder(&self.user_agent, self.timeout)?
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(self.timeout);
        ClientBuilder::from(builder)
            .timeout(silence)
            .build()
            .map_err(|error| Error::Setup(format!("the HTTP client: {}", http::cause(&error))))
    }

    /// The service's time, as its answers tell it.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.at(Timestamp::now())
    }

    /// Notes that the server speaks v1.
    fn speaks(&self) {
        self.spoken.store(true, Ordering::Relaxed);
    }

    /// Refuses the first page of a list if it is not one of the API v1. `rows` is how
    /// many of its rows vm0fs understood.
    pub(super) fn check_list(
        &self,
        request: &Request,
        body: &Body,
        is_top: bool,
        rows: usize,
    ) -> Result<()> {
        if let Some(came) = dialect::foreign_list(body, is_top, rows) {
            return Err(self.foreign(request, &came));
        }
        if rows > 0 || body.is_marked {
            self.speaks();
        }
        Ok(())
    }

    /// The error for an answer of a server that does not speak v1.
    fn foreign(&self, request: &Request, came: &str) -> Error {
        let (url, method) = (&request.url, request.form.method());
        let host = url.origin().ascii_serialization();
        Error::NotV1 {
            asked: format!("{method} {host}{}", one_line(url.path(), MAX_TEXT)),
            came: one_line(&self.redact(request, came), MAX_TEXT),
            before: self.spoken.load(Ordering::Relaxed),
        }
    }

    /// The body of a success.
    pub(super) fn get(&self, request: &Request, progress: &Progress) -> Result<Body> {
        match self.get_within(request, progress)? {
            Within::Body(body) => Ok(body),
            Within::Larger(_) => Err(too_large(&request.label)),
        }
    }

    /// The body of a success, or that it is larger than [`body::MAX_BODY`].
    pub(super) fn get_within(&self, request: &Request, progress: &Progress) -> Result<Within> {
        let within = self.retrying(request, progress, |this| {
            let response = this.follow(request, progress)?;
            this.body(response, request, progress)
        })?;
        if let Within::Body(body) = &within
            && let Some(came) = dialect::foreign_body(body)
        {
            return Err(self.foreign(request, &came));
        }
        Ok(within)
    }

    /// The beginning of a stream of events.
    pub(super) fn open(&self, request: &Request, progress: &Progress) -> Result<Response> {
        self.retrying(request, progress, |this| {
            let response = this.follow(request, progress)?;
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = String::from_utf8_lossy(kind.map_or(b"", HeaderValue::as_bytes));
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if response.status() == StatusCode::OK
                && essence.eq_ignore_ascii_case("text/event-stream")
            {
                return Ok(response);
            }
            let (status, kind) = (response.status().as_u16(), this.redact(request, essence));
            let kind = one_line(&kind, 80);
            Err(Failure::Final(bad_answer(
                &request.label,
                format!("HTTP {status} with content type {kind:?} instead of a stream of events"),
            )))
        })
    }

    /// The body of a successful POST. The request is sent again only if the service
    /// has certainly not begun it.
    pub(super) fn post(&self, request: &Request, progress: &Progress) -> Result<Vec<u8>> {
        let attempt = |this: &Self| match this.exchange(request, &request.url, progress)? {
            Reply::Success(response) => match this.body(response, request, progress)? {
                Within::Body(body) => Ok(body.bytes),
                Within::Larger(_) => Err(Failure::Final(too_large(&request.label))),
            },
            Reply::Redirect(url) => Err(elsewhere(request, &url, "which a POST does not follow")),
        };
        self.retrying(request, progress, |this| {
            attempt(this).map_err(Failure::unless_received)
        })
    }

    /// A success, after redirects within the API's origin.
    fn follow(&self, request: &Request, progress: &Progress) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            url = match self.exchange(request, &url, progress)? {
                Reply::Success(response) => return Ok(response),
                Reply::Redirect(url) => url,
            };
            if url.origin() != self.base.origin() || !url.username().is_empty() {
                return Err(elsewhere(request, &url, "where the token is not sent"));
            }
        }
        let message = format!("more than {MAX_REDIRECTS} redirects");
        Err(forbidden(&request.label, message))
    }

    /// The target of a download's redirect: a presigned URL, which must be requested
    /// without the token.
    pub(super) fn get_location(&self, request: &Request, progress: &Progress) -> Result<Url> {
        let attempt = |this: &Self| match this.exchange(request, &request.url, progress)? {
            Reply::Success(response) => {
                let status = response.status().as_u16();
                let detail = format!("HTTP {status} instead of a redirect to the archive");
                Err(Failure::Final(bad_answer(&request.label, detail)))
            }
            Reply::Redirect(url) => match this.objection(&url) {
                Some(message) => Err(forbidden(&request.label, message)),
                None => Ok(url),
            },
        };
        self.retrying(request, progress, attempt)
    }

    /// Why the URL of an archive must not be requested, if it must not.
    fn objection(&self, url: &Url) -> Option<String> {
        if !http::may_ask(url, Some(&self.base), self.allow_http) {
            let origin = url.origin().ascii_serialization();
            return Some(format!(
                "the archive is at {origin}, which is not https:// (--allow-http permits plain http://)"
            ));
        }
        let has_login = !url.username().is_empty() || url.password().is_some();
        has_login.then(|| "the archive's address holds a user or password".into())
    }

    /// Runs `attempt` until it succeeds, fails for good, or [`Retry::CALL`] gives up.
    fn retrying<T>(
        &self,
        request: &Request,
        progress: &Progress,
        attempt: impl Fn(&Self) -> Result<T, Failure>,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            let (error, pause) = match attempt(self) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => (error, None),
                Err(Failure::Passing(error, asked)) => {
                    let pause = Retry::CALL.pause(failures + 1, asked, self.timeout);
                    (error, pause)
                }
            };
            failures += 1;
            self.counters.failed();
            let Some(pause) = pause else {
                return Err(error);
            };
            tracing::debug!(request = request.label, %error, ?pause, "trying again");
            thread::sleep(pause);
            progress.advance(0);
        }
    }

    fn body(
        &self,
        response: Response,
        request: &Request,
        progress: &Progress,
    ) -> Result<Within, Failure> {
        body::read(response, &request.label, self.silence(request), progress)
    }

    /// Sends one request. An error answer is a failure.
    fn exchange(
        &self,
        request: &Request,
        url: &Url,
        progress: &Progress,
    ) -> Result<Reply, Failure> {
        let response = self.send(request, url, progress)?;
        match response.status() {
            status if status.is_success() => Ok(Reply::Success(response)),
            status if status.is_redirection() => {
                location(url, response, &request.label).map(Reply::Redirect)
            }
            _ => Err(self.refused(response, request, progress)),
        }
    }

    /// Sends one request, and waits for the headers. `url` is of the API's origin.
    fn send(&self, request: &Request, url: &Url, progress: &Progress) -> Result<Response, Failure> {
        let label = &request.label;
        let client = self.client_for(request).map_err(Failure::Final)?;
        let call = client
            .request(request.form.method(), url.clone())
            .header(AUTHORIZATION, self.authorization.clone());
        let call = request.form.apply(call);
        self.counters.sent();
        let response = call.send().map_err(|error| self.broken(request, &error))?;
        progress.advance(0);
        let redact = |text: &str| self.redact(request, text);
        self.counters.answered(response.headers(), &redact);
        self.clock.told(response.headers(), Timestamp::now());
        if is_marked(response.headers()) {
            self.speaks();
        }
        tracing::debug!(
            request = label,
            status = response.status().as_u16(),
            "answered"
        );
        Ok(response)
    }

    /// The client whose timeout suits the request.
    fn client_for(&self, request: &Request) -> Result<&Client> {
        let gone = || Error::Internal(format!("{}: the client is gone", request.label));
        if self.silence(request).limit == self.timeout {
            return self.client.as_ref().ok_or_else(gone);
        }
        if let Some(client) = self.stream_client.get() {
            return Ok(client);
        }
        let client = self.build(self.stream_timeout)?;
        Ok(self.stream_client.get_or_init(|| client))
    }

    /// How long the service may be silent about the request.
    pub(super) fn silence(&self, request: &Request) -> Silence {
        match request.form {
            Form::Read => Silence {
                limit: self.timeout,
                remedy: " (--timeout); try again, or check the network",
            },
            Form::Events(_) => Silence {
                limit: self.stream_timeout,
                remedy: ", not even a heartbeat; open it again, or check the network",
            },
            // What to do next depends on the request: the caller says it.
            Form::Write(..) => Silence {
                limit: self.timeout,
                remedy: " (--timeout)",
            },
        }
    }

    /// An error answer, decoded, and whether a retry can help.
    fn refused(&self, response: Response, request: &Request, progress: &Progress) -> Failure {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // An error whose body breaks off is still that error.
        let _ = response.take(MAX_ERROR_BODY).read_to_end(&mut body);
        progress.advance(body.len() as u64);
        let redact = |text: &str| self.redact(request, text);
        let error = api_error(&request.label, status, &headers, &body, &redact);
        if error.is_documented() {
            self.speaks();
        } else if !request.is_download()
            // The user sends orders to a server that is known to speak v1.
            && matches!(request.form, Form::Read | Form::Events(_))
            && let Some(came) = dialect::foreign_error(error.status, &body)
        {
            return Failure::Final(self.foreign(request, &came));
        }
        let asked = error.retry_after.map(Duration::from_secs);
        let error = Error::Api(Arc::new(error));
        match status {
            StatusCode::TOO_MANY_REQUESTS if asked.is_some() => Failure::Passing(error, asked),
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Passing(error, asked),
            _ => Failure::Final(error),
        }
    }

    /// A text of the service without the token and the secrets of the request.
    fn redact(&self, request: &Request, text: &str) -> String {
        request.redact(self.token.redact(text))
    }

    /// A failure below HTTP, and whether a retry can help.
    fn broken(&self, request: &Request, error: &reqwest::Error) -> Failure {
        if !error.is_connect() {
            return severed(&request.label, self.silence(request), error);
        }
        let failed = http::not_connected(&request.label, &self.base, self.timeout, error);
        match error.is_timeout() {
            true => Failure::Final(failed),
            false => Failure::Passing(failed, None),
        }
    }
}

impl Drop for Transport {
    /// Dropping a reqwest client waits for its runtime, which waits for name look-ups
    /// under way; these cannot be cancelled, and unmounting must not wait for them.
    fn drop(&mut self) {
        let clients = (self.client.take(), self.stream_client.take());
        let _ = thread::Builder::new().spawn(move || drop(clients));
    }
}

/// The `Location` of a redirect, as an absolute URL without fragment.
fn location(from: &Url, response: Response, label: &str) -> Result<Url, Failure> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION);
    let location = location
        .and_then(|location| location.to_str().ok())
        .and_then(|location| from.join(location).ok());
    // The connection can be used again only if the body was read to its end.
    let _ = io::copy(&mut response.take(MAX_ERROR_BODY), &mut io::sink());
    let mut url = location.ok_or_else(|| {
        let detail = format!("HTTP {status} without a usable Location header");
        Failure::Final(bad_answer(label, detail))
    })?;
    url.set_fragment(None);
    Ok(url)
}

/// The failure of a redirect that must not be followed.
fn elsewhere(request: &Request, url: &Url, why: &str) -> Failure {
    let origin = url.origin().ascii_serialization();
    let message =
        format!("redirected to {origin}, {why}; if that is the API's right address, use --api-url");
    forbidden(&request.label, message)
}
