//! Why unpacking stopped.

use super::kinds::Other;
use crate::error::Error;
use crate::store::{index::TooMuch, key::VersionKey};
use std::io;

/// Why unpacking stopped.
#[derive(Debug)]
pub(super) enum Fault {
    /// The current entry cannot be shown; the rest of the archive can.
    Entry(String),
    /// The archive is broken.
    Bad(String),
    /// The archive exceeds a limit.
    Limit(String),
    /// An error that is not the archive's fault.
    Other(Error),
}

impl Fault {
    /// From an error of the stream: the source's own, or one of inflating.
    pub(super) fn read(error: io::Error, position: u64) -> Self {
        let inner = error.get_ref();
        if let Some(other) = inner.and_then(|error| error.downcast_ref::<Other>()) {
            return Self::Bad(other.to_string());
        }
        match inner.and_then(|error| error.downcast_ref::<Error>()) {
            Some(error) => Self::Other(error.clone()),
            None => Self::Bad(format!(
                "the compressed data is broken at byte {position} of its content: {error}"
            )),
        }
    }

    pub(super) fn of(self, key: &VersionKey) -> Error {
        let version = key.version_id.to_string();
        match self {
            Self::Entry(detail) | Self::Bad(detail) => Error::BadArchive { version, detail },
            Self::Limit(detail) => Error::Limit { version, detail },
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<TooMuch> for Fault {
    fn from(TooMuch(limit): TooMuch) -> Self {
        Self::Limit(limit)
    }
}

/// Leaves out the current entry.
pub(super) fn omit<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Entry(why.into()))
}
