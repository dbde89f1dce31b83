//! Is a version in the cache still what was sealed? Checks the index by its
//! checksums, content by the version's id where that is its hash, and else by
//! the checksums that the index gives.

use super::{
    keepalive::Linger,
    proof::Proof,
    quota::read_meta,
    version::{Version, open_in},
};
use crate::store::{
    checksums::sum,
    fetch::unpack::HASHED_HOLES,
    index::{
        builder::Dirent,
        format::{self, BLOCK},
        holes::{self, Failed},
        reader::{Index, Location},
        records::Sealed,
    },
    meta::{Verified, Verify},
};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Bytes of all names and targets (of `Limits`, and what makes them fit chunks).
const ARENA: usize = 512 << 20;
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

pub(in crate::store) fn audit(path: &Path, name: &str, read: &mut dyn FnMut(u64)) -> Audit {
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
    let mut zeros = HASHED_HOLES;
    for node in 0..index.len() {
        if index
            .record(node)
            .is_none_or(|record| record.kind != format::FILE)
        {
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
                let name = format!("blob-{number}");
                blob = open_in(version.directory(), &name)
                    .map_err(|error| format!("{name}: {error}"))?;
                let length = blob.metadata().map_err(|error| error.to_string())?.len();
                if length != stored {
                    return Err(format!("{name} has {length} bytes instead of {stored}"));
                }
                if proof.is_none() {
                    let first = index.first_block(number).ok_or("no checksums")?;
                    has_sums(index, &blob, &name, first, stored, read)?;
                }
                (&blob, 0)
            }
        };
        if let Some(proof) = &mut proof {
            let mut hash = Sha256::new();
            let mut add = |_, piece: &[u8]| {
                hash.update(piece);
                read(piece.len() as u64);
                Ok(())
            };
            match index.holes(node) {
                None => pieces(file, start, stored, CHUNK, add)?,
                Some(holes) => {
                    let of = holes.of(index);
                    let read = |at: u64, buf: &mut [u8]| {
                        holes::fill(&of, at, buf, |at, part| {
                            file.read_exact_at(part, start.saturating_add(at))
                        })
                    };
                    // Where it is proven, holes were within what is hashed.
                    zeros = zeros
                        .checked_sub(holes.size() - stored)
                        .ok_or("the index has more holes than were hashed")?;
                    in_pieces(holes.size(), CHUNK, read, &mut add)?;
                }
            }
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
    tell: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let read = |at: u64, buf: &mut [u8]| {
        let at = start.saturating_add(at);
        file.read_exact_at(buf, at).map_err(Failed::Read)
    };
    in_pieces(length, size, read, tell)
}

fn in_pieces(
    length: u64,
    size: usize,
    read: impl Fn(u64, &mut [u8]) -> Result<(), Failed<io::Error>>,
    mut tell: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut buffer = vec![0; usize::try_from(length).map_or(size, |length| length.min(size))];
    for (number, done) in (0..length).step_by(size).enumerate() {
        let n = usize::try_from(length - done).map_or(size, |left| left.min(size));
        read(done, &mut buffer[..n]).map_err(|failed| match failed {
            Failed::Read(error) => format!("the content cannot be read: {error}"),
            Failed::Map => "the index contradicts itself about a file's holes".into(),
        })?;
        tell(number as u64, &buffer[..n])?;
    }
    Ok(())
}

/// The index in the form in which the id is computed.
pub(in crate::store) fn sealed(index: &Index) -> Option<Sealed> {
    let nodes: Option<Vec<_>> = (0..index.len()).map(|node| index.record(node)).collect();
    let mut tree = Sealed {
        nodes: nodes?,
        ..Sealed::default()
    };
    for dir in 0..index.len() {
        let count = index.child_count(dir);
        if count > 0 {
            let record = &mut tree.nodes[dir as usize];
            (record.location, record.children) = (tree.dirents.len() as u64, count);
        }
        for position in 0..count {
            let (name, node) = index.child_at(dir, position)?;
            // Directories that share entries would be more than the index holds.
            let most = index.dirents() as usize;
            (node < index.len() && tree.dirents.len() < most).then_some(())?;
            let here = u32::try_from(tree.dirents.len()).ok()?;
            if let Some(own) = index.original(dir, position) {
                let (offset, length) = keep(&mut tree.arena, own)?;
                tree.longs.push((here, offset, length));
            }
            let (offset, length) = keep(&mut tree.arena, name)?;
            let length = u16::try_from(length).ok()?;
            tree.dirents.push(Dirent::new(dir, offset, length, node));
        }
    }
    for node in 0..index.len() {
        if let Some(target) = index.target(node) {
            let (offset, _) = keep(&mut tree.arena, target)?;
            tree.nodes[node as usize].location = u64::from(offset);
        }
    }
    Some(tree)
}

/// Puts a text into an arena; gives its offset and length. `None` where an index
/// that lies makes it larger than any is.
fn keep(arena: &mut Vec<u8>, text: &[u8]) -> Option<(u32, u32)> {
    let offset = u32::try_from(arena.len()).ok()?;
    (arena.len() + text.len() <= ARENA).then(|| arena.extend_from_slice(text))?;
    Some((offset, u32::try_from(text.len()).ok()?))
}
