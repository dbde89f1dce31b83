//! Finds which mount a path leads into, and touches no mount that does not answer: a
//! process that enters one whose process is stopped waits without end.

use super::mounts;
use crate::{
    error::{Error, Result, is_missing},
    proc::{self, MountEntry},
    text::shown,
    unmount,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf, absolute},
};

/// Why it is not known where a path leads: where a mount bars the way, why that cannot be
/// used, and what to do.
pub(super) type Barred = proc::Barred<String>;

/// Why mounts cannot be used, by their places.
type Troubles = BTreeMap<PathBuf, Option<String>>;

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
    /// Those that were looked at.
    troubles: Troubles,
}

impl Walk {
    /// # Errors
    /// [`crate::error::Error::Io`] where `/proc` is missing.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            mounts: mounts::all()?,
            troubles: BTreeMap::new(),
        })
    }

    /// The vm0fs mounts.
    pub(super) fn mounts(&self) -> &[MountEntry] {
        &self.mounts
    }

    /// Where a path leads, as [`proc::follow`] finds it.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) fn locate(&mut self, path: &Path) -> Result<PathBuf, Barred> {
        let troubles = &mut self.troubles;
        proc::follow(&self.mounts, path, |mount| match trouble(troubles, mount) {
            Some(trouble) => Err(trouble),
            None => Ok(()),
        })
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
        let (mount, _) = proc::holding(&self.mounts, real)?;
        trouble(&mut self.troubles, mount)
    }
}

/// Why a mount cannot be used, which is found out once.
fn trouble(troubles: &mut Troubles, mount: &MountEntry) -> Option<String> {
    let trouble = troubles.entry(mount.mountpoint.clone());
    let trouble = trouble.or_insert_with(|| unmount::look(mount.clone()).why_unusable());
    trouble.clone()
}
