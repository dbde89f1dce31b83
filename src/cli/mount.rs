//! `vm0fs mount`.

use super::{
    bars,
    demo::DemoArgs,
    first_time, fstab_line,
    given::{canonical, given, missing_files},
    output::{print, start_logging},
    unit, walk,
};
use crate::{
    background::{self, Side},
    config::{Environment, MountOptions, Settings, secrets},
    error::{Error, Result},
    logging,
    mount::{self, Outcome},
    proc,
    supervisor::{self, Link},
    text,
};
use clap::{ArgAction, Args, ValueHint};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// `vm0fs mount`.
#[derive(Debug, Args)]
#[command(
    after_help = "The token comes from the first of: --token-file, VM0_API_KEY, VM0_TOKEN,
token-file in ~/.config/vm0fs/config.toml, the vm0 CLI's login (`vm0 auth login`).
There is no option for the token itself: other users can read a command line.
Where there is none, a user at a terminal who gives no options is asked whether to
mount the demo.
Every option that takes a value can stand in config.toml: cache-size = \"10GiB\"

Examples:
  vm0fs mount ~/vm0
  vm0fs mount -f -v ~/vm0                            stay, and show what happens
  vm0fs mount --token-file ~/.vm0-token ~/vm0
  vm0fs mount --cache-size 50GB --list-ttl 5s ~/vm0
  vm0fs mount --api-url http://localhost:3000 ~/vm0  a server in development
  vm0fs mount --print-fstab --cache-size 50GB ~/vm0  the line for /etc/fstab"
)]
pub struct MountArgs {
    /// The folder to mount at. It must be empty; it is made if it is missing
    #[arg(value_hint = ValueHint::DirPath)]
    mountpoint: PathBuf,
    /// Stay in the foreground, log to standard error, and show slow downloads on a terminal
    #[arg(short, long)]
    foreground: bool,
    /// How the mount behaves.
    #[command(flatten)]
    options: MountOptions,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Serve in one process: the mount ends where that dies, and cannot be upgraded in place
    #[arg(long)]
    no_supervisor: bool,
    /// Mount nothing. Print the line of /etc/fstab that mounts with these options
    #[arg(long)]
    print_fstab: bool,
    /// Mount nothing. Print the systemd unit that mounts with these options: a service of yours, a mount unit for root
    #[arg(long, conflicts_with = "print_fstab")]
    print_unit: bool,
    /// What the kernel's table is to name as mounted.
    #[arg(long, hide = true)]
    source: Option<String>,
    /// Descriptors that a worker inherits.
    #[arg(long, hide = true)]
    worker: Option<String>,
    /// The folder that relative paths begin at.
    #[arg(long, hide = true)]
    from: Option<PathBuf>,
}

impl MountArgs {
    /// Mounts; in the foreground, serves the mount to its end.
    ///
    /// # Errors
    /// See [`Settings::load`] and [`mount::run`].
    pub fn run(mut self, environment: &Environment) -> Result<Outcome> {
        if let Some(fds) = self.worker.take() {
            return self.work(&fds, environment.clone());
        }
        if self.print_fstab || self.print_unit {
            return self.print_startup(environment).map(|()| Outcome::Ended);
        }
        // Options are for a mount of the user's own, and the mount(8) program's user is not
        // there to be asked.
        let says_nothing = self.source.is_none() && self.options == MountOptions::default();
        if says_nothing && first_time::prefers_demo(environment)? {
            let demo = DemoArgs {
                mountpoint: Some(self.mountpoint),
                serve_only: false,
                port: None,
                verbose: self.verbose,
            };
            return demo.run(environment).map(|()| Outcome::Ended);
        }
        if std::process::id() == 1 && !self.foreground {
            return Err(Error::Setup(
                "this is process 1 of a container, which ends with it, and so would a mount in the \
                 background; add --foreground"
                    .into(),
            ));
        }
        walk::look_at_way(&environment.current_dir.join(&self.mountpoint))?;
        start_logging(self.verbose, self.foreground, environment)?;
        if self.no_supervisor {
            return self.run_alone(environment);
        }
        if let Some(obstacle) = supervisor::obstacle() {
            tracing::info!("{obstacle}");
            return self.run_alone(environment);
        }
        let ready = match self.foreground {
            true => None,
            false => match background::detach(&environment.current_dir.join(&self.mountpoint))? {
                Side::Command(warnings) => return Ok(Outcome::Background(warnings)),
                Side::Failed => return Ok(Outcome::Failed),
                Side::Server(ready) => Some(ready),
            },
        };
        Err(supervisor::become_supervisor(ready, environment))
    }

