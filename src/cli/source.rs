//! Where a command reads and writes the files that a mount shows: in a mount that
//! lives, so that what it knows is not asked for again, or in a tree of its own, without
//! the kernel.

use super::{
    mount_failure::{LAST_ERROR, LONGEST_REASON, failure},
    mounts::{self, attribute},
};
use crate::{
    error::{Error, Result},
    pending::PendingRequests,
    text::{self, one_line},
    tree::{Found, Handle, Kind, LIST_ANEW, Tree, View, WriteRequest},
};
use rustix::fs::{Mode, OFlags, openat};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The tree's root.
const ROOT: u64 = 1;
/// Symlinks that are followed for one name: an id is one that leads to a name.
const LINKS: u32 = 4;
/// Bytes of a file taken at a time.
const PIECE: usize = 256 << 10;

/// The files of a mount, by their paths from its root, as components.
pub(super) enum Source {
    /// Those of the mount at this place.
    Mount(PathBuf),
    /// Those of a tree that no kernel knows.
    Tree(Arc<Tree>, Arc<PendingRequests>),
}

/// Whether the runs are listed as the service has them now.
pub(super) enum Listed {
    Anew,
    /// This mount does not do that, for this reason.
    NotHere(String),
}

/// An open file.
pub(super) enum OpenFile {
    Mounted(File, PathBuf),
    Unmounted(Handle),
}

