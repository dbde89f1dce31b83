//! Checks whether a version in the cache is still what was sealed: the index by its
//! checksums, the content by the version's id if that is its hash, and otherwise by
//! the checksums in the index.

use super::{
    keepalive::Keepalive,
    presence::Presence,
    proof::{HASHED_HOLES, Proof},
    version::Version,
};
use crate::store::checksums::{BLOCK, checksum};
use crate::store::content_lock::ContentLock;
use crate::store::files::{self, META, PACK};
use crate::store::index::holes::{self, Failed, Full, Pieces};
use crate::store::index::{Location, format, format::DIGEST, restore};
use crate::store::meta::{Meta, Verified, Verify};
use sha2::{Digest, Sha256};
use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Tries to lock the content, half a second in all: a process that only looks holds the
/// lock for microseconds, one that evicts for some milliseconds.
const TRIES: u32 = 2500;

/// The result of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// The id is still the hash of the content.
    Proven,
    /// The content has the checksums it was sealed with; the id is not a hash
    /// that could prove more.
    Complete,
    /// The index is good, and so is the content that has come; not all has.
    Partly,
    /// The index is good; the content is evicted.
    TreeOnly,
    /// Content is damaged, for this reason; the index is good.
    ContentDamaged(String),
    /// The version is not usable, for this reason.
    Broken(String),
    /// The version was removed before it was read.
    Gone,
}

impl Audit {
    /// Whether something is wrong.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::ContentDamaged(_) | Self::Broken(_))
    }
}

pub(in crate::store) fn audit(path: &Path, name: &str, read: &mut dyn FnMut(u64)) -> Audit {
    let broken = |why: &str| match path.exists() {
        true => Audit::Broken(why.to_owned()),
        false => Audit::Gone,
    };
    let meta = File::open(path.join(META)).ok();
    let Some(meta) = meta.and_then(Meta::read) else {
        return broken("meta.json is missing or unreadable");
    };
    let Some(key) = meta.key().filter(|key| key.directory() == name) else {
        return broken("meta.json belongs to another version");
    };
    let Some(version) = Version::load(path, &key, &Keepalive::default()) else {
        return broken("the index is missing, cut or damaged");
    };
    if !version.index().verify() {
        return broken("the index has not the checksum that it was sealed with");
    }
    let pack = match content(&version) {
        Ok(Some(pack)) => pack,
        Ok(None) => return Audit::TreeOnly,
        Err(why) => return Audit::ContentDamaged(why),
    };
    match Presence::open(version.directory(), version.index().header().sums.into()) {
        Ok(None) => {}
        Ok(Some(presence)) => {
            return match blocks(&version, pack.pack(), Some(&presence), read) {
                Ok(()) => Audit::Partly,
                Err(why) => Audit::ContentDamaged(why),
            };
        }
        Err(error) => return Audit::ContentDamaged(error.to_string()),
    }
    let (index, is_proven) = (version.index(), meta.verified == Verified::Yes);
    let compare = |node, hash| match index.digest(node) == Some(hash) {
        true => Ok(()),
        false => Err("the content has another hash than when it was sealed".into()),
    };
    let all = match (is_proven, index.lacks_digests()) {
        (true, true) => complete(&version, pack.pack(), read),
        (true, false) => contents(&version, pack.pack(), read, |_| true, compare),
        (false, _) => contents(&version, pack.pack(), read, |_| false, compare)
            .and_then(|()| blocks(&version, pack.pack(), None, read)),
    };
    match all {
        Err(why) => Audit::ContentDamaged(why),
        // Digests that cannot be written prove nothing.
        Ok(()) if !is_proven || index.lacks_digests() => Audit::Complete,
        Ok(()) => match restore(version.index()) {
            None => Audit::Broken("the index contradicts itself".into()),
            Some(records) => match Proof::new(&key, Verify::Warn).check(&key, &records) {
                Some(true) => Audit::Proven,
                Some(false) => {
                    Audit::ContentDamaged("the content has another hash than the id".into())
                }
                None => Audit::Complete,
            },
        },
    }
}

/// The lock on the content; `None` if that is evicted.
fn content(version: &Version) -> Result<Option<ContentLock>, String> {
    // Without file descriptors the content cannot be checked: that is no damage.
    let lock = ContentLock::take(version.directory(), TRIES).ok().flatten();
    let was = version.index().header().pack;
    match lock.as_ref().and_then(ContentLock::length) {
        Some(is) if is != was => Err(format!("pack has {is} bytes instead of {was}")),
        _ => Ok(lock),
    }
}

