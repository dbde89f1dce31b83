//! A partial version: one whose archive is still arriving. Its files can be found and read
//! as far as they have come.
//!
//! The unpacking thread adds to it entry by entry. Readers take the same locks for the
//! length of one lookup or one copy, never across I/O. A partial version cannot tell
//! what does not exist: `None` means "not yet".

use super::pack::{Blob, Pack};
use crate::store::cache::Version;
use crate::store::index::format::{self, Header, Record};
use crate::store::index::holes::{self, Failed, Full, Map, Pieces};
use crate::store::index::{Builder, Node, NodeKind, Seek, node_of};
use crate::store::{content_lock::ContentLock, files};
use crate::{
    error::{Error, Result},
    sync::{Mutex, MutexGuard},
};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A version whose archive is still arriving. Node numbers are those that the
/// sealed index will have, unless a known one has others.
pub struct PartialVersion {
    shared: Arc<Arriving>,
    /// The staging directory, by which blobs are reached: it is renamed at the end.
    directory: File,
    index: Mutex<Builder>,
    /// What the numbers are of that the nodes are known by ([`Version::numbers`]).
    numbers: Option<String>,
    /// The large file that is arriving.
    blob: Mutex<Option<Arc<Blob>>>,
}

/// What outlives the partial version: its open files hold it.
struct Arriving {
    pack: Pack,
    /// Why the fetch failed: nothing of the version can be trusted then.
    failed: OnceLock<Error>,
    /// What tells the sealed version's index from others, once the archive has come, where
    /// it has the numbers that the entries had on their way.
    table: OnceLock<[u8; 32]>,
    /// How many files were opened.
    opened: AtomicU64,
}

impl PartialVersion {
    /// One of whose pack so many bytes are there already, and of whose nodes perhaps another
    /// index is known.
    pub(super) fn new(
        directory: File,
        (lock, kept): (ContentLock, u64),
        index: Builder,
        known: Option<Arc<Version>>,
    ) -> Self {
        Self {
            shared: Arc::new(Arriving {
                pack: Pack::new(lock, kept),
                failed: OnceLock::new(),
                table: OnceLock::new(),
                opened: AtomicU64::new(0),
            }),
            directory,
            numbers: known.as_ref().map(|known| known.numbers().to_owned()),
            index: Mutex::new(match known {
                Some(known) => index.beside(known),
                None => index,
            }),
            blob: Mutex::new(None),
        }
    }

    /// The node of that name in a directory, if its entry has come. The last entry of a
    /// name wins, so a later call may return another node.
    pub fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        self.shown()?.child(dir, name)
    }

    /// A node's attributes so far. A file's size is final as soon as its header has come;
    /// its `nlink`, and a directory's time and `nlink`, may change. Symlinks are not
    /// shown: whether one leads out of its version is known only at the end.
    pub fn node(&self, node: u32) -> Option<Node> {
        let index = self.shown()?;
        let record = *index.record(node)?;
        let stored = index.holes(node).map_or(record.size, |map| map.stored());
        drop(index);
        node_of(&record, stored).filter(|node| node.kind != NodeKind::Symlink)
    }

    /// A name of a node in its directory, if its entry has come; none where more than `most`
    /// entries are to be looked through.
    pub fn name(&self, node: u32, most: usize) -> Option<Vec<u8>> {
        self.shown()?.name(node, most).map(<[u8]>::to_vec)
    }

    /// Opens a file, as soon as its header has come.
    pub fn open(&self, node: u32) -> Option<PartialFile> {
        let index = self.shown()?;
        let Record {
            kind,
            size,
            location,
            flags,
            ..
        } = *index.record(node)?;
        let map = index.holes(node).cloned();
        drop(index);
        if kind != format::FILE {
            return None;
        }
        let place = if flags & format::BLOB == 0 {
            Place::Pack(location)
        } else {
            let number = u32::try_from(location).ok()?;
            let arriving = self.blob.lock().clone();
            match arriving.filter(|blob| blob.number == number) {
                Some(blob) => Place::Arriving(blob),
                None => Place::Blob(files::open(&self.directory, &files::blob(number)).ok()?),
            }
        };
        self.shared.opened.fetch_add(1, Ordering::Relaxed);
        Some(PartialFile {
            shared: Arc::clone(&self.shared),
            place,
            size,
            map,
        })
    }

    /// The index so far, if what has come is to be shown: under one lock, since the next entry
    /// may be the first that has another number than it is known by.
    fn shown(&self) -> Option<MutexGuard<'_, Builder>> {
        let index = self.index();
        let is_shown = self.shared.failed.get().is_none() && index.agrees();
        is_shown.then_some(index)
    }

    /// Whether the entries so far have the numbers under which they are known from another
    /// archive: only then can it be shown.
    pub(super) fn agrees(&self) -> bool {
        self.index().agrees()
    }

    /// Whether its nodes can be shown to a process that knows numbers of the version which are
    /// of this ([`Version::numbers`]).
    pub fn has_numbers_of(&self, known: &str) -> bool {
        self.numbers.as_deref() == Some(known)
    }

    /// Notes the index that is sealed, with the same numbers.
    pub(super) fn become_sealed(&self, index: &Header) {
        let _ = self.shared.table.set(index.table);
    }

    /// The index so far; to be locked for one entry or one lookup only.
    pub(super) fn index(&self) -> MutexGuard<'_, Builder> {
        self.index.lock()
    }

    /// Takes the index for sealing. From then on this finds no files.
    pub(super) fn take_index(&self) -> Builder {
        let mut index = self.index();
        let empty = index.empty();
        std::mem::replace(&mut *index, empty)
    }

    pub(super) fn pack(&self) -> &Pack {
        &self.shared.pack
    }

    /// Sets the blob that is being written.
    pub(super) fn set_blob(&self, blob: Option<Arc<Blob>>) {
        *self.blob.lock() = blob;
    }

    /// Notes that the archive is unusable: reads of all its files fail from then on.
    /// Returns how many files were opened.
    pub(super) fn fail(&self, error: Error) -> u64 {
        // The first failure stays the reason.
        let _ = self.shared.failed.set(error);
        self.shared.opened.load(Ordering::Relaxed)
    }
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialRead {
    /// So many bytes: fewer than asked for if no more have come, and 0 only at the end
    /// of the file.
    Read(usize),
    /// No bytes at this offset have come yet.
    NotYet,
}

