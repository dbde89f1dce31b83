//! The signals that end a mount or a server, waited for by a thread instead of
//! interrupting one.

use crate::error::{Error, Result};
use nix::sys::signal::{SigSet, Signal};

/// SIGINT, SIGTERM and SIGHUP, blocked.
#[derive(Clone, Copy, Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks them in this thread and in all that it starts from here on: to
    /// be called before the first thread. Programs that are run get them back.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn block() -> Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        let blocked = signals.thread_block();
        blocked.map_err(|errno| Error::io("blocking signals", errno.into()))?;
        Ok(Self(signals))
    }

    /// Waits until one comes, and gives its name.
    ///
    /// # Errors
    /// None known of; the system call has an error result.
    pub fn wait(&self) -> Result<&'static str> {
        let signal = self.0.wait();
        Ok(signal
            .map_err(|errno| Error::io("waiting for signals", errno.into()))?
            .as_str())
    }
}
