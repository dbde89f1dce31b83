//! One request to the API's own origin: sent with the token, followed within
//! the origin only, read within bounds, tried again where that is safe.
//!
//! Waiting is measured by silence. reqwest's blocking client applies its
//! `timeout` once up to the headers and then anew to each read of the body
//! (`blocking/client.rs`, `blocking/response.rs`), which is what is wanted
//! here; a timeout set on a single *request* would count the whole body.

use super::{ClientConfig, answer::api_error, calls::Counters, token::Token};
use crate::{
    error::{Error, Result, TransportError, TransportKind},
    progress::Progress,
    text::one_line,
};
use reqwest::{
    StatusCode,
    blocking::Response,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION},
};
use std::{
    error::Error as _,
    hash::{BuildHasher, RandomState},
    io::Read,
    sync::Arc,
    thread,
    time::Duration,
};
use url::{Host, Url};

/// The largest body read into memory. A page has 100 rows; the largest seen
/// are log pages of some MB. More is not an answer but an attack or a mistake.
const MAX_BODY: usize = 64 << 20;

/// The largest body of an error or redirect that is looked at.
const MAX_ERROR_BODY: usize = 64 << 10;

/// A reachable host answers a TCP and TLS handshake well within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects within the API's origin that one request follows.
const MAX_REDIRECTS: usize = 5;

/// Tries after the first one, for reads that a passing fault has hit.
const MAX_RETRIES: u32 = 2;

/// The wait before the first retry, four times as long before the second,
/// each with a random half more or less so that many clients spread out.
const BACKOFF: Duration = Duration::from_millis(200);

/// A rate limit that ends within this is waited for; a longer one is an error
/// that the caller can act on.
const MAX_RETRY_AFTER: u64 = 2;

/// An unused connection is closed after this, before most gateways and NATs
/// drop it silently (which would cost a whole `--timeout` to find out).
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// How often a quiet HTTP/2 or TCP connection in use is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is asked: the URL, and its name in messages.
pub(super) struct Request {
    /// The whole URL, with its query.
    pub(super) url: Url,
    /// Method and path, without the query.
    pub(super) label: String,
}

/// What came of one try.
enum Failure {
    /// Asking again would not help.
    Final(Error),
    /// A passing fault: try again after the given wait, or the usual one.
    Passing(Error, Option<Duration>),
}

/// The connection to one API origin.
pub(super) struct Http {
    /// `None` only while it is dropped.
    client: Option<reqwest::blocking::Client>,
    pub(super) base: Url,
    token: Token,
    authorization: HeaderValue,
    timeout: Duration,
    allow_http: bool,
    pub(super) counters: Counters,
}

