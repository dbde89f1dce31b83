//! How often the shared cache was asked, and what came of it.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the mount began.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Count,
    pub(super) misses: Count,
    pub(super) damaged: Count,
    pub(super) passed_over: Count,
    pub(super) bytes_read: Count,
    pub(super) puts: Count,
    pub(super) already_there: Count,
    pub(super) not_put: Count,
    pub(super) bytes_written: Count,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What `status.json` says of the shared cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedStatus {
    /// Where it is.
    pub url: String,
    /// Lookups that brought an object.
    pub hits: u64,
    /// Lookups of objects that are not there.
    pub misses: u64,
    /// Misses of objects that are there, and are not what they should be.
    pub damaged: u64,
    /// Lookups that were not made, or given up, since the store does not answer.
    pub passed_over: u64,
    /// Bytes of the objects that came.
    pub bytes_read: u64,
    /// Objects that this machine has written.
    pub puts: u64,
    /// Objects that it has not, since another had.
    pub already_there: u64,
    /// Objects that are not written: too many at once, or refused.
    pub not_put: u64,
    /// Bytes of the objects written.
    pub bytes_written: u64,
    /// Why lookups pass it over at present, if they do.
    pub reads_paused: Option<String>,
    /// Why nothing is written at present, if so.
    pub writes_paused: Option<String>,
}

impl Counters {
    /// Notes that an object of so many bytes has come; gives its content.
    pub(super) fn hit<T>(&self, bytes: u64, content: T) -> Option<T> {
        self.hits.add(1);
        self.bytes_read.add(bytes);
        Some(content)
    }

    pub(super) fn status(
        &self,
        url: &str,
        reads_paused: Option<String>,
        writes_paused: Option<String>,
    ) -> SharedStatus {
        SharedStatus {
            url: url.to_owned(),
            hits: self.hits.get(),
            misses: self.misses.get(),
            damaged: self.damaged.get(),
            passed_over: self.passed_over.get(),
            bytes_read: self.bytes_read.get(),
            puts: self.puts.get(),
            already_there: self.already_there.get(),
            not_put: self.not_put.get(),
            bytes_written: self.bytes_written.get(),
            reads_paused,
            writes_paused,
        }
    }
}
