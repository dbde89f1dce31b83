//! All that a mount shows of a version, as lines to compare; and that nothing
//! of it leads anywhere else.

use crate::support::archive::MODIFIED;
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat},
    io::Errno,
};
use std::{
    ffi::CString,
    fs::{File, read_link},
    io::Read,
    os::fd::AsRawFd,
    path::Path,
};

/// Content up to this length is shown, else its length.
const SHOWN: usize = 60;

/// A folder whose entries from here on are still to be looked at.
struct Frame {
    folder: OwnedFd,
    path: String,
    /// Sorted backwards.
    names: Vec<CString>,
}

/// A line for each entry: kind, mode, path (bytes that are not plain ASCII
/// escaped), time where it is not the usual one, then a file's content or a
/// symlink's target.
///
/// Step by step, so that no path is too long and no tree too deep.
pub(super) fn walk(root: &Path) -> Vec<String> {
    let inside = root.canonicalize().unwrap();
    let mut lines = Vec::new();
    let mut frames = vec![frame(
        openat(CWD, root, FOLDER, NO_MODE).unwrap(),
        String::new(),
    )];
    while let Some(mut top) = frames.pop() {
        let Some(name) = top.names.pop() else {
            continue;
        };
        let stat = statat(&top.folder, &name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let path = format!("{}{}", top.path, name.as_bytes().escape_ascii());
        let mode = stat.st_mode & 0o7777;
        let seconds = stat.st_mtime as i64;
        let time = match (seconds == MODIFIED as i64, stat.st_mtime_nsec) {
            (true, 0) => String::new(),
            (_, 0) => format!("@{seconds}"),
            (_, nanoseconds) => format!("@{seconds}+{nanoseconds}"),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                lines.push(format!("d{mode:o} {path}/{time}"));
                let folder = openat(&top.folder, &name, FOLDER, NO_MODE).unwrap();
                // One that is done with is closed before going down: a deep
                // tree would need a descriptor a level.
                if !top.names.is_empty() {
                    frames.push(top);
                }
                frames.push(frame(folder, path + "/"));
                continue;
            }
            FileType::RegularFile => {
                let file = openat(&top.folder, &name, FILE, NO_MODE).unwrap();
                let mut content = Vec::new();
                File::from(file).read_to_end(&mut content).unwrap();
                assert_eq!(content.len() as i64, stat.st_size, "{path}");
                let content = match content.len() <= SHOWN {
                    true => content.escape_ascii().to_string(),
                    false => format!("{} bytes", content.len()),
                };
                lines.push(format!("f{mode:o} {path}{time}: {content}"));
            }
            FileType::Symlink => {
                let target = match readlinkat(&top.folder, &name, Vec::new()) {
                    Ok(target) if target.as_bytes().len() > SHOWN => {
                        format!("{} bytes", target.as_bytes().len())
                    }
                    Ok(target) => target.as_bytes().escape_ascii().to_string(),
                    Err(Errno::ACCESS) => "refused".into(),
                    Err(error) => panic!("{path}: {error}"),
                };
                let opened = openat(&top.folder, &name, FILE.union(OFlags::PATH), NO_MODE);
                match opened {
                    Ok(opened) => {
                        assert_ne!(target, "refused", "{path}");
                        let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
                        let real = read_link(link).unwrap();
                        assert!(real.starts_with(&inside), "{path} is {real:?}");
                    }
                    Err(Errno::ACCESS) => assert_eq!(target, "refused", "{path}"),
                    // It leads nowhere, or in circles.
                    Err(error) => assert!(
                        [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG]
                            .contains(&error),
                        "{path}: {error}"
                    ),
                }
                lines.push(format!("l{mode:o} {path}{time} -> {target}"));
            }
            other => lines.push(format!("{other:?} {path}")),
        }
        frames.push(top);
    }
    lines
}

/// Not to be inherited: another test's command would keep the mount in use.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
const FOLDER: OFlags = FILE.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);
const NO_MODE: Mode = Mode::empty();

fn frame(folder: OwnedFd, path: String) -> Frame {
    let mut names: Vec<CString> = Dir::read_from(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .filter(|name| !matches!(name.as_bytes(), b"." | b".."))
        .collect();
    names.sort_by(|a, b| b.cmp(a));
    Frame {
        folder,
        path,
        names,
    }
}
