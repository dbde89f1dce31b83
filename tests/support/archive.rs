//! Archives made entry by entry, for what no honest producer writes.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// 2023-11-14T22:13:20Z: the modification time of every entry.
pub(crate) const MODIFIED: u64 = 1_700_000_000;

/// The unit of tar.
pub(crate) const BLOCK: usize = 512;

/// A tar archive in the making. Names are bytes and are taken as they are.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// A header alone, which declares `size` bytes.
    pub(crate) fn header(
        mut self,
        kind: u8,
        path: impl AsRef<[u8]>,
        link: impl AsRef<[u8]>,
        mode: u32,
        size: u64,
    ) -> Self {
        let (path, link) = (path.as_ref(), link.as_ref());
        let mut block = [0_u8; BLOCK];
        block[..path.len()].copy_from_slice(path);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(format!("{MODIFIED:011o}").as_bytes());
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        sum(&mut block);
        self.0.extend_from_slice(&block);
        self
    }

    /// Changes the header that was added last, and sets its checksum right.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut [u8; BLOCK])) -> Self {
        let block = self.0.last_chunk_mut().unwrap();
        change(block);
        sum(block);
        self
    }

    /// Content, with the zeros that fill its last block.
    pub(crate) fn body(mut self, content: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(content.as_ref());
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn entry(self, kind: u8, path: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        self.header(kind, path, link, mode, content.len() as u64)
            .body(content)
    }

    /// A regular file.
    pub(crate) fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', path.as_ref(), b"", 0o644, content.as_ref())
    }

    /// A regular file with any mode.
    pub(crate) fn file_with_mode(self, path: &str, mode: u32, content: &str) -> Self {
        self.entry(b'0', path.as_bytes(), b"", mode, content.as_bytes())
    }

    /// A symbolic link.
    pub(crate) fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(b'2', path.as_ref(), target.as_ref(), 0o777, b"")
    }

    /// One more name for an earlier entry.
    pub(crate) fn hard_link(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(b'1', path.as_ref(), target.as_ref(), 0o644, b"")
    }

    /// A directory of its own.
    pub(crate) fn directory(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(b'5', path.as_ref(), b"", 0o755, b"")
    }

    /// An entry of any kind: a device, a fifo, an extension.
    pub(crate) fn special(
        self,
        kind: u8,
        path: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
    ) -> Self {
        self.entry(kind, path.as_ref(), b"", 0o666, content.as_ref())
    }

    /// A pax header with these records, for the next entry (`x`) or all that
    /// follow (`g`).
    pub(crate) fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.special(kind, "pax", content)
    }

    /// The bytes so far, without an end mark.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    /// With the end mark.
    pub(crate) fn ended(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }

    /// With the end mark, compressed: as one block, which can be entered nowhere.
    pub(crate) fn gz(self) -> Vec<u8> {
        gzip(&self.ended())
    }

    /// The same as gzip does it, in many blocks.
    pub(crate) fn gz_in_blocks(self) -> Vec<u8> {
        compressed(&self.ended(), Compression::default())
    }
}

/// Sets a header's checksum right.
fn sum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A number in a header's field as GNU tar writes what octal digits cannot hold.
pub(crate) fn base256(number: i64) -> [u8; 12] {
    let mut field = [if number < 0 { 0xff } else { 0 }; 12];
    field[4..].copy_from_slice(&number.to_be_bytes());
    field[0] |= 0x80;
    field
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    compressed(bytes, Compression::fast())
}

/// One gzip member, as small as can be: for zeros, a thousandth.
pub(crate) fn gzip_small(bytes: &[u8]) -> Vec<u8> {
    compressed(bytes, Compression::best())
}

fn compressed(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
