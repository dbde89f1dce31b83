//! The layer between the network and the demo's handlers: it records every request,
//! applies faults to it, and counts the bytes of its answer.

use super::{
    Port,
    body::{Plan, Served},
    fault::{Action, Faults},
    journal::Journal,
};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request, connect_info::Connected},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use std::{
    future::IntoFuture,
    ops::RangeInclusive,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// The faults in force, and the requests so far.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) faults: Faults,
    pub(super) journal: Journal,
}

/// A request's connection, to be reset; `None` if the process has no descriptor
/// left for a copy.
#[derive(Clone, Debug)]
struct Connection(Option<Arc<OwnedFd>>);

impl Connected<IncomingStream<'_, TcpListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let _ = stream.io().set_nodelay(true);
        let own = stream.io().as_fd().try_clone_to_owned();
        Self(own.ok().map(Arc::new))
    }
}

impl Connection {
    /// Makes its end a reset instead of an orderly close.
    fn reset_at_end(&self) {
        if let Some(own) = &self.0 {
            let _ = rustix::net::sockopt::set_socket_linger(own, Some(Duration::ZERO));
        }
    }
}

/// Serves one of the ports by the demo's routes.
pub(super) fn serve(wire: &Arc<Wire>, port: Port, listener: TcpListener, routes: Router) {
    let wire = Arc::clone(wire);
    let layer = middleware::from_fn(move |request, next| {
        let wire = Arc::clone(&wire);
        async move { observe(&wire, port, request, next).await }
    });
    let service = routes
        .layer(layer)
        .into_make_service_with_connect_info::<Connection>();
    tokio::spawn(axum::serve(listener, service).into_future());
}

async fn observe(wire: &Wire, port: Port, request: Request, next: Next) -> Response {
    let exchange = wire.journal.note(port, &request);
    let (method, path) = (request.method().as_str(), request.uri().path());
    let actions = wire.faults.take(port, method, path);
    let connection = request.extensions().get::<ConnectInfo<Connection>>();
    let connection = connection.map(|ConnectInfo(connection)| connection.clone());
    let mut changes = Changes::default();
    for action in actions {
        changes.add(action, connection.as_ref()).await;
    }
    let response = match changes.instead.take() {
        Some(response) => response,
        None => changes.answer(port, request, next).await,
    };
    exchange.begin(response.status());
    let (mut parts, body) = response.into_parts();
    changes.head(&mut parts.headers, &body);
    Response::from_parts(parts, Body::new(Served::new(body, changes.body, exchange)))
}

/// The changes that faults make to an answer.
#[derive(Default)]
struct Changes {
    /// The whole answer.
    instead: Option<Response>,
    /// The bytes of its body, or of the store's object.
    content: Option<Bytes>,
    no_range: bool,
    other_etag: bool,
    content_length: Option<u64>,
    content_range: Option<String>,
    body: Plan,
}

impl Changes {
    /// Applies an action: at once if it acts before the answer, otherwise later.
    async fn add(&mut self, action: Action, connection: Option<&Connection>) {
        match action {
            Action::Delay(time) => tokio::time::sleep(time).await,
            Action::Stall => std::future::pending().await,
            // Unwinding ends the connection's task without the panic hook.
            Action::CloseBeforeHeaders => std::panic::resume_unwind(Box::new("fault")),
            Action::Reset { after } => {
                if let Some(connection) = connection {
                    connection.reset_at_end();
                }
                if after == 0 {
                    std::panic::resume_unwind(Box::new("fault"));
                }
                self.body.truncate = Some(after);
            }
            Action::ContentLength(said) => self.content_length = Some(said),
            Action::ContentRange(said) => self.content_range = Some(said),
            Action::StallBody { after } => self.body.stall = Some(after),
            Action::Truncate { after } => self.body.truncate = Some(after),
            Action::Rate { bytes_per_second } => self.body.rate = Some(bytes_per_second.max(1)),
            Action::WrongBody(bytes) => self.content = Some(bytes),
            Action::NoRange => self.no_range = true,
            Action::ChangeEtag => self.other_etag = true,
            Action::ExpireUrl => {
                self.instead = Some(refusal(
                    StatusCode::FORBIDDEN,
                    "AccessDenied",
                    "Request has expired",
                ));
            }
            Action::Status {
                status,
                body,
                content_type,
                headers,
            } => self.instead = Some(replacement(status, body, &content_type, headers)),
        }
    }