impl Source {
    /// All of a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none; what reading it fails with.
    pub(super) fn read<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut all = Vec::new();
        loop {
            let piece = self.read_at(&file, all.len() as u64)?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&piece);
        }
    }

    /// The text of a short file, without white space at its end.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(super) fn text(&self, path: &[&str]) -> Result<String> {
        let bytes = self.read(path)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Whether there is such a path, symlinks followed.
    ///
    /// # Errors
    /// What looking it up fails with.
    pub(super) fn has<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<bool> {
        let found = match self {
            Self::Mount(_) => self.place(path).and_then(|place| {
                let found = fs::metadata(&place).map(drop);
                found.map_err(|error| failure(&place, &error))
            }),
            Self::Tree(_, pending) => find(pending, path).map(drop),
        };
        match found {
            Err(Error::NotFound(_)) => Ok(false),
            found => found.map(|()| true),
        }
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(super) fn open<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<OpenFile> {
        match self {
            Self::Mount(mountpoint) => {
                let place = self.place(path)?;
                let names = path.iter().map(N::as_ref);
                let file = open_below(mountpoint, names);
                let file = file.map_err(|error| failure(&place, &error))?;
                Ok(OpenFile::Mounted(file, place))
            }
            Self::Tree(_, pending) => {
                let ino = find(pending, path)?;
                let opened = pending.run(|view| view.open(ino, true))?;
                Ok(OpenFile::Unmounted(opened.handle))
            }
        }
    }

    /// A piece of an open file; empty at its end.
    ///
    /// # Errors
    /// What reading it fails with.
    pub(super) fn read_at(&self, file: &OpenFile, offset: u64) -> Result<Vec<u8>> {
        match (self, file) {
            (_, OpenFile::Mounted(file, place)) => {
                let mut piece = vec![0; PIECE];
                let length = file.read_at(&mut piece, offset);
                let length = length.map_err(|error| failure(place, &error))?;
                piece.truncate(length);
                Ok(piece)
            }
            (Self::Tree(_, pending), OpenFile::Unmounted(handle)) => pending.run(|view| {
                let mut piece = Vec::new();
                view.read(handle, offset, PIECE, &mut piece)?;
                Ok(piece)
            }),
            (Self::Mount(_), OpenFile::Unmounted(_)) => {
                Err(Error::Internal("a file of another source".into()))
            }
        }
    }

    /// The last part of what a symlink leads to.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such symlink.
    pub(super) fn link(&self, path: &[&str]) -> Result<String> {
        let target = match self {
            Self::Mount(_) => {
                let place = self.place(path)?;
                let target = fs::read_link(&place).map_err(|error| failure(&place, &error))?;
                target.to_string_lossy().into_owned()
            }
            Self::Tree(_, pending) => {
                let (name, folder) = path.split_last().ok_or_else(|| not_found(path))?;
                let (ino, _) = look_up(pending, find(pending, folder)?, name.as_bytes())?
                    .ok_or_else(|| not_found(path))?;
                let target = pending.run(|view| view.readlink(ino))?;
                String::from_utf8_lossy(&target).into_owned()
            }
        };
        let last = target.rsplit('/').next().unwrap_or_default();
        Ok(last.to_owned())
    }

    /// Writes to a control file, and waits for what comes of it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none; why the service refuses it.
    pub(super) fn write(&self, path: &[&str], data: &[u8]) -> Result<()> {
        match self {
            Self::Mount(_) => {
                let place = self.place(path)?;
                // Its close reports nothing that its write does not.
                fs::write(&place, data).map_err(|error| failure(&place, &error))
            }
            Self::Tree(_, pending) => {
                let ino = find(pending, path)?;
                let opened = pending.run(|view| view.open_to_write(ino, true))?;
                let Handle::Control(writing) = &opened.handle else {
                    return Err(Error::Internal("no control file".into()));
                };
                let write = WriteRequest {
                    request: 0,
                    offset: 0,
                    appends: false,
                    data,
                };
                pending.run(|view| view.write(writing, &write))?;
                pending.run(|view| view.finish(writing))
            }
        }
    }

    /// An attribute of a file; `None` where it has none of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such file; what asking for it fails with.
    fn attribute(&self, path: &[&str], name: &str) -> Result<Option<String>> {
        match self {
            Self::Mount(_) => {
                let place = self.place(path)?;
                attribute(&place, name).map_err(|error| failure(&place, &error))
            }
            Self::Tree(_, pending) => {
                let ino = find(pending, path)?;
                match pending.run(|view| view.getxattr(ino, name.as_bytes())) {
                    Err(Error::NoAttribute) => Ok(None),
                    value => Ok(Some(String::from_utf8_lossy(&value?).into_owned())),
                }
            }
        }
    }

    /// Has the runs listed anew: which is the latest, the listing of a mount may not know
    /// yet.
    ///
    /// # Errors
    /// Why the service does not list them.
    pub(super) fn list_runs_anew(&self) -> Result<Listed> {
        let asked = self.attribute(&["runs"], LIST_ANEW);
        let Self::Mount(mountpoint) = self else {
            return asked.map(|_| Listed::Anew);
        };
        let shown = text::shown(mountpoint);
        match asked {
            Ok(Some(_)) => Ok(Listed::Anew),
            Ok(None) => Ok(Listed::NotHere(format!(
                "the mount {shown} is of an older vm0fs, which does not list the runs anew; give \
                 the whole id, or exchange the program: vm0fs upgrade {}",
                text::shell_path(mountpoint)
            ))),
            Err(error) if error.is_denied() && !mounts::may_change(mountpoint) => {
                Ok(Listed::NotHere(format!(
                    "another user has mounted {shown}, for whom alone it lists the runs anew; \
                     give the whole id"
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Why a file is shown as it was last known, where it is.
    pub(super) fn why_old(&self, path: &[&str]) -> Option<String> {
        let told = |path: &[&str]| self.attribute(path, LAST_ERROR).ok().flatten();
        // That of the root is why the service cannot be reached.
        let told = told(path).or_else(|| told(&[]))?;
        Some(one_line(&told, LONGEST_REASON))
    }

    /// The path in the mount, which a name of the service's cannot lead out of.
    fn place<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<PathBuf> {
        let Self::Mount(mountpoint) = self else {
            return Err(Error::Internal("a path without a mount".into()));
        };
        let is_name = |name: &N| {
            let name = name.as_ref();
            !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| b"/\0".contains(byte))
        };
        let names = path.iter().map(|name| OsStr::from_bytes(name.as_ref()));
        match path.iter().all(is_name) {
            true => Ok(mountpoint.join(names.collect::<PathBuf>())),
            false => Err(not_found(path)),
        }
    }
}

/// Opens a file, name by name: paths in archives can be longer than the kernel takes one.
fn open_below<'a>(
    mountpoint: &Path,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
) -> io::Result<File> {
    let folder = OFlags::PATH | OFlags::DIRECTORY;
    let mut opened = rustix::fs::open(mountpoint, folder | OFlags::CLOEXEC, Mode::empty())?;
    let last = names.len().saturating_sub(1);
    for (at, name) in names.enumerate() {
        let how = if at == last { OFlags::RDONLY } else { folder };
        opened = openat(&opened, name, how | OFlags::CLOEXEC, Mode::empty())?;
    }
    Ok(opened.into())
}

fn not_found<N: AsRef<[u8]>>(path: &[N]) -> Error {
    let names = path
        .iter()
        .map(|name| String::from_utf8_lossy(name.as_ref()));
    Error::NotFound(names.collect::<Vec<_>>().join("/"))
}

/// A name in a folder: its inode, and its kind.
fn look_up(pending: &PendingRequests, folder: u64, name: &[u8]) -> Result<Option<(u64, Kind)>> {
    let lookup = |view: &View<'_>| view.lookup(folder, name);
    Ok(match pending.run(lookup)? {
        Found::Node(stat, _) => Some((stat.attributes.ino, stat.attributes.kind)),
        Found::Absent(_) => None,
    })
}

/// The inode of a path, after its symlinks, all of which lead to a name beside them.
///
/// # Errors
/// [`Error::NotFound`] where a name does not exist; what looking it up fails with.
pub(super) fn find<N: AsRef<[u8]>>(pending: &PendingRequests, path: &[N]) -> Result<u64> {
    let mut parent = ROOT;
    for name in path {
        let mut name = name.as_ref().to_vec();
        let mut links = LINKS;
        parent = loop {
            let (ino, kind) = look_up(pending, parent, &name)?.ok_or_else(|| not_found(path))?;
            if kind != Kind::Symlink || links == 0 {
                break ino;
            }
            links -= 1;
            name = pending.run(|view| view.readlink(ino))?;
        };
    }
    Ok(parent)
}
