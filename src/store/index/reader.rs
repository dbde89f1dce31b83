//! Reads the index of a sealed version. A chunk of the file is read, and its checksum
//! verified, when it is first needed. No byte is trusted: what contradicts
//! the rest reads as absent.
//!
//! The file is not mapped: a program that changes it cannot change what has been
//! verified, and a program that cuts it cannot end this process.
//! A small file is read whole at open, and is found damaged there or never, but for digests
//! that come later. In a large one a chunk can turn out damaged in the middle of an
//! operation, whose answer must then be thrown away ([`Index::is_damaged`]).

mod digests;

use super::{
    format::{self, DIRENT, HEADER, Header, LONG, NODE, PIECE, Record, WORD},
    holes::Pieces,
    node::{Node, node_of},
};
use crate::store::checksums::{blocks, checksum};
use sha2::{Digest, Sha256};
use std::{
    cmp::Ordering,
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        OnceLock,
        atomic::{self, AtomicBool, AtomicU64},
    },
};

/// Files up to this length are read at open: 4 MiB are some 50,000 entries and
/// take a millisecond. For a million entries, opening reads the 5 KB of checksums.
const WHOLE: u64 = 4 << 20;

/// Whether a directory can hold such a name (`NAME_MAX` of Linux).
fn is_component(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= 255
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Binary search in `count` sorted records: `look` compares one with what is searched
/// for, and returns what it has; `None` where it is damaged.
fn search<T>(count: u32, mut look: impl FnMut(u32) -> Option<(Ordering, T)>) -> Option<T> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match look(middle)? {
            (Ordering::Less, _) => low = middle + 1,
            (Ordering::Greater, _) => high = middle,
            (Ordering::Equal, found) => return Some(found),
        }
    }
    None
}

/// Where a file's content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Location {
    /// At this offset of `pack`.
    Pack(u64),
    /// The file `blob-N`.
    Blob(u32),
}

/// The positions of the sections.
const NODES: usize = 0;
const DIRENTS: usize = 1;
const WORDS: usize = 2;
const PIECES: usize = 3;
const LONGS: usize = 4;
const ARENA: usize = 5;
const DIGESTS: usize = 6;

/// A run of records of one kind.
#[derive(Clone, Copy, Debug)]
struct Section {
    /// Where it begins in the file.
    start: u64,
    length: u64,
    /// Bytes of its chunks.
    chunk: usize,
    /// The number of its first chunk.
    first: usize,
}

/// The bytes of a chunk, read when first needed; `None` if they are damaged.
type Chunk = OnceLock<Option<Box<[u8]>>>;

/// The names and attributes of everything in one version. The root is node 0;
/// the others are numbered in the order of the archive that was unpacked first.
#[derive(Debug)]
pub struct Index {
    /// Closed once all of it has been read.
    file: Option<File>,
    header: Header,
    /// Whether the file has been seen with its digests.
    has_digests: AtomicBool,
    /// Nodes, dirents, starts and sums, pieces, long names, arena, digests.
    sections: [Section; 7],
    table: Vec<u32>,
    chunks: Vec<Chunk>,
    damaged: AtomicBool,
    /// Bytes of chunks in memory.
    loaded: AtomicU64,
}

