//! What stands between the network and the handlers: every request is
//! recorded, faults act on it, and the bytes of its answer are counted.

use super::{
    Shared,
    fault::{Action, Port},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use http_body::{Frame, SizeHint};
use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    time::{Instant, Sleep},
};

/// A request's connection, to be reset; `None` where the process has no
/// descriptor left for it.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Option<Arc<OwnedFd>>);

impl Connected<IncomingStream<'_, TcpListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        // A delay of 40 ms on small answers would be nobody's network.
        let _ = stream.io().set_nodelay(true);
        let own = stream.io().as_fd().try_clone_to_owned();
        Self(own.ok().map(Arc::new))
    }
}

impl Connection {
    /// Lets its end be a reset instead of an orderly close.
    fn reset_at_end(&self) {
        if let Some(own) = &self.0 {
            let _ = rustix::net::sockopt::set_socket_linger(own, Some(Duration::ZERO));
        }
    }
}

/// A request that the server has seen, and what became of it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// On which port it came.
    pub port: Port,
    /// When it came.
    pub at: std::time::Instant,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, empty where there is none.
    pub query: String,
    /// Whether an `Authorization` header came with it.
    pub authorization: bool,
    /// Its `Range` header.
    pub range: Option<String>,
    /// Its `If-Range` header.
    pub if_range: Option<String>,
    /// Its `If-Match` header.
    pub if_match: Option<String>,
    /// Its `User-Agent` header.
    pub user_agent: Option<String>,
    /// The status answered; `None` while, or where, no answer began.
    pub status: Option<u16>,
    /// Bytes of the body handed to the network so far.
    pub bytes_sent: u64,
    /// Whether the answer has gone out whole.
    pub finished: bool,
}

impl Recorded {
    /// Method and path, such as `GET /v1/runs`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A recorded request while its answer may still be going on.
#[derive(Debug)]
pub(crate) struct Entry {
    request: Recorded,
    /// 0 while no answer has begun.
    status: AtomicU16,
    sent: AtomicU64,
    finished: AtomicBool,
}

/// All requests since the start or the last clearing.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Arc<Entry>>>);

impl Journal {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, port: Port, request: &Request) -> Arc<Entry> {
        let text = |name: HeaderName| {
            let value = request.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let entry = Arc::new(Entry {
            request: Recorded {
                port,
                at: std::time::Instant::now(),
                method: request.method().to_string(),
                path: request.uri().path().into(),
                query: request.uri().query().unwrap_or_default().into(),
                authorization: request.headers().contains_key(header::AUTHORIZATION),
                range: text(header::RANGE),
                if_range: text(header::IF_RANGE),
                if_match: text(header::IF_MATCH),
                user_agent: text(header::USER_AGENT),
                status: None,
                bytes_sent: 0,
                finished: false,
            },
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&entry));
        entry
    }

