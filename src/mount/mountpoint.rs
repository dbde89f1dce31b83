//! Makes sure that a folder can be mounted on, before the mount is made.

use crate::{
    error::{Error, Result},
    proc::{self, MountEntry},
    text::shell_path,
    unmount::{self, Health},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A folder that can be mounted on.
pub(super) struct Prepared {
    /// Its absolute path.
    pub(super) path: PathBuf,
    /// The folders on the way to it that were made, the uppermost first.
    made: Vec<PathBuf>,
}

impl Prepared {
    /// Makes the folders anew that were made, where another mount that failed has removed
    /// them since.
    pub(super) fn make_again(&self) {
        if !self.made.is_empty() {
            // If this fails, the mount does, and says why.
            let _ = fs::create_dir_all(&self.path);
        }
    }

    /// Removes the folders that were made, since there will be no mount.
    pub(super) fn take_back(&self) {
        for path in self.made.iter().rev() {
            // If this fails, a program has put something into it.
            if fs::remove_dir(path).is_err() {
                break;
            }
        }
    }
}

/// Checks a folder and makes it ready. A dead vm0fs that a crash has left
/// there is taken away; a missing folder is made.
pub(super) fn prepare(path: &Path) -> Result<Prepared> {
    let unusable = |what: String, error: io::Error| {
        Error::Setup(format!(
            "{what}: {error}; name a folder of yours, or a new one in it"
        ))
    };
    let path = std::path::absolute(path)
        .map_err(|error| Error::io(format!("mountpoint {}", path.display()), error))?;
    let mut there = proc::mount_at(&path)?;
    if there.as_ref().is_some_and(MountEntry::is_on_demand) {
        // A daemon mounts there now, unless it is what has started this process.
        let _ = fs::read_dir(&path);
        there = proc::mount_at(&path)?;
    }
    if let Some(entry) = there.filter(|entry| !entry.is_on_demand()) {
        take_away_if_dead(&path, &entry)?;
    }
    let shown = path.display();
    let mut made = Vec::new();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Error::Setup(format!(
                "{shown} is not a directory; name another mountpoint"
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(Error::Setup(format!(
                    "{shown} is a symlink that leads nowhere; make the folder that it names, or \
                     name another mountpoint"
                )));
            }
            let missing = |path: &&Path| matches!(path.try_exists(), Ok(false));
            made.extend(path.ancestors().take_while(missing).map(Path::to_owned));
            made.reverse();
            fs::create_dir_all(&path)
                .map_err(|error| unusable(format!("cannot make the mountpoint {shown}"), error))?;
        }
        Err(error) => return Err(unusable(format!("mountpoint {shown}"), error)),
    }
    let mut entries =
        fs::read_dir(&path).map_err(|error| unusable(format!("mountpoint {shown}"), error))?;
    if entries.next().is_some() {
        return Err(Error::Setup(format!(
            "{shown} is not empty: a mount would hide what is in it; name an empty or a new folder"
        )));
    }
    Ok(Prepared { path, made })
}

fn take_away_if_dead(path: &Path, entry: &MountEntry) -> Result<()> {
    let shown = path.display();
    if !entry.is_vm0fs() {
        return Err(Error::Setup(format!(
            "something else is mounted at {shown} already (type {}); name another mountpoint",
            entry.fstype
        )));
    }
    match unmount::look(entry.clone()).health {
        Health::Dead => {
            tracing::info!("taking away the dead mount at {shown}");
            // Lazily, since a shell may still stand in it.
            unmount::unmount(path, true, |_| ())
        }
        Health::Alive(_) | Health::Closed | Health::Unknown(_) => Err(Error::Setup(format!(
            "vm0fs is mounted at {shown} already; use it, or end it with: vm0fs unmount {}",
            shell_path(path)
        ))),
        Health::Hung(what, help) => Err(Error::Setup(format!(
            "the vm0fs mounted at {shown} does not answer: {what}; {help} detach it with: \
             vm0fs unmount --lazy {}",
            shell_path(path)
        ))),
    }
}