/// Whether a host is this machine by its name alone.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Http {
    pub(super) fn new(config: ClientConfig) -> Result<Self> {
        let base = config.base;
        let shown = base.origin().ascii_serialization();
        match base.scheme() {
            "https" => {}
            "http" if config.allow_http || is_loopback(&base) => {}
            "http" => {
                return Err(Error::Setup(format!(
                    "{shown}: plain http:// would show the token to the network; use https://, or --allow-http if that network is yours"
                )));
            }
            other => {
                let host = base.host_str().unwrap_or_default();
                return Err(Error::Setup(format!(
                    "the API URL {other}://{host} must begin with https:// (--api-url, VM0_API_URL)"
                )));
            }
        }
        if base.host().is_none() {
            return Err(Error::Setup("the API URL has no host".into()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::Setup(format!(
                "{shown}: the API URL must not hold a user or password; the token goes into a file or VM0_API_KEY"
            )));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(Error::Setup(format!(
                "{shown}: the API URL must not have a query or a fragment"
            )));
        }
        // A second mount in one process finds the provider installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::blocking::Client::builder()
            .user_agent(config.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(config.timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(config.timeout);
        if is_loopback(&base) {
            // A proxy's loopback is not ours.
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| Error::Setup(format!("the HTTP client: {}", cause(&error))))?;
        Ok(Self {
            client: Some(client),
            base,
            authorization: config.token.header()?,
            token: config.token,
            timeout: config.timeout,
            allow_http: config.allow_http,
            counters: Counters::default(),
        })
    }

    /// A GET of `/v1/<segments>`, each percent-encoded.
    pub(super) fn request(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Request> {
        let mut url = self.base.clone();
        // The URL parser would drop such a segment and name another endpoint.
        if let Some(bad) = segments.iter().find(|s| matches!(**s, "" | "." | "..")) {
            return Err(Error::NotFound(format!("{bad:?}")));
        }
        url.path_segments_mut()
            .map_err(|()| Error::Setup("the API URL has no path".into()))?
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        let label = format!("GET {}", url.path());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Request { url, label })
    }

    /// The body of a success.
    pub(super) fn get(&self, request: &Request, progress: &Progress) -> Result<Vec<u8>> {
        self.retrying(request, progress, |this| {
            let mut url = request.url.clone();
            for _ in 0..=MAX_REDIRECTS {
                let response = this.send(&url, &request.label, progress)?;
                let status = response.status();
                if status.is_success() {
                    return this.body(response, &request.label, progress);
                }
                if !status.is_redirection() {
                    return Err(this.refused(response, &request.label, progress));
                }
                let next = this.location(&url, response, &request.label)?;
                if next.origin() != this.base.origin() || !next.username().is_empty() {
                    return Err(Failure::Final(forbidden(
                        &request.label,
                        format!(
                            "redirected to {}, where the token is not sent; if that is the API's right address, use --api-url",
                            next.origin().ascii_serialization()
                        ),
                    )));
                }
                url = next;
            }
            Err(Failure::Final(forbidden(
                &request.label,
                format!("more than {MAX_REDIRECTS} redirects"),
            )))
        })
    }

    /// Where a download's redirect leads: a presigned URL, to be asked
    /// without the token.
    pub(super) fn get_location(&self, request: &Request, progress: &Progress) -> Result<Url> {
        self.retrying(request, progress, |this| {
            let response = this.send(&request.url, &request.label, progress)?;
            let status = response.status();
            if status.is_success() {
                return Err(Failure::Final(Error::BadAnswer {
                    what: request.label.clone(),
                    detail: format!("HTTP {} instead of a redirect to the archive", status.as_u16()),
                }));
            }
            if !status.is_redirection() {
                return Err(this.refused(response, &request.label, progress));
            }
            let url = this.location(&request.url, response, &request.label)?;
            let allowed = match url.scheme() {
                "https" => true,
                // Only an API on this machine may send us back to it.
                "http" => this.allow_http || (is_loopback(&this.base) && is_loopback(&url)),
                _ => false,
            };
            if !allowed || url.host().is_none() {
                return Err(Failure::Final(forbidden(
                    &request.label,
                    format!(
                        "the archive is at {}, which is not https:// (--allow-http permits plain http://)",
                        url.origin().ascii_serialization()
                    ),
                )));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(Failure::Final(forbidden(
                    &request.label,
                    "the archive's address holds a user or password".into(),
                )));
            }
            Ok(url)
        })
    }

    /// Runs `attempt` until it gives an answer, a final error, or has had its tries.
    fn retrying<T>(
        &self,
        request: &Request,
        progress: &Progress,
        attempt: impl Fn(&Self) -> Result<T, Failure>,
    ) -> Result<T> {
        for tries in 0.. {
            let (error, wait) = match attempt(self) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => (error, None),
                Err(Failure::Passing(error, wait)) => {
                    (error, Some(wait.unwrap_or_else(|| backoff(tries))))
                }
            };
            self.counters.failed();
            let Some(wait) = wait.filter(|_| tries < MAX_RETRIES) else {
                return Err(error);
            };
            tracing::debug!(request = request.label, %error, ?wait, "trying again");
            thread::sleep(wait);
            progress.advance(0);
        }
        Err(Error::Internal("retries without end".into()))
    }

    /// One request, up to its headers. Only ever to the API's own origin.
    fn send(&self, url: &Url, label: &str, progress: &Progress) -> Result<Response, Failure> {
        self.counters.sent();
        let client = self.client.as_ref().ok_or_else(|| {
            Failure::Final(Error::Internal(format!("{label}: the client is gone")))
        })?;
        let response = client
            .get(url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .send()
            .map_err(|error| self.broken(label, &error))?;
        progress.advance(0);
        self.counters.answered(response.headers());
        tracing::debug!(
            request = label,
            status = response.status().as_u16(),
            "answered"
        );
        Ok(response)
    }

    /// The whole body, in bounds.
    fn body(
        &self,
        mut response: Response,
        label: &str,
        progress: &Progress,
    ) -> Result<Vec<u8>, Failure> {
        let too_large = || {
            Failure::Final(Error::BadAnswer {
                what: label.to_owned(),
                detail: format!("more than {} MiB in one answer", MAX_BODY >> 20),
            })
        };
        if response
            .content_length()
            .is_some_and(|length| length > MAX_BODY as u64)
        {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match response.read(&mut chunk) {
                Ok(0) => return Ok(body),
                Ok(read) => {
                    progress.advance(read as u64);
                    if body.len() + read > MAX_BODY {
                        return Err(too_large());
                    }
                    body.extend_from_slice(&chunk[..read]);
                }
                Err(error) => {
                    let inner = error
                        .get_ref()
                        .and_then(|inner| inner.downcast_ref::<reqwest::Error>());
                    return Err(match inner {
                        Some(inner) => self.broken(label, inner),
                        None => passing(
                            label,
                            TransportKind::Broken,
                            format!("the answer broke off: {error}"),
                        ),
                    });
                }
            }
        }
    }

    /// An error answer, decoded; and whether asking again can help.
    fn refused(&self, response: Response, label: &str, progress: &Progress) -> Failure {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // An error whose body breaks off is still that error.
        let _ = response.take(MAX_ERROR_BODY as u64).read_to_end(&mut body);
        progress.advance(body.len() as u64);
        let error = api_error(label, status, &headers, &body, &self.token);
        let after = error.retry_after;
        let error = Error::Api(Arc::new(error));
        let soon = after.is_none_or(|seconds| seconds <= MAX_RETRY_AFTER);
        match status {
            StatusCode::TOO_MANY_REQUESTS if after.is_some() && soon => {
                Failure::Passing(error, after.map(Duration::from_secs))
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
                if soon =>
            {
                Failure::Passing(error, after.map(Duration::from_secs))
            }
            _ => Failure::Final(error),
        }
    }

    /// The `Location` of a redirect, as an absolute URL without fragment.
    fn location(&self, from: &Url, response: Response, label: &str) -> Result<Url, Failure> {
        let status = response.status();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| from.join(location).ok());
        // Read to its end, a short body lets the connection be used again.
        let _ = std::io::copy(
            &mut response.take(MAX_ERROR_BODY as u64),
            &mut std::io::sink(),
        );
        let Some(mut url) = location else {
            return Err(Failure::Final(Error::BadAnswer {
                what: label.to_owned(),
                detail: format!("HTTP {} without a usable Location header", status.as_u16()),
            }));
        };
        url.set_fragment(None);
        Ok(url)
    }

    /// A failure below HTTP, classed by what a retry could bring.
    fn broken(&self, label: &str, error: &reqwest::Error) -> Failure {
        let transport = |kind, message| {
            Error::Transport(Arc::new(TransportError {
                request: label.to_owned(),
                kind,
                message,
            }))
        };
        if error.is_connect() {
            let host = self.base.origin().ascii_serialization();
            if error.is_timeout() {
                let seconds = CONNECT_TIMEOUT.min(self.timeout).as_secs_f32();
                return Failure::Final(transport(
                    TransportKind::Connect,
                    format!("cannot connect to {host} within {seconds} s; check the network"),
                ));
            }
            let mut reason = cause(error);
            if reason.contains("InvalidContentType") {
                // What rustls says of a server that answers in plain text.
                reason = "it does not speak TLS; is http:// meant?".into();
            }
            return Failure::Passing(
                transport(
                    TransportKind::Connect,
                    format!("cannot connect to {host}: {reason}"),
                ),
                None,
            );
        }
        if error.is_timeout() {
            // The reader has waited long enough already.
            return Failure::Final(transport(
                TransportKind::Stalled,
                format!(
                    "no byte for {} s (--timeout); try again, or check the network",
                    self.timeout.as_secs_f32()
                ),
            ));
        }
        if error.is_builder() {
            return Failure::Final(Error::Internal(format!("{label}: {}", cause(error))));
        }
        passing(
            label,
            TransportKind::Broken,
            format!("the connection broke: {}", cause(error)),
        )
    }
}

impl Drop for Http {
    /// Dropping reqwest's client waits for its runtime, and that for a name
    /// look-up under way, which nobody can cut short. Unmounting must not.
    fn drop(&mut self) {
        let client = self.client.take();
        let _ = thread::Builder::new().spawn(move || drop(client));
    }
}

fn passing(label: &str, kind: TransportKind, message: String) -> Failure {
    Failure::Passing(
        Error::Transport(Arc::new(TransportError {
            request: label.to_owned(),
            kind,
            message,
        })),
        None,
    )
}

fn forbidden(label: &str, message: String) -> Error {
    Error::Transport(Arc::new(TransportError {
        request: label.to_owned(),
        kind: TransportKind::Forbidden,
        message,
    }))
}

/// The innermost cause: the outer layers of reqwest repeat the URL, query included.
fn cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "unknown cause".into();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string(), 200)
}

fn backoff(tries: u32) -> Duration {
    // A fresh hasher's keys are random; all the randomness that jitter needs.
    let random = RandomState::new().hash_one(tries) % 1000;
    let full = BACKOFF * 4u32.saturating_pow(tries.min(4));
    full.mul_f64(0.5 + random as f64 / 1000.0)
}
