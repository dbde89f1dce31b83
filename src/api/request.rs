//! A request to the API: its URL, method, headers and body.

use super::redaction::Secrets;
use crate::error::{Error, Result};
use reqwest::{
    Method,
    blocking::RequestBuilder,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;
use url::Url;

/// A request, and its name in messages.
pub(super) struct Request {
    /// The whole URL, with its query.
    pub(super) url: Url,
    /// Method and path, without the query.
    pub(super) label: String,
    pub(super) form: Form,
}

/// The kind of a request.
pub(super) enum Form {
    /// A GET of JSON.
    Read,
    /// A GET of a stream of events, after the one of this number.
    Events(Option<u64>),
    /// A POST. The body is JSON, or empty; the secrets are in it.
    Write(Vec<u8>, Secrets),
}

impl Form {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Read | Self::Events(_) => Method::GET,
            Self::Write(..) => Method::POST,
        }
    }

    /// Adds the headers and the body of this kind.
    pub(super) fn apply(&self, call: RequestBuilder) -> RequestBuilder {
        let accept = match self {
            Self::Events(_) => "text/event-stream",
            Self::Read | Self::Write(..) => "application/json",
        };
        let call = call.header(ACCEPT, accept);
        match self {
            Self::Events(Some(after)) => call.header("last-event-id", *after),
            // hyper leaves it out, and some gateways refuse a POST without it.
            Self::Write(body, _) if body.is_empty() => call.header(CONTENT_LENGTH, 0),
            Self::Write(body, _) => call
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone()),
            Self::Read | Self::Events(None) => call,
        }
    }
}

impl Request {
    /// A GET of `/v1/<segments>` below `base`. The segments are percent-encoded here.
    pub(super) fn read(base: &Url, segments: &[&str], query: &[(&str, &str)]) -> Result<Self> {
        Self::new(base, Form::Read, segments, query)
    }

    /// A GET of a stream of the events after the one of this number.
    pub(super) fn events(base: &Url, segments: &[&str], after: Option<u64>) -> Result<Self> {
        let last = after.map(|after| after.to_string());
        let last = last.as_deref().map(|last| ("last_event_id", last));
        Self::new(base, Form::Events(after), segments, last.as_slice())
    }

    /// A POST of a JSON body, or of none. Errors never show the secrets.
    pub(super) fn write(
        base: &Url,
        segments: &[&str],
        body: Vec<u8>,
        secrets: Secrets,
    ) -> Result<Self> {
        Self::new(base, Form::Write(body, secrets), segments, &[])
    }

    fn new(base: &Url, form: Form, segments: &[&str], query: &[(&str, &str)]) -> Result<Self> {
        let mut url = base.clone();
        // The URL parser would drop such a segment and name another endpoint.
        if let Some(bad) = segments.iter().find(|s| matches!(**s, "" | "." | "..")) {
            return Err(Error::NotFound(format!("{bad:?}")));
        }
        url.path_segments_mut()
            .map_err(|()| Error::Setup("the API URL has no path".into()))?
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        let label = format!("{} {}", form.method(), url.path());
        let mut request = Self { url, label, form };
        if !query.is_empty() {
            let is_plain = request.is_download() || matches!(request.form, Form::Events(_));
            let sent = query.iter().map(|(name, value)| match is_plain {
                true => (*name, Cow::Borrowed(*value)),
                false => (*name, as_text(name, value)),
            });
            request.url.query_pairs_mut().extend_pairs(sent);
        }
        Ok(request)
    }
    /// Whether it asks for the URL of an archive. These endpoints differ from the
    /// others: they take values as they are (as that of a run's stream of events does, which
    /// reads the number with `parseInt`), and fail with HTML.
    pub(super) fn is_download(&self) -> bool {
        self.url.path().ends_with("/download")
    }

    /// A text of the service without the secrets of this request.
    pub(super) fn redact(&self, text: String) -> String {
        match &self.form {
            Form::Write(_, secrets) => secrets.redact(&text),
            Form::Read | Form::Events(_) => text,
        }
    }
}

/// A query value in the form that the service reads as a text. It decodes each value
/// as JSON if it can, so `123`, `true` or `null` must be quoted. `limit` is a number.
fn as_text<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    match name != "limit" && serde_json::from_str::<IgnoredAny>(value).is_ok() {
        true => Value::from(value).to_string().into(),
        false => value.into(),
    }
}
