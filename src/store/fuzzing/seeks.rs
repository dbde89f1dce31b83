//! The file `seek`, read and asked for everything.

use crate::store::checksums::checksum;
use crate::store::index::format::Header;
use crate::store::seek::SeekIndex;
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
};

/// Bytes of the header, of which the harness sets the first 16, the table and what
/// follows that (`store/seek/format`).
const HEADER: usize = 88;
/// Bytes that are read of one span, and spans that are read.
const MOST: u64 = 1 << 20;
const SPANS: usize = 20;

/// A file with arbitrary bytes.
pub struct Seeks {
    file: File,
}

impl Seeks {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn new() -> Self {
        let file = tempfile::tempfile().expect("a temporary file");
        Self { file }
    }

    /// Reads a seek index and all that it leads to.
    ///
    /// `data`: how (a byte), the length of the numbers (two bytes), those of the pack
    /// (eight) and the number of blobs of the tree (four); then a file as it is, or, with
    /// bit 0 of how, a header of 88 bytes, numbers and windows, of which a file is made
    /// whose lengths and checksum are right. Bit 1: whether the archive is gzip. The
    /// windows are also what spans are read from. Returns whether it could be read.
    ///
    /// # Panics
    /// If the index says what cannot be.
    pub fn run(&self, data: &[u8]) -> bool {
        let Some((&[how, low, high], rest)) = data.split_first_chunk() else {
            return false;
        };
        let Some((pack, rest)) = rest.split_first_chunk() else {
            return false;
        };
        let Some((blobs, rest)) = rest.split_first_chunk() else {
            return false;
        };
        let tree = Header {
            nodes: 0,
            dirents: 0,
            arena: 0,
            pack: u64::from_le_bytes(*pack),
            blobs: u32::from_le_bytes(*blobs),
            sums: 0,
            table: [7; 32],
            pieces: 0,
            longs: 0,
            digests: 0,
        };
        let numbers = usize::from(u16::from_le_bytes([low, high]));
        let bytes = match how & 1 {
            0 => rest.to_vec(),
            _ => assembled(rest, numbers, how & 2 != 0),
        };
        let mut file = &self.file;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&bytes))
            .and_then(|()| file.rewind())
            .expect("a file written");
        let index = SeekIndex::read(&self.file, &tree);
        index.is_some_and(|index| {
            ask_for_all(&index, rest.get(HEADER + numbers..).unwrap_or(rest));
            true
        })
    }
}

impl Default for Seeks {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks for everything; `source` plays the archive.
fn ask_for_all(index: &SeekIndex, source: &[u8]) {
    let (spans, length) = (index.spans(), index.archive().length);
    assert!(spans > 0 && index.memory() > 0);
    let mut end = 0;
    let some = (0..spans.min(SPANS)).chain([spans - 1, spans, usize::MAX]);
    for (at, span) in some.enumerate() {
        let output = index.output(span);
        assert!(output.start <= output.end);
        assert!(span != at || output.start == end, "spans follow");
        end = output.end;
        if !output.is_empty() {
            assert_eq!(index.span_at(output.start), span);
            assert_eq!(index.span_at(output.end - 1), span);
        }
        for to in [
            0,
            output.start + output.end.abs_diff(output.start) / 2,
            u64::MAX,
        ] {
            let input = index.input(span, to);
            assert!(input.start <= input.end && input.end <= length.saturating_add(1));
        }
        for to in [output.start + (output.end - output.start) / 2, output.end] {
            let around = index.output(index.span_at(to.saturating_sub(1)));
            let reach = index.reach(to);
            assert!(reach >= to && reach <= around.end.max(to));
        }
        let mut reader = index
            .inflate(span, index.output(span).end, source)
            .take(MOST);
        if let Ok(read) = io::copy(&mut reader, &mut io::sink()) {
            assert!(read <= output.end - output.start);
            let _ = reader.into_inner().pause();
        }
    }
    let _ = index.span_at(u64::MAX);
    let mut end = 0;
    for extent in index.extents_of_output(0..u64::MAX) {
        assert!(extent.length > 0 && extent.tar >= end, "extents follow");
        end = extent.tar + extent.length;
        let byte = extent.at..extent.at + 1;
        let found = index.extents_of_part(extent.part, byte).next();
        assert_eq!(found.map(|found| found.tar), Some(extent.tar));
    }
}

/// A file of a header, numbers and windows, with the lengths and the checksum that
/// belong to it.
fn assembled(parts: &[u8], numbers: usize, gzip: bool) -> Vec<u8> {
    let (head, rest) = parts.split_at(parts.len().min(HEADER));
    let (numbers, windows) = rest.split_at(rest.len().min(numbers));
    let mut bytes = head.to_vec();
    bytes.resize(HEADER, 0);
    bytes[..8].copy_from_slice(b"vm0seek\n");
    bytes[8..16].copy_from_slice(&[2, 0, 0, 0, u8::from(gzip), 0, 0, 0]);
    bytes[40..72].fill(7);
    // Deflated without compression, and no ETag.
    let length = numbers.len() as u16;
    let mut deflated = vec![1];
    deflated.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    deflated.extend(numbers);
    let lengths = [0, u32::from(length), deflated.len() as u32, 0];
    let lengths = lengths.map(u32::to_le_bytes).concat();
    bytes[72..].copy_from_slice(&lengths);
    bytes.extend(deflated);
    bytes.extend(windows);
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}
