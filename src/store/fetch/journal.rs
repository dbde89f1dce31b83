//! The journal of a fetch: what it takes to go on with it after its process has ended, or
//! its download has failed. It stands beside what is unpacked, in the fetch's directory.
//!
//! ```text
//! magic · record ...          record: length 4 · CRC-32 4 · kind 1 · the rest
//! ```
//!
//! All is little-endian. The first record names version and object. The others come in any
//! order: points at which the archive can be entered (`seek/checkpoint`), and what the
//! tar stream has beside content that is on disk (`skeleton`).
//!
//! Nothing is synced: a killed process loses nothing that it has written, and after a crash
//! of the machine checksums tell what is missing. The journal has one of each record, which
//! ends it where it is wrong; a record of the tar stream has one of that. What is not right
//! is fetched again, and is shown to no reader.

use super::download::Object;
use crate::store::{checksums::checksum, crash::crash_point, files::JOURNAL, key::VersionKey};
use crate::sync::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// First bytes of the file.
const MAGIC: [u8; 8] = *b"vm0jrnl\n";
/// Raised by every change of the format, also of what unpacking makes of the same tar
/// stream: an older journal is then of no use.
const VERSION: u32 = 3;
/// Maximum length of a record. One is written for each MiB of the tar stream.
pub(super) const LONGEST: usize = 4 << 20;
/// Length of the name of a version's directory.
const KEY: usize = 64;
/// Maximum length of an ETag.
const ETAG: usize = 1 << 10;
/// Bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// Bytes of a record before its kind: length and checksum.
const HEAD: usize = 8;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Point,
    Skeleton,
    /// The archive is not compressed: it can be entered anywhere.
    Stored,
    /// Another fetch goes on from here.
    Resumed,
    /// It has ended in order, with a download that failed.
    Left,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Object,
        Self::Point,
        Self::Skeleton,
        Self::Stored,
        Self::Resumed,
        Self::Left,
    ];
}

/// A journal that is being written.
pub(super) struct Journal {
    path: PathBuf,
    /// Made when the first record of the tar stream is written: short archives need none.
    file: OnceLock<File>,
    /// What is to be written with that; `None` once the journal is given up.
    pending: Mutex<Option<Vec<u8>>>,
    /// Bytes written that no quota has been charged for.
    growth: AtomicU64,
}

