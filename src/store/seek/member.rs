//! A member of a gzip stream (RFC 1952), inflated piece by piece: its header, deflate
//! data (RFC 1951), and the CRC and length that end it.

use super::resume::lead_in;
use std::io;
use zlib_rs::{
    Inflate, InflateFlush, Status,
    crc32::{crc32, crc32_combine},
};

/// First bytes of a member.
pub(in crate::store) const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bits of a window: 32 KiB, which any member may use.
const WINDOW_BITS: u8 = 15;

/// The fields that the flags of a header announce (RFC 1952, 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;
/// Maximum length of a name or comment.
const LONGEST: u32 = 64 << 10;

/// An error of bytes that are not gzip or deflate.
fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a step ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Event {
    /// The end of its input, of space for its output, or of the deflate data.
    More,
    /// The end of the header.
    Begun,
    /// The end of a deflate block, which is not the last one.
    Boundary,
    /// The end of the member.
    Done,
}

/// What a step did.
pub(in crate::store) struct Step {
    /// Bytes of input that it took.
    pub(in crate::store) taken: usize,
    /// Bytes of output that it gave.
    pub(in crate::store) given: usize,
    /// CRC-32 of that output; 0 where a part of the member is inflated.
    pub(in crate::store) sum: u32,
    pub(in crate::store) event: Event,
}

/// A member being inflated.
pub(in crate::store) struct Member {
    part: Part,
    inflate: Inflate,
    /// Of the output so far; `None` where a part of the member is inflated, so that it
    /// cannot be checked.
    sums: Option<Sums>,
}

/// CRC and length of a member's output, as its end has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Sums {
    pub(super) crc: u32,
    pub(super) length: u32,
}

enum Part {
    Header(Header),
    Data,
    /// So many bytes of CRC and length have come.
    Trailer([u8; 8], usize),
}

impl Member {
    /// One that begins with its header.
    pub(in crate::store) fn new() -> Self {
        Self {
            part: Part::Header(Header::default()),
            inflate: Inflate::new(false, WINDOW_BITS),
            sums: Some(Sums::default()),
        }
    }

    /// One that is entered at the start of a deflate block, with the output before it and
    /// the sums of all of it.
    pub(super) fn entered(window: &[u8], sums: Sums) -> Option<Self> {
        let sums = Some(sums);
        Self::resumed(window).map(|member| Self { sums, ..member })
    }

    /// One that is entered at the start of a deflate block, with the output before it.
    pub(super) fn resumed(window: &[u8]) -> Option<Self> {
        let mut inflate = Inflate::new(false, WINDOW_BITS);
        if !window.is_empty() {
            inflate.set_dictionary(window).ok()?;
        }
        Some(Self {
            part: Part::Data,
            inflate,
            sums: None,
        })
    }

    /// Takes the first byte at a point, of which so many bits belong to the stream: some,
    /// but not all.
    ///
    /// # Errors
    /// `InvalidData` where they are none.
    pub(in crate::store) fn lead_in(&mut self, bits: u8, first: u8) -> io::Result<()> {
        let bytes = lead_in(bits, first);
        let step = self.step(&bytes, &mut [0], false)?;
        match (step.taken == bytes.len(), step.given) {
            (true, 0) => Ok(()),
            _ => Err(corrupt("a point that is none")),
        }
    }

    /// Of the output so far.
    pub(in crate::store) fn sums(&self) -> Sums {
        self.sums.unwrap_or_default()
    }

    /// Begins the next member.
    pub(in crate::store) fn restart(&mut self) {
        self.inflate.reset(false);
        self.part = Part::Header(Header::default());
        self.sums = Some(Sums::default());
    }

