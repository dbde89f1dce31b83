//! Short bytes, deflated and inflated at once.

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status, compress_bound};

/// As small as is worth its time.
const LEVEL: i32 = 6;
/// Bits of the largest window.
const WINDOW_BITS: u8 = 15;

/// Bytes that the end of a part adds at most.
const PART: usize = 16;
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

    /// Raw deflate data that may refer to a dictionary before it. Each part has blocks of
    /// its own.
    pub(super) fn deflate(&mut self, parts: &[&[u8]], dictionary: &[u8]) -> Vec<u8> {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut deflated = vec![0; compress_bound(length) + PART * parts.len()];
        self.0.reset();
        if !dictionary.is_empty() {
            let set = self.0.set_dictionary(dictionary);
            debug_assert!(set.is_ok(), "the stream is at its start");
        }
        for (at, part) in parts.iter().enumerate() {
            let (flush, expected) = match at + 1 == parts.len() {
                true => (DeflateFlush::Finish, Status::StreamEnd),
                false => (DeflateFlush::Block, Status::Ok),
            };
            let free = &mut deflated[self.0.total_out() as usize..];
            let status = self.0.compress(part, free, flush);
            debug_assert_eq!(status, Ok(expected), "the bound is one");
        }
        deflated.truncate(self.0.total_out() as usize);
        deflated
    }
}

/// Raw deflate data; nothing for no bytes. A few are stored as they are (RFC 1951, 3.2.4).
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    if bytes.len() <= FEW {
        let length = bytes.len() as u16;
        let head = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        return [&[LAST_STORED], &head[..], bytes].concat();
    }
    Deflater::new().deflate(&[bytes], &[])
}

/// What [`deflate`] was given, if it had `most` bytes at most.
pub(super) fn inflate(deflated: &[u8], most: usize) -> Option<Vec<u8>> {
    if deflated.is_empty() {
        return Some(Vec::new());
    }
    inflate_after(&[], deflated, most)
}

/// What [`Deflater::deflate`] was given with this dictionary, if it had `most` bytes at most.
pub(super) fn inflate_after(dictionary: &[u8], deflated: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut inflate = Inflate::new(false, WINDOW_BITS);
    if !dictionary.is_empty() {
        inflate.set_dictionary(dictionary).ok()?;
    }
    let status = inflate.decompress(deflated, &mut bytes, InflateFlush::Finish);
    let is_whole = status == Ok(Status::StreamEnd) && inflate.total_in() == deflated.len() as u64;
    bytes.truncate(inflate.total_out() as usize);
    is_whole.then_some(bytes)
}