/// An open file of a partial version. It stays readable when the version is sealed, and
/// keeps it from being evicted.
pub struct PartialFile {
    shared: Arc<Arriving>,
    place: Place,
    size: u64,
    /// The pieces of a file with holes.
    map: Option<Arc<Map>>,
}

enum Place {
    /// At this offset of the pack.
    Pack(u64),
    /// A blob that was being written when the file was opened.
    Arriving(Arc<Blob>),
    /// A blob that was complete then.
    Blob(File),
}

impl PartialFile {
    /// Length in bytes, of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it has the same number in this sealed version: that is of the same archive.
    pub fn is_in(&self, version: &Version) -> bool {
        self.shared.table.get() == Some(&version.index().header().table)
    }

    /// Reads up to `buf.len()` bytes from `offset` on, as far as they have come.
    ///
    /// # Errors
    /// The error of the fetch, once it has failed or started over;
    /// [`Error::Io`] if the cache's file cannot be read.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<PartialRead> {
        if let Some(error) = self.shared.failed.get() {
            return Err(error.clone());
        }
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(PartialRead::Read(0));
        }
        let buf = &mut buf[..most];
        let n = match &self.map {
            None => self.stored_at(offset, buf),
            Some(map) => self.with_holes(map, offset, buf),
        };
        match n.map_err(|error| Error::io("reading a file of the cache", error))? {
            0 => Ok(PartialRead::NotYet),
            n => Ok(PartialRead::Read(n)),
        }
    }

    /// The next stored byte or the next hole, from `offset` on; `None` if there is none.
    pub fn seek(&self, offset: u64, what: Seek) -> Option<u64> {
        match &self.map {
            Some(map) => holes::seek(&**map, offset, what),
            None => holes::seek(&Full(self.size), offset, what),
        }
    }

    /// Reads the stored bytes that have come; 0 if none have yet.
    fn stored_at(&self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        match &self.place {
            Place::Pack(start) => self.shared.pack.read_at(start.saturating_add(at), buf),
            Place::Arriving(blob) => blob.read_at(at, buf),
            Place::Blob(file) => file.read_exact_at(buf, at).map(|()| buf.len()),
        }
    }

    /// Reads all of `buf` or, if a part of a piece has not come yet, nothing.
    fn with_holes(&self, map: &Map, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let filled = holes::fill(map, offset, buf, |at, part| {
            match self.stored_at(at, part) {
                Ok(n) if n == part.len() => Ok(()),
                Ok(_) => Err(None),
                Err(error) => Err(Some(error)),
            }
        });
        match filled {
            Ok(()) => Ok(buf.len()),
            Err(Failed::Read(None)) => Ok(0),
            Err(Failed::Read(Some(error))) => Err(error),
            Err(Failed::Map) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
