//! The cache as the commands see it: lists, pins, checks and clears versions. Works
//! beside mounts that use the same directory, by the same locks.

use super::{
    audit::{self, Audit},
    entries::{QuotaEntry, present, remove_content},
    keepalive::{self, Keepalive},
    quota::Quota,
    version::{Present, Version},
};
use crate::error::{Error, Result};
use crate::store::files::{self, META, PINNED};
use crate::store::meta::Meta;
use crate::text::is_digest;
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::SystemTime,
};
use tempfile::NamedTempFile;

/// The file in a version's directory that holds the name.
const NAME: &str = "name";
/// The longest name that is read: a path component and its escapes.
const NAME_BYTES: u64 = 1024;
/// Levels of directories that are summed up: the cache has a few.
const DEPTH: u32 = 8;

/// A cache directory, used without a mount.
pub struct Inventory {
    quota: Quota,
}

/// A version in the cache.
#[derive(Clone, Debug)]
pub struct CachedVersion {
    /// The name of its directory, which is its key in the cache.
    pub key: String,
    /// Facts about it; `None` if it is broken.
    pub meta: Option<Meta>,
    /// Its storage's name when it was fetched, if that was known.
    pub name: Option<String>,
    /// How much of the content is on disk too.
    pub present: Present,
    /// Bytes that it takes of the cache's maximum size.
    pub on_disk: u64,
    /// Bytes of them that are content.
    pub content: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// Whether it is kept from eviction.
    pub pinned: bool,
}

/// What takes the space in the cache. Serialized for `vm0fs cache du --json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Bytes of content.
    pub content: u64,
    /// Versions with all of their content.
    #[serde(rename = "versions_with_content")]
    pub with_content: u64,
    /// Versions with a part of it.
    #[serde(rename = "versions_partly")]
    pub partly: u64,
    /// Bytes of indexes and what belongs to them.
    pub trees: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes of both that are pinned.
    pub pinned: u64,
    /// Versions that are pinned.
    pub pinned_versions: u64,
    /// Bytes reserved by fetches at work, and taken by those that were left.
    #[serde(rename = "reservations")]
    pub reserved: u64,
    /// Bytes of everything else: the API's answers that outlive a mount.
    pub answers: u64,
    /// Maximum size of the cache, in bytes.
    pub ceiling: u64,
}

impl Breakdown {
    /// Bytes of all of it.
    pub fn total(&self) -> u64 {
        self.content + self.trees + self.reserved + self.answers
    }
}

/// What a cache holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Content, indexes, and what belongs to them.
    pub versions: u64,
    /// Answers of the API that outlive a mount.
    pub answers: u64,
}

/// The result of clearing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Versions that were cleared.
    pub versions: u64,
    /// Bytes that this freed.
    pub bytes: u64,
    /// Versions left alone because they are pinned.
    pub pinned: u64,
    /// Versions left alone because a process has a file of them open.
    pub in_use: u64,
    /// Downloads that were broken off, and were removed.
    pub downloads: u64,
}

impl Inventory {
    /// Opens the cache in `dir`, of `ceiling` bytes at most. Makes nothing:
    /// `None` if there is no cache.
    ///
    /// # Errors
    /// [`Error::Setup`] if the directory cannot be read.
    pub fn open(dir: &Path, ceiling: u64) -> Result<Option<Self>> {
        let quota = Quota::at(dir.join("v1"), ceiling);
        match fs::read_dir(quota.versions()) {
            Ok(_) => Ok(Some(Self { quota })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Setup(format!(
                "the cache {} cannot be read: {error}; name a folder of yours with --cache-dir",
                dir.display()
            ))),
        }
    }

