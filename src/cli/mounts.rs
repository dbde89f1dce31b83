//! The vm0fs mounts of this machine, and how each of them is, in words.

pub(super) use crate::proc::vm0fs_mounts as all;

use crate::{
    error::{Error, Result},
    pending::LET_GO,
    proc::{self, MountEntry},
    text::{shell_path, shown},
    unmount::{self, Health, MountState},
};
use nix::unistd::Uid;
use rustix::{fs::getxattr, io::Errno};
use serde_json::{Value, json};
use std::{io, os::unix::process::CommandExt, path::Path, process::Command, time::Duration};

/// The longest value of an attribute (`XATTR_SIZE_MAX` of Linux).
const VALUE: usize = 64 << 10;

/// What is said of a mount that this user may not ask.
pub(super) const ANOTHER_S: &str = "another user has mounted it, who alone may ask it";

/// How long a mount may take to release the requests that wait.
const LET_GO_LIMIT: Duration = Duration::from_millis(300);

/// Those of this user.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub(super) fn own() -> Result<Vec<MountEntry>> {
    let mut mounts = all()?;
    mounts.retain(is_own);
    Ok(mounts)
}

/// Whether this user has mounted it. In a user namespace the kernel's table does not say
/// whether the number of a mount's user is one of inside or of outside.
pub(super) fn is_own(mount: &MountEntry) -> bool {
    let own = Uid::effective().as_raw();
    if mount.user.is_none() || !proc::is_in_user_namespace() {
        return mount.user == Some(own);
    }
    match unmount::server_owner(mount) {
        Some(owner) => owner == own,
        None => mount.user == Some(own) || mount.user == proc::outside_user(own),
    }
}

/// Whether a mount obeys this user: it is this user's, or this user is root.
pub(super) fn may_change(mountpoint: &Path) -> bool {
    let is_ours = |mount: &MountEntry| mount.mountpoint == mountpoint && is_own(mount);
    Uid::effective().is_root() || all().is_ok_and(|mounts| mounts.iter().any(is_ours))
}

/// The mount that a user means who names none: the one that the current folder is in, or
/// the only one.
///
/// # Errors
/// [`Error::Setup`] where there is none, or several.
pub(super) fn meant(current_dir: &Path) -> Result<MountEntry> {
    let mut mounts = own()?;
    let is_here = |mount: &MountEntry| current_dir.starts_with(&mount.mountpoint);
    if let Some(here) = mounts.iter().rposition(is_here) {
        return Ok(mounts.remove(here));
    }
    match mounts.len() {
        0 => Err(Error::Setup(
            "you have mounted nothing; `vm0fs status` lists the mounts of all users".into(),
        )),
        1 => Ok(mounts.remove(0)),
        _ => {
            let shown = mounts.iter().map(|mount| shown(&mount.mountpoint));
            let shown: Vec<String> = shown.collect();
            let shown = shown.join(", ");
            Err(Error::Setup(format!("name one of your mounts: {shown}")))
        }
    }
}

/// An attribute of a file in a mount; `None` where it has none of that name.
///
/// # Errors
/// What asking for it fails with.
pub(super) fn attribute(path: &Path, name: &str) -> io::Result<Option<String>> {
    let mut value = vec![0; VALUE];
    match getxattr(path, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(String::from_utf8_lossy(&value).into_owned()))
        }
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A process that asks a mount, as the user who mounted where this one is root's: without
/// `allow_other` not even root may enter another user's mount.
pub(super) fn second_process(command: &str, entry: &MountEntry) -> Command {
    let mut process = unmount::second_process(command, &entry.mountpoint);
    // A user without a number here is one of outside, and so may this one be.
    let is_other =
        Uid::effective().is_root() && !is_own(entry) && entry.user.is_some_and(proc::is_mapped);
    if let (true, Some(user), Some(group)) = (is_other, entry.user, entry.group) {
        process.uid(user).gid(group);
    }
    process
}

/// Asks a mount, in a second process, to fail the requests to which nothing comes.
/// The caller sees by unmounting whether that helped.
pub(super) fn let_go(entry: &MountEntry) {
    let mut command = second_process("unmount", entry);
    if let Ok(mut child) = command.spawn() {
        let _ = unmount::wait_within(&mut child, LET_GO_LIMIT);
    }
}

/// What the second process does: asks the mount to release requests.
///
/// # Errors
/// [`Error::Io`] where the mount does not know how, or may not be asked.
pub(super) fn ask_to_let_go(mountpoint: &Path) -> Result<()> {
    match attribute(mountpoint, LET_GO) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Error::Setup(format!(
            "{} is of an older vm0fs, which cannot be asked to end waits",
            shown(mountpoint)
        ))),
        Err(error) => Err(Error::io(shown(mountpoint), error)),
    }
}

/// What is wrong with a mount that no process serves, and what to do.
pub(super) fn dead(mountpoint: &Path) -> (String, String) {
    let shown = shell_path(mountpoint);
    let advice = format!("mount again at {shown}, or take it away: vm0fs unmount --lazy {shown}");
    ("its process is gone".into(), advice)
}

impl MountState {
    /// The mountpoint, fit for a message.
    pub(super) fn shown(&self) -> String {
        shown(&self.entry.mountpoint)
    }

    /// Why no command of this user can use it, and what to do.
    pub(super) fn why_unusable(&self) -> Option<String> {
        match (&self.health, self.trouble()) {
            (Health::Dead | Health::Hung(..), Some((what, advice))) => {
                Some(format!("its mount {}: {what}; {advice}", self.shown()))
            }
            (Health::Closed, _) => Some(format!("its mount {}: {ANOTHER_S}", self.shown())),
            _ => None,
        }
    }

    /// How it is, in one word.
    pub(super) fn word(&self) -> &'static str {
        match self.health {
            Health::Alive(_) => "alive",
            // Only that user can ask whether it answers.
            Health::Closed if self.pid.is_some() => "alive",
            Health::Dead => "dead",
            Health::Hung(..) => "hung",
            Health::Closed | Health::Unknown(_) => "unknown",
        }
    }

    /// What is wrong with it, and what to do; `None` where nothing is.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        let shown = shell_path(&self.entry.mountpoint);
        let (why, advice) = match &self.health {
            Health::Alive(_) | Health::Closed => return None,
            Health::Dead => return Some(dead(&self.entry.mountpoint)),
            Health::Hung(why, advice) => {
                let detach = format!("detach it: vm0fs unmount --lazy {shown}");
                (why.as_str(), format!("{advice} {detach}"))
            }
            Health::Unknown(why) => (&**why, format!("see whether it can be used: ls {shown}")),
        };
        Some((why.to_owned(), advice))
    }

    /// The error for a command that needs it; `None` where nothing is wrong with it.
    pub(super) fn failure(&self) -> Option<Error> {
        let (what, advice) = self.trouble()?;
        let shown = self.shown();
        Some(Error::Setup(format!("{shown}: {what}; {advice}")))
    }

    pub(super) fn json(&self) -> Value {
        let status = match &self.health {
            Health::Alive(status) => status.clone(),
            _ => Value::Null,
        };
        let (trouble, advice) = self.trouble().unzip();
        json!({
            "mountpoint": self.entry.mountpoint.to_string_lossy(),
            "health": self.word(),
            "pid": self.pid,
            "trouble": trouble,
            "advice": advice,
            "status": status,
        })
    }
}
