//! Checksums of what is written, block by block, in the pass that writes it.
//!
//! CRC-32, in hardware: it finds every change of up to 32 bits in a row and all
//! others but one in four billion, at many times the speed of reading. It guards
//! against accidents. Against a program that makes matching content on purpose stand
//! the folder's mode (0700) and the proof of content.

use crc32fast::Hasher;

/// Bytes of content that share one checksum; the last block of a file may be shorter.
/// One read of the kernel is two blocks, beside which a checksum costs nothing.
pub(super) const BLOCK: usize = 64 << 10;

/// How many blocks so many bytes of content have.
pub(super) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK as u64)
}

/// The checksum of one block.
pub(super) fn checksum(block: &[u8]) -> u32 {
    crc32fast::hash(block)
}

/// The checksum of so many zeros.
pub(super) fn of_zeros(length: u64) -> u32 {
    // A CRC begins and ends with all bits inverted; zeros alone only move it on.
    let mut sum = Hasher::new_with_initial(u32::MAX);
    sum.combine(&Hasher::new_with_initial_len(0, length));
    !sum.finalize()
}

/// The checksum of bytes that come piece by piece.
#[derive(Default)]
pub(super) struct Checksum(Hasher);

impl Checksum {
    pub(super) fn add(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Adds so many bytes that have this checksum.
    pub(super) fn append(&mut self, sum: u32, length: u64) {
        self.0.combine(&Hasher::new_with_initial_len(sum, length));
    }

    /// Adds zeros.
    pub(super) fn zeros(&mut self, length: u64) {
        self.append(of_zeros(length), length);
    }

    /// That of all bytes since the last call.
    pub(super) fn take(&mut self) -> u32 {
        std::mem::take(&mut self.0).finalize()
    }
}

/// The checksums of one file of content so far.
#[derive(Default)]
struct FileChecksums {
    sums: Vec<u32>,
    /// The current block, and how many bytes of it have come.
    current: Checksum,
    filled: usize,
}

impl FileChecksums {
    fn add(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(BLOCK - self.filled));
            self.current.add(now);
            self.filled += now.len();
            if self.filled == BLOCK {
                self.close();
            }
            data = rest;
        }
    }

    fn close(&mut self) {
        self.sums.push(self.current.take());
        self.filled = 0;
    }

    /// The checksums of all blocks, a last one that is not full included.
    fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.close();
        }
        self.sums
    }
}

/// The checksums of a version's content while it is written.
#[derive(Default)]
pub(super) struct Checksums {
    pack: FileChecksums,
    pack_length: u64,
    /// The current blob.
    blob: Option<FileChecksums>,
    /// For each blob, the number of its first checksum among those of blobs.
    starts: Vec<u32>,
    blobs: Vec<u32>,
    content: u64,
}

/// A version's content as the index describes it.
pub(super) struct Packed {
    /// Length of `pack`.
    pub(super) pack: u64,
    /// For each `blob-N` the number of its first checksum.
    pub(super) starts: Vec<u32>,
    /// Checksums of all blocks, those of `pack` first.
    pub(super) sums: Vec<u32>,
    /// Bytes of `pack` and all blobs.
    pub(super) content: u64,
}

impl Checksums {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Bytes of the `pack` so far.
    pub(super) fn pack_length(&self) -> u64 {
        self.pack_length
    }

    /// Begins the next blob, which ends with [`Self::end`]; returns its number.
    pub(super) fn begin_blob(&mut self) -> u32 {
        self.blob = Some(FileChecksums::default());
        number(self.starts.len())
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        self.content += data.len() as u64;
        match &mut self.blob {
            Some(blob) => blob.add(data),
            None => {
                self.pack_length += data.len() as u64;
                self.pack.add(data);
            }
        }
    }

    /// Ends the current blob, if there is one.
    pub(super) fn end(&mut self) {
        if let Some(blob) = self.blob.take() {
            self.starts.push(number(self.blobs.len()));
            self.blobs.extend(blob.finish());
        }
    }

    /// Lengths and checksums, as the index stores them.
    pub(super) fn finish(self) -> Packed {
        let mut sums = self.pack.finish();
        let first = number(sums.len());
        let starts = self.starts.into_iter();
        let starts = starts.map(|start| start.saturating_add(first)).collect();
        sums.extend(self.blobs);
        Packed {
            pack: self.pack_length,
            starts,
            sums,
            content: self.content,
        }
    }
}

/// Saturates, which no disk is large enough for: 2^32 blocks are 256 TiB.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_a_file_do_not_depend_on_how_its_bytes_are_cut() {
        let bytes: Vec<u8> = (0..200_000_u64).map(|n| ((n * n) >> 7) as u8).collect();
        let expected: Vec<u32> = bytes.chunks(BLOCK).map(checksum).collect();
        for piece in [1000, BLOCK - 1, BLOCK, BLOCK + 1, bytes.len()] {
            let mut summing = FileChecksums::default();
            bytes.chunks(piece).for_each(|piece| summing.add(piece));
            assert_eq!(summing.finish(), expected, "{piece}");
        }
    }

    #[test]
    fn sums_of_parts_make_that_of_the_whole() {
        let bytes: Vec<u8> = (0..5000_u64).map(|n| ((n * n) >> 7) as u8).collect();
        for cut in [0, 1, 63, 4096, bytes.len()] {
            let (first, rest) = bytes.split_at(cut);
            let mut sum = Checksum::default();
            sum.append(checksum(first), first.len() as u64);
            sum.add(&[]);
            sum.append(checksum(rest), rest.len() as u64);
            assert_eq!(sum.take(), checksum(&bytes), "{cut}");
            sum.add(first);
            sum.zeros(rest.len() as u64);
            let zeroed = [first, &vec![0; rest.len()]].concat();
            assert_eq!(sum.take(), checksum(&zeroed), "{cut}");
            assert_eq!(of_zeros(cut as u64), checksum(&vec![0; cut]), "{cut}");
        }
    }

    #[test]
    fn blobs_come_after_the_pack() {
        let mut sums = Checksums::new();
        sums.add(b"small");
        for length in [BLOCK + 1, 2 * BLOCK] {
            sums.begin_blob();
            sums.add(&vec![length as u8; length]);
            sums.end();
            sums.add(b"more");
        }
        let Packed { starts, sums, .. } = sums.finish();
        assert_eq!((starts, sums.len()), (vec![1, 3], 5));
        assert_eq!(sums[0], checksum(b"smallmoremore"));
        assert_eq!(sums[2], checksum(&[(BLOCK + 1) as u8]));
    }
}
