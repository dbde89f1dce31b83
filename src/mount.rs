//! Makes a mount from its settings, serves it, and ends it in order.

mod hung;
mod memory;
mod mountpoint;
mod open;
mod serve;
mod session;

pub use self::{open::open, session::may_keep_awake};

use self::{
    mountpoint::Prepared,
    serve::{End, Mounted},
};
use crate::{
    background::{Side, detach, leave_terminal},
    config::Settings,
    error::Result,
    notify::Notifier,
    signals::Signals,
    supervision::Seen,
    supervisor::Link,
    tree::Tree,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What `vm0fs mount` is to do.
#[derive(Debug)]
pub struct Options {
    /// The folder to mount at.
    pub mountpoint: PathBuf,
    /// What the kernel's table is to name as mounted there, where that is not `vm0fs`: the
    /// first field of the line of `/etc/fstab`, by which `mount -a` knows it again.
    pub source: Option<String>,
    /// How the mount behaves.
    pub settings: Settings,
    /// Stay in the foreground.
    pub foreground: bool,
}

/// How the command ends.
#[derive(Debug)]
pub enum Outcome {
    /// A mount lives in the background; these warnings, one a line, are for the user.
    Background(String),
    /// The background process failed, and has printed why.
    Failed,
    /// This process has served the mount to its end.
    Ended,
}

/// Mounts, and serves the mount to its end unless it goes to the background.
/// `set_up_logs` is called in the process that serves. In the foreground, `ready` is called
/// when it can be used, with the mountpoint and the warnings, and then `serves`, with what
/// is mounted.
///
/// # Errors
/// [`crate::error::Error::Setup`] for a mountpoint that cannot be used or a token that the
/// API refuses, and where the kernel or `fusermount3` refuses to mount.
pub fn run(
    options: Options,
    set_up_logs: impl FnOnce(),
    ready: impl FnOnce(&Path, &[String]),
    serves: impl FnOnce(&Arc<Tree>),
) -> Result<Outcome> {
    let report = match options.foreground {
        true => None,
        false => match detach(&options.mountpoint)? {
            Side::Command(warnings) => return Ok(Outcome::Background(warnings)),
            Side::Failed => return Ok(Outcome::Failed),
            Side::Server(report) => Some(report),
        },
    };
    // Before anything is written, which can be too much for a limit.
    let signals = Signals::outlast_others()?;
    set_up_logs();
    raise_open_files();
    // After the fork, since looking at what is mounted there starts threads.
    let prepared = mountpoint::prepare(&options.mountpoint)?;
    let mut mounted = start(&prepared, &options, None).inspect_err(|_| prepared.take_back())?;
    mounted.manager = Notifier::of_process(options.foreground);
    match report {
        Some(report) => {
            if let Err(error) = report.report(&mounted.warnings.join("\n")) {
                drop(mounted);
                prepared.take_back();
                return Err(error);
            }
        }
        None => {
            ready(&mounted.mountpoint, &mounted.warnings);
            serves(mounted.tree());
        }
    }
    let away = mounted.look_at_api();
    let remark = mounted.warnings.first().map(String::as_str);
    let status = Seen::default().told(&mounted.mountpoint, away, remark);
    mounted.manager.ready(&status);
    mounted.serve(signals);
    Ok(Outcome::Ended)
}

/// Serves a mount as the worker of a supervisor: makes it, or goes on with it in place
/// of the worker before. In the foreground `ready` hears of a new mount as that of [`run`]
/// does, and `serves` of each worker that has begun to serve.
///
/// # Errors
/// As [`run`], and where this program cannot go on with the mount as it is.
pub fn run_worker(
    options: Options,
    link: &mut Link,
    set_up_logs: impl FnOnce(),
    ready: impl FnOnce(&Path, &[String]),
    serves: impl FnOnce(&Arc<Tree>),
) -> Result<()> {
    let signals = Signals::of_worker()?;
    memory::offer_worker();
    set_up_logs();
    raise_open_files();
    if let Some(inherited) = link.inherited.take() {
        if let Some(mounted) = Mounted::take_over(&options.settings, link, inherited)? {
            mounted.announce();
            if options.foreground {
                serves(mounted.tree());
            }
            mounted.serve(signals);
        }
        return Ok(());
    }
    // Looking at what is mounted there starts threads.
    let prepared = mountpoint::prepare(&options.mountpoint)?;
    let mounted = start(&prepared, &options, Some(link)).inspect_err(|_| prepared.take_back())?;
    if !options.foreground {
        leave_terminal()?;
    }
    // Before the user hears of it: from then on its death is not to end the mount.
    mounted.announce();
    if options.foreground {
        ready(&mounted.mountpoint, &mounted.warnings);
        serves(mounted.tree());
    }
    if mounted.serve(signals) == End::Unused {
        prepared.take_back();
    }
    Ok(())
}

fn start(prepared: &Prepared, options: &Options, link: Option<&mut Link>) -> Result<Mounted> {
    let source = options.source.as_deref();
    Mounted::start(prepared, source, &options.settings, link)
}

/// Raises this process's limit of open files as far as it may: each file that a
/// program has open in the mount can be one of this process, and many systems start
/// programs with a limit of 1,024.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}
