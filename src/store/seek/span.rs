//! A span of the tar stream, inflated from its first byte on.

use super::{
    member::{Event, Member},
    resume::lead_in,
};
use std::io::{self, Read};

/// Bytes read from the source at once.
const BUFFER: usize = 64 << 10;
/// Most bytes of the source that one who pauses may have left: what gave the last bytes has
/// been taken, but for some bits.
const LEFT: usize = 4 << 10;

/// Reads the bytes of a span. Its errors are those of the source, `InvalidData` where its
/// bytes are not what the index says, and `UnexpectedEof` where they end too early.
pub(in crate::store) struct SpanReader<R> {
    source: R,
    way: Way,
    /// Bytes of the span that have not been read.
    left: u64,
}

enum Way {
    /// The archive is the tar stream.
    Stored,
    Gzip(Box<Gzip>),
    /// The index is damaged here.
    Damaged,
}

/// Where a reader has ended inside a span, for the next one to go on from: what lies before
/// it is not inflated again.
pub(in crate::store) struct Paused(Box<Gzip>);

struct Gzip {
    member: Member,
    /// How many bits of the first byte belong to the span, until that has come.
    bits: Option<u8>,
    buffer: Vec<u8>,
    start: usize,
}

impl<R: Read> SpanReader<R> {
    /// The bytes of an archive that is not compressed.
    pub(super) fn stored(source: R, left: u64) -> Self {
        let way = Way::Stored;
        Self { source, way, left }
    }

    /// Inflates from a point whose first byte has so many `bits` (0: all) of the span, and
    /// before which the tar stream has the bytes of `window`. `None`: it is damaged.
    pub(super) fn gzip(source: R, bits: u8, window: Option<&[u8]>, left: u64) -> Self {
        let member = window.and_then(Member::resumed);
        let way = member.map_or(Way::Damaged, |member| {
            Way::Gzip(Box::new(Gzip {
                member,
                bits: Some(bits),
                buffer: Vec::new(),
                start: 0,
            }))
        });
        Self { source, way, left }
    }

    /// Goes on from where another reader has ended. `source` gives the bytes behind those
    /// of that reader's source.
    pub(in crate::store) fn resumed(Paused(gzip): Paused, source: R, left: u64) -> Self {
        let way = Way::Gzip(gzip);
        Self { source, way, left }
    }

    /// Ends here, to be gone on from, where all has been read and the source, which is
    /// read to its end, has hardly any bytes left.
    pub(in crate::store) fn pause(self) -> Option<Paused> {
        let Way::Gzip(mut gzip) = self.way else {
            return None;
        };
        let mut rest = gzip.buffer.split_off(gzip.start);
        let mut source = self.source.take(LEFT as u64 + 1);
        source.read_to_end(&mut rest).ok()?;
        (self.left == 0 && rest.len() <= LEFT).then_some(())?;
        rest.shrink_to_fit();
        (gzip.buffer, gzip.start) = (rest, 0);
        Some(Paused(gzip))
    }
}

impl Gzip {
    /// Reads on from the source; returns how many bytes came.
    fn refill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.buffer.resize(BUFFER, 0);
        self.start = 0;
        let n = source.read(&mut self.buffer);
        self.buffer.truncate(*n.as_ref().unwrap_or(&0));
        if let (Some(first), Some(bits)) = (self.buffer.first(), self.bits)
            && bits > 0
        {
            let lead_in = lead_in(bits, *first);
            self.buffer.splice(..1, lead_in);
        }
        if !self.buffer.is_empty() {
            self.bits = None;
        }
        n
    }

    fn read(&mut self, source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let is_at_end = self.start == self.buffer.len() && self.refill(source)? == 0;
            let input = &self.buffer[self.start..];
            let step = self.member.step(input, into, false)?;
            self.start += step.taken;
            if step.event == Event::Done {
                self.member.restart();
            }
            if step.given > 0 {
                return Ok(step.given);
            }
            if step.taken == 0 {
                return Err(match is_at_end {
                    true => io::ErrorKind::UnexpectedEof.into(),
                    false => io::ErrorKind::InvalidData.into(),
                });
            }
        }
    }
}

impl<R: Read> Read for SpanReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let into = &mut into[..most];
        let n = match &mut self.way {
            Way::Gzip(gzip) => gzip.read(&mut self.source, into)?,
            Way::Damaged => return Err(io::ErrorKind::InvalidData.into()),
            Way::Stored => match self.source.read(into)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => n,
            },
        };
        self.left -= n as u64;
        Ok(n)
    }
}
