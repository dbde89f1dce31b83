//! Writes the records of an index to its file.

use super::{
    format::{self, HEADER, Header},
    records::Records,
};
use crate::store::checksums::{Packed, checksum};
use crate::store::crash::crash_point;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
};

/// Bytes buffered for one write.
const BUFFER: usize = 1 << 20;

impl Records {
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
        }
    }

    /// Length of the file.
    pub(in crate::store) fn file_length(&self, packed: &Packed) -> u64 {
        self.header(packed).file_length().unwrap_or(u64::MAX)
    }

    /// Writes the whole index to an empty file.
    ///
    /// # Errors
    /// What the kernel says.
    pub(in crate::store) fn write(&self, mut file: &File, packed: &Packed) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        writer.write_all(&[0; HEADER])?;
        let header = self.write_body(&mut writer, packed)?;
        writer.flush()?;
        drop(writer);
        crash_point("tree-half-written");
        file.rewind()?;
        file.write_all(&header.encode())
    }

    /// Writes what follows the header. Returns the header, which holds a checksum of it.
    fn write_body(&self, to: &mut impl Write, packed: &Packed) -> io::Result<Header> {
        let header = self.header(packed);
        let [nodes, dirents, words, pieces, longs, arena] =
            header.sections().map(|(_, chunk)| chunk);
        let mut writer = Sections {
            to,
            table: Vec::new(),
        };
        writer.put(nodes, self.nodes.iter().map(format::Record::encode))?;
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
        let Sections { to, table } = writer;
        let table: Vec<u8> = table.into_iter().flat_map(u32::to_le_bytes).collect();
        to.write_all(&table)?;
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
