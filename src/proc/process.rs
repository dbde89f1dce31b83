//! A process, by its folder in `/proc`.

use super::{Descriptor, MountEntry, field, mounts, read};
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// A process, or a thread that is looked at as one. It can end at any time: then
/// nothing is known of it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    folder: PathBuf,
}

/// What `/proc/<pid>/status` says (`proc_pid_status(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The process that a thread belongs to.
    pub group: Option<u32>,
    /// The process that started it; 0 for none that can be seen.
    pub parent: Option<u32>,
    /// The signals that it ignores: a bit for each, the lowest for signal 1.
    pub ignored_signals: Option<u64>,
    /// Those that it is about to take.
    pub pending_signals: Option<u64>,
    /// How often it has slept until something happened.
    pub sleeps: Option<u64>,
    /// Its effective capabilities (`capabilities(7)`), a bit for each.
    pub capabilities: Option<u64>,
    /// Whether programs that it starts get no more rights than it has, setuid or not.
    pub no_new_privileges: bool,
}

/// All processes that this one can see.
pub fn processes() -> impl Iterator<Item = Process> {
    Process::all_in(Path::new("/proc"))
}

impl Process {
    /// The process, or thread, with this id. It need not exist.
    pub fn new(pid: u32) -> Self {
        Self {
            pid,
            folder: format!("/proc/{pid}").into(),
        }
    }

    /// This process.
    pub fn own() -> Self {
        Self::new(std::process::id())
    }

    /// All processes of a table: the folders whose names are numbers.
    pub(crate) fn all_in(table: &Path) -> impl Iterator<Item = Self> + use<> {
        numbered(fs::read_dir(table)).map(|(pid, folder)| Self { pid, folder })
    }

    /// The id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether there is such a process.
    pub fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// The user whom it belongs to.
    ///
    /// # Errors
    /// `NotFound` once it has ended.
    pub fn owner(&self) -> io::Result<u32> {
        fs::metadata(&self.folder).map(|data| data.uid())
    }

    /// Its own short name, at most 15 bytes of its own choice; another thread may
    /// have another.
    pub fn name(&self) -> Option<String> {
        let name = read(&self.folder.join("comm")).ok()?;
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// What its `status` says; nothing once it has ended.
    pub fn status(&self) -> Status {
        let text = read(&self.folder.join("status")).unwrap_or_default();
        Status::parse(&text)
    }

    /// Whether it is stopped (`SIGSTOP`, Ctrl-Z, a debugger); `None` once it has
    /// ended. By `/proc/<pid>/stat`, field 3 (proc(5)).
    pub fn is_stopped(&self) -> Option<bool> {
        Some(matches!(self.state()?, b'T' | b't'))
    }

    /// Whether it sleeps until something happens: another thread, a signal, a time.
    pub fn is_asleep(&self) -> bool {
        self.state() == Some(b'S')
    }

    /// Whether it waits for what cannot be interrupted: a disk, or memory to be freed.
    pub fn waits_for_disk(&self) -> bool {
        self.state() == Some(b'D')
    }

    /// The letter by which the kernel tells what it does; `None` once it has ended.
    fn state(&self) -> Option<u8> {
        let fields = self.stat("stat")?;
        fields.trim_start().bytes().next()
    }

    /// Whether it has ended, or is about to: where its first thread has, others may be
    /// giving back what the process has.
    pub fn is_ending(&self) -> bool {
        let is_killed = |mask: u64| mask & 1 << (libc::SIGKILL - 1) != 0;
        matches!(self.state(), None | Some(b'Z' | b'X'))
            || self.status().pending_signals.is_some_and(is_killed)
    }

    /// Its threads, as far as they have not ended when they are come to.
    pub fn threads(&self) -> impl Iterator<Item = Self> {
        Self::all_in(&self.folder.join("task"))
    }

    /// One of its threads, which need not exist.
    pub fn thread(&self, id: u32) -> Self {
        let folder = self.folder.join(format!("task/{id}"));
        Self { pid: id, folder }
    }

    /// What grows as a thread goes on: the time that it has computed, in ticks of the
    /// kernel (`_SC_CLK_TCK`, usually 10 ms; fields 14 and 15 of its `stat`), and how
    /// often it has slept. `None` once it has ended.
    pub fn steps(&self) -> Option<(u64, u64)> {
        let fields = self.stat("stat")?;
        let mut times = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>);
        let mut time = || times.next()?.ok();
        Some((time()? + time()?, self.status().sleeps?))
    }

