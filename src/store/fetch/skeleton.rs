//! The tar stream as a journal keeps it: headers as they are, and of content only where it
//! lies on disk. With that the stream is made again, to be unpacked as it was the first
//! time.
//!
//! A record is `CRC-32 of the tar stream 4 · parts`. A part is, as `varint` writes numbers,
//! its length times eight and what it is: zeros (also for padding and for bodies that are
//! left out, which are never looked at; the CRC is that of zeros then), bytes that follow, a
//! header, or the next content of the pack or of a blob, whose number follows. Of a header
//! follow the words in which it differs from the one before in this record, or from
//! zeros: 8 bytes with a bit for each word, the lowest first, then those words.

use super::{
    journal::{Journal, Kind, LONGEST},
    pack::Pack,
};
use crate::store::checksums::{Checksum, of_zeros};
use crate::store::seek::varint;

/// Bytes of the tar stream after which a record of them is written, and the pack with it.
const STEP: u64 = 1 << 20;
/// Bytes of it that are worth a journal where a download fails before the first record: by
/// then an archive of content that does not compress can be entered elsewhere than at its
/// start.
const WORTH: u64 = STEP / 2;
/// Bits of a part's first number that say what it is.
const KIND_BITS: u32 = 3;
/// Bytes of a header, and of the words that it is compared by: one for each bit of a
/// number.
pub(super) const HEADER: usize = 512;
const WORD: usize = HEADER / u64::BITS as usize;
/// Bytes of a header that are compared at once: in most of it nothing differs.
const ROW: usize = 64;

/// A part of the tar stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Zeros(u64),
    Bytes(&'a [u8]),
    Header(Differing<'a>),
    /// So many bytes of a blob, or of the pack.
    Content(Option<u32>, u64),
}

/// The words in which a header differs from the one before: which, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Differing<'a> {
    which: u64,
    words: &'a [u8],
}

impl Differing<'_> {
    /// Makes the next header of the one before.
    pub(super) fn apply(self, header: &mut [u8; HEADER]) {
        let differing = bits(self.which).zip(self.words.chunks(WORD));
        differing.for_each(|(at, word)| header[at * WORD..][..WORD].copy_from_slice(word));
    }
}

/// The numbers of the bits that are set.
fn bits(mut of: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (of != 0).then(|| of.trailing_zeros() as usize);
        of &= of.wrapping_sub(1);
        lowest
    })
}

/// What some bytes of the tar stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// They are not looked at.
    Passed,
    Header,
    /// They are written to a blob, or to the pack.
    Content(Option<u32>),
}

/// Writes down the tar stream while it is unpacked.
pub(super) struct Skeleton<'a> {
    /// `None` if nothing is to be kept.
    journal: Option<&'a Journal>,
    pack: &'a Pack,
    /// Bytes to come that stand in the journal already, and whether those do that come now.
    known: u64,
    is_known: bool,
    parts: Vec<u8>,
    /// Bytes of the last part, which may go on.
    last: (What, u64),
    /// The last header.
    header: [u8; HEADER],
    /// The stream since the last record: how many bytes, how many of them were noted, and
    /// their checksum.
    length: u64,
    noted: u64,
    sum: Checksum,
    /// The checksum of the same with zeros for all but what is passed over, up to the last
    /// of that; and where that ends, 0 if there is none.
    passed: Checksum,
    passed_until: u64,
}

impl<'a> Skeleton<'a> {
    /// One of a stream of which the first `known` bytes stand in the journal.
    pub(super) fn new(journal: Option<&'a Journal>, pack: &'a Pack, known: u64) -> Self {
        Self {
            journal,
            pack,
            known,
            is_known: false,
            parts: Vec::new(),
            last: (What::Passed, 0),
            header: [0; HEADER],
            length: 0,
            noted: 0,
            sum: Checksum::default(),
            passed: Checksum::default(),
            passed_until: 0,
        }
    }

    /// So many bytes with this checksum come next. All before them has been noted, and its
    /// content handed to the pack or to its blob.
    pub(super) fn begin(&mut self, bytes: u64, sum: u32) {
        // What is unpacked again comes in blocks of its own.
        self.is_known = self.known > 0;
        self.known = self.known.saturating_sub(bytes);
        let Some(journal) = self.journal.filter(|_| !self.is_known) else {
            return;
        };
        if self.length >= STEP {
            self.write(journal);
        }
        self.length += bytes;
        self.sum.append(sum, bytes);
    }

    /// Notes the next bytes of the stream.
    pub(super) fn note(&mut self, data: &[u8], what: What) {
        if self.journal.is_none() || self.is_known || data.is_empty() {
            return;
        }
        match (what, <&[u8; HEADER]>::try_from(data)) {
            (What::Header, Ok(header)) => self.header(header),
            (What::Header, Err(_)) => self.bytes(data),
            (What::Passed, _) => {
                self.pass(data);
                self.extend(what, data.len());
            }
            (What::Content(_), _) => self.extend(what, data.len()),
        }
        self.noted += data.len() as u64;
    }

