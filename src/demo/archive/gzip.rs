//! One gzip member in segments: a block that repeats is compressed once and its
//! segment used again.

use super::file::Blocks;
use axum::body::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write as _;

/// The bytes of an archive, as a sequence of shared segments.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    segments: Vec<Bytes>,
    /// Where each segment starts.
    starts: Vec<u64>,
    length: u64,
}

impl Archive {
    /// An archive of exactly `bytes`, which need not be a valid one.
    pub(crate) fn raw(bytes: Bytes) -> Self {
        let mut archive = Self::default();
        archive.push(bytes);
        archive
    }

    fn push(&mut self, segment: Bytes) {
        if !segment.is_empty() {
            self.starts.push(self.length);
            self.length += segment.len() as u64;
            self.segments.push(segment);
        }
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Bytes from `position` on, at most `limit`; empty only at the end.
    pub(crate) fn slice(&self, position: u64, limit: u64) -> Bytes {
        let index = self.starts.partition_point(|&start| start <= position);
        let Some(index) = index.checked_sub(1) else {
            return Bytes::new();
        };
        let segment = &self.segments[index];
        let offset = usize::try_from(position - self.starts[index]).unwrap_or(usize::MAX);
        if offset >= segment.len() {
            return Bytes::new();
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        segment.slice(offset..segment.len().min(offset.saturating_add(limit)))
    }
}

/// Writes one gzip member, segment by segment.
pub(super) struct Gzip {
    archive: Archive,
    encoder: DeflateEncoder<Vec<u8>>,
    crc: Crc,
}

/// gzip's default, and what both producers use.
const LEVEL: u32 = 6;

fn encoder() -> DeflateEncoder<Vec<u8>> {
    DeflateEncoder::new(Vec::new(), Compression::new(LEVEL))
}

impl Gzip {
    pub(super) fn new() -> Self {
        let mut archive = Archive::default();
        // RFC 1952: magic, deflate, no flags, no time, no extra flags, Unix.
        archive.push(Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]));
        Self {
            archive,
            encoder: encoder(),
            crc: Crc::new(),
        }
    }

    pub(super) fn literal(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        // Writing to a Vec does not fail.
        let _ = self.encoder.write_all(bytes);
    }

    /// Ends the segment at a byte boundary, its deflate stream still open.
    fn cut(encoder: &mut DeflateEncoder<Vec<u8>>) -> Bytes {
        let _ = encoder.flush();
        Bytes::from(std::mem::take(encoder.get_mut()))
    }

    /// A block compressed by a fresh encoder refers to no earlier bytes, so its
    /// segment may follow wherever the stream is at a byte boundary.
    pub(super) fn blocks(&mut self, blocks: &Blocks) {
        self.archive.push(Self::cut(&mut self.encoder));
        let compressed: Vec<(Bytes, Crc)> = blocks
            .distinct
            .iter()
            .map(|block| {
                let mut encoder = encoder();
                let _ = encoder.write_all(block);
                let mut crc = Crc::new();
                crc.update(block);
                (Self::cut(&mut encoder), crc)
            })
            .collect();
        for &index in &blocks.order {
            if let Some((segment, crc)) = compressed.get(index as usize) {
                self.archive.push(segment.clone());
                self.crc.combine(crc);
            }
        }
        self.encoder = encoder();
    }

    pub(super) fn finish(mut self) -> Archive {
        let mut last = self.encoder.finish().unwrap_or_default();
        last.extend_from_slice(&self.crc.sum().to_le_bytes());
        last.extend_from_slice(&self.crc.amount().to_le_bytes());
        self.archive.push(Bytes::from(last));
        self.archive
    }
}
