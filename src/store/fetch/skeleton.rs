//! The tar stream as a journal keeps it: headers as they are, and of content only where it
//! lies on disk. With that the stream is made again, to be unpacked as it was the first
//! time.
//!
//! A record is `CRC-32 of the content 4 · parts`. A part is, as `varint` writes numbers, its
//! length times four and what it is: zeros (also for padding and for bodies that are left out,
//! which are never looked at), bytes that follow, or the next content of the pack or of
//! a blob, whose number follows.

use super::{
    journal::{Journal, Kind, LONGEST},
    pack::Pack,
};
use crate::store::checksums::Checksum;
use crate::store::seek::varint;

/// Bytes of the tar stream, or of a record, after which that is written: the pack is
/// written in such pieces anyway.
const STEP: usize = 512 << 10;
/// Headers are looked at in words of so many bytes: most are zero.
const WORD: usize = 8;

/// A part of the tar stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Zeros(u64),
    Bytes(&'a [u8]),
    /// So many bytes of a blob, or of the pack.
    Content(Option<u32>, u64),
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
    /// Bytes to come that stand in the journal already.
    known: u64,
    parts: Vec<u8>,
    /// Bytes of the last part, which may go on.
    last: (What, u64),
    content: Checksum,
    /// Bytes since the last record.
    length: usize,
}

impl<'a> Skeleton<'a> {
    /// One of a stream of which the first `known` bytes stand in the journal.
    pub(super) fn new(journal: Option<&'a Journal>, pack: &'a Pack, known: u64) -> Self {
        Self {
            journal,
            pack,
            known,
            parts: Vec::new(),
            last: (What::Passed, 0),
            content: Checksum::default(),
            length: 0,
        }
    }

    /// Notes the next bytes of the stream. The content of earlier calls has been handed to
    /// the pack or to its blob by then.
    pub(super) fn note(&mut self, mut data: &[u8], what: What) {
        let Some(journal) = self.journal else {
            return;
        };
        if self.known > 0 {
            let known = usize::try_from(self.known).map_or(data.len(), |n| n.min(data.len()));
            self.known -= known as u64;
            data = &data[known..];
        }
        if data.is_empty() {
            return;
        }
        if self.length >= STEP || self.parts.len() >= STEP {
            self.write(journal);
        }
        self.length += data.len();
        match what {
            What::Passed => self.extend(what, data.len()),
            What::Content(_) => {
                self.content.add(data);
                self.extend(what, data.len());
            }
            What::Header => self.header(data),
        }
    }

    fn write(&mut self, journal: &Journal) {
        self.end_part();
        let sum = self.content.take().to_le_bytes();
        // The record is about what can be read by another process.
        let is_written = self.pack.flush().is_ok();
        if !is_written || !journal.append(Kind::Skeleton, &[&sum, &self.parts]) {
            journal.remove();
            self.journal = None;
        }
        self.parts.clear();
        self.length = 0;
    }

    /// Headers, whose long runs of zeros take no room.
    fn header(&mut self, data: &[u8]) {
        let mut from = 0;
        let mut words = data.chunks(WORD).enumerate().peekable();
        while let Some((at, word)) = words.next() {
            if word != [0; WORD] {
                continue;
            }
            let start = at * WORD;
            let mut end = start + WORD;
            while words.next_if(|(_, word)| *word == [0; WORD]).is_some() {
                end += WORD;
            }
            // A single word costs no less as zeros.
            if end - start > WORD {
                self.bytes(&data[from..start]);
                self.extend(What::Passed, end - start);
                from = end;
            }
        }
        self.bytes(&data[from..]);
    }

    fn bytes(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.end_part();
            varint::put(&mut self.parts, (data.len() as u64) << 2 | 1);
            self.parts.extend_from_slice(data);
        }
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
        let kind = match what {
            What::Passed | What::Header => 0,
            What::Content(None) => 2,
            What::Content(Some(_)) => 3,
        };
        varint::put(&mut self.parts, length << 2 | kind);
        if let What::Content(Some(blob)) = what {
            varint::put(&mut self.parts, u64::from(blob));
        }
    }
}

/// A record as it is read again: the checksum of its content, and its parts.
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
        let bytes = number >> 2;
        self.length = self.length.checked_add(bytes)?;
        (bytes > 0 && self.length <= LONGEST as u64).then_some(())?;
        Some(match number & 3 {
            0 => Part::Zeros(bytes),
            1 => {
                let (data, rest) = self.rest.split_at_checked(bytes as usize)?;
                self.rest = rest;
                Part::Bytes(data)
            }
            2 => Part::Content(None, bytes),
            _ => {
                let blob = varint::take(&mut self.rest)?;
                Part::Content(Some(u32::try_from(blob).ok()?), bytes)
            }
        })
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
