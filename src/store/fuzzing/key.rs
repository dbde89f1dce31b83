//! What the targets share: a version's key, and what a name may be.

use crate::store::VersionKey;

/// The key of a version.
pub(super) fn key(version_id: &str) -> VersionKey {
    VersionKey {
        origin: "https://api.example".into(),
        kind: "artifacts",
        storage_id: "storage".into(),
        version_id: version_id.into(),
    }
}

/// Whether a directory can hold such a name.
pub(super) fn is_name(name: &[u8], longest: u32) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= longest as usize
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}
