//! Open files and directories by the numbers the kernel holds for them, which go on to
//! mean the same in the next worker.

use super::gate::hold;
use crate::{
    error::{Error, Result},
    handover::{Handover, LeftHandle},
    sync::Mutex,
    tree::{Answer, Directory, Handle, LeftFile, View, Writing},
};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// What a handle stands for.
pub(super) enum Open {
    /// An open file.
    File(Handle),
    /// An open directory and, once reading began, its listing.
    Directory(Mutex<Option<Arc<Directory>>>),
}

impl Open {
    /// The control file that is written here, if it is one.
    pub(super) fn writing(&self) -> Option<&Writing> {
        match self {
            Self::File(Handle::Control(writing)) => Some(writing),
            Self::File(_) | Self::Directory(_) => None,
        }
    }
}

// What a handle is, as it is left to the next worker.
const FIXED: u8 = 1;
const PAGE: u8 = 2;
const LOG: u8 = 3;
const CONTROL: u8 = 4;
const DIRECTORY: u8 = 5;

/// An open handle.
pub(super) struct OpenHandle {
    /// What it was when it was opened.
    record: LeftHandle,
    slot: Option<u32>,
    /// What the slot says now: the size and the extent.
    kept: Mutex<(u64, u64)>,
    /// Set once; of a handle that an earlier worker opened, when it is first used.
    open: OnceLock<Open>,
    reopening: Mutex<()>,
}

impl OpenHandle {
    fn new(record: LeftHandle, slot: Option<u32>) -> Self {
        Self {
            record,
            slot,
            kept: Mutex::new((record.size, record.extent)),
            open: OnceLock::new(),
            reopening: Mutex::default(),
        }
    }

    /// The inode number of what is open.
    pub(super) fn ino(&self) -> u64 {
        self.record.ino
    }

    /// The process that opened it to write; 0 for none, and for one that is out of
    /// sight.
    pub(super) fn opener(&self) -> u32 {
        self.record.opener
    }

    /// Whether its size is its own, and not that of the inode.
    pub(super) fn has_own_size(&self) -> bool {
        self.record.kind == PAGE
    }

    fn is_control(&self) -> bool {
        self.record.kind == CONTROL
    }

    /// What is open. It is opened again where an earlier worker has opened it.
    ///
    /// # Errors
    /// ESTALE where it is not the same any more; what opening it fails with.
    pub(super) fn open(&self, view: &View<'_>, handover: &Handover) -> Answer<&Open> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let _one = self.reopening.lock();
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let open = self.reopen(view, handover)?;
        Ok(self.open.get_or_init(|| open))
    }

    fn reopen(&self, view: &View<'_>, handover: &Handover) -> Answer<Open> {
        let LeftHandle {
            ino, size, extent, ..
        } = self.record;
        let left = match self.record.kind {
            FIXED => LeftFile::Fixed(size),
            PAGE if extent > 0 => LeftFile::Page(handover.kept(extent).ok_or(Error::Stale)?),
            PAGE if size == 0 => LeftFile::Page(Arc::from([])),
            LOG => LeftFile::Log(extent),
            CONTROL => LeftFile::Control(extent),
            DIRECTORY => return Ok(Open::Directory(Mutex::default())),
            _ => return Err(Error::Stale.into()),
        };
        Ok(Open::File(view.reopen(ino, left)?))
    }

    /// The listing that an earlier worker has given pages of. `None` where it is to be
    /// taken anew.
    ///
    /// # Errors
    /// ESTALE where there was no memory to leave it in.
    pub(super) fn left_listing(
        &self,
        view: &View<'_>,
        handover: &Handover,
    ) -> Answer<Option<Directory>> {
        let (size, extent) = *self.kept.lock();
        if extent > 0 {
            let bytes = handover.kept(extent).ok_or(Error::Stale)?;
            let left = view.left_directory(&bytes).ok_or(Error::Stale)?;
            return Ok(Some(left));
        }
        match size {
            0 => Ok(None),
            _ => Err(Error::Stale.into()),
        }
    }

    fn change(&self, handover: &Handover, size: u64, extent: u64) {
        let before = std::mem::replace(&mut *self.kept.lock(), (size, extent));
        if let Some(slot) = self.slot.filter(|_| before != (size, extent)) {
            handover.change_handle(slot, size, extent);
        }
        if before.1 != extent {
            handover.let_go(before.1);
        }
    }
}

/// The table of open handles. Numbers are never reused.
pub(super) struct Handles {
    open: Mutex<HashMap<u64, Arc<OpenHandle>>>,
    handover: Arc<Handover>,
}

