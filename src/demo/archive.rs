//! Makes the `tar.gz` archives that the service's producers make, and the
//! version ids that belong to them.
//!
//! Contents made of repeated blocks are compressed once a block and joined, so
//! that an archive of gigabytes costs neither time nor memory.

use axum::body::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, OnceLock},
};

/// Which producer's form an archive has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maker {
    /// node-tar, in the `vm0` CLI: ustar, pax for long or non-ASCII names.
    #[default]
    NodeTar,
    /// The Rust `tar` crate, in the sandbox: GNU headers and long names.
    Sandbox,
}

/// The content of a [`File`].
#[derive(Clone, Debug)]
enum Body {
    Bytes(Bytes),
    Blocks(Arc<Blocks>),
}

/// A content that is a sequence of a few distinct blocks.
#[derive(Debug)]
struct Blocks {
    distinct: Vec<Bytes>,
    /// Indexes into `distinct`.
    order: Vec<u32>,
    sha256: OnceLock<[u8; 32]>,
}

/// One file of a version.
#[derive(Clone, Debug)]
pub struct File {
    /// Path relative to the version's root.
    pub path: String,
    /// Whether the execute bits are set.
    pub executable: bool,
    /// Modification time in unix seconds.
    pub modified: u64,
    body: Body,
}

/// 2026-01-05T09:00:00Z: a fixed default, so that the same files give the same archive.
const DEFAULT_MODIFIED: u64 = 1_767_603_600;

impl File {
    /// A file that holds `content`.
    pub fn new(path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        Self {
            path: path.into(),
            executable: false,
            modified: DEFAULT_MODIFIED,
            body: Body::Bytes(content.into()),
        }
    }

    /// A file that holds `distinct[order[0]]`, `distinct[order[1]]`, and so on.
    /// Indexes past the end of `distinct` are ignored.
    ///
    /// `sha256` may be given where it is known, to save hashing the whole.
    pub fn blocks(
        path: impl Into<String>,
        distinct: Vec<Bytes>,
        order: Vec<u32>,
        sha256: Option<[u8; 32]>,
    ) -> Self {
        let known = OnceLock::new();
        if let Some(sha256) = sha256 {
            let _ = known.set(sha256);
        }
        let body = Body::Blocks(Arc::new(Blocks {
            distinct,
            order,
            sha256: known,
        }));
        Self {
            path: path.into(),
            executable: false,
            modified: DEFAULT_MODIFIED,
            body,
        }
    }

    /// The same file with its execute bits set.
    pub fn executable(mut self) -> Self {
        self.executable = true;
        self
    }

    /// The same file with another modification time, in unix seconds.
    pub fn modified(mut self, seconds: u64) -> Self {
        self.modified = seconds;
        self
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }

    /// The content, part by part.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        let (single, blocks) = match &self.body {
            Body::Bytes(bytes) => (Some(bytes), None),
            Body::Blocks(blocks) => (None, Some(blocks)),
        };
        let repeated = blocks.into_iter().flat_map(|blocks| {
            blocks
                .order
                .iter()
                .filter_map(|&index| blocks.distinct.get(index as usize))
        });
        single.into_iter().chain(repeated)
    }

    /// SHA-256 of the content.
    pub fn sha256(&self) -> [u8; 32] {
        let hash = || {
            let mut hasher = Sha256::new();
            self.parts().for_each(|part| hasher.update(part));
            hasher.finalize().into()
        };
        match &self.body {
            Body::Bytes(_) => hash(),
            Body::Blocks(blocks) => *blocks.sha256.get_or_init(hash),
        }
    }
}

/// `bytes` in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// SHA-256 of `bytes` in hex.
pub(crate) fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// The id of a version of storage `storage_id` with `files`, as the service
/// computes it: over `path:sha256` lines in JavaScript's string order.
pub fn version_id(storage_id: &str, files: &[File]) -> String {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{}:{}", file.path, hex(&file.sha256())))
        .collect();
    if lines.iter().all(|line| line.is_ascii()) {
        // The same order, found faster.
        lines.sort_unstable();
    } else {
        lines.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    }
    sha256_hex(format!("storage:{storage_id}\n{}", lines.join("\n")))
}

/// The bytes of an archive, as a sequence of shared segments.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    segments: Vec<Bytes>,
    /// Where each segment starts.
    starts: Vec<u64>,
    length: u64,
}

impl Archive {
    /// An archive that is exactly `bytes`, whatever they are.
    pub(crate) fn raw(bytes: Bytes) -> Self {
        let mut archive = Self::default();
        archive.push(bytes);
        archive
    }

