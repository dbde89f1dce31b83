//! `vm0fs mount`.

use super::output::start_logging;
use crate::{
    config::{Environment, MountOptions, Settings},
    error::Result,
    logging,
    mount::{self, Outcome},
};
use clap::{ArgAction, Args};
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// `vm0fs mount`.
#[derive(Debug, Args)]
#[command(
    after_help = "The token comes from the first of: --token-file, VM0_API_KEY, VM0_TOKEN,
token-file in ~/.config/vm0fs/config.toml, the vm0 CLI's login (`vm0 auth login`).
There is no option for the token itself: other users can read a command line.
Every option that takes a value can stand in config.toml: cache-size = \"10GiB\"

Examples:
  vm0fs mount ~/vm0
  vm0fs mount -f -v ~/vm0                            stay, and show what happens
  vm0fs mount --token-file ~/.vm0-token ~/vm0
  vm0fs mount --cache-size 50GB --list-ttl 5s ~/vm0
  vm0fs mount --api-url http://localhost:3000 ~/vm0  a server in development"
)]
pub struct MountArgs {
    /// The folder to mount at. It must be empty; it is made if it is missing
    mountpoint: PathBuf,
    /// Stay in the foreground, and log to standard error
    #[arg(short, long)]
    foreground: bool,
    /// How the mount behaves.
    #[command(flatten)]
    options: MountOptions,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

impl MountArgs {
    /// Mounts; in the foreground, serves the mount to its end.
    ///
    /// # Errors
    /// See [`Settings::load`] and [`mount::run`].
    pub fn run(self, environment: &Environment) -> Result<Outcome> {
        start_logging(self.verbose, self.foreground, environment)?;
        let options = self.options(environment)?;
        let foreground = options.foreground;
        let set_up_logs = || {
            if !foreground {
                let file = logging::state_dir(environment).and_then(|dir| logging::to_file(&dir));
                if let Err(error) = file {
                    // The mount works without: failures are in .vm0fs/errors too.
                    tracing::warn!("there will be no log file: {error}");
                }
            }
        };
        mount::run(options, set_up_logs, |mountpoint, warnings| {
            // A closed standard error is no reason to end.
            let say = |text: String| drop(writeln!(io::stderr(), "vm0fs: {text}"));
            for warning in warnings {
                say(format!("warning: {warning}"));
            }
            let shown = mountpoint.display();
            say(format!("mounted at {shown}; Ctrl-C unmounts"));
        })
    }

    /// Settles what to mount. To be called after logging has begun: it warns.
    pub(super) fn options(self, environment: &Environment) -> Result<mount::Options> {
        Ok(mount::Options {
            mountpoint: environment.current_dir.join(self.mountpoint),
            settings: Settings::load(self.options, environment)?,
            foreground: self.foreground,
        })
    }
}
