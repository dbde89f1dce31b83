//! `vm0fs upgrade`: has mounts go on with the program as it now is on disk.

use super::{
    complete::values::Values,
    mounts,
    output::{exit_code, print, tell},
    walk,
};
use crate::{
    config::Environment,
    error::{Error, Result},
    proc::{MountEntry, Process},
    signals::UPGRADE,
    text::{self, one_line},
    unmount::{self, Health},
};
use clap::Args;
use nix::{
    sys::signal::kill,
    unistd::{Pid, Uid},
};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// How long another worker may take to take over: the supervisor gives up before.
const LIMIT: Duration = Duration::from_secs(75);

/// How often the mount is asked whether one has.
const LOOK: Duration = Duration::from_millis(50);

/// `vm0fs upgrade`.
#[derive(Debug, Args)]
#[command(
    after_help = "Programs that use the mount notice nothing: open files stay open. The settings
are read again too. Where the new program cannot take over, the old one serves
on, and you are told why. SIGHUP to the supervisor reads the settings again
without another program.

Examples:
  vm0fs upgrade ~/vm0
  vm0fs upgrade --all"
)]
pub struct UpgradeArgs {
    /// The folders of the mounts [default: none; --all takes every mount]
    #[arg(value_name = "MOUNTPOINT", required_unless_present = "all")]
    #[arg(add = Values::Mountpoints.completer())]
    mountpoints: Vec<PathBuf>,
    /// Upgrade every mount of vm0fs on this machine that is yours; what has no supervisor, as a demo has none, is left as it is
    #[arg(long, conflicts_with = "mountpoints")]
    all: bool,
}

impl UpgradeArgs {
    /// Upgrades, and says what came of it.
    ///
    /// # Errors
    /// Where `/proc` is missing. What fails for one mount is said, and leaves the others to
    /// be upgraded.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        let entries: Vec<_> = match self.all {
            true => mounts::own()?.into_iter().map(Ok).collect(),
            false => {
                let at = |path: &PathBuf| {
                    let path = environment.current_dir.join(path);
                    walk::at(&path.components().collect::<PathBuf>())
                };
                self.mountpoints.iter().map(at).collect()
            }
        };
        if entries.is_empty() {
            print("you have mounted nothing\n")?;
        }
        let mut is_well = true;
        for entry in entries {
            let done = entry.and_then(|entry| {
                let shown = text::shown(&entry.mountpoint);
                let failed = |error| Error::Setup(format!("{shown}: {error}"));
                let done = upgrade(entry, self.all).map_err(failed)?;
                Ok(format!("{shown}: {done}\n"))
            });
            match done {
                Ok(done) => print(&done)?,
                // The others are upgraded all the same.
                Err(error) => {
                    is_well = false;
                    tell(&error.to_string());
                }
            }
        }
        Ok(exit_code(is_well))
    }
}

/// What a mount's status says of its workers: its supervisor, and how many were
/// replaced and refused.
fn workers(entry: &MountEntry) -> Result<Value> {
    let state = unmount::look(entry.clone());
    match (&state.health, state.trouble()) {
        (Health::Alive(status), _) => Ok(status["workers"].clone()),
        (_, Some((why, advice))) => Err(Error::Setup(format!("{why}; {advice}"))),
        (_, None) => Err(Error::Setup(
            "another user has mounted it, who alone may upgrade it".into(),
        )),
    }
}

/// Upgrades a mount, or says why it is left as it is, where it may be.
fn upgrade(entry: MountEntry, may_be_left: bool) -> Result<String> {
    let before = workers(&entry)?;
    let supervisor = before["supervisor"].as_u64();
    let supervisor = supervisor.and_then(|pid| u32::try_from(pid).ok());
    let Some(supervisor) = supervisor else {
        let why = "it has no supervisor, so nothing can take over; unmount it and mount it again";
        return match may_be_left {
            true => Ok(format!("left as it is: {why}")),
            false => Err(Error::Setup(why.into())),
        };
    };
    // A mount may claim any number: only the user who mounted it can be harmed.
    let owner = Process::new(supervisor).owner().ok();
    let own = owner == Some(Uid::effective().as_raw()) && mounts::is_own(&entry);
    if owner.is_none() || owner != entry.user && !own {
        return Err(Error::Setup(format!(
            "process {supervisor}, which it names as its supervisor, is not its user's"
        )));
    }
    let pid = Pid::from_raw(i32::try_from(supervisor).unwrap_or(i32::MAX));
    kill(pid, UPGRADE)
        .map_err(|errno| Error::io(format!("asking process {supervisor}"), errno.into()))?;
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let now = workers(&entry)?;
        if now["replaced"] != before["replaced"] {
            let last = now["replacements"].as_array().and_then(|all| all.last());
            let last = last.unwrap_or(&Value::Null);
            let version = one_line(last["version"].as_str().unwrap_or("?"), 40);
            let gap = last["gap_ms"].as_f64().unwrap_or_default();
            return Ok(format!("vm0fs {version} serves it, after {gap:.0} ms"));
        }
        if now["supervisor"] != before["supervisor"] {
            return Err(Error::Setup(format!(
                "its supervisor, process {supervisor}, has ended; unmount it and mount it again"
            )));
        }
        if now["refused"] != before["refused"] {
            let why = one_line(now["last_refusal"].as_str().unwrap_or("?"), 500);
            return Err(Error::Setup(format!(
                "not upgraded, and served as before: {why}"
            )));
        }
        thread::sleep(LOOK);
    }
    Err(Error::Setup(format!(
        "no other worker has taken over within {} s; see the log",
        LIMIT.as_secs()
    )))
}
