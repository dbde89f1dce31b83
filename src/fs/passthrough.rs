//! Which open files the kernel reads by itself, from the file of the cache that backs
//! them (FUSE passthrough, since Linux 6.9): only root's mounts may have that.
//!
//! The kernel holds all open handles of an inode to one way: while one is backed, an open
//! without that same backing fails with EIO, and while one reads through the page cache,
//! none can become backed (`fuse_file_io_open` in `fs/fuse/iomode.c`). So the way of an
//! inode is decided with its first handle, and stands until the last one is closed, also
//! under the next worker.

use super::negotiate::may_pass_through;
use crate::sync::{Mutex, MutexGuard};
use fuser::{BackingId, FileHandle, FopenFlags, ReplyOpen};
use rustix::ioctl::{self, Setter, opcode};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Files from this size on are worth the calls that it costs to back one.
const LEAST: u64 = 1 << 20;

/// `FUSE_DEV_IOC_BACKING_CLOSE` of `include/uapi/linux/fuse.h`.
const CLOSE: ioctl::Opcode = opcode::write::<u32>(229, 2);

/// The ways of the inodes that are open.
pub(super) struct Passthrough {
    /// Whether this mount has asked the kernel for it.
    is_on: bool,
    /// Whether the kernel has refused to back a file.
    is_refused: AtomicBool,
    /// The connection to the kernel; set once the mount is made.
    device: OnceLock<OwnedFd>,
    ways: Mutex<HashMap<u64, Way>>,
}

/// How the open handles of an inode are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By requests, of so many handles.
    Served(u32),
    /// By the kernel, of so many handles, from the file that it knows by this number.
    Backed(u32, u32),
}

impl Passthrough {
    pub(super) fn new() -> Self {
        Self {
            is_on: may_pass_through(),
            is_refused: AtomicBool::new(false),
            device: OnceLock::new(),
            ways: Mutex::default(),
        }
    }

    /// Takes the connection to the kernel.
    pub(super) fn begin(&self, device: OwnedFd) {
        // Only the first counts, and there is only one.
        let _ = self.device.set(device);
    }

    /// Counts a handle of a file of so many bytes. The number of the file that backs it, if
    /// one is to: `back` makes it one for the first handle.
    pub(super) fn enter(
        &self,
        ino: u64,
        size: u64,
        back: impl FnOnce() -> Option<u32>,
    ) -> Option<u32> {
        if size < LEAST || !self.is_on {
            return None;
        }
        let mut ways = self.ways.lock();
        let way = match ways.get(&ino) {
            Some(Way::Served(handles)) => Way::Served(handles + 1),
            Some(&Way::Backed(handles, id)) => Way::Backed(handles + 1, id),
            None => back().map_or(Way::Served(1), |id| Way::Backed(1, id)),
        };
        ways.insert(ino, way);
        match way {
            Way::Served(_) => None,
            Way::Backed(_, id) => Some(id),
        }
    }

    /// Takes a handle off that was counted. With the last one, the kernel lets go of the
    /// file that backed them.
    pub(super) fn leave(&self, ino: u64, size: u64) {
        if size < LEAST || !self.is_on {
            return;
        }
        let mut ways = self.ways.lock();
        let left = match ways.get(&ino) {
            Some(&Way::Served(handles)) if handles > 1 => Way::Served(handles - 1),
            Some(&Way::Backed(handles, id)) if handles > 1 => Way::Backed(handles - 1, id),
            last => {
                let last = last.copied();
                ways.remove(&ino);
                if let Some(Way::Backed(_, id)) = last {
                    self.close(&ways, id);
                }
                return;
            }
        };
        ways.insert(ino, left);
    }

    /// Has the kernel back files by an open one; `None` where it refuses.
    pub(super) fn back(&self, file: &File) -> Option<u32> {
        let device = self.device.get();
        let device = device.filter(|_| !self.is_refused.load(Ordering::Relaxed))?;
        BackingId::create_raw(device, file)
            .inspect_err(|error| {
                // As for root of a container that is not root of the machine, and for a
                // cache on a file system that is itself stacked (overlayfs).
                tracing::info!("reads go through this process: the kernel may not: {error}");
                self.is_refused.store(true, Ordering::Relaxed);
            })
            .ok()
    }

    /// Under the lock: the kernel may give the number to the next file.
    fn close(&self, _ways: &MutexGuard<'_, HashMap<u64, Way>>, id: u32) {
        let Some(device) = self.device.get() else {
            return;
        };
        // SAFETY: the request takes a pointer to the number, and nothing else.
        #[expect(unsafe_code, reason = "fuser closes only what it has opened")]
        let closed = unsafe { ioctl::ioctl(device, Setter::<CLOSE, u32>::new(id)) };
        if let Err(error) = closed {
            tracing::debug!("the kernel keeps a file of the cache open: {error}");
        }
    }
}

/// Answers an open with a file that backs it.
pub(super) fn opened_backed(reply: ReplyOpen, handle: u64, id: u32) {
    // SAFETY: the number is the kernel's until the last handle of the inode is closed, and
    // this one is counted among them.
    #[expect(unsafe_code, reason = "the number may be from an earlier worker")]
    let backing = unsafe { reply.wrap_backing(id) };
    // The kernel refuses FOPEN_KEEP_CACHE here.
    reply.opened_passthrough(FileHandle(handle), FopenFlags::FOPEN_NOFLUSH, &backing);
    // It is closed with the last handle, and not here.
    let _ = backing.into_raw();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn on() -> Passthrough {
        Passthrough {
            is_on: true,
            ..Passthrough::new()
        }
    }

    #[test]
    fn the_first_handle_decides_for_all() {
        let ways = on();
        assert_eq!(ways.enter(1, LEAST, || Some(7)), Some(7));
        assert_eq!(ways.enter(1, LEAST, || panic!("asked again")), Some(7));
        assert_eq!(ways.enter(2, LEAST, || None), None);
        assert_eq!(ways.enter(2, LEAST, || panic!("too late")), None);
        ways.leave(1, LEAST);
        ways.leave(2, LEAST);
        assert_eq!(ways.enter(1, LEAST, || panic!("still open")), Some(7));
        for _ in 0..2 {
            ways.leave(1, LEAST);
        }
        ways.leave(2, LEAST);
        assert!(ways.ways.lock().is_empty());
        assert_eq!(ways.enter(2, LEAST, || Some(9)), Some(9));
    }

    #[test]
    fn small_files_are_not_counted() {
        let ways = on();
        assert_eq!(ways.enter(1, LEAST - 1, || panic!("too small")), None);
        ways.leave(1, LEAST - 1);
        assert!(ways.ways.lock().is_empty());
    }
}