/// Whether the blocks that have come, or all, have their checksums.
fn blocks(
    version: &Version,
    pack: &File,
    presence: Option<&Presence>,
    read: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let index = version.index();
    let size = BLOCK as u64;
    let mut buffer = vec![0; BLOCK];
    for part in 0..=index.header().blobs {
        let blocks = index.blocks_of(part as usize);
        let blocks = blocks.ok_or("the index contradicts itself")?;
        let first = blocks.start;
        let name = part.checked_sub(1).map_or(PACK.to_owned(), files::blob);
        let mut blob = None;
        let has_come = |block: &u64| presence.is_none_or(|presence| presence.has(*block));
        for block in blocks.filter(has_come) {
            let file = match (part, &mut blob) {
                (0, _) => pack,
                (_, Some(blob)) => blob,
                (_, none) => none.insert(
                    files::open(version.directory(), &name)
                        .map_err(|error| format!("{name}: {error}"))?,
                ),
            };
            let at = (block - first) * size;
            let left = file
                .metadata()
                .map_or(0, |data| data.len().saturating_sub(at));
            let buffer = &mut buffer[..left.min(size) as usize];
            file.read_exact_at(buffer, at)
                .map_err(|error| format!("{name}: {error}"))?;
            read(buffer.len() as u64);
            if index.checksum(block) != Some(checksum(buffer)) {
                let block = block - first;
                return Err(format!("block {block} of {name} has another checksum"));
            }
        }
    }
    Ok(())
}

/// Adds the digests that an index lacks, made of the content, if they are those that it has
/// the checksums of.
fn complete(version: &Version, pack: &File, read: &mut dyn FnMut(u64)) -> Result<(), String> {
    let Some(digests) = hashes(version, read)? else {
        return blocks(version, pack, None, read);
    };
    match version.add_digests(&digests) {
        Ok(false) => Err("the content has other hashes than its index".into()),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// The SHA-256 of files, as the index has them, made of the content; `None` where not all of
/// that is on disk.
///
/// # Errors
/// Why the content cannot be read.
pub(in crate::store) fn hashes(
    version: &Version,
    read: &mut dyn FnMut(u64),
) -> Result<Option<Vec<u8>>, String> {
    let index = version.index();
    let held = version.lock().map_err(|error| error.to_string())?;
    // A lock that was taken while the content came in parts knows it so until it is dropped.
    let is_whole = |presence: &Arc<Presence>| presence.absent(presence.all()).is_empty();
    let Some(held) = held.filter(|held| held.presence.as_ref().is_none_or(is_whole)) else {
        return Ok(None);
    };
    let mut hashes = vec![[0; DIGEST]; index.header().digests as usize];
    let place = |node, hash| {
        let number = index.digest_number(node).map(usize::try_from);
        let place = number.and_then(|number| hashes.get_mut(number.ok()?));
        place
            .map(|place| *place = hash)
            .ok_or("the index contradicts itself".into())
    };
    let is_wanted = |node| index.is_hashed(node);
    contents(version, held.content.pack(), read, is_wanted, place)?;
    Ok(Some(hashes.into_flattened()))
}

/// Finds every file, in the archive's order, which is that of the pack. Reads those that are
/// `wanted`, and tells the SHA-256 of each.
fn contents(
    version: &Version,
    pack: &File,
    read: &mut dyn FnMut(u64),
    wanted: impl Fn(u32) -> bool,
    mut tell: impl FnMut(u32, [u8; DIGEST]) -> Result<(), String>,
) -> Result<(), String> {
    let index = version.index();
    // Files share no content: together they are no longer than what has checksums.
    let mut left = u64::from(index.header().sums) * BLOCK as u64;
    let mut zeros = HASHED_HOLES;
    for node in 0..index.len() {
        let record = index.record(node);
        if record.is_none_or(|record| record.kind != format::FILE) {
            continue;
        }
        let (location, stored) = index
            .location(node)
            .ok_or("the index points outside of the content")?;
        left = left
            .checked_sub(stored)
            .ok_or("the index has more files than content")?;
        let blob;
        let (file, start) = match location {
            Location::Pack(offset) => (pack, offset),
            Location::Blob(number) => {
                let name = files::blob(number);
                blob = files::open(version.directory(), &name)
                    .map_err(|error| format!("{name}: {error}"))?;
                let length = blob.metadata().map_err(|error| error.to_string())?.len();
                if length != stored {
                    return Err(format!("{name} has {length} bytes instead of {stored}"));
                }
                (&blob, 0)
            }
        };
        if wanted(node) {
            let mut hash = Sha256::new();
            let add = |piece: &[u8]| {
                hash.update(piece);
                read(piece.len() as u64);
            };
            match index.holes(node) {
                None => pieces(file, start, &Full(stored), add)?,
                Some(holes) => {
                    // A proven version has no more holes than are hashed.
                    zeros = zeros
                        .checked_sub(holes.size() - stored)
                        .ok_or("the index has more holes than were hashed")?;
                    pieces(file, start, &holes.of(index), add)?;
                }
            }
            tell(node, hash.finalize().into())?;
        }
    }
    Ok(())
}

/// Reads a file whose stored bytes begin at `start`, holes included, and calls `tell` for
/// each piece.
fn pieces(
    file: &File,
    start: u64,
    of: &impl Pieces,
    mut tell: impl FnMut(&[u8]),
) -> Result<(), String> {
    let read = |at: u64, part: &mut [u8]| file.read_exact_at(part, start.saturating_add(at));
    let most = |left: u64| usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
    let mut buffer = vec![0; most(of.size())];
    for done in (0..of.size()).step_by(CHUNK) {
        let buffer = &mut buffer[..most(of.size() - done)];
        holes::fill(of, done, buffer, read).map_err(|failed| match failed {
            Failed::Read(error) => format!("the content cannot be read: {error}"),
            Failed::Map => "the index contradicts itself about a file's holes".into(),
        })?;
        tell(buffer);
    }
    Ok(())
}
