//! How the two versions are reached: through a mount, or without one.

use crate::{
    cli::mounts,
    config::ConnectionOptions,
    error::{Error, Result},
    proc::MountEntry,
    text::one_line,
    unmount::{self, Health},
};
use nix::unistd::Uid;
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf, absolute},
};

/// Characters of a path in a message.
const SHOWN: usize = 200;
/// The folders that have versions.
const KINDS: [&str; 2] = ["artifacts", "volumes"];

/// How versions are reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In this folder of a mount.
    Mount(PathBuf),
    /// From the service: one of the kinds, and the name there.
    Service(&'static str, Vec<u8>),
}

impl Way {
    /// The way to what the user has named. Looks into no mount that does not answer.
    ///
    /// # Errors
    /// [`Error::Setup`] for what names no artifact or volume, and where several mounts
    /// have it.
    pub(super) fn to(named: &Path, connection: &ConnectionOptions) -> Result<Self> {
        let shown = || one_line(&named.to_string_lossy(), SHOWN);
        let failed = |error| Error::io(shown(), error);
        let mut vm0fs = mounts::all()?;
        let by_name = name_of(named);
        // A name alone may be one in the working folder.
        if by_name.is_none() || named.iter().count() == 1 {
            let here = absolute(named).map_err(failed)?;
            if let Some(storage) = storage_of(&here, &vm0fs) {
                return Ok(Self::Mount(storage));
            }
        }
        let Some((kind, name)) = by_name else {
            let real = fs::canonicalize(named).map_err(failed)?;
            let missing = || format!("{} is in no artifact or volume of a vm0fs mount", shown());
            let storage = storage_of(&real, &vm0fs).ok_or_else(|| Error::Setup(missing()))?;
            return Ok(Self::Mount(storage));
        };
        // Who says how to reach the service does not mean a mount of another one.
        if *connection != ConnectionOptions::default() {
            return Ok(Self::Service(kind, name.as_os_str().as_bytes().to_vec()));
        }
        let working = absolute(".").map_err(failed)?;
        vm0fs = match mount_of(&working, &vm0fs) {
            Some(entry) => vec![entry.clone()],
            None => own(vm0fs),
        };
        Self::through(&vm0fs, kind, name)
    }

    /// The way to one of a kind by its name, through the only one of these mounts.
    fn through(mounts: &[MountEntry], kind: &'static str, name: &Path) -> Result<Self> {
        let path = |entry: &MountEntry| entry.mountpoint.join(kind).join(name);
        match mounts {
            [] => Ok(Self::Service(kind, name.as_os_str().as_bytes().to_vec())),
            [one] => Ok(Self::Mount(path(one))),
            [first, ..] => Err(Error::Setup(format!(
                "you have {} mounts; name it by its path in one of them, such as {}",
                mounts.len(),
                one_line(&path(first).to_string_lossy(), SHOWN)
            ))),
        }
    }
}

/// Those mounts of this user that answer.
fn own(mut mounts: Vec<MountEntry>) -> Vec<MountEntry> {
    let user = Uid::effective().as_raw();
    mounts.retain(|entry| {
        let is_alive = || matches!(unmount::look(entry.clone()).health, Health::Alive(_));
        entry.user == Some(user) && is_alive()
    });
    mounts
}

/// The mount that a path lies in, if it is one of these.
fn mount_of<'a>(path: &Path, mounts: &'a [MountEntry]) -> Option<&'a MountEntry> {
    path.ancestors()
        .find_map(|above| mounts.iter().rfind(|entry| entry.mountpoint == above))
}

/// The folder of the artifact or volume that a path lies in, if it is in a mount.
fn storage_of(path: &Path, mounts: &[MountEntry]) -> Option<PathBuf> {
    let mount = mount_of(path, mounts)?;
    let below = path.strip_prefix(&mount.mountpoint).ok()?;
    let mut names = below.iter();
    let (kind, name) = (names.next()?, names.next()?);
    KINDS
        .iter()
        .any(|known| kind == *known)
        .then(|| mount.mountpoint.join(kind).join(name))
}

/// Kind and name, where that is how an artifact or a volume is named without a mount:
/// `NAME`, `artifacts/NAME`, `volumes/NAME`.
fn name_of(named: &Path) -> Option<(&'static str, &Path)> {
    let is_name = |path: &Path| matches!(path.components().next(), Some(Component::Normal(_)));
    let parts: Vec<&Path> = named.iter().map(Path::new).collect();
    match parts.as_slice() {
        [name] if is_name(name) => Some((KINDS[0], name)),
        [kind, name] if is_name(name) => {
            let kind = KINDS.into_iter().find(|known| *kind == Path::new(known))?;
            Some((kind, name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proc;

    #[test]
    fn names_and_paths() {
        let name = |text: &'static str| {
            let found = name_of(Path::new(text));
            found.map(|(kind, name)| format!("{kind} {}", name.display()))
        };
        for (text, expected) in [
            ("report", Some("artifacts report")),
            ("artifacts/report/", Some("artifacts report")),
            ("volumes/raw", Some("volumes raw")),
            ("agents/x", None),
            ("/volumes/raw", None),
            ("volumes/..", None),
            ("..", None),
            (".", None),
            ("a/b/c", None),
        ] {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn one_mount_is_meant_and_several_are_told() {
        let entry = proc::mounts().unwrap().swap_remove(0);
        let of = |count: usize| {
            let mounts = vec![entry.clone(); count];
            Way::through(&mounts, "volumes", Path::new("a"))
        };
        assert_eq!(of(0).unwrap(), Way::Service("volumes", b"a".to_vec()));
        let path = entry.mountpoint.join("volumes/a");
        assert_eq!(of(1).unwrap(), Way::Mount(path.clone()));
        let error = of(2).unwrap_err().to_string();
        assert!(error.contains("you have 2 mounts"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn the_folder_in_a_mount() {
        let entry = proc::mounts().unwrap().swap_remove(0);
        let mounts = [MountEntry {
            mountpoint: "/mnt/vm0".into(),
            ..entry
        }];
        for (path, expected) in [
            ("/mnt/vm0/volumes/a", Some("/mnt/vm0/volumes/a")),
            (
                "/mnt/vm0/artifacts/a/latest/x",
                Some("/mnt/vm0/artifacts/a"),
            ),
            ("/mnt/vm0/artifacts", None),
            ("/mnt/vm0/runs/1/artifact", None),
            ("/mnt/vm01/volumes/a", None),
        ] {
            let found = storage_of(Path::new(path), &mounts);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        }
    }
}
