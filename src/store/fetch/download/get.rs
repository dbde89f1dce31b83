//! One GET of an object, or of a range of it, and what its answer means.

use crate::{
    error::{Error, TransportKind},
    http::{self, Silence},
};
use reqwest::{
    Client, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE,
        RANGE,
    },
};
use std::time::Duration;
use url::Url;

/// An object as the headers of an answer describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Object {
    /// Its size in bytes, where the store gives it.
    pub(in crate::store) length: Option<u64>,
    pub(in crate::store) etag: Option<String>,
    /// Whether the store honoured a range.
    pub(in crate::store) ranges: bool,
}

impl Object {
    /// The ETag where it stands for the very bytes (RFC 9110, 8.8.1), so that
    /// `If-Range` may name it.
    pub(in crate::store) fn strong_etag(&self) -> Option<&str> {
        let is_strong = |etag: &&str| !etag.is_empty() && !etag.starts_with("W/");
        self.etag.as_deref().filter(is_strong)
    }

    /// Whether a later answer can be about the same object; one to a range may leave
    /// out what is known.
    fn may_be(&self, later: &Self) -> bool {
        let is_open = later.ranges && (self.length.is_none() || later.length.is_none());
        let is_unnamed = later.ranges && later.etag.is_none();
        (is_open || self.length == later.length) && (is_unnamed || self.etag == later.etag)
    }
}

/// Why a request did not bring what was asked for.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) remedy: Remedy,
}

/// What may help after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    Nothing,
    /// The same request, later.
    Retry,
    /// The same request without a range.
    NoRange,
    /// The same request with another link: the store does not accept this one.
    NewLink,
    /// The same with one other link: what was there when this one was made is not there now.
    Moved,
    /// To read from the first byte on: the object is another one by now.
    StartOver,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let remedy = Remedy::Nothing;
        Self { error, remedy }
    }
}

/// How an object store is asked.
pub(super) struct ObjectStore {
    pub(super) client: Client,
    /// How long no byte may come.
    pub(super) timeout: Duration,
    /// Whether plain `http://` is allowed.
    pub(super) allow_http: bool,
}

/// A request.
pub(super) struct Get<'a> {
    pub(super) url: &'a Url,
    /// The first byte that is wanted and the end; `None` for the whole object.
    pub(super) range: Option<(u64, Option<u64>)>,
    /// The object that it must be of, where an earlier answer has described it.
    pub(super) known: Option<&'a Object>,
}

