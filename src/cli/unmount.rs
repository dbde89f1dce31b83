//! `vm0fs unmount`.

use super::{complete::values::Values, mounts};
use crate::{
    config::Environment,
    error::{Error, Result},
    unmount,
};
use clap::Args;
use std::path::PathBuf;

/// `vm0fs unmount`.
#[derive(Debug, Args)]
#[command(
    after_help = "A mount that is in use stays, and you are told which processes use it. A process
that only waits for the network in it gets an error, and does not keep it.

Examples:
  vm0fs unmount ~/vm0
  vm0fs unmount --lazy ~/vm0    out of sight now, gone when no process uses it any more"
)]
pub struct UnmountArgs {
    /// The folder where the platform is mounted
    #[arg(add = Values::Mountpoints.completer())]
    mountpoint: PathBuf,
    /// Detach the mount now, even if it is in use. It ends when its last user has gone
    #[arg(short, long)]
    pub(super) lazy: bool,
    /// Ask the mount to release requests that wait in vain, in this process.
    #[arg(long, hide = true)]
    worker: bool,
}

impl UnmountArgs {
    /// Unmounts.
    ///
    /// # Errors
    /// See [`unmount::unmount`].
    pub fn run(self, environment: &Environment) -> Result<()> {
        let mountpoint = environment.current_dir.join(self.mountpoint);
        // Started inside the mount, this process would keep it busy itself.
        std::env::set_current_dir("/").map_err(|error| Error::io("changing to /", error))?;
        if self.worker {
            return mounts::ask_to_let_go(&mountpoint);
        }
        unmount::unmount(&mountpoint, self.lazy, mounts::let_go)
    }
}
