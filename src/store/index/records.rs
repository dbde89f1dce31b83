//! All records of an index in memory: the builder makes them, the proof of content reads
//! them, and the writer writes them.

use super::{
    format::{self, Record},
    holes::{Map, Pieces},
};

/// No dirent, in [`Dirent::next`].
pub(super) const NONE: u32 = u32::MAX;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Dirent {
    pub(in crate::store) parent: u32,
    /// Where in the arena the name begins.
    pub(in crate::store) name: u32,
    pub(in crate::store) length: u16,
    pub(in crate::store) node: u32,
    /// While an index is built: the next dirent whose (directory, name) has the same
    /// hash.
    pub(super) next: u32,
}

/// All records of an index, dirents sorted by directory and name.
#[derive(Default)]
pub(in crate::store) struct Records {
    pub(in crate::store) nodes: Vec<Record>,
    pub(in crate::store) dirents: Vec<Dirent>,
    pub(in crate::store) arena: Vec<u8>,
    /// Heads and pieces of files with holes, as the format has them.
    pub(in crate::store) pieces: Vec<(u64, u64)>,
    /// Dirents whose names were shortened, by ascending position: where in the
    /// arena the archive's own name is, and its length.
    pub(super) longs: Vec<(u32, u32, u32)>,
}

/// A name in an arena.
pub(super) fn name_of<'a>(arena: &'a [u8], dirent: &Dirent) -> &'a [u8] {
    let start = dirent.name as usize;
    &arena[start..start + usize::from(dirent.length)]
}

impl Records {
    pub(in crate::store) fn name(&self, dirent: &Dirent) -> &[u8] {
        name_of(&self.arena, dirent)
    }

    /// The archive's own name of the dirent at that position.
    pub(in crate::store) fn original(&self, at: usize) -> &[u8] {
        let dirent = &self.dirents[at];
        let long = |(position, _, _): &(u32, u32, u32)| (*position as usize).cmp(&at);
        match self.longs.binary_search_by(long) {
            Ok(found) => {
                let (_, offset, length) = self.longs[found];
                let start = offset as usize;
                let name = self.arena.get(start..start + length as usize);
                name.unwrap_or_default()
            }
            Err(_) => self.name(dirent),
        }
    }

    /// Adds the pieces of a file with holes.
    pub(in crate::store) fn set_holes(&mut self, node: u32, map: &Map) {
        let record = &mut self.nodes[node as usize];
        // `Limits` keeps their number far below u32::MAX.
        record.children = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        self.pieces.push((u64::from(map.count()), map.stored()));
        self.pieces.extend_from_slice(map.pieces());
    }

    /// Bytes that are stored of a file: those of its holes are not.
    pub(in crate::store) fn stored(&self, record: &Record) -> u64 {
        if record.flags & format::HOLES == 0 {
            return record.size;
        }
        let head = self.pieces.get(record.children as usize);
        head.map_or(0, |(_, stored)| *stored)
    }

    pub(in crate::store) fn target(&self, record: &Record) -> &[u8] {
        let start = record.location as usize;
        self.arena
            .get(start..start + record.size as usize)
            .unwrap_or_default()
    }

    /// The node of that name in a directory.
    pub(in crate::store) fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let record = self.nodes.get(dir as usize)?;
        let first = record.location as usize;
        let children = self
            .dirents
            .get(first..first + record.children as usize)
            .filter(|_| record.kind == format::DIRECTORY)?;
        let at = children
            .binary_search_by(|dirent| self.name(dirent).cmp(name))
            .ok()?;
        Some(children[at].node)
    }

    /// How many regular files there are (names, not nodes) and the bytes that are
    /// stored of them (each node once).
    pub(in crate::store) fn files(&self) -> (u64, u64) {
        let is_file = |record: &&Record| record.kind == format::FILE;
        let names = self.nodes.iter().filter(is_file);
        (
            names.map(|record| u64::from(record.nlink)).sum(),
            self.nodes
                .iter()
                .filter(is_file)
                .map(|record| self.stored(record))
                .sum(),
        )
    }
}