impl Journal {
    /// The journal of a fetch in this directory; `None` if the object could not be told from
    /// another one later.
    pub(super) fn new(directory: &Path, key: &VersionKey, object: &Object) -> Option<Self> {
        let length = object.length?;
        let etag = object.strong_etag().filter(|etag| etag.len() <= ETAG)?;
        let mut record = Vec::from(VERSION.to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend(key.directory().as_bytes());
        record.extend(etag.as_bytes());
        let mut pending = Vec::from(MAGIC);
        push(&mut pending, Kind::Object, &[&record]);
        Some(Self {
            path: directory.join(JOURNAL),
            file: OnceLock::new(),
            pending: Mutex::new(Some(pending)),
            growth: AtomicU64::new(0),
        })
    }

    /// Goes on with one of so many bytes in this directory; `None` if it cannot be written.
    pub(super) fn resume(directory: &Path, length: u64) -> Option<Self> {
        let path = directory.join(JOURNAL);
        let file = OpenOptions::new().append(true).open(&path).ok()?;
        file.set_len(length).ok()?;
        let journal = Self {
            path,
            file: OnceLock::from(file),
            pending: Mutex::new(Some(Vec::new())),
            growth: AtomicU64::new(length),
        };
        journal.append(Kind::Resumed, &[]).then_some(journal)
    }

    /// Notes a record, which is written with the next one of the tar stream.
    pub(super) fn note(&self, kind: Kind, record: &[u8]) {
        if let Some(pending) = &mut *self.pending.lock() {
            push(pending, kind, &[record]);
        }
    }

    /// Writes a record and those noted before; false if the journal is given up. One thread
    /// calls this.
    pub(super) fn append(&self, kind: Kind, parts: &[&[u8]]) -> bool {
        let Some(pending) = &mut *self.pending.lock() else {
            return false;
        };
        push(pending, kind, parts);
        let written = self.file().and_then(|mut file| file.write_all(pending));
        self.growth
            .fetch_add(pending.len() as u64, Ordering::Relaxed);
        pending.clear();
        if let Err(error) = &written {
            tracing::debug!(%error, "a journal cannot be written");
        }
        crash_point("journal-written");
        written.is_ok()
    }

    fn file(&self) -> std::io::Result<&File> {
        if self.file.get().is_none() {
            let mut open = OpenOptions::new();
            let file = open.append(true).create_new(true).mode(0o600);
            let _ = self.file.set(file.open(&self.path)?);
        }
        self.file.get().ok_or(std::io::ErrorKind::NotFound.into())
    }

    /// Bytes written since the last call.
    pub(super) fn growth(&self) -> u64 {
        self.growth.swap(0, Ordering::Relaxed)
    }

    /// Whether there is one on disk.
    pub(super) fn is_begun(&self) -> bool {
        self.file.get().is_some()
    }

    /// Ends it for another fetch to go on with; whether one can.
    pub(super) fn leave(&self) -> bool {
        self.is_begun() && self.append(Kind::Left, &[])
    }

    /// Removes it: the fetch is complete, or cannot be gone on with.
    pub(super) fn remove(&self) {
        *self.pending.lock() = None;
        if self.is_begun() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn push(to: &mut Vec<u8>, kind: Kind, parts: &[&[u8]]) {
    let start = to.len();
    to.extend([0; HEAD]);
    to.push(kind as u8);
    parts.iter().for_each(|part| to.extend_from_slice(part));
    let record = &to[start + HEAD..];
    let (length, sum) = (record.len() as u32, checksum(record));
    to[start..][..4].copy_from_slice(&length.to_le_bytes());
    to[start + 4..][..4].copy_from_slice(&sum.to_le_bytes());
}

/// The records of a journal after the first, up to one that is not whole.
pub(super) struct Records {
    source: BufReader<File>,
    /// The version that the fetch was of, as its directory is called, and its object.
    key: Vec<u8>,
    pub(super) object: Object,
    /// Bytes up to the end of the last record.
    pub(super) length: u64,
}

impl Records {
    /// Opens the journal in a directory; `None` if it is damaged.
    pub(super) fn open(directory: &Path) -> Option<Self> {
        let file = File::open(directory.join(JOURNAL)).ok()?;
        let mut source = BufReader::with_capacity(BUFFER, file);
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic).ok()?;
        (magic == MAGIC).then_some(())?;
        let mut records = Self {
            source,
            key: Vec::new(),
            object: Object::default(),
            length: MAGIC.len() as u64,
        };
        let (kind, record) = records.next()?;
        let (version, rest) = record.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, etag) = rest.split_at_checked(KEY)?;
        let is_ours = kind == Kind::Object && u32::from_le_bytes(*version) == VERSION;
        is_ours.then_some(())?;
        records.object = Object {
            length: Some(u64::from_le_bytes(*length)),
            etag: Some(String::from_utf8(etag.to_vec()).ok()?),
            ranges: true,
        };
        records.object.strong_etag()?;
        records.key = key.to_vec();
        Some(records)
    }

    /// Whether the fetch was of that version.
    pub(super) fn is_of(&self, key: &VersionKey) -> bool {
        self.key == key.directory().as_bytes()
    }
}

impl Iterator for Records {
    type Item = (Kind, Vec<u8>);

    fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        let mut head = [0; HEAD];
        self.source.read_exact(&mut head).ok()?;
        let [a, b, c, d, sum @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > LONGEST {
            return None;
        }
        let mut record = vec![0; length];
        self.source.read_exact(&mut record).ok()?;
        if checksum(&record) != u32::from_le_bytes(sum) {
            return None;
        }
        let kind = *Kind::ALL.get(usize::from(record[0]))?;
        self.length += (HEAD + length) as u64;
        record.remove(0);
        Some((kind, record))
    }
}
