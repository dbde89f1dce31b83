//! A run that a user names by its path in a mount.

use super::{
    mount_failure, mounts,
    walk::{Barred, Walk},
};
use crate::{
    error::{Error, Result, is_missing},
    proc::{self, MountEntry},
    text::shown,
};
use std::path::{Path, PathBuf, absolute};

/// The word that means the run there, and the mount: of a run's folder, of what lies in
/// it, or of `agents/NAME/latest`. `None` where the text is no path in a mount, and so a
/// word itself. Looks into a mount only where a `..` follows.
///
/// # Errors
/// Where `/proc` is missing, and why a path in a mount cannot be looked up.
pub(super) fn find(text: &str) -> Result<Option<(PathBuf, String)>> {
    if !text.contains('/') && text != "." && text != ".." {
        return Ok(None);
    }
    let mut walk = Walk::new()?;
    let barred = |why: String| Err(Error::Setup(format!("{}: {why}", shown(Path::new(text)))));
    match walk.locate(Path::new(text)) {
        // Also those that the way to it has had mounted.
        Ok(real) => Ok(word(&real, &mounts::all()?)),
        Err(Barred::Mount(trouble)) => barred(trouble),
        // It may be a word.
        Err(Barred::Kernel(error)) if is_missing(&error) => Ok(None),
        Err(Barred::Kernel(error)) => {
            let named = absolute(text).unwrap_or_default();
            match proc::holding(walk.mounts(), &named) {
                Some(_) => barred(mount_failure::reason(&named, &error)),
                None => Ok(None),
            }
        }
    }
}

fn word(path: &Path, mounts: &[MountEntry]) -> Option<(PathBuf, String)> {
    let (mount, below) = proc::holding(mounts, path)?;
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    let word = match names?.as_slice() {
        ["runs", ".by-status", _, run, ..] | ["agents", _, "runs", run, ..] => (*run).to_owned(),
        ["agents", agent, "latest", ..] => format!("agents/{agent}/latest"),
        ["runs", run, ..] if !run.starts_with('.') => (*run).to_owned(),
        _ => return None,
    };
    Some((mount.mountpoint.clone(), word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_of_runs_are_found_in_a_mount() {
        let entry = proc::mounts().unwrap().swap_remove(0);
        let mounts = [MountEntry {
            mountpoint: "/mnt/vm0".into(),
            ..entry
        }];
        for (path, expected) in [
            ("runs/1a2b", Some("1a2b")),
            ("runs/1a2b/volumes/data", Some("1a2b")),
            ("runs/.by-status/running/1a2b", Some("1a2b")),
            ("agents/writer/runs/1a2b/logs", Some("1a2b")),
            ("agents/writer/latest", Some("agents/writer/latest")),
            ("agents/writer/latest/logs", Some("agents/writer/latest")),
            ("agents/writer", None),
            ("runs", None),
            ("runs/.runs.jsonl", None),
            ("", None),
        ] {
            let found = word(&Path::new("/mnt/vm0").join(path), &mounts);
            let expected = expected.map(|word| (PathBuf::from("/mnt/vm0"), word.to_owned()));
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(word(Path::new("/mnt/vm01/runs/1a2b"), &mounts), None);
    }

    #[test]
    fn words_are_no_paths() {
        for text in [
            "latest",
            "1a2b",
            "writer/latest",
            "runs/1a2b",
            ".",
            "/proc/1",
        ] {
            assert_eq!(find(text).unwrap(), None, "{text}");
        }
    }
}
