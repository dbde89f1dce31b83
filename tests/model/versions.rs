//! What there is in versions: attributes, names that are none, links, and all
//! of one. And what runs show.

use super::{
    SOON, directories,
    scene::{Mounted, Scene, inside},
    trees::{Entry, join},
    world::{ARun, Version},
};
use crate::support::seeds::Random;
use rustix::fs::FileType;
use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Names that are nowhere, or that programs probe for.
const ABSENT: [&[u8]; 4] = [b"not there", b"\xfe", b".git", b"autorun.inf"];

/// An extended attribute, where it is there.
pub(super) fn attribute(path: &Path, name: &str) -> io::Result<Option<String>> {
    let mut value = vec![0; 70_000];
    match rustix::fs::getxattr(path, format!("user.vm0.{name}"), &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(String::from_utf8(value).unwrap()))
        }
        Err(rustix::io::Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Bytes as the attribute `symlinks` has them.
fn visible(text: &[u8]) -> String {
    let mut out = Vec::new();
    for &byte in text {
        match byte {
            b'\\' | 0..32 | 127 => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    // Names that are no text are left out of what is compared.
    String::from_utf8_lossy(&out).into_owned()
}

/// Compares attributes, as far as they are final before the archive's end.
#[track_caller]
fn is_right(stat: &Metadata, entry: &Entry, what: &str) {
    let mode = stat.permissions().mode() & 0o7777;
    let kind = stat.file_type();
    let is_expected = match entry {
        Entry::Directory(_) => kind.is_dir() && mode == 0o555,
        Entry::File {
            content,
            executable,
            ..
        } => {
            kind.is_file()
                && mode == if *executable { 0o555 } else { 0o444 }
                && stat.len() == content.len() as u64
        }
        Entry::Link { target, .. } => {
            kind.is_symlink() && mode == 0o777 && stat.len() == target.len() as u64
        }
    };
    assert!(is_expected, "{what}: {stat:?}");
}

/// What of an entry's attributes is final only at the archive's end.
fn final_part(stat: &Metadata) -> (i64, Option<u64>) {
    let links = stat.is_file().then(|| stat.nlink());
    (stat.mtime(), links)
}

impl Scene {
    /// Attributes of anything.
    pub(super) fn stat(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let (path, entry) = version.tree.pick(random);
        let full = self.path(random, at, version, path);
        let what = format!("stat of {full:?}");
        let stat = self.attempt(at, Some(version), &what, || {
            // One way leads through a symlink, which the root's own stat is of.
            match path.is_empty() {
                true => fs::metadata(&full),
                false => fs::symlink_metadata(&full),
            }
        });
        if let Some(stat) = stat {
            is_right(&stat, entry, &what);
        }
    }

    /// A name that is none, which another error must never be told as.
    pub(super) fn absent(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let (path, entry) = version.tree.pick(random);
        let name = *random.pick(&ABSENT);
        let mut missing = join(path, name);
        let expected = match entry {
            Entry::Directory(_) => libc::ENOENT,
            Entry::File { .. } => libc::ENOTDIR,
            Entry::Link { .. } => return,
        };
        if version.tree.entries.contains_key(&missing) {
            missing.extend_from_slice(b"-");
        }
        let full = inside(at, &version.folder, &missing);
        let what = format!("missing {full:?}");
        let root = inside(at, &version.folder, b"");
        self.attempt(at, Some(version), &what, || {
            // Of a version that is not known nothing is.
            fs::metadata(&root)?;
            match fs::symlink_metadata(&full) {
                Ok(_) => panic!("{what}: it is there"),
                Err(error) if error.raw_os_error() == Some(expected) => Ok(()),
                Err(error) => Err(error),
            }
        });
    }

    /// Where links lead.
    pub(super) fn link(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let links = version.tree.entries.iter();
        let links = links.filter(|(_, entry)| matches!(entry, Entry::Link { .. }));
        let links: Vec<_> = links.collect();
        if !links.is_empty() {
            let (path, entry) = *random.pick(&links);
            self.follow(at, version, path, entry);
        }
    }

    fn follow(&self, at: &Mounted, version: &Version, path: &[u8], entry: &Entry) {
        let Entry::Link {
            target,
            file,
            leaves,
        } = entry
        else {
            return;
        };
        let full = inside(at, &version.folder, path);
        let what = format!("following {full:?}");
        self.attempt(at, Some(version), &what, || {
            match fs::read_link(&full) {
                Ok(shown) => {
                    assert!(!leaves, "{what} leads out to {shown:?}");
                    assert_eq!(shown.as_os_str().as_bytes(), target, "{what}");
                }
                Err(error) if *leaves && error.raw_os_error() == Some(libc::EACCES) => {}
                Err(error) => return Err(error),
            }
            if let Some(file) = file {
                let content = version.tree.content(file);
                super::files::is_same(&fs::read(&full)?, content, &what);
            }
            Ok(())
        });
    }

    /// The names in a directory of a version.
    pub(super) fn directory(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let folders = version.tree.entries.iter();
        let folders = folders.filter(|(_, entry)| matches!(entry, Entry::Directory(_)));
        let folders: Vec<_> = folders.map(|(path, _)| path).collect();
        let path = *random.pick(&folders);
        let full = self.path(random, at, version, path);
        self.read_directory(random, at, version, path, &full);
    }

    fn read_directory(
        &self,
        random: &mut Random,
        at: &Mounted,
        version: &Version,
        path: &[u8],
        full: &Path,
    ) -> Option<Vec<directories::Listed>> {
        let Entry::Directory(names) = &version.tree.entries[path] else {
            return None;
        };
        let what = format!("names of {full:?}");
        let shown = self.attempt(at, Some(version), &what, || directories::read(random, full))?;
        let is: BTreeSet<_> = shown.iter().map(|entry| &entry.name).collect();
        assert_eq!(is, names.iter().collect(), "{what}");
        for each in &shown {
            let expected = match &version.tree.entries[&join(path, &each.name)] {
                Entry::Directory(_) => FileType::Directory,
                Entry::File { .. } => FileType::RegularFile,
                Entry::Link { .. } => FileType::Symlink,
            };
            assert_eq!(each.kind, expected, "{what}: {each:?}");
        }
        Some(shown)
    }

    /// All of a version: names, attributes, content, links.
    pub(super) fn walk(&self, random: &mut Random, at: &Mounted, version: &Version) {
        for (path, entry) in &version.tree.entries {
            let full = inside(at, &version.folder, path);
            if !matches!(entry, Entry::Directory(_)) {
                continue;
            }
            let Some(shown) = self.read_directory(random, at, version, path, &full) else {
                return;
            };
            for listed in shown {
                let path = join(path, &listed.name);
                let full = inside(at, &version.folder, &path);
                let entry = &version.tree.entries[&path];
                let what = format!("stat of {full:?}");
                let links = match entry {
                    Entry::File { names, .. } => Some(u64::from(*names)),
                    _ => None,
                };
                let expected = (version.tree.modified as i64, links);
                let end = Instant::now() + SOON;
                let stat = loop {
                    let stat = || fs::symlink_metadata(&full);
                    let Some(stat) = self.attempt(at, Some(version), &what, stat) else {
                        return;
                    };
                    is_right(&stat, entry, &what);
                    // All of it was there when its directory was told.
                    let shown = final_part(&stat);
                    if shown == expected {
                        break stat;
                    }
                    let may_wait = self.is_damaged && Instant::now() < end;
                    assert!(may_wait, "{what}: {shown:?}, not {expected:?}");
                    thread::sleep(Duration::from_millis(20));
                };
                assert_eq!(stat.ino(), listed.ino, "{what}");
                match entry {
                    Entry::Directory(_) => {}
                    Entry::File { content, .. } => self.read_whole(at, version, &path, content),
                    Entry::Link { .. } => self.follow(at, version, &path, entry),
                }
            }
            self.links_that_leave(at, version, path, &full);
        }
    }

    fn links_that_leave(&self, at: &Mounted, version: &Version, path: &[u8], full: &Path) {
        let Entry::Directory(names) = &version.tree.entries[path] else {
            return;
        };
        let mut names: Vec<_> = names.iter().collect();
        names.sort();
        let mut expected = String::new();
        for name in names {
            if let Entry::Link {
                target,
                leaves: true,
                ..
            } = &version.tree.entries[&join(path, name)]
            {
                expected += &format!("{} -> {}\n", visible(name), visible(target));
            }
        }
        if expected.contains('\u{fffd}') {
            return;
        }
        let what = format!("symlinks of {full:?}");
        let shown = self.attempt(at, Some(version), &what, || attribute(full, "symlinks"));
        // It is there as long as the tree is on disk.
        if let Some(Some(shown)) = shown {
            assert_eq!(shown, expected, "{what}");
        }
    }

    /// What a version says of itself.
    pub(super) fn attributes(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let full = self.path(random, at, version, b"");
        let expected = [
            ("id", Some(version.id.clone())),
            ("version", Some(version.id.clone())),
            ("message", version.message.map(str::to_owned)),
            ("created_by", Some("agent:writer".to_owned())),
            ("file_count", Some(version.files.to_string())),
            ("size", Some(version.size.to_string())),
        ];
        for (name, expected) in expected {
            let what = format!("{name} of {full:?}");
            let shown = self.attempt(at, Some(version), &what, || attribute(&full, name));
            let Some(shown) = shown else { return };
            assert_eq!(shown, expected, "{what}");
        }
        let what = format!("state of {full:?}");
        let shown = self.attempt(at, Some(version), &what, || {
            Ok((attribute(&full, "cached")?, attribute(&full, "verified")?))
        });
        let Some((cached, verified)) = shown else {
            return;
        };
        let cached = cached.unwrap();
        assert!(
            matches!(&*cached, "yes" | "partly" | "tree" | "no"),
            "{what}: {cached}"
        );
        if let Some(verified) = verified {
            assert_eq!(verified == "yes", version.is_honest, "{what}: {verified}");
        }
    }

    /// Waits until it is shown what has become of a run.
    pub(super) fn change_comes(&self, at: &Mounted, run: &ARun) {
        let path = at.mount.join(&format!("runs/{}", run.id));
        let what = format!("the change of {path:?}");
        self.until(at, &what, || {
            let status = fs::read_to_string(path.join("status"))?;
            let artifact = match fs::read_link(path.join("artifact")) {
                Ok(target) => Some(target.into_os_string().into_string().unwrap()),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => None,
                Err(error) => return Err(error),
            };
            Ok(status.trim_end() == *run.status.now() && artifact == *run.artifact.now())
        });
    }

    /// What a run shows.
    pub(super) fn run(&self, random: &mut Random, at: &Mounted) {
        let run = random.pick(&self.truth.runs);
        let folder = format!("runs/{}", run.id);
        let read = |name: &str| {
            let path = at.mount.join(&format!("{folder}/{name}"));
            let what = format!("reading {path:?}");
            self.attempt(at, None, &what, || {
                let asked = Instant::now();
                Ok((asked, fs::read_to_string(&path)?))
            })
        };
        match random.below(3) {
            0 => {
                if let Some((asked, shown)) = read("status") {
                    let shown = shown.strip_suffix('\n').unwrap();
                    let known = ["pending", "running", "completed", "failed", "cancelled"];
                    let known = known.iter().find(|known| **known == shown);
                    let shown = *known.unwrap_or_else(|| panic!("{shown:?}"));
                    let what = format!("{folder}/status");
                    self.is_current(at, &what, &run.status, &shown, asked);
                }
            }
            1 => {
                if let Some((_, shown)) = read("prompt") {
                    assert_eq!(shown.trim_end_matches('\n'), run.prompt);
                }
            }
            _ => {
                let path = at.mount.join(&format!("{folder}/artifact"));
                let what = format!("{folder}/artifact");
                let shown = self.attempt(at, None, &what, || {
                    let asked = Instant::now();
                    match fs::read_link(&path) {
                        Ok(target) => Ok((asked, Some(target.to_str().unwrap().to_owned()))),
                        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                            Ok((asked, None))
                        }
                        Err(error) => Err(error),
                    }
                });
                if let Some((asked, shown)) = shown {
                    self.is_current(at, &what, &run.artifact, &shown, asked);
                }
            }
        }
    }
}
