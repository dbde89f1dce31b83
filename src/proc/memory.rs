//! How much memory this process may use, and how much of that it does.

use super::{field, read};
use nix::sys::resource::{Resource, getrlimit};
use std::{
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Where control groups are seen, of version 2 and of version 1 (cgroups(7)).
const GROUPS: &str = "/sys/fs/cgroup";
const OLD_GROUPS: &str = "/sys/fs/cgroup/memory";

/// Whether a limit held when they were last looked at: to read them takes a moment.
static IS_LIMITED: AtomicBool = AtomicBool::new(false);

/// Whether a limit of memory holds for this process, as far as it has looked.
pub fn is_limited() -> bool {
    IS_LIMITED.load(Ordering::Relaxed)
}

/// The limit under which this process cannot have so many bytes more, if there is one.
pub fn shortage(needed: u64) -> Option<MemoryLimit> {
    if !is_limited() {
        return None;
    }
    let leaves = |limit: &MemoryLimit| limit.left().is_none_or(|left| left >= needed);
    MemoryLimit::all().into_iter().find(|limit| !leaves(limit))
}

/// A limit of memory that holds for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Of its address space, in bytes (`RLIMIT_AS`).
    AddressSpace(u64),
    /// Of its data, in bytes (`RLIMIT_DATA`).
    Data(u64),
    /// Of its control group, in bytes, with the group's folder.
    Group(u64, PathBuf),
}

impl MemoryLimit {
    /// The limits of this process.
    pub fn all() -> Vec<Self> {
        let limit = |resource| {
            let (soft, _) = getrlimit(resource).ok()?;
            (soft != libc::RLIM_INFINITY).then_some(soft)
        };
        let space = limit(Resource::RLIMIT_AS).map(Self::AddressSpace);
        let data = limit(Resource::RLIMIT_DATA).map(Self::Data);
        let group = group().and_then(|folder| {
            let limit = number(&folder.join("memory.max"));
            let limit = limit.or_else(|| number(&folder.join("memory.limit_in_bytes")))?;
            // Version 1 has a number for none.
            (limit < 1 << 60).then_some(Self::Group(limit, folder))
        });
        let all: Vec<Self> = [space, data, group].into_iter().flatten().collect();
        IS_LIMITED.store(!all.is_empty(), Ordering::Relaxed);
        all
    }

    /// How much of it is used, in percent; `None` where the kernel does not say.
    pub fn used(&self) -> Option<u64> {
        let (used, limit) = self.amounts()?;
        used.saturating_mul(100).checked_div(limit)
    }

    /// How many bytes of it are left.
    fn left(&self) -> Option<u64> {
        let (used, limit) = self.amounts()?;
        Some(limit.saturating_sub(used))
    }

    /// How many bytes are used, and how many may be.
    fn amounts(&self) -> Option<(u64, u64)> {
        let (used, limit) = match self {
            Self::AddressSpace(limit) => (own("VmSize:")?, limit),
            Self::Data(limit) => (own("VmData:")?, limit),
            Self::Group(limit, folder) => {
                let used = number(&folder.join("memory.current"));
                let used = used.or_else(|| number(&folder.join("memory.usage_in_bytes")))?;
                // The kernel takes the page cache back before it kills.
                let stat = read(&folder.join("memory.stat")).ok()?;
                let of = |name| field(&stat, name).and_then(|text| text.parse().ok());
                let cached: u64 = of("inactive_file ").unwrap_or(0);
                (used.saturating_sub(cached), limit)
            }
        };
        Some((used, *limit))
    }
}

/// Where the code of this process is mapped, and the constants before it in the same
/// file, as ranges of addresses. What follows the code in a file is changed when the
/// program is loaded.
pub fn code() -> Vec<Range<usize>> {
    let maps = read(Path::new("/proc/self/maps")).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps).into_owned();
    let mut found = Vec::new();
    let mut constants: Option<(Range<usize>, &str)> = None;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        let path = words.nth(3).unwrap_or_default();
        let address = |text| usize::from_str_radix(text, 16).ok();
        let ends = range.split_once('-');
        let range = ends.and_then(|(start, end)| Some(address(start)?..address(end)?));
        let Some(range) = range.filter(|_| path.starts_with('/')) else {
            continue;
        };
        match permissions {
            "r--p" => constants = Some((range, path)),
            "r-xp" => {
                let before = constants.take().filter(|(_, of)| *of == path);
                found.extend(before.map(|(range, _)| range));
                found.push(range);
            }
            _ => {}
        }
    }
    found
}

/// A size that the kernel tells of this process, in bytes.
fn own(name: &str) -> Option<u64> {
    let status = read(Path::new("/proc/self/status")).ok()?;
    let kilobytes = field(&status, name)?.split(' ').next()?;
    Some(kilobytes.parse::<u64>().ok()? << 10)
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, bytes) = match self {
            Self::AddressSpace(bytes) => ("address space, ulimit -v", bytes),
            Self::Data(bytes) => ("data, ulimit -d", bytes),
            Self::Group(bytes, _) => ("control group", bytes),
        };
        write!(f, "{} MiB of {what}", bytes >> 20)
    }
}

/// The folder of this process's group.
fn group() -> Option<PathBuf> {
    let groups = read(Path::new("/proc/self/cgroup")).ok()?;
    let groups = String::from_utf8(groups).ok()?;
    let under = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    let found = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(under(GROUPS, path)),
            old if old.split(',').any(|each| each == "memory") => Some(under(OLD_GROUPS, path)),
            _ => None,
        }
    });
    found.filter(|folder| folder.is_dir())
}

fn number(file: &Path) -> Option<u64> {
    std::str::from_utf8(&read(file).ok()?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Makes it likelier that the kernel ends this process where memory runs out, by so many
/// thousandths of all memory.
///
/// # Errors
/// What the kernel says.
pub fn raise_oom_score(by: i32) -> io::Result<()> {
    let file = Path::new("/proc/self/oom_score_adj");
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    let now: i32 = text.trim().parse().map_err(io::Error::other)?;
    fs::write(file, now.saturating_add(by).min(1000).to_string())
}
