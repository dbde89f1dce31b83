//! Where the content of files lies in the tar stream.
//!
//! One sequence in the archive's order, of gaps and lengths: 4 bytes a file. The part
//! that holds a file's content follows from it: large files are blobs, numbered in
//! order; all others lie in the pack one after another.

use super::varint;
use crate::store::files::BLOB_SIZE;
use std::{iter, ops::Range};

/// Extents between two marks: as many are decoded to find one.
const STEP: u64 = 64;

/// Bytes of content that lie together both in the tar stream and in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Extent {
    /// 0: the pack; n + 1: blob n.
    pub(in crate::store) part: usize,
    /// Offset in the part.
    pub(in crate::store) at: u64,
    /// Offset in the tar stream.
    pub(in crate::store) tar: u64,
    pub(in crate::store) length: u64,
}

impl Extent {
    /// What of it lies in `range`, in which it begins at `at`.
    fn within(&self, range: &Range<u64>, at: u64) -> Option<Self> {
        let from = range.start.saturating_sub(at);
        let to = range.end.saturating_sub(at).min(self.length);
        (from < to).then(|| Self {
            part: self.part,
            at: self.at + from,
            tar: self.tar + from,
            length: to - from,
        })
    }
}

/// All extents of a version, encoded.
#[derive(Debug, Default)]
pub(in crate::store) struct Extents {
    /// For each extent two numbers: the bytes of tar before it, and its length.
    bytes: Vec<u8>,
    /// The position of each [`STEP`]th extent.
    marks: Vec<Position>,
    end: Position,
}

/// A position between two extents.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// In the encoded bytes.
    byte: usize,
    /// Extents before it.
    count: u64,
    /// Where the extent before it ends in the tar stream.
    tar: u64,
    /// Bytes of the pack before it.
    pack: u64,
    /// Blobs before it.
    blobs: usize,
}

impl Position {
    /// The extent that follows, of which the gap before and the length are known;
    /// `None` if its end cannot be expressed.
    fn pass(&mut self, gap: u64, length: u64) -> Option<Extent> {
        let tar = self.tar.checked_add(gap)?;
        self.tar = tar.checked_add(length)?;
        self.count += 1;
        let (part, at) = if length < BLOB_SIZE {
            self.pack += length;
            (0, self.pack - length)
        } else {
            self.blobs += 1;
            (self.blobs, 0)
        };
        Some(Extent {
            part,
            at,
            tar,
            length,
        })
    }
}

impl Extents {
    /// Adds the content of the next file: where it begins in the tar stream, and its
    /// length. Empty files have none.
    pub(in crate::store) fn push(&mut self, tar: u64, length: u64) {
        let Some(gap) = tar.checked_sub(self.end.tar).filter(|_| length > 0) else {
            return;
        };
        varint::put(&mut self.bytes, gap);
        varint::put(&mut self.bytes, length);
        // Positions of the stream have been counted: they can be expressed.
        let _ = self.passed(gap, length);
        self.end.byte = self.bytes.len();
    }

    /// Moves the end behind an extent whose encoded bytes are there.
    fn passed(&mut self, gap: u64, length: u64) -> Option<()> {
        if self.end.count.is_multiple_of(STEP) {
            self.marks.push(self.end);
        }
        self.end.pass(gap, length).map(drop)
    }

