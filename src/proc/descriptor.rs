//! The open descriptors of a process.

use super::{field, read};
use std::path::{Path, PathBuf};

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The file that describes it.
    pub(super) info: PathBuf,
    pub(super) target: PathBuf,
}

impl Descriptor {
    /// What it leads to, as the kernel names it: a path, or a word such as
    /// `anon_inode:[io_uring]`.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What the kernel says of it; `None` where it has been closed, or may not be
    /// looked at.
    pub fn info(&self) -> Option<DescriptorInfo> {
        let text = read(&self.info).ok()?;
        Some(DescriptorInfo::parse(&text))
    }
}

/// What `/proc/<pid>/fdinfo/<fd>` says (`proc_pid_fdinfo(5)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorInfo {
    /// Position in the file, in bytes.
    pub position: Option<u64>,
    /// The flags of `open(2)`.
    pub flags: Option<i32>,
    /// The id of its mount, in the process's table of mounts.
    pub mount: Option<u64>,
    /// The inode, since Linux 5.14.
    pub inode: Option<u64>,
    /// Of `/dev/fuse`: the connection, by the number of its device. Since Linux 6.16.
    pub fuse_connection: Option<u32>,
}

impl DescriptorInfo {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self {
            position: field(text, "pos:").and_then(|value| value.parse().ok()),
            flags: field(text, "flags:").and_then(|value| i32::from_str_radix(value, 8).ok()),
            mount: field(text, "mnt_id:").and_then(|value| value.parse().ok()),
            inode: field(text, "ino:").and_then(|value| value.parse().ok()),
            fuse_connection: field(text, "fuse_connection:").and_then(|value| value.parse().ok()),
        }
    }

    /// Whether the file can be written through it.
    pub fn is_writable(&self) -> bool {
        self.flags
            .is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
    }
}
