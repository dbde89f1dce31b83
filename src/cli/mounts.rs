//! The vm0fs mounts of this machine, and how each of them is.
//!
//! The kernel's mount table and `/proc` tell whether a mount is dead, and the
//! mount is not touched for that. Whether one that has a process answers, only
//! asking it can tell. Whoever waits for a FUSE mount may not be able to end, so
//! that is done by a second process of this program (`status --worker`), which
//! is left behind where it hangs.

use crate::{
    error::{Error, Result},
    pending::LET_GO,
    proc::{self, MountEntry, OWN_PROGRAM},
    text::one_line,
    unmount::{self, Server, Service},
};
use nix::unistd::Uid;
use rustix::fs::{XattrFlags, setxattr};
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a mount may take to answer from memory, on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The longest answer that is read: some screens full of numbers.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How long a mount is waited for that is asked to let go of those who wait.
const LET_GO_LIMIT: Duration = Duration::from_millis(300);

/// What the worker says where there is nothing to read, and why.
const DEAD: &str = "dead";
const CLOSED: &str = "closed";

/// How a mount is.
pub(super) enum Health {
    /// It answers, with its `status.json`.
    Alive(Value),
    /// Another user has mounted it, who alone may ask it.
    Closed,
    /// No process serves it.
    Dead,
    /// It does not answer, for this reason, and this may help.
    Hung(String, String),
    /// Nothing can be told, for this reason.
    Unknown(String),
}

/// A mount that was looked at.
pub(super) struct Look {
    pub(super) entry: MountEntry,
    pub(super) health: Health,
    /// The process that serves it, where that is known.
    pub(super) pid: Option<u64>,
}

/// All vm0fs mounts in the kernel's table.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub(super) fn all() -> Result<Vec<MountEntry>> {
    let mut mounts = proc::mounts()?;
    mounts.retain(MountEntry::is_vm0fs);
    Ok(mounts)
}

/// The vm0fs mount at a path.
///
/// # Errors
/// [`Error::Setup`] where none is.
pub(super) fn at(path: &Path) -> Result<MountEntry> {
    // By its name alone first: the folder that it lies in is not touched then.
    let named = all()?.into_iter().rfind(|entry| entry.mountpoint == path);
    let found = match named {
        Some(entry) => Some(entry),
        None => proc::mount_at(path)?.filter(MountEntry::is_vm0fs),
    };
    found.ok_or_else(|| {
        Error::Setup(format!(
            "{}: no vm0fs is mounted there; `vm0fs status` lists those there are",
            one_line(&path.to_string_lossy(), 200)
        ))
    })
}

/// Finds out how a mount is, within some seconds.
pub(super) fn look(entry: MountEntry) -> Look {
    let service = unmount::service(&entry);
    let mut pid = match &service {
        Service::By(Server { pid, .. }) => Some(u64::from(*pid)),
        Service::Nobody | Service::Unknown => None,
    };
    let health = match &service {
        Service::Nobody => Health::Dead,
        Service::By(Server {
            pid,
            is_stopped: true,
        }) => Health::Hung(
            format!("its process {pid} is stopped"),
            format!("let it go on: kill -CONT {pid}; or"),
        ),
        Service::By(_) | Service::Unknown => ask(&entry),
    };
    if let Health::Alive(status) = &health {
        pid = pid.or_else(|| status["pid"].as_u64());
    }
    Look { entry, health, pid }
}

fn ask(entry: &MountEntry) -> Health {
    let answer = match answer(&entry.mountpoint) {
        Ok(answer) => answer,
        Err(error) => return Health::Unknown(error.to_string()),
    };
    let Some(answer) = answer else {
        let waiting = match unmount::waiting(entry) {
            Some(1) => "; 1 request waits".into(),
            Some(n) => format!("; {n} requests wait"),
            None => String::new(),
        };
        let limit = ANSWER_LIMIT.as_secs();
        return Health::Hung(
            format!("it has not answered within {limit} s{waiting}"),
            "try again; if it stays so,".into(),
        );
    };
    match answer.trim_end() {
        DEAD => Health::Dead,
        CLOSED => Health::Closed,
        text => match serde_json::from_str(text) {
            Ok(status) => Health::Alive(status),
            Err(_) => Health::Unknown(one_line(text, 200)),
        },
    }
}

