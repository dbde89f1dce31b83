//! Checksums of what is written, block by block, in the pass that writes it.
//!
//! CRC-32, in hardware: it finds every change of up to 32 bits in a row and all
//! others but one in four billion, at many times the speed of reading. It is
//! against accidents; that nobody makes matching content on purpose is what
//! the folder's mode (0700) and the proof of content are for.

use crate::store::index::format::BLOCK;

/// The checksum of one block.
pub(super) fn sum(block: &[u8]) -> u32 {
    crc32fast::hash(block)
}

/// The checksums of one file of content so far.
struct Summing {
    sums: Vec<u32>,
    /// The block at work, and how many bytes of it have come.
    current: crc32fast::Hasher,
    filled: usize,
}

impl Summing {
    fn new() -> Self {
        Self {
            sums: Vec::new(),
            current: crc32fast::Hasher::new(),
            filled: 0,
        }
    }

    fn add(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(BLOCK - self.filled));
            self.current.update(now);
            self.filled += now.len();
            if self.filled == BLOCK {
                self.close();
            }
            data = rest;
        }
    }

    fn close(&mut self) {
        self.sums.push(std::mem::take(&mut self.current).finalize());
        self.filled = 0;
    }

    /// All of them, with that of a last block that is not full.
    fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.close();
        }
        self.sums
    }
}

/// The checksums of a version's content while it is written.
pub(super) struct Sums {
    pack: Summing,
    large: Option<Summing>,
    /// For each blob, the number of its first sum among those of blobs.
    starts: Vec<u32>,
    blobs: Vec<u32>,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self {
            pack: Summing::new(),
            large: None,
            starts: Vec::new(),
            blobs: Vec::new(),
        }
    }

    /// From now on, until [`Self::end`], comes a blob.
    pub(super) fn begin_blob(&mut self) {
        self.large = Some(Summing::new());
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        self.current().add(data);
    }

    fn current(&mut self) -> &mut Summing {
        self.large.as_mut().unwrap_or(&mut self.pack)
    }

    /// The file has ended.
    pub(super) fn end(&mut self) {
        if let Some(large) = self.large.take() {
            self.starts.push(number(self.blobs.len()));
            self.blobs.extend(large.finish());
        }
    }

    /// The starts of the blobs and all sums, as a `tree` file has them.
    pub(super) fn finish(self) -> (Vec<u32>, Vec<u32>) {
        let mut sums = self.pack.finish();
        let first = number(sums.len());
        let starts = self.starts.into_iter();
        let starts = starts.map(|start| start.saturating_add(first)).collect();
        sums.extend(self.blobs);
        (starts, sums)
    }
}

/// There is no disk on which this matters: 2^32 blocks are 256 TiB.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_comes() {
        let bytes: Vec<u8> = (0..200_000_u64).map(|n| ((n * n) >> 7) as u8).collect();
        let expected: Vec<u32> = bytes.chunks(BLOCK).map(sum).collect();
        for piece in [1000, BLOCK - 1, BLOCK, BLOCK + 1, bytes.len()] {
            let mut summing = Summing::new();
            bytes.chunks(piece).for_each(|piece| summing.add(piece));
            assert_eq!(summing.finish(), expected, "{piece}");
        }
    }

    #[test]
    fn blobs_come_after_the_pack() {
        let mut sums = Sums::new();
        sums.add(b"small");
        for length in [BLOCK + 1, 2 * BLOCK] {
            sums.begin_blob();
            sums.add(&vec![length as u8; length]);
            sums.end();
            sums.add(b"more");
        }
        let (starts, sums) = sums.finish();
        assert_eq!((starts, sums.len()), (vec![1, 3], 5));
        assert_eq!(sums[0], sum(b"smallmoremore"));
        assert_eq!(sums[2], sum(&[(BLOCK + 1) as u8]));
    }
}
