//! One of the two versions: its index, and where its content is read.

use crate::{
    cli::{lookup, mount_path::MountPath},
    error::{Error, Result},
    pending::PendingRequests,
    store::{Index, Inventory, Version},
    text::one_line,
    tree::Handle,
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Characters of a name in a message.
const SHOWN: usize = 200;
/// Bytes of content that are asked for at a time.
const PIECE: usize = 256 << 10;

/// A version.
pub(super) struct Side<'a> {
    /// Its id.
    pub(super) id: String,
    /// `None` if it has no files.
    version: Option<Arc<Version>>,
    content: Content<'a>,
}

/// Where content is read.
enum Content<'a> {
    /// In this folder of a mount.
    Mount(PathBuf),
    /// At this path of a tree.
    Tree(&'a PendingRequests, Vec<Vec<u8>>),
}

/// A file that has been opened.
pub(super) enum Opened<'a> {
    Mount(File, String),
    Tree(&'a PendingRequests, Handle),
}

/// Whether that may be the name of a version. The tree has other files beside them.
fn check(version: &str) -> Result<()> {
    match version.contains('/') || version.is_empty() || version.starts_with('.') {
        true => Err(Error::Setup(format!(
            "{:?} is not the name of a version: an id, 8 or more characters that begin only \
             one, or latest",
            one_line(version, SHOWN)
        ))),
        false => Ok(()),
    }
}

fn no_version(storage: &str, version: &str) -> Error {
    Error::Setup(format!(
        "{storage} has no version {version:?}, or several that begin so; its .versions.json \
         lists all"
    ))
}

impl<'a> Side<'a> {
    /// A version in a mount; `storage` is the folder that it lies in. Waits until the
    /// names of all of its files are known.
    ///
    /// # Errors
    /// [`Error::Setup`] where there is none of that name or its cache cannot be read,
    /// what the mount fails with.
    pub(super) fn in_mount(storage: &Path, version: &str) -> Result<Self> {
        check(version)?;
        let shown = one_line(&storage.to_string_lossy(), SHOWN);
        let path = storage.join(version);
        let is_missing = |path: &Path| {
            let found = fs::symlink_metadata(path);
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if is_missing(storage) {
            return Err(Error::Setup(format!(
                "{shown} does not exist; `ls` of the folder that it is in shows what there is"
            )));
        }
        if is_missing(&path) {
            return Err(no_version(&shown, &one_line(version, SHOWN)));
        }
        let path = MountPath::find(&path)?;
        let why = |error: io::Error| {
            let told = path.attribute("last_error").ok().flatten();
            let told = told.map(|told| Error::Setup(format!("{}: {told}", path.shown)));
            told.unwrap_or_else(|| Error::io(path.shown.clone(), error))
        };
        let mut names = fs::read_dir(&path.root).map_err(why)?;
        let is_empty = names.next().transpose().map_err(why)?.is_none();
        let dir = path.cache_dir()?;
        // A reader of the cache needs no room in it.
        let inventory = Inventory::open(&dir, u64::MAX)?;
        let key = path.key()?;
        let found = inventory.and_then(|inventory| inventory.version(&key));
        if found.is_none() && !is_empty {
            return Err(Error::Setup(format!(
                "the files of {} are not listed in the cache {}: was it mounted by another user, \
                 or by another version of vm0fs? In the second case: vm0fs upgrade {}",
                path.shown,
                dir.display(),
                path.mountpoint.display()
            )));
        }
        let id = path.root.file_name().unwrap_or_default();
        Ok(Self {
            id: one_line(&id.to_string_lossy(), SHOWN),
            version: found,
            content: Content::Mount(path.root),
        })
    }

    /// A version of the service; `storage` are the names that lead to it.
    ///
    /// # Errors
    /// [`Error::Setup`] where there is none of that name, what fetching its names fails
    /// with.
    pub(super) fn in_tree(
        pending: &'a PendingRequests,
        storage: [&[u8]; 2],
        version: &str,
    ) -> Result<Self> {
        check(version)?;
        let shown = String::from_utf8_lossy(&storage.join(&b'/')).into_owned();
        let shown = one_line(&shown, SHOWN);
        lookup::find(pending, &storage).map_err(|error| match error {
            Error::NotFound(_) => Error::Setup(format!("the service has no {shown}")),
            error => error,
        })?;
        let [kind, name] = storage;
        let path = [kind, name, version.as_bytes()];
        let ino = lookup::find(pending, &path).map_err(|error| match error {
            Error::NotFound(_) => no_version(&shown, &one_line(version, SHOWN)),
            error => error,
        })?;
        let id = pending.run(|view| view.getxattr(ino, b"user.vm0.id"))?;
        Ok(Self {
            id: String::from_utf8_lossy(&id).into_owned(),
            version: pending.run(|view| view.version(ino))?,
            content: Content::Tree(pending, path.map(<[u8]>::to_vec).into()),
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
        match &self.content {
            Content::Mount(root) => {
                let path = root.join(OsStr::from_bytes(path));
                let shown = one_line(&path.to_string_lossy(), SHOWN);
                let file = File::open(&path).map_err(|error| Error::io(shown.clone(), error))?;
                Ok(Opened::Mount(file, shown))
            }
            Content::Tree(pending, root) => {
                let names = root.iter().map(Vec::as_slice);
                let names: Vec<_> = names.chain(path.split(|byte| *byte == b'/')).collect();
                let ino = lookup::find(pending, &names)?;
                let opened = pending.run(|view| view.open(ino, true))?;
                Ok(Opened::Tree(pending, opened.handle))
            }
        }
    }
}

impl Opened<'_> {
    /// Reads from an offset on: `most` bytes, or to the end of the file.
    ///
    /// # Errors
    /// What the mount or the fetch fails with.
    pub(super) fn read(&self, offset: u64, most: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let now = (most - bytes.len()).min(PIECE);
            let piece = self.piece(offset + bytes.len() as u64, now)?;
            if piece.is_empty() {
                break;
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    fn piece(&self, offset: u64, most: usize) -> Result<Vec<u8>> {
        match self {
            Self::Mount(file, shown) => {
                let mut bytes = vec![0; most];
                let n = file.read_at(&mut bytes, offset);
                bytes.truncate(n.map_err(|error| Error::io(shown.clone(), error))?);
                Ok(bytes)
            }
            Self::Tree(pending, handle) => pending.run(|view| {
                let mut bytes = Vec::new();
                view.read(handle, offset, most, &mut bytes)?;
                Ok(bytes)
            }),
        }
    }
}
