//! Who keeps a mount busy, found in `/proc`: only its links and tables are
//! read, never what they lead to.

use crate::text::one_line;
use std::{
    ffi::OsStr,
    fmt, fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// `maps` waits for a lock that a process stuck in a page fault can hold;
/// what has been found by then is told.
const SCAN_LIMIT: Duration = Duration::from_secs(3);

/// Uses of one process that are told; an editor can have hundreds.
const MAX_USES: usize = 3;

/// How a process holds on to a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Its current directory is there.
    CurrentDirectory(PathBuf),
    /// Its root is there.
    Root(PathBuf),
    /// It runs a program from there.
    Program(PathBuf),
    /// It has a file or directory open.
    OpenFile(PathBuf),
    /// It has a file mapped into memory.
    MappedFile(PathBuf),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = match self {
            Self::CurrentDirectory(path) => ("current directory", path),
            Self::Root(path) => ("root directory", path),
            Self::Program(path) => ("running program", path),
            Self::OpenFile(path) => ("open file", path),
            Self::MappedFile(path) => ("mapped file", path),
        };
        write!(f, "{what} {}", one_line(&path.to_string_lossy(), 200))
    }
}

/// A process that holds on to a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its short name.
    pub command: String,
    /// How it holds on: the first few ways found.
    pub uses: Vec<Use>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}): ", self.command, self.pid)?;
        for (n, held) in self.uses.iter().enumerate() {
            write!(f, "{}{held}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Processes other than this one that use something in `mountpoint`, as far
/// as this user may know, within a few seconds.
pub fn holders(mountpoint: &Path) -> Vec<Holder> {
    let (sender, receiver) = mpsc::channel();
    let mountpoint = mountpoint.to_owned();
    let scan = move || {
        let own = std::process::id();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let name = process.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if pid == own {
                continue;
            }
            if let Some(holder) = inspect(pid, &process.path(), &mountpoint)
                && sender.send(holder).is_err()
            {
                return;
            }
        }
    };
    let mut found = Vec::new();
    if thread::Builder::new().spawn(scan).is_ok() {
        let end = Instant::now() + SCAN_LIMIT;
        while let Ok(holder) = receiver.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            found.push(holder);
        }
    }
    found.sort_by_key(|holder| holder.pid);
    found
}

/// Processes that wait for an answer of some FUSE mount, in words. Of a
/// process that is still on its way to a file, nothing tells of which mount.
pub(super) fn waiting() -> Vec<String> {
    let own = std::process::id();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let place = fs::read_to_string(process.path().join("wchan")).unwrap_or_default();
        if pid != own && (place.contains("fuse") || place == "request_wait_answer") {
            found.push(format!(
                "{} (pid {pid}): waits for a file, perhaps of this mount",
                command_of(&process.path())
            ));
        }
    }
    found
}

fn command_of(process: &Path) -> String {
    let command = fs::read(process.join("comm")).unwrap_or_default();
    one_line(&String::from_utf8_lossy(&command), 32)
}

fn inspect(pid: u32, process: &Path, mountpoint: &Path) -> Option<Holder> {
    let inside = |path: &Path| path.starts_with(mountpoint);
    let link = |path: PathBuf| fs::read_link(path).ok().filter(|path| inside(path));
    let mut uses = Vec::new();
    uses.extend(link(process.join("cwd")).map(Use::CurrentDirectory));
    // Everything is inside of `/`; only a root of its own is told.
    uses.extend(link(process.join("root")).map(Use::Root));
    uses.extend(link(process.join("exe")).map(Use::Program));
    let open = fs::read_dir(process.join("fd"));
    for file in open.into_iter().flatten().flatten() {
        uses.extend(link(file.path()).map(Use::OpenFile));
    }
    if uses.len() < MAX_USES
        && let Ok(maps) = fs::read(process.join("maps"))
    {
        for path in mapped(&maps).filter(|path| inside(path)) {
            let held = Use::MappedFile(path.to_owned());
            let told = uses
                .iter()
                .any(|held| matches!(held, Use::Program(program) if program == path));
            if !told && !uses.contains(&held) {
                uses.push(held);
            }
        }
    }
    if uses.is_empty() {
        return None;
    }
    uses.truncate(MAX_USES);
    Some(Holder {
        pid,
        command: command_of(process),
        uses,
    })
}

/// Paths in a `maps` table: what follows the first `/` of a line, since the
/// address, permissions, offset, device and inode before it have none.
fn mapped(maps: &[u8]) -> impl Iterator<Item = &Path> {
    maps.split(|&byte| byte == b'\n').filter_map(|line| {
        let start = line.iter().position(|&byte| byte == b'/')?;
        Some(Path::new(OsStr::from_bytes(&line[start..])))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::{Child, Command, Stdio};

    struct Reaped(Child);

    impl Drop for Reaped {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn maps() {
        let text = b"7f00-7f01 r--p 00000000 08:01 12   /lib/a b.so\n\
            7f02-7f03 rw-p 00000000 00:00 0\n\
            7f04-7f05 rw-p 00000000 00:00 0   [heap]\n";
        let paths: Vec<_> = mapped(text).collect();
        assert_eq!(paths, [Path::new("/lib/a b.so")]);
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
            [Use::CurrentDirectory(inner.clone()), Use::OpenFile(file)]
        );
        let shown = found[0].to_string();
        assert!(shown.starts_with("sleep (pid "), "{shown}");
        drop(child);
        assert_eq!(holders(&inner), []);
    }
}
