//! The journal: every request, and how it was answered.

use super::Port;
use axum::{
    extract::Request,
    http::{HeaderName, StatusCode, header},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
};

/// A request that the server has received, and how it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The port that received it.
    pub(crate) port: Port,
    /// When it came.
    pub(crate) at: std::time::Instant,
    /// Its method.
    pub(crate) method: String,
    /// Its path.
    pub(crate) path: String,
    /// Its query, empty where there is none.
    pub(crate) query: String,
    /// Whether an `Authorization` header came with it.
    pub(crate) authorization: bool,
    /// Its `Range` header.
    pub(crate) range: Option<String>,
    /// Its `If-Range` header.
    pub(crate) if_range: Option<String>,
    /// Its `If-Match` header.
    pub(crate) if_match: Option<String>,
    /// Its `User-Agent` header.
    pub(crate) user_agent: Option<String>,
    /// The answer's status; `None` before an answer begins.
    pub(crate) status: Option<u16>,
    /// Bytes of the body handed to the network so far.
    pub(crate) bytes_sent: u64,
    /// Whether the whole answer has been sent.
    pub(crate) finished: bool,
}

impl Recorded {
    /// Method and path, such as `GET /v1/runs`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A recorded request while its answer may still be going on.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Recorded,
    /// 0 while no answer has begun.
    status: AtomicU16,
    sent: AtomicU64,
    finished: AtomicBool,
}

impl Exchange {
    /// The answer begins.
    pub(super) fn begin(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// So many bytes of the body have been handed to the network.
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.store(bytes, Ordering::Relaxed);
    }

    /// The whole answer has been sent.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

/// All requests since the start or the last clearing.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Vec<Arc<Exchange>>>);

impl Journal {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Exchange>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, port: Port, request: &Request) -> Arc<Exchange> {
        let text = |name: HeaderName| {
            let value = request.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let exchange = Arc::new(Exchange {
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
        self.lock().push(Arc::clone(&exchange));
        exchange
    }

    pub(super) fn snapshot(&self) -> Vec<Recorded> {
        let exchanges = self.lock();
        exchanges
            .iter()
            .map(|exchange| Recorded {
                status: Some(exchange.status.load(Ordering::Relaxed)).filter(|&status| status != 0),
                bytes_sent: exchange.sent.load(Ordering::Relaxed),
                finished: exchange.finished.load(Ordering::Relaxed),
                ..exchange.request.clone()
            })
            .collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}