    /// The fields of a `stat` file from the third on: they follow the name, which is in
    /// brackets and may hold brackets of its own.
    fn stat(&self, file: &str) -> Option<String> {
        let stat = read(&self.folder.join(file)).ok()?;
        let after = stat.iter().rposition(|&byte| byte == b')')? + 1;
        String::from_utf8(stat[after..].to_vec()).ok()
    }

    /// The function of the kernel that it sleeps in; empty where it does not, or
    /// the kernel does not say.
    pub fn sleeps_in(&self) -> String {
        let function = read(&self.folder.join("wchan")).unwrap_or_default();
        String::from_utf8_lossy(&function).into_owned()
    }

    /// Opens the program that it runs, also where its file has been replaced.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_program(&self) -> io::Result<File> {
        File::open(self.folder.join("exe"))
    }

    /// The program that it runs. Of another user's process only root may know it.
    pub fn program(&self) -> Option<PathBuf> {
        self.link("exe")
    }

    /// What one of its links leads to: `cwd` (its current directory), `root`, `exe`.
    pub fn link(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(self.folder.join(name)).ok()
    }

    /// Its open descriptors, as far as they are still open when they are come to.
    ///
    /// # Errors
    /// `PermissionDenied` where this user may not look at them, `NotFound` once it
    /// has ended.
    pub fn descriptors(&self) -> io::Result<impl Iterator<Item = Descriptor> + '_> {
        let entries = fs::read_dir(self.folder.join("fd"))?;
        let links = numbered(Ok(entries)).map(|(number, path)| (number, fs::read_link(path)));
        let mut links = links.peekable();
        // In a user namespace their numbers can be seen, and nothing else.
        let denied = io::ErrorKind::PermissionDenied;
        let is_denied = |link: &io::Result<_>| link.as_ref().is_err_and(|it| it.kind() == denied);
        if let Some((_, Err(error))) = links.next_if(|(_, link)| is_denied(link)) {
            return Err(error);
        }
        Ok(links.filter_map(|(number, link)| {
            Some(Descriptor {
                info: self.folder.join(format!("fdinfo/{number}")),
                target: link.ok()?,
            })
        }))
    }

    /// The files that it has mapped into memory, each as often as it has mapped
    /// parts. Can wait for a lock that a process stuck in a page fault holds.
    pub fn mapped_files(&self) -> Vec<PathBuf> {
        mapped(&read(&self.folder.join("maps")).unwrap_or_default())
    }

    /// The mounts that it lives among.
    ///
    /// # Errors
    /// As for [`Process::descriptors`].
    pub fn mounts(&self) -> io::Result<Vec<MountEntry>> {
        Ok(mounts::parse(&read(&self.folder.join("mountinfo"))?))
    }
}

impl Status {
    pub(super) fn parse(text: &[u8]) -> Self {
        let number = |name| field(text, name).and_then(|pid| pid.parse().ok());
        let mask = |name| field(text, name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        Self {
            group: number("Tgid:"),
            parent: number("PPid:"),
            ignored_signals: mask("SigIgn:"),
            pending_signals: mask("SigPnd:").map(|own| own | mask("ShdPnd:").unwrap_or(0)),
            sleeps: field(text, "voluntary_ctxt_switches:").and_then(|count| count.parse().ok()),
            capabilities: mask("CapEff:"),
            no_new_privileges: field(text, "NoNewPrivs:") == Some("1"),
        }
    }
}

/// The entries of a folder whose names are numbers. One that cannot be read has
/// ended, or belongs to another user.
fn numbered(folder: io::Result<fs::ReadDir>) -> impl Iterator<Item = (u32, PathBuf)> {
    folder.into_iter().flatten().flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path()))
    })
}

/// Paths in a `maps` table: what follows the first `/` of a line, since the
/// address, permissions, offset, device and inode before it have none. Of a path's
/// own bytes the kernel writes a line break as `\012`.
pub(super) fn mapped(maps: &[u8]) -> Vec<PathBuf> {
    let lines = maps.split(|&byte| byte == b'\n');
    let paths = lines.filter_map(|line| {
        let start = line.iter().position(|&byte| byte == b'/')?;
        let mut path = line[start..].to_vec();
        while let Some(at) = path.windows(4).position(|four| four == b"\\012") {
            path.splice(at..at + 4, [b'\n']);
        }
        Some(OsString::from_vec(path).into())
    });
    paths.collect()
}