    /// Bytes as [`Self::bytes`] gives them, if all of them are extents.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut extents = Self::default();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (gap, length) = (varint::take(&mut rest)?, varint::take(&mut rest)?);
            extents.passed(gap, length).filter(|()| length > 0)?;
            extents.end.byte = bytes.len() - rest.len();
        }
        Some(Self { bytes, ..extents })
    }

    /// The encoded extents.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length of the pack, number of blobs, and where the last extent ends in the tar
    /// stream.
    pub(super) fn totals(&self) -> (u64, usize, u64) {
        (self.end.pack, self.end.blobs, self.end.tar)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.marks.len() * size_of::<Position>()
    }

    /// The extents from the last mark on that `is_before`, each with the position
    /// before it.
    fn from(
        &self,
        is_before: impl Fn(&Position) -> bool,
    ) -> impl Iterator<Item = (Extent, Position)> {
        let at = self.marks.partition_point(is_before).saturating_sub(1);
        let mut position = self.marks.get(at).copied().unwrap_or(self.end);
        iter::from_fn(move || {
            let mut rest = self.bytes.get(position.byte..)?;
            let (gap, length) = (varint::take(&mut rest)?, varint::take(&mut rest)?);
            let before = position;
            let extent = position.pass(gap, length)?;
            position.byte = self.bytes.len() - rest.len();
            Some((extent, before))
        })
    }

    /// What lies in these bytes of a part (0: the pack; n + 1: blob n), in order.
    pub(super) fn of_part(&self, part: usize, bytes: Range<u64>) -> impl Iterator<Item = Extent> {
        let (start, end) = (bytes.start, bytes.end);
        self.from(move |mark| match part {
            0 => mark.pack <= start,
            _ => mark.blobs < part,
        })
        .take_while(move |(_, before)| match part {
            0 => before.pack < end,
            _ => before.blobs < part,
        })
        .filter(move |(extent, _)| extent.part == part)
        .filter_map(move |(extent, _)| extent.within(&bytes, extent.at))
    }

    /// What lies in these bytes of the tar stream, in order.
    pub(super) fn of_output(&self, output: Range<u64>) -> impl Iterator<Item = Extent> {
        let (start, end) = (output.start, output.end);
        self.from(move |mark| mark.tar <= start)
            .take_while(move |(extent, _)| extent.tar < end)
            .filter_map(move |(extent, _)| extent.within(&output, extent.tar))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extents of 200 small files, every 50th of them followed by a large one.
    fn some() -> (Extents, Vec<Extent>) {
        let (mut extents, mut all) = (Extents::default(), Vec::new());
        let (mut tar, mut pack, mut blobs) = (512, 0, 0);
        for file in 0..200 {
            let mut push = |part, at, length: u64| {
                extents.push(tar, length);
                all.push(Extent {
                    part,
                    at,
                    tar,
                    length,
                });
                tar += length.next_multiple_of(512) + 512;
            };
            push(0, pack, 1 + file % 7);
            pack += 1 + file % 7;
            if file % 50 == 49 {
                blobs += 1;
                push(blobs, 0, BLOB_SIZE + file);
            }
        }
        (extents, all)
    }

    #[test]
    fn each_is_found_by_its_part_and_by_the_stream() {
        let (extents, all) = some();
        extents.clone_is_equal();
        for part in 0..6 {
            let expected = all.iter().copied().filter(|extent| extent.part == part);
            let found = extents.of_part(part, 0..u64::MAX);
            assert!(found.eq(expected), "part {part}");
        }
        for extent in &all {
            let last = extent.at + extent.length - 1;
            let byte = Extent {
                at: last,
                tar: extent.tar + extent.length - 1,
                length: 1,
                ..*extent
            };
            let found = Vec::from_iter(extents.of_part(extent.part, last..last + 1));
            assert_eq!(found, [byte]);
            let found = Vec::from_iter(extents.of_output(byte.tar..byte.tar + 1));
            assert_eq!(found, [byte]);
            assert_eq!(extents.of_output(byte.tar + 1..byte.tar + 1).count(), 0);
            let gap = extent.tar - 1;
            assert_eq!(extents.of_output(gap..gap + 1).count(), 0);
        }
        assert!(extents.of_output(0..u64::MAX).eq(all.iter().copied()));
        let (first, last) = (all[3].tar + 1, all[150].tar + 1);
        assert_eq!(extents.of_output(first..last).count(), 148);
    }

    impl Extents {
        #[track_caller]
        fn clone_is_equal(&self) {
            let again = Self::decode(self.bytes().to_vec()).unwrap();
            assert_eq!(format!("{self:?}"), format!("{again:?}"));
        }
    }

    #[test]
    fn bytes_that_are_no_extents_are_refused() {
        let (extents, _) = some();
        let bytes = extents.bytes();
        assert!(Extents::decode(bytes[..bytes.len() - 1].to_vec()).is_none());
        let mut far = bytes.to_vec();
        varint::put(&mut far, u64::MAX - 5);
        far.push(1);
        assert!(Extents::decode(far).is_none(), "past the last offset");
        assert!(Extents::decode(vec![0, 0]).is_none(), "an empty one");
        assert_eq!(Extents::default().of_part(0, 0..9).count(), 0);
    }
}
