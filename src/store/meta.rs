//! `meta.json`: facts about a version beside its index, for people and for the quota of
//! the cache.

use super::key::VersionKey;
use crate::text::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fs::File, io::Read};

/// Bytes of a `meta.json` that are read: a genuine one is below a kilobyte.
const LONGEST: u64 = 64 << 10;

/// What is done about the proof of content (`--verify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// A mismatch is logged and shown, not refused.
    #[default]
    Warn,
    /// A mismatch makes the archive unusable.
    Strict,
    /// The content is not held against the id.
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
    /// Bytes of content, which are on disk until it is evicted: `pack` and blobs.
    pub content_bytes: u64,
    /// Bytes of the index, the file `tree`.
    pub tree_bytes: u64,
    /// Bytes of the seek index, the file `seek`; 0 if there is none.
    #[serde(default)]
    pub seek_bytes: u64,
    /// Bytes of the archive as downloaded.
    pub archive_bytes: u64,
    /// The table of the index whose numbers the nodes have kept, in hexadecimal, where the
    /// archive was made anew since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<String>,
    /// The proof of content.
    pub verified: Verified,
    /// Entries of the archive that are not shown (see `unpack`).
    pub skipped: u64,
    /// The first of them, with the reason for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// The boot of the machine in which it was sealed, if it was not synced before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

impl Meta {
    /// Reads a `meta.json`; `None` if it is malformed.
    pub(super) fn read(file: File) -> Option<Self> {
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What the numbers of the version's nodes are of: of its own index, which has this table,
    /// or of the one whose numbers it has kept.
    pub(super) fn numbers_of(&self, table: &[u8; 32]) -> String {
        let kept = self.numbers.clone();
        kept.unwrap_or_else(|| hex(table))
    }

    /// The key of the version; `None` if its kind is unknown.
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