/// The process that asks a mount on behalf of a command: it may hang, this one not.
fn second_process(command: &str, mountpoint: &Path) -> Command {
    let mut process = Command::new(OWN_PROGRAM);
    process
        .args([command, "--worker", "--"])
        .arg(mountpoint)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    process
}

/// What the second process has to say of a mount; `None` where that takes too long.
fn answer(mountpoint: &Path) -> Result<Option<String>> {
    let mut child = second_process("status", mountpoint)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::io("starting the process that asks a mount", error))?;
    let Some(out) = child.stdout.take() else {
        return Err(Error::Internal("a pipe is missing".into()));
    };
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().spawn(move || {
        let mut text = String::new();
        let read = out.take(LONGEST_ANSWER).read_to_string(&mut text);
        // Nobody listens any more if it came too late.
        let _ = sender.send(read.map(|_| text));
    });
    reader.map_err(|error| Error::io("starting a thread", error))?;
    let Ok(read) = receiver.recv_timeout(ANSWER_LIMIT) else {
        // It ends when the mount answers or is gone, which nobody waits for.
        let _ = child.kill();
        return Ok(None);
    };
    let _ = child.wait();
    let text = read.map_err(|error| Error::io("reading what a mount answers", error))?;
    Ok(Some(text))
}

/// Asks a mount, in a second process, to let those go who wait in vain. What
/// comes of it is seen by whoever unmounts.
pub(super) fn let_go(entry: &MountEntry) {
    let mut command = second_process("unmount", &entry.mountpoint);
    // Another user's mount lets not even root in.
    if let (true, Some(user), Some(group)) = (Uid::effective().is_root(), entry.user, entry.group) {
        command.uid(user).gid(group);
    }
    let Ok(mut child) = command.spawn() else {
        return;
    };
    let end = Instant::now() + LET_GO_LIMIT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= end {
            let _ = child.kill();
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The second process: asks it.
///
/// # Errors
/// [`Error::Io`] where the mount does not know how, or may not be asked.
pub(super) fn ask_to_let_go(mountpoint: &Path) -> Result<()> {
    setxattr(mountpoint, LET_GO, b"", XattrFlags::empty())
        .map_err(|error| Error::io(mountpoint.display().to_string(), error.into()))
}

/// The second process: what it has to say of a mount.
pub(super) fn work(mountpoint: &Path) -> String {
    let error = match fs::read_to_string(mountpoint.join(".vm0fs/status.json")) {
        Ok(text) => return text,
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted => DEAD.into(),
        io::ErrorKind::PermissionDenied => CLOSED.into(),
        _ => format!("its status cannot be read: {error}"),
    }
}

impl Look {
    /// The mountpoint, fit for a message.
    pub(super) fn shown(&self) -> String {
        one_line(&self.entry.mountpoint.to_string_lossy(), 200)
    }

    /// How it is, in one word.
    pub(super) fn word(&self) -> &'static str {
        match self.health {
            Health::Alive(_) => "alive",
            // Whether that process answers is for others to find out.
            Health::Closed if self.pid.is_some() => "alive",
            Health::Dead => "dead",
            Health::Hung(..) => "hung",
            Health::Closed | Health::Unknown(_) => "unknown",
        }
    }

    /// What is wrong with it, and what to do; `None` where nothing is.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        let shown = self.shown();
        Some(match &self.health {
            Health::Alive(_) | Health::Closed => return None,
            Health::Dead => (
                "its process is gone".into(),
                format!("mount again at {shown}, or take it away: vm0fs unmount --lazy {shown}"),
            ),
            Health::Hung(why, advice) => (
                why.clone(),
                format!("{advice} detach it: vm0fs unmount --lazy {shown}"),
            ),
            Health::Unknown(why) => (
                why.clone(),
                format!("see whether it can be used: ls {shown}"),
            ),
        })
    }

    pub(super) fn json(&self) -> Value {
        let status = match &self.health {
            Health::Alive(status) => status.clone(),
            _ => Value::Null,
        };
        let trouble = self.trouble();
        json!({
            "mountpoint": self.entry.mountpoint.to_string_lossy(),
            "health": self.word(),
            "pid": self.pid,
            "trouble": trouble.as_ref().map(|(what, _)| what),
            "advice": trouble.as_ref().map(|(_, advice)| advice),
            "status": status,
        })
    }
}
