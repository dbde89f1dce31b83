//! The key of a version, the name of its directory in the cache, and digests in
//! hexadecimal.

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

/// Lowercase hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    push_hex(bytes, &mut text);
    // ASCII only.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends lowercase hexadecimal to a text.
pub(super) fn push_hex(bytes: &[u8], text: &mut Vec<u8>) {
    // By a table: formatting each byte took a tenth of unpacking small files.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}
