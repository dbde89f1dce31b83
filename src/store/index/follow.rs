//! What a version's symlinks lead to inside of it, as a program finds that walks the
//! version and follows them: files, and all that is in linked folders.

use super::{
    format::{self, ROOT},
    records::Records,
};

/// Links followed for one path: the kernel's own limit (`MAXSYMLINKS`).
const LINKS: u32 = 40;
/// Names looked at for a whole version: links that lead to one another's folders can
/// multiply without end.
const STEPS: u64 = 5_000_000;

/// A file that a symlink leads to, or that is in a folder that one leads to.
pub(in crate::store) struct Linked<'a> {
    /// Its path by way of the link.
    pub(in crate::store) path: &'a [u8],
    pub(in crate::store) node: u32,
}

/// Calls `tell` for each file that symlinks lead to. Returns whether that was all of
/// them, within so many `bytes` of paths. A link is not followed if it leads back to a
/// folder that it is in, nowhere, or out.
pub(in crate::store) fn walk(
    records: &Records,
    bytes: usize,
    tell: impl FnMut(Linked<'_>),
) -> bool {
    let mut walk = Walk {
        records,
        path: Vec::new(),
        way: vec![ROOT],
        links: 0,
        steps: STEPS,
        bytes,
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
    tell: T,
}

/// A folder being walked: the position in it, and what to undo after it.
struct Level {
    next: usize,
    end: usize,
    path: usize,
    by_link: bool,
}

impl<T: FnMut(Linked<'_>)> Walk<'_, T> {
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
            let (node, by_link) = match kind {
                format::SYMLINK => match self.resolve(dirent.parent, dirent.node)? {
                    Some(node) => (node, true),
                    None => {
                        self.path.truncate(start);
                        continue;
                    }
                },
                _ => (dirent.node, false),
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
            if kind == format::FILE && (by_link || self.links > 0) {
                self.bytes = self.bytes.checked_sub(self.path.len() + 65)?;
                (self.tell)(Linked {
                    path: &self.path,
                    node,
                });
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

    /// The node that a symlink in a folder leads to. The outer `None` means that finding
    /// it out takes too many steps.
    fn resolve(&mut self, dir: u32, link: u32) -> Option<Option<u32>> {
        let records = self.records;
        let target = |node: u32| {
            records
                .nodes
                .get(node as usize)
                .map(|node| records.target(node))
        };
        // Rests of targets still to walk, the innermost last.
        let mut rests = vec![target(link)?];
        let (mut links, mut current) = (1, dir);
        while let Some(rest) = rests.pop() {
            self.steps = self.steps.checked_sub(1)?;
            if rest.starts_with(b"/") {
                return Some(None);
            }
            let (name, rest) = match rest.iter().position(|&byte| byte == b'/') {
                Some(slash) => (&rest[..slash], behind_slashes(&rest[slash..])),
                None => (rest, &rest[rest.len()..]),
            };
            if !rest.is_empty() {
                rests.push(rest);
            }
            let record = records.nodes.get(current as usize)?;
            if record.kind != format::DIRECTORY {
                return Some(None);
            }
            let found = match name {
                b"" | b"." => Some(current),
                b".." if current == ROOT => None,
                b".." => Some(record.parent),
                name => records.child(current, name),
            };
            let Some(found) = found else {
                return Some(None);
            };
            if records.nodes.get(found as usize)?.kind == format::SYMLINK {
                links += 1;
                if links > LINKS {
                    return Some(None);
                }
                rests.push(target(found)?);
            } else {
                current = found;
            }
        }
        Some(Some(current))
    }
}

/// What follows the slashes that it begins with.
fn behind_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&byte| byte != b'/');
    &path[start.unwrap_or(path.len())..]
}
