//! Going to the background: the command returns when the mount is ready, or
//! says why it never will be.

use crate::{
    error::{Error, Result},
    proc,
};
use nix::{
    fcntl::OFlag,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid},
};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

/// The first byte on the pipe: all is well, what follows are warnings.
const READY: u8 = b'R';

/// Which of the two processes has returned from [`detach`].
pub(crate) enum Side {
    /// The command. The mount is ready, with these warnings, one a line.
    Command(String),
    /// The command. The other process failed and has said why itself.
    Failed,
    /// The process that is to serve the mount.
    Server(Ready),
}

/// What the serving process reports through.
pub(crate) struct Ready(OwnedFd);

impl From<OwnedFd> for Ready {
    fn from(pipe: OwnedFd) -> Self {
        Self(pipe)
    }
}

/// Lets go of the terminal: a program that reads the command's output to its end waits
/// for the last process that holds it. A process that [`detach`] has left in the group of
/// the command leaves that too.
pub(crate) fn leave_terminal() -> Result<()> {
    leave_group();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| Error::io("opening /dev/null", error))?;
    let streams = dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&null))
        .and_then(|()| dup2_stderr(&null));
    streams.map_err(|errno| Error::io("leaving the terminal", errno.into()))
}

impl Ready {
    /// The pipe, for another process that reports through it.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Says that the mount is ready, and lets go of the terminal.
    pub(crate) fn report(self, warnings: &str) -> Result<()> {
        leave_terminal()?;
        let mut message = vec![READY];
        message.extend_from_slice(warnings.as_bytes());
        // Fails if the user has interrupted the command, and so wants no mount.
        File::from(self.0)
            .write_all(&message)
            .map_err(|error| Error::io("the command has ended before the mount was ready", error))
    }
}

/// Begins a session, which a terminal's signals do not reach.
fn leave_group() {
    // Fails only where it is not needed: for the leader of a group.
    let _ = setsid();
}

/// Forks, for a mount at this path. To be called while the process has one thread.
pub(crate) fn detach(mountpoint: &Path) -> Result<Side> {
    // Where a daemon has this command mount, the kernel has all processes but those of the
    // daemon's group wait at the mountpoint until the command has ended.
    let is_awaited = proc::is_on_demand(mountpoint);
    // A helper that outlives its time must not keep the command waiting.
    let pipe = pipe2(OFlag::O_CLOEXEC);
    let (reader, writer) = pipe.map_err(|errno| Error::io("making a pipe", errno.into()))?;
    // SAFETY: after a fork only async-signal-safe calls are allowed to a child
    // of a process with several threads; no thread has been started yet.
    #[allow(unsafe_code)]
    let side = unsafe { fork() };
    match side.map_err(|errno| Error::io("starting the background process", errno.into()))? {
        ForkResult::Parent { child } => {
            drop(writer);
            wait_until_ready(reader, child)
        }
        ForkResult::Child => {
            drop(reader);
            if !is_awaited {
                leave_group();
            }
            // The mount must not keep the folder it was started in busy.
            let _ = std::env::set_current_dir("/");
            Ok(Side::Server(Ready(writer)))
        }
    }
}

fn wait_until_ready(reader: OwnedFd, child: Pid) -> Result<Side> {
    let mut message = Vec::new();
    let read = File::from(reader).read_to_end(&mut message);
    read.map_err(|error| Error::io("waiting for the background process", error))?;
    if let Some((&READY, warnings)) = message.split_first() {
        return Ok(Side::Command(
            String::from_utf8_lossy(warnings).into_owned(),
        ));
    }
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(..)) => Ok(Side::Failed),
        status => Err(Error::Internal(format!(
            "the background process ended before the mount was ready ({status:?})"
        ))),
    }
}