    pub(crate) fn snapshot(&self) -> Vec<Recorded> {
        let entries = self.lock();
        entries
            .iter()
            .map(|entry| Recorded {
                status: Some(entry.status.load(Ordering::Relaxed)).filter(|&status| status != 0),
                bytes_sent: entry.sent.load(Ordering::Relaxed),
                finished: entry.finished.load(Ordering::Relaxed),
                ..entry.request.clone()
            })
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

/// What faults ask of the object store, handed to it with the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFaults {
    pub(crate) no_range: bool,
    pub(crate) change_etag: bool,
    pub(crate) expire: bool,
    pub(crate) content: Option<Bytes>,
}

/// The layer on the API's port.
pub(crate) async fn api(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    observe(&shared, Port::Api, request, next).await
}

/// The layer on the object store's port.
pub(crate) async fn store(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    observe(&shared, Port::Store, request, next).await
}

async fn observe(shared: &Shared, port: Port, mut request: Request, next: Next) -> Response {
    let entry = shared.journal.note(port, &request);
    let actions = shared
        .faults
        .take(port, request.method().as_str(), request.uri().path());
    let mut plan = Plan::default();
    let mut store = StoreFaults::default();
    let mut instead = None;
    let (mut length, mut range) = (None, None);
    for action in actions {
        match action {
            Action::Delay(time) => tokio::time::sleep(time).await,
            Action::Stall => std::future::pending().await,
            // Unwinding ends the connection's task without the panic hook.
            Action::CloseBeforeHeaders => std::panic::resume_unwind(Box::new("fault")),
            Action::Reset { after } => {
                if let Some(ConnectInfo(connection)) =
                    request.extensions().get::<ConnectInfo<Connection>>()
                {
                    connection.reset_at_end();
                }
                if after == 0 {
                    std::panic::resume_unwind(Box::new("fault"));
                }
                plan.truncate = Some(after);
            }
            Action::ContentLength(said) => length = Some(said),
            Action::ContentRange(said) => range = Some(said),
            Action::StallBody { after } => plan.stall = Some(after),
            Action::Truncate { after } => plan.truncate = Some(after),
            Action::Rate { bytes_per_second } => plan.rate = Some(bytes_per_second.max(1)),
            Action::WrongBody(bytes) => store.content = Some(bytes),
            Action::NoRange => store.no_range = true,
            Action::ChangeEtag => store.change_etag = true,
            Action::ExpireUrl => store.expire = true,
            Action::Status {
                status,
                body,
                content_type,
                headers,
            } => instead = Some(replacement(status, body, &content_type, headers)),
        }
    }
    let wrong = store.content.clone();
    let response = match instead {
        Some(response) => response,
        None => {
            request.extensions_mut().insert(store);
            let mut response = next.run(request).await;
            if let (Port::Api, Some(bytes)) = (port, wrong) {
                response.headers_mut().remove(header::CONTENT_LENGTH);
                *response.body_mut() = Body::from(bytes);
            }
            response
        }
    };
    entry
        .status
        .store(response.status().as_u16(), Ordering::Relaxed);
    let (mut parts, body) = response.into_parts();
    if let Some(Ok(range)) = range.map(HeaderValue::try_from) {
        parts.headers.insert(header::CONTENT_RANGE, range);
    }
    match length {
        Some(said) => {
            plan.hides_length = true;
            let said = HeaderValue::from(said);
            parts.headers.insert(header::CONTENT_LENGTH, said);
        }
        None => state_length(&mut parts.headers, &body),
    }
    Response::from_parts(parts, Body::new(Served::new(body, plan, entry)))
}

/// Says the body's length in the headers, which hyper does only for bodies
/// that it knows to be whole.
fn state_length(headers: &mut HeaderMap, body: &Body) {
    if let (false, Some(length)) = (
        headers.contains_key(header::CONTENT_LENGTH),
        body.size_hint().exact(),
    ) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn replacement(
    status: u16,
    body: Bytes,
    content_type: &str,
    headers: Vec<(String, String)>,
) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    let headers = headers
        .into_iter()
        .chain([("Content-Type".into(), content_type.into())]);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What shall happen to a body on its way.
#[derive(Debug, Default)]
struct Plan {
    stall: Option<u64>,
    truncate: Option<u64>,
    rate: Option<u64>,
    /// Whether hyper must not know the length: it insists on the true one.
    hides_length: bool,
}

/// How long a cut waits, so that what was sent before it does arrive.
const CUT_DELAY: Duration = Duration::from_millis(30);

/// A body that counts what it gives and keeps to a [`Plan`].
struct Served {
    inner: Body,
    plan: Plan,
    entry: Arc<Entry>,
    sent: u64,
    started: Instant,
    /// Taken from `inner`, not yet given.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the wait before a cut is over.
    cut: bool,
}

impl Served {
    fn new(inner: Body, plan: Plan, entry: Arc<Entry>) -> Self {
        if inner.is_end_stream() {
            entry.finished.store(true, Ordering::Relaxed);
        }
        Self {
            inner,
            plan,
            entry,
            sent: 0,
            started: Instant::now(),
            rest: Bytes::new(),
            sleep: None,
            cut: false,
        }
    }

    /// Bytes that may go out at once; `None` when all that may ever go has gone.
    fn allowance(&self) -> Option<u64> {
        let end = [self.plan.stall, self.plan.truncate]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX);
        let left = end.saturating_sub(self.sent);
        // Twenty pieces a second: smooth, yet few timers.
        let piece = self.plan.rate.map_or(u64::MAX, |rate| (rate / 20).max(1));
        (left > 0).then_some(left.min(piece))
    }
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if let Some(sleep) = &mut this.sleep {
            ready!(sleep.as_mut().poll(context));
            this.sleep = None;
        }
        let Some(allowance) = this.allowance() else {
            if this.plan.stall.is_some_and(|after| after <= this.sent) {
                return Poll::Pending;
            }
            if !this.cut {
                this.cut = true;
                let mut sleep = Box::pin(tokio::time::sleep(CUT_DELAY));
                if sleep.as_mut().poll(context).is_pending() {
                    this.sleep = Some(sleep);
                    return Poll::Pending;
                }
            }
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault");
            return Poll::Ready(Some(Err(error.into())));
        };
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => this.rest = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.entry.finished.store(true, Ordering::Relaxed);
                    return Poll::Ready(None);
                }
            }
        }
        let length = usize::try_from(allowance)
            .unwrap_or(usize::MAX)
            .min(this.rest.len());
        let piece = this.rest.split_to(length);
        this.sent += piece.len() as u64;
        this.entry.sent.store(this.sent, Ordering::Relaxed);
        if this.rest.is_empty() && this.inner.is_end_stream() {
            this.entry.finished.store(true, Ordering::Relaxed);
        }
        if let Some(rate) = this.plan.rate {
            let due = Duration::from_micros(this.sent.saturating_mul(1_000_000) / rate);
            this.sleep = Some(Box::pin(tokio::time::sleep_until(this.started + due)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.plan.hides_length && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.plan.hides_length {
            return SizeHint::default();
        }
        let mut hint = self.inner.size_hint();
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + self.rest.len() as u64);
        }
        hint
    }
}
