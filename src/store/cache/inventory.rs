//! The cache as the commands see it: what is in it, what is pinned, and what a
//! user wants gone. Works beside mounts that use the same directory, by the
//! same locks.

use super::{
    audit::{self, Audit},
    entries::{QuotaEntry, remove_content},
    keepalive,
    name::read_name,
    quota::Quota,
};
use crate::error::{Error, Result};
use crate::store::files::{self, META, PACK, PINNED};
use crate::store::meta::Meta;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

/// How deep the rest of the cache is summed up: it is a few levels deep.
const DEPTH: u32 = 8;
/// Hexadecimal digits in the name of a version's directory: a SHA-256.
const KEY_LENGTH: usize = 64;

/// A cache directory, looked at from outside of a mount.
pub struct Inventory {
    quota: Quota,
}

/// A version in the cache.
#[derive(Clone, Debug)]
pub struct Item {
    /// The name of its directory, which is its key in the cache.
    pub key: String,
    /// Facts about it; `None` where it is broken.
    pub meta: Option<Meta>,
    /// Its storage's name when it was fetched, where that was known.
    pub name: Option<String>,
    /// Whether the content is there, too.
    pub has_content: bool,
    /// Bytes that it takes of the ceiling.
    pub on_disk: u64,
    /// Bytes of them that are content.
    pub content: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// Whether it is kept from eviction.
    pub pinned: bool,
}

/// What takes up the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// Bytes of content.
    pub content: u64,
    /// Versions with content.
    pub with_content: u64,
    /// Bytes of trees and what belongs to them.
    pub trees: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes of both that are pinned.
    pub pinned: u64,
    /// Versions that are pinned.
    pub pinned_versions: u64,
    /// Bytes reserved by downloads at work.
    pub reserved: u64,
    /// Bytes of everything else: the API's answers that outlive a mount.
    pub answers: u64,
    /// Bytes that the cache may have.
    pub ceiling: u64,
}

impl Breakdown {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.content + self.trees + self.reserved + self.answers
    }
}

/// What clearing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Versions that were cleared.
    pub versions: u64,
    /// Bytes that this freed.
    pub bytes: u64,
    /// Versions left alone because they are pinned.
    pub pinned: u64,
    /// Versions left alone because somebody has a file of them open.
    pub in_use: u64,
}

impl Inventory {
    /// Looks at the cache in `dir`, for which `ceiling` holds. Makes nothing:
    /// `None` where there is no cache.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read.
    pub fn open(dir: &Path, ceiling: u64) -> Result<Option<Self>> {
        let quota = Quota::at(dir.join("v1"), ceiling);
        match fs::read_dir(quota.versions()) {
            Ok(_) => Ok(Some(Self { quota })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let context = format!("opening the cache {}", dir.display());
                Err(Error::io(context, error))
            }
        }
    }

