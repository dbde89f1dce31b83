//! Which artifact or volume a user names: by its name, or by a path in a mount.

use crate::{
    cli::{
        mount_failure, mounts,
        walk::{Barred, Walk},
    },
    error::{Error, Result},
    proc::{self, MountEntry},
    text,
};
use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf, absolute},
};

/// The folders that have versions.
const KINDS: [&str; 2] = ["artifacts", "volumes"];

/// An artifact or a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Storage {
    /// The folder that it is in, in every mount.
    pub(super) kind: &'static str,
    /// Its name there.
    pub(super) name: Box<[u8]>,
    /// The mount that it was named in.
    pub(in crate::cli) mountpoint: Option<PathBuf>,
}

impl Storage {
    /// What the user means. Looks into a mount only where the path does not say it.
    ///
    /// # Errors
    /// [`Error::Setup`] for a path that is in no artifact or volume of a mount, or does
    /// not exist.
    pub(super) fn find(named: &Path) -> Result<Self> {
        let shown = || text::shown(named);
        let mut walk = Walk::new()?;
        if let Some(found) = Self::without_looking(named, walk.mounts()) {
            return Ok(found);
        }
        let advice = "name an artifact as NAME, a volume as volumes/NAME, or one by its path in a \
                      mount; `vm0fs ls artifacts` and `vm0fs ls volumes` list them";
        let failed = |why: String| Error::Setup(format!("{}: {why}", shown()));
        let real = walk.locate(named).map_err(|barred| match barred {
            Barred::Mount(trouble) => failed(trouble),
            Barred::Kernel(error) => failed(format!("{error}; {advice}")),
        })?;
        // Also those that the way to it has had mounted.
        let mounts = mounts::all()?;
        if let Some(found) = by_path(&real, &mounts) {
            return Ok(found);
        }
        // The symlinks of a mount lead to versions, too: those of runs.
        let leads_to = match walk.why_unusable(&real) {
            None => fs::canonicalize(&real).map_err(|error| {
                let why = mount_failure::reason(&real, &error);
                failed(format!("{why}; {advice}"))
            })?,
            Some(trouble) => return Err(failed(trouble)),
        };
        by_path(&leads_to, &mounts).ok_or_else(|| {
            Error::Setup(format!(
                "{} is in no artifact or volume of a vm0fs mount; {advice}",
                shown()
            ))
        })
    }

    /// The same as far as it is told by the path itself and by `mounts`.
    pub(in crate::cli) fn without_looking(named: &Path, mounts: &[MountEntry]) -> Option<Self> {
        let by_name = by_name(named);
        // A name alone may be one in the working folder.
        if by_name.is_none() || named.iter().count() == 1 {
            let here = absolute(named).ok()?;
            if proc::is_plain(&here)
                && let Some(found) = by_path(&here, mounts)
            {
                return Some(found);
            }
        }
        by_name
    }

    /// Kind and name, for people and programs.
    pub(in crate::cli) fn shown(&self) -> String {
        format!("{}/{}", self.kind, String::from_utf8_lossy(&self.name))
    }
}

/// What a path is in, or is.
fn by_path(path: &Path, mounts: &[MountEntry]) -> Option<Storage> {
    let (mount, below) = proc::holding(mounts, path)?;
    let mut names = below.iter();
    let (kind, name) = (names.next()?, names.next()?);
    Some(Storage {
        kind: KINDS.into_iter().find(|known| kind == *known)?,
        name: name.as_bytes().into(),
        mountpoint: Some(mount.mountpoint.clone()),
    })
}

/// What is named without a mount: `NAME`, `artifacts/NAME`, `volumes/NAME`.
fn by_name(named: &Path) -> Option<Storage> {
    let parts: Vec<Component<'_>> = named.components().collect();
    let (kind, name) = match parts.as_slice() {
        [Component::Normal(name)] => (KINDS[0], name),
        [Component::Normal(kind), Component::Normal(name)] => {
            (KINDS.into_iter().find(|known| kind == known)?, name)
        }
        _ => return None,
    };
    Some(Storage {
        kind,
        name: name.as_bytes().into(),
        mountpoint: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_means_an_artifact_unless_it_says_volumes() {
        for (text, expected) in [
            ("report", Some("artifacts/report")),
            ("artifacts/report/", Some("artifacts/report")),
            ("volumes/raw", Some("volumes/raw")),
            ("agents/x", None),
            ("/volumes/raw", None),
            ("volumes/..", None),
            ("..", None),
            (".", None),
            ("a/b/c", None),
        ] {
            let found = by_name(Path::new(text)).map(|found| found.shown());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn paths_of_storages_are_found_in_a_mount() {
        let entry = proc::mounts().unwrap().swap_remove(0);
        let mounts = [MountEntry {
            mountpoint: "/mnt/vm0".into(),
            ..entry
        }];
        for (path, expected) in [
            ("/mnt/vm0/volumes/a", Some("volumes/a")),
            ("/mnt/vm0/artifacts/a/latest/x", Some("artifacts/a")),
            ("/mnt/vm0/artifacts", None),
            ("/mnt/vm0/runs/1/artifact", None),
            ("/mnt/vm01/volumes/a", None),
        ] {
            let found = by_path(Path::new(path), &mounts).map(|found| found.shown());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }
}
