//! A tar stream as blocks and bodies. The archive cannot make what is kept here large.

use super::super::skeleton::{Skeleton, What};
use super::{fault::Fault, inflate::Inflated, numbers::BLOCK};

/// Maximum size of a header that is kept in memory: longer than any path that Linux
/// accepts, with space for the map of a file with holes and for records that are ignored
/// (comments, extended attributes).
const HEADER_BYTES: u64 = 8 << 20;
/// Reads the bytes of a tar stream.
pub(super) struct Stream<'a> {
    inner: Inflated<'a>,
    /// The current block, and the position in it.
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of tar taken so far, for error messages.
    position: u64,
    /// Bytes of the current body not taken yet, and the zeros after them.
    body: u64,
    padding: u64,
    /// Where the content is written that is taken as a body.
    content: What,
    /// Sees all that is taken.
    skeleton: Skeleton<'a>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(inner: Inflated<'a>, skeleton: Skeleton<'a>) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            body: 0,
            padding: 0,
            content: What::Passed,
            skeleton,
        }
    }

    /// Begins a body of so many bytes.
    pub(super) fn begin(&mut self, body: u64) {
        self.body = body;
        self.padding = body.wrapping_neg() % BLOCK as u64;
    }

    /// Says to which blob the bodies are written that come; `None`: to the pack.
    pub(super) fn write_to(&mut self, blob: Option<u32>) {
        self.content = What::Content(blob);
    }

    /// The next bytes of the current body; none at its end.
    pub(super) fn next_of_body(&mut self) -> Result<&[u8], Fault> {
        if self.body == 0 {
            return Ok(&[]);
        }
        let n = self.fill("a file's content")?.len() as u64;
        let n = n.min(self.body);
        self.body -= n;
        let from = self.start;
        self.take(n as usize, self.content);
        Ok(&self.buffer[from..self.start])
    }

    /// Bytes of the current body that have not been taken.
    pub(super) fn body(&self) -> u64 {
        self.body
    }

    /// Counts bytes that are about to be taken as part of the body; false if it has
    /// fewer left.
    pub(super) fn takes_from_body(&mut self, bytes: u64) -> bool {
        let left = self.body.checked_sub(bytes);
        self.body = left.unwrap_or(self.body);
        left.is_some()
    }

    /// Bytes of tar so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads to the end of the stream. More than `most` bytes are refused.
    pub(super) fn drain(&mut self, most: u64) -> Result<(), Fault> {
        let mut rest = 0;
        loop {
            let n = self.buffer.len() - self.start;
            rest += n as u64;
            self.take(n, What::Passed);
            if rest > most {
                return Err(Fault::Limit(format!(
                    "more than {most} bytes after the end of the archive"
                )));
            }
            if !self.refill()? {
                return Ok(());
            }
        }
    }

    /// Skips what is left of the current body.
    pub(super) fn pass(&mut self) -> Result<(), Fault> {
        let mut left = self.body.saturating_add(self.padding);
        while left > 0 {
            let n = self.fill("an entry")?.len();
            let n = n.min(usize::try_from(left).unwrap_or(n));
            self.take(n, What::Passed);
            left -= n as u64;
        }
        (self.body, self.padding) = (0, 0);
        Ok(())
    }

    /// Whether the stream has ended.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Fault> {
        Ok(self.start == self.buffer.len() && !self.refill()?)
    }

    /// The whole body of an extension header.
    pub(super) fn extension(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > HEADER_BYTES {
            return Err(Fault::Limit(format!(
                "byte {}: an extension header of {size} bytes; {HEADER_BYTES} are allowed",
                self.position
            )));
        }
        let mut content = Vec::with_capacity(size as usize);
        let mut left = size as usize;
        while left > 0 {
            let from = self.fill("an extension header")?;
            let n = from.len().min(left);
            content.extend_from_slice(&from[..n]);
            self.take(n, What::Header);
            left -= n;
        }
        self.padding = size.wrapping_neg() % BLOCK as u64;
        self.pass()?;
        Ok(content)
    }

    /// A whole block; `what` it is part of.
    pub(super) fn block(&mut self, what: &str) -> Result<[u8; BLOCK], Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let from = self.fill(what)?;
            let n = from.len().min(BLOCK - filled);
            block[filled..filled + n].copy_from_slice(&from[..n]);
            self.take(n, What::Header);
            filled += n;
        }
        Ok(block)
    }

    /// The buffered bytes, at least one; the end of the stream is an error.
    fn fill(&mut self, inside: &str) -> Result<&[u8], Fault> {
        if self.is_at_end()? {
            return Err(Fault::Bad(format!(
                "byte {}: the archive ends inside {inside}",
                self.position
            )));
        }
        Ok(&self.buffer[self.start..])
    }

    fn take(&mut self, n: usize, what: What) {
        self.skeleton.note(&self.buffer[self.start..][..n], what);
        self.start += n;
        self.position += n as u64;
    }

    /// Reads on; false at the end of the stream.
    fn refill(&mut self) -> Result<bool, Fault> {
        self.start = 0;
        let next = self.inner.next(&mut self.buffer).inspect_err(|_| {
            // A download that failed is gone on with from here.
            self.skeleton.broken_off();
        });
        let sum = next.map_err(|error| Fault::read(error, self.position))?;
        if let Some(sum) = sum {
            self.skeleton.begin(self.buffer.len() as u64, sum);
        }
        Ok(sum.is_some())
    }
}
