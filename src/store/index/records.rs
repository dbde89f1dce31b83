//! The finished tree of a version, and how it becomes a `tree` file.

use super::{
    builder::Dirent,
    format::{self, Header, Record},
    holes::{Map, Pieces},
};
use crate::store::{checksums::sum, fetch::pack::Packed};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The finished tree, dirents sorted by directory and name.
#[derive(Default)]
pub(in crate::store) struct Sealed {
    pub(in crate::store) nodes: Vec<Record>,
    pub(in crate::store) dirents: Vec<Dirent>,
    pub(in crate::store) arena: Vec<u8>,
    /// Heads and pieces of files with holes, as the format has them.
    pub(in crate::store) pieces: Vec<(u64, u64)>,
    /// Dirents whose names were shortened, by ascending position: where in the
    /// arena the archive's own name is, and its length.
    pub(in crate::store) longs: Vec<(u32, u32, u32)>,
}

/// A name in an arena.
pub(in crate::store) fn name_of<'a>(arena: &'a [u8], dirent: &Dirent) -> &'a [u8] {
    let start = dirent.name as usize;
    &arena[start..start + usize::from(dirent.length)]
}

impl Sealed {
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

    /// Writes down the pieces of a file with holes.
    pub(in crate::store) fn set_holes(&mut self, node: u32, map: &Map) {
        let record = &mut self.nodes[node as usize];
        // Limits keep their number far below what does not fit.
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

    /// The header of the `tree` file, all but the table's checksum.
    fn header(&self, packed: &Packed) -> Header {
        Header {
            nodes: self.nodes.len() as u32,
            dirents: self.dirents.len() as u32,
            arena: self.arena.len() as u64,
            pack: packed.pack,
            blobs: packed.starts.len() as u32,
            sums: packed.sums.len() as u32,
            table: [0; 32],
            pieces: self.pieces.len() as u32,
            longs: self.longs.len() as u32,
        }
    }

    /// Length of the `tree` file.
    pub(in crate::store) fn file_length(&self, packed: &Packed) -> u64 {
        self.header(packed).file_length().unwrap_or(u64::MAX)
    }

    /// Writes what follows the `tree` file's header, which is returned for the
    /// caller to put in front, since it holds a checksum of it.
    pub(in crate::store) fn write_body(
        &self,
        to: &mut impl Write,
        packed: &Packed,
    ) -> io::Result<Header> {
        let header = self.header(packed);
        let [nodes, dirents, words, pieces, longs, arena] =
            header.sections().map(|(_, chunk)| chunk);
        let mut table = Vec::new();
        let mut section = Section::new(to, &mut table, nodes);
        for record in &self.nodes {
            section.put(&record.encode())?;
        }
        section.end()?;
        let mut section = Section::new(to, &mut table, dirents);
        for dirent in &self.dirents {
            let (name, node) = (dirent.name, dirent.node);
            section.put(&format::encode_dirent(name, node, dirent.length))?;
        }
        section.end()?;
        let mut section = Section::new(to, &mut table, words);
        for word in packed.starts.iter().chain(&packed.sums) {
            section.put(&word.to_le_bytes())?;
        }
        section.end()?;
        let mut section = Section::new(to, &mut table, pieces);
        for (first, second) in &self.pieces {
            section.put(&format::encode_piece(*first, *second))?;
        }
        section.end()?;
        let mut section = Section::new(to, &mut table, longs);
        for (position, offset, length) in &self.longs {
            section.put(&format::encode_long(*position, *offset, *length))?;
        }
        section.end()?;
        let mut section = Section::new(to, &mut table, arena);
        for chunk in self.arena.chunks(arena) {
            section.put(chunk)?;
        }
        section.end()?;
        let table: Vec<u8> = table.into_iter().flat_map(u32::to_le_bytes).collect();
        to.write_all(&table)?;
        Ok(Header {
            table: Sha256::digest(&table).into(),
            ..header
        })
    }
}

/// A section of the `tree` file being written, a chunk at a time.
struct Section<'a, W> {
    to: &'a mut W,
    table: &'a mut Vec<u32>,
    chunk: Vec<u8>,
    size: usize,
}

impl<'a, W: Write> Section<'a, W> {
    fn new(to: &'a mut W, table: &'a mut Vec<u32>, size: usize) -> Self {
        Self {
            to,
            table,
            chunk: Vec::with_capacity(size),
            size,
        }
    }

    /// Adds a record, of which so many fill a chunk.
    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(record);
        match self.chunk.len() < self.size {
            true => Ok(()),
            false => self.end(),
        }
    }

    /// Writes the chunk begun.
    fn end(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.table.push(sum(&self.chunk));
            self.to.write_all(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }
}
