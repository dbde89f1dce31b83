//! What the kernel tells in `/proc`: processes, their descriptors, and mounts.
//!
//! Only this room reads `/proc`. Every read is bounded, and what other processes
//! choose (names, paths, anything in them) is bytes until it is asked for as text.
//! Links are read and never followed: what they lead to may be dead or hang.

mod descriptor;
mod memory;
mod mounts;
mod process;
mod user_namespace;
mod way;

pub use self::{
    descriptor::{Descriptor, DescriptorInfo},
    memory::{MemoryLimit, code, is_limited, raise_oom_score, shortage},
    mounts::{
        MAX_LINKS, MountEntry, holding, is_on_demand, locate, mount_at, mounts, vm0fs_mounts,
    },
    process::{Process, Status, processes},
    user_namespace::{is_in_user_namespace, is_mapped, outside_user},
    way::{Barred, follow, is_plain},
};

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// The program that this process runs, also where its file has been replaced.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// Calls this process by the program's name: one that was started from [`OWN_PROGRAM`] is
/// called `exe` until then.
pub fn settle_name() {
    let _ = nix::sys::prctl::set_name(c"vm0fs");
}

/// The path by which a process, or one that it starts, opens again what a file is.
pub fn descriptor_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Longest text that is read: `maps` of a process with as many mappings as Linux
/// allows by default (65,530) is about half of it.
const LONGEST: u64 = 16 << 20;

/// The number of the first process namespace (`PROC_PID_INIT_INO` in the
/// kernel's `include/linux/proc_ns.h`): from there every process can be seen.
const ALL_PROCESSES: &str = "pid:[4026531836]";

/// Whether processes are hidden from this one: those of other namespaces, as in a
/// container, or of other users (`hidepid`, proc(5)). Where the kernel does not say, they
/// are not.
pub fn hides_processes() -> bool {
    let own = fs::read_link("/proc/self/ns/pid");
    let first = fs::metadata("/proc/1").map(drop);
    own.is_ok_and(|own| own != Path::new(ALL_PROCESSES))
        || first.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The number of this boot of the machine (proc(5): a new random UUID at each
/// boot), where the system gives one.
pub fn boot_id() -> Option<String> {
    let text = read(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
    let text = String::from_utf8(text).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The mount namespace of a process.
pub fn mount_namespace(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/mnt").into()
}

/// The content of a file that is at most [`LONGEST`] bytes long.
///
/// # Errors
/// What the kernel says; `FileTooLarge` for a longer file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LONGEST {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// What follows `name` on the line that begins with it, without white space
/// around it: `name` is a field of the kernel's, with its colon.
fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(value).ok().map(str::trim)
}

#[cfg(test)]
mod tests;
