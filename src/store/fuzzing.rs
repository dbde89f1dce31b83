//! Doors for the fuzz targets `unpack` and `index` (`tests/fuzz`) and for the
//! test that runs their seeds. Each takes bytes that somebody has put into an
//! archive or a file of the cache, and panics where what comes of them breaks a
//! promise.

mod archives;
mod trees;

pub use archives::Unpacker;
pub use trees::Sealed;

use super::VersionKey;

fn key(version_id: &str) -> VersionKey {
    VersionKey {
        origin: "https://api.example".into(),
        kind: "artifacts",
        storage_id: "storage".into(),
        version_id: version_id.into(),
    }
}

/// Whether a directory can hold such a name.
fn is_name(name: &[u8], longest: u32) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= longest as usize
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}