    async fn answer(&mut self, port: Port, request: Request, next: Next) -> Response {
        let content = self.content.take();
        if port == Port::Store {
            return self.object(content, request, next).await;
        }
        let mut response = next.run(request).await;
        if let Some(bytes) = content {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::from(bytes);
        }
        response
    }

    /// The store's answer.
    async fn object(
        &mut self,
        content: Option<Bytes>,
        mut request: Request,
        next: Next,
    ) -> Response {
        let headers = request.headers_mut();
        if self.other_etag {
            reverse(headers, header::IF_MATCH);
            reverse(headers, header::IF_RANGE);
        }
        let if_range = headers.get(header::IF_RANGE).cloned();
        let range = match self.no_range || content.is_some() {
            true => headers.remove(header::RANGE),
            false => None,
        };
        let mut response = next.run(request).await;
        if let Some(bytes) = content.filter(|_| response.status().is_success()) {
            let etag = response.headers().get(header::ETAG);
            let is_asked = !self.no_range && (if_range.is_none() || if_range.as_ref() == etag);
            let range = range.filter(|_| is_asked);
            response = substitute(response, &bytes, range.as_ref());
        }
        if self.no_range {
            response.headers_mut().remove(header::ACCEPT_RANGES);
        }
        if self.other_etag {
            reverse(response.headers_mut(), header::ETAG);
        }
        response
    }

    /// Sets the headers that faults ask for, and else the body's true length, which
    /// hyper states only for bodies that it knows to be whole.
    fn head(&mut self, headers: &mut HeaderMap, body: &Body) {
        let range = self.content_range.take().map(HeaderValue::try_from);
        if let Some(Ok(range)) = range {
            headers.insert(header::CONTENT_RANGE, range);
        }
        if let Some(said) = self.content_length {
            self.body.hides_length = true;
            headers.insert(header::CONTENT_LENGTH, said.into());
        } else if let (false, Some(length)) = (
            headers.contains_key(header::CONTENT_LENGTH),
            body.size_hint().exact(),
        ) {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
    }
}

/// Reverses an entity tag: a different one, which turns back into the first on the
/// way in, so that client and store agree.
fn reverse(headers: &mut HeaderMap, name: HeaderName) {
    if let Some(value) = headers.get_mut(name) {
        let reversed: Vec<u8> = value.as_bytes().iter().rev().copied().collect();
        *value = HeaderValue::from_bytes(&reversed).unwrap_or_else(|_| value.clone());
    }
}

/// Turns the store's answer with a whole object into the answer for `bytes` instead,
/// cut to the range that the client has asked for.
fn substitute(whole: Response, bytes: &Bytes, range: Option<&HeaderValue>) -> Response {
    let length = bytes.len();
    let (mut parts, _) = whole.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let Some(range) = range.and_then(|range| bounds(range.to_str().ok()?)) else {
        return Response::from_parts(parts, Body::from(bytes.clone()));
    };
    let (first, last) = (*range.start(), *range.end().min(&length.saturating_sub(1)));
    let content_range = if first < length {
        format!("bytes {first}-{last}/{length}")
    } else {
        format!("bytes */{length}")
    };
    let mut response = if first < length {
        parts.status = StatusCode::PARTIAL_CONTENT;
        Response::from_parts(parts, Body::from(bytes.slice(first..=last)))
    } else {
        let message = "The requested range is not satisfiable";
        refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
    };
    if let Ok(range) = HeaderValue::try_from(content_range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

/// The bytes of `bytes=FIRST-LAST` or `bytes=FIRST-`.
fn bounds(range: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = match last {
        "" => usize::MAX,
        last => last.parse().ok()?,
    };
    Some(first.parse().ok()?..=last)
}

/// A refusal as the store gives it.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
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
