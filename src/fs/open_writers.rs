//! Who holds a file open to write.
//!
//! The kernel says when a descriptor is closed (FLUSH), but not whether others
//! of the same opening are left: a shell's `{ echo a; cat b; } > run` closes
//! three on its way. The last close (RELEASE) comes too late to report an error
//! to whoever closes. So the process table is asked.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// A file as other processes' descriptors tell it.
pub(super) struct Held<'a> {
    /// The file system's device, as `/proc/<pid>/mountinfo` writes it; `None`
    /// where it is not known. Another mount has the same inodes.
    pub(super) device: Option<&'a str>,
    /// The inode.
    pub(super) ino: u64,
    /// The file's own name.
    pub(super) name: &'a str,
    /// The position that the descriptors sought have, in bytes; `None` for any.
    /// Descriptors of one opening share it, those of another have their own.
    pub(super) position: Option<u64>,
}

/// Whether any process that may be looked at has the file open to write. A
/// descriptor that is just being closed does not count: it is out of its table
/// when FLUSH is sent.
pub(super) fn is_held(file: &Held<'_>) -> bool {
    let own = std::process::id().to_string();
    let processes = entries(Path::new("/proc"));
    let mut processes = processes.filter(|path| {
        let name = path.file_name().map(|name| name.as_bytes());
        name.is_some_and(|name| name[0].is_ascii_digit() && name != own.as_bytes())
    });
    processes.any(|process| holds(&process, file))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    // One that cannot be read has ended, or is somebody else's.
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn holds(process: &Path, file: &Held<'_>) -> bool {
    entries(&process.join("fd")).any(|descriptor| {
        // Reading the link asks nothing of the file system it leads to.
        let target = fs::read_link(&descriptor);
        let is_named = target.is_ok_and(|target| target.ends_with(file.name));
        let number = descriptor.file_name();
        is_named
            && number.is_some_and(|number| {
                let info = fs::read_to_string(process.join("fdinfo").join(number));
                info.is_ok_and(|info| {
                    is_writer(&info, file.ino)
                        && is_at(&info, file.position)
                        && is_on(&info, process, file)
                })
            })
    })
}

/// By the text of `/proc/<pid>/fdinfo/<fd>` (`proc_pid_fdinfo(5)`): flags in
/// octal, and since Linux 5.14 the inode.
fn is_writer(info: &str, ino: u64) -> bool {
    let flags = field(info, "flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    let inode = field(info, "ino:").and_then(|inode| inode.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
        && inode.is_none_or(|inode| inode == ino)
}

fn is_at(info: &str, position: Option<u64>) -> bool {
    let at = field(info, "pos:").and_then(|at| at.parse::<u64>().ok());
    position.is_none() || at.is_none() || at == position
}

/// Whether a descriptor with that text is of the file's own mount. It is where
/// that cannot be told: the last close is still to come then.
fn is_on(info: &str, process: &Path, file: &Held<'_>) -> bool {
    let device = || {
        let id = field(info, "mnt_id:")?;
        // Its own table: it may live among other mounts than this process.
        let mounts = fs::read(process.join("mountinfo")).ok()?;
        device_of(&String::from_utf8_lossy(&mounts), id)
    };
    match (file.device, device()) {
        (Some(own), Some(other)) => own == other,
        _ => true,
    }
}

/// The device of the mount with that id, by the text of a `mountinfo`
/// (`proc_pid_mountinfo(5)`): id, parent, device.
fn device_of(mounts: &str, id: &str) -> Option<String> {
    let mut lines = mounts.lines().map(|line| line.split(' '));
    let mut fields = lines.find_map(|mut fields| (fields.next()? == id).then_some(fields))?;
    fields.nth(1).map(str::to_owned)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn writers_count_and_readers_do_not() {
        let writes = "pos:\t0\nflags:\t0100001\nmnt_id:\t29\nino:\t77\n";
        assert!(is_writer(writes, 77) && !is_writer(writes, 78));
        assert!(is_writer("flags:\t0100002\n", 77), "an older kernel");
        assert!(!is_writer("flags:\t0100000\nino:\t77\n", 77));
        assert!(!is_writer("", 77));
        assert!(is_at("pos:\t12\n", Some(12)) && !is_at("pos:\t12\n", Some(2)));
        assert!(is_at("pos:\t12\n", None) && is_at("", Some(12)));
    }

    #[test]
    fn another_process_that_holds_a_file_is_found_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let file = fs::File::create(&path).unwrap();
        let ino = file.metadata().unwrap().ino();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdout(file)
            .spawn()
            .unwrap();
        let number = dir.path().metadata().unwrap().dev();
        let device = format!("{}:{}", libc::major(number), libc::minor(number));
        let held = |device, ino, name| {
            is_held(&Held {
                device,
                ino,
                name,
                position: None,
            })
        };
        assert!(held(None, ino, "run") && held(Some(&device), ino, "run"));
        assert!(!held(None, ino, "cancel") && !held(None, ino + 1, "run"));
        assert!(
            !held(Some("0:0"), ino, "run"),
            "another file system's inode"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held(None, ino, "run"));
    }
}
