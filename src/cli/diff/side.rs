//! One of the two versions: its index, and where its content is read.

use super::storage::Storage;
use crate::{
    cli::{
        bars::{self, Watch},
        mount_path::{MountPath, fetch_by},
        named,
        source::{OpenFile, Source, find},
    },
    error::{Error, Result},
    pending::PendingRequests,
    store::{Index, Inventory, Version},
    text::{self, one_line},
    tree::FETCH_HASHES,
};
use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

/// Characters of a name in a message.
const SHOWN: usize = 200;

/// A version.
pub(super) struct Side<'a> {
    /// Its id.
    pub(super) id: String,
    /// `None` if it has no files.
    version: Option<Arc<Version>>,
    source: &'a Source,
    /// Its path there.
    path: [Box<[u8]>; 3],
    /// Shows what its content has to wait for.
    _watch: Option<Watch>,
}

/// A file that has been opened.
pub(super) struct Opened<'a> {
    source: &'a Source,
    file: OpenFile,
}

/// Id and files of a version, and what shows its downloads.
type Found = (String, Option<Arc<Version>>, Option<Watch>);

impl<'a> Side<'a> {
    /// A version by its name in the tree. Waits until the names of all of its files are
    /// known.
    ///
    /// # Errors
    /// [`Error::Setup`] where there is none of that name, or where its cache cannot be
    /// read; what fetching it fails with.
    pub(super) fn find(source: &'a Source, storage: &Storage, version: &str) -> Result<Self> {
        // The tree has other files beside versions.
        if version.contains('/') || version.is_empty() || version.starts_with('.') {
            return Err(Error::Setup(format!(
                "{:?} is not the name of a version: an id, 8 or more characters that begin only \
                 one, or latest",
                one_line(version, SHOWN)
            )));
        }
        let path = [storage.kind.as_bytes(), &storage.name, version.as_bytes()];
        let found = match source {
            Source::Mount(mountpoint) => in_mount(mountpoint, &path),
            Source::Tree(_, pending) => in_tree(pending, &path),
        };
        let (id, version, watch) = found.map_err(|error| match error {
            Error::NotFound(_) => match source.has(&path[..2]) {
                Ok(true) => named::unknown_version(source, &storage.shown(), path),
                Ok(false) => {
                    named::unknown_storage(source, storage.kind, &String::from_utf8_lossy(path[1]))
                }
                Err(error) => error,
            },
            error => error,
        })?;
        Ok(Self {
            id,
            version,
            source,
            _watch: watch,
            path: path.map(Box::from),
        })
    }

    /// Its names, kinds and hashes; `None` if it has no files.
    pub(super) fn index(&self) -> Option<&Index> {
        self.version.as_deref().map(Version::index)
    }

    /// Where a symlink leads.
    pub(super) fn target(&self, node: u32) -> &[u8] {
        let target = self.index().and_then(|index| index.target(node));
        target.unwrap_or_default()
    }

    /// Opens a file.
    ///
    /// # Errors
    /// What the mount or the fetch fails with.
    pub(super) fn open(&self, path: &[u8]) -> Result<Opened<'a>> {
        let names = self.path.iter().map(|name| &**name);
        let names: Vec<_> = names.chain(path.split(|byte| *byte == b'/')).collect();
        Ok(Opened {
            source: self.source,
            file: self.source.open(&names)?,
        })
    }
}

impl Opened<'_> {
    /// Reads from an offset on: at least `least` bytes, or to the end of the file.
    ///
    /// # Errors
    /// What the mount or the fetch fails with.
    pub(super) fn read(&self, offset: u64, least: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < least {
            let piece = self
                .source
                .read_at(&self.file, offset + bytes.len() as u64)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }
}

/// The version in a tree.
fn in_tree(pending: &PendingRequests, path: &[&[u8]]) -> Result<Found> {
    let ino = find(pending, path)?;
    let id = pending.run(|view| view.getxattr(ino, b"user.vm0.id"))?;
    let id = String::from_utf8_lossy(&id).into_owned();
    Ok((id, pending.run(|view| view.version(ino))?, None))
}

/// The version in a mount: its index is in the mount's cache, once its folder can be
/// listed.
fn in_mount(mountpoint: &Path, path: &[&[u8]]) -> Result<Found> {
    let names = path.iter().map(|name| OsStr::from_bytes(name));
    let path = names.fold(mountpoint.to_owned(), |path, name| path.join(name));
    if let Err(error) = fs::symlink_metadata(&path)
        && error.kind() == io::ErrorKind::NotFound
    {
        let shown = text::shown(&path);
        return Err(Error::NotFound(shown));
    }
    let path = MountPath::find(&path)?;
    let failed = |error: io::Error| path.failure(&error);
    let watch = bars::watch(&path);
    let mut names = fs::read_dir(&path.root).map_err(failed)?;
    let is_empty = names.next().transpose().map_err(failed)?.is_none();
    let dir = path.cache_dir()?;
    // A reader of the cache needs no room in it.
    let inventory = Inventory::open(&dir, u64::MAX)?;
    let key = path.key()?;
    let look = || inventory.as_ref().and_then(|cache| cache.version(&key));
    let mut found = look();
    let lacks = |found: &Arc<Version>| found.index().lacks_digests();
    if found.as_ref().is_some_and(lacks) {
        fetch_by(&path.root, FETCH_HASHES).map_err(failed)?;
        // It may be another copy by now.
        found = look();
    }
    if found.is_none() && !is_empty {
        return Err(Error::Setup(format!(
            "the files of {} are not listed in the cache {}: the mount may be of another version \
             of vm0fs; try vm0fs upgrade {}",
            path.shown,
            dir.display(),
            text::shell_path(&path.mountpoint)
        )));
    }
    let id = path.root.file_name().unwrap_or_default();
    Ok((one_line(&id.to_string_lossy(), SHOWN), found, Some(watch)))
}
