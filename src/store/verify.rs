//! The proof of content: a version's id recomputed from what was unpacked.
//!
//! `sha256("storage:" + id + "\n" + join("\n", sort(path + ":" + sha256hex)))`
//! over the regular files, sorted as JavaScript sorts strings; without files
//! the join is empty. Source: the service's content hash.

use super::{
    VersionKey,
    build::{Dirent, ROOT, Sealed},
    format,
    meta::{Verify, hex, push_hex},
};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;

/// Bytes of paths and digests that are sorted in memory: 2,000,000 files of
/// usual paths. Beyond, a proof would cost more memory than unpacking does.
const TEXT: usize = 256 << 20;

/// Without such a byte or a greater, UTF-8 is in the order of UTF-16.
const DIFFERS: u8 = 0xee;

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
    pub(super) fn check(&self, key: &VersionKey, tree: &Sealed) -> Option<bool> {
        let digests = self.digests.as_ref()?;
        // Lines lie one after another: one allocation, not one for each file.
        let mut lines = Vec::with_capacity(digests.len());
        let mut paths = Paths::of(tree);
        // Reserved at its length: growing it would take twice the memory.
        let length: usize = digests
            .iter()
            .filter_map(|(node, _)| {
                let (prefix, name) = paths.find(*node)?;
                Some(prefix.len() + name.len() + DIGEST)
            })
            .sum();
        if length > TEXT {
            return None;
        }
        let mut text = Vec::with_capacity(length);
        for (node, digest) in digests {
            let Some((prefix, name)) = paths.find(*node) else {
                continue;
            };
            let start = text.len();
            text.extend_from_slice(prefix);
            text.extend_from_slice(name);
            std::str::from_utf8(&text[start..]).ok()?;
            text.push(b':');
            push_hex(digest, &mut text);
            lines.push((start, text.len()));
        }
        let line = |of: &(usize, usize)| &text[of.0..of.1];
        if text.iter().any(|byte| *byte >= DIFFERS) {
            lines.sort_unstable_by(|a, b| utf16_order(line(a), line(b)));
        } else {
            // The same order, many times as fast.
            lines.sort_unstable_by(|a, b| line(a).cmp(line(b)));
        }
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

/// The paths of a tree's nodes.
struct Paths<'a> {
    tree: &'a Sealed,
    /// The dirent of each node that a name leads to, by position.
    names: Vec<Option<u32>>,
    /// The directory last asked for, and its path with a slash: most files
    /// come after one of the same directory.
    dir: u32,
    prefix: Vec<u8>,
}

impl<'a> Paths<'a> {
    fn of(tree: &'a Sealed) -> Self {
        let mut names = vec![None; tree.nodes.len()];
        for (at, dirent) in tree.dirents.iter().enumerate() {
            if tree.nodes[dirent.node as usize].kind != format::DEAD {
                names[dirent.node as usize] = u32::try_from(at).ok();
            }
        }
        Self {
            tree,
            names,
            dir: ROOT,
            prefix: Vec::new(),
        }
    }

    fn dirent(&self, node: u32) -> Option<&'a Dirent> {
        let name = *self.names.get(node as usize)?;
        self.tree.dirents.get(name? as usize)
    }

    /// The path of a node in two parts; `None` where no name leads to it.
    fn find(&mut self, node: u32) -> Option<(&[u8], &'a [u8])> {
        let dirent = self.dirent(node)?;
        if dirent.parent != self.dir {
            self.enter(dirent.parent);
        }
        Some((&self.prefix, self.tree.name(dirent)))
    }

    fn enter(&mut self, dir: u32) {
        // Depth is bounded by the limits of unpacking.
        let mut way = Vec::new();
        let mut above = dir;
        while let Some(dirent) = self.dirent(above).filter(|_| above != ROOT) {
            way.push(self.tree.name(dirent));
            above = dirent.parent;
        }
        self.prefix.clear();
        for name in way.into_iter().rev() {
            self.prefix.extend_from_slice(name);
            self.prefix.push(b'/');
        }
        self.dir = dir;
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
                let (a, b) = (a.as_bytes(), b.as_bytes());
                assert_eq!(utf16_order(a, b), expected, "{a:?} {b:?}");
                if a.iter().chain(b).all(|byte| *byte < DIFFERS) {
                    assert_eq!(a.cmp(b), expected, "{a:?} {b:?}");
                }
            }
        }
    }
}