    /// Prints what has the machine mount as the arguments of this process do.
    fn print_startup(self, environment: &Environment) -> Result<()> {
        let declaration = Self::augment_args(clap::Command::new("vm0fs mount"));
        // Systemd and mount(8) know a folder by this name alone.
        let mountpoint = canonical(&environment.current_dir.join(self.mountpoint))?;
        // What is mounted there may hang, or be mounted by a daemon that waits for this.
        let is_free = proc::mount_at(&mountpoint)?.is_none();
        let is_file = || is_free && mountpoint.exists() && !mountpoint.is_dir();
        if mountpoint == Path::new("/") || is_file() {
            return Err(Error::Setup(format!(
                "{} cannot be a mountpoint: name an empty folder",
                text::shown(&mountpoint)
            )));
        }
        let given = given(&declaration, std::env::args_os().skip(1), environment)?;
        let missing = missing_files(&given)?;
        let (text, notes) = match self.print_fstab {
            true => {
                let line = fstab_line::line(given, &mountpoint, environment)?;
                (line.text + "\n", line.notes)
            }
            false => unit::printed(given, &mountpoint, environment)?,
        };
        for note in notes.into_iter().chain(missing) {
            // A closed standard error is no reason to end.
            let _ = writeln!(io::stderr(), "vm0fs: {note}");
        }
        print(&text)
    }

    /// Serves the mount in this process, or in one in the background.
    fn run_alone(self, environment: &Environment) -> Result<Outcome> {
        let options = self.options(environment)?;
        let set_up_logs = logs(options.foreground, environment);
        mount::run(options, set_up_logs, print_ready, bars::show)
    }

    /// Serves the mount for a supervisor, which has started this process.
    fn work(self, fds: &str, mut environment: Environment) -> Result<Outcome> {
        let mut link = Link::connect(fds)?;
        if let Some(secrets) = &link.secrets {
            secrets::receive(secrets, &mut environment)?;
        }
        if let Some(from) = &self.from {
            environment.current_dir.clone_from(from);
        }
        let served = start_logging(self.verbose, self.foreground, &environment)
            .and_then(|()| self.options(&environment))
            .and_then(|options| {
                let set_up_logs = logs(options.foreground, &environment);
                mount::run_worker(options, &mut link, set_up_logs, print_ready, bars::show)
            });
        served
            .inspect_err(|error| link.fail(error))
            .map(|()| Outcome::Ended)
    }

    /// Settles what to mount. To be called after logging has begun: it warns.
    pub(super) fn options(self, environment: &Environment) -> Result<mount::Options> {
        Ok(mount::Options {
            mountpoint: environment.current_dir.join(self.mountpoint),
            source: self.source,
            settings: Settings::load(self.options, environment)?,
            foreground: self.foreground,
        })
    }
}

/// Lets the log of a mount in the background go to a file.
fn logs(foreground: bool, environment: &Environment) -> impl FnOnce() {
    move || {
        if !foreground {
            let file = logging::state_dir(environment).and_then(|dir| logging::to_file(&dir));
            if let Err(error) = file {
                // The mount works without: failures are in .vm0fs/errors too.
                tracing::warn!("there will be no log file: {error}");
            }
        }
    }
}

/// Tells the user of a mount in the foreground that it can be used.
fn print_ready(mountpoint: &Path, warnings: &[String]) {
    // A closed standard error is no reason to end.
    let say = |text: String| drop(writeln!(io::stderr(), "vm0fs: {text}"));
    for warning in warnings {
        say(format!("warning: {warning}"));
    }
    let shown = mountpoint.display();
    say(format!("mounted at {shown}; Ctrl-C unmounts"));
}
