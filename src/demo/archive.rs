//! Makes the `tar.gz` archives that the service's producers make, and the
//! version ids that belong to them.
//!
//! A content made of repeated blocks is compressed block by block, each once, and
//! joined, so that an archive of gigabytes costs neither time nor memory.

mod file;
mod gzip;
mod headers;
mod listing;

pub use file::{File, Maker};
pub(crate) use gzip::Archive;
pub(crate) use listing::{Listed, listed};

use super::digest::{hex, sha256_hex};
use file::Body;
use gzip::Gzip;

/// The id of a version of storage `storage_id` with `files`, as the service
/// computes it: over `path:sha256` lines in JavaScript's string order. Links are
/// followed, as all producers of archives do.
pub fn version_id(storage_id: &str, files: &[File]) -> String {
    id_of(storage_id, &listed(files, Maker::Sandbox))
}

/// The version id of files that have been listed already.
pub(crate) fn id_of(storage_id: &str, listed: &[Listed<'_>]) -> String {
    let mut lines: Vec<String> = listed
        .iter()
        .map(|(path, file)| format!("{path}:{}", hex(&file.sha256())))
        .collect();
    if lines.iter().all(|line| line.is_ascii()) {
        // ASCII sorts the same by bytes, and faster.
        lines.sort_unstable();
    } else {
        lines.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    }
    sha256_hex(format!("storage:{storage_id}\n{}", lines.join("\n")))
}

impl Archive {
    /// The `tar.gz` of `files`, as `maker` makes it: one gzip member, level 6.
    pub(crate) fn pack(files: &[File], maker: Maker) -> Self {
        let mut gzip = Gzip::new();
        let mut written = 0;
        for header in listing::entries(files, maker) {
            let head = header.bytes(maker);
            gzip.literal(&head);
            written += head.len() as u64 + header.size.next_multiple_of(BLOCK);
            if let Some(file) = header.content {
                match &file.body {
                    Body::Blocks(blocks) => gzip.blocks(blocks),
                    _ => file.parts().for_each(|part| gzip.literal(part)),
                }
            }
            let padding = header.size.next_multiple_of(BLOCK) - header.size;
            gzip.literal(&[0; BLOCK as usize][..padding as usize]);
        }
        // Two empty blocks end a tar archive; GNU tar fills its record.
        let end = match maker {
            Maker::Sandbox => (written + 2 * BLOCK).next_multiple_of(RECORD) - written,
            Maker::NodeTar | Maker::RustTar => 2 * BLOCK,
        };
        gzip.literal(&vec![0; end as usize]);
        gzip.finish()
    }
}

/// The unit of tar, and the twenty of them that GNU tar writes at a time.
const BLOCK: u64 = 512;
const RECORD: u64 = 20 * BLOCK;

#[cfg(test)]
mod tests;
