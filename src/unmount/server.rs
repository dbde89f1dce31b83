//! Which process serves a FUSE mount, found in `/proc` without a word to the
//! mount itself: the process that answers for it holds its connection open.

use crate::proc::{MountEntry, Process, hides_processes, is_in_user_namespace, processes};
use std::{fs, io, path::Path};

/// The device through which connections are held.
const DEVICE: &str = "/dev/fuse";

/// Connections that fusectl shows, by the device's number
/// (Documentation/filesystems/fuse in the kernel's source).
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// Which process serves a mount, as far as `/proc` tells this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// The process with this id does.
    By {
        pid: u32,
        /// Whether it is stopped (`SIGSTOP`, Ctrl-Z, a debugger).
        is_stopped: bool,
    },
    /// No process does: the mount is dead.
    Missing,
    /// It is not known: this user may not look at some processes, as those outside of
    /// a container, or the kernel (before 6.16) does not say which connection a process
    /// holds.
    Unknown,
}

/// Looks for the process that serves a FUSE mount; the kernel itself serves others.
pub(super) fn service(entry: &MountEntry) -> Service {
    let Some(user) = entry.user else {
        return Service::Unknown;
    };
    let is_mapped = is_in_user_namespace();
    let found = search(entry.minor(), processes(), |process, why| {
        // Of the processes out of sight, it can be one of the user who mounted.
        let is_hidden = why.kind() == io::ErrorKind::PermissionDenied;
        // Their numbers are others where the mount is from outside.
        is_hidden && (is_mapped || process.owner().is_ok_and(|owner| owner == user))
    });
    match found {
        Service::Missing if hides_processes() => Service::Unknown,
        found => found,
    }
}

/// The user whose process serves a mount, by the numbers of this user namespace, where
/// `/proc` tells.
pub fn server_owner(entry: &MountEntry) -> Option<u32> {
    match service(entry) {
        Service::By { pid, .. } => Process::new(pid).owner().ok(),
        Service::Missing | Service::Unknown => None,
    }
}

/// Looks through `processes` for the one that holds the connection `device`;
/// `matters` says whether one that cannot be looked at might be it.
fn search(
    device: u32,
    processes: impl Iterator<Item = Process>,
    matters: impl Fn(&Process, &io::Error) -> bool,
) -> Service {
    let by = |pid, is_stopped| Service::By { pid, is_stopped };
    let mut is_certain = true;
    let mut stopped = None;
    for process in processes {
        let descriptors = match process.descriptors() {
            Ok(descriptors) => descriptors,
            Err(error) => {
                is_certain &= !matters(&process, &error);
                continue;
            }
        };
        for descriptor in descriptors.filter(|each| each.target() == Path::new(DEVICE)) {
            match descriptor.info().and_then(|info| info.fuse_connection) {
                Some(held) if held == device => {
                    let pid = process.pid();
                    match process.is_stopped() {
                        // A supervisor replaces a worker that is stopped.
                        Some(false) => return by(pid, false),
                        Some(true) => stopped = Some(pid),
                        None => {}
                    }
                }
                Some(_) => {}
                // The kernel does not tell, or the process is just ending.
                None => is_certain = false,
            }
        }
    }
    if let Some(pid) = stopped {
        return by(pid, true);
    }
    match is_certain {
        true => Service::Missing,
        false => Service::Unknown,
    }
}

/// How many requests wait for the mount's process, where fusectl tells this
/// user: it is root's, and not mounted everywhere.
pub(super) fn waiting(entry: &MountEntry) -> Option<u64> {
    let file = format!("{CONNECTIONS}/{}/waiting", entry.minor());
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A process table with one process that holds `/dev/fuse`.
    fn table(info: &str, state: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let process = dir.path().join("42");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::create_dir(process.join("fdinfo")).unwrap();
        for (fd, target) in [("0", "/dev/null"), ("7", DEVICE)] {
            std::os::unix::fs::symlink(target, process.join("fd").join(fd)).unwrap();
        }
        fs::write(process.join("fdinfo/7"), info).unwrap();
        fs::write(process.join("stat"), format!("42 (a) b) {state} 1 42")).unwrap();
        dir
    }

    fn look(table: &tempfile::TempDir, device: u32) -> Service {
        search(device, Process::all_in(table.path()), |_, _| true)
    }

    #[test]
    fn the_process_that_holds_the_connection_serves_it() {
        let by = |is_stopped| Service::By {
            pid: 42,
            is_stopped,
        };
        let info = "pos:\t0\nflags:\t02\nfuse_connection:\t57\n";
        let sleeps = table(info, "S");
        assert_eq!(look(&sleeps, 57), by(false));
        assert_eq!(look(&sleeps, 5), Service::Missing);
        assert_eq!(look(&table(info, "T"), 57), by(true));
        let older = table("pos:\t0\nflags:\t02\n", "S");
        assert_eq!(look(&older, 57), Service::Unknown);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(look(&empty, 57), Service::Missing);
    }

    #[test]
    fn a_process_out_of_sight_might_be_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        assert_eq!(look(&dir, 57), Service::Unknown);
        let other = search(57, Process::all_in(dir.path()), |_, _| false);
        assert_eq!(other, Service::Missing);
    }
}