    /// Inflates on, `to_boundary`: not over the end of a deflate block. A step that takes
    /// and gives nothing needs more input.
    ///
    /// # Errors
    /// `InvalidData` for bytes that are not gzip.
    pub(in crate::store) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        to_boundary: bool,
    ) -> io::Result<Step> {
        let mut sum = 0;
        let (taken, given, event) = match &mut self.part {
            Part::Header(header) => {
                let mut taken = 0;
                let mut event = Event::More;
                for byte in input {
                    taken += 1;
                    if header.take(*byte)? {
                        self.part = Part::Data;
                        event = Event::Begun;
                        break;
                    }
                }
                (taken, 0, event)
            }
            Part::Data => {
                let flush = match to_boundary {
                    true => InflateFlush::Block,
                    false => InflateFlush::NoFlush,
                };
                let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
                let status = self
                    .inflate
                    .decompress(input, output, flush)
                    .map_err(|_| corrupt("corrupt deflate stream"))?;
                let taken = (self.inflate.total_in() - before_in) as usize;
                let given = (self.inflate.total_out() - before_out) as usize;
                if let Some(sums) = &mut self.sums {
                    sum = crc32(0, &output[..given]);
                    sums.crc = crc32_combine(sums.crc, sum, given as u64);
                    sums.length = sums.length.wrapping_add(given as u32);
                }
                let mut event = Event::More;
                if status == Status::StreamEnd {
                    self.part = Part::Trailer([0; 8], 0);
                    if (taken, given) == (0, 0) {
                        return self.step(input, output, to_boundary);
                    }
                } else if to_boundary && taken < input.len() && given < output.len() {
                    // What zlib-rs promises: nothing else stops it there.
                    event = Event::Boundary;
                }
                (taken, given, event)
            }
            Part::Trailer(bytes, filled) => {
                let taken = input.len().min(bytes.len() - *filled);
                bytes[*filled..][..taken].copy_from_slice(&input[..taken]);
                *filled += taken;
                let mut event = Event::More;
                if *filled == bytes.len() {
                    let said = u64::from_le_bytes(*bytes);
                    let found = |sums: Sums| u64::from(sums.crc) | u64::from(sums.length) << 32;
                    if self.sums.is_some_and(|sums| found(sums) != said) {
                        return Err(corrupt("a checksum or length of gzip is wrong"));
                    }
                    event = Event::Done;
                }
                (taken, 0, event)
            }
        };
        Ok(Step {
            taken,
            given,
            sum,
            event,
        })
    }
}

/// A header of which some bytes have come.
#[derive(Default)]
struct Header {
    field: Field,
    /// Fields that are announced and have not come.
    flags: u8,
    /// Bytes of the field so far.
    count: u32,
    /// Length of the extra field.
    extra: u32,
    /// Of all bytes so far, and the one that the header has.
    crc: u32,
    said: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    Crc,
}

impl Header {
    /// Takes the next byte; whether it was the last one.
    fn take(&mut self, byte: u8) -> io::Result<bool> {
        let at = self.count;
        self.count += 1;
        if self.field != Field::Crc {
            self.crc = crc32(self.crc, &[byte]);
        }
        let ended = match self.field {
            Field::Fixed => {
                let is_right = match at {
                    0 | 1 => byte == MAGIC[at as usize],
                    // Deflate.
                    2 => byte == 8,
                    3 => byte & RESERVED == 0,
                    _ => true,
                };
                if !is_right {
                    return Err(corrupt("invalid gzip header"));
                }
                if at == 3 {
                    self.flags = byte;
                }
                at == 9
            }
            Field::ExtraLength => {
                self.extra |= u32::from(byte) << (8 * at);
                at == 1
            }
            Field::Extra => self.count == self.extra,
            Field::Name | Field::Comment => {
                if byte != 0 && self.count > LONGEST {
                    return Err(corrupt("a field of the gzip header is too long"));
                }
                byte == 0
            }
            Field::Crc => {
                self.said |= u32::from(byte) << (8 * at);
                if at == 1 && self.said != self.crc & 0xffff {
                    return Err(corrupt("the checksum of the gzip header is wrong"));
                }
                at == 1
            }
        };
        Ok(ended && !self.next())
    }

