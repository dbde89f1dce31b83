//! The first exchange with the kernel (INIT), which happens once in the life of a mount
//! and is what later workers must know: so each of them has it with itself, over a pair
//! of sockets in place of the device.
//!
//! The request is `fuse_in_header` and `fuse_init_in` of `include/uapi/linux/fuse.h`
//! (104 bytes), the answer `fuse_out_header` and `fuse_init_out`.

use super::negotiate::negotiate;
use fuser::{Config, Filesystem, InitFlags, KernelConfig, Request, Session, SessionACL};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::{fs::File, io, io::Read, io::Write, os::fd::OwnedFd};

/// FUSE_INIT, the code of the request.
const INIT: u32 = 26;

const REQUEST: usize = 104;
const LONGEST_REPLY: usize = 4096;

/// What a kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The version of the protocol.
    abi: (u32, u32),
    /// Bytes that it reads ahead at most.
    max_readahead: u32,
    capabilities: InitFlags,
}

impl Offer {
    /// What the kernel's request has told fuser.
    pub(super) fn of(config: &mut KernelConfig) -> Self {
        // Too much is refused with the most, which is what the kernel has said.
        let max_readahead = match config.set_max_readahead(u32::MAX) {
            Ok(_) => u32::MAX,
            Err(most) => most,
        };
        let abi = config.kernel_abi();
        Self {
            abi: (abi.0, abi.1),
            max_readahead,
            capabilities: config.capabilities(),
        }
    }

    /// Whether the kernel can send requests again that were not answered.
    pub fn can_resend(&self) -> bool {
        self.capabilities.contains(InitFlags::FUSE_HAS_RESEND)
    }

    /// The kernel's request, as it would make it again.
    pub fn request(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REQUEST);
        let mut word = |word: u32| bytes.extend_from_slice(&word.to_ne_bytes());
        word(REQUEST as u32);
        word(INIT);
        // Number (64 bits), inode (64), user, group, process, extensions and padding.
        [2, 0, 0, 0, 0, 0, 0, 0].into_iter().for_each(&mut word);
        let mut flags = self.capabilities.bits();
        if flags >> 32 != 0 {
            // fuser leaves out that the request has the upper half, and ignores that without.
            flags |= InitFlags::FUSE_INIT_EXT.bits();
        }
        let (low, high) = (flags as u32, (flags >> 32) as u32);
        [self.abi.0, self.abi.1, self.max_readahead, low, high]
            .into_iter()
            .for_each(&mut word);
        bytes.resize(REQUEST, 0);
        bytes
    }
}

/// A file system that only shakes hands.
struct Probe;

impl Filesystem for Probe {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        negotiate(config);
        Ok(())
    }
}

/// What a worker of this program answers to a request.
///
/// # Errors
/// Where fuser does not understand it.
pub fn reply(request: &[u8]) -> io::Result<Vec<u8>> {
    shake_hands(Probe, request, SessionACL::All, Config::default()).map(|(_, reply)| reply)
}

/// A session that has answered the kernel's request without the kernel, and its answer.
/// Its descriptor is to be replaced by the device.
///
/// # Errors
/// Where fuser does not understand the request.
pub fn shake_hands<F: Filesystem>(
    fs: F,
    request: &[u8],
    acl: SessionACL,
    config: Config,
) -> io::Result<(Session<F>, Vec<u8>)> {
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (own, other): (OwnedFd, OwnedFd) = socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
    let mut kernel = File::from(other);
    kernel.write_all(request)?;
    let session = Session::from_fd(fs, own, acl, config)?;
    let mut reply = vec![0; LONGEST_REPLY];
    let length = kernel.read(&mut reply)?;
    reply.truncate(length);
    Ok((session, reply))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_later_worker_answers_what_the_first_has_answered() {
        let offer = Offer {
            abi: (7, 45),
            max_readahead: 131_072,
            // As fuser tells it: without FUSE_INIT_EXT.
            capabilities: InitFlags::FUSE_HAS_RESEND | InitFlags::FUSE_PARALLEL_DIROPS,
        };
        let request = offer.request();
        assert_eq!(request.len(), 104);
        let first = reply(&request).unwrap();
        assert_eq!(first.len(), 80);
        assert_eq!(reply(&request).unwrap(), first);
        assert!(offer.can_resend());
        let less = Offer {
            capabilities: InitFlags::FUSE_PARALLEL_DIROPS,
            ..offer
        };
        assert!(!less.can_resend());
        assert_ne!(reply(&less.request()).unwrap(), first);
        assert!(reply(b"no request").is_err());
    }
}
