//! Which processes hold a file open to write.
//!
//! The kernel says when a process closes a descriptor (FLUSH), but not whether
//! others of the same opening are left: a shell's `{ echo a; cat b; } > run` closes
//! three on its way. The last close (RELEASE) comes too late to report an error
//! to the process that closes. So this looks into the process table, which does not
//! say which descriptors are of one opening: their position tells that, and which
//! process made the opening that it or a descendant holds.

use crate::proc::{Descriptor, DescriptorInfo, Process, processes};
use std::iter::successors;

/// The longest line of ancestors that is looked at.
const MOST_ANCESTORS: usize = 64;

/// A file, by what the descriptors of other processes say of it.
pub(super) struct Held<'a> {
    /// The file system's device, as `/proc/<pid>/mountinfo` writes it; `None`
    /// where it is not known. Another mount has the same inodes.
    pub(super) device: Option<&'a str>,
    /// The inode.
    pub(super) ino: u64,
    /// The file's own name.
    pub(super) name: &'a str,
    /// The position of the descriptors looked for, in bytes; `None` for any.
    /// Descriptors of one opening share it, those of another have their own.
    pub(super) position: Option<u64>,
    /// The process that made the opening whose descriptors are looked for.
    pub(super) opener: u32,
    /// Those that made the file's other openings.
    pub(super) other_openers: Vec<u32>,
}

impl Held<'_> {
    /// Whether what a process holds is of another opening: it has it from a process
    /// that made one, and not from the one that made this. Where that has ended, the
    /// line to it is broken, and nothing can be told.
    fn is_of_another(&self, process: &Process) -> bool {
        descends(process, &self.other_openers)
            && !descends(process, &[self.opener])
            && Process::new(self.opener).exists()
    }
}

/// Whether a process is one of these, or a descendant of one.
fn descends(process: &Process, from: &[u32]) -> bool {
    let parent = |pid: &u32| Process::new(*pid).status().parent;
    let mut line = successors(Some(process.pid()), parent).take(MOST_ANCESTORS);
    !from.is_empty() && line.any(|pid| from.contains(&pid))
}

/// Whether another process has the file open to write, as far as this one may look.
/// A descriptor that is just being closed does not count: the kernel takes it out of
/// its table before it sends FLUSH.
pub(super) fn is_held(file: &Held<'_>) -> bool {
    let own = std::process::id();
    let mut others = processes().filter(|process| process.pid() != own);
    others.any(|process| {
        let mut descriptors = process.descriptors().into_iter().flatten();
        descriptors.any(|descriptor| holds(&process, &descriptor, file))
            && !file.is_of_another(&process)
    })
}

fn holds(process: &Process, descriptor: &Descriptor, file: &Held<'_>) -> bool {
    descriptor.target().ends_with(file.name)
        && descriptor.info().is_some_and(|info| {
            is_writer(&info, file.ino) && is_at(&info, file.position) && is_on(&info, process, file)
        })
}

fn is_writer(info: &DescriptorInfo, ino: u64) -> bool {
    info.is_writable() && info.inode.is_none_or(|inode| inode == ino)
}

fn is_at(info: &DescriptorInfo, position: Option<u64>) -> bool {
    position.is_none() || info.position.is_none() || info.position == position
}

/// Whether a descriptor belongs to the file's own mount. Where the kernel does not
/// say, it counts as such: the last close is still to come then.
fn is_on(info: &DescriptorInfo, process: &Process, file: &Held<'_>) -> bool {
    let device = || {
        // Its own table: it may live among other mounts than this process.
        let mounts = process.mounts().ok()?;
        let mount = mounts
            .into_iter()
            .find(|entry| Some(entry.id) == info.mount);
        mount.map(|entry| entry.device)
    };
    match (file.device, device()) {
        (Some(own), Some(other)) => own == other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::{
        os::unix::fs::MetadataExt,
        process::{Command, Stdio},
    };

    #[test]
    fn writers_count_and_readers_do_not() {
        let with = |flags, inode| DescriptorInfo {
            flags: Some(flags),
            inode,
            position: Some(12),
            ..DescriptorInfo::default()
        };
        let writes = with(0o100001, Some(77));
        assert!(is_writer(&writes, 77) && !is_writer(&writes, 78));
        assert!(is_writer(&with(0o100002, None), 77), "an older kernel");
        assert!(!is_writer(&with(0o100000, Some(77)), 77));
        let nothing = DescriptorInfo::default();
        assert!(!is_writer(&nothing, 77));
        assert!(is_at(&writes, Some(12)) && !is_at(&writes, Some(2)));
        assert!(is_at(&writes, None) && is_at(&nothing, Some(12)));
    }

    #[test]
    fn another_process_that_holds_a_file_is_found_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let file = fs::File::create(&path).unwrap();
        let ino = file.metadata().unwrap().ino();
        let sleep = |output: Stdio| {
            let mut sleep = Command::new("sleep");
            sleep.arg("60").stdout(output).spawn().unwrap()
        };
        let (mut child, mut sibling) = (sleep(file.into()), sleep(Stdio::null()));
        let number = dir.path().metadata().unwrap().dev();
        let device = format!("{}:{}", libc::major(number), libc::minor(number));
        let file = |device, ino, name, opener, other_openers| Held {
            device,
            ino,
            name,
            position: None,
            opener,
            other_openers,
        };
        let own = std::process::id();
        let held = |device, ino, name| is_held(&file(device, ino, name, own, vec![]));
        assert!(held(None, ino, "run") && held(Some(&device), ino, "run"));
        assert!(!held(None, ino, "cancel") && !held(None, ino + 1, "run"));
        assert!(
            !held(Some("0:0"), ino, "run"),
            "another file system's inode"
        );
        let opened = |opener, others| is_held(&file(None, ino, "run", opener, others));
        let (writer, other) = (child.id(), sibling.id());
        assert!(opened(writer, vec![other]), "its own");
        assert!(opened(own, vec![writer]), "perhaps inherited");
        assert!(!opened(other, vec![writer]), "another process's");
        sibling.kill().unwrap();
        sibling.wait().unwrap();
        assert!(opened(other, vec![writer]), "from a process that has ended");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held(None, ino, "run"));
    }
}