    /// Moves on to the next field that has bytes; false if there is none.
    fn next(&mut self) -> bool {
        self.count = 0;
        let after_length = self.field == Field::ExtraLength && self.extra > 0;
        let announced = [
            (EXTRA, Field::ExtraLength),
            (NAME, Field::Name),
            (COMMENT, Field::Comment),
            (HEADER_CRC, Field::Crc),
        ];
        let next = announced.iter().find(|(flag, _)| self.flags & flag != 0);
        match next {
            _ if after_length => self.field = Field::Extra,
            Some((flag, field)) => {
                self.flags &= !flag;
                self.field = *field;
            }
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zlib_rs::{Deflate, DeflateFlush};

    /// Raw deflate data of these pieces, each the end of a block, and where each ends.
    fn blocks(pieces: &[&[u8]], flush: DeflateFlush) -> Vec<u8> {
        let mut deflate = Deflate::new(6, false, WINDOW_BITS);
        let mut bytes = vec![0; 1 << 20];
        for (at, piece) in pieces.iter().enumerate() {
            let flush = match at + 1 == pieces.len() {
                true => DeflateFlush::Finish,
                false => flush,
            };
            let from = deflate.total_out() as usize;
            deflate.compress(piece, &mut bytes[from..], flush).unwrap();
        }
        // As if a trailer followed.
        bytes.truncate(deflate.total_out() as usize + 8);
        bytes
    }

    /// What all of the seek index rests on: with `Block` zlib-rs stops at the end of a
    /// block and nowhere else before input or output end, and goes on from there.
    #[test]
    fn zlib_stops_at_the_ends_of_blocks() {
        let pieces: Vec<Vec<u8>> = (1_u32..40)
            .map(|piece| (0..500 * piece).map(|at| (at * at % 251) as u8).collect())
            .collect();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for flush in [
            DeflateFlush::Block,
            DeflateFlush::PartialFlush,
            DeflateFlush::SyncFlush,
            DeflateFlush::FullFlush,
        ] {
            let input = blocks(&pieces, flush);
            let mut inflate = Inflate::new(false, WINDOW_BITS);
            let mut output = vec![0; 1 << 20];
            let mut stops = Vec::new();
            loop {
                let (taken, given) = (inflate.total_in(), inflate.total_out());
                let (input, output) = (&input[taken as usize..], &mut output[given as usize..]);
                let status = inflate.decompress(input, output, InflateFlush::Block);
                let status = status.unwrap();
                if status == Status::StreamEnd {
                    break;
                }
                assert!(
                    inflate.total_in() - taken < input.len() as u64,
                    "{status:?}"
                );
                stops.push(inflate.total_out());
                assert!(stops.len() < 1000, "it goes on");
            }
            let ends = pieces.iter().scan(0, |at, piece| {
                *at += piece.len() as u64;
                Some(*at)
            });
            let ends = Vec::from_iter(ends);
            let inner = &ends[..ends.len() - 1];
            assert!(
                inner.iter().all(|end| stops.contains(end)),
                "{flush:?}: {stops:?}"
            );
            assert!(
                stops.iter().all(|stop| ends.contains(stop)),
                "{flush:?}: {stops:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_member_are_refused() {
        let whole: &[u8] = &[
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0, 0xfe, 0xff, b'a', 0x43, 0xbe, 0xb7, 0xe8,
            1, 0, 0, 0,
        ];
        let read = |bytes: &[u8]| -> io::Result<Event> {
            let (mut member, mut output, mut at) = (Member::new(), [0; 10], 0);
            loop {
                let step = member.step(&bytes[at..], &mut output, false)?;
                at += step.taken;
                if step.event == Event::Done || (step.taken, step.given) == (0, 0) {
                    break Ok(step.event);
                }
            }
        };
        assert_eq!(read(whole).unwrap(), Event::Done);
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]).unwrap(), Event::More, "cut at {cut}");
        }
        for at in [0, 1, 2, 12, 15, 16, 20] {
            let mut wrong = whole.to_vec();
            wrong[at] ^= 0x40;
            assert!(read(&wrong).is_err(), "byte {at}");
        }
        let mut long = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        long.extend([b'n'; 70_000]);
        assert!(read(&long).is_err(), "a name without end");
    }
}
