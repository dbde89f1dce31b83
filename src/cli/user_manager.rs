//! The user's systemd, asked by `systemctl --user`.

use crate::{
    config::Environment,
    error::{Error, Result},
    text::one_line,
    unmount::wait_within,
};
use nix::unistd::Uid;
use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How long a command may take: one that starts a service waits until it is ready, which
/// the manager gives 90 s by default, or has ended.
const LIMIT: Duration = Duration::from_secs(120);

/// Where systemd keeps a file for each user whose manager runs from boot on (loginctl(1)).
const LINGER: &str = "/var/lib/systemd/linger";

/// What a command has said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_well: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `systemctl --user`, or another command of systemd's for a user.
///
/// # Errors
/// Where there is none, or it does not end.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new(program);
    command
        .arg("--user")
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // `su` and the like do not set it, and the manager is there all the same.
    let runtime = PathBuf::from(format!("/run/user/{}", Uid::effective()));
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    let what = || format!("running {program}");
    let mut child = command.spawn().map_err(|error| Error::io(what(), error))?;
    // It says less than a pipe holds.
    let ended = wait_within(&mut child, LIMIT).map_err(|error| Error::io(what(), error))?;
    let Some(status) = ended else {
        return Err(Error::Setup(format!(
            "{program} --user {} has not ended within {} s; see what it waits for: systemctl \
             --user list-jobs",
            arguments.join(" "),
            LIMIT.as_secs()
        )));
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = |from: Option<&mut dyn Read>, into: &mut Vec<u8>| match from {
        Some(from) => from.read_to_end(into).map(|_| ()),
        None => Ok(()),
    };
    read(
        child.stdout.as_mut().map(|out| out as &mut dyn Read),
        &mut out,
    )
    .and_then(|()| {
        read(
            child.stderr.as_mut().map(|err| err as &mut dyn Read),
            &mut err,
        )
    })
    .map_err(|error| Error::io(what(), error))?;
    Ok(Said {
        is_well: status.success(),
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    })
}

/// Runs `systemctl --user`, which must succeed.
///
/// # Errors
/// With what it has said.
pub(super) fn systemctl(arguments: &[&str]) -> Result<String> {
    let said = run("systemctl", arguments)?;
    match said.is_well {
        true => Ok(said.out),
        false => Err(Error::Setup(format!(
            "systemctl --user {}: {}",
            arguments.join(" "),
            one_line(&said.err, 400)
        ))),
    }
}

/// The variables that the manager gives to its services; the error says why there is no
/// manager.
///
/// # Errors
/// Where none can be asked.
pub(super) fn environment() -> Result<Vec<(String, String)>> {
    let shown = systemctl(&["show-environment"])?;
    let pairs = shown.lines().filter_map(|line| line.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Whether the manager runs from boot on, without a login.
pub(super) fn lingers() -> bool {
    let user = nix::unistd::User::from_uid(Uid::effective());
    let name = user.ok().flatten().map(|user| user.name);
    name.is_some_and(|name| Path::new(LINGER).join(name).exists())
}

/// The folder where a user's own units are.
///
/// # Errors
/// [`Error::Setup`] where no home is known.
pub(super) fn units(environment: &Environment) -> Result<PathBuf> {
    let config = environment.xdg("XDG_CONFIG_HOME", ".config")?;
    Ok(config.join("systemd/user"))
}
