//! Where a path leads, found out without entering a vm0fs mount: a process that enters one
//! whose process is stopped waits without end.

use super::{MAX_LINKS, MountEntry, holding};
use rustix::io::Errno;
use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf, absolute},
};

/// Why it is not known where a path leads.
#[derive(Debug)]
pub enum Barred<T> {
    /// It leads through a mount that must not be entered: what was said of that.
    Mount(T),
    /// What the kernel says.
    Kernel(io::Error),
}

impl<T> From<io::Error> for Barred<T> {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

/// Whether the table of mounts alone says where a whole path leads, symlinks left aside:
/// where a link leads whose target a `..` is in, only the kernel knows.
pub fn is_plain(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

/// Where a path leads, symlinks followed up to the first of these mounts: from there on it
/// is as the user wrote it, unless a `..` is in it, for which `enter` is asked whether that
/// mount may be entered. A daemon may have mounted it meanwhile.
///
/// # Errors
/// Why that is not known.
pub fn follow<T>(
    mounts: &[MountEntry],
    path: &Path,
    mut enter: impl FnMut(&MountEntry) -> Result<(), T>,
) -> Result<PathBuf, Barred<T>> {
    let whole = absolute(path)?;
    // The way to it may be barred, or lead through a server that does not answer.
    if is_plain(&whole) && holding(mounts, &whole).is_some() {
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
        if let Some((mount, below)) = holding(mounts, &next) {
            if !rest.iter().any(|part| part == "..") {
                return Ok(rest.iter().rev().fold(next, |path, part| path.join(part)));
            }
            let is_root = below == Path::new("");
            enter(mount).map_err(Barred::Mount)?;
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
    use crate::proc;
    use std::{convert::Infallible, os::unix::fs::symlink};

    #[test]
    fn a_path_is_followed_up_to_a_mount_and_not_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let entry = proc::mounts().unwrap().swap_remove(0);
        // Nothing is there: what looked into it would fail.
        let mountpoint = dir.join("mnt");
        let mounts = [MountEntry {
            mountpoint: mountpoint.clone(),
            ..entry
        }];
        let follow = |path: &str| follow(&mounts, &dir.join(path), |_| Ok::<(), Infallible>(()));
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
            assert_eq!(follow(path).unwrap(), expected, "{path}");
        }
        let failed = |path: &str| match follow(path) {
            Err(Barred::Kernel(error)) => error.raw_os_error(),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(failed("a/no/such"), Some(Errno::NOENT.raw_os_error()));
        let no_folder = failed("file/../mnt");
        assert_eq!(no_folder, Some(Errno::NOTDIR.raw_os_error()));
        assert_eq!(failed("loop"), Some(Errno::LOOP.raw_os_error()));
    }
}
