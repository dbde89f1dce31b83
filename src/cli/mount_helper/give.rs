//! Gives a mountpoint to the user for whom it is mounted.

use crate::{
    error::{Error, Result},
    proc,
    text::{self, one_line, shell_path, shell_word},
};
use nix::unistd::{Gid, User, getgrouplist};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use std::{
    ffi::CString,
    fs::{self, File},
    os::unix::fs::{MetadataExt, fchown},
    path::Path,
};

/// Permission bits by which users other than the owner write in a folder.
const OTHERS_WRITE: u32 = 0o022;
/// The bit with which users remove only what is theirs from a folder.
const STICKY: u32 = 0o1000;

/// Why a folder was not given, and what to do.
type Refusal = (String, String);

/// Gives a user the mountpoint, where it is a folder such as systemd makes for a line of the
/// table: root's, and empty. fusermount3 mounts for a user only where that user may write.
///
/// # Errors
/// Why it is not given, where that user may not mount there already.
pub(super) fn give(mountpoint: &Path, user: &User) -> Result<()> {
    let there = proc::mount_at(mountpoint)?;
    if there.is_some_and(|entry| !entry.is_on_demand()) {
        return Ok(());
    }
    try_to_give(mountpoint, user).or_else(|(why, advice)| {
        if may_mount(mountpoint, user) {
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

/// Whether fusermount3 mounts there for a user: one who may write there, and in a folder
/// where users remove only what is theirs (sticky), its owner.
fn may_mount(mountpoint: &Path, user: &User) -> bool {
    let Ok(data) = fs::metadata(mountpoint) else {
        return false;
    };
    if data.uid() == user.uid.as_raw() {
        return true;
    }
    let groups = CString::new(&*user.name).map(|name| getgrouplist(&name, user.gid));
    let groups = groups.ok().and_then(std::result::Result::ok);
    let is_of_group = groups.is_some_and(|all| all.contains(&Gid::from_raw(data.gid())));
    // fusermount3 enters it, too.
    let needed = if is_of_group { 0o030 } else { 0o003 };
    data.mode() & STICKY == 0 && data.mode() & needed == needed
}

fn try_to_give(mountpoint: &Path, user: &User) -> Result<(), Refusal> {
    let word = shell_path(mountpoint);
    let name = shell_word(&user.name);
    let by_hand = format!("as root: chown {name} {word}");
    let another = || format!("{by_hand}; or name another folder");
    // A folder on the way may be the user's, who could have a link in it lead elsewhere.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    let folder = openat2(CWD, mountpoint, flags, Mode::empty(), resolve);
    let folder = File::from(folder.map_err(|errno| match errno {
        Errno::NOENT => (
            "there is no such folder".into(),
            format!("as root, make it: mkdir -p {word} && chown {name} {word}"),
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
