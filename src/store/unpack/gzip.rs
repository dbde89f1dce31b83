//! Gzip as `gzip -d` reads it: several members one after another, CRC and
//! length of each checked, anything else after a complete member ignored.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// Bytes read from the source at once: large enough that a read costs little
/// beside the inflating of it, small enough to stay in the CPU's cache.
const BUFFER: usize = 128 << 10;

/// First bytes of a member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A buffered source that can show its next two bytes, wherever the reads
/// that brought them were cut.
struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the last read filled all that it was given.
    full: bool,
    hasty: bool,
}

impl<R: Read> Source<R> {
    /// Reads on from the source, behind what is kept.
    fn refill(&mut self) -> io::Result<usize> {
        // Sources give all that they have: after less than was asked for, the
        // next read waits.
        if self.hasty && !self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.inner.read(&mut self.buffer[self.end..])?;
        self.end += n;
        self.full = self.end == self.buffer.len();
        Ok(n)
    }

    fn next_two(&mut self) -> io::Result<Option<[u8; 2]>> {
        while self.end - self.start < 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.refill()? == 0 {
                return Ok(None);
            }
        }
        Ok(Some([self.buffer[self.start], self.buffer[self.start + 1]]))
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }
}

/// Inflates a gzip stream to its end.
pub(super) struct Gunzip<R> {
    /// `None` past the last member.
    member: Option<GzDecoder<Source<R>>>,
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            member: Some(GzDecoder::new(Source {
                inner: source,
                buffer: vec![0; BUFFER].into_boxed_slice(),
                start: 0,
                end: 0,
                full: false,
                hasty: false,
            })),
        }
    }

    /// Whether to give `WouldBlock` instead of waiting for the source.
    pub(super) fn set_hasty(&mut self, hasty: bool) {
        if let Some(member) = &mut self.member {
            member.get_mut().hasty = hasty;
        }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(into)?;
            if n > 0 || into.is_empty() {
                return Ok(n);
            }
            // The member is complete and checked: is there another?
            let another = member.get_mut().next_two()? == Some(MAGIC);
            self.member = self
                .member
                .take()
                .filter(|_| another)
                .map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}
