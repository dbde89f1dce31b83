//! The limits that keep an archive from doing harm.

/// The limits that keep an archive from doing harm.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Entries, with the directories that are only implied.
    pub entries: u32,
    /// Numbers of an index whose archive was made anew, with those that lead to no file any
    /// more: 48 bytes of disk and memory each.
    pub numbers: u32,
    /// Components of a path; a deeper entry is left out.
    pub depth: u32,
    /// Bytes of one component: a longer one is shortened. At least 40.
    pub name: u32,
    /// Bytes of a path; an entry with a longer one is left out. At most 65,536,
    /// which is what the index has for one text.
    pub path: u32,
    /// Bytes of a symlink's target; one with a longer target is left out.
    pub target: u32,
    /// Pieces of all files with holes together: 16 bytes of memory each.
    pub pieces: u32,
    /// Bytes of all names and targets together, which are in memory while unpacking.
    pub name_bytes: u32,
    /// Content may have the declared size times this factor, and …
    pub slack_factor: u64,
    /// … so many bytes more.
    pub slack_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The service walks up to 100,000; twentyfold still unpacks in 400 MB of memory.
            entries: 2_000_000,
            // All files of the largest version replaced once.
            numbers: 4_000_000,
            // Deeper than tools can walk by path (PATH_MAX over two bytes a level).
            depth: 1024,
            // NAME_MAX.
            name: 255,
            // Sixteen PATH_MAX: reachable step by step, and no more than a tool would make.
            path: 65_536,
            // PATH_MAX with its NUL: what readlink can give.
            target: 4095,
            // 16 MiB: a disk image in pieces of 4 KiB has as many on 8 GiB.
            pieces: 1_000_000,
            // 2,000,000 names of the usual length, several times over.
            name_bytes: 256 << 20,
            // The declared size is a hint, possibly of something else (the
            // archive, an older count): this stops bombs, which are a thousandfold.
            slack_factor: 16,
            slack_bytes: 64 << 20,
        }
    }
}
