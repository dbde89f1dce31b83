//! What the supervisor and its workers say to each other, over a socket that keeps
//! messages apart (`SOCK_SEQPACKET`) and passes descriptors.

use crate::{
    error::{Error, Result},
    supervision::Replacement,
};
use jiff::Timestamp;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

/// The form of these messages and of the workers' arguments. A worker that speaks
/// another one is refused.
pub(crate) const PROTOCOL: u32 = 1;

/// The longest message: warnings of a mount, in words.
const LONGEST: usize = 64 << 10;

/// The most descriptors in a message.
const MOST_DESCRIPTORS: usize = 2;

/// What a later worker has to know of a mount that was made before it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Connection {
    /// The mountpoint, as the kernel names it.
    #[serde(with = "path")]
    pub(crate) mountpoint: PathBuf,
    /// The kernel's INIT request.
    pub(crate) request: Vec<u8>,
    /// What it was answered.
    pub(crate) reply: Vec<u8>,
    /// Whether the kernel can send requests again that were not answered (6.9).
    pub(crate) can_resend: bool,
    /// Whether other users may use the mount.
    pub(crate) allow_other: bool,
    /// Whether nothing in it can be written, and no program in it executed. A supervisor
    /// of before there was a choice does not say.
    #[serde(default)]
    pub(crate) read_only: bool,
    #[serde(default)]
    pub(crate) no_exec: bool,
    /// The service's origin: what open files belong to.
    pub(crate) origin: String,
    /// The form of what workers leave to the next ([`crate::handover::Handover::FORMAT`]).
    pub(crate) format: u32,
    /// When the mount was made.
    pub(crate) mounted_at: Timestamp,
}

/// A path in a message: text, as all versions read it, and bytes where it is none.
mod path {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt, OsStringExt},
        path::{Path, PathBuf},
    };

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => to.serialize_str(text),
            None => to.collect_seq(path.as_os_str().as_bytes()),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Form::deserialize(from)? {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

/// What the supervisor says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// The first message to each worker.
    Start {
        /// [`PROTOCOL`] of the supervisor.
        protocol: u32,
        /// The supervisor.
        pid: u32,
        /// The mount, where there is one.
        connection: Option<Connection>,
        /// How many workers were replaced before.
        replaced: u64,
        /// The last of them.
        replacements: Vec<Replacement>,
        /// Whether it knows [`Report::Away`]. A supervisor of before there was such a
        /// report does not say, and would take it for the worker's end.
        #[serde(default)]
        hears_away: bool,
    },
    /// Serve: the worker before has ended.
    Go,
    /// You have replaced another worker in this way.
    Replaced(Replacement),
    /// Another worker was to replace you, and cannot, for this reason.
    NotReplaced(String),
    /// Say how far you are.
    Ping,
    /// Finish what you have begun, take nothing more, and end.
    Drain,
    /// End the mount, for this reason. Folders that were made for it are removed where
    /// it was never used.
    End {
        /// Why, in words.
        why: String,
        /// Whether the mount was never used.
        is_unused: bool,
    },
}

/// What a worker says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// It has made the mount; with the device and the memory of what workers leave.
    Mounted(Connection),
    /// It can take over, and waits for its [`Order::Go`].
    Prepared {
        /// Its version of vm0fs.
        version: String,
    },
    /// It cannot serve, for this reason.
    Failed(String),
    /// It serves; with warnings for the user.
    Serving(Vec<String>),
    /// So many requests it has taken.
    Pong(u64),
    /// One of its operations hangs: this one.
    Hung(String),
    /// The API has not answered since then, or does.
    Away(Option<Timestamp>),
    /// The mount has come to its orderly end.
    Ended,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn failed(what: &str) -> impl Fn(Errno) -> Error {
    let what = what.to_owned();
    move |errno| Error::io(what.clone(), errno.into())
}

impl Socket {
    /// Two ends.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let pair = socketpair(kind.0, kind.1, SocketFlags::CLOEXEC, None);
        let (one, other) = pair.map_err(failed("making a pair of sockets"))?;
        Ok((Self(one), Self(other)))
    }

    /// Sends a message with descriptors. It never waits: there are few messages.
    ///
    /// # Errors
    /// Where the other end is closed or full.
    pub(crate) fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let text =
            serde_json::to_vec(message).map_err(|error| Error::Internal(error.to_string()))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Error::Internal("too many descriptors".into()));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut control, flags)
            .map_err(failed("sending a message"))?;
        Ok(())
    }

    /// Waits for a message; `None` where the other end is closed.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut text)];
            match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                received => break received.map_err(failed("receiving a message"))?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let mut fds = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = part {
                fds.extend(passed);
            }
        }
        let message = serde_json::from_slice(&text[..received.bytes]);
        let message = message.map_err(|error| {
            Error::io(
                "reading a message",
                io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
            )
        })?;
        Ok(Some((message, fds)))
    }
}
