//! The cache as the commands see it: what is in it, what is pinned, and what a
//! user wants gone. Works beside mounts that use the same directory, by the
//! same locks.

use super::{
    audit::{self, Audit},
    keepalive,
    quota::{Held, PINNED, Room, Tried, entries, read_meta, remove_content, try_lock},
};
use crate::error::{Error, Result};
use crate::store::meta::Meta;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

/// The file in a version's directory that holds its storage's name.
const NAME: &str = "name";
/// The longest name that is read: a path component and its escapes.
const NAME_BYTES: u64 = 1024;
/// How deep the rest of the cache is summed up: it is a few levels deep.
const DEPTH: u32 = 8;
/// Hexadecimal digits in the name of a version's directory: a SHA-256.
const KEY_LENGTH: usize = 64;

/// A cache directory, looked at from outside of a mount.
pub struct Inventory {
    room: Room,
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
        let room = Room::at(dir.join("v1"), ceiling);
        match fs::read_dir(room.versions()) {
            Ok(_) => Ok(Some(Self { room })),
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
        let mut items: Vec<Item> = self.room.held()?.into_iter().map(item).collect();
        items.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        Ok(items)
    }

    /// What takes up the room. Takes the cache's lock.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read or locked.
    pub fn breakdown(&self) -> Result<Breakdown> {
        let _accounts = self.room.lock()?;
        let mut sum = Breakdown {
            reserved: self.room.staged("")?.reserved,
            answers: self.answers(),
            ceiling: self.room.ceiling,
            ..Breakdown::default()
        };
        for held in self.room.held()? {
            sum.content += held.content;
            sum.trees += held.rest;
            sum.versions += 1;
            sum.with_content += u64::from(has_content(&held.path));
            if held.pinned {
                sum.pinned += held.bytes();
                sum.pinned_versions += 1;
            }
        }
        Ok(sum)
    }

    /// Bytes of what is neither a version nor a download.
    fn answers(&self) -> u64 {
        let own = ["versions", "staging", "lock", "CACHEDIR.TAG"];
        let all = entries(self.room.root()).unwrap_or_default();
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
        let _accounts = self.room.lock()?;
        let mut done = Cleared::default();
        for held in self.room.held()? {
            let has_content = has_content(&held.path);
            let whole = trees || held.broken;
            if !whole && !has_content {
                continue;
            }
            if held.pinned && !pinned && !held.broken {
                done.pinned += 1;
                continue;
            }
            // Held until the content is gone: nobody opens it in between.
            let lock = try_lock(&held.path.join("pack"));
            if matches!(lock, Tried::Busy) {
                done.in_use += 1;
                continue;
            }
            if whole {
                self.room.discard(&held.path);
            } else {
                remove_content(&held.path);
            }
            done.versions += 1;
            done.bytes += if whole { held.bytes() } else { held.content };
        }
        Ok(done)
    }

    /// How many downloads dead processes have left, and how many bytes they
    /// take; with `remove` they are removed.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be read or locked.
    pub fn leftovers(&self, remove: bool) -> Result<(u64, u64)> {
        let _accounts = self.room.lock()?;
        let staged = self.room.staged("")?;
        let paths = staged.dead.iter().map(|(path, _)| path);
        let bytes = paths.map(|path| size_of(path, DEPTH)).sum();
        let found = staged.dead.len() as u64;
        // With the locks, which would keep it from being removed.
        drop(staged);
        if remove && found > 0 {
            self.room.reservations("")?;
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
        let _accounts = self.room.lock()?;
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
        let _accounts = self.room.lock()?;
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
        let _accounts = self.room.lock()?;
        match self.path(key) {
            Ok(path) if whole => self.room.discard(&path),
            Ok(path) => remove_content(&path),
            // Gone already.
            Err(_) => {}
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        // A key may come from an attribute that anybody has set on a file.
        let is_key = key.len() == KEY_LENGTH && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.room.versions().join(key);
        if is_key && path.is_dir() {
            return Ok(path);
        }
        let dir = self.room.root().parent().unwrap_or(Path::new("/"));
        Err(Error::NotFound(format!(
            "the version in the cache {}",
            dir.display()
        )))
    }
}

fn has_content(version: &Path) -> bool {
    version.join("pack").exists()
}

fn item(held: Held) -> Item {
    let meta = File::open(held.path.join("meta.json")).ok();
    let key = held.path.file_name().unwrap_or_default();
    Item {
        key: key.to_string_lossy().into_owned(),
        meta: meta.and_then(read_meta),
        name: read_name(&held.path),
        has_content: has_content(&held.path),
        on_disk: held.bytes(),
        content: held.content,
        used: held.used,
        pinned: held.pinned,
    }
}

fn read_name(version: &Path) -> Option<String> {
    let mut name = String::new();
    let file = File::open(version.join(NAME)).ok()?;
    file.take(NAME_BYTES).read_to_string(&mut name).ok()?;
    Some(name).filter(|name| !name.is_empty())
}

/// Writes a storage's name beside a version, where it is another than before.
/// A name is a convenience: that it cannot be written is no failure.
pub(in crate::store) fn note_name(version: &Path, name: &str) {
    if name.len() as u64 > NAME_BYTES || read_name(version).as_deref() == Some(name) {
        return;
    }
    // By a rename: others must not read half of it.
    let new = version.join(format!("{NAME}.{}", std::process::id()));
    let mut open = OpenOptions::new();
    let open = open.write(true).create(true).truncate(true).mode(0o600);
    let written = open
        .open(&new)
        .and_then(|mut file| io::Write::write_all(&mut file, name.as_bytes()))
        .and_then(|()| fs::rename(&new, version.join(NAME)));
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        tracing::debug!(%error, "could not note a name in the cache");
    }
}

fn size_of(path: &Path, depth: u32) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() && depth > 0 => {
            let below = entries(path).unwrap_or_default();
            below.iter().map(|path| size_of(path, depth - 1)).sum()
        }
        Ok(data) if data.is_file() => data.len(),
        _ => 0,
    }
}