    /// Writes the rest down: the stream has broken off where all before has been noted, and
    /// its content handed on.
    pub(super) fn broken_off(&mut self) {
        let journal = self
            .journal
            .filter(|it| it.is_begun() || self.length >= WORTH);
        if let Some(journal) = journal
            && self.length > 0
            // On a full disk the records before stay.
            && self.pack.flush().is_ok()
        {
            self.write(journal);
        }
    }

    fn write(&mut self, journal: &Journal) {
        self.end_part();
        let mut sum = self.sum.take();
        if self.passed_until > 0 {
            self.passed.zeros(self.length - self.passed_until);
            // A CRC of bytes that are combined by exclusive or is that of each, so combined.
            sum ^= self.passed.take() ^ of_zeros(self.length);
        }
        // The record is about what can be read by another process.
        let is_written = self.pack.flush().is_ok();
        let record = [&sum.to_le_bytes()[..], &self.parts];
        if !is_written || !journal.append(Kind::Skeleton, &record) {
            journal.remove();
            self.journal = None;
        }
        self.parts.clear();
        self.header = [0; HEADER];
        (self.length, self.noted, self.passed_until) = (0, 0, 0);
    }

    /// Takes bytes out of the checksum: they are zeros when the stream is made again.
    fn pass(&mut self, data: &[u8]) {
        if data.iter().fold(0, |any, byte| any | byte) != 0 {
            self.passed.zeros(self.noted - self.passed_until);
            self.passed.add(data);
            self.passed_until = self.noted + data.len() as u64;
        }
    }

    fn header(&mut self, header: &[u8; HEADER]) {
        self.end_part();
        self.put(HEADER as u64, 2);
        let mut which = 0;
        let rows = header.as_chunks::<ROW>().0.iter();
        for (row, (now, before)) in rows.zip(self.header.as_chunks::<ROW>().0).enumerate() {
            if now == before {
                continue;
            }
            let words = now.as_chunks::<WORD>().0.iter();
            for (at, (now, before)) in words.zip(before.as_chunks().0).enumerate() {
                which |= u64::from(now != before) << (row * ROW / WORD + at);
            }
        }
        self.parts.extend_from_slice(&which.to_le_bytes());
        for at in bits(which) {
            self.parts.extend_from_slice(&header[at * WORD..][..WORD]);
        }
        self.header = *header;
    }

    fn bytes(&mut self, data: &[u8]) {
        self.end_part();
        self.put(data.len() as u64, 1);
        self.parts.extend_from_slice(data);
    }

    fn extend(&mut self, what: What, bytes: usize) {
        if self.last.0 != what {
            self.end_part();
            self.last.0 = what;
        }
        self.last.1 += bytes as u64;
    }

    fn end_part(&mut self) {
        let (what, length) = self.last;
        self.last.1 = 0;
        if length == 0 {
            return;
        }
        match what {
            What::Passed | What::Header => self.put(length, 0),
            What::Content(None) => self.put(length, 3),
            What::Content(Some(blob)) => {
                self.put(length, 4);
                varint::put(&mut self.parts, u64::from(blob));
            }
        }
    }

    fn put(&mut self, length: u64, kind: u64) {
        varint::put(&mut self.parts, length << KIND_BITS | kind);
    }
}

/// A record as it is read again: the checksum of the stream, and its parts.
pub(super) fn read(record: &[u8]) -> Option<(u32, Parts<'_>)> {
    let (sum, rest) = record.split_first_chunk()?;
    let parts = Parts { rest, length: 0 };
    Some((u32::from_le_bytes(*sum), parts))
}

/// The parts of a record; `None` in place of one that is malformed, or that goes past what
/// a record can be about.
pub(super) struct Parts<'a> {
    rest: &'a [u8],
    length: u64,
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Option<Part<'a>> {
        let number = varint::take(&mut self.rest)?;
        let bytes = number >> KIND_BITS;
        self.length = self.length.checked_add(bytes)?;
        (bytes > 0 && self.length <= LONGEST as u64).then_some(())?;
        match number & ((1 << KIND_BITS) - 1) {
            0 => Some(Part::Zeros(bytes)),
            1 => Some(Part::Bytes(self.take(bytes as usize)?)),
            2 if bytes == HEADER as u64 => {
                let (which, rest) = self.rest.split_first_chunk()?;
                self.rest = rest;
                let which = u64::from_le_bytes(*which);
                let words = self.take(which.count_ones() as usize * WORD)?;
                Some(Part::Header(Differing { which, words }))
            }
            3 => Some(Part::Content(None, bytes)),
            4 => {
                let blob = varint::take(&mut self.rest)?;
                Some(Part::Content(Some(u32::try_from(blob).ok()?), bytes))
            }
            _ => None,
        }
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Option<Part<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| {
            let part = self.part();
            if part.is_none() {
                self.rest = &[];
            }
            part
        })
    }
}
