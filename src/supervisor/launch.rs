//! How `vm0fs mount` becomes a supervisor: the program is executed anew, so that
//! neither the token nor what reading the arguments needed is in its memory.

use super::{
    held::Held,
    inherit::{numbers, pass_on, take},
    message::{Order, PROTOCOL, Socket},
    worker::Worker,
};
use crate::{
    background::Ready,
    config::{Environment, secrets},
    error::{Error, Result},
    notify,
    proc::OWN_PROGRAM,
    supervision::Seen,
};
use libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, getrlimit};
use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

/// The hidden options by which the program tells itself what to be.
const SUPERVISOR: &str = "--supervisor=";
const WORKER: &str = "--worker=";
const FROM: &str = "--from=";

/// The kernel that first can send requests again that were not answered
/// (`FUSE_NOTIFY_RESEND`; fuse(4) protocol 7.40).
const CAN_RESEND: (u32, u32) = (6, 9);

/// Why a mount that this process makes ends with its process; `None` where it need not.
pub fn obstacle() -> Option<String> {
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY) {
        return Some(
            "a mount ends with its process under a limit of file sizes (`ulimit -f`, systemd's \
             LimitFSIZE): what a worker leaves to the next is a file in memory"
                .into(),
        );
    }
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    (version(&release) < Some(CAN_RESEND)).then(|| {
        format!(
            "a mount ends with its process on this kernel ({release}); {}.{} or newer lets \
             another one go on",
            CAN_RESEND.0, CAN_RESEND.1
        )
    })
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// What a supervisor is started with.
pub(super) struct Launched {
    /// Where the command waits, if it does.
    pub(super) ready: Option<Ready>,
    /// The secrets of the environment, for the workers.
    pub(super) secrets: Option<OwnedFd>,
    /// The folder that relative paths of the arguments begin at.
    pub(super) from: PathBuf,
    /// The arguments of `vm0fs mount`.
    pub(super) arguments: Vec<OsString>,
}

/// Replaces this process's program by the supervisor's, which goes on to mount with the
/// same arguments.
///
/// # Errors
/// Why it could not; otherwise it does not return.
pub(crate) fn become_supervisor(ready: Option<Ready>, environment: &Environment) -> Error {
    match execute(ready, environment) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn execute(ready: Option<Ready>, environment: &Environment) -> Result<std::convert::Infallible> {
    let secrets = secrets::hand_on(environment)?;
    let ready = ready.map(Ready::into_fd);
    for fd in [&ready, &secrets].into_iter().flatten() {
        pass_on(fd, true)?;
    }
    let fds = [&ready, &secrets].map(|fd| fd.as_ref().map(OwnedFd::as_fd));
    let from = &environment.current_dir;
    let mut program = program(Path::new(OWN_PROGRAM), SUPERVISOR, &fds, from);
    let error = program.args(arguments()).exec();
    Err(Error::io("starting the supervisor", error))
}

/// The command that starts this program in a role.
fn program(path: &Path, role: &str, fds: &[Option<BorrowedFd<'_>>], from: &Path) -> Command {
    let mut from_option = OsString::from(FROM);
    from_option.push(from);
    let mut command = Command::new(path);
    command
        .arg0(std::env::args_os().next().unwrap_or("vm0fs".into()))
        .args(["mount", &format!("{role}{}", numbers(fds))])
        .arg(from_option);
    command
}

/// Starts a worker: the first of a mount, or one that is to go on with what is held.
///
/// # Errors
/// Where no process can be started.
pub(super) fn start(
    launched: &Launched,
    program: &Path,
    held: Option<&Held>,
    seen: &Seen,
) -> Result<Worker> {
    let (own, other) = Socket::pair()?;
    let fds = [
        Some(other.as_fd()),
        launched.secrets.as_ref().map(OwnedFd::as_fd),
        held.map(|held| held.device.as_fd()),
        held.map(|held| held.memory.as_fd()),
    ];
    let worker = Worker::start(own, &fds, |fds| {
        worker(program, fds, &launched.from, &launched.arguments)
    })?;
    worker.tell(&Order::Start {
        protocol: PROTOCOL,
        pid: std::process::id(),
        connection: held.map(|held| held.connection.clone()),
        replaced: seen.replaced,
        replacements: seen.replacements.clone(),
        hears_away: true,
    });
    Ok(worker)
}

/// The command that starts a worker, which inherits these descriptors.
fn worker(
    path: &Path,
    fds: &[Option<BorrowedFd<'_>>],
    from: &Path,
    arguments: &[OsString],
) -> Command {
    let mut command = program(path, WORKER, fds, from);
    command.args(arguments).current_dir("/");
    for variable in notify::VARIABLES {
        command.env_remove(variable);
    }
    command
}

/// The arguments of `vm0fs mount` that this process was started with, without those
/// that are not the user's.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os()
        .skip(2)
        .filter(|argument| !is_ours(argument))
}

fn is_ours(argument: &OsStr) -> bool {
    let bytes = argument.as_bytes();
    [SUPERVISOR, WORKER, FROM]
        .iter()
        .any(|option| bytes.starts_with(option.as_bytes()))
}

impl Launched {
    /// What the arguments of this process say, where they make it a supervisor. It is
    /// asked before they are read in earnest, which takes memory.
    ///
    /// # Errors
    /// Where a user has written them.
    pub(super) fn of_process() -> Result<Option<Self>> {
        let text = |argument: OsString| argument.into_string().unwrap_or_default();
        let mut first = std::env::args_os().skip(1);
        if first.next().is_none_or(|command| command != "mount") {
            return Ok(None);
        }
        let role = first.next().map(text).unwrap_or_default();
        let Some(fds) = role.strip_prefix(SUPERVISOR) else {
            return Ok(None);
        };
        let [ready, secrets] = take(fds)?;
        let from = first.next().unwrap_or_default();
        let from = from
            .as_bytes()
            .strip_prefix(FROM.as_bytes())
            .unwrap_or(b"/");
        Ok(Some(Self {
            ready: ready.map(Ready::from),
            secrets,
            from: OsStr::from_bytes(from).into(),
            arguments: arguments().collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kernels_that_can_send_again() {
        for (release, can) in [
            ("6.18.44-fc-v657", true),
            ("6.9.0", true),
            ("6.10", true),
            ("7.0-rc1", true),
            ("6.8.12-generic", false),
            ("5.15.0", false),
            ("strange", false),
        ] {
            assert_eq!(version(release) >= Some(CAN_RESEND), can, "{release}");
        }
    }
}
