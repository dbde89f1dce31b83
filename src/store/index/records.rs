//! All records of an index in memory: the builder makes them, the proof of content reads
//! them, and they are written to the index file.

use super::{
    format::{self, HEADER, Header, Record},
    holes::{Map, Pieces},
};
use crate::store::checksums::{Packed, checksum};
use crate::store::crash::crash_point;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
};

/// Bytes buffered for one write.
const BUFFER: usize = 1 << 20;

/// A SHA-256.
pub(in crate::store) type Digest = [u8; format::DIGEST];

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
    /// The SHA-256 of files, by ascending node.
    pub(super) digests: Vec<Digest>,
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

    /// The SHA-256 of a file's content, if it was hashed.
    pub(in crate::store) fn digest(&self, node: u32) -> Option<&Digest> {
        let number = self.nodes.get(node as usize)?.digest.checked_sub(1)?;
        self.digests.get(number as usize)
    }

    /// How many files have a digest.
    pub(in crate::store) fn digests(&self) -> usize {
        self.digests.len()
    }

    /// Keeps the digests that `of` finds, for files alone, numbered anew.
    pub(super) fn set_digests(&mut self, of: impl Fn(u32, &Record) -> Option<Digest>) {
        self.digests.clear();
        for (record, node) in self.nodes.iter_mut().zip(0..) {
            let digest = (record.kind == format::FILE).then(|| of(node, record));
            record.digest = 0;
            if let Some(digest) = digest.flatten() {
                self.digests.push(digest);
                // No more than there are nodes.
                record.digest = self.digests.len() as u32;
            }
        }
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

    /// What is in a directory, by name; nothing for other nodes.
    pub(super) fn children(&self, dir: u32) -> &[Dirent] {
        let record = self.nodes.get(dir as usize);
        let record = record.filter(|record| record.kind == format::DIRECTORY);
        let span = record.map(|record| {
            let first = record.location as usize;
            first..first + record.children as usize
        });
        let found = span.and_then(|span| self.dirents.get(span));
        found.unwrap_or_default()
    }

    /// The node of that name in a directory.
    pub(in crate::store) fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let children = self.children(dir);
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

    /// The header, all but the table's checksum.
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
            digests: self.digests.len() as u32,
        }
    }

    /// Length of the file.
    pub(in crate::store) fn file_length(&self, packed: &Packed) -> u64 {
        self.header(packed).file_length().unwrap_or(u64::MAX)
    }

    /// Writes the whole index to an empty file; returns its header.
    ///
    /// # Errors
    /// What the kernel says.
    pub(in crate::store) fn write(&self, mut file: &File, packed: &Packed) -> io::Result<Header> {
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        writer.write_all(&[0; HEADER])?;
        let header = self.write_body(&mut writer, packed)?;
        writer.flush()?;
        drop(writer);
        crash_point("tree-half-written");
        file.rewind()?;
        file.write_all(&header.encode())?;
        Ok(header)
    }

    /// What tells the index from others, as its header has it.
    pub(super) fn table(&self, packed: &Packed) -> Option<[u8; 32]> {
        let header = self.write_body(&mut io::sink(), packed).ok()?;
        Some(header.table)
    }

    /// Writes what follows the header. Returns the header, which holds a checksum of it.
    fn write_body(&self, to: &mut impl Write, packed: &Packed) -> io::Result<Header> {
        let header = self.header(packed);
        let [nodes, dirents, words, pieces, longs, arena, digests] =
            header.sections().map(|(_, chunk)| chunk);
        let mut writer = Sections {
            to,
            table: Vec::new(),
        };
        writer.put(nodes, self.nodes.iter().map(Record::encode))?;
        let all = self.dirents.iter();
        writer.put(
            dirents,
            all.map(|dirent| format::encode_dirent(dirent.name, dirent.node, dirent.length)),
        )?;
        let all = packed.starts.iter().chain(&packed.sums);
        writer.put(words, all.map(|word| word.to_le_bytes()))?;
        let all = self.pieces.iter();
        writer.put(
            pieces,
            all.map(|(first, second)| format::encode_piece(*first, *second)),
        )?;
        let all = self.longs.iter();
        writer.put(
            longs,
            all.map(|(at, offset, length)| format::encode_long(*at, *offset, *length)),
        )?;
        writer.put(arena, self.arena.chunks(arena))?;
        let Sections { to, mut table } = writer;
        let all = self.digests.as_flattened();
        table.extend(all.chunks(digests).map(checksum));
        let table: Vec<u8> = table.into_iter().flat_map(u32::to_le_bytes).collect();
        to.write_all(&table)?;
        to.write_all(all)?;
        Ok(Header {
            table: Sha256::digest(&table).into(),
            ..header
        })
    }
}

/// Writes one section after another, and notes the checksum of each chunk.
struct Sections<'a, W> {
    to: &'a mut W,
    table: Vec<u32>,
}

impl<W: Write> Sections<'_, W> {
    /// Writes a section of these records in chunks of `size` bytes.
    fn put<R: AsRef<[u8]>>(
        &mut self,
        size: usize,
        records: impl Iterator<Item = R>,
    ) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(size);
        for record in records {
            chunk.extend_from_slice(record.as_ref());
            if chunk.len() >= size {
                self.end(&mut chunk)?;
            }
        }
        self.end(&mut chunk)
    }

    /// Writes the current chunk.
    fn end(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        if !chunk.is_empty() {
            self.table.push(checksum(chunk));
            self.to.write_all(chunk)?;
            chunk.clear();
        }
        Ok(())
    }
}
