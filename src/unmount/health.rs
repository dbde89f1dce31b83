//! Whether a mount lives.
//!
//! The kernel's mount table and `/proc` tell whether a mount is dead, and the
//! mount is not touched for that. Whether one that has a process answers, only
//! asking it can tell. A thread that waits for a FUSE mount may not be able to end,
//! nor then its process, so a second process of this program does that
//! (`status --worker`), which is left behind where it hangs.

use super::{
    server::{Service, service, waiting},
    wait::wait_within,
};
use crate::{
    error::{Error, Result},
    proc::{MountEntry, OWN_PROGRAM},
    text::one_line,
};
use serde_json::Value;
use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// How long a mount may take to answer from memory, on a busy machine: longer than its
/// supervisor takes to replace a worker that hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
/// The longest answer that is read: some screens full of numbers, and as much as a pipe
/// holds (pipe(7)), since it is read when the process has ended.
const LONGEST_ANSWER: u64 = 64 << 10;

/// What the second process says where there is nothing to read, and why.
const DEAD: &str = "dead";
const CLOSED: &str = "closed";

/// How a mount is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers, with its `status.json`.
    Alive(Value),
    /// Another user has mounted it, who alone may ask it.
    Closed,
    /// No process serves it: every use gives "Transport endpoint is not connected".
    Dead,
    /// It does not answer, for this reason, and this may help.
    Hung(String, String),
    /// Nothing can be told, for this reason.
    Unknown(String),
}

/// How a mount is, and which process serves it, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountState {
    /// The mount.
    pub entry: MountEntry,
    /// How it is.
    pub health: Health,
    /// The process that serves it.
    pub pid: Option<u64>,
}

/// Finds out how a mount is, within some seconds.
pub fn look(entry: MountEntry) -> MountState {
    let mut found = service(&entry);
    let health = told_by(&found).unwrap_or_else(|| match ask(&entry) {
        hung @ Health::Hung(..) => {
            // The kernel shows a process as stopped only once all of its threads have
            // heard of it, and a process may be stopped or die while it is asked.
            found = service(&entry);
            told_by(&found).unwrap_or(hung)
        }
        answered => answered,
    });
    let mut pid = match found {
        Service::By { pid, .. } => Some(u64::from(pid)),
        Service::Missing | Service::Unknown => None,
    };
    if let Health::Alive(status) = &health {
        pid = pid.or_else(|| status["pid"].as_u64());
    }
    MountState { entry, health, pid }
}

/// How a mount is, where that needs no question to it.
fn told_by(service: &Service) -> Option<Health> {
    match service {
        Service::By {
            pid,
            is_stopped: true,
        } => Some(stopped(*pid)),
        Service::Missing => Some(Health::Dead),
        Service::By { .. } | Service::Unknown => None,
    }
}

fn stopped(pid: u32) -> Health {
    Health::Hung(
        format!("its process {pid} is stopped"),
        format!("let it go on: kill -CONT {pid}; or"),
    )
}

fn ask(entry: &MountEntry) -> Health {
    match answer(&entry.mountpoint) {
        Ok(Some(answer)) => match answer.trim_end() {
            DEAD => Health::Dead,
            CLOSED => Health::Closed,
            text => match serde_json::from_str(text) {
                Ok(status) => Health::Alive(status),
                Err(_) => Health::Unknown(one_line(text, 200)),
            },
        },
        Ok(None) => {
            let waiting = match waiting(entry) {
                Some(1) => "; 1 request waits".into(),
                Some(n) => format!("; {n} requests wait"),
                None => String::new(),
            };
            let limit = ANSWER_LIMIT.as_secs();
            let what = format!("it has not answered within {limit} s{waiting}");
            Health::Hung(what, "try again; if it stays so,".into())
        }
        Err(error) => Health::Unknown(error.to_string()),
    }
}

/// A second process of this program that runs `command` as a worker, on a mount
/// that may hang.
pub fn second_process(command: &str, mountpoint: &Path) -> Command {
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
    let waited = wait_within(&mut child, ANSWER_LIMIT);
    // Where it takes too long, it ends when the mount answers or is gone.
    if waited.is_ok_and(|status| status.is_none()) {
        return Ok(None);
    }
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        out.take(LONGEST_ANSWER)
            .read_to_string(&mut text)
            .map_err(|error| Error::io("reading what a mount answers", error))?;
    }
    Ok(Some(text))
}

/// What the second process prints of a mount (`status --worker`).
pub fn read_status(mountpoint: &Path) -> String {
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
