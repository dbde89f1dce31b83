//! The key of a version, and the name of its directory in the cache.

use crate::text::hex;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What a version is a version of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VersionKey {
    /// The API's origin: several may share one cache.
    pub origin: Arc<str>,
    /// `volumes` or `artifacts`.
    pub kind: &'static str,
    /// The volume's or artifact's id.
    pub storage_id: Arc<str>,
    /// The version's id.
    pub version_id: Arc<str>,
}

impl VersionKey {
    /// Name of the version's directory: a hash, so that no id can be a path.
    pub fn directory(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            &*self.origin,
            self.kind,
            &*self.storage_id,
            &*self.version_id,
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }
}
