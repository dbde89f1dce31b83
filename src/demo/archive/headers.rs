//! Headers of tar entries, byte by byte as their makers write them: GNU tar 1.34,
//! node-tar 7.5, and the Rust crate `tar` 0.4. A test holds them against the
//! makers (`tests/archives/makers.rs`).

use super::file::{File, Maker};

/// Bytes for a name and a link's target in a header.
const NAME: usize = 100;
/// Bytes for the prefix of a name, which node-tar cuts short to keep two times.
const PREFIX: usize = 130;

/// The owners in the headers of the sandbox and of the CLI.
const SANDBOX_USER: &[u8] = b"user";
const CLI_USER: &str = "ada";
const USER_ID: u64 = 1000;

/// One entry.
#[derive(Debug)]
pub(super) struct Header<'a> {
    path: String,
    kind: u8,
    link: &'a str,
    /// The link's target, if it is not a text of the file.
    first: Option<String>,
    mode: u32,
    /// Bytes of content behind it.
    pub(super) size: u64,
    modified: u64,
    pub(super) content: Option<&'a File>,
}

impl<'a> Header<'a> {
    fn new(path: String, kind: u8, modified: u64, mode: u32) -> Self {
        Self {
            path,
            kind,
            link: "",
            first: None,
            mode,
            size: 0,
            modified,
            content: None,
        }
    }

    pub(super) fn regular(path: String, file: &'a File) -> Self {
        Self {
            size: file.size(),
            content: Some(file),
            ..Self::new(path, b'0', file.modified, mode(file))
        }
    }

    pub(super) fn folder(path: String, modified: u64, mode: u32) -> Self {
        Self::new(path, b'5', modified, mode)
    }

    pub(super) fn symlink(path: String, target: &'a str, modified: u64) -> Self {
        Self {
            link: target,
            ..Self::new(path, b'2', modified, 0o777)
        }
    }

    /// A further name of the entry that was written as `first`.
    pub(super) fn hard_link(path: String, first: &str, file: &File) -> Self {
        Self {
            first: Some(first.into()),
            ..Self::new(path, b'1', file.modified, mode(file))
        }
    }

    fn link(&self) -> &str {
        self.first.as_deref().unwrap_or(self.link)
    }

    /// Its header, preceded by the extensions that it needs.
    pub(super) fn bytes(&self, maker: Maker) -> Vec<u8> {
        match maker {
            Maker::NodeTar => self.by_node(),
            Maker::Sandbox | Maker::RustTar => self.by_gnu(maker),
        }
    }

    fn by_gnu(&self, maker: Maker) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        for (kind, text) in [(b'K', self.link()), (b'L', &self.path)] {
            if text.len() > NAME {
                let mut long = text.as_bytes().to_vec();
                long.push(0);
                let mut block = gnu(b"././@LongLink", kind, 0o644, 0, long.len() as u64, 0);
                if maker == Maker::Sandbox {
                    put(&mut block, USER, b"root");
                    put(&mut block, GROUP, b"root");
                }
                out.extend(summed(block, GNU_SUM));
                padded(&mut out, &long);
            }
        }
        // The Rust crate takes the mode as `stat` gives it, the type with it.
        let mode = match maker {
            Maker::RustTar => 0o100_000 | self.mode,
            _ => self.mode,
        };
        let name = self.path.as_bytes();
        let mut block = gnu(name, self.kind, mode, USER_ID, self.size, self.modified);
        put(&mut block, LINK, cut(self.link().as_bytes(), NAME));
        match maker {
            Maker::RustTar => {
                put(&mut block, MAJOR, b"0000000");
                put(&mut block, MINOR, b"0000000");
            }
            _ => {
                put(&mut block, USER, SANDBOX_USER);
                put(&mut block, GROUP, SANDBOX_USER);
            }
        }
        out.extend(summed(block, GNU_SUM));
        out
    }

    fn by_node(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let (name, prefix, is_long) = split(&self.path);
        let is_plain = self.path.is_ascii() && self.link().is_ascii();
        if is_long || !is_plain || self.link().len() > NAME || self.size > MOST_OCTAL {
            let body = self.pax();
            let base = self.path.rsplit('/').next().unwrap_or_default();
            let name: String = format!("PaxHeader/{base}").chars().take(99).collect();
            let block = node(&name, "", b'x', 0o644, body.len() as u64, self.modified);
            out.extend(summed(block, NODE_SUM));
            padded(&mut out, &body);
        }
        let mut block = node(name, prefix, self.kind, self.mode, self.size, self.modified);
        put(&mut block, LINK, cut(self.link().as_bytes(), NAME));
        put(&mut block, USER, CLI_USER.as_bytes());
        out.extend(summed(block, NODE_SUM));
        out
    }

    /// The records of an extended header, in node-tar's order. Device and inode
    /// are those of no disk.
    fn pax(&self) -> Vec<u8> {
        let mut records = vec![
            ("path", self.path.clone()),
            ("ctime", self.modified.to_string()),
            ("atime", self.modified.to_string()),
            ("SCHILY.dev", "65024".into()),
            ("SCHILY.ino", "1311102".into()),
            ("SCHILY.nlink", "1".into()),
            ("gid", USER_ID.to_string()),
        ];
        if !self.link().is_empty() {
            records.push(("linkpath", self.link().into()));
        }
        records.extend([
            ("mtime", self.modified.to_string()),
            ("size", self.size.to_string()),
            ("uid", USER_ID.to_string()),
            ("uname", CLI_USER.into()),
        ]);
        let records = records.iter().map(|(key, value)| pax_record(key, value));
        records.collect::<Vec<_>>().concat()
    }
}