    /// All versions, the last used first.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<CachedVersion>> {
        let mut items: Vec<CachedVersion> = self.quota.entries()?.into_iter().map(item).collect();
        items.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        Ok(items)
    }

    /// What takes the space in the cache. Takes the cache's lock.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read or locked.
    pub fn breakdown(&self) -> Result<Breakdown> {
        let _guard = self.quota.lock()?;
        let mut sum = Breakdown {
            reserved: self.quota.staged("")?.bytes(),
            answers: self.answers(),
            ceiling: self.quota.ceiling(),
            ..Breakdown::default()
        };
        for entry in self.quota.entries()? {
            sum.content += entry.content;
            sum.trees += entry.rest;
            sum.versions += 1;
            sum.with_content += u64::from(entry.present == Present::Whole);
            sum.partly += u64::from(entry.present == Present::Partly);
            if entry.pinned {
                sum.pinned += entry.bytes();
                sum.pinned_versions += 1;
            }
        }
        Ok(sum)
    }

    /// Bytes that versions and answers take. Takes no lock: fetches may be at work.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn held(&self) -> Result<Held> {
        let entries = self.quota.entries()?;
        Ok(Held {
            versions: entries.iter().map(QuotaEntry::bytes).sum(),
            answers: self.answers(),
        })
    }

    /// Bytes of all that is neither a version nor a fetch.
    fn answers(&self) -> u64 {
        let own = ["versions", "staging", "lock", "CACHEDIR.TAG"];
        let all = files::list(self.quota.root()).unwrap_or_default();
        all.iter()
            .filter(|path| !own.iter().any(|own| path.ends_with(own)))
            .map(|path| size_of(path, DEPTH))
            .sum()
    }

    /// Removes content, and with `trees` whole versions; pinned ones only with
    /// `pinned`, and they stay pinned if their index stays. Versions that a process has
    /// open stay.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read or locked.
    pub fn clear(&self, trees: bool, pinned: bool) -> Result<Cleared> {
        let first = self.clear_idle(trees, pinned)?;
        if first.in_use == 0 {
            return Ok(first);
        }
        // A mount keeps the content that was used last open for a moment.
        thread::sleep(keepalive::MOMENT * 2);
        let second = self.clear_idle(trees, pinned)?;
        Ok(Cleared {
            versions: first.versions + second.versions,
            bytes: first.bytes + second.bytes,
            downloads: first.downloads + second.downloads,
            ..second
        })
    }

    fn clear_idle(&self, trees: bool, pinned: bool) -> Result<Cleared> {
        let _guard = self.quota.lock()?;
        let mut staged = self.quota.staged("")?;
        let mut done = Cleared {
            downloads: staged.all_left().0,
            bytes: staged.free(u64::MAX),
            ..Cleared::default()
        };
        drop(staged);
        for entry in self.quota.entries()? {
            let has_content = entry.present != Present::None;
            let whole = trees || entry.broken;
            if !whole && !has_content {
                continue;
            }
            if entry.is_kept() && !pinned {
                done.pinned += 1;
                continue;
            }
            if !self.quota.free(&entry.path, whole) {
                done.in_use += 1;
                continue;
            }
            done.versions += 1;
            done.bytes += if whole { entry.bytes() } else { entry.content };
        }
        Ok(done)
    }

    /// How many downloads have been broken off that the next fetch goes on with, and how
    /// many bytes those take.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read or locked.
    pub fn broken_off(&self) -> Result<(u64, u64)> {
        let _guard = self.quota.lock()?;
        Ok(self.quota.staged("")?.all_left())
    }

    /// How many fetches dead processes have left that no other can go on with, and how many
    /// bytes those take; with `remove`, removes them.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read or locked.
    pub fn leftovers(&self, remove: bool) -> Result<(u64, u64)> {
        let _guard = self.quota.lock()?;
        let staged = self.quota.staged("")?;
        let paths = staged.dead.iter().map(|(path, _)| path);
        let bytes = paths.map(|path| size_of(path, DEPTH)).sum();
        let found = staged.dead.len() as u64;
        // The locks in it would prevent the removal.
        drop(staged);
        if remove && found > 0 {
            self.quota.staged("")?.clean();
        }
        Ok((found, bytes))
    }

    /// Pins a version: no process evicts it, also after a crash.
    /// `false` if it was pinned already.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not in the cache, [`Error::Io`] and
    /// [`Error::NoSpace`] if the mark cannot be written.
    pub fn pin(&self, key: &str) -> Result<bool> {
        let _guard = self.quota.lock()?;
        let path = self.path(key)?;
        let pin = || -> io::Result<bool> {
            let version = File::open(&path)?;
            if files::exists(&version, PINNED) {
                return Ok(false);
            }
            files::create(&version, PINNED)?.sync_all()?;
            version.sync_all().map(|()| true)
        };
        pin().map_err(|error| Error::io("pinning a version", error))
    }

    /// Unpins a version. `false` if it was not pinned.
    ///
    /// # Errors
    /// As for [`Self::pin`].
    pub fn unpin(&self, key: &str) -> Result<bool> {
        let _guard = self.quota.lock()?;
        let path = self.path(key)?;
        match fs::remove_file(path.join(PINNED)).and_then(|()| File::open(&path)?.sync_all()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("unpinning a version", error)),
        }
    }

    /// A version with its names and attributes; `None` where the cache does not have it,
    /// or not in today's format.
    pub fn version(&self, key: &str) -> Option<Arc<Version>> {
        let path = self.path(key).ok()?;
        let meta = Meta::read(File::open(path.join(META)).ok()?)?;
        let version = Version::load(&path, &meta.key()?, &Keepalive::default())?;
        Some(Arc::new(version))
    }

    /// Whether all of a version's content is on disk.
    pub fn has_content(&self, key: &str) -> bool {
        self.path(key)
            .is_ok_and(|path| present(&path) == Present::Whole)
    }

    /// Reads a whole version and says whether it is what was sealed. Calls `read` with
    /// the number of bytes after each read. Keeps the content from eviction meanwhile.
    pub fn verify(&self, key: &str, read: &mut dyn FnMut(u64)) -> Audit {
        match self.path(key) {
            Ok(path) => audit::audit(&path, key, read),
            Err(_) => Audit::Gone,
        }
    }

    /// Removes a damaged version's content, with `whole` its index as well, so that it is
    /// fetched again when it is next used. Files that are open stay readable.
    ///
    /// # Errors
    /// [`Error::Io`] if the cache cannot be locked.
    pub fn drop_damaged(&self, key: &str, whole: bool) -> Result<()> {
        let _guard = self.quota.lock()?;
        match self.path(key) {
            Ok(path) if whole => self.quota.discard(&path),
            Ok(path) => remove_content(&path),
            // Removed already.
            Err(_) => {}
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        // A key may come from an attribute, which any process can set on a file.
        let path = self.quota.versions().join(key);
        if is_digest(key) && path.is_dir() {
            return Ok(path);
        }
        let dir = self.quota.root().parent().unwrap_or(Path::new("/"));
        Err(Error::NotFound(format!(
            "the version in the cache {}",
            dir.display()
        )))
    }
}

