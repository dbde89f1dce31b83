//! The proof of content: a version's id recomputed from what was unpacked.
//!
//! `sha256("storage:" + id + "\n" + join("\n", sort(path + ":" + sha256hex)))`
//! over the regular files, sorted as JavaScript sorts strings; without files
//! the join is empty. Source: the service's content hash.

use super::{
    VersionKey,
    build::{ROOT, Sealed},
    format,
    meta::{Verify, hex},
};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;

/// Bytes of paths and digests that are sorted in memory: 2,000,000 files of
/// usual paths. Beyond, a proof would cost more memory than unpacking does.
const TEXT: usize = 256 << 20;

/// A colon and a digest in hexadecimal.
const DIGEST: usize = 65;

/// Digests of a version's files while it is unpacked; switched off as soon as
/// the archive holds what the id does not cover.
pub(super) struct Proof {
    /// By ascending node number. `None`: not applicable.
    digests: Option<Vec<(u32, [u8; 32])>>,
}

impl Proof {
    /// Starts where the id is a SHA-256 at all, and the proof is wanted.
    pub(super) fn new(key: &VersionKey, verify: Verify) -> Self {
        let id = key.version_id.as_bytes();
        let is_hash = id.len() == 64
            && id
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Self {
            digests: (is_hash && verify != Verify::Off).then(Vec::new),
        }
    }

    /// Whether digests are still of use.
    pub(super) fn wanted(&self) -> bool {
        self.digests.is_some()
    }

    /// Something that the id does not cover: a link, a skipped entry.
    pub(super) fn give_up(&mut self) {
        self.digests = None;
    }

    pub(super) fn add(&mut self, node: u32, digest: [u8; 32]) {
        if let Some(digests) = &mut self.digests {
            digests.push((node, digest));
        }
    }

    /// Whether the id is that of the tree; `None` where that cannot be told.
    pub(super) fn check(self, key: &VersionKey, tree: &Sealed) -> Option<bool> {
        let digests = self.digests?;
        // Lines lie one after another: one allocation, not one for each file.
        let mut lines = Vec::with_capacity(digests.len());
        let names = names(tree);
        // Reserved at its length: growing it would take twice the memory.
        let length = digests
            .iter()
            .filter_map(|(node, _)| names.get(*node as usize).copied().flatten())
            .map(|name| path_length(tree, &names, name) + DIGEST)
            .sum::<usize>();
        if length > TEXT {
            return None;
        }
        let mut text = Vec::with_capacity(length);
        for (node, digest) in digests {
            let Some(name) = names.get(node as usize).copied().flatten() else {
                continue;
            };
            let start = text.len();
            push_path(tree, &names, name, &mut text);
            std::str::from_utf8(&text[start..]).ok()?;
            text.push(b':');
            text.extend_from_slice(hex(&digest).as_bytes());
            lines.push((start, text.len()));
        }
        lines.sort_unstable_by(|a, b| utf16_order(&text[a.0..a.1], &text[b.0..b.1]));
        let mut hash = Sha256::new();
        hash.update(format!("storage:{}\n", key.storage_id));
        for (at, (start, end)) in lines.into_iter().enumerate() {
            if at > 0 {
                hash.update(b"\n");
            }
            hash.update(&text[start..end]);
        }
        Some(hex(&hash.finalize()) == *key.version_id)
    }
}

/// The dirent of each node that a name leads to, by position.
fn names(tree: &Sealed) -> Vec<Option<u32>> {
    let mut names = vec![None; tree.nodes.len()];
    for (at, dirent) in tree.dirents.iter().enumerate() {
        if tree.nodes[dirent.node as usize].kind != format::DEAD {
            names[dirent.node as usize] = u32::try_from(at).ok();
        }
    }
    names
}

/// Bytes of what [`push_path`] gives.
fn path_length(tree: &Sealed, names: &[Option<u32>], name: u32) -> usize {
    let mut dirent = &tree.dirents[name as usize];
    let mut length = usize::from(dirent.length);
    while let Some(name) = names[dirent.parent as usize].filter(|_| dirent.parent != ROOT) {
        dirent = &tree.dirents[name as usize];
        length += usize::from(dirent.length) + 1;
    }
    length
}

fn push_path(tree: &Sealed, names: &[Option<u32>], name: u32, text: &mut Vec<u8>) {
    // Depth is bounded by the limits of unpacking.
    let mut way = vec![name];
    let mut dir = tree.dirents[name as usize].parent;
    while dir != ROOT {
        let Some(name) = names[dir as usize] else {
            break;
        };
        way.push(name);
        dir = tree.dirents[name as usize].parent;
    }
    for (at, name) in way.into_iter().rev().enumerate() {
        if at > 0 {
            text.push(b'/');
        }
        text.extend_from_slice(tree.name(&tree.dirents[name as usize]));
    }
}

/// The order of UTF-16 code units, told from UTF-8: that of the bytes, but
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
                assert_eq!(
                    utf16_order(a.as_bytes(), b.as_bytes()),
                    expected,
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
