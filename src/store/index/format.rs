//! The format of the index, the file `tree`.
//!
//! `header · node records · dirent records · starts and sums · pieces · long names
//! · arena · table · digests`, little-endian, no padding between. A change of anything here
//! must raise [`VERSION`]; a test pins the bytes.
//!
//! Starts and sums: 4 bytes for each blob, the number of its first sum, then
//! 4 bytes for each block of content, those of the pack first: its CRC-32
//! ([`crate::store::checksums`]).
//!
//! Pieces: of each file with holes a head (how many pieces follow, and how many
//! bytes they are together), then each piece: where it begins in the file, and
//! where among the bytes that are stored. Its length is told by the next one.
//!
//! Long names: the position of a dirent whose name was shortened, and where in the
//! arena the archive's own is; by ascending position.
//!
//! Digests: the SHA-256 of each file whose content was hashed, holes as zeros, by
//! ascending node. Nothing else of a version compresses as badly, and few readers ask for
//! them: a file whose index has come from the fleet ends before them until one does.
//!
//! The table has a CRC-32 for each chunk of each other section, of the digests last
//! ([`NODES`] and so on: no record lies in two chunks), so that a part of a large file can
//! be trusted without reading the whole. The header has a checksum of the table.

use sha2::{Digest, Sha256};

/// First bytes of the file. The newline shows a transfer in text mode.
pub(in crate::store) const MAGIC: [u8; 8] = *b"vm0tree\n";
/// Raised by every change of the format: an older file is then a miss.
pub(in crate::store) const VERSION: u32 = 5;

/// magic 8 · version 4 · zero 4 · nodes 4 · dirents 4 · arena 8 · pack 8 ·
/// blobs 4 · sums 4 · sha256 of the table 32 · pieces 4 · long names 4 · digests 4 ·
/// zero 4 · sha256 of the above 32.
pub(in crate::store) const HEADER: usize = 128;
/// mtime seconds 8 · size 8 · location 8 · mtime nanoseconds 4 · nlink 4 ·
/// parent 4 · children 4 · kind 1 · flags 1 · zero 2 · digest 4.
pub(in crate::store) const NODE: usize = 48;
/// Name offset 4 · node 4 · name length 2 · zero 2.
pub(in crate::store) const DIRENT: usize = 12;

/// A head or a piece of a file with holes: two numbers of 8 bytes.
pub(super) const PIECE: usize = 16;
/// A long name: dirent 4 · offset in the arena 4 · length 4.
pub(super) const LONG: usize = 12;

/// The SHA-256 of a file.
pub(in crate::store) const DIGEST: usize = 32;

/// One start or sum.
pub(in crate::store) const WORD: usize = 4;

/// Bytes of a chunk of each section: whole records, some 64 KiB.
pub(super) const NODES: usize = (64 << 10) / NODE * NODE;
pub(super) const DIRENTS: usize = (64 << 10) / DIRENT * DIRENT;
pub(in crate::store) const WORDS: usize = 64 << 10;
pub(super) const PIECES: usize = 64 << 10;
pub(super) const LONGS: usize = (64 << 10) / LONG * LONG;
pub(super) const DIGESTS: usize = 64 << 10;
/// … and of the arena, in which no name lies over the end of one.
pub(super) const ARENA: usize = 64 << 10;

/// The number of the root.
pub(in crate::store) const ROOT: u32 = 0;

/// A node that no name leads to any more (a later entry took its place).
pub(super) const DEAD: u8 = 0;
pub(in crate::store) const DIRECTORY: u8 = 1;
pub(in crate::store) const FILE: u8 = 2;
pub(in crate::store) const SYMLINK: u8 = 3;

pub(in crate::store) const EXECUTABLE: u8 = 1;
/// A symlink that leads out of its version.
pub(super) const ESCAPES: u8 = 2;
/// The content is `blob-<location>`, else it starts at `location` in `pack`.
pub(in crate::store) const BLOB: u8 = 4;
/// A file with holes: its pieces begin with the head of the number `children`.
pub(super) const HOLES: u8 = 8;

/// What the header says of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Header {
    pub(in crate::store) nodes: u32,
    pub(in crate::store) dirents: u32,
    pub(in crate::store) arena: u64,
    /// Length of the `pack` that belongs to this index.
    pub(in crate::store) pack: u64,
    /// How many `blob-N` belong to it, numbered from 0.
    pub(in crate::store) blobs: u32,
    /// How many checksums of content there are.
    pub(in crate::store) sums: u32,
    pub(in crate::store) table: [u8; 32],
    /// How many heads and pieces of files with holes there are.
    pub(in crate::store) pieces: u32,
    /// How many names were shortened.
    pub(in crate::store) longs: u32,
    /// How many files have a digest.
    pub(in crate::store) digests: u32,
}

