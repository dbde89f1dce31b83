//! The session with the kernel: the mount, and the threads that take requests.

use super::open::Origin;
use crate::{
    config::MountOptions,
    error::{Error, Result},
    fs::{self, Fs, Offer},
    handover::Handover,
    proc::Process,
    supervisor::Connection,
    text::one_line,
    threads, unmount,
};
use fuser::{Config, MountOption, Session, SessionACL};
use nix::unistd::Uid;
use std::{
    env, io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    thread,
};

/// What the kernel's mount table calls the type: `fuse.vm0fs`.
const SUBTYPE: &str = "vm0fs";

/// Maximum number of threads that read requests: more contend for one queue.
const MOST_SESSION_THREADS: usize = 4;

/// Threads that read requests: half as many as there are cores, since the programs
/// that send them need cores too. Operations do not wait, so one thread can serve
/// many; on 2 cores, a second one makes `grep -r` over small files a quarter slower.
fn session_threads() -> usize {
    (cores() / 2).clamp(1, MOST_SESSION_THREADS)
}

/// Whether a mount has one such thread and programs have another core, which is when
/// waking cores costs the most.
pub(super) fn is_sole() -> bool {
    session_threads() == 1 && cores() > 1
}

/// The file by which a mount keeps the cores awake while requests follow one another,
/// and whether it may; `None` where it would not.
pub fn may_keep_awake() -> Option<(&'static str, io::Result<()>)> {
    is_sole().then(fs::may_keep_awake)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How fuser is to take requests. The threads share one description of the device: a
/// clone of it would end with this worker, and with it the requests that it had taken.
fn config(allow_other: bool) -> Config {
    let mut config = Config::default();
    config.acl = acl(allow_other);
    config.n_threads = Some(session_threads());
    config
}

fn acl(allow_other: bool) -> SessionACL {
    match allow_other {
        true => SessionACL::All,
        false => SessionACL::Owner,
    }
}

/// Mounts. `source` is what the kernel's table says is mounted, where that is not the
/// program's name.
pub(super) fn mount(
    fs: Fs,
    mountpoint: &Path,
    options: &MountOptions,
    source: Option<&str>,
) -> Result<Session<Fs>> {
    let mut config = config(options.allow_other);
    config.mount_options = vec![
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::FSName(source.unwrap_or(SUBTYPE).into()),
        // fuser tells its own `Subtype` to fusermount only, and a mount of root
        // would be of type `fuse`, which `updatedb` cannot be told to leave out.
        MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
    ];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if options.no_exec {
        config.mount_options.push(MountOption::NoExec);
    }
    Session::new(fs, mountpoint, &config).map_err(|error| mount_error(mountpoint, &error))
}

/// What later workers must know of a mount that was just made.
pub(super) fn connection(
    offer: &Offer,
    mountpoint: &Path,
    options: &MountOptions,
    api_origin: String,
    origin: &Origin,
) -> Result<Connection> {
    let request = offer.request();
    let reply = fs::init_reply(&request);
    Ok(Connection {
        mountpoint: mountpoint.to_owned(),
        reply: reply.map_err(|error| Error::io("answering the kernel once more", error))?,
        request,
        can_resend: offer.can_resend() && origin.handover.is_kept(),
        allow_other: options.allow_other,
        read_only: options.read_only,
        no_exec: options.no_exec,
        origin: api_origin,
        format: Handover::FORMAT,
        mounted_at: origin.mounted_at,
    })
}

/// Goes on with a mount that another worker has served. That this program answers the
/// kernel as the first worker did was looked at before its turn (`serve::fits`).
///
/// # Errors
/// Where no session can be made for the device.
pub(super) fn take_over(fs: Fs, device: &OwnedFd, connection: &Connection) -> Result<Session<Fs>> {
    let (allow_other, request) = (connection.allow_other, &connection.request);
    let session = fs::shake_hands(fs, request, acl(allow_other), config(allow_other));
    let (session, _) = session.map_err(|error| Error::io("taking over a mount", error))?;
    // A worker that was killed may have left it non-blocking (`fs/busy_poll`).
    rustix::io::ioctl_fionbio(device, false)
        .map_err(|errno| Error::io("taking over a mount", errno.into()))?;
    let (from, to) = (device.as_raw_fd(), session.as_fd().as_raw_fd());
    // SAFETY: both are open, and no thread uses the session's yet.
    #[expect(unsafe_code, reason = "fuser keeps the descriptor to itself")]
    let result = unsafe { libc::dup3(from, to, libc::O_CLOEXEC) };
    match result {
        -1 => Err(Error::io("taking over a mount", io::Error::last_os_error())),
        _ => Ok(session),
    }
}

/// Says what to do about the usual reasons why a mount fails.
fn mount_error(mountpoint: &Path, error: &io::Error) -> Error {
    // What fusermount3 says ends in a line's end.
    let told = one_line(&error.to_string(), 400);
    let advice = if !Path::new("/dev/fuse").exists() {
        "; /dev/fuse is missing: load the kernel module with `modprobe fuse`, or give the \
         container --device /dev/fuse"
    } else if Process::own().status().no_new_privileges && !Uid::effective().is_root() {
        "; fusermount3 may not run as root here (no_new_privs is set): start the shell or the \
         service without that (NoNewPrivileges=no)"
    } else if is_forbidden(error) {
        "; a process may mount as root with CAP_SYS_ADMIN, in a user namespace of its own, or \
         by fusermount3. A container needs --cap-add SYS_ADMIN, and where AppArmor forbids it, \
         --security-opt apparmor=unconfined: `vm0fs help containers`"
    } else if error.kind() == io::ErrorKind::NotFound {
        let path = env::var_os("PATH");
        match Uid::effective().is_root() || unmount::helper(path.as_deref()).is_some() {
            true => "; another program has removed the folder, or one on the way to it: try again",
            false => "; an ordinary user needs fusermount3: install the package fuse3",
        }
    } else if told.contains("allow_other") {
        "; --allow-other needs the line user_allow_other in /etc/fuse.conf"
    } else {
        "; see that /dev/fuse may be opened, the package fuse3 is installed and the folder is yours"
    };
    Error::Setup(format!(
        "cannot mount at {}: {told}{advice}",
        mountpoint.display()
    ))
}

/// Whether the kernel does not let this process mount at all. (What fusermount3 says of it
/// is text.)
fn is_forbidden(error: &io::Error) -> bool {
    error.to_string().contains("Operation not permitted")
}

/// Serves a session to its end, and never unmounts: fuser 0.18 would, by the
/// path, also where another process has done so long before (it takes POLLERR of the
/// device for a living mount), and so take away a newer mount.
pub(super) fn serve(session: Session<Fs>) -> io::Result<()> {
    let mut session = session.spawn()?;
    let nothing = threads::start("vm0fs-nothing", || Ok(()))?;
    let guard = mem::replace(&mut session.guard, nothing);
    // With it goes fuser's wish to unmount. The device stays open until the
    // process ends, which is soon after the session has.
    mem::forget(session);
    guard
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_to_mount_is_told_with_its_cause() {
        let told = |error: io::Error| mount_error(Path::new("/gone/vm0"), &error).to_string();
        // The tests need fusermount3.
        let gone = told(io::ErrorKind::NotFound.into());
        assert!(gone.contains("removed the folder"), "{gone}");
        assert!(!gone.contains("fuse3"), "{gone}");
        let not_yours = "fusermount3: user has no write access to mountpoint /gone/vm0\n";
        let not_yours = told(io::Error::other(not_yours));
        assert!(not_yours.contains("the folder is yours"), "{not_yours}");
        assert!(!not_yours.contains("allow"), "{not_yours}");
        let others = "fusermount3: option allow_other only allowed if 'user_allow_other' is set";
        let others = told(io::Error::other(others));
        assert!(
            others.contains("needs the line user_allow_other"),
            "{others}"
        );
    }
}
