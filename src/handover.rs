//! Stub.
use crate::error::{Error, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Stub.
#[derive(Debug)]
pub struct Handover(OwnedFd);

impl Handover {
    /// The form.
    pub const FORMAT: u32 = 1;
    /// New.
    ///
    /// # Errors
    /// No memory.
    pub fn new() -> Result<Self> {
        let fd = memfd_create("vm0fs-handover", MFdFlags::MFD_CLOEXEC);
        Ok(Self(fd.map_err(|errno| Error::io("memfd", errno.into()))?))
    }
    /// Takes over.
    ///
    /// # Errors
    /// None.
    pub fn take_over(fd: OwnedFd) -> Result<Self> {
        Ok(Self(fd))
    }
    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
