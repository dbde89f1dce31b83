//! The connection to the kernel, as the supervisor holds it.

use super::message::Connection;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::write,
};
use std::os::fd::OwnedFd;

/// `FUSE_NOTIFY_RESEND` (include/uapi/linux/fuse.h): a `fuse_out_header` of 16 bytes
/// with the notification's code as its error, for no request.
const RESEND: [u8; 16] = {
    let mut bytes = [0; 16];
    bytes[0] = 16;
    bytes[4] = 7;
    bytes
};

/// A mount, as far as the supervisor holds it.
pub(super) struct Held {
    pub(super) device: OwnedFd,
    pub(super) memory: OwnedFd,
    pub(super) connection: Connection,
}

impl Held {
    /// The connection, with the descriptors that came with it.
    pub(super) fn new(connection: Connection, fds: Vec<OwnedFd>) -> Option<Self> {
        let [device, memory] = fds.try_into().ok()?;
        Some(Self {
            device,
            memory,
            connection,
        })
    }

    /// Has the kernel send again what was not answered.
    pub(super) fn resend(&self) {
        // Fails where the mount is gone, which shows elsewhere.
        let _ = write(&self.device, &RESEND);
    }

    /// Whether it has been unmounted.
    pub(super) fn is_gone(&self) -> bool {
        self.events().contains(PollFlags::ERR)
    }

    /// Whether requests wait that no worker has taken.
    pub(super) fn is_waiting(&self) -> bool {
        self.events().contains(PollFlags::IN)
    }

    fn events(&self) -> PollFlags {
        let mut fds = [PollFd::new(&self.device, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::empty(),
        }
    }
}
