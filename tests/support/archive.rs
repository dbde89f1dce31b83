//! Archives made entry by entry, for what no honest producer writes.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// 2023-11-14T22:13:20Z: the modification time of every entry.
pub(crate) const MODIFIED: u64 = 1_700_000_000;

/// A tar archive in the making. Names are bytes and are taken as they are.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: u8, path: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        let mut block = [0_u8; 512];
        block[..path.len()].copy_from_slice(path);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[136..147].copy_from_slice(format!("{MODIFIED:011o}").as_bytes());
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
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
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    /// One more name for an earlier entry.
    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    /// A directory of its own.
    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(b'5', path.as_bytes(), b"", 0o755, b"")
    }

    /// An entry of any kind without content: a device, a fifo.
    pub(crate) fn special(self, kind: u8, path: &str) -> Self {
        self.entry(kind, path.as_bytes(), b"", 0o666, b"")
    }

    /// With the end mark, compressed.
    pub(crate) fn gz(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        gzip(&self.0)
    }
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
