//! Is a version in the cache still what was sealed? Checks the index by its
//! checksums, content by the version's id where that is its hash, and else by
//! the checksums that the index gives.

use super::{
    build::{Dirent, Sealed},
    evict::read_meta,
    format::{self, BLOCK},
    index::{Index, Location},
    linger::Linger,
    meta::{Verified, Verify},
    sums::sum,
    verify::Proof,
    version::{Version, open_in},
};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// How long an evictor's look at the content may keep this from its own: the
/// look takes microseconds, an eviction some milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// The id is still the hash of the content.
    Proven,
    /// The content has the checksums it was sealed with; the id is not a hash
    /// that could prove more.
    Complete,
    /// The index is good; the content is evicted.
    TreeOnly,
    /// Content is damaged, for this reason; the index is good.
    ContentDamaged(String),
    /// The version is no version, for this reason.
    Broken(String),
    /// It went away before it was looked at.
    Gone,
}

impl Audit {
    /// Whether something is wrong.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::ContentDamaged(_) | Self::Broken(_))
    }
}

pub(super) fn audit(path: &Path, name: &str, read: &mut dyn FnMut(u64)) -> Audit {
    let broken = |why: &str| match path.exists() {
        true => Audit::Broken(why.to_owned()),
        false => Audit::Gone,
    };
    let meta = File::open(path.join("meta.json")).ok();
    let Some(meta) = meta.and_then(read_meta) else {
        return broken("meta.json is missing or unreadable");
    };
    let Some(key) = meta.key().filter(|key| key.directory() == name) else {
        return broken("meta.json belongs to another version");
    };
    let Some(version) = Version::load(path, &key, &Linger::default()) else {
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
    let proof = (meta.verified == Verified::Yes).then(|| Proof::new(&key, Verify::Warn));
    match contents(&version, &pack, proof, read) {
        Err(why) => Audit::ContentDamaged(why),
        Ok(None) => Audit::Complete,
        Ok(Some(proof)) => match sealed(version.index()) {
            None => Audit::Broken("the index contradicts itself".into()),
            Some(sealed) => match proof.check(&key, &sealed) {
                Some(true) => Audit::Proven,
                Some(false) => {
                    Audit::ContentDamaged("the content has another hash than the id".into())
                }
                None => Audit::Complete,
            },
        },
    }
}

/// The open `pack`, kept from eviction; `None` where it is evicted.
fn content(version: &Version) -> Result<Option<Flock<File>>, String> {
    let started = Instant::now();
    loop {
        let Ok(file) = open_in(version.directory(), "pack") else {
            return Ok(None);
        };
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(pack) => {
                let data = pack.metadata().map_err(|error| error.to_string())?;
                let (is, was) = (data.len(), version.index().pack_length());
                return match std::os::unix::fs::MetadataExt::nlink(&data) {
                    0 => Ok(None),
                    _ if is != was => Err(format!("pack has {is} bytes instead of {was}")),
                    _ => Ok(Some(pack)),
                };
            }
            Err(_) if started.elapsed() < PATIENCE => thread::sleep(PATIENCE / 100),
            // An evictor has it: it is as good as gone.
            Err(_) => return Ok(None),
        }
    }
}

/// Reads every file, in the archive's order, which is that of the pack.
fn contents(
    version: &Version,
    pack: &File,
    mut proof: Option<Proof>,
    read: &mut dyn FnMut(u64),
) -> Result<Option<Proof>, String> {
    let index = version.index();
    if proof.is_none() {
        has_sums(index, pack, "pack", 0, index.pack_length(), read)?;
    }
    // Files share nothing: together they are no more than has checksums.
    let mut left = u64::from(index.sums()) * BLOCK as u64;
    for node in 0..index.len() {
        if index
            .record(node)
            .is_none_or(|record| record.kind != format::FILE)
        {
            continue;
        }
        let (location, size) = index
            .location(node)
            .ok_or("the index points outside of the content")?;
        left = left
            .checked_sub(size)
            .ok_or("the index has more files than content")?;
        let blob;
        let (file, start) = match location {
            Location::Pack(offset) => (pack, offset),
            Location::Blob(number) => {
                let name = format!("blob-{number}");
                blob = open_in(version.directory(), &name)
                    .map_err(|error| format!("{name}: {error}"))?;
                let length = blob.metadata().map_err(|error| error.to_string())?.len();
                if length != size {
                    return Err(format!("{name} has {length} bytes instead of {size}"));
                }
                if proof.is_none() {
                    let first = index.first_block(number).ok_or("no checksums")?;
                    has_sums(index, &blob, &name, first, size, read)?;
                }
                (&blob, 0)
            }
        };
        if let Some(proof) = &mut proof {
            let mut hash = Sha256::new();
            pieces(file, start, size, CHUNK, |_, piece| {
                hash.update(piece);
                read(piece.len() as u64);
                Ok(())
            })?;
            proof.add(node, hash.finalize().into());
        }
    }
    Ok(proof)
}

/// Whether all blocks of a file of content have their checksums, from `first` on.
fn has_sums(
    index: &Index,
    file: &File,
    name: &str,
    first: u64,
    length: u64,
    read: &mut dyn FnMut(u64),
) -> Result<(), String> {
    pieces(file, 0, length, BLOCK, |number, block| {
        read(block.len() as u64);
        match index.sum(first + number) == Some(sum(block)) {
            true => Ok(()),
            false => Err(format!("block {number} of {name} has another checksum")),
        }
    })
}

/// Reads `length` bytes from `start` on in pieces of `size`, and tells of each
/// with its number.
fn pieces(
    file: &File,
    start: u64,
    length: u64,
    size: usize,
    mut tell: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut buffer = vec![0; usize::try_from(length).map_or(size, |length| length.min(size))];
    for (number, done) in (0..length).step_by(size).enumerate() {
        let n = usize::try_from(length - done).map_or(size, |left| left.min(size));
        file.read_exact_at(&mut buffer[..n], start + done)
            .map_err(|error| format!("the content cannot be read: {error}"))?;
        tell(number as u64, &buffer[..n])?;
    }
    Ok(())
}

/// The index in the form in which the id is computed.
pub(super) fn sealed(index: &Index) -> Option<Sealed> {
    let nodes: Option<Vec<_>> = (0..index.len()).map(|node| index.record(node)).collect();
    let mut tree = Sealed {
        nodes: nodes?,
        dirents: Vec::new(),
        arena: Vec::new(),
    };
    for dir in 0..index.len() {
        for position in 0..index.child_count(dir) {
            let (name, node) = index.child_at(dir, position)?;
            // Directories that share entries would be more than the index holds.
            let most = index.dirents() as usize;
            (node < index.len() && tree.dirents.len() < most).then_some(())?;
            let offset = u32::try_from(tree.arena.len()).ok()?;
            let length = u16::try_from(name.len()).ok()?;
            tree.dirents.push(Dirent::new(dir, offset, length, node));
            tree.arena.extend_from_slice(name);
        }
    }
    Some(tree)
}
