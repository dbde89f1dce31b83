//! Which processes keep a mount busy, as far as `/proc` tells.

use crate::{
    proc::{Process, processes},
    text::{self, one_line},
    threads,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

/// `maps` waits for a lock that a process stuck in a page fault can hold;
/// what has been found by then is told.
const SCAN_LIMIT: Duration = Duration::from_secs(3);

/// Uses of one process that are told; an editor can have hundreds.
const MAX_USES: usize = 3;

/// How a process holds on to a mount: what it has there, and its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use(&'static str, PathBuf);

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, path) = self;
        write!(f, "{what} {}", text::shown(path))
    }
}

/// A process that holds on to a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its process id.
    pub(super) pid: u32,
    /// Its short name.
    pub(super) command: String,
    /// How it holds on: the first few ways found.
    pub(super) uses: Vec<Use>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses: Vec<String> = self.uses.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{} (pid {}): {}",
            self.command,
            self.pid,
            uses.join(", ")
        )
    }
}

/// Processes other than this one that use something in `mountpoint`, as far
/// as this user may know, within a few seconds.
pub(super) fn holders(mountpoint: &Path) -> Vec<Holder> {
    let (sender, receiver) = mpsc::channel();
    let mountpoint = mountpoint.to_owned();
    let scan = move || {
        let held = others().filter_map(|process| inspect(&process, &mountpoint));
        for holder in held {
            if sender.send(holder).is_err() {
                return;
            }
        }
    };
    let mut found = Vec::new();
    if threads::start("vm0fs-holders", scan).is_ok() {
        let end = Instant::now() + SCAN_LIMIT;
        while let Ok(holder) = receiver.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            found.push(holder);
        }
    }
    found.sort_by_key(|holder| holder.pid);
    found
}

/// All processes but this one.
fn others() -> impl Iterator<Item = Process> {
    let own = std::process::id();
    processes().filter(move |process| process.pid() != own)
}

/// Processes that wait for an answer of some FUSE mount, in words. Of a
/// process that is still on its way to a file, nothing tells of which mount.
pub(super) fn waiting() -> Vec<String> {
    let waiting = others().filter(|process| {
        let function = process.sleeps_in();
        function.contains("fuse") || function == "request_wait_answer"
    });
    let told = |process: Process| {
        let (command, pid) = (command_of(&process), process.pid());
        format!("{command} (pid {pid}): waits for a file, perhaps of this mount")
    };
    waiting.map(told).collect()
}

fn command_of(process: &Process) -> String {
    one_line(&process.name().unwrap_or_default(), 32)
}

fn inspect(process: &Process, mountpoint: &Path) -> Option<Holder> {
    let links = [
        ("current directory", process.link("cwd")),
        // Everything is inside of `/`; only a root of its own is told.
        ("root directory", process.link("root")),
        ("running program", process.program()),
    ];
    let links = links
        .into_iter()
        .filter_map(|(what, path)| Some(Use(what, path?)));
    let open = process.descriptors().into_iter().flatten();
    let open = open.map(|descriptor| Use("open file", descriptor.target().to_owned()));
    let inside = |path: &PathBuf| path.starts_with(mountpoint);
    let mut uses: Vec<Use> = links.chain(open).filter(|held| inside(&held.1)).collect();
    if uses.len() < MAX_USES {
        for path in process.mapped_files().into_iter().filter(inside) {
            let is_told = |held: &Use| held.1 == path && held.0 != "open file";
            if !uses.iter().any(is_told) {
                uses.push(Use("mapped file", path));
            }
        }
    }
    if uses.is_empty() {
        return None;
    }
    uses.truncate(MAX_USES);
    Some(Holder {
        pid: process.pid(),
        command: command_of(process),
        uses,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::process::{Child, Command, Stdio};

    struct Reaped(Child);

    impl Drop for Reaped {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn finds_a_child_by_directory_and_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let inner = dir.join("m");
        fs::create_dir(&inner).unwrap();
        fs::create_dir(dir.join("mm")).unwrap();
        let file = inner.join("f");
        fs::write(&file, "x").unwrap();
        let sleep = |current: &Path, input: Stdio| {
            let mut command = Command::new("sleep");
            command.arg("60").current_dir(current).stdin(input);
            Reaped(command.spawn().unwrap())
        };
        let child = sleep(&inner, fs::File::open(&file).unwrap().into());
        let _neighbour = sleep(&dir.join("mm"), Stdio::null());
        let found = holders(&inner);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].pid, child.0.id());
        assert_eq!(
            found[0].uses,
            [
                Use("current directory", inner.clone()),
                Use("open file", file)
            ]
        );
        let shown = found[0].to_string();
        assert!(shown.starts_with("sleep (pid "), "{shown}");
        drop(child);
        assert_eq!(holders(&inner), []);
    }
}