    /// Every version there is, the last used first.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Item>> {
        let mut items: Vec<Item> = self.quota.entries()?.into_iter().map(item).collect();
        items.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        Ok(items)
    }

    /// What takes up the room. Takes the cache's lock.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read or locked.
    pub fn breakdown(&self) -> Result<Breakdown> {
        let _guard = self.quota.lock()?;
        let mut sum = Breakdown {
            reserved: self.quota.staged("")?.reserved,
            answers: self.answers(),
            ceiling: self.quota.ceiling(),
            ..Breakdown::default()
        };
        for entry in self.quota.entries()? {
            sum.content += entry.content;
            sum.trees += entry.rest;
            sum.versions += 1;
            sum.with_content += u64::from(has_content(&entry.path));
            if entry.pinned {
                sum.pinned += entry.bytes();
                sum.pinned_versions += 1;
            }
        }
        Ok(sum)
    }

    /// Bytes of what is neither a version nor a download.
    fn answers(&self) -> u64 {
        let own = ["versions", "staging", "lock", "CACHEDIR.TAG"];
        let all = files::list(self.quota.root()).unwrap_or_default();
        all.iter()
            .filter(|path| !own.iter().any(|own| path.ends_with(own)))
            .map(|path| size_of(path, DEPTH))
            .sum()
    }

    /// Frees content, and with `trees` whole versions; pinned ones only with
    /// `pinned`, which leaves them pinned where they stay. What somebody has
    /// open stays.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read or locked.
    pub fn clear(&self, trees: bool, pinned: bool) -> Result<Cleared> {
        let first = self.clear_idle(trees, pinned)?;
        if first.in_use == 0 {
            return Ok(first);
        }
        // A mount keeps what was used last open for a moment.
        thread::sleep(keepalive::MOMENT * 2);
        let second = self.clear_idle(trees, pinned)?;
        Ok(Cleared {
            versions: first.versions + second.versions,
            bytes: first.bytes + second.bytes,
            ..second
        })
    }

    fn clear_idle(&self, trees: bool, pinned: bool) -> Result<Cleared> {
        let _guard = self.quota.lock()?;
        let mut done = Cleared::default();
        for entry in self.quota.entries()? {
            let has_content = has_content(&entry.path);
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

    /// How many downloads dead processes have left, and how many bytes they
    /// take; with `remove` they are removed.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read or locked.
    pub fn leftovers(&self, remove: bool) -> Result<(u64, u64)> {
        let _guard = self.quota.lock()?;
        let staged = self.quota.staged("")?;
        let paths = staged.dead.iter().map(|(path, _)| path);
        let bytes = paths.map(|path| size_of(path, DEPTH)).sum();
        let found = staged.dead.len() as u64;
        // With the locks, which would keep it from being removed.
        drop(staged);
        if remove && found > 0 {
            self.quota.staged("")?.clean();
        }
        Ok((found, bytes))
    }

    /// Keeps a version from eviction, in every process and across a crash.
    /// `false` where it was pinned already.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not in the cache, [`Error::Io`] and
    /// [`Error::NoSpace`] where the mark cannot be written.
    pub fn pin(&self, key: &str) -> Result<bool> {
        let _guard = self.quota.lock()?;
        let path = self.path(key)?;
        let mut open = OpenOptions::new();
        match open
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path.join(PINNED))
        {
            Ok(file) => file
                .sync_all()
                .and_then(|()| File::open(&path)?.sync_all())
                .map(|()| true)
                .map_err(|error| Error::io("pinning a version", error)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("pinning a version", error)),
        }
    }

    /// Leaves a version to eviction again. `false` where it was not pinned.
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

    /// Whether a version's content is there.
    pub fn has_content(&self, key: &str) -> bool {
        self.path(key).is_ok_and(|path| has_content(&path))
    }

    /// Reads a version whole and says whether it is what it was when it was
    /// sealed; tells `read` how many bytes it has just read. Keeps the content
    /// from eviction meanwhile.
    pub fn verify(&self, key: &str, read: &mut dyn FnMut(u64)) -> Audit {
        match self.path(key) {
            Ok(path) => audit::audit(&path, key, read),
            Err(_) => Audit::Gone,
        }
    }

    /// Drops what is damaged of a version, so that it is fetched again when it
    /// is next used: the content, with `whole` the tree as well. Files that are
    /// open stay readable.
    ///
    /// # Errors
    /// [`Error::Io`] where the cache cannot be locked.
    pub fn drop_damaged(&self, key: &str, whole: bool) -> Result<()> {
        let _guard = self.quota.lock()?;
        match self.path(key) {
            Ok(path) if whole => self.quota.discard(&path),
            Ok(path) => remove_content(&path),
            // Gone already.
            Err(_) => {}
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        // A key may come from an attribute that anybody has set on a file.
        let is_key = key.len() == KEY_LENGTH && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.quota.versions().join(key);
        if is_key && path.is_dir() {
            return Ok(path);
        }
        let dir = self.quota.root().parent().unwrap_or(Path::new("/"));
        Err(Error::NotFound(format!(
            "the version in the cache {}",
            dir.display()
        )))
    }
}

fn has_content(version: &Path) -> bool {
    version.join(PACK).exists()
}

fn item(entry: QuotaEntry) -> Item {
    let meta = File::open(entry.path.join(META)).ok();
    let key = entry.path.file_name().unwrap_or_default();
    Item {
        key: key.to_string_lossy().into_owned(),
        meta: meta.and_then(Meta::read),
        name: read_name(&entry.path),
        has_content: has_content(&entry.path),
        on_disk: entry.bytes(),
        content: entry.content,
        used: entry.used,
        pinned: entry.pinned,
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
