//! The object store on its own port: presigned URLs, `Range`, `If-Range`,
//! `If-Match`, `ETag`, and errors in XML.

use super::{digest::sha256_hex, state::ServerState, world::Version};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body::{Frame, SizeHint};
use jiff::Timestamp;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use url::form_urlencoded;

/// A link to an object that carries its own permission.
pub(crate) fn presign(state: &ServerState, path: &str, lifetime: u64) -> String {
    let date = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let signature = signature(state, path, &date, lifetime);
    format!(
        "{}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-Expires={lifetime}\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={signature}",
        state.store_url()
    )
}

/// The object's path in the store.
pub(crate) fn object_path(kind: &str, storage_id: &str, version_id: &str) -> String {
    format!("/bucket/{kind}s/{storage_id}/{version_id}/archive.tar.gz")
}

/// Not AWS's algorithm, but as hard to guess: no client verifies theirs.
fn signature(state: &ServerState, path: &str, date: &str, lifetime: u64) -> String {
    sha256_hex(format!(
        "{}\n{path}\n{date}\n{lifetime}\n{}",
        state.key(),
        state.key()
    ))
}

/// Why the store refuses.
struct Refusal(StatusCode, &'static str, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let headers = [(header::CONTENT_TYPE, "application/xml")];
        (status, headers, body).into_response()
    }
}

/// Answers every request on the store's port.
pub(crate) async fn serve(State(state): State<Arc<ServerState>>, request: Request) -> Response {
    match answer(state, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(state: Arc<ServerState>, request: Request) -> Result<Response, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ));
    }
    admit(&state, &request)?;
    let missing = Refusal(
        StatusCode::NOT_FOUND,
        "NoSuchKey",
        "The specified key does not exist.",
    );
    let Some(version) = find(&state, request.uri().path()) else {
        return Err(missing);
    };
    // Packing is slow, and would hold up other requests on an async thread.
    let packing = tokio::task::spawn_blocking(move || {
        version.archive();
        version
    });
    let version = packing.await.map_err(|_| missing)?;
    let head = request.method() == Method::HEAD;
    respond(request.headers(), version, head)
}

/// Checks the presigned query, and refuses an `Authorization` beside it.
fn admit(state: &ServerState, request: &Request) -> Result<(), Refusal> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, \
             Signature query string parameter or the Authorization header should be specified",
        ));
    }
    let mut date = String::new();
    let mut lifetime = 0;
    let mut given = String::new();
    let query = request.uri().query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "X-Amz-Date" => date = value.into_owned(),
            "X-Amz-Expires" => lifetime = value.parse().unwrap_or(0),
            "X-Amz-Signature" => given = value.into_owned(),
            _ => {}
        }
    }
    if given != signature(state, request.uri().path(), &date, lifetime) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        ));
    }
    let signed = date.parse().map_or(0, Timestamp::as_second);
    let age = Timestamp::now().as_second().saturating_sub(signed);
    if age >= i64::try_from(lifetime).unwrap_or(i64::MAX) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Request has expired",
        ));
    }
    Ok(())
}

fn find(state: &ServerState, path: &str) -> Option<Version> {
    let mut segments = path.strip_prefix("/bucket/")?.split('/');
    let (kind, storage, version) = (segments.next()?, segments.next()?, segments.next()?);
    let world = state.world();
    let storage = world
        .storages
        .iter()
        .find(|s| s.id == storage && kind.strip_suffix('s') == Some(s.kind.word()))?;
    let version = storage.versions.iter().find(|v| v.id == version)?;
    version.is_stored().then(|| version.clone())
}

fn respond(headers: &HeaderMap, version: Version, head: bool) -> Result<Response, Refusal> {
    let etag = &format!("\"{}\"", &sha256_hex(&version.id)[..32]);
    let modified = version.created_at;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != "*" && wanted != etag) {
        return Err(Refusal(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    let length = version.archive().len();
    let asked = text(header::RANGE)
        .filter(|_| !head)
        .filter(|_| text(header::IF_RANGE).is_none_or(|wanted| wanted == etag))
        .and_then(|range| parse_range(range, length));
    let mut response = match asked {
        None => Response::new(body(version, 0, length)),
        Some(None) => {
            let mut response = Refusal(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The requested range is not satisfiable",
            )
            .into_response();
            insert(&mut response, "content-range", &format!("bytes */{length}"));
            return Ok(response);
        }
        Some(Some((first, end))) => {
            let mut response = Response::new(body(version, first, end));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {first}-{}/{length}", end - 1);
            insert(&mut response, "content-range", &range);
            response
        }
    };
    insert(&mut response, "accept-ranges", "bytes");
    insert(&mut response, "etag", etag);
    insert(&mut response, "content-type", "application/gzip");
    let modified = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    insert(&mut response, "last-modified", &modified);
    Ok(response)
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// First byte and end of a single range; `Some(None)` where the range lies past the
/// object's end; `None` where the header is to be ignored.
fn parse_range(range: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        let first = length.saturating_sub(suffix);
        return Some((first < length).then_some((first, length)));
    }
    let first: u64 = first.parse().ok()?;
    let last = match last {
        "" => u64::MAX,
        last => last.parse().ok()?,
    };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(length);
    Some((first < length).then_some((first, end)))
}

fn body(version: Version, position: u64, end: u64) -> Body {
    Body::new(Stretch {
        version,
        position,
        end,
    })
}

/// Bytes handed to the network at once: few enough calls to be cheap.
const PIECE: u64 = 256 << 10;

/// The bytes of an object from one position to another.
struct Stretch {
    version: Version,
    position: u64,
    end: u64,
}

impl HttpBody for Stretch {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let limit = (self.end - self.position).min(PIECE);
        if limit == 0 {
            return Poll::Ready(None);
        }
        let piece = self.version.archive().slice(self.position, limit);
        self.position += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.position == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position)
    }
}
