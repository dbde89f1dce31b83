//! Walks the files of a version: its own ones, or those that symlinks lead to, as a
//! program finds them that follows links. A linked folder leads to all files in it.

use super::{
    follow::{End, follow},
    format::{self, ROOT},
    records::Records,
};

/// Bytes of a digest in the text of a proof: a colon and hexadecimal digits.
pub(in crate::store) const DIGEST: usize = 65;
/// Names looked at for a whole version: links that lead to one another's folders can
/// multiply without end.
const STEPS: u64 = 5_000_000;

/// Which files are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Which {
    /// Those of the version, hard links as often as they have names.
    Own,
    /// Each that a symlink leads to, or that is in a folder that one leads to, by its
    /// path through the link. A link is not followed if it leads back to a folder that
    /// it is in, nowhere, or out.
    Linked,
}

/// Calls `tell` with path and node of each file. Returns whether that was all of them,
/// within so many `bytes` of paths and digests.
pub(in crate::store) fn files(
    records: &Records,
    which: Which,
    bytes: usize,
    tell: impl FnMut(&[u8], u32),
) -> bool {
    let mut walk = Walk {
        records,
        path: Vec::new(),
        way: vec![ROOT],
        links: 0,
        steps: STEPS,
        bytes,
        follow: which == Which::Linked,
        tell,
    };
    walk.directory(ROOT).is_some()
}

struct Walk<'a, T> {
    records: &'a Records,
    path: Vec<u8>,
    /// The folders from the root to the current one.
    way: Vec<u32>,
    /// How many of them were entered by a link.
    links: u32,
    steps: u64,
    bytes: usize,
    /// Whether to follow links, and tell of linked files only.
    follow: bool,
    tell: T,
}

/// A folder being walked: the position in it, and what to undo after it.
struct Level {
    next: usize,
    end: usize,
    path: usize,
    by_link: bool,
}

impl<T: FnMut(&[u8], u32)> Walk<'_, T> {
    /// `None` if there is too much to walk.
    fn directory(&mut self, root: u32) -> Option<()> {
        let mut levels = vec![self.level(root, false)];
        while let Some(level) = levels.last_mut() {
            if level.next == level.end {
                self.path.truncate(level.path);
                self.links -= u32::from(level.by_link);
                self.way.pop();
                levels.pop();
                continue;
            }
            let at = level.next;
            level.next += 1;
            self.steps = self.steps.checked_sub(1)?;
            let dirent = self.records.dirents.get(at)?;
            let (start, name) = (self.path.len(), self.records.original(at));
            self.path.extend_from_slice(name);
            let kind = self.records.nodes.get(dirent.node as usize)?.kind;
            let by_link = kind == format::SYMLINK;
            let end = match by_link {
                true if self.follow => {
                    follow(self.records, dirent.parent, dirent.node, &mut self.steps)?
                }
                true => End::Nothing,
                false => End::Node(dirent.node),
            };
            let End::Node(node) = end else {
                self.path.truncate(start);
                continue;
            };
            let kind = self.records.nodes.get(node as usize)?.kind;
            if kind == format::DIRECTORY && !self.way.contains(&node) {
                self.path.push(b'/');
                self.way.push(node);
                self.links += u32::from(by_link);
                let mut level = self.level(node, by_link);
                level.path = start;
                levels.push(level);
                continue;
            }
            if kind == format::FILE && self.follow == (by_link || self.links > 0) {
                self.bytes = self.bytes.checked_sub(self.path.len() + DIGEST)?;
                (self.tell)(&self.path, node);
            }
            self.path.truncate(start);
        }
        Some(())
    }

    fn level(&self, node: u32, by_link: bool) -> Level {
        let record = self.records.nodes.get(node as usize);
        let (first, count) = record.map_or((0, 0), |record| (record.location, record.children));
        Level {
            next: first as usize,
            end: first as usize + count as usize,
            path: 0,
            by_link,
        }
    }
}
