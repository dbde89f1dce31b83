//! The versions in the cache as the quota counts them: how much each takes, when it was
//! last used, and whether it may be evicted.

use super::{presence, version::Present};
use crate::store::files::{self, BLOB, META, PACK, PINNED, PRESENT, SYNCED};
use crate::store::{durability::survived, meta::Meta};
use crate::{error::Result, sync::Mutex};
use std::{
    collections::HashMap,
    fs::{self, File},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What a version takes beside content and index: its directory, `meta.json`,
/// and the unused ends of the last blocks.
pub(in crate::store) const OVERHEAD: u64 = 16 << 10;

/// A version as the quota counts it.
pub(super) struct QuotaEntry {
    pub(super) path: PathBuf,
    /// Bytes of content, 0 if it is evicted.
    pub(super) content: u64,
    /// How much of the content is there.
    pub(super) present: Present,
    /// Bytes of the index, the seek index and the like.
    pub(super) rest: u64,
    pub(super) used: SystemTime,
    /// A user has pinned it.
    pub(super) pinned: bool,
    /// Not a whole version: it is of no use.
    pub(super) broken: bool,
}

/// Reads the entries of all versions.
#[derive(Default)]
pub(super) struct Entries {
    /// The figures of each version's `meta.json`, by the file's inode: the file is
    /// never written again, only replaced.
    known: Mutex<HashMap<u64, Known>>,
}

/// The part of a `meta.json` that the quota needs.
#[derive(Clone, Copy)]
struct Known {
    content: u64,
    rest: u64,
    /// Hash of the path, in case the inode number is used again.
    path: u64,
}

impl QuotaEntry {
    pub(super) fn bytes(&self) -> u64 {
        self.content + self.rest
    }

    /// Whether a user's pin keeps it: a broken version is not worth keeping.
    pub(super) fn is_kept(&self) -> bool {
        self.pinned && !self.broken
    }
}

impl Entries {
    /// The entries of all versions below `versions`. The caller takes the cache's lock if
    /// it acts on them.
    pub(super) fn read(&self, versions: &Path) -> Result<Vec<QuotaEntry>> {
        let paths = files::list(versions)?;
        let before = std::mem::take(&mut *self.known.lock());
        let mut known = HashMap::with_capacity(paths.len());
        let entries = paths
            .into_iter()
            .map(|path| entry(path, &before, &mut known))
            .collect();
        *self.known.lock() = known;
        Ok(entries)
    }
}

fn entry(
    path: PathBuf,
    before: &HashMap<u64, Known>,
    known: &mut HashMap<u64, Known>,
) -> QuotaEntry {
    let pinned = path.join(PINNED).exists();
    let present = present(&path);
    let mut whole = || -> Option<(u64, u64, SystemTime)> {
        let meta = path.join(META);
        let data = meta.symlink_metadata().ok()?;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&path);
        let found = match before.get(&data.ino()).filter(|known| known.path == hash) {
            Some(found) => *found,
            None => {
                let meta = Meta::read(File::open(&meta).ok()?)?;
                survived(&meta, || path.join(SYNCED).exists()).then_some(())?;
                Known {
                    content: meta.content_bytes,
                    rest: [meta.seek_bytes, OVERHEAD]
                        .into_iter()
                        .fold(meta.tree_bytes, u64::saturating_add),
                    path: hash,
                }
            }
        };
        known.insert(data.ino(), found);
        let content = match present {
            Present::None => 0,
            Present::Partly => content_on_disk(&path, found.content),
            Present::Whole => found.content,
        };
        Some((content, found.rest, data.modified().ok()?))
    };
    let found = whole();
    let broken = found.is_none();
    let (content, rest, used) = found.unwrap_or_else(|| {
        let files = files::list(&path).unwrap_or_default();
        let sizes = files.iter().filter_map(|file| file.metadata().ok());
        let rest = sizes.map(|data| data.len()).sum::<u64>() + OVERHEAD;
        (0, rest, SystemTime::UNIX_EPOCH)
    });
    QuotaEntry {
        path,
        content,
        present: match present {
            _ if broken => Present::None,
            // It has only been made ready to come.
            Present::Partly if content == 0 => Present::None,
            present => present,
        },
        rest,
        used,
        pinned,
        broken,
    }
}

/// How much of a version's content is there, by the names of its files.
pub(super) fn present(version: &Path) -> Present {
    match (version.join(PACK).exists(), version.join(PRESENT).exists()) {
        (false, _) => Present::None,
        (true, true) => Present::Partly,
        (true, false) => Present::Whole,
    }
}

/// Bytes of a version's content that count, where it has come in parts: what `present`
/// says, or all.
fn content_on_disk(version: &Path, all: u64) -> u64 {
    let present = File::open(version.join(PRESENT));
    let charged = present.and_then(|file| presence::charged(&file));
    charged.map_or(all, |charged| charged.min(all))
}

/// Removes a version's content, `pack` first: without it, blobs do not count.
pub(in crate::store) fn remove_content(version: &Path) {
    let _ = fs::remove_file(version.join(PACK));
    for path in files::list(version).unwrap_or_default() {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(BLOB.as_bytes()) || name == PRESENT.as_bytes() {
            let _ = fs::remove_file(path);
        }
    }
}
