//! What is to be fetched, and what the service says of it.

use crate::error::Result;
use crate::store::{key::VersionKey, meta::Verify};
use url::Url;

/// What to fetch.
pub struct FetchRequest<'a> {
    /// The version.
    pub key: VersionKey,
    /// Bytes unpacked, as declared: a hint.
    pub declared_size: Option<u64>,
    /// Files, as declared: a hint.
    pub declared_files: Option<u64>,
    /// Asks the API for a presigned URL; asked again when one has expired.
    pub url: &'a (dyn Fn() -> Result<Url> + Sync),
    /// Called when there is more to find in the version that arrives
    /// ([`Store::partial`](crate::store::Store::partial)), soon after the first entry,
    /// then at most every few milliseconds, and when the fetch has ended. From a thread
    /// that works on the archive: keep it short.
    pub arrived: &'a (dyn Fn() + Sync),
    /// What to do about the proof of content.
    pub verify: Verify,
}
