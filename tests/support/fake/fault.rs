//! Faults that a test puts on the wire: which requests they meet, how often,
//! and what happens to the answer.

use super::{Port, uuid};
use axum::body::Bytes;
use serde_json::json;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Which paths a fault meets.
#[derive(Clone, Debug)]
enum Paths {
    Prefix(String),
    Exact(String),
    Containing(String),
}

/// What a fault does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// The answer begins so much later.
    Delay(Duration),
    /// The answer never begins.
    Stall,
    /// The body stops after so many bytes, the connection stays open.
    StallBody {
        /// Bytes that still come.
        after: u64,
    },
    /// This answer comes instead.
    Status {
        /// HTTP status.
        status: u16,
        /// The body.
        body: Bytes,
        /// Its `Content-Type`.
        content_type: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// The connection is cut after so many bytes of the body, although
    /// `Content-Length` said more.
    Truncate {
        /// Bytes that still come.
        after: u64,
    },
    /// The connection is closed before any answer.
    CloseBeforeHeaders,
    /// The connection is reset, not closed, after so many bytes of the body; with
    /// none, before any answer.
    Reset {
        /// Bytes that still come.
        after: u64,
    },
    /// `Content-Length` says this instead of the body's length: of a longer body the
    /// rest is not sent, after a shorter one the connection is cut.
    ContentLength(u64),
    /// `Content-Range` says this.
    ContentRange(String),
    /// Replaces the API's body, or the store's object. The `ETag` stays.
    WrongBody(Bytes),
    /// The store ignores `Range` and answers 200 with everything.
    NoRange,
    /// The object's `ETag` is another one.
    ChangeEtag,
    /// The store says that the presigned URL has expired.
    ExpireUrl,
    /// The body comes at this many bytes a second.
    Rate {
        /// Bytes a second for each connection.
        bytes_per_second: u64,
    },
}

impl Action {
    /// An answer with a JSON error body as the API documents it, and the
    /// request id `uuid("fault")`.
    pub(crate) fn api_error(status: u16, kind: &str, code: &str, message: &str) -> Self {
        let error = json!({"error": {"type": kind, "code": code, "message": message}});
        Self::Status {
            status,
            body: error.to_string().into(),
            content_type: "application/json".into(),
            headers: vec![("X-Request-Id".into(), uuid("fault"))],
        }
    }

    /// 500, as the API documents it.
    pub(crate) fn internal_error() -> Self {
        Self::api_error(500, "api_error", "internal_error", "Internal server error")
    }

    /// 502 with HTML, as a gateway in front of the API answers.
    pub(crate) fn bad_gateway() -> Self {
        Self::Status {
            status: 502,
            body: "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
                   <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
                .into(),
            content_type: "text/html".into(),
            headers: Vec::new(),
        }
    }

    /// A redirect to `location`.
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::Status {
            status,
            body: Bytes::new(),
            content_type: "text/plain".into(),
            headers: vec![("Location".into(), location.into())],
        }
    }

    /// 429 with `Retry-After` in seconds.
    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        let kind = "rate_limit_error";
        let mut action = Self::api_error(429, kind, "rate_limit_exceeded", "Too many requests");
        if let Self::Status { headers, .. } = &mut action {
            headers.push(("Retry-After".into(), retry_after.to_string()));
        }
        action
    }
}

/// An action on the requests that it meets. Where several faults meet one
/// request, all of them act, in the order in which they were set.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    port: Option<Port>,
    method: Option<String>,
    paths: Paths,
    skip: u32,
    times: Option<u32>,
    action: Action,
}

impl Fault {
    fn new(port: Option<Port>, paths: Paths, action: Action) -> Self {
        Self {
            port,
            method: None,
            paths,
            skip: 0,
            times: None,
            action,
        }
    }

    /// On all paths of the API that begin with `prefix`.
    pub(crate) fn api(prefix: &str, action: Action) -> Self {
        Self::new(Some(Port::Api), Paths::Prefix(prefix.into()), action)
    }

    /// On exactly this path of the API.
    pub(crate) fn api_exact(path: &str, action: Action) -> Self {
        Self::new(Some(Port::Api), Paths::Exact(path.into()), action)
    }

    /// On all objects of the store.
    pub(crate) fn store(action: Action) -> Self {
        Self::new(Some(Port::Store), Paths::Prefix("/".into()), action)
    }

    /// On the objects of the store whose path contains `part`, such as a version's id.
    pub(crate) fn object(part: &str, action: Action) -> Self {
        Self::new(Some(Port::Store), Paths::Containing(part.into()), action)
    }

    /// On everything.
    pub(crate) fn everywhere(action: Action) -> Self {
        Self::new(None, Paths::Prefix("/".into()), action)
    }

    /// Only so many times.
    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Only for this method.
    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Only after so many matching requests.
    pub(crate) fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    fn meets(&self, port: Port, method: &str, path: &str) -> bool {
        self.port.is_none_or(|own| own == port)
            && self.method.as_ref().is_none_or(|own| own == method)
            && match &self.paths {
                Paths::Prefix(prefix) => path.starts_with(prefix.as_str()),
                Paths::Exact(exact) => path == exact,
                Paths::Containing(part) => path.contains(part.as_str()),
            }
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The actions on this request, counting it.
    pub(super) fn take(&self, port: Port, method: &str, path: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        for fault in self.lock().iter_mut() {
            if !fault.meets(port, method, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            actions.push(fault.action.clone());
        }
        actions
    }
}