fn mode(file: &File) -> u32 {
    let usual = if file.executable { 0o755 } else { 0o644 };
    file.mode.unwrap_or(usual)
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

/// Name, prefix, and whether they are not the whole path, as node-tar splits it:
/// the first way from the right in which both fit.
fn split(path: &str) -> (&str, &str, bool) {
    if path.len() < NAME {
        return (path, "", false);
    }
    let mut at = path.rfind('/');
    loop {
        let (prefix, name) = match at {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (".", path),
        };
        if prefix.len() <= PREFIX {
            return match name.len() <= NAME {
                true => (name, prefix, false),
                false => (first(name, NAME - 1), prefix, true),
            };
        }
        at = path[..at.unwrap_or(0)].rfind('/');
        if at.is_none() {
            return (first(path, NAME - 1), "", true);
        }
    }
}

/// The first characters of a text, as JavaScript slices it.
fn first(text: &str, count: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, character)| {
        units += character.len_utf16();
        units > count
    });
    end.map_or(text, |(at, _)| &text[..at])
}

fn cut(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..bytes.len().min(length)]
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// Where the fields of a header are.
const MODE: usize = 100;
const UID: usize = 108;
const GID: usize = 116;
const SIZE: usize = 124;
const TIME: usize = 136;
const SUM: usize = 148;
const KIND: usize = 156;
const LINK: usize = 157;
const MAGIC: usize = 257;
const USER: usize = 265;
const GROUP: usize = 297;
const MAJOR: usize = 329;
const MINOR: usize = 337;
const PREFIX_AT: usize = 345;
const ACCESSED: usize = 476;
const CHANGED: usize = 488;

/// The largest number that 11 octal digits hold.
const MOST_OCTAL: u64 = (1 << 33) - 1;

type Block = [u8; 512];

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A number too large for octal digits, in base 256 as all producers write it.
fn put_large(block: &mut Block, number: u64) {
    put(block, SIZE, &[0x80, 0, 0, 0]);
    put(block, SIZE + 4, &number.to_be_bytes());
}

fn gnu(name: &[u8], kind: u8, mode: u32, owner: u64, size: u64, modified: u64) -> Block {
    let mut block = [0; 512];
    put(&mut block, 0, cut(name, NAME));
    put(&mut block, MODE, format!("{mode:07o}").as_bytes());
    put(&mut block, UID, format!("{owner:07o}").as_bytes());
    put(&mut block, GID, format!("{owner:07o}").as_bytes());
    match size > MOST_OCTAL {
        true => put_large(&mut block, size),
        false => put(&mut block, SIZE, format!("{size:011o}").as_bytes()),
    }
    put(&mut block, TIME, format!("{modified:011o}").as_bytes());
    put(&mut block, KIND, &[kind]);
    put(&mut block, MAGIC, b"ustar  ");
    block
}

fn node(name: &str, prefix: &str, kind: u8, mode: u32, size: u64, modified: u64) -> Block {
    let mut block = [0; 512];
    put(&mut block, 0, cut(name.as_bytes(), NAME));
    // Six digits, a space and a NUL, but for times, which fill their field.
    put(&mut block, MODE, format!("{mode:06o} ").as_bytes());
    put(&mut block, UID, format!("{USER_ID:06o} ").as_bytes());
    put(&mut block, GID, format!("{USER_ID:06o} ").as_bytes());
    match size > MOST_OCTAL {
        true => put_large(&mut block, size),
        false if size >> 30 > 0 => put(&mut block, SIZE, format!("{size:011o}").as_bytes()),
        false => put(&mut block, SIZE, format!("{size:010o} ").as_bytes()),
    }
    for at in [TIME, ACCESSED, CHANGED] {
        let time = match modified >> 30 > 0 {
            true => format!("{modified:011o}"),
            false => format!("{modified:010o} "),
        };
        put(&mut block, at, time.as_bytes());
    }
    put(&mut block, KIND, &[kind]);
    put(&mut block, MAGIC, b"ustar\x0000");
    put(&mut block, MAJOR, b"000000 ");
    put(&mut block, MINOR, b"000000 ");
    put(&mut block, PREFIX_AT, prefix.as_bytes());
    block
}

/// The bytes after the six digits of a checksum.
const GNU_SUM: &[u8; 2] = b"\0 ";
const NODE_SUM: &[u8; 2] = b" \0";

/// The header with its checksum.
fn summed(mut block: Block, end: &[u8; 2]) -> Block {
    put(&mut block, SUM, b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(&mut block, SUM, format!("{sum:06o}").as_bytes());
    put(&mut block, SUM + 6, end);
    block
}
