//! Finds the version of a mount that a path lies in, by what the mount says: its
//! attributes and `.vm0fs/status.json`.

use super::{
    mount_failure::{last_error, reason},
    mounts::attribute,
};
use crate::{
    error::{Error, Result},
    proc,
    text::{self, one_line},
};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Characters of a path in a message.
const SHOWN: usize = 200;

/// What to name instead.
const ADVICE: &str = "name a folder like artifacts/NAME/latest in a mount, or a file below it; \
                      `vm0fs status` lists the mounts";

/// A version in a mount.
#[derive(Clone, Debug)]
pub(super) struct MountPath {
    /// The path as the user wrote it, fit for a message.
    pub(super) shown: String,
    /// Kind, storage and the beginning of the version, for a narrow column.
    pub(super) label: String,
    /// The version's folder.
    pub(super) root: PathBuf,
    /// The mount.
    pub(super) mountpoint: PathBuf,
}

impl MountPath {
    /// The version that `path` lies in, is, or leads to; for a volume or an
    /// artifact, its latest. Waits until the mount has looked the path up.
    ///
    /// # Errors
    /// [`Error::Setup`] for a path that is in no version of a vm0fs mount,
    /// [`Error::Io`] where it cannot be looked up.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let shown = text::shown(path);
        let real = locate(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Setup(format!("{shown}: {error}; {ADVICE}")),
            _ => Error::Setup(format!("{shown}: {}", reason(path, &error))),
        })?;
        let mounts = proc::mounts()?;
        let held = proc::holding(&mounts, &real).filter(|(mount, _)| mount.is_vm0fs());
        let Some((mount, below)) = held else {
            return Err(Error::Setup(format!(
                "{shown} is not in a vm0fs mount; {ADVICE}"
            )));
        };
        let names: Vec<&OsStr> = below.iter().collect();
        let is_storage = |kind: &OsStr| kind == "volumes" || kind == "artifacts";
        let root = match names.as_slice() {
            [kind, storage, version, ..] if is_storage(kind) && *version != ".versions.json" => {
                mount.mountpoint.join(kind).join(storage).join(version)
            }
            [kind, storage, ..] if is_storage(kind) => {
                let latest = mount.mountpoint.join(kind).join(storage).join("latest");
                fs::canonicalize(latest).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => Error::Setup(format!("{shown} has no version yet")),
                    _ => Error::Setup(format!(
                        "the latest version of {shown}: {}",
                        reason(&real, &error)
                    )),
                })?
            }
            _ => {
                return Err(Error::Setup(format!(
                    "{shown} is in no version; name a folder like artifacts/NAME/latest, or a \
                     file below it"
                )));
            }
        };
        Ok(Self {
            shown,
            label: label(&root),
            root,
            mountpoint: mount.mountpoint.clone(),
        })
    }

    /// The version's name in the cache.
    pub(super) fn key(&self) -> Result<String> {
        self.attribute("key")?.ok_or_else(|| {
            Error::Setup(format!(
                "the mount does not say where {} is in its cache: is it one of an older vm0fs?",
                self.shown
            ))
        })
    }

    /// The attribute `user.vm0.<name>` of the version.
    ///
    /// # Errors
    /// [`Error::Io`] where the mount gives an error.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<String>> {
        let name = format!("user.vm0.{name}");
        attribute(&self.root, &name).map_err(|error| Error::io(self.shown.clone(), error))
    }

    /// Why it could not be used, in the mount's words where it has some.
    pub(super) fn failure(&self, error: &io::Error) -> Error {
        let told = last_error(&self.root).unwrap_or_else(|| reason(&self.root, error));
        Error::Setup(format!("{}: {told}", self.shown))
    }

    /// Bytes so far, and in all where that is known, of the download of the version that is
    /// under way.
    ///
    /// # Errors
    /// [`Error::Io`] where the mount gives an error.
    pub(super) fn transfer(&self) -> Result<Option<(u64, Option<u64>)>> {
        let value = self.attribute("transfer")?.unwrap_or_default();
        let numbers = value.split_once(' ');
        Ok(numbers.and_then(|(bytes, all)| {
            let all: u64 = all.parse().ok()?;
            Some((bytes.parse().ok()?, (all > 0).then_some(all)))
        }))
    }

    /// The cache directory of the mount.
    ///
    /// # Errors
    /// [`Error::Setup`] where the mount does not tell it.
    pub(super) fn cache_dir(&self) -> Result<PathBuf> {
        let path = self.mountpoint.join(".vm0fs/status.json");
        let context = || text::shown(&path);
        let text = fs::read(&path).map_err(|error| Error::io(context(), error))?;
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let dir = status.pointer("/cache/dir").and_then(|dir| dir.as_str());
        let dir = dir.map(PathBuf::from).filter(|dir| dir.is_absolute());
        dir.ok_or_else(|| {
            Error::Setup(format!(
                "{} does not tell the cache's folder; name it with --cache-dir",
                context()
            ))
        })
    }
}

/// Has the mount fetch what an attribute of a version stands for, and waits for that. Gives what
/// the attribute is by then.
pub(super) fn fetch_by(root: &Path, attribute: &str) -> io::Result<String> {
    let found = self::attribute(root, attribute)?;
    let of_older = "its mount is of an older vm0fs, which fetches in another way; exchange that \
                    program with vm0fs upgrade";
    found.ok_or_else(|| io::Error::other(of_older))
}

/// The last three parts of a version's path, the version's shortened.
fn label(root: &Path) -> String {
    let mut parts = root.iter().rev().map(OsStr::to_string_lossy);
    let version: String = parts.next().unwrap_or_default().chars().take(12).collect();
    let storage = parts.next().unwrap_or_default();
    let kind = parts.next().unwrap_or_default();
    let storage = one_line(&storage, 24);
    one_line(&format!("{kind}/{storage}/{version}"), SHOWN)
}

/// The path without symlinks. The last part may be a symlink that leads
/// nowhere, as archives hold them: then it is that symlink.
fn locate(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|error| match fs::symlink_metadata(path) {
        Ok(_) => proc::locate(path),
        Err(_) => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_narrow() {
        let root = format!("/mnt/volumes/{}\u{202e}b/0123456789abcdef", "é".repeat(30));
        let label = label(Path::new(&root));
        assert_eq!(label, format!("volumes/{}…/0123456789ab", "é".repeat(24)));
    }

    #[test]
    fn a_path_outside_of_a_mount_is_an_error() {
        let error = MountPath::find(Path::new("/proc")).unwrap_err().to_string();
        assert!(
            error.starts_with("/proc is not in a vm0fs mount; name a folder"),
            "{error}"
        );
        let error = MountPath::find(Path::new("/proc/no\nne"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/proc/no ne: No such file"), "{error}");
    }
}
