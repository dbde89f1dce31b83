//! The hashes of files, which an index from the fleet lacks at first.

use super::{
    super::format::{self, DIGEST},
    DIGESTS, Index,
};
use crate::store::checksums::checksum;
use std::sync::atomic::Ordering;

impl Index {
    /// The SHA-256 of a file's content, holes as zeros; `None` if it was not hashed, or if
    /// the index [lacks its digests](Self::lacks_digests).
    pub fn digest(&self, node: u32) -> Option<[u8; DIGEST]> {
        let number = self.digest_number(node).filter(|_| !self.lacks_digests())?;
        self.bytes(DIGESTS, number * DIGEST as u64, DIGEST)?
            .try_into()
            .ok()
    }

    /// Whether a file's content was hashed.
    pub fn is_hashed(&self, node: u32) -> bool {
        self.digest_number(node).is_some()
    }

    /// The number of a file's digest.
    pub(in crate::store) fn digest_number(&self, node: u32) -> Option<u64> {
        let record = self.record(node)?;
        let number = u64::from(record.digest.checked_sub(1)?);
        (record.kind == format::FILE && number < u64::from(self.header.digests)).then_some(number)
    }

    /// Whether the digests of files have stayed with the fleet that the index is from:
    /// [`Store::fetch_digests`](crate::store::Store::fetch_digests) brings them.
    pub fn lacks_digests(&self) -> bool {
        if self.has_digests.load(Ordering::Relaxed) {
            return false;
        }
        // Another process may have brought them.
        let found = self.file.as_ref().and_then(|file| file.metadata().ok());
        let has = found.map(|found| found.len()) == self.header.file_length();
        self.has_digests.fetch_or(has, Ordering::Relaxed);
        !has
    }

    /// Whether these are the digests that the table has the checksums of.
    pub(in crate::store) fn are_digests(&self, bytes: &[u8]) -> bool {
        let section = &self.sections[DIGESTS];
        let table = self.table.get(section.first..).unwrap_or_default();
        bytes.len() as u64 == section.length
            && bytes
                .chunks(section.chunk)
                .map(checksum)
                .eq(table.iter().copied())
    }
}
