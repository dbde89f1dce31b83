//! Which process serves a FUSE mount, found in `/proc` without a word to the
//! mount itself: whoever answers for it holds its connection open.

use super::MountEntry;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The device through which connections are held.
const DEVICE: &str = "/dev/fuse";

/// Connections that fusectl shows, by the device's number
/// (Documentation/filesystems/fuse in the kernel's source).
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// The number of the first process namespace (`PROC_PID_INIT_INO` in the
/// kernel's `include/linux/proc_ns.h`): from there every process can be seen.
const ALL_PROCESSES: &str = "pid:[4026531836]";

/// A process that serves a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its process id.
    pub pid: u32,
    /// Whether it is stopped (`SIGSTOP`, Ctrl-Z, a debugger).
    pub is_stopped: bool,
}

/// Who serves a mount, as far as `/proc` tells this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// This process does.
    By(Server),
    /// No process does: the mount is dead.
    Nobody,
    /// It cannot be told: some processes may not be looked at, as those outside
    /// of a container, or the kernel (before 6.16) does not say which connection
    /// a process holds.
    Unknown,
}

/// Looks for the process that serves a FUSE mount; the kernel itself serves others.
pub fn service(entry: &MountEntry) -> Service {
    let Some(user) = entry.user else {
        return Service::Unknown;
    };
    let processes = numbered(Path::new("/proc"));
    let found = search(entry.minor(), processes, |process, why| {
        // Of those that may not be looked at, it can be one of whoever mounted.
        let is_somebodys = why.kind() == io::ErrorKind::PermissionDenied;
        let owner = fs::metadata(process).map(|data| data.uid());
        is_somebodys && owner.is_ok_and(|owner| owner == user)
    });
    let sees_all = fs::read_link("/proc/self/ns/pid");
    match found {
        Service::Nobody if sees_all.is_ok_and(|own| own != Path::new(ALL_PROCESSES)) => {
            Service::Unknown
        }
        found => found,
    }
}

/// The processes or descriptors below a folder of `/proc`.
fn numbered(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .map(|entry| entry.path())
}

/// Looks through `processes` for the one that holds the connection `device`;
/// `matters` says whether one that cannot be looked at might be it.
fn search(
    device: u32,
    processes: impl Iterator<Item = PathBuf>,
    matters: impl Fn(&Path, &io::Error) -> bool,
) -> Service {
    let mut is_certain = true;
    for process in processes {
        let descriptors = process.join("fd");
        if let Err(error) = fs::read_dir(&descriptors) {
            is_certain &= !matters(&process, &error);
            continue;
        }
        for descriptor in numbered(&descriptors) {
            if !fs::read_link(&descriptor).is_ok_and(|target| target == Path::new(DEVICE)) {
                continue;
            }
            let Some(number) = descriptor.file_name() else {
                continue;
            };
            let info = fs::read_to_string(process.join("fdinfo").join(number));
            match info.ok().map(|info| connection(&info)) {
                Some(Some(held)) if held == device => {
                    if let Some(server) = server(&process) {
                        return Service::By(server);
                    }
                }
                Some(Some(_)) => {}
                // The kernel does not tell, or the process is just ending.
                Some(None) | None => is_certain = false,
            }
        }
    }
    match is_certain {
        true => Service::Nobody,
        false => Service::Unknown,
    }
}

/// The connection in `/proc/<pid>/fdinfo/<fd>` of an open `/dev/fuse`.
fn connection(info: &str) -> Option<u32> {
    let mut lines = info.lines();
    let held = lines.find_map(|line| line.strip_prefix("fuse_connection:"))?;
    held.trim().parse().ok()
}

/// By `/proc/<pid>/stat`: the state follows the name, which is in brackets and
/// may hold brackets of its own.
fn server(process: &Path) -> Option<Server> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read(process.join("stat")).ok()?;
    let after = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let state = stat[after..].trim_ascii_start().first()?;
    Some(Server {
        pid,
        is_stopped: matches!(state, b'T' | b't'),
    })
}

/// How many requests wait for the mount's process, where fusectl tells this
/// user: it is root's, and not mounted everywhere.
pub fn waiting(entry: &MountEntry) -> Option<u64> {
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
        search(device, numbered(table.path()), |_, _| true)
    }

    #[test]
    fn whoever_holds_the_connection_serves_it() {
        let by = |is_stopped| {
            Service::By(Server {
                pid: 42,
                is_stopped,
            })
        };
        let info = "pos:\t0\nflags:\t02\nfuse_connection:\t57\n";
        let sleeps = table(info, "S");
        assert_eq!(look(&sleeps, 57), by(false));
        assert_eq!(look(&sleeps, 5), Service::Nobody);
        assert_eq!(look(&table(info, "T"), 57), by(true));
        let older = table("pos:\t0\nflags:\t02\n", "S");
        assert_eq!(look(&older, 57), Service::Unknown);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(look(&empty, 57), Service::Nobody);
    }

    #[test]
    fn whoever_may_not_be_looked_at_might_be_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        assert_eq!(look(&dir, 57), Service::Unknown);
        let other = search(57, numbered(dir.path()), |_, _| false);
        assert_eq!(other, Service::Nobody);
    }
}
