//! The kernel's own list of mounts. Reading it touches no mount, which may be dead or
//! hang.

use super::read;
use crate::error::{Error, Result, is_missing};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Component, Path, PathBuf},
};

/// The type of file system by which the kernel has a daemon mount on demand.
const ON_DEMAND: &str = "autofs";

/// Symlinks followed from a path to a mountpoint, as many as the kernel does
/// (path_resolution(7)).
pub const MAX_LINKS: usize = 40;

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's id: unique while it is mounted, given again afterwards.
    pub id: u64,
    /// The id of the mount it lies in.
    pub parent: u64,
    /// Its device, `major:minor`: what tells its file system from all others, and
    /// by whose second part the kernel knows the connection of a FUSE mount.
    pub device: String,
    /// Where it is.
    pub mountpoint: PathBuf,
    /// Type with subtype, e.g. `fuse.vm0fs`.
    pub fstype: String,
    /// What is mounted, e.g. `vm0fs`.
    pub source: String,
    /// Whether the kernel lets no process write in it.
    pub is_read_only: bool,
    /// Of a FUSE mount, the user who has mounted it.
    pub user: Option<u32>,
    /// And that user's group then.
    pub group: Option<u32>,
}

impl MountEntry {
    /// The minor number of its device; 0, which is none, where that is no number.
    pub fn minor(&self) -> u32 {
        let minor = self.device.split_once(':').map(|(_, minor)| minor);
        minor.and_then(|minor| minor.parse().ok()).unwrap_or(0)
    }

    /// Whether it stands for a mount that a daemon makes once a process asks for it.
    pub fn is_on_demand(&self) -> bool {
        self.fstype == ON_DEMAND
    }

    /// Whether vm0fs mounted it. (Without the subtype where `fusermount` is
    /// too old to know it.)
    pub fn is_vm0fs(&self) -> bool {
        self.fstype == "fuse.vm0fs" || (self.fstype == "fuse" && self.source == "vm0fs")
    }
}

/// All mounts that this process can see.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub fn mounts() -> Result<Vec<MountEntry>> {
    const FILE: &str = "/proc/self/mountinfo";
    let text =
        read(Path::new(FILE)).map_err(|error| Error::io(format!("reading {FILE}"), error))?;
    Ok(parse(&text))
}

/// Those of vm0fs.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub fn vm0fs_mounts() -> Result<Vec<MountEntry>> {
    let mut mounts = mounts()?;
    mounts.retain(MountEntry::is_vm0fs);
    Ok(mounts)
}

/// Which of these mounts a path lies in, or is, and the path below it. The path is one
/// without `..`, which would lead elsewhere. Touches none of them.
pub fn holding<'a, 'b>(
    mounts: &'a [MountEntry],
    path: &'b Path,
) -> Option<(&'a MountEntry, &'b Path)> {
    let mut above = path.ancestors();
    let mount = above.find_map(|above| mounts.iter().rfind(|entry| entry.mountpoint == above))?;
    Some((mount, path.strip_prefix(&mount.mountpoint).ok()?))
}

/// The uppermost mount at exactly this path, of any type.
///
/// This looks only at the folder that the path lies in, never at the mountpoint, so a
/// dead or hung mount there does not hang the caller. (One that the folder itself lies
/// in does.)
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing or the way to the folder is barred.
pub fn mount_at(path: &Path) -> Result<Option<MountEntry>> {
    let mounts = mounts()?;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        path = match locate(&path) {
            Ok(path) => path,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(Error::io(format!("{}", path.display()), error)),
        };
        if let Some(entry) = top(&mounts, &path) {
            return Ok(Some(entry.clone()));
        }
        // It is no mountpoint, so it is safe to look at: perhaps a link to one.
        let Ok(target) = fs::read_link(&path) else {
            return Ok(None);
        };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Ok(None)
}

/// Whether a daemon is to mount at this path once a process asks for it. This does not ask
/// for it.
pub fn is_on_demand(path: &Path) -> bool {
    // Where they cannot be read, the mount to come says why.
    // The way to it comes first: a folder above it may be mounted on demand by that.
    let Ok(path) = locate(path) else {
        return false;
    };
    let Ok(mounts) = mounts() else {
        return false;
    };
    let over = path.ancestors().find_map(|place| top(&mounts, place));
    over.is_some_and(MountEntry::is_on_demand)
}

/// The path as the kernel names it; its last part is not looked at.
///
/// # Errors
/// Where the way to the folder is barred or missing.
pub fn locate(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => Ok(fs::canonicalize(parent)?.join(name)),
        // The root, or a path that ends in `..`.
        _ => fs::canonicalize(&path),
    }
}

