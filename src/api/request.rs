//! What is asked of the API: the address, and how it is asked.

use super::{http::Http, secrets::Secrets};
use crate::error::{Error, Result};
use reqwest::{
    Method,
    blocking::RequestBuilder,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use url::Url;

/// What is asked: the URL, and its name in messages.
pub(super) struct Request {
    /// The whole URL, with its query.
    pub(super) url: Url,
    /// Method and path, without the query.
    pub(super) label: String,
    pub(super) form: Form,
}

/// What kind of answer is wanted, and what is sent for it.
pub(super) enum Form {
    /// JSON.
    Read,
    /// A stream of events, after the given one.
    Events(Option<u64>),
    /// That something happens, once. The body is JSON, or empty.
    Write(Vec<u8>, Secrets),
}

impl Form {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Read | Self::Events(_) => Method::GET,
            Self::Write(..) => Method::POST,
        }
    }

    /// The headers and the body that this kind of request has.
    pub(super) fn dress(&self, call: RequestBuilder) -> RequestBuilder {
        let accept = match self {
            Self::Events(_) => "text/event-stream",
            Self::Read | Self::Write(..) => "application/json",
        };
        let call = call.header(ACCEPT, accept);
        match self {
            Self::Events(Some(after)) => call.header("last-event-id", *after),
            // Left out by hyper, and some gateways refuse a POST without it.
            Self::Write(body, _) if body.is_empty() => call.header(CONTENT_LENGTH, 0),
            Self::Write(body, _) => call
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone()),
            Self::Read | Self::Events(None) => call,
        }
    }
}

impl Http {
    /// A GET of `/v1/<segments>`, each percent-encoded.
    pub(super) fn request(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Request> {
        self.asking(Form::Read, segments, query)
    }

    /// A GET of a stream of events, those after the given one.
    pub(super) fn events_request(&self, segments: &[&str], after: Option<u64>) -> Result<Request> {
        let last = after.map(|after| after.to_string());
        let last = last.as_deref().map(|last| ("last_event_id", last));
        self.asking(Form::Events(after), segments, last.as_slice())
    }

    /// A POST of a JSON body, or of none. The secrets are kept out of errors.
    pub(super) fn post_request(
        &self,
        segments: &[&str],
        body: Vec<u8>,
        secrets: Secrets,
    ) -> Result<Request> {
        self.asking(Form::Write(body, secrets), segments, &[])
    }

    fn asking(&self, form: Form, segments: &[&str], query: &[(&str, &str)]) -> Result<Request> {
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
        let label = format!("{} {}", form.method(), url.path());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Request { url, label, form })
    }
}
