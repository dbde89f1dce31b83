//! `meta.json`: what is known of a version beside its tree, for people and
//! for the accounts of the cache.

use crate::store::VersionKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is done about the proof of content (`--verify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// A mismatch is logged and shown, not refused.
    #[default]
    Warn,
    /// A mismatch makes the archive unusable.
    Strict,
    /// Nothing is hashed.
    Off,
}

/// Whether a version's content is what its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verified {
    /// The id is the hash of what was unpacked.
    #[serde(rename = "yes")]
    Yes,
    /// The id is a hash, but of something else.
    #[serde(rename = "no")]
    No,
    /// The id is no hash, or does not cover all that the archive holds.
    #[serde(rename = "n/a")]
    NotApplicable,
}

impl Verified {
    /// `yes`, `no` or `n/a`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotApplicable => "n/a",
        }
    }
}

/// Facts about a sealed version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The API's origin that the version came from.
    pub origin: String,
    /// `volumes` or `artifacts`, as [`VersionKey::kind`].
    pub kind: String,
    /// The volume's or artifact's id.
    pub storage_id: String,
    /// The version's id.
    pub version_id: String,
    /// Regular files, by name.
    pub file_count: u64,
    /// Bytes that are stored of them: holes are not, and each hard-linked file is
    /// once.
    pub bytes: u64,
    /// Bytes that the service declared.
    pub declared_size: Option<u64>,
    /// Files that the service declared.
    pub declared_files: Option<u64>,
    /// When it was unpacked.
    pub sealed_at: Timestamp,
    /// Bytes of content on disk while it is there: `pack` and blobs.
    pub content_bytes: u64,
    /// Bytes of `tree`.
    pub tree_bytes: u64,
    /// Bytes of the archive as downloaded.
    pub archive_bytes: u64,
    /// The proof of content.
    pub verified: Verified,
    /// Entries of the archive that are not shown (see `unpack`).
    pub skipped: u64,
    /// Of the first of them, which and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// The boot of the machine in which it was sealed before it was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

impl Meta {
    /// Whether this is the version that was looked for.
    pub(super) fn is_of(&self, key: &VersionKey) -> bool {
        *self.origin == *key.origin
            && self.kind == key.kind
            && *self.storage_id == *key.storage_id
            && *self.version_id == *key.version_id
    }
}

impl Meta {
    /// What it is the meta of; `None` where it names a kind that there is not.
    pub(super) fn key(&self) -> Option<VersionKey> {
        let kind = ["volumes", "artifacts"]
            .into_iter()
            .find(|kind| *kind == self.kind)?;
        Some(VersionKey {
            origin: self.origin.as_str().into(),
            kind,
            storage_id: self.storage_id.as_str().into(),
            version_id: self.version_id.as_str().into(),
        })
    }
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

/// The same behind a text.
pub(super) fn push_hex(bytes: &[u8], text: &mut Vec<u8>) {
    // By a table: formatting each byte took a tenth of unpacking small files.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    for byte in bytes {
        text.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}
