//! Where the content of a file with holes lies: only its pieces are stored, one
//! after another, so that a hole costs neither disk nor time.
//!
//! The numbers are not trusted: those of a sealed version are read from disk.

/// The pieces of a file, numbered by ascending offset. A [`Map`] has them while the file is
/// unpacked, the index afterwards.
pub(in crate::store) trait Pieces {
    /// Bytes of the file, holes included.
    fn size(&self) -> u64;
    /// Bytes that are stored.
    fn stored(&self) -> u64;
    /// How many pieces there are.
    fn count(&self) -> u32;
    /// Where a piece begins, in the file and among the stored bytes.
    fn piece(&self, number: u32) -> Option<(u64, u64)>;
}

/// A run of stored bytes or of zeros, from an offset of a file on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// So many bytes, the first of which is stored there.
    Data { at: u64, length: u64 },
    /// So many zeros.
    Hole(u64),
}

/// Why a read of a file with holes failed.
#[derive(Debug)]
pub(in crate::store) enum Failed<E> {
    /// The pieces contradict one another.
    Map,
    /// The stored bytes cannot be read.
    Read(E),
}

/// The run at `offset`, at least one byte; `None` past the end, and if the pieces
/// contradict one another.
fn span(pieces: &impl Pieces, offset: u64) -> Option<Span> {
    let (size, stored) = (pieces.size(), pieces.stored());
    if offset >= size {
        return None;
    }
    // The last piece that begins at `offset` or before it.
    let (mut low, mut high) = (0, pieces.count());
    while low < high {
        let middle = low + (high - low) / 2;
        match pieces.piece(middle)?.0 <= offset {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let next = match low < pieces.count() {
        true => pieces.piece(low)?,
        false => (size, stored),
    };
    if let Some(number) = low.checked_sub(1) {
        let (start, at) = pieces.piece(number)?;
        let (length, into) = (next.1.checked_sub(at)?, offset - start);
        if next.1 > stored || length > size.checked_sub(start)? {
            return None;
        }
        if into < length {
            return Some(Span::Data {
                at: at + into,
                length: length - into,
            });
        }
    }
    match next.0.min(size).checked_sub(offset)? {
        0 => None,
        hole => Some(Span::Hole(hole)),
    }
}

/// Fills all of `buf` from `offset` of the file on; `read` fills a part of it from
/// the stored bytes.
pub(in crate::store) fn fill<E>(
    pieces: &impl Pieces,
    mut offset: u64,
    mut buf: &mut [u8],
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<(), Failed<E>> {
    while !buf.is_empty() {
        let span = span(pieces, offset).ok_or(Failed::Map)?;
        let (Span::Data { length, .. } | Span::Hole(length)) = span;
        let now = usize::try_from(length).map_or(buf.len(), |length| length.min(buf.len()));
        let (part, rest) = buf.split_at_mut(now);
        match span {
            Span::Data { at, .. } => read(at, part).map_err(Failed::Read)?,
            Span::Hole(_) => part.fill(0),
        }
        (offset, buf) = (offset + now as u64, rest);
    }
    Ok(())
}

/// What `lseek` looks for (`SEEK_DATA` and `SEEK_HOLE` of Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The next byte that is stored.
    Data,
    /// The next byte of a hole; every file ends with one.
    Hole,
}

/// The offset that a search from `offset` finds; `None` (ENXIO) if there is none.
pub(in crate::store) fn seek(pieces: &impl Pieces, offset: u64, what: Seek) -> Option<u64> {
    let mut at = offset;
    loop {
        if at == pieces.size() && what == Seek::Hole && at > offset {
            return Some(at);
        }
        // Pieces that touch are one: this turns at most twice.
        match (span(pieces, at)?, what) {
            (Span::Data { .. }, Seek::Data) | (Span::Hole(_), Seek::Hole) => return Some(at),
            (Span::Data { length, .. } | Span::Hole(length), _) => at += length,
        }
    }
}

/// A file of so many bytes without holes.
pub(in crate::store) struct Full(pub(in crate::store) u64);

impl Pieces for Full {
    fn size(&self) -> u64 {
        self.0
    }

    fn stored(&self) -> u64 {
        self.0
    }

    fn count(&self) -> u32 {
        1
    }

    fn piece(&self, number: u32) -> Option<(u64, u64)> {
        (number == 0).then_some((0, 0))
    }
}

/// The pieces of a file that is being unpacked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Map {
    size: u64,
    stored: u64,
    pieces: Vec<(u64, u64)>,
}

impl Map {
    /// A file of so many bytes that is one hole.
    pub(in crate::store) fn new(size: u64) -> Self {
        Self {
            size,
            ..Self::default()
        }
    }

    /// Adds a piece of so many bytes behind the others; false if it begins before their
    /// end, or ends behind the end of the file.
    pub(in crate::store) fn add(&mut self, offset: u64, length: u64) -> bool {
        let end = self.end();
        if offset < end || offset.checked_add(length).is_none_or(|to| to > self.size) {
            return false;
        }
        // Pieces that touch are one, and empty ones are none.
        if length > 0 && (offset > end || self.pieces.is_empty()) {
            self.pieces.push((offset, self.stored));
        }
        self.stored += length;
        true
    }

    /// Where the last piece ends.
    fn end(&self) -> u64 {
        self.pieces
            .last()
            .map_or(0, |(start, at)| start + (self.stored - at))
    }

    /// Each piece: where it begins, in the file and among the stored bytes.
    pub(in crate::store) fn pieces(&self) -> &[(u64, u64)] {
        &self.pieces
    }
}

impl Pieces for Map {
    fn size(&self) -> u64 {
        self.size
    }

    fn stored(&self) -> u64 {
        self.stored
    }

    fn count(&self) -> u32 {
        u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
    }

    fn piece(&self, number: u32) -> Option<(u64, u64)> {
        self.pieces.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `..ab....cde..` with pieces that touch.
    fn map() -> Map {
        let mut map = Map::new(13);
        for (offset, length) in [(0, 0), (2, 1), (3, 1), (8, 2), (10, 1), (13, 0)] {
            assert!(map.add(offset, length), "{offset}");
        }
        map
    }

    #[test]
    fn pieces_that_touch_are_one() {
        assert_eq!(map().pieces(), [(2, 0), (8, 2)]);
        assert_eq!(map().stored(), 5);
        let mut map = map();
        for (offset, length) in [(10, 1), (13, 1), (u64::MAX, 2), (14, 0)] {
            assert!(!map.add(offset, length), "{offset}");
        }
        let mut from_the_start = Map::new(4);
        assert!(from_the_start.add(0, 3) && from_the_start.add(3, 1));
        assert_eq!(from_the_start.pieces(), [(0, 0)]);
    }

    #[test]
    fn every_part_reads_as_the_whole() {
        let (map, whole) = (map(), b"\0\0ab\0\0\0\0cde\0\0");
        for from in 0..=13 {
            for to in from..=13 {
                let mut buf = vec![1; to - from];
                fill(&map, from as u64, &mut buf, |at, part| {
                    part.copy_from_slice(&b"abcde"[at as usize..][..part.len()]);
                    Ok::<(), ()>(())
                })
                .unwrap();
                assert_eq!(buf, whole[from..to], "{from} {to}");
            }
        }
        assert!(fill(&map, 13, &mut [0], |_, _| Ok::<(), ()>(())).is_err());
    }

    #[test]
    fn seeking_is_that_of_linux() {
        let map = map();
        let data: Vec<_> = (0..14).map(|at| seek(&map, at, Seek::Data)).collect();
        let expected = [2, 2, 2, 3, 8, 8, 8, 8, 8, 9, 10].map(Some);
        assert_eq!(data[..11], expected);
        assert_eq!(data[11..], [None, None, None]);
        let holes: Vec<_> = (0..14).map(|at| seek(&map, at, Seek::Hole)).collect();
        let expected = [0, 1, 4, 4, 4, 5, 6, 7, 11, 11, 11, 11, 12].map(Some);
        assert_eq!(holes[..13], expected);
        assert_eq!(holes[13], None);
        // Data up to the end: the hole behind every file.
        let mut full = Map::new(3);
        full.add(1, 2);
        assert_eq!(seek(&full, 1, Seek::Hole), Some(3));
        assert_eq!(seek(&Map::new(1 << 40), 5, Seek::Data), None);
        assert_eq!(seek(&Full(3), 1, Seek::Data), Some(1));
        assert_eq!(seek(&Full(3), 1, Seek::Hole), Some(3));
        assert_eq!(seek(&Full(3), 3, Seek::Hole), None);
    }

    /// Pieces that say anything.
    struct Lies(u64, u64, Vec<(u64, u64)>);

    impl Pieces for Lies {
        fn size(&self) -> u64 {
            self.0
        }

        fn stored(&self) -> u64 {
            self.1
        }

        fn count(&self) -> u32 {
            // One more than there are.
            self.2.len() as u32 + 1
        }

        fn piece(&self, number: u32) -> Option<(u64, u64)> {
            self.2.get(number as usize).copied()
        }
    }

    #[test]
    fn pieces_that_lie_do_no_harm() {
        let numbers = [0, 1, 2, 5, 9, u64::MAX - 1, u64::MAX];
        for size in numbers {
            for stored in numbers {
                for a in numbers {
                    for b in numbers {
                        let lies = Lies(size, stored, vec![(a, b), (b, a)]);
                        for offset in numbers {
                            if let Some(Span::Data { at, length }) = span(&lies, offset) {
                                assert!(at + length <= stored && length > 0);
                                assert!(offset.checked_add(length).is_some());
                            }
                            seek(&lies, offset, Seek::Data);
                            seek(&lies, offset, Seek::Hole);
                        }
                    }
                }
            }
        }
    }
}
