//! Finds which mount a path leads into, and touches no mount that does not answer: a
//! process that enters one whose process is stopped waits without end.

use super::mounts;
use crate::{
    error::{Error, Result, is_missing},
    proc::{self, MAX_LINKS, MountEntry},
    text::shown,
    unmount,
};
use rustix::io::Errno;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf, absolute},
};

/// Why it is not known where a path leads.
#[derive(Debug)]
pub(super) enum Barred {
    /// It leads through a mount that cannot be used: why, and what to do.
    Mount(String),
    /// What the kernel says.
    Kernel(io::Error),
}

impl From<io::Error> for Barred {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

/// The vm0fs mount at a path.
///
/// # Errors
/// [`Error::Setup`] where none is.
pub(super) fn at(path: &Path) -> Result<MountEntry> {
    let mut walk = Walk::new()?;
    let failed = |what: String| Err(Error::Setup(format!("{}: {what}", shown(path))));
    let real = match walk.locate(path) {
        Ok(real) => Some(real),
        Err(Barred::Mount(trouble)) => return failed(trouble),
        Err(Barred::Kernel(error)) if is_missing(&error) => None,
        Err(Barred::Kernel(error)) => return failed(error.to_string()),
    };
    let held = real
        .as_ref()
        .and_then(|real| proc::holding(&walk.mounts, real));
    let advice = match held {
        Some((mount, below)) if below == Path::new("") => return Ok(mount.clone()),
        Some((mount, _)) => format!("it is in the mount {}", shown(&mount.mountpoint)),
        None => "`vm0fs status` lists those there are".to_owned(),
    };
    failed(format!("no vm0fs is mounted there; {advice}"))
}

/// Looks at the way to a folder that is to be a mountpoint, and not at the folder, which
/// would have a daemon mount there.
///
/// # Errors
/// [`Error::Setup`] where it leads through a mount that cannot be used.
pub(super) fn look_at_way(mountpoint: &Path) -> Result<()> {
    let whole = absolute(mountpoint).unwrap_or_default();
    let way = match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(_)) => parent,
        _ => &whole,
    };
    match Walk::new()?.why_unusable(way) {
        Some(trouble) => Err(Error::Setup(format!("{}: {trouble}", shown(mountpoint)))),
        None => Ok(()),
    }
}

/// Those of the paths whose mounts answer, before a process waits for them, and for each of
/// the others why not, with what to do. Touches no mount that does not answer.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub(super) fn that_answer(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let mut walk = Walk::new()?;
    let (mut answering, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        match walk.why_unusable(path) {
            Some(trouble) => failures.push(format!("{}: {trouble}", shown(path))),
            None => answering.push(path.clone()),
        }
    }
    Ok((answering, failures))
}

/// The vm0fs mounts, and what has been found out about them.
pub(super) struct Walk {
    mounts: Vec<MountEntry>,
    /// Why those cannot be used that were looked at, by their places.
    troubles: BTreeMap<PathBuf, Option<String>>,
}

impl Walk {
    /// # Errors
    /// [`crate::error::Error::Io`] where `/proc` is missing.
    pub(super) fn new() -> Result<Self> {
        Ok(Self::among(mounts::all()?))
    }

    fn among(mounts: Vec<MountEntry>) -> Self {
        let troubles = BTreeMap::new();
        Self { mounts, troubles }
    }

    /// The vm0fs mounts.
    pub(super) fn mounts(&self) -> &[MountEntry] {
        &self.mounts
    }

