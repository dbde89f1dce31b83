//! The proof of content: a version's id recomputed from what was unpacked.
//!
//! `sha256("storage:" + id + "\n" + join("\n", sort(path + ":" + sha256hex)))`
//! over the files; without any the join is empty. Source: the service's content hash.
//!
//! The program that made the archive decides what counts as a file: (1) regular files, a
//! hard link as one more; (2) symlinks too, with the content of the file that they lead
//! to, and all files in linked folders. It also decides how paths are sorted: as
//! JavaScript sorts strings, by UTF-16 code units, or by bytes. All ways are tried.

use crate::store::files::{self, PROVEN};
use crate::store::index::walk::{self, DIGEST, Which};
use crate::store::index::{Records, format};
use crate::store::key::VersionKey;
use crate::store::meta::Verify;
use crate::text::{hex, is_digest, push_hex};
use sha2::{Digest, Sha256};
use std::{cmp::Ordering, fs::File, io::Read, os::unix::fs::FileExt};

/// Maximum size of the paths and digests that are sorted in memory: 2,000,000 files of
/// usual paths. A larger proof would take more memory than unpacking does.
const TEXT: usize = 256 << 20;

/// What is noted of a version that has been looked at.
const YES: &[u8] = b"yes";
const NO: &[u8] = b"no";

/// UTF-8 without this byte and greater ones sorts as UTF-16 does.
const DIFFERS: u8 = 0xee;

/// Maximum size of the holes that are hashed, which takes half a second. Files beyond that
/// have no digest, and the content of their version cannot be proven.
pub(in crate::store) const HASHED_HOLES: u64 = 1 << 30;

/// What is to be proven of a version while it is unpacked.
pub(in crate::store) struct Proof {
    applies: bool,
    /// Whether the id may cover entries that were left out: a mismatch then proves
    /// nothing.
    doubtful: bool,
}

impl Proof {
    /// Starts a proof, if the id has the form of a SHA-256 and `verify` asks for one.
    pub(in crate::store) fn new(key: &VersionKey, verify: Verify) -> Self {
        let id = &key.version_id;
        let is_hash = is_digest(id) && !id.contains(|c: char| c.is_ascii_uppercase());
        Self {
            applies: is_hash && verify != Verify::Off,
            doubtful: false,
        }
    }

    /// Whether there is something to prove.
    pub(in crate::store) fn applies(&self) -> bool {
        self.applies
    }

    /// Notes that an entry was left out that the id may cover.
    pub(in crate::store) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Notes in the directory of a version, for later processes, whether it may be shown under
    /// `strict`. A failure is only logged: each of them looks for itself then.
    pub(in crate::store) fn note(directory: &File, may_be: bool) {
        let text: &[u8] = if may_be { YES } else { NO };
        let write = || files::create(directory, PROVEN)?.write_all_at(text, 0);
        if let Err(error) = write() {
            tracing::debug!(%error, "could not note a proof in the cache");
        }
    }

    /// What was noted; `None` where no process has looked.
    pub(super) fn noted(directory: &File) -> Option<bool> {
        let mut text = Vec::new();
        let file = files::open(directory, PROVEN).ok()?;
        file.take(YES.len() as u64).read_to_end(&mut text).ok()?;
        [(YES, true), (NO, false)]
            .into_iter()
            .find_map(|(known, may_be)| (known == text).then_some(may_be))
    }

    /// Whether the id is the hash of the content; `None` if that cannot be known.
    pub(in crate::store) fn check(&self, key: &VersionKey, records: &Records) -> Option<bool> {
        self.applies.then_some(())?;
        let mut lines = Lines::of(records)?;
        if lines.prove(key) {
            return Some(true);
        }
        let mut doubtful = self.doubtful || !lines.is_text();
        if records
            .nodes
            .iter()
            .any(|node| node.kind == format::SYMLINK)
        {
            doubtful = true;
            if lines.add_linked() && lines.prove(key) {
                return Some(true);
            }
        }
        (!doubtful).then_some(false)
    }
}

/// How many files a version has if symlinks are followed; `None` if that is more than
/// is counted.
pub(in crate::store) fn files_with_links(records: &Records) -> Option<u64> {
    let mut linked = 0;
    let is_whole = walk::files(records, Which::Linked, TEXT, |_, _| linked += 1);
    is_whole.then_some(records.files().0 + linked)
}

