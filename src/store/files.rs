//! The files of the cache: their names, and how they are made, listed and opened.

use crate::error::{Error, Result};
use nix::{
    NixPath,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::{
        stat::{Mode, UtimensatFlags, fstatat, utimensat},
        time::TimeSpec,
    },
    unistd::{UnlinkatFlags, unlinkat},
};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::fd::AsFd,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Facts about a version, as JSON (see `meta`).
pub(super) const META: &str = "meta.json";
/// The index of a version (see `index`).
pub(super) const INDEX: &str = "tree";
/// How parts of the version are read from its archive (see `seek`).
pub(super) const SEEK: &str = "seek";
/// The content of small files, one after another. Without it, a version has no content.
pub(super) const PACK: &str = "pack";
/// Marks a version that has been brought to the disk (see `durability`).
pub(super) const SYNCED: &str = "synced";
/// Keeps eviction away from a version, in every process. Empty: that the file exists is
/// all it says.
pub(super) const PINNED: &str = "pinned";
/// Whether a version may be shown under `--verify strict`, where that has been looked at: `yes`
/// or `no` (see `cache/proof`).
pub(super) const PROVEN: &str = "proven";
/// Which blocks of the content are on disk, while some are not (see `cache/presence`).
pub(super) const PRESENT: &str = "present";
/// How a fetch can be gone on with, while it unpacks (see `fetch/journal`).
pub(super) const JOURNAL: &str = "journal";
/// A `pack` that does not have its length yet: content comes in parts into it later.
pub(super) const NEW_PACK: &str = "new-pack";
/// The beginning of the name of a [`blob`].
pub(super) const BLOB: &str = "blob-";

/// Files from this size on get their own `blob-N`. For smaller ones that costs too much
/// (an inode, half a block, a create). For larger ones the create costs nothing beside
/// the writing.
pub(super) const BLOB_SIZE: u64 = 1 << 20;

/// The name of the file that holds a large file's content.
pub(super) fn blob(number: u32) -> String {
    format!("{BLOB}{number}")
}

/// Makes a directory of the cache, with all above it, for the user alone.
///
/// # Errors
/// [`Error::Io`] or [`Error::NoSpace`] where that fails.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(format!("making {}", path.display()), error))
}

/// The paths of a directory's entries.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    read().map_err(|error| Error::io(format!("reading {}", directory.display()), error))
}

/// Opens a file of an open directory for reading. No symlink is followed.
///
/// # Errors
/// What the kernel says.
pub(super) fn open(directory: &File, name: &str) -> io::Result<File> {
    open_with(directory, name, OFlag::O_RDONLY)
}

/// Opens a file of an open directory for reading and writing, and makes it where it is
/// missing. No symlink is followed.
///
/// # Errors
/// What the kernel says.
pub(super) fn create(directory: &File, name: &str) -> io::Result<File> {
    open_with(directory, name, OFlag::O_RDWR | OFlag::O_CREAT)
}

/// Opens a file of an open directory for reading and writing. No symlink is followed.
///
/// # Errors
/// What the kernel says.
pub(super) fn open_to_write(directory: &File, name: &str) -> io::Result<File> {
    open_with(directory, name, OFlag::O_RDWR)
}

fn open_with(directory: &File, name: &str, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    // The mode is that of a file that is made.
    Ok(openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Makes now the time of a file's last use.
pub(super) fn touch(directory: impl AsFd, name: &(impl NixPath + ?Sized)) {
    let (now, flags) = (TimeSpec::UTIME_NOW, UtimensatFlags::NoFollowSymlink);
    let _ = utimensat(directory, name, &now, &now, flags);
}

/// Whether an open directory has a file of that name.
pub(super) fn exists(directory: &File, name: &str) -> bool {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
}

/// Renames a file of an open directory.
///
/// # Errors
/// What the kernel says.
pub(super) fn rename(directory: &File, from: &str, to: &str) -> io::Result<()> {
    Ok(renameat(directory, from, directory, to)?)
}

/// Removes a file of an open directory; whether it was there.
pub(super) fn remove(directory: &File, name: &str) -> bool {
    unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).is_ok()
}

/// Opens a file of an open directory for reading; `None` where it is missing or
/// unreadable.
///
/// # Errors
/// [`Error::Io`] where file descriptors have run out, which says nothing of the file.
pub(super) fn open_existing(directory: &File, name: &str) -> Result<Option<File>> {
    match open(directory, name) {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.raw_os_error().map(nix::Error::from_raw) {
            Some(nix::Error::EMFILE | nix::Error::ENFILE) => {
                Err(Error::io("opening a file of the cache", error))
            }
            _ => Ok(None),
        },
    }
}
