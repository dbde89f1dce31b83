//! The request to fetch a version.

use crate::error::{Error, Result};
use crate::store::key::VersionKey;
use url::Url;

/// What to fetch.
pub struct FetchRequest<'a> {
    /// The version.
    pub key: VersionKey,
    /// Bytes of content that the service declares: a hint.
    pub declared_size: Option<u64>,
    /// Files that the service declares: a hint.
    pub declared_files: Option<u64>,
    /// Asks the API for a presigned URL; asked again when one has expired.
    pub url: &'a (dyn Fn() -> Result<Url> + Sync),
    /// Called when there is more to find in the partial version
    /// ([`Store::partial`](crate::store::Store::partial)): soon after the first entry,
    /// then at most every few milliseconds, and when the fetch has ended. The thread that
    /// unpacks calls it: it must return soon.
    pub on_partial: &'a (dyn Fn() + Sync),
}

impl FetchRequest<'_> {
    /// What a fetch fails with whose content other mounts remove again and again.
    pub(super) fn is_evicted(&self) -> Error {
        Error::NoSpace(format!(
            "version {} is evicted by other mounts as soon as it is there; raise --cache-size",
            self.key.version_id
        ))
    }
}
