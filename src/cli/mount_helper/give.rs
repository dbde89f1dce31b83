//! Gives a mountpoint to the user for whom it is mounted.

use crate::{
    error::{Error, Result},
    proc,
    text::{self, one_line},
};
use nix::unistd::User;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

/// Permission bits by which users other than the owner write in a folder.
const OTHERS_WRITE: u32 = 0o022;

/// Why a folder was not given, and what to do.
type Refusal = (String, String);

/// Gives a user the mountpoint, where it is a folder such as systemd makes for a line of the
/// table: root's, and empty. fusermount3 mounts for a user only where that user may write.
///
/// # Errors
/// Why it is not given, where it is not the user's already. That user may be able to mount
/// there all the same.
pub(super) fn give(mountpoint: &Path, user: &User) -> Result<()> {
    let there = proc::mount_at(mountpoint)?;
    if there.is_some_and(|entry| !entry.is_on_demand()) {
        return Ok(());
    }
    let is_theirs =
        |path: &Path| fs::metadata(path).is_ok_and(|data| data.uid() == user.uid.as_raw());
    try_to_give(mountpoint, user).or_else(|(why, advice)| {
        if is_theirs(mountpoint) {
            return Ok(());
        }
        let shown = text::shown(mountpoint);
        let name = one_line(&user.name, 60);
        Err(Error::Setup(format!(
            "{shown} was not given to {name}, who may mount only where {name} may write: {why}; \
             {advice}"
        )))
    })
}

fn try_to_give(mountpoint: &Path, user: &User) -> Result<(), Refusal> {
    let shown = text::shown(mountpoint);
    let name = one_line(&user.name, 60);
    let by_hand = format!("as root: chown {name} {shown}");
    let another = || format!("{by_hand}; or name another folder");
    // A folder on the way may be the user's, who could have a link in it lead elsewhere.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let folder = openat2(CWD, mountpoint, flags, Mode::empty(), resolve);
    let folder = File::from(folder.map_err(|errno| match errno {
        Errno::NOENT => (
            "there is no such folder".into(),
            format!("as root, make it: mkdir -p {shown} && chown {name} {shown}"),
        ),
        Errno::NOTDIR => ("it is not a folder".into(), "name another one".into()),
        Errno::LOOP => (
            "a symlink is on the way to it, which may lead anywhere by now".into(),
            "name it without symlinks (realpath)".into(),
        ),
        errno => (format!("it cannot be opened: {errno}"), another()),
    })?);
    let failed = |error: std::io::Error| (error.to_string(), another());
    let now = folder.metadata().map_err(failed)?;
    if now.uid() != 0 {
        return Err((
            format!("it belongs to another user ({})", now.uid()),
            another(),
        ));
    }
    if now.mode() & OTHERS_WRITE != 0 {
        let mode = now.mode() & 0o7777;
        let why = format!("it is root's, and others may write there (mode {mode:04o})");
        return Err((why, another()));
    }
    let mut content = fs::read_dir(proc::descriptor_path(&folder)).map_err(failed)?;
    if content.next().is_some() {
        let why = "it is root's, and not empty".into();
        return Err((why, "name an empty folder".into()));
    }
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    fchown(&folder, Some(uid), Some(gid)).map_err(|error| {
        let why = format!("its owner cannot be changed: {error}");
        (why, format!("name a folder of {name}'s"))
    })
}
