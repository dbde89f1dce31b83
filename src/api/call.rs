//! One call of the API: sends the token, follows redirects within the origin only,
//! reads bounded bodies, and tries again where that is safe.

use super::{
    body::{self, Body, Within, too_large},
    dialect,
    error_body::api_error,
    failure::{Failure, forbidden, severed},
    headers::is_marked,
    request::{Form, Request},
    transport::Transport,
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
    blocking::Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
};
use std::{
    io::{self, Read},
    sync::Arc,
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

/// An answer that is no error.
enum Reply {
    Success(Response),
    Redirect(Url),
}

/// A request, the way that it goes, and what is told of it.
pub(super) struct Call<'a> {
    pub(super) transport: &'a Transport,
    pub(super) request: &'a Request,
    /// Notes what arrives.
    pub(super) progress: &'a Progress,
}

impl Call<'_> {
    /// Refuses the first page of a list if it is not one of the API v1. `rows` is how
    /// many of its rows vm0fs understood.
    pub(super) fn check_list(&self, body: &Body, is_top: bool, rows: usize) -> Result<()> {
        if let Some(came) = dialect::foreign_list(body, is_top, rows) {
            return Err(self.foreign(&came));
        }
        if rows > 0 || body.is_marked {
            self.transport.speaks();
        }
        Ok(())
    }

    /// The error for an answer of a server that does not speak v1.
    fn foreign(&self, came: &str) -> Error {
        let (url, method) = (&self.request.url, self.request.form.method());
        let host = url.origin().ascii_serialization();
        Error::NotV1 {
            asked: format!("{method} {host}{}", one_line(url.path(), MAX_TEXT)),
            came: one_line(&self.redact(came), MAX_TEXT),
            before: self.transport.has_spoken(),
        }
    }

    /// The error for an answer that is not what the service promises.
    fn unexpected(&self, detail: String) -> Failure {
        Failure::Final(bad_answer(&self.request.label, detail))
    }

    /// The body of a success.
    pub(super) fn get(&self) -> Result<Body> {
        match self.get_within()? {
            Within::Body(body) => Ok(body),
            Within::Larger(_) => Err(too_large(&self.request.label)),
        }
    }

    /// The body of a success, or that it is larger than [`body::MAX_BODY`].
    pub(super) fn get_within(&self) -> Result<Within> {
        let within = self.retrying(|| self.body(self.follow()?))?;
        if let Within::Body(body) = &within
            && let Some(came) = dialect::foreign_body(body)
        {
            return Err(self.foreign(&came));
        }
        Ok(within)
    }

    /// The beginning of a stream of events.
    pub(super) fn open(&self) -> Result<Response> {
        self.retrying(|| {
            let response = self.follow()?;
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = String::from_utf8_lossy(kind.map_or(b"", HeaderValue::as_bytes));
            let essence = kind.split(';').next().unwrap_or_default().trim();
            let is_stream = essence.eq_ignore_ascii_case("text/event-stream");
            if response.status() == StatusCode::OK && is_stream {
                return Ok(response);
            }
            let (status, kind) = (response.status().as_u16(), self.redact(essence));
            let kind = one_line(&kind, 80);
            Err(self.unexpected(format!(
                "HTTP {status} with content type {kind:?} instead of a stream of events"
            )))
        })
    }

    /// The body of a successful POST. The request is sent again only if the service
    /// has certainly not begun it.
    pub(super) fn post(&self) -> Result<Vec<u8>> {
        let attempt = || match self.exchange(&self.request.url)? {
            Reply::Success(response) => match self.body(response)? {
                Within::Body(body) => Ok(body.bytes),
                Within::Larger(_) => Err(Failure::Final(too_large(&self.request.label))),
            },
            Reply::Redirect(url) => Err(self.elsewhere(&url, "which a POST does not follow")),
        };
        self.retrying(|| attempt().map_err(Failure::unless_received))
    }

    /// A success, after redirects within the API's origin.
    fn follow(&self) -> Result<Response, Failure> {
        let mut url = self.request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            url = match self.exchange(&url)? {
                Reply::Success(response) => return Ok(response),
                Reply::Redirect(url) => url,
            };
            if url.origin() != self.transport.config.base.origin() || !url.username().is_empty() {
                return Err(self.elsewhere(&url, "where the token is not sent"));
            }
        }
        let message = format!("more than {MAX_REDIRECTS} redirects");
        Err(forbidden(&self.request.label, message))
    }

    /// The target of a download's redirect: a presigned URL, which must be requested
    /// without the token.
    pub(super) fn get_location(&self) -> Result<Url> {
        self.retrying(|| match self.exchange(&self.request.url)? {
            Reply::Success(response) => {
                let status = response.status().as_u16();
                let detail = format!("HTTP {status} instead of a redirect to the archive");
                Err(self.unexpected(detail))
            }
            Reply::Redirect(url) => match self.transport.objection(&url) {
                Some(message) => Err(forbidden(&self.request.label, message)),
                None => Ok(url),
            },
        })
    }

    /// Runs `attempt` until it succeeds, fails for good, or [`Retry::CALL`] gives up.
    fn retrying<T>(&self, attempt: impl Fn() -> Result<T, Failure>) -> Result<T> {
        for failures in 1.. {
            let (error, pause) = match attempt() {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => (error, None),
                Err(Failure::Passing(error, asked)) => {
                    let pause = Retry::CALL.pause(failures, asked, self.transport.config.timeout);
                    (error, pause)
                }
            };
            self.transport.counters.failed();
            let Some(pause) = pause else {
                return Err(error);
            };
            tracing::debug!(request = self.request.label, %error, ?pause, "trying again");
            thread::sleep(pause);
            self.progress.advance(0);
        }
        unreachable!("the last failure has no pause after it")
    }

    fn body(&self, response: Response) -> Result<Within, Failure> {
        body::read(response, &self.request.label, self.silence(), self.progress)
    }

    /// Sends one request. An error answer is a failure.
    fn exchange(&self, url: &Url) -> Result<Reply, Failure> {
        let response = self.send(url)?;
        match response.status() {
            status if status.is_success() => Ok(Reply::Success(response)),
            status if status.is_redirection() => self.location(url, response),
            _ => Err(self.refused(response)),
        }
    }

    /// Sends one request, and waits for the headers. `url` is of the API's origin.
    fn send(&self, url: &Url) -> Result<Response, Failure> {
        let (transport, request) = (self.transport, self.request);
        let client = transport.client_for(self.silence().limit);
        let call = client
            .map_err(Failure::Final)?
            .request(request.form.method(), url.clone())
            .header(AUTHORIZATION, transport.authorization.clone());
        transport.counters.sent();
        let response = request.form.apply(call).send();
        let response = response.map_err(|error| self.broken(&error))?;
        self.progress.advance(0);
        let headers = response.headers();
        transport
            .counters
            .answered(headers, &|text| self.redact(text));
        transport.clock.told(headers, Timestamp::now());
        if is_marked(headers) {
            transport.speaks();
        }
        let status = response.status().as_u16();
        tracing::debug!(request = request.label, status, "answered");
        Ok(response)
    }

    /// How long the service may be silent about the request.
    pub(super) fn silence(&self) -> Silence {
        let (limit, remedy) = match self.request.form {
            Form::Read => (
                self.transport.config.timeout,
                " (--timeout); try again, or check the network",
            ),
            Form::Events(_) => (
                self.transport.stream_timeout,
                ", not even a heartbeat; open it again, or check the network",
            ),
            // What to do next depends on the request: the caller says it.
            Form::Write(..) => (self.transport.config.timeout, " (--timeout)"),
        };
        Silence { limit, remedy }
    }

    /// An error answer, decoded, and whether a retry can help.
    fn refused(&self, response: Response) -> Failure {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // An error whose body breaks off is still that error.
        let _ = response.take(MAX_ERROR_BODY).read_to_end(&mut body);
        self.progress.advance(body.len() as u64);
        let redact = |text: &str| self.redact(text);
        let mut error = api_error(&self.request.label, status, &headers, &body, &redact);
        if error.status == 401 {
            error.token_source = self.transport.config.token.source().map(str::to_owned);
        }
        if error.is_documented() {
            self.transport.speaks();
        } else if !self.request.is_download()
            // The user sends orders to a server that is known to speak v1.
            && matches!(self.request.form, Form::Read | Form::Events(_))
            && let Some(came) = dialect::foreign_error(error.status, &body)
        {
            return Failure::Final(self.foreign(&came));
        }
        let asked = error.retry_after.map(Duration::from_secs);
        let error = Error::Api(Arc::new(error));
        match status.as_u16() {
            429 if asked.is_some() => Failure::Passing(error, asked),
            502..=504 => Failure::Passing(error, asked),
            _ => Failure::Final(error),
        }
    }

    /// A text of the service without the token and the secrets of the request.
    fn redact(&self, text: &str) -> String {
        let text = self.transport.config.token.redact(text);
        self.request.redact(text)
    }

    /// A failure below HTTP, and whether a retry can help.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let (label, transport) = (&self.request.label, self.transport);
        if !error.is_connect() {
            return severed(label, self.silence(), error);
        }
        let config = &transport.config;
        let failed = http::not_connected(label, &config.base, config.timeout, error);
        match error.is_timeout() {
            true => Failure::Final(failed),
            false => Failure::Passing(failed, None),
        }
    }

    /// The `Location` of a redirect, as an absolute URL without fragment.
    fn location(&self, from: &Url, response: Response) -> Result<Reply, Failure> {
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| from.join(location.to_str().ok()?).ok());
        // The connection can be used again only if the body was read to its end.
        let _ = io::copy(&mut response.take(MAX_ERROR_BODY), &mut io::sink());
        let missing = || self.unexpected(format!("HTTP {status} without a usable Location header"));
        let mut url = location.ok_or_else(missing)?;
        url.set_fragment(None);
        Ok(Reply::Redirect(url))
    }

    /// The failure of a redirect that must not be followed.
    fn elsewhere(&self, url: &Url, why: &str) -> Failure {
        let origin = url.origin().ascii_serialization();
        let message = format!(
            "redirected to {origin}, {why}; if that is the API's right address, use --api-url"
        );
        forbidden(&self.request.label, message)
    }
}
