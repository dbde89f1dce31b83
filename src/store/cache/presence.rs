//! Which blocks of a version's content are on disk while not all of them are: the file
//! `present`. It is there from the first block on until the last one has come.
//!
//! `charged 8 · one byte a block`, little-endian; a block's byte is 1 once the block is
//! in its file. A byte and not a bit, since several processes fill one version: none
//! takes back what another has noted. Nothing in it is trusted: a block is held against
//! its checksum before it is read.

use crate::store::files::{self, PRESENT};
use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

/// Bytes before the blocks: how much content the quota counts.
const HEAD: u64 = 8;

/// The file `present` of a version.
#[derive(Debug)]
pub(in crate::store) struct Presence {
    file: File,
    /// How many blocks the content has.
    blocks: u64,
}

impl Presence {
    /// Opens that of a version whose content has so many blocks; `None` where all of the
    /// content, or none of it, is on disk.
    ///
    /// # Errors
    /// What the kernel says, but for a missing file.
    pub(super) fn open(directory: &File, blocks: u64) -> io::Result<Option<Self>> {
        match files::open_to_write(directory, PRESENT) {
            Ok(file) => Ok(Some(Self { file, blocks })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes that of a version of which no block is on disk.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn create(directory: &File, blocks: u64, charged: u64) -> io::Result<Self> {
        let file = files::create(directory, PRESENT)?;
        // Where an earlier attempt has left it.
        file.set_len(0)?;
        file.set_len(HEAD + blocks)?;
        let presence = Self { file, blocks };
        presence.charge(charged)?;
        Ok(presence)
    }

    /// Whether a block is on disk.
    pub(super) fn has(&self, block: u64) -> bool {
        let mut byte = [0];
        let read = self.file.read_exact_at(&mut byte, HEAD + block);
        read.is_ok() && byte == [1]
    }

    /// Notes that blocks are on disk.
    pub(super) fn add(&self, blocks: Range<u64>) -> io::Result<()> {
        let bytes = vec![1; (blocks.end - blocks.start) as usize];
        self.file.write_all_at(&bytes, HEAD + blocks.start)
    }

    /// Those of some blocks that are not on disk.
    pub(in crate::store) fn absent(&self, blocks: Range<u64>) -> Vec<u64> {
        let blocks = blocks.start..blocks.end.min(self.blocks);
        let mut bytes = vec![0; blocks.end.saturating_sub(blocks.start) as usize];
        // What cannot be read counts as absent.
        let _ = self.file.read_exact_at(&mut bytes, HEAD + blocks.start);
        let both = blocks.zip(bytes);
        both.filter(|(_, byte)| *byte != 1)
            .map(|(block, _)| block)
            .collect()
    }

    /// All blocks.
    pub(in crate::store) fn all(&self) -> Range<u64> {
        0..self.blocks
    }

    /// Sets how many bytes of content the quota counts. The caller holds the cache's
    /// lock.
    pub(super) fn charge(&self, bytes: u64) -> io::Result<()> {
        self.file.write_all_at(&bytes.to_le_bytes(), 0)
    }

    /// Bytes of content that the quota counts.
    pub(super) fn charged(&self) -> u64 {
        charged(&self.file).unwrap_or(0)
    }
}

/// Bytes of content that the quota counts by an open `present`.
pub(super) fn charged(file: &File) -> io::Result<u64> {
    let mut bytes = [0; HEAD as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_le_bytes(bytes))
}