impl Header {
    pub(in crate::store) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.nodes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dirents.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.arena.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.pack.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.blobs.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.sums.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.table);
        bytes[80..84].copy_from_slice(&self.pieces.to_le_bytes());
        bytes[84..88].copy_from_slice(&self.longs.to_le_bytes());
        bytes[88..92].copy_from_slice(&self.digests.to_le_bytes());
        let checksum: [u8; 32] = Sha256::digest(&bytes[..96]).into();
        bytes[96..].copy_from_slice(&checksum);
        bytes
    }

    /// The header, where magic, version and checksum are right.
    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let checksum: [u8; 32] = Sha256::digest(&bytes[..96]).into();
        (bytes[..8] == MAGIC && u32_at(bytes, 8)? == VERSION && bytes[96..] == checksum).then_some(
            Self {
                nodes: u32_at(bytes, 16)?,
                dirents: u32_at(bytes, 20)?,
                arena: u64_at(bytes, 24)?,
                pack: u64_at(bytes, 32)?,
                blobs: u32_at(bytes, 40)?,
                sums: u32_at(bytes, 44)?,
                table: bytes[48..80].try_into().ok()?,
                pieces: u32_at(bytes, 80)?,
                longs: u32_at(bytes, 84)?,
                digests: u32_at(bytes, 88)?,
            },
        )
    }

    /// The sections with the length of each and that of its chunks; those before the table,
    /// and then the digests.
    pub(in crate::store) fn sections(&self) -> [(u64, usize); 7] {
        let words = u64::from(self.blobs) + u64::from(self.sums);
        [
            (u64::from(self.nodes) * NODE as u64, NODES),
            (u64::from(self.dirents) * DIRENT as u64, DIRENTS),
            (words * WORD as u64, WORDS),
            (u64::from(self.pieces) * PIECE as u64, PIECES),
            (u64::from(self.longs) * LONG as u64, LONGS),
            (self.arena, ARENA),
            (self.digests_length(), DIGESTS),
        ]
    }

    /// How many entries the table has, where that can be expressed.
    pub(in crate::store) fn chunks(&self) -> Option<u64> {
        self.sections()
            .into_iter()
            .try_fold(0_u64, |sum, (length, chunk)| {
                sum.checked_add(length.div_ceil(chunk as u64))
            })
    }

    /// Bytes of the digests, which end the file.
    pub(in crate::store) fn digests_length(&self) -> u64 {
        u64::from(self.digests) * DIGEST as u64
    }

    /// Where the digests begin, and a file without them ends.
    pub(in crate::store) fn digests_at(&self) -> Option<u64> {
        self.file_length()?.checked_sub(self.digests_length())
    }

    /// Length of the whole file, where it can be expressed.
    pub(in crate::store) fn file_length(&self) -> Option<u64> {
        self.sections()
            .into_iter()
            .try_fold(HEADER as u64, |sum, (length, _)| sum.checked_add(length))?
            .checked_add(self.chunks()?.checked_mul(WORD as u64)?)
    }
}

/// One node record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Record {
    pub(in crate::store) mtime: (i64, u32),
    /// Of a file: bytes of content, holes included. Of a symlink: bytes of its target.
    pub(in crate::store) size: u64,
    /// Of a file: see [`BLOB`]. Of a symlink: the target's offset in the
    /// arena. Of a directory: its first dirent.
    pub(in crate::store) location: u64,
    pub(in crate::store) nlink: u32,
    pub(in crate::store) parent: u32,
    /// Of a directory: how many dirents it has. Of a file: see [`HOLES`].
    pub(in crate::store) children: u32,
    pub(in crate::store) kind: u8,
    pub(in crate::store) flags: u8,
    /// Of a file: the number of its digest plus one; 0 if it has none.
    pub(in crate::store) digest: u32,
}

impl Record {
    pub(in crate::store) fn encode(&self) -> [u8; NODE] {
        let mut bytes = [0; NODE];
        bytes[..8].copy_from_slice(&self.mtime.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.location.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.mtime.1.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.nlink.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.parent.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.children.to_le_bytes());
        bytes[40] = self.kind;
        bytes[41] = self.flags;
        bytes[44..].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            mtime: (
                i64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
                u32_at(bytes, 24)?,
            ),
            size: u64_at(bytes, 8)?,
            location: u64_at(bytes, 16)?,
            nlink: u32_at(bytes, 28)?,
            parent: u32_at(bytes, 32)?,
            children: u32_at(bytes, 36)?,
            kind: *bytes.get(40)?,
            flags: *bytes.get(41)?,
            digest: u32_at(bytes, 44)?,
        })
    }
}

/// One dirent record.
pub(super) fn encode_dirent(name: u32, node: u32, length: u16) -> [u8; DIRENT] {
    let mut bytes = [0; DIRENT];
    bytes[..4].copy_from_slice(&name.to_le_bytes());
    bytes[4..8].copy_from_slice(&node.to_le_bytes());
    bytes[8..10].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Name offset, name length and node of a dirent record.
pub(super) fn decode_dirent(bytes: &[u8]) -> Option<(u32, u16, u32)> {
    let length = u16::from_le_bytes(bytes.get(8..10)?.try_into().ok()?);
    Some((u32_at(bytes, 0)?, length, u32_at(bytes, 4)?))
}

/// One head or piece of a file with holes.
pub(super) fn encode_piece(first: u64, second: u64) -> [u8; PIECE] {
    let mut bytes = [0; PIECE];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}

/// One long name.
pub(super) fn encode_long(dirent: u32, offset: u32, length: u32) -> [u8; LONG] {
    let mut bytes = [0; LONG];
    bytes[..4].copy_from_slice(&dirent.to_le_bytes());
    bytes[4..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Both numbers of a head or piece.
pub(super) fn decode_piece(bytes: &[u8]) -> Option<(u64, u64)> {
    Some((u64_at(bytes, 0)?, u64_at(bytes, 8)?))
}

/// Dirent, offset in the arena and length of a long name.
pub(super) fn decode_long(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    Some((u32_at(bytes, 0)?, u32_at(bytes, 4)?, u32_at(bytes, 8)?))
}

/// The number at an offset of bytes that have not been checked.
pub(in crate::store) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..)?.get(..4)?.try_into().ok()?,
    ))
}

pub(in crate::store) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..)?.get(..8)?.try_into().ok()?,
    ))
}
