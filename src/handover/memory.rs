//! The memory that outlives a worker: a file that is nowhere in the file system, and
//! parts of it that are mapped.

use super::layout::END;
use crate::error::{Error, Result};
use memmap2::{MmapMut, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The memory.
pub(super) struct Memory {
    file: File,
    /// Whether nothing is to be written any more: it cannot be kept, or another worker
    /// has it.
    is_closed: AtomicBool,
    /// Whether another worker can have it at all.
    is_sized: bool,
}

impl Memory {
    /// New memory. Where this process may write no files of its size (`ulimit -f`),
    /// nothing is kept.
    ///
    /// # Errors
    /// What the kernel says that has no such memory.
    pub(super) fn new() -> Result<Self> {
        let name = "vm0fs handover";
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let file = File::from(fd.map_err(|error| failed("making", error.into()))?);
        let sized = file.set_len(END).and_then(|()| {
            // A mapping of a file that is cut short ends the process that reads it.
            Ok(fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?)
        });
        if let Err(error) = &sized {
            tracing::warn!(
                "{}: another process cannot take over this mount",
                failed("sizing", io::Error::from(error.kind()))
            );
        }
        Ok(Self {
            file,
            is_closed: AtomicBool::new(sized.is_err()),
            is_sized: sized.is_ok(),
        })
    }

    /// The memory that an earlier worker left.
    ///
    /// # Errors
    /// Where it is no such memory.
    pub(super) fn left(fd: OwnedFd) -> Result<Self> {
        let file = File::from(fd);
        let metadata = file.metadata().map_err(|error| failed("reading", error))?;
        if metadata.len() != END {
            let size = metadata.len();
            let error = io::Error::other(format!("it has {size} bytes instead of {END}"));
            return Err(failed("taking over", error));
        }
        Ok(Self {
            file,
            is_closed: AtomicBool::new(false),
            is_sized: true,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes nothing more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_sized(&self) -> bool {
        self.is_sized
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Maps a part, for which there is memory then: a process that writes where there is
    /// none left would be killed.
    ///
    /// # Errors
    /// Where there is no memory.
    pub(super) fn map(&self, start: u64, length: u64) -> io::Result<Mapping> {
        if self.is_closed() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        fallocate(&self.file, FallocateFlags::KEEP_SIZE, start, length)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let options = MmapOptions::new().offset(start).len(length).to_owned();
        Ok(Mapping(options.map_raw(&self.file)?))
    }

    /// Reads a part into `buffer`.
    pub(super) fn read(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, start)
    }

    /// Writes a part.
    pub(super) fn write(&self, start: u64, bytes: &[u8]) -> io::Result<()> {
        match self.is_closed() {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => self.file.write_all_at(bytes, start),
        }
    }

    /// Makes a part all zeros, and gives its memory back.
    pub(super) fn clear(&self, start: u64, end: u64) {
        if self.is_closed() || start >= end {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) = fallocate(&self.file, flags, start, end - start) {
            tracing::debug!("freeing what was kept for the next worker: {error}");
        }
    }
}

/// Mapped memory.
pub(super) struct Mapping(MmapRaw);

impl Mapping {
    /// Memory that no other process sees.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn private(length: u64) -> Result<Self> {
        let length = usize::try_from(length).map_err(|error| Error::Internal(error.to_string()))?;
        let mapped = MmapMut::map_anon(length).map_err(|error| failed("mapping", error))?;
        Ok(Self(mapped.into()))
    }

    /// The memory in words. Other processes may write to it at any time.
    pub(super) fn words(&self) -> &[AtomicU64] {
        let (start, length) = (self.0.as_mut_ptr().cast::<AtomicU64>(), self.0.len() / 8);
        #[expect(unsafe_code, reason = "memory that two processes share")]
        // SAFETY: the mapping is of this length, begins at a page, can be written and
        // lives as long as what borrows it. Atomics may be changed by others.
        unsafe {
            std::slice::from_raw_parts(start, length)
        }
    }
}

/// What failed of the memory.
pub(super) fn failed(what: &str, error: io::Error) -> Error {
    Error::io(
        format!("{what} the memory that the next worker takes over"),
        error,
    )
}
