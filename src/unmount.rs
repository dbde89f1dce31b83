//! Takes a mount away, and finds out how one is, without touching what may be dead
//! or hang: it reads the kernel's tables, and where it must ask a mount, it waits only
//! for a bounded time.

mod health;
mod holders;
mod server;
mod wait;

pub use self::{
    health::{Health, MountState, look, read_status, second_process},
    server::server_owner,
    wait::wait_within,
};

use self::holders::holders;
use crate::{
    error::{Error, Result},
    proc::{MountEntry, holding, is_in_user_namespace, mount_at, mounts, vm0fs_mounts},
    text::{one_line, shown},
    threads,
};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    unistd::Uid,
};
use std::{
    env,
    ffi::OsStr,
    io::{self, Read},
    path::{Path, PathBuf, absolute},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The programs of the package fuse3, and of fuse before it, that mount and unmount for an
/// ordinary user.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// The longest wait for a mount to be gone, and for `fusermount3` to answer.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);

/// A mount is busy for a moment after a process has closed a file or ended, and while
/// requests wait in vain, which the mount releases after a second. Only a mount that
/// stays busy for this long is reported.
const BUSY_LIMIT: Duration = Duration::from_millis(1600);

/// How often waiting looks again.
const POLL: Duration = Duration::from_millis(20);

/// Holders that a message names.
const MAX_HOLDERS: usize = 8;

/// The program that mounts and unmounts for an ordinary user, in the folders of a `PATH`.
pub fn helper(path: Option<&OsStr>) -> Option<PathBuf> {
    let folders: Vec<_> = path.into_iter().flat_map(env::split_paths).collect();
    HELPERS.iter().find_map(|name| {
        let mut files = folders.iter().map(|folder| folder.join(name));
        files.find(|file| file.is_file())
    })
}

/// Where `fusermount3` looks up which user has mounted what it is to unmount, and what to do
/// where that is missing, as in the root folder of some containers.
pub const TABLE: &str = "/etc/mtab";
/// See [`TABLE`].
pub const TABLE_ADVICE: &str = "as root: ln -s /proc/self/mounts /etc/mtab";

/// Unmounts the vm0fs at `path` and waits until it is gone. `lazy` detaches it from
/// the tree of folders at once, and programs that use it can finish. While it is busy,
/// this calls `let_go` again and again, to ask the mount's process to fail requests
/// to which nothing comes.
///
/// # Errors
/// [`Error::Setup`] where there is no vm0fs, where it is busy (naming the processes that
/// hold it), or where it does not go in time.
pub fn unmount(path: &Path, lazy: bool, let_go: impl Fn(&MountEntry)) -> Result<()> {
    let owned = path.to_owned();
    let entry = bounded(UNMOUNT_LIMIT, move || mount_at(&owned)).ok_or_else(|| {
        Error::Setup(format!(
            "{}: its folder does not answer; is it inside of another mount that hangs?",
            shown(path)
        ))
    })??;
    let entry = entry.ok_or_else(|| nothing_at(path))?;
    if !entry.is_vm0fs() {
        return Err(Error::Setup(format!(
            "{} is a mount of type {}, not vm0fs; it is left alone",
            shown(path),
            one_line(&entry.fstype, 40)
        )));
    }
    let busy_until = Instant::now() + BUSY_LIMIT;
    loop {
        match detach(&entry, lazy) {
            Ok(()) => break,
            // Another process was faster.
            Err(_) if !is_mounted(&entry)? => return Ok(()),
            Err(Refusal::Busy) if Instant::now() < busy_until => {
                let_go(&entry);
                thread::sleep(POLL * 5);
            }
            Err(Refusal::Busy) => return Err(busy(&entry)),
            Err(Refusal::Other(_)) if is_another_s(&entry) => {
                return Err(Error::Setup(format!(
                    "cannot unmount {}: another user has mounted it; only that user and root can \
                     unmount it",
                    shown(&entry.mountpoint)
                )));
            }
            Err(Refusal::Other(message)) => {
                return Err(Error::Setup(format!(
                    "cannot unmount {}: {message}",
                    shown(&entry.mountpoint)
                )));
            }
        }
    }
    let end = Instant::now() + UNMOUNT_LIMIT;
    while is_mounted(&entry)? {
        if Instant::now() >= end {
            return Err(Error::Setup(format!(
                "{} is still mounted after {} s; --lazy detaches it at once",
                shown(&entry.mountpoint),
                UNMOUNT_LIMIT.as_secs()
            )));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Why a process in a user namespace cannot unmount what others have mounted.
const FROM_OUTSIDE: &str =
    "it was mounted outside of this user namespace, where alone it can be unmounted";

/// Why a mount stays.
enum Refusal {
    Busy,
    Other(String),
}

/// Whether another user has mounted it, and this one is not root.
fn is_another_s(entry: &MountEntry) -> bool {
    let own = Uid::effective();
    !own.is_root() && !is_in_user_namespace() && entry.user.is_some_and(|user| user != own.as_raw())
}

/// Ids are given again, so the place is compared too.
fn is_mounted(entry: &MountEntry) -> Result<bool> {
    Ok(mounts()?
        .iter()
        .any(|other| other.id == entry.id && other.mountpoint == entry.mountpoint))
}

/// One try: the system call where it is permitted, else the setuid helper.
fn detach(entry: &MountEntry, lazy: bool) -> Result<(), Refusal> {
    if Uid::effective().is_root() {
        let mut flags = MntFlags::UMOUNT_NOFOLLOW;
        flags.set(MntFlags::MNT_DETACH, lazy);
        let mountpoint = entry.mountpoint.clone();
        match bounded(UNMOUNT_LIMIT, move || umount2(&mountpoint, flags)) {
            Some(Ok(())) => return Ok(()),
            Some(Err(Errno::EBUSY)) => return Err(Refusal::Busy),
            // Root of a container without the capability: the helper may do.
            Some(Err(Errno::EPERM | Errno::EACCES)) => {}
            Some(Err(Errno::EINVAL)) if is_in_user_namespace() => {
                return Err(Refusal::Other(FROM_OUTSIDE.into()));
            }
            Some(Err(errno)) => return Err(Refusal::Other(io::Error::from(errno).to_string())),
            None => return Err(Refusal::Other("the kernel does not answer".into())),
        }
    }
    for helper in HELPERS {
        let mut command = Command::new(helper);
        command.arg(if lazy { "-uz" } else { "-u" });
        match run(command.arg(&entry.mountpoint)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(message)) if message.contains("busy") => return Err(Refusal::Busy),
            Ok(Err(message)) if message.contains(TABLE) && !Path::new(TABLE).exists() => {
                return Err(Refusal::Other(format!(
                    "{helper} looks up in {TABLE} which mounts are yours, and there is no such \
                     file; {TABLE_ADVICE}"
                )));
            }
            Ok(Err(message)) if is_in_user_namespace() => {
                return Err(Refusal::Other(format!("{message}; perhaps {FROM_OUTSIDE}")));
            }
            Ok(Err(message)) => return Err(Refusal::Other(message)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Refusal::Other(format!("{helper}: {error}"))),
        }
    }
    Err(Refusal::Other(
        "neither fusermount3 nor fusermount is installed; install the package fuse3, or run this as root".into(),
    ))
}

/// Runs a helper to its end or for [`UNMOUNT_LIMIT`]; what it says of a failure.
fn run(command: &mut Command) -> io::Result<Result<(), String>> {
    let mut child = command
        // Its words are read here, so they must be the untranslated ones.
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(status) = wait_within(&mut child, UNMOUNT_LIMIT)? else {
        let limit = UNMOUNT_LIMIT.as_secs();
        return Ok(Err(format!("no end of it within {limit} s")));
    };
    if status.success() {
        return Ok(Ok(()));
    }
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        // Far more than a helper says.
        let _ = errors.take(4096).read_to_end(&mut said);
    }
    let said = one_line(&String::from_utf8_lossy(&said), 300);
    Ok(Err(match said.is_empty() {
        true => format!("the helper failed ({status})"),
        false => said,
    }))
}

fn nothing_at(path: &Path) -> Error {
    let mounts = vm0fs_mounts().unwrap_or_default();
    let places = mounts.iter().map(|entry| shown(&entry.mountpoint));
    let whole = absolute(path).unwrap_or_default();
    let others = match (
        places.collect::<Vec<_>>().join(", "),
        holding(&mounts, &whole),
    ) {
        (_, Some((mount, _))) => format!("; it is in the mount {}", shown(&mount.mountpoint)),
        (none, _) if none.is_empty() => ", and no vm0fs anywhere".into(),
        (places, _) => format!("; vm0fs is mounted at {places}"),
    };
    Error::Setup(format!("{}: nothing is mounted there{others}", shown(path)))
}

/// Names the processes that hold a mount, and says what to do.
fn busy(entry: &MountEntry) -> Error {
    let mut inside = mounts().unwrap_or_default();
    inside.retain(|other| other.parent == entry.id);
    let inside = inside.iter().map(|other| shown(&other.mountpoint));
    let mut lines: Vec<String> = inside
        .map(|at| format!("another mount inside: {at}"))
        .collect();
    lines.extend(holders(&entry.mountpoint).iter().map(ToString::to_string));
    if lines.is_empty() {
        lines = holders::waiting();
    }
    if lines.is_empty() {
        lines.push("a process that this user may not see (try again as root)".into());
    }
    let more = lines.len().saturating_sub(MAX_HOLDERS);
    lines.truncate(MAX_HOLDERS);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Error::Setup(format!(
        "{} is in use:\n  {}\nEnd or leave these and try again, or detach it with --lazy",
        shown(&entry.mountpoint),
        lines.join("\n  ")
    ))
}

/// Runs `work` in a thread for at most `limit`; one that hangs is left behind.
fn bounded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    threads::start("vm0fs-bounded", move || drop(sender.send(work()))).ok()?;
    receiver.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_vm0fs_is_unmounted() {
        let message = unmount(Path::new("/proc"), false, |_| ())
            .unwrap_err()
            .to_string();
        assert!(message.contains("type proc, not vm0fs"), "{message}");
        let dir = tempfile::tempdir().unwrap();
        let message = unmount(dir.path(), true, |_| ()).unwrap_err().to_string();
        assert!(message.contains("nothing is mounted"), "{message}");
    }

    #[test]
    fn waiting_is_bounded() {
        let started = Instant::now();
        let hung = bounded(Duration::from_millis(50), || {
            thread::sleep(Duration::from_secs(5));
        });
        assert_eq!(hung, None);
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(bounded(Duration::from_secs(5), || 7), Some(7));
    }

    #[test]
    fn a_helper_is_heard() {
        let shell = |script: &str| run(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(shell("exit 0"), Ok(()));
        assert_eq!(
            shell("echo it is busy >&2; exit 1"),
            Err("it is busy".into())
        );
        assert!(shell("exit 3").unwrap_err().contains("3"));
        assert!(run(&mut Command::new("/nonexistent/helper")).is_err());
    }
}