/// Of several mounts at one place, the one that lies in no other of them.
fn top<'a>(mounts: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    let here = || mounts.iter().filter(|entry| entry.mountpoint == path);
    here().rfind(|entry| !here().any(|other| other.parent == entry.id && other.id != entry.id))
}

/// Parses the file; a line that is not as documented is left out.
pub(super) fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|&byte| byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse().ok();
    let id = number(fields.next())?;
    let parent = number(fields.next())?;
    let device = String::from_utf8_lossy(fields.next()?).into_owned();
    // After the root within the device; before the options.
    let mountpoint = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let flags = fields.next()?;
    let is_read_only = flags.split(|&byte| byte == b',').any(|flag| flag == b"ro");
    // Optional fields end with a lone hyphen.
    fields.find(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let (fstype, source) = (text(fields.next()?), text(fields.next()?));
    let options = text(fields.next()?);
    let id_of = |name: &str| {
        let mut options = options.split(',');
        options.find_map(|option| option.strip_prefix(name)?.parse().ok())
    };
    let (user, group) = (id_of("user_id="), id_of("group_id="));
    Some(MountEntry {
        id,
        parent,
        device,
        mountpoint,
        fstype,
        source,
        is_read_only,
        user,
        group,
    })
}

/// Undoes the kernel's escapes: `\040` for a space, and so on.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let digits = rest.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        bytes.push(code.unwrap_or(*first));
        field = if code.is_some() { &rest[3..] } else { rest };
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn the_mount_table_is_parsed_without_its_broken_lines() {
        let text = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            40 22 0:35 / /home/me/my\\040vm0\\134\\011\\012 rw shared:2 master:1 - fuse.vm0fs vm0fs rw,user_id=0\n\
            41 40 0:36 / /a rw broken\n\
            junk\n\
            x 1 0:1 / /m rw - t s rw\n\
            42 22 0:37 / /\xff\\999\\ ro,nosuid - fuse vm0fs rw\n\
            43 22 0:38 /";
        let mounts = parse(text);
        let points: Vec<_> = mounts
            .iter()
            .map(|entry| entry.mountpoint.as_os_str().as_bytes())
            .collect();
        assert_eq!(
            points,
            [&b"/"[..], b"/home/me/my vm0\\\t\n", b"/\xff\\999\\"]
        );
        assert_eq!(
            mounts[1],
            MountEntry {
                id: 40,
                parent: 22,
                device: "0:35".into(),
                mountpoint: "/home/me/my vm0\\\t\n".into(),
                fstype: "fuse.vm0fs".into(),
                source: "vm0fs".into(),
                is_read_only: false,
                user: Some(0),
                group: None,
            }
        );
        let ours: Vec<_> = mounts.iter().map(MountEntry::is_vm0fs).collect();
        assert_eq!(ours, [false, true, true]);
        let read_only: Vec<_> = mounts.iter().map(|entry| entry.is_read_only).collect();
        assert_eq!(read_only, [false, false, true]);
    }

    #[test]
    fn the_uppermost_of_a_stack() {
        let mounts = parse(
            b"1 1 0:1 / / rw - t root rw\n\
            9 7 0:3 / /m rw - t upper rw\n\
            7 1 0:2 / /m rw - t lower rw\n\
            8 1 0:2 / /mm rw - t other rw\n",
        );
        let source = |path: &str| top(&mounts, Path::new(path)).map(|entry| entry.source.as_str());
        assert_eq!(source("/m"), Some("upper"));
        assert_eq!(source("/"), Some("root"));
        assert_eq!(source("/m/x"), None);
    }

    #[test]
    fn mounts_of_this_machine_are_found() {
        let entry = mount_at(Path::new("/proc")).unwrap().unwrap();
        assert_eq!(entry.fstype, "proc");
        assert!(mount_at(Path::new("/")).unwrap().is_some());
        assert!(mount_at(Path::new("/proc/self/../")).unwrap().is_some());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(mount_at(dir.path()).unwrap(), None);
        assert_eq!(mount_at(&dir.path().join("none")).unwrap(), None);
        assert_eq!(mount_at(&dir.path().join("none/none")).unwrap(), None);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("../../../../../../../proc", &link).unwrap();
        assert_eq!(mount_at(&link).unwrap().unwrap().fstype, "proc");
        let ring = dir.path().join("ring");
        std::os::unix::fs::symlink("ring", &ring).unwrap();
        assert_eq!(mount_at(&ring).unwrap(), None);
    }
}