impl Index {
    /// Opens an index file; `None` if it is cut or damaged.
    pub(in crate::store) fn open(file: File) -> Option<Self> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        let header = Header::decode(&header)?;
        // No content is longer than what its checksums cover: a sparse `pack` could
        // have any length, and a reader counts its blocks.
        (blocks(header.pack) <= u64::from(header.sums)).then_some(())?;
        let length = header.file_length()?;
        let without_digests = header.digests_at()?;
        // No more memory is taken than the file has bytes on disk.
        let found = file.metadata().ok()?.len();
        // Another process may be at work on them, or have been.
        let has_digests = found == length;
        (without_digests..=length).contains(&found).then_some(())?;
        (header.digests <= header.nodes).then_some(())?;
        let count = usize::try_from(header.chunks()?).ok()?;
        let mut table = vec![0; count.checked_mul(WORD)?];
        let start = without_digests.checked_sub(table.len() as u64)?;
        file.read_exact_at(&mut table, start).ok()?;
        (*Sha256::digest(&table) == header.table).then_some(())?;
        let table: Option<Vec<u32>> = (0..count)
            .map(|n| format::u32_at(&table, n * WORD))
            .collect();
        let (mut start, mut first) = (HEADER as u64, 0);
        let mut sections = header.sections().map(|(length, chunk)| {
            let section = Section {
                start,
                length,
                chunk,
                first,
            };
            start += length;
            first += length.div_ceil(chunk as u64) as usize;
            section
        });
        let [.., digests] = &mut sections;
        digests.start = without_digests;
        let mut index = Self {
            file: Some(file),
            header,
            has_digests: AtomicBool::new(has_digests),
            sections,
            table: table?,
            chunks: std::iter::repeat_with(Chunk::new).take(count).collect(),
            damaged: AtomicBool::new(false),
            loaded: AtomicU64::new(0),
        };
        if length <= WHOLE {
            let read = |section: &Section, chunk| index.chunk(section, chunk).is_some();
            index.all_chunks(read).then_some(())?;
            index.file = index.file.filter(|_| !has_digests);
        }
        (index.record(0)?.kind == format::DIRECTORY).then_some(index)
    }

    /// Reads the whole index; whether every chunk has its checksum. Keeps nothing of it:
    /// memory for a large one costs more than reading it.
    pub(in crate::store) fn verify(&self) -> bool {
        let mut bytes = Vec::new();
        let is_whole = self.file.is_none()
            || self.all_chunks(|section, chunk| self.read(section, chunk, &mut bytes).is_some());
        self.damaged.fetch_or(!is_whole, atomic::Ordering::Relaxed);
        is_whole
    }

    /// Of all that the file has.
    fn all_chunks(&self, mut is_good: impl FnMut(&Section, usize) -> bool) -> bool {
        let sections = match self.lacks_digests() {
            true => &self.sections[..DIGESTS],
            false => &self.sections[..],
        };
        sections.iter().all(|section| {
            let chunks = section.length.div_ceil(section.chunk as u64);
            (0..chunks).all(|chunk| is_good(section, chunk as usize))
        })
    }

    /// Whether a lookup has met a damaged part: names that were found absent since then
    /// may exist.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(atomic::Ordering::Relaxed)
    }

    /// Bytes of the index that are in memory.
    pub(in crate::store) fn loaded(&self) -> u64 {
        self.loaded.load(atomic::Ordering::Relaxed)
    }

    /// A chunk of a section, read if it is not in memory yet.
    fn chunk(&self, section: &Section, number: usize) -> Option<&[u8]> {
        let at = section.first + number;
        let chunk = self.chunks.get(at)?.get_or_init(|| {
            let mut bytes = Vec::new();
            self.read(section, number, &mut bytes)?;
            self.loaded
                .fetch_add(bytes.len() as u64, atomic::Ordering::Relaxed);
            Some(bytes.into_boxed_slice())
        });
        if chunk.is_none() {
            self.damaged.store(true, atomic::Ordering::Relaxed);
        }
        chunk.as_deref()
    }

    /// Reads a chunk of a section from the file; `None` if it is damaged.
    fn read(&self, section: &Section, number: usize, bytes: &mut Vec<u8>) -> Option<()> {
        let offset = number as u64 * section.chunk as u64;
        let left = section.length.checked_sub(offset)?;
        let length = usize::try_from(left).map_or(section.chunk, |n| n.min(section.chunk));
        bytes.resize(length, 0);
        let file = self.file.as_ref()?;
        file.read_exact_at(bytes, section.start + offset).ok()?;
        (self.table.get(section.first + number) == Some(&checksum(bytes))).then_some(())
    }

    /// Bytes of a section; `None` if they lie outside of it, or in two chunks, which the
    /// writer avoids.
    fn bytes(&self, section: usize, offset: u64, length: usize) -> Option<&[u8]> {
        let section = &self.sections[section];
        (offset.checked_add(length as u64)? <= section.length).then_some(())?;
        let chunk = section.chunk as u64;
        let within = (offset % chunk) as usize;
        if length == 0 {
            return Some(&[]);
        }
        self.chunk(section, usize::try_from(offset / chunk).ok()?)?
            .get(within..within.checked_add(length)?)
    }

    /// How many node numbers there are, the root included. Some may be unused.
    pub fn len(&self) -> u32 {
        self.header.nodes
    }

    /// Never true: there is always a root.
    pub fn is_empty(&self) -> bool {
        self.header.nodes == 0
    }

    /// A node's attributes; `None` if the node does not exist.
    pub fn node(&self, node: u32) -> Option<Node> {
        let record = self.record(node)?;
        node_of(&record, self.stored(&record)?)
    }

    /// The node of that name in a directory.
    pub fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        let (first, count) = self.span(dir)?;
        search(count, |position| {
            let (found, node) = self.dirent(dir, first + u64::from(position))?;
            Some((found.cmp(name), node))
        })
    }

    /// How many entries a directory has; 0 for other nodes.
    pub fn child_count(&self, dir: u32) -> u32 {
        self.span(dir).map_or(0, |(_, count)| count)
    }

    /// A directory's entry by position, in the order of the names' bytes;
    /// `None` if it is damaged.
    pub fn child_at(&self, dir: u32, position: u32) -> Option<(&[u8], u32)> {
        let (first, count) = self.span(dir)?;
        (position < count)
            .then(|| self.dirent(dir, first + u64::from(position)))
            .flatten()
            .filter(|(name, _)| is_component(name))
    }

    /// A symlink's target, as the archive gave it.
    pub fn target(&self, node: u32) -> Option<&[u8]> {
        let record = self.record(node)?;
        (record.kind == format::SYMLINK)
            .then(|| self.arena(record.location, record.size))
            .flatten()
    }

    /// The archive's own name of a directory's entry, if it was shortened.
    pub fn original(&self, dir: u32, position: u32) -> Option<&[u8]> {
        let (first, count) = self.span(dir)?;
        if self.header.longs == 0 || position >= count {
            return None;
        }
        let wanted = first + u64::from(position);
        let (offset, length) = search(self.header.longs, |number| {
            let at = u64::from(number) * LONG as u64;
            let (found, offset, length) = format::decode_long(self.bytes(LONGS, at, LONG)?)?;
            Some((u64::from(found).cmp(&wanted), (offset, length)))
        })?;
        self.arena(u64::from(offset), u64::from(length))
    }

    /// How many names were shortened.
    pub fn shortened(&self) -> u32 {
        self.header.longs
    }

    /// Bytes that are stored of a file.
    fn stored(&self, record: &Record) -> Option<u64> {
        match record.kind == format::FILE && record.flags & format::HOLES != 0 {
            true => Some(self.head(record)?.1),
            false => Some(record.size),
        }
    }

    /// How many pieces a file with holes has, and how many bytes they are.
    fn head(&self, record: &Record) -> Option<(u32, u64)> {
        let (count, stored) = self.pair(u64::from(record.children))?;
        let end = count.checked_add(u64::from(record.children))?;
        (end < u64::from(self.header.pieces) && stored <= record.size).then_some(())?;
        Some((u32::try_from(count).ok()?, stored))
    }

    /// A head or a piece.
    fn pair(&self, number: u64) -> Option<(u64, u64)> {
        format::decode_piece(self.bytes(PIECES, number.checked_mul(PIECE as u64)?, PIECE)?)
    }

    /// The pieces of a file, if it has holes.
    pub(in crate::store) fn holes(&self, node: u32) -> Option<Holes> {
        let record = self.record(node)?;
        (record.kind == format::FILE && record.flags & format::HOLES != 0).then_some(())?;
        let (count, stored) = self.head(&record)?;
        Some(Holes {
            first: u64::from(record.children) + 1,
            count,
            stored,
            size: record.size,
        })
    }

    /// Where a file's content lies, and how many bytes are stored of it.
    pub(in crate::store) fn location(&self, node: u32) -> Option<(Location, u64)> {
        let record = self.record(node)?;
        if record.kind != format::FILE {
            return None;
        }
        let stored = self.stored(&record)?;
        let location = if record.flags & format::BLOB != 0 {
            let blob = u32::try_from(record.location).ok()?;
            let end = self.first_block(blob)?.checked_add(blocks(stored))?;
            (end <= u64::from(self.header.sums)).then_some(Location::Blob(blob))?
        } else {
            let end = record.location.checked_add(stored)?;
            (end <= self.header.pack).then_some(Location::Pack(record.location))?
        };
        Some((location, stored))
    }

    /// Whether a node that has just been read of another archive is the one that this has under
    /// this number, as far as kind and size tell.
    pub(super) fn is_alike(&self, record: &Record, number: u32) -> bool {
        self.record(number).is_some_and(|found| {
            let has_size = record.kind != format::DIRECTORY;
            found.kind == record.kind && (found.size == record.size || !has_size)
        })
    }

    /// The lengths of all sections, and those of the version's content.
    pub(in crate::store) fn header(&self) -> &Header {
        &self.header
    }

    /// The checksum of a block of content.
    pub(in crate::store) fn checksum(&self, block: u64) -> Option<u32> {
        (block < u64::from(self.header.sums)).then_some(())?;
        self.word(u64::from(self.header.blobs) + block)
    }

    /// The number of a blob's first block.
    pub(in crate::store) fn first_block(&self, blob: u32) -> Option<u64> {
        (blob < self.header.blobs).then_some(())?;
        self.word(u64::from(blob)).map(u64::from)
    }

    /// The numbers of the blocks of a part (0: the pack; n + 1: blob n).
    pub(in crate::store) fn blocks_of(&self, part: usize) -> Option<Range<u64>> {
        let part = u32::try_from(part).ok()?;
        let first = |part: u32| match part {
            0 => Some(0),
            part if part - 1 == self.header.blobs => Some(u64::from(self.header.sums)),
            part => self.first_block(part - 1),
        };
        (part <= self.header.blobs).then_some(())?;
        Some(first(part)?..first(part + 1)?)
    }

    fn word(&self, number: u64) -> Option<u32> {
        format::u32_at(self.bytes(WORDS, number * WORD as u64, WORD)?, 0)
    }

    pub(in crate::store) fn record(&self, node: u32) -> Option<Record> {
        Record::decode(self.bytes(NODES, u64::from(node) * NODE as u64, NODE)?)
    }

    /// A directory's first dirent and their number.
    fn span(&self, dir: u32) -> Option<(u64, u32)> {
        let record = self.record(dir)?;
        let end = record.location.checked_add(u64::from(record.children))?;
        (record.kind == format::DIRECTORY && end <= u64::from(self.header.dirents))
            .then_some((record.location, record.children))
    }

    fn dirent(&self, dir: u32, position: u64) -> Option<(&[u8], u32)> {
        let bytes = self.bytes(DIRENTS, position.checked_mul(DIRENT as u64)?, DIRENT)?;
        let (name, length, node) = format::decode_dirent(bytes)?;
        // A directory has a lower number than its entries: no walk can go in circles.
        (node > dir || self.record(node)?.kind != format::DIRECTORY).then_some(())?;
        Some((self.arena(u64::from(name), u64::from(length))?, node))
    }

    fn arena(&self, offset: u64, length: u64) -> Option<&[u8]> {
        self.bytes(ARENA, offset, usize::try_from(length).ok()?)
    }
}

/// Which pieces are those of a file with holes.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Holes {
    first: u64,
    count: u32,
    stored: u64,
    size: u64,
}

impl Holes {
    /// The pieces themselves, in the index that they are of.
    pub(in crate::store) fn of(self, index: &Index) -> HolesOf<'_> {
        HolesOf { index, holes: self }
    }

    /// Bytes of the file, holes included.
    pub(in crate::store) fn size(self) -> u64 {
        self.size
    }
}

/// The pieces of a file with holes.
pub(in crate::store) struct HolesOf<'a> {
    index: &'a Index,
    holes: Holes,
}

impl Pieces for HolesOf<'_> {
    fn size(&self) -> u64 {
        self.holes.size
    }

    fn stored(&self) -> u64 {
        self.holes.stored
    }

    fn count(&self) -> u32 {
        self.holes.count
    }

    fn piece(&self, number: u32) -> Option<(u64, u64)> {
        self.index.pair(self.holes.first + u64::from(number))
    }
}