fn item(entry: QuotaEntry) -> CachedVersion {
    let meta = File::open(entry.path.join(META)).ok();
    let key = entry.path.file_name().unwrap_or_default();
    CachedVersion {
        key: key.to_string_lossy().into_owned(),
        meta: meta.and_then(Meta::read),
        name: read_name(&entry.path),
        present: entry.present,
        on_disk: entry.bytes(),
        content: entry.content,
        used: entry.used,
        pinned: entry.pinned,
    }
}

/// The name, if it was noted.
fn read_name(version: &Path) -> Option<String> {
    let mut name = String::new();
    let file = File::open(version.join(NAME)).ok()?;
    file.take(NAME_BYTES).read_to_string(&mut name).ok()?;
    Some(name).filter(|name| !name.is_empty())
}

/// Writes a storage's name beside a version, unless it is the same as before.
/// A failure is only logged: the name is a convenience.
pub(super) fn note_name(version: &Path, name: &str) {
    if name.len() as u64 > NAME_BYTES || read_name(version).as_deref() == Some(name) {
        return;
    }
    // By a rename: no process may read half of it.
    let write = || -> io::Result<()> {
        let mut file = NamedTempFile::new_in(version)?;
        file.write_all(name.as_bytes())?;
        file.persist(version.join(NAME))?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "could not note a name in the cache");
    }
}

fn size_of(path: &Path, depth: u32) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() && depth > 0 => {
            let below = files::list(path).unwrap_or_default();
            below.iter().map(|path| size_of(path, depth - 1)).sum()
        }
        Ok(data) if data.is_file() => data.len(),
        _ => 0,
    }
}
