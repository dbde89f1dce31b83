//! The digest of a file's content while its pieces arrive, holes included.

use crate::store::index::holes::{Map, Pieces};
use sha2::{Digest, Sha256};

/// Zeros that are hashed at once.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The digest of a file so far.
pub(super) struct Hashing<'a> {
    hash: Sha256,
    holes: Option<&'a Map>,
    /// Bytes of the file so far, and those of them that were stored.
    given: u64,
    stored: u64,
    /// The current piece, or the next one.
    piece: u32,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(holes: Option<&'a Map>) -> Self {
        Self {
            hash: Sha256::new(),
            holes,
            given: 0,
            stored: 0,
            piece: 0,
        }
    }

    /// Adds stored bytes.
    pub(super) fn add(&mut self, mut data: &[u8]) {
        let Some(map) = self.holes else {
            return self.hash.update(data);
        };
        while let Some((start, _)) = map.piece(self.piece)
            && !data.is_empty()
        {
            self.zeros(start);
            let end = map.piece(self.piece + 1).map_or(map.stored(), |(_, at)| at);
            let now = usize::try_from(end - self.stored).map_or(data.len(), |n| n.min(data.len()));
            self.hash.update(&data[..now]);
            data = &data[now..];
            self.given += now as u64;
            self.stored += now as u64;
            if self.stored == end {
                self.piece += 1;
            }
        }
    }

    pub(super) fn finish(mut self) -> [u8; 32] {
        if let Some(map) = self.holes {
            self.zeros(map.size());
        }
        self.hash.finalize().into()
    }

    /// Adds zeros up to an offset; does nothing past it.
    fn zeros(&mut self, until: u64) {
        while self.given < until {
            let now = (until - self.given).min(ZEROS.len() as u64);
            self.hash.update(&ZEROS[..now as usize]);
            self.given += now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros() {
        let mut map = Map::new(200_000);
        for (offset, length) in [(5, 3), (100_000, 4), (199_999, 1)] {
            assert!(map.add(offset, length));
        }
        let mut whole = vec![0; 200_000];
        whole[5..8].copy_from_slice(b"abc");
        whole[100_000..100_004].copy_from_slice(b"defg");
        whole[199_999] = b'h';
        for piece in 1..=8 {
            let mut hashing = Hashing::new(Some(&map));
            b"abcdefgh".chunks(piece).for_each(|part| hashing.add(part));
            assert_eq!(hashing.finish(), *Sha256::digest(&whole), "{piece}");
        }
        let mut plain = Hashing::new(None);
        plain.add(b"abc");
        assert_eq!(plain.finish(), *Sha256::digest(b"abc"));
        let hole = Map::new(70_000);
        let expected: [u8; 32] = Sha256::digest(vec![0; 70_000]).into();
        assert_eq!(Hashing::new(Some(&hole)).finish(), expected);
    }
}
