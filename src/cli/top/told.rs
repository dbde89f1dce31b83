//! What a mount tells of what it does.

use crate::error::{Error, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// `.vm0fs/activity.json`, as far as this version of vm0fs knows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Activity {
    pub(super) at: Option<Timestamp>,
    pub(super) vm0fs: String,
    pub(super) pid: u64,
    pub(super) mounted_at: Option<Timestamp>,
    pub(super) requests: Requests,
    pub(super) readers: Vec<Reader>,
    pub(super) downloads: Vec<Download>,
    pub(super) downloaded: Downloaded,
    pub(super) followed: Vec<Followed>,
    pub(super) api: Api,
    pub(super) cache: Cache,
    pub(super) failures: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requests {
    pub(super) made: u64,
    pub(super) waited: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    pub(super) pid: Option<u64>,
    pub(super) process: Option<String>,
    pub(super) has_ended: bool,
    pub(super) path: String,
    pub(super) waiting: u64,
    pub(super) bytes: u64,
    pub(super) fetched_bytes: u64,
    pub(super) seen_seconds: f64,
    pub(super) idle_seconds: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Download {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) bytes_in_all: Option<u64>,
    pub(super) seconds: f64,
    pub(super) idle_seconds: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Downloaded {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Followed {
    pub(super) run: String,
    pub(super) agent: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Api {
    pub(super) origin: String,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) rate_limit: Option<Limit>,
    pub(super) outage: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limit {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) reset: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cache {
    pub(super) bytes: u64,
    pub(super) ceiling_bytes: u64,
    pub(super) versions: u64,
    pub(super) versions_with_content: u64,
    pub(super) versions_partly: u64,
}

impl Activity {
    /// Reads what a mount tells.
    ///
    /// # Errors
    /// Where it is of another form.
    pub(super) fn of(value: Value) -> Result<Self> {
        serde_json::from_value(value)
            .map_err(|error| Error::Setup(format!("the mount tells this in another form: {error}")))
    }

    pub(super) fn reader(&self, pid: Option<u64>) -> Option<&Reader> {
        self.readers.iter().find(|reader| reader.pid == pid)
    }

    pub(super) fn download(&self, path: &str) -> Option<&Download> {
        self.downloads.iter().find(|download| download.path == path)
    }
}