    /// Where a path leads, symlinks followed up to the first vm0fs mount: from there on it
    /// is as the user wrote it, unless a `..` is in it. A daemon may have mounted it
    /// meanwhile.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) fn locate(&mut self, path: &Path) -> Result<PathBuf, Barred> {
        let whole = absolute(path)?;
        // The way to it may be barred, or lead through a server that does not answer.
        if mounts::is_plain(&whole) && proc::holding(&self.mounts, &whole).is_some() {
            return Ok(whole);
        }
        let mut rest = Vec::new();
        put(&mut rest, &whole);
        let (mut real, mut links) = (PathBuf::from("/"), MAX_LINKS);
        while let Some(part) = rest.pop() {
            if part == ".." {
                real.pop();
                continue;
            }
            let next = real.join(part);
            let held = proc::holding(&self.mounts, &next);
            if let Some((mount, below)) = held {
                if !rest.iter().any(|part| part == "..") {
                    return Ok(rest.iter().rev().fold(next, |path, part| path.join(part)));
                }
                let is_root = below == Path::new("");
                let mount = mount.clone();
                if let Some(trouble) = self.trouble(&mount) {
                    return Err(Barred::Mount(trouble));
                }
                // Which is a folder.
                if is_root {
                    real = next;
                    continue;
                }
            }
            match fs::read_link(&next) {
                Ok(_) if links == 0 => return Err(Barred::Kernel(Errno::LOOP.into())),
                Ok(target) => {
                    links -= 1;
                    if target.is_absolute() {
                        real = "/".into();
                    }
                    put(&mut rest, &target);
                }
                // It is no symlink.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    if rest.last().is_some_and(|part| part == "..") && !next.is_dir() {
                        return Err(Barred::Kernel(Errno::NOTDIR.into()));
                    }
                    real = next;
                }
                Err(error) => return Err(Barred::Kernel(error)),
            }
        }
        Ok(real)
    }

    /// Why the mount that a path leads into cannot be used, if it cannot.
    pub(super) fn why_unusable(&mut self, path: &Path) -> Option<String> {
        match self.locate(path) {
            Ok(real) => self.trouble_at(&real),
            Err(Barred::Mount(trouble)) => Some(trouble),
            // The kernel says it again, to the command that uses the path.
            Err(Barred::Kernel(_)) => None,
        }
    }

    /// The same for what [`Self::locate`] has found.
    fn trouble_at(&mut self, real: &Path) -> Option<String> {
        let mount = proc::holding(&self.mounts, real)?.0.clone();
        self.trouble(&mount)
    }

    fn trouble(&mut self, mount: &MountEntry) -> Option<String> {
        let trouble = self.troubles.entry(mount.mountpoint.clone());
        let trouble = trouble.or_insert_with(|| unmount::look(mount.clone()).why_unusable());
        trouble.clone()
    }
}

/// Puts the parts of a path before those that are left, of which the next is the last.
fn put(rest: &mut Vec<OsString>, path: &Path) {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    rest.extend(path.components().rev().filter_map(part));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_followed_up_to_a_mount_and_not_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let entry = proc::mounts().unwrap().swap_remove(0);
        // Nothing is there: what looked into it would fail.
        let mountpoint = dir.join("mnt");
        let mut walk = Walk::among(vec![MountEntry {
            mountpoint: mountpoint.clone(),
            ..entry
        }]);
        fs::create_dir_all(dir.join("a/b")).unwrap();
        symlink("../mnt/runs", dir.join("a/runs")).unwrap();
        symlink(dir.join("a"), dir.join("to-a")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        for (path, leads_to) in [
            ("mnt/x/y", "mnt/x/y"),
            ("a/b/../runs/x", "mnt/runs/x"),
            ("to-a/runs", "mnt/runs"),
            ("to-a/b/../..", ""),
        ] {
            let expected = dir.join(leads_to);
            assert_eq!(walk.locate(&dir.join(path)).unwrap(), expected, "{path}");
        }
        let failed = |walk: &mut Walk, path: &str| match walk.locate(&dir.join(path)) {
            Err(Barred::Kernel(error)) => error.raw_os_error(),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(
            failed(&mut walk, "a/no/such"),
            Some(Errno::NOENT.raw_os_error())
        );
        let no_folder = failed(&mut walk, "file/../mnt");
        assert_eq!(no_folder, Some(Errno::NOTDIR.raw_os_error()));
        assert_eq!(failed(&mut walk, "loop"), Some(Errno::LOOP.raw_os_error()));
    }
}
