//! Short bytes, deflated and inflated at once.

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status, compress_bound};

/// As small as is worth its time.
const LEVEL: i32 = 6;
/// Bits of the largest window.
const WINDOW_BITS: u8 = 15;

/// So few bytes are not worth the memory that deflating takes.
const FEW: usize = 4 << 10;
/// The beginning of a stream of one block that is stored, not compressed.
const LAST_STORED: u8 = 1;

/// Deflates one text after another in the same memory: some hundred KiB, which the C library
/// would give back to the kernel after each and ask for again.
pub(super) struct Deflater(Deflate);

impl Deflater {
    pub(super) fn new() -> Self {
        Self(Deflate::new(LEVEL, false, WINDOW_BITS))
    }

    /// Raw deflate data; nothing for no bytes.
    pub(super) fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let mut deflated = vec![0; compress_bound(bytes.len())];
        self.0.reset();
        let status = self.0.compress(bytes, &mut deflated, DeflateFlush::Finish);
        debug_assert_eq!(status, Ok(Status::StreamEnd), "the bound is one");
        deflated.truncate(self.0.total_out() as usize);
        deflated
    }
}

/// Raw deflate data; nothing for no bytes. A few are stored as they are (RFC 1951, 3.2.4).
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    if !bytes.is_empty() && bytes.len() <= FEW {
        let length = bytes.len() as u16;
        let head = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        return [&[LAST_STORED], &head[..], bytes].concat();
    }
    Deflater::new().deflate(bytes)
}

/// What [`deflate`] was given, if it had `most` bytes at most.
pub(super) fn inflate(deflated: &[u8], most: usize) -> Option<Vec<u8>> {
    if deflated.is_empty() {
        return Some(Vec::new());
    }
    let mut bytes = vec![0; most];
    let mut inflate = Inflate::new(false, WINDOW_BITS);
    let status = inflate.decompress(deflated, &mut bytes, InflateFlush::Finish);
    let is_whole = status == Ok(Status::StreamEnd) && inflate.total_in() == deflated.len() as u64;
    bytes.truncate(inflate.total_out() as usize);
    is_whole.then_some(bytes)
}