impl Handles {
    /// The handles that an earlier worker left.
    pub(super) fn new(handover: Arc<Handover>) -> Self {
        let left = handover.left_handles().into_iter();
        let left = left.map(|(handle, slot)| {
            let open = Arc::new(OpenHandle::new(handle, Some(slot)));
            (handle.number, open)
        });
        Self {
            open: Mutex::new(left.collect()),
            handover,
        }
    }

    /// The inode numbers of all that is open.
    pub(super) fn inodes(&self) -> Vec<u64> {
        self.open.lock().values().map(|open| open.ino()).collect()
    }

    /// Adds an open file, and the process that opened it to write.
    pub(super) fn add_file(&self, ino: u64, handle: Handle, opener: u32) -> u64 {
        let (kind, size, extent) = match handle.left() {
            LeftFile::Fixed(size) => (FIXED, size, 0),
            // Without its bytes it cannot be opened again.
            LeftFile::Page(bytes) => {
                let extent = self.handover.keep(&bytes);
                (PAGE, bytes.len() as u64, extent.unwrap_or_default())
            }
            LeftFile::Log(stream) => (LOG, 0, stream),
            LeftFile::Control(stream) => (CONTROL, 0, stream),
        };
        let record = LeftHandle {
            ino,
            kind,
            opener,
            size,
            extent,
            ..LeftHandle::default()
        };
        self.add(record, Open::File(handle))
    }

    /// Adds an open directory.
    pub(super) fn add_directory(&self, ino: u64) -> u64 {
        let record = LeftHandle {
            ino,
            kind: DIRECTORY,
            ..LeftHandle::default()
        };
        self.add(record, Open::Directory(Mutex::default()))
    }

    fn add(&self, record: LeftHandle, open: Open) -> u64 {
        let number = self.handover.new_handle();
        let record = LeftHandle { number, ..record };
        // Before the kernel knows of it.
        let slot = self.handover.add_handle(&record);
        if slot.is_none() && self.handover.is_left() {
            // A handle that the next worker does not know would be stale.
            hold();
        }
        let handle = OpenHandle::new(record, slot);
        let _ = handle.open.set(open);
        self.open.lock().insert(number, Arc::new(handle));
        number
    }

    pub(super) fn get(&self, number: u64) -> Result<Arc<OpenHandle>> {
        self.open.lock().get(&number).cloned().ok_or(Error::Stale)
    }

    /// A handle of a control file that is written.
    pub(super) fn written(&self, number: u64) -> Option<Arc<OpenHandle>> {
        self.get(number).ok().filter(|handle| handle.is_control())
    }

    /// The processes that opened a control file in the other openings to write that it
    /// has.
    pub(super) fn other_openers(&self, own: &OpenHandle) -> Vec<u32> {
        let open = self.open.lock();
        let others = open.values().filter(|other| {
            let is_own = other.record.number == own.record.number;
            other.is_control() && other.ino() == own.ino() && !is_own
        });
        others.map(|other| other.opener()).collect()
    }

    /// Notes what a file that may change has grown to, before a process is told.
    pub(super) fn note_growth(&self, handle: &OpenHandle, file: &Handle) {
        if let LeftFile::Page(bytes) = file.left()
            && handle.kept.lock().0 != bytes.len() as u64
        {
            let extent = self.handover.keep(&bytes).unwrap_or_default();
            handle.change(&self.handover, bytes.len() as u64, extent);
        }
    }

    /// Notes the listing of a directory, before its first page is answered. A process may
    /// read it from any place again, also where all of it fits into one reply.
    pub(super) fn note_listing(&self, handle: &OpenHandle, directory: &Directory) {
        // Others are read from their version again.
        let listed = directory.left();
        let size = u64::from(listed.is_some());
        let kept = listed.and_then(|listed| self.handover.keep(&listed.into()));
        handle.change(&self.handover, size, kept.unwrap_or_default());
    }

    /// Takes a handle out. What the next worker knows of it is there until it is
    /// [freed](Self::free).
    pub(super) fn take(&self, number: u64) -> Option<Arc<OpenHandle>> {
        self.open.lock().remove(&number)
    }

    /// Forgets a handle.
    pub(super) fn free(&self, handle: &OpenHandle) {
        if let Some(slot) = handle.slot {
            self.handover.free_handle(slot);
        }
        let (_, extent) = *handle.kept.lock();
        // A log is shared, and has an owner.
        if handle.record.kind != LOG {
            self.handover.let_go(extent);
        }
    }

    pub(super) fn remove(&self, number: u64) {
        let removed = self.take(number);
        // Closing files happens outside the lock.
        if let Some(handle) = removed {
            self.free(&handle);
        }
    }
}

#[cfg(test)]
mod tests;