impl Get<'_> {
    /// Sends it. Gives the answer once its headers have come, where in the object
    /// the body starts, and the object.
    pub(super) async fn send(
        &self,
        store: &ObjectStore,
    ) -> Result<(Response, u64, Object), Failed> {
        if !http::may_ask(self.url, None, store.allow_http) {
            let message = "the download's link is not https; use --allow-http if that is meant";
            return Err(self.forbidden(message));
        }
        let request = store.client.get(self.url.clone());
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        if let Some((start, end)) = self.range {
            let last = end.map_or(String::new(), |end| (end - 1).to_string());
            request = request.header(RANGE, format!("bytes={start}-{last}"));
            // A whole object that comes instead is compared with the known one.
            let etag = self.known.and_then(Object::strong_etag);
            if let Some(etag) = etag.filter(|_| start > 0) {
                request = request.header(IF_RANGE, etag);
            }
        }
        let answer = request.send().await;
        let response = answer.map_err(|error| self.broken(store, &error))?;
        let (start, object) = self.read(response.status(), response.headers())?;
        Ok((response, start, object))
    }

    /// The failure for what reqwest says of the request or of the answer's body.
    pub(super) fn broken(&self, store: &ObjectStore, error: &reqwest::Error) -> Failed {
        let remedy = match error.is_builder() {
            true => Remedy::Nothing,
            false => Remedy::Retry,
        };
        let (limit, advice) = (store.timeout, "");
        let silence = Silence {
            limit,
            remedy: advice,
        };
        let error = match error.is_connect() {
            true => http::not_connected(&self.what(), self.url, limit, error),
            false => http::severed(&self.what(), silence, error),
        };
        Failed { error, remedy }
    }

    /// The failure for an answer that stalled or ended too early.
    pub(super) fn cut(&self, kind: TransportKind, message: String) -> Failed {
        let error = http::transport(&self.what(), kind, message);
        let remedy = Remedy::Retry;
        Failed { error, remedy }
    }

    /// What an answer with this status and these headers means.
    fn read(&self, status: StatusCode, headers: &HeaderMap) -> Result<(u64, Object), Failed> {
        let (start, length) = match (status, self.range) {
            (StatusCode::OK, _) => (
                0,
                text(headers, CONTENT_LENGTH).and_then(|it| it.parse().ok()),
            ),
            (StatusCode::PARTIAL_CONTENT, Some((start, _))) => {
                (start, self.whole_length(start, headers)?)
            }
            _ => return Err(self.refused(status)),
        };
        let object = Object {
            length,
            etag: text(headers, ETAG).map(str::to_owned),
            ranges: status == StatusCode::PARTIAL_CONTENT,
        };
        match self.known {
            Some(known) if !known.may_be(&object) => Err(self.changed()),
            _ => Ok((start, object)),
        }
    }

    /// The object's length in the answer to a range from `start` on.
    fn whole_length(&self, start: u64, headers: &HeaderMap) -> Result<Option<u64>, Failed> {
        let range = text(headers, CONTENT_RANGE).unwrap_or_default();
        match content_range(range) {
            // Only of an object whose end is known can parts be asked for.
            Some((_, None)) if self.known.is_none() => Err(self.failed(
                Remedy::NoRange,
                "a range without the object's length".into(),
            )),
            Some((from, length)) if from == start => Ok(length),
            _ => {
                let detail = format!("asked from byte {start} on, got Content-Range {range:?}");
                Err(self.failed(Remedy::Nothing, detail))
            }
        }
    }

    /// The failure for an answer that brings nothing.
    fn refused(&self, status: StatusCode) -> Failed {
        let is_first = self.known.is_none();
        let (remedy, rest) = match status {
            // An empty object has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE if is_first && self.range.is_some() => {
                (Remedy::NoRange, " for the first bytes")
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PRECONDITION_FAILED if !is_first => {
                return self.changed();
            }
            // An expired link is 403, from some stores 400 or 401.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
                Remedy::NewLink,
                "; the download's link is not accepted: see that this machine's clock is right \
                 (`vm0fs doctor`), and try again",
            ),
            // Of an object that is known, which may have another place by now.
            StatusCode::NOT_FOUND | StatusCode::GONE if !is_first => (Remedy::Moved, ""),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                (Remedy::Retry, "; try again later")
            }
            _ if status.is_server_error() => (Remedy::Retry, "; try again later"),
            _ if status.is_redirection() => {
                return self.forbidden("the object store redirects, which is not followed");
            }
            _ => (Remedy::Nothing, ""),
        };
        let code = status.as_u16();
        self.failed(remedy, format!("HTTP {code} from the object store{rest}"))
    }

    fn changed(&self) -> Failed {
        let detail = "the object changed while it was downloaded";
        self.failed(Remedy::StartOver, detail.into())
    }

    /// The failure for an answer with the whole object in place of a range of it.
    pub(super) fn without_range(&self) -> Failed {
        let detail = "the object store sends no ranges";
        self.failed(Remedy::NoRange, detail.into())
    }

    fn forbidden(&self, message: &str) -> Failed {
        http::transport(&self.what(), TransportKind::Forbidden, message.into()).into()
    }

    fn failed(&self, remedy: Remedy, detail: String) -> Failed {
        let what = self.what();
        let error = Error::BadAnswer { what, detail };
        Failed { error, remedy }
    }

    /// Names the request in messages, without the query of the URL.
    fn what(&self) -> String {
        format!("GET {}", http::shown(self.url))
    }
}

