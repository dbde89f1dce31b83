//! Rows of a run's log, in the forms that the service gives them.

use super::forms::iso;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A row of a run's log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Its time, which orders and filters.
    pub at: Timestamp,
    /// Its time as sent.
    pub timestamp: String,
    /// `agent`, `system` or `network`.
    pub kind: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub message: String,
    /// Further facts.
    pub metadata: Option<Value>,
}

impl LogRow {
    /// A row with a timestamp in milliseconds.
    pub fn new(at: Timestamp, kind: &str, level: &str, message: impl Into<String>) -> Self {
        let timestamp = iso(at);
        // The service itself has no finer time than it sends.
        let at = timestamp.parse().unwrap_or(at);
        Self {
            at,
            timestamp,
            kind: kind.into(),
            level: level.into(),
            message: message.into(),
            metadata: None,
        }
    }

    /// The row of an agent program's event, as the service makes it: its message
    /// is the event's type in brackets and the whole event as one line of JSON,
    /// its level is always `info`.
    pub fn agent(at: Timestamp, sequence: u64, event: Value) -> Self {
        let kind = event.get("type").cloned().unwrap_or_default();
        let message = format!("[{}] {event}", kind.as_str().unwrap_or("unknown"));
        Self::new(at, "agent", "info", message).metadata(json!({
            "sequenceNumber": sequence, "eventType": kind, "eventData": event,
        }))
    }

    /// A chunk of the sandbox's log, however many lines that is.
    pub fn system(at: Timestamp, chunk: impl Into<String>) -> Self {
        Self::new(at, "system", "info", chunk)
    }

    /// A request of the sandbox over the network.
    pub fn network(at: Timestamp, method: &str, url: &str, status: u16, duration: u64) -> Self {
        let level = if status >= 400 { "error" } else { "info" };
        let message = format!("{method} {url} - {status} ({duration}ms)");
        Self::new(at, "network", level, message).metadata(json!({
            "method": method, "url": url, "status": status, "duration": duration,
        }))
    }

    /// The same row without metadata, as rows were in the past.
    pub fn bare(mut self) -> Self {
        self.metadata = None;
        self
    }

    /// The same row with metadata.
    pub fn metadata(mut self, metadata: Value) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// The same row with a timestamp in nanoseconds.
    pub fn precise(mut self, at: Timestamp) -> Self {
        self.timestamp = format!("{at:.9}");
        self.at = at;
        self
    }

    /// The sequence number of an agent row that is an event.
    pub fn sequence(&self) -> Option<u64> {
        self.metadata.as_ref()?.get("sequenceNumber")?.as_u64()
    }
}