    fn push(&mut self, segment: Bytes) {
        if !segment.is_empty() {
            self.starts.push(self.length);
            self.length += segment.len() as u64;
            self.segments.push(segment);
        }
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Some bytes from `position` on, at most `limit`; empty only at the end.
    pub(crate) fn slice(&self, position: u64, limit: u64) -> Bytes {
        let index = self.starts.partition_point(|&start| start <= position);
        let Some(index) = index.checked_sub(1) else {
            return Bytes::new();
        };
        let segment = &self.segments[index];
        let offset = usize::try_from(position - self.starts[index]).unwrap_or(usize::MAX);
        if offset >= segment.len() {
            return Bytes::new();
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        segment.slice(offset..segment.len().min(offset.saturating_add(limit)))
    }

    /// The `tar.gz` of `files`: one gzip member, level 6, only file entries.
    pub(crate) fn pack(files: &[File], maker: Maker) -> Self {
        let mut gzip = Gzip::new();
        for file in files {
            gzip.literal(&header(file, maker));
            match &file.body {
                Body::Bytes(bytes) => gzip.literal(bytes),
                Body::Blocks(blocks) => gzip.blocks(blocks),
            }
            let padding = (512 - file.size() % 512) % 512;
            gzip.literal(&[0; 512][..padding as usize]);
        }
        // Two empty blocks end a tar archive.
        gzip.literal(&[0; 1024]);
        gzip.finish()
    }
}

/// Writes one gzip member, segment by segment.
struct Gzip {
    archive: Archive,
    encoder: DeflateEncoder<Vec<u8>>,
    crc: Crc,
}

/// gzip's default, and what both producers use.
const LEVEL: u32 = 6;

fn encoder() -> DeflateEncoder<Vec<u8>> {
    DeflateEncoder::new(Vec::new(), Compression::new(LEVEL))
}

impl Gzip {
    fn new() -> Self {
        let mut archive = Archive::default();
        // RFC 1952: magic, deflate, no flags, no time, no extra flags, Unix.
        archive.push(Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]));
        Self {
            archive,
            encoder: encoder(),
            crc: Crc::new(),
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        // Writing to a Vec does not fail.
        let _ = self.encoder.write_all(bytes);
    }

    /// Ends the segment at a byte boundary, its deflate stream still open.
    fn cut(encoder: &mut DeflateEncoder<Vec<u8>>) -> Bytes {
        let _ = encoder.flush();
        Bytes::from(std::mem::take(encoder.get_mut()))
    }

    /// A block compressed by a fresh encoder refers to nothing before it, so
    /// its bytes may stand anywhere that the stream is at a byte boundary.
    fn blocks(&mut self, blocks: &Blocks) {
        self.archive.push(Self::cut(&mut self.encoder));
        let compressed: Vec<(Bytes, Crc)> = blocks
            .distinct
            .iter()
            .map(|block| {
                let mut encoder = encoder();
                let _ = encoder.write_all(block);
                let mut crc = Crc::new();
                crc.update(block);
                (Self::cut(&mut encoder), crc)
            })
            .collect();
        for &index in &blocks.order {
            if let Some((segment, crc)) = compressed.get(index as usize) {
                self.archive.push(segment.clone());
                self.crc.combine(crc);
            }
        }
        self.encoder = encoder();
    }

    fn finish(mut self) -> Archive {
        let mut last = self.encoder.finish().unwrap_or_default();
        last.extend_from_slice(&self.crc.sum().to_le_bytes());
        last.extend_from_slice(&self.crc.amount().to_le_bytes());
        self.archive.push(Bytes::from(last));
        self.archive
    }
}

/// Everything that precedes a file's content: its header, and before it the
/// extension that a name too long or not ASCII needs.
fn header(file: &File, maker: Maker) -> Vec<u8> {
    let path = file.path.as_bytes();
    let mut out = Vec::with_capacity(512);
    let mode = if file.executable { 0o755 } else { 0o644 };
    let entry = |name: &[u8], size: u64, kind: u8| Block {
        name: name.to_vec(),
        prefix: Vec::new(),
        mode,
        size,
        modified: file.modified,
        kind,
        gnu: maker == Maker::Sandbox,
    };
    let mut main = entry(path, file.size(), b'0');
    match maker {
        Maker::Sandbox if path.len() > NAME => {
            let mut long = path.to_vec();
            long.push(0);
            out.extend(entry(b"././@LongLink", long.len() as u64, b'L').bytes());
            padded(&mut out, &long);
            main.name.truncate(NAME);
        }
        Maker::NodeTar if path.len() > NAME || !path.is_ascii() => match split(path) {
            Some((prefix, name)) if path.is_ascii() => {
                main.prefix = prefix.to_vec();
                main.name = name.to_vec();
            }
            _ => {
                let record = pax_record("path", &file.path);
                let base = file.path.rsplit('/').next().unwrap_or_default();
                let mut name = format!("PaxHeader/{base}").into_bytes();
                name.truncate(99);
                out.extend(entry(&name, record.len() as u64, b'x').bytes());
                padded(&mut out, &record);
                main.name.truncate(NAME);
            }
        },
        _ => {}
    }
    out.extend(main.bytes());
    out
}

/// Bytes for a name in a tar header, and for the prefix in ustar's.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// Splits a path at a slash so that ustar's prefix and name hold it.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path
        .iter()
        .enumerate()
        .position(|(at, &byte)| byte == b'/' && path.len() - at - 1 <= NAME)?;
    (at <= PREFIX && at + 1 < path.len()).then(|| (&path[..at], &path[at + 1..]))
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while format!("{length}{rest}").len() != length {
        length = format!("{length}{rest}").len();
    }
    format!("{length}{rest}").into_bytes()
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// One 512-byte tar header.
struct Block {
    name: Vec<u8>,
    prefix: Vec<u8>,
    mode: u32,
    size: u64,
    modified: u64,
    kind: u8,
    gnu: bool,
}

impl Block {
    fn bytes(&self) -> [u8; 512] {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, format!("{:07o}\0", 1000).as_bytes());
        put(116, format!("{:07o}\0", 1000).as_bytes());
        if self.size < 1 << 33 {
            put(124, format!("{:011o}\0", self.size).as_bytes());
        } else {
            // Base 256, as GNU and node-tar write what 11 octal digits cannot hold.
            put(124, &[0x80, 0, 0, 0]);
            put(128, &self.size.to_be_bytes());
        }
        put(136, format!("{:011o}\0", self.modified).as_bytes());
        put(148, b"        ");
        put(156, &[self.kind]);
        put(
            257,
            if self.gnu {
                b"ustar  \0"
            } else {
                b"ustar\x0000"
            },
        );
        put(345, &self.prefix);
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    fn unpack(archive: &Archive) -> Vec<(String, u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < archive.len() {
            bytes.extend_from_slice(&archive.slice(bytes.len() as u64, 100_000));
        }
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        tar.entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (
                    String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
                    entry.header().mode().unwrap(),
                    content,
                )
            })
            .collect()
    }

    #[test]
    fn both_forms_unpack_to_the_same_files() {
        let long = format!("{}/{}.txt", "d".repeat(90), "n".repeat(90));
        let longer = format!("{}/{}.txt", "d".repeat(190), "n".repeat(190));
        let block = |byte: u8| Bytes::from(vec![byte; 70_000]);
        let files = [
            File::new("a.txt", "one"),
            File::new("bin/run", "#!/bin/sh\n").executable(),
            File::new("größe/日本.md", "two"),
            File::new(long, "three"),
            File::new(longer, vec![7; 512]),
            File::blocks("big", vec![block(1), block(2)], vec![0, 1, 1, 0], None),
            File::new("empty", ""),
            File::new("last", "x".repeat(600)),
        ];
        for maker in [Maker::NodeTar, Maker::Sandbox] {
            let entries = unpack(&Archive::pack(&files, maker));
            assert_eq!(entries.len(), files.len(), "{maker:?}");
            for (file, (path, mode, content)) in files.iter().zip(entries) {
                assert_eq!(file.path, path);
                assert_eq!(mode, if file.executable { 0o755 } else { 0o644 });
                assert_eq!(content.len() as u64, file.size());
                assert_eq!(Sha256::digest(&content)[..], file.sha256());
            }
        }
    }

    #[test]
    fn version_ids_are_those_of_the_service() {
        let files = [File::new("b", "2"), File::new("a", "1")];
        let text = format!("storage:s\na:{}\nb:{}", sha256_hex("1"), sha256_hex("2"));
        assert_eq!(version_id("s", &files), sha256_hex(text));
        assert_eq!(version_id("s", &[]), sha256_hex("storage:s\n"));
        // U+FF5E sorts before U+1F600 by code point, after it by UTF-16 unit.
        let files = [File::new("\u{ff5e}", ""), File::new("\u{1f600}", "")];
        let empty = sha256_hex("");
        let text = format!("storage:s\n\u{1f600}:{empty}\n\u{ff5e}:{empty}");
        assert_eq!(version_id("s", &files), sha256_hex(text));
    }
}