/// The first byte and the object's length in a `Content-Range` (RFC 9110, 14.4).
fn content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, length) = range.strip_prefix("bytes ")?.split_once('/')?;
    let start = span.split_once('-')?.0.parse().ok()?;
    match length {
        "*" => Some((start, None)),
        length => Some((start, Some(length.parse().ok()?))),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    /// What an answer is read as: where it starts and the object's length, or what
    /// may help.
    fn read(get: &Get<'_>, status: u16, headers: &[(HeaderName, &str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        match get.read(StatusCode::from_u16(status).unwrap(), &headers) {
            Ok((start, object)) => match object.length {
                Some(length) => format!("from {start} of {length}"),
                None => format!("from {start}"),
            },
            Err(Failed { error, remedy }) => {
                let error = error.to_string();
                assert!(error.starts_with("GET http://a.test/x: "), "{error}");
                format!("{remedy:?}")
            }
        }
    }

    #[test]
    fn an_answer_by_status_headers_and_what_is_known() {
        let object = |length, etag: Option<&str>| Object {
            length,
            etag: etag.map(str::to_owned),
            ranges: true,
        };
        let known = object(Some(50), Some("\"1\""));
        let nameless = object(Some(50), None);
        let endless = object(None, Some("\"1\""));
        let first = (Some((0, Some(10))), None);
        let all = (None, None);
        let later = (Some((20, None)), Some(&known));
        let span = |value| (CONTENT_RANGE, value);
        let length = |value| (CONTENT_LENGTH, value);
        let etag = |value| (ETAG, value);
        let max = u64::MAX.to_string();
        for ((range, known), status, headers, expected) in [
            // The first answer.
            (first, 206, vec![span("bytes 0-9/50")], "from 0 of 50"),
            (first, 206, vec![span("bytes 0-9/*")], "NoRange"),
            (first, 206, vec![span("bytes 0-9/5x")], "Nothing"),
            (first, 206, vec![span("bytes 1-9/50")], "Nothing"),
            (first, 206, vec![span("0-9/50")], "Nothing"),
            (first, 206, vec![], "Nothing"),
            (
                first,
                206,
                vec![span("bytes 0-9/99999999999999999999")],
                "Nothing",
            ),
            (first, 200, vec![length("50")], "from 0 of 50"),
            (
                first,
                200,
                vec![length(&max)],
                "from 0 of 18446744073709551615",
            ),
            (first, 200, vec![], "from 0"),
            (first, 416, vec![span("bytes */0")], "NoRange"),
            (first, 412, vec![], "Nothing"),
            (all, 416, vec![], "Nothing"),
            (all, 206, vec![span("bytes 0-9/50")], "Nothing"),
            (all, 200, vec![length("0")], "from 0 of 0"),
            // Answers that bring nothing.
            (first, 400, vec![], "NewLink"),
            (first, 401, vec![], "NewLink"),
            (first, 403, vec![], "NewLink"),
            (first, 404, vec![], "Nothing"),
            (first, 408, vec![], "Retry"),
            (first, 429, vec![], "Retry"),
            (first, 500, vec![], "Retry"),
            (first, 503, vec![], "Retry"),
            (first, 302, vec![], "Nothing"),
            (first, 204, vec![], "Nothing"),
            (first, 304, vec![], "Nothing"),
            // Later ones, of the same object or another.
            (later, 206, vec![span("bytes 20-29/50")], "from 20 of 50"),
            (later, 206, vec![span("bytes 20-29/*")], "from 20"),
            (
                later,
                206,
                vec![span("bytes 20-29/50"), etag("\"1\"")],
                "from 20 of 50",
            ),
            (
                later,
                206,
                vec![span("bytes 20-29/50"), etag("\"2\"")],
                "StartOver",
            ),
            (later, 206, vec![span("bytes 20-29/51")], "StartOver"),
            (later, 206, vec![span("bytes 0-29/50")], "Nothing"),
            (
                later,
                200,
                vec![length("50"), etag("\"1\"")],
                "from 0 of 50",
            ),
            (later, 200, vec![length("50"), etag("\"2\"")], "StartOver"),
            (later, 200, vec![length("50")], "StartOver"),
            (later, 200, vec![etag("\"1\"")], "StartOver"),
            (later, 412, vec![], "StartOver"),
            (later, 416, vec![], "StartOver"),
            (later, 403, vec![], "NewLink"),
            (later, 404, vec![], "Moved"),
            (later, 410, vec![], "Moved"),
            (
                (Some((20, None)), Some(&nameless)),
                200,
                vec![length("50")],
                "from 0 of 50",
            ),
            (
                (Some((20, None)), Some(&nameless)),
                206,
                vec![span("bytes 20-29/50"), etag("\"1\"")],
                "StartOver",
            ),
            (
                (Some((20, None)), Some(&endless)),
                206,
                vec![span("bytes 20-29/50")],
                "from 20 of 50",
            ),
        ] {
            let get = Get {
                url: &"http://a.test/x?signature=secret".parse().unwrap(),
                range,
                known,
            };
            assert_eq!(
                read(&get, status, &headers),
                expected,
                "{status} {headers:?}"
            );
        }
    }

    #[test]
    fn only_a_strong_etag_stands_for_the_bytes() {
        for (etag, strong) in [
            (Some("\"1\""), Some("\"1\"")),
            (Some("W/\"1\""), None),
            (None, None),
        ] {
            let object = Object {
                length: None,
                etag: etag.map(str::to_owned),
                ranges: true,
            };
            assert_eq!(object.strong_etag(), strong);
        }
    }
}
