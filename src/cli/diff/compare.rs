//! Compares two versions by their indexes: names, kinds, modes, hashes. Reads no content.

use super::change::{Change, Digest, Entry};
use crate::{
    error::{Error, Result},
    store::{Index, NodeKind},
};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;

/// The number of a version's root.
const ROOT: u32 = 0;

/// All that differs below `within`, a path of the versions, by ascending path. A missing
/// index stands for a version without files.
///
/// # Errors
/// [`Error::Setup`] where neither version has such a path, or an index is damaged.
pub(super) fn compare(
    old: Option<&Index>,
    new: Option<&Index>,
    within: &[u8],
) -> Result<Vec<Change>> {
    let path = normal(within)?;
    let lacks = |index: Option<&Index>| index.is_some_and(Index::lacks_digests);
    if lacks(old) || lacks(new) {
        return Err(Error::Setup(
            "the hashes of a version's files are gone from the cache again; try once more".into(),
        ));
    }
    let root = |index: Option<&Index>| index.and_then(|index| walk(index, &path));
    let (from, to) = (root(old), root(new));
    if from.is_none() && to.is_none() && !path.is_empty() {
        return Err(Error::Setup("is in neither version".into()));
    }
    let mut comparing = Comparing {
        old,
        new,
        path,
        folders: Vec::new(),
        found: Vec::new(),
    };
    let is_whole = comparing.pair(from, to).is_some() && comparing.folders().is_some();
    let is_damaged = |index: Option<&Index>| index.is_some_and(Index::is_damaged);
    match is_whole && !is_damaged(old) && !is_damaged(new) {
        true => Ok(comparing.found),
        false => Err(Error::Setup(
            "the list of names of a version is damaged on the disk; `vm0fs cache verify --fix` \
             drops it, to be fetched again"
                .into(),
        )),
    }
}

/// A path without its `.` and empty components.
fn normal(path: &[u8]) -> Result<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    let parts: Vec<_> = parts
        .filter(|part| !part.is_empty() && **part != b"."[..])
        .collect();
    match parts.contains(&&b".."[..]) {
        true => Err(Error::Setup(
            "`..` cannot be used in it; name a path in the version without".into(),
        )),
        false => Ok(parts.join(&b'/')),
    }
}

fn walk(index: &Index, path: &[u8]) -> Option<u32> {
    let parts = path.split(|byte| *byte == b'/');
    parts
        .filter(|part| !part.is_empty())
        .try_fold(ROOT, |dir, name| index.child(dir, name))
}

/// What a node is to the comparison.
enum Found {
    Nothing,
    Folder(u32),
    Leaf(Entry),
}

/// A folder that is being compared: how far, in both versions.
struct Folder {
    old: Option<Position>,
    new: Option<Position>,
    /// Bytes of its path.
    path: usize,
}

#[derive(Clone, Copy)]
struct Position {
    folder: u32,
    next: u32,
    count: u32,
}

impl Position {
    /// The next entry; `None` behind the last, and `Err` where it is damaged.
    fn peek(self, index: Option<&Index>) -> Result<Option<(&[u8], u32)>, ()> {
        match self.next < self.count {
            false => Ok(None),
            true => index
                .and_then(|index| index.child_at(self.folder, self.next))
                .map(Some)
                .ok_or(()),
        }
    }
}

struct Comparing<'a> {
    old: Option<&'a Index>,
    new: Option<&'a Index>,
    path: Vec<u8>,
    /// From the outermost to the current one. A list, since they can be as deep as paths
    /// are long.
    folders: Vec<Folder>,
    found: Vec<Change>,
}

impl Comparing<'_> {
    /// Compares all folders to their ends; `None` where an index is damaged.
    fn folders(&mut self) -> Option<()> {
        while let Some(folder) = self.folders.last_mut() {
            self.path.truncate(folder.path);
            let peek = |position: Option<Position>, index| {
                position.map_or(Ok(None), |position| position.peek(index))
            };
            let (old, new) = (peek(folder.old, self.old), peek(folder.new, self.new));
            let (old, new) = (old.ok()?, new.ok()?);
            let order = match (old, new) {
                (None, None) => {
                    self.folders.pop();
                    continue;
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let old = old.filter(|_| order.is_le());
            let new = new.filter(|_| order.is_ge());
            for (entry, position) in [(old, &mut folder.old), (new, &mut folder.new)] {
                if let (Some(_), Some(position)) = (entry, position) {
                    position.next += 1;
                }
            }
            let (name, _) = old.or(new)?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            self.pair(old.map(|(_, node)| node), new.map(|(_, node)| node))?;
        }
        Some(())
    }

    /// Compares what has the current path; folders are left for later.
    fn pair(&mut self, old: Option<u32>, new: Option<u32>) -> Option<()> {
        let (old, new) = (look(self.old, old)?, look(self.new, new)?);
        let leaf = |found: &Found| match found {
            Found::Leaf(entry) => Some(*entry),
            _ => None,
        };
        let (before, after) = (leaf(&old), leaf(&new));
        let is_same = match (&before, &after) {
            (Some(a), Some(b)) => a.has_content_of(b) && a.executable == b.executable,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !is_same {
            self.found.push(Change {
                path: self.path.as_slice().into(),
                from: None,
                old: before,
                new: after,
            });
        }
        let position = |found: &Found, index: Option<&Index>| match found {
            Found::Folder(folder) => Some(Position {
                folder: *folder,
                next: 0,
                count: index?.child_count(*folder),
            }),
            _ => None,
        };
        let (old, new) = (position(&old, self.old), position(&new, self.new));
        if old.is_some() || new.is_some() {
            self.folders.push(Folder {
                old,
                new,
                path: self.path.len(),
            });
        }
        Some(())
    }
}

/// Looks a node up; `None` where the index is damaged.
fn look(index: Option<&Index>, node: Option<u32>) -> Option<Found> {
    let (Some(index), Some(node)) = (index, node) else {
        return Some(Found::Nothing);
    };
    let entry = index.node(node)?;
    let digest: Option<Digest> = match entry.kind {
        NodeKind::Directory => return Some(Found::Folder(node)),
        NodeKind::File => index.digest(node),
        NodeKind::Symlink => Some(Sha256::digest(index.target(node)?).into()),
    };
    Some(Found::Leaf(Entry {
        node,
        is_link: entry.kind == NodeKind::Symlink,
        executable: entry.executable,
        size: entry.size,
        digest,
    }))
}
