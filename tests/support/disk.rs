//! A small file system of a test's own, for a cache.

use super::Who;
use crate::commands::{shell, until};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory, gone when dropped.
pub(crate) struct Disk(pub(crate) PathBuf);

impl Disk {
    /// One of `size`, which belongs to `who`, at a folder that exists.
    pub(crate) fn new(path: &Path, who: Who, size: &str) -> Self {
        let (uid, gid) = who.ids().unwrap_or((0, 0));
        let options = format!("size={size},mode=700,uid={uid},gid={gid}");
        let mount = format!("mount -t tmpfs -o {options} tmpfs '{}'", path.display());
        shell(Who::Myself, &mount);
        Self(path.to_owned())
    }

    /// Waits until no file is open for writing: what the mount has answered from can
    /// still be on its way to the disk.
    pub(crate) fn remount(&self, how: &str) {
        let script = format!("mount -o remount,{how} '{}'", self.0.display());
        let mount = || Command::new("sh").args(["-c", &script]).output().unwrap();
        until("it can be mounted anew", || mount().status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
