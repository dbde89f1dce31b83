//! Gzip as `gzip -d` reads it: several members one after another, CRC and
//! length of each checked, anything else after a complete member ignored.
//!
//! An uncompressed tar archive passes through: an object store or a proxy may
//! have undone the `Content-Encoding: gzip` under which it was stored.

use super::{
    kinds::Other,
    numbers::{BLOCK, is_header},
};
use crate::store::checksums::Checksum;
use crate::store::seek::{Event, MAGIC, Member, Recorded, Recorder, Start};
use std::io::{self, Read};

/// Bytes read from the source at once: large enough that a read costs little
/// beside the inflating of it, small enough to stay in the CPU's cache.
const BUFFER: usize = 128 << 10;

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

    /// The next bytes; none at the end of the source.
    fn fill(&mut self) -> io::Result<&[u8]> {
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
    source: Source<R>,
    state: State,
    recorder: Recorder,
    sum: Checksum,
}

enum State {
    /// The first bytes have not been read yet.
    New,
    /// At a byte of which so many bits belong to the stream.
    Entered(Box<Member>, u8),
    Gzip(Box<Member>),
    /// Past a complete member: is there another?
    Between(Box<Member>),
    Tar,
    /// Past the last member.
    Ended,
    /// It cannot begin there.
    Broken,
}

impl State {
    /// The kind of a source, by its first bytes.
    fn of(head: &[u8]) -> io::Result<Self> {
        // A single byte may be the first one of a cut member.
        if MAGIC.starts_with(&head[..head.len().min(MAGIC.len())]) && !head.is_empty() {
            return Ok(Self::Gzip(Box::new(Member::new())));
        }
        match head.first_chunk().is_some_and(is_header) {
            true => Ok(Self::Tar),
            false => Err(io::Error::other(Other::than_an_archive(head))),
        }
    }
}

impl<R: Read> Gunzip<R> {
    /// One that begins at `start`, with a source that does; `recorder` sees what is
    /// inflated.
    pub(super) fn new(source: R, recorder: Recorder, start: &Start) -> Self {
        let state = match start {
            Start::New => State::New,
            Start::Stored(_) => State::Tar,
            Start::Point(point) => {
                let member = point.member();
                member.map_or(State::Broken, |it| {
                    State::Entered(Box::new(it), point.bits())
                })
            }
        };
        Self {
            source: Source {
                inner: source,
                buffer: vec![0; BUFFER].into_boxed_slice(),
                start: 0,
                end: 0,
                full: false,
                hasty: false,
            },
            state,
            recorder,
            sum: Checksum::default(),
        }
    }

    /// The checksum of what was read since the last call.
    pub(super) fn take_sum(&mut self) -> u32 {
        self.sum.take()
    }

    /// Whether the archive is not compressed, once the first bytes have come.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self.state, State::Tar)
    }

    /// Whether to return `WouldBlock` instead of waiting for the source.
    pub(super) fn set_hasty(&mut self, hasty: bool) {
        self.source.hasty = hasty;
    }

    /// What is known of the stream at its end.
    pub(super) fn finish(self) -> Recorded {
        self.recorder.finish()
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self {
            source,
            state,
            recorder,
            sum,
        } = self;
        loop {
            match state {
                State::New => *state = State::of(source.peek(BLOCK)?)?,
                State::Entered(member, bits) => {
                    if *bits > 0 {
                        let first = source.peek(1)?.first();
                        let first = *first.ok_or(io::ErrorKind::UnexpectedEof)?;
                        member.lead_in(*bits, first)?;
                        recorder.led_in(first);
                        source.consume(1);
                    }
                    *state = match std::mem::replace(state, State::Ended) {
                        State::Entered(member, _) => State::Gzip(member),
                        state => state,
                    };
                }
                State::Gzip(member) => {
                    let input = source.fill()?;
                    let (most_input, most) = recorder.most();
                    let input = &input[..most_input.min(input.len())];
                    let most = most.min(into.len());
                    let step = member.step(input, &mut into[..most], recorder.wants_boundary())?;
                    let (taken, given) = (&input[..step.taken], &into[..step.given]);
                    recorder.stepped(taken, given, step.event, member.sums());
                    // That of the member is made of it too: the bytes are summed once.
                    sum.append(step.sum, step.given as u64);
                    let is_stuck = (step.taken, step.given, step.event) == (0, 0, Event::More);
                    if is_stuck && !into.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    source.consume(step.taken);
                    if step.event == Event::Done {
                        // It is complete and checked.
                        *state = match std::mem::replace(state, State::Ended) {
                            State::Gzip(member) => State::Between(member),
                            state => state,
                        };
                    }
                    if step.given > 0 || into.is_empty() {
                        return Ok(step.given);
                    }
                }
                State::Between(member) => {
                    let next = source.peek(MAGIC.len())?.starts_with(&MAGIC);
                    member.restart();
                    *state = match std::mem::replace(state, State::Ended) {
                        State::Between(member) if next => State::Gzip(member),
                        _ => State::Ended,
                    };
                }
                State::Tar => {
                    let from = source.fill()?;
                    let n = from.len().min(into.len());
                    into[..n].copy_from_slice(&from[..n]);
                    sum.add(&into[..n]);
                    source.consume(n);
                    recorder.passed(n as u64);
                    return Ok(n);
                }
                State::Ended => return Ok(0),
                State::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}
