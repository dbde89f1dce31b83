//! Gzip as `gzip -d` reads it: several members one after another, CRC and
//! length of each checked, anything else after a complete member ignored.
//!
//! An uncompressed tar archive passes through: an object store or a proxy may
//! have undone the `Content-Encoding: gzip` under which it was stored.

use super::{
    kinds::Other,
    numbers::{BLOCK, is_header},
};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// Bytes read from the source at once: large enough that a read costs little
/// beside the inflating of it, small enough to stay in the CPU's cache.
const BUFFER: usize = 128 << 10;

/// First bytes of a member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A buffered source that can show its next bytes, also across the ends of reads.
struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the last read filled the whole buffer.
    full: bool,
    hasty: bool,
}

impl<R: Read> Source<R> {
    /// Reads on from the source, behind the bytes that are kept.
    fn refill(&mut self) -> io::Result<usize> {
        // A source returns all bytes that it has: after a short read, the next one
        // waits.
        if self.hasty && !self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.inner.read(&mut self.buffer[self.end..])?;
        self.end += n;
        self.full = self.end == self.buffer.len();
        Ok(n)
    }

    /// The next bytes, at least `least` of them unless the source ends before.
    fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.end - self.start < least {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.refill()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end])
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

/// Inflates a gzip stream to its end, or passes a tar archive through.
pub(super) struct Gunzip<R> {
    state: State<R>,
}

enum State<R> {
    /// The first bytes have not been read yet.
    New(Source<R>),
    Gzip(Box<GzDecoder<Source<R>>>),
    Tar(Source<R>),
    /// Past the last member, or after an error.
    Ended,
}

impl<R: Read> State<R> {
    /// The kind of a source, by its first bytes.
    fn of(mut source: Source<R>) -> io::Result<Self> {
        let head = source.peek(BLOCK)?;
        // A single byte may be the first one of a cut member.
        if MAGIC.starts_with(&head[..head.len().min(MAGIC.len())]) && !head.is_empty() {
            return Ok(Self::Gzip(Box::new(GzDecoder::new(source))));
        }
        match head.first_chunk().is_some_and(is_header) {
            true => Ok(Self::Tar(source)),
            false => Err(io::Error::other(Other::than_an_archive(head))),
        }
    }
}

impl<R: Read> Gunzip<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            state: State::New(Source {
                inner: source,
                buffer: vec![0; BUFFER].into_boxed_slice(),
                start: 0,
                end: 0,
                full: false,
                hasty: false,
            }),
        }
    }

    /// Whether to return `WouldBlock` instead of waiting for the source.
    pub(super) fn set_hasty(&mut self, hasty: bool) {
        match &mut self.state {
            State::New(source) | State::Tar(source) => source.hasty = hasty,
            State::Gzip(member) => member.get_mut().hasty = hasty,
            State::Ended => {}
        }
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.state {
                State::New(_) => {}
                State::Gzip(member) => {
                    let n = member.read(into)?;
                    if n > 0 || into.is_empty() {
                        return Ok(n);
                    }
                    // The member is complete and checked: is there another?
                    let next = member.get_mut().peek(MAGIC.len())?;
                    if !next.starts_with(&MAGIC) {
                        self.state = State::Ended;
                    }
                }
                State::Tar(source) => return source.read(into),
                State::Ended => return Ok(0),
            }
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::New(source) => State::of(source)?,
                State::Gzip(member) => State::Gzip(Box::new(GzDecoder::new(member.into_inner()))),
                state => state,
            };
        }
    }
}
