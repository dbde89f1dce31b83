//! Records one after another: each a word with its length and checksum, then its bytes,
//! filled up to whole words. Where the word is 0 is the end.

use crc32fast::hash;

/// The bytes of a word.
pub(super) const WORD: usize = 8;

/// The word before a record; never 0, since no record is empty.
pub(super) fn head(record: &[u8]) -> u64 {
    let length = record.len() as u32;
    u64::from(length) | u64::from(hash(record)) << 32
}

/// How many bytes a record of so many takes.
pub(super) fn framed(length: usize) -> usize {
    WORD + length.next_multiple_of(WORD)
}

/// A record with its word.
pub(super) fn frame(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(framed(record.len()));
    bytes.extend_from_slice(&head(record).to_le_bytes());
    bytes.extend_from_slice(record);
    bytes.resize(framed(record.len()), 0);
    bytes
}

/// The records in `bytes`, up to the first that is not whole.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    /// Where the next record begins.
    pub(super) at: usize,
}

impl<'a> Records<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether what follows the last whole record is no end.
    pub(super) fn is_torn(&self) -> bool {
        let word = self.bytes.get(self.at..self.at + WORD);
        word.is_some_and(|word| word.iter().any(|byte| *byte != 0))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let (word, rest) = rest.split_first_chunk::<WORD>()?;
        let word = u64::from_le_bytes(*word);
        let length = word as u32 as usize;
        let record = rest.get(..length).filter(|record| !record.is_empty())?;
        if head(record) != word {
            return None;
        }
        self.at += framed(length);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            bytes.extend(frame(record));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn records(count: usize) -> Vec<Vec<u8>> {
        let record = |n: usize| (0..1 + n * 7 % 90).map(move |at| (at * n % 251) as u8 | 1);
        (0..count).map(|n| record(n).collect()).collect()
    }

    #[test]
    fn a_million_kills_leave_the_records_before_them() {
        let records = records(24);
        let (mut bytes, ends) = journal(&records);
        let length = bytes.len();
        bytes.resize(length + 64, 0);
        let whole = |cut: usize| {
            // Of a record, the last bytes only fill it up.
            let ends = ends.iter().zip(&records);
            let filled = ends.map(|(end, record)| end - (WORD - record.len() % WORD) % WORD);
            filled.take_while(|end| *end <= cut).count()
        };
        let mut random = 1_u64;
        for _ in 0..1_000_000 / 200 {
            random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let last = (random >> 33) as usize % records.len();
            let start = last.checked_sub(1).map_or(0, |before| ends[before]);
            // A window that is killed at each byte.
            let mut cut = bytes.clone();
            for at in (start..(start + 200).min(length)).rev() {
                cut[at..].fill(0);
                let read: Vec<&[u8]> = Records::of(&cut[..]).collect();
                let kept = whole(at);
                assert!(
                    read.len() == kept
                        || read.len() == kept + 1
                            && bytes[at..ends[kept]].iter().all(|byte| *byte == 0),
                    "{} of {kept} at {at}",
                    read.len()
                );
                assert!(
                    read.iter()
                        .zip(&records)
                        .all(|(read, written)| read == written)
                );
            }
        }
    }

    #[test]
    fn a_record_that_is_damaged_ends_the_records() {
        let records = records(20);
        let (bytes, ends) = journal(&records);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let before = ends.iter().take_while(|end| **end <= at).count();
            let mut reader = Records::of(&damaged);
            let read: Vec<&[u8]> = reader.by_ref().collect();
            let fills = read.len() == records.len();
            assert!(read.len() == before && reader.is_torn() || fills, "{at}");
            assert!(
                read.iter()
                    .zip(&records)
                    .all(|(read, written)| read == written)
            );
        }
    }
}