/// A line for each file, all in one allocation.
struct Lines<'a> {
    records: &'a Records,
    text: Vec<u8>,
    /// Beginning and end of each.
    lines: Vec<(usize, usize)>,
}

impl<'a> Lines<'a> {
    /// The lines of all regular files; `None` if they are too many, or if one was not
    /// hashed.
    fn of(records: &'a Records) -> Option<Self> {
        // Allocated at its final length: growing it would take twice the memory.
        let mut length = 0;
        walk::files(records, Which::Own, TEXT, |path, _| {
            length += path.len() + DIGEST
        })
        .then_some(())?;
        let mut all = Self {
            records,
            text: Vec::with_capacity(length),
            lines: Vec::with_capacity(records.digests()),
        };
        let mut is_whole = true;
        walk::files(records, Which::Own, TEXT, |path, node| {
            is_whole &= all.add(path, node)
        });
        is_whole.then_some(all)
    }

    /// Adds the line of a file; false if its node has no digest.
    fn add(&mut self, path: &[u8], node: u32) -> bool {
        let Some(digest) = self.records.digest(node) else {
            return false;
        };
        let start = self.text.len();
        self.text.extend_from_slice(path);
        self.text.push(b':');
        push_hex(digest, &mut self.text);
        self.lines.push((start, self.text.len()));
        true
    }

    /// Adds the lines of files that symlinks lead to; false if they are too many.
    fn add_linked(&mut self) -> bool {
        let left = TEXT.saturating_sub(self.text.len());
        walk::files(self.records, Which::Linked, left, |path, node| {
            self.add(path, node);
        })
    }

    /// Whether all names are UTF-8: others have no UTF-16 form.
    fn is_text(&self) -> bool {
        std::str::from_utf8(&self.text).is_ok()
    }

    /// Whether the id is the hash of the lines, sorted in one of both ways.
    fn prove(&mut self, key: &VersionKey) -> bool {
        let Self { text, lines, .. } = self;
        let line = |of: &(usize, usize)| &text[of.0..of.1];
        lines.sort_unstable_by(|a, b| line(a).cmp(line(b)));
        if is_id(key, lines.iter().map(line)) {
            return true;
        }
        // Both orders are the same, and the first is many times as fast.
        if text.iter().all(|byte| *byte < DIFFERS) {
            return false;
        }
        lines.sort_unstable_by(|a, b| utf16_order(line(a), line(b)));
        is_id(key, lines.iter().map(line))
    }
}

/// Whether a version's id is the hash of these lines.
fn is_id<'t>(key: &VersionKey, lines: impl Iterator<Item = &'t [u8]>) -> bool {
    let mut hash = Sha256::new();
    hash.update(format!("storage:{}\n", key.storage_id));
    for (at, line) in lines.enumerate() {
        if at > 0 {
            hash.update(b"\n");
        }
        hash.update(line);
    }
    hex(&hash.finalize()) == *key.version_id
}

/// The order of UTF-16 code units, for texts in UTF-8: that of the bytes, except
/// that U+E000 to U+FFFF (first bytes EE and EF) come after the surrogate
/// pairs (first bytes F0 to F4).
fn utf16_order(a: &[u8], b: &[u8]) -> Ordering {
    let raised = |byte: u8| match byte {
        0xee | 0xef => byte + 0x10,
        byte => byte,
    };
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(at) => raised(a[at]).cmp(&raised(b[at])),
        None => a.len().cmp(&b.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_utf16() {
        let words = [
            "",
            "a",
            "a:b",
            "ab",
            "é",
            "\u{d7ff}",
            "\u{e000}",
            "\u{ffff}",
            "\u{10000}",
            "\u{10ffff}",
            "a\u{fffd}",
            "a\u{1f600}",
            "a\u{1f601}",
        ];
        for a in words {
            for b in words {
                let expected = a.encode_utf16().cmp(b.encode_utf16());
                let (a, b) = (a.as_bytes(), b.as_bytes());
                assert_eq!(utf16_order(a, b), expected, "{a:?} {b:?}");
                if a.iter().chain(b).all(|byte| *byte < DIFFERS) {
                    assert_eq!(a.cmp(b), expected, "{a:?} {b:?}");
                }
            }
        }
    }
}
