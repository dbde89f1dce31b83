//! A `tar.gz` stream becomes numbered files and a tree. Names from the
//! archive go into the tree only, never to the host.
//!
//! As GNU tar where it matters: leading slashes and `.` are removed, a hard
//! link names an earlier entry, the last entry of a name wins, execute is the
//! only permission kept. Skipped, counted and logged: names with `..` or NUL,
//! devices, fifos, sockets, hard links without their target, symlinks without
//! one. An entry below something that is not a directory replaces it by one.

mod entries;
mod gzip;
mod inflate;
mod pax;

use super::{
    Limits, VersionKey,
    build::{Builder, ROOT, Sealed},
    format::{self, Record},
    growing::Growing,
    meta::{Verified, Verify},
    pack::{Packed, Packer},
    staging::Staging,
    verify::Proof,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use entries::{Entries, Entry, Piece};
use inflate::Inflated;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use tar::EntryType;

/// Zeros after the end mark: tar pads to 10 KiB, tapes to some MiB.
const TRAILING: u64 = 64 << 20;
/// What headers and padding may take beside content: a base, and for each
/// entry its own header, padding, and a pax header or long name of some blocks.
const OVERHEAD: u64 = 64 << 20;
const OVERHEAD_ENTRY: u64 = 16 << 10;
/// What paths may cost together, where a byte is 1 and a component, which is looked
/// up, [`COMPONENT`]: a base, and so much for each entry. Of usual entries it is half
/// of that. One global header can give every entry a path of 64 KiB.
const PATHS: u64 = 256 << 20;
const PATHS_ENTRY: u64 = 512;
const COMPONENT: u64 = 16;
/// Skipped entries that are logged one by one; the rest are only counted.
const LOGGED: u64 = 10;

/// Why unpacking stopped.
#[derive(Debug)]
enum Fault {
    /// The archive is broken.
    Bad(String),
    /// The archive is too much.
    Limit(String),
    /// Not the archive's fault.
    Other(Error),
}

impl Fault {
    /// An error of the stream: the source's own, or what inflating found.
    fn read(error: io::Error, position: u64) -> Self {
        match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
            Some(error) => Self::Other(error.clone()),
            None => Self::Bad(format!(
                "the compressed data is broken at byte {position} of its content: {error}"
            )),
        }
    }

    fn of(self, key: &VersionKey) -> Error {
        let version = key.version_id.to_string();
        match self {
            Self::Bad(detail) => Error::BadArchive { version, detail },
            Self::Limit(detail) => Error::Limit { version, detail },
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What unpacking gave.
pub(super) struct Unpacked {
    pub(super) tree: Sealed,
    pub(super) packed: Packed,
    pub(super) skipped: u64,
    proof: Proof,
}

impl Unpacked {
    /// Whether the version's id is the hash of its content, as far as that can
    /// be told.
    ///
    /// # Errors
    /// [`Error::BadArchive`] where it is not, and is to be.
    pub(super) fn prove(&self, key: &VersionKey, verify: Verify) -> Result<Verified> {
        let verified = match self.proof.check(key, &self.tree) {
            Some(true) => Verified::Yes,
            Some(false) => Verified::No,
            None => Verified::NotApplicable,
        };
        if verified == Verified::No && verify == Verify::Strict {
            let detail = "the version's id is not the hash of its content; --verify=warn shows \
                          it anyway";
            return Err(Fault::Bad(detail.into()).of(key));
        }
        if verified == Verified::No {
            tracing::warn!(
                version = %key.version_id,
                "the version's id is not the hash of its content"
            );
        }
        Ok(verified)
    }
}

/// What to unpack, and for whom.
pub(super) struct Job<'a> {
    pub(super) key: &'a VersionKey,
    pub(super) limits: &'a Limits,
    pub(super) declared: Option<u64>,
    pub(super) verify: Verify,
    /// Where it may be looked at meanwhile.
    pub(super) growing: &'a Growing,
    /// Tells those who look.
    pub(super) arrived: &'a (dyn Fn() + Sync),
    pub(super) progress: &'a Progress,
}

/// Unpacks the whole of `source` into `staging`.
pub(super) fn unpack(
    source: impl Read + Send,
    staging: &mut Staging,
    job: &Job<'_>,
) -> Result<Unpacked> {
    let Job { key, limits, .. } = *job;
    let allowed = job.declared.map_or(u64::MAX, |declared| {
        declared
            .saturating_mul(limits.slack_factor)
            .saturating_add(limits.slack_bytes)
    });
    let unpacker = Unpacker {
        packer: Packer::new(staging, job.growing, job.progress),
        growing: job.growing,
        proof: Proof::new(key, job.verify),
        limits,
        declared: job.declared,
        allowed,
        content: 0,
        entries: 0,
        paths: 0,
        skipped: 0,
    };
    let (blocks, used, inflated) = inflate::pair(job.arrived);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("vm0fs-inflate".into())
            .spawn_scoped(scope, || inflate::inflate(source, blocks, used))
            .map_err(Error::no_thread)?;
        unpacker.run(inflated, key).map_err(|fault| fault.of(key))
    })
}

struct Unpacker<'a> {
    packer: Packer<'a>,
    growing: &'a Growing,
    proof: Proof,
    limits: &'a Limits,
    declared: Option<u64>,
    /// Bytes of content that may come.
    allowed: u64,
    content: u64,
    entries: u64,
    /// What paths have cost.
    paths: u64,
    skipped: u64,
}

impl Unpacker<'_> {
    fn run(mut self, inflated: Inflated<'_>, key: &VersionKey) -> Result<Unpacked, Fault> {
        let mut entries = Entries::new(inflated);
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            self.check(&entry, entries.position())?;
            if let Err(why) = self.place(&entry, &mut entries)? {
                self.proof.give_up();
                self.skipped += 1;
                if self.skipped <= LOGGED {
                    tracing::warn!(
                        version = %key.version_id,
                        path = %entry.path.escape_ascii(),
                        "archive entry skipped: {why}"
                    );
                }
            }
        }
        entries.drain(TRAILING)?;
        let packed = self.packer.finish()?;
        let tree = self.growing.take_tree().seal();
        Ok(Unpacked {
            tree,
            packed,
            skipped: self.skipped,
            proof: self.proof,
        })
    }

    /// Holds the entry against the limits, before any of its content is read.
    fn check(&mut self, entry: &Entry, position: u64) -> Result<(), Fault> {
        if self.entries > u64::from(self.limits.entries) {
            return Err(Fault::Limit(format!(
                "more than {} entries",
                self.limits.entries
            )));
        }
        self.content = self.content.saturating_add(entry.size);
        if self.content > self.allowed {
            return Err(Fault::Limit(format!(
                "it unpacks to at least {} bytes, while {} were declared ({} are allowed)",
                self.content,
                self.declared.unwrap_or(0),
                self.allowed
            )));
        }
        self.packer.check(self.content)?;
        let overhead = OVERHEAD + self.entries * OVERHEAD_ENTRY;
        if position > self.content.saturating_add(overhead) {
            return Err(Fault::Limit(format!(
                "headers of more than {overhead} bytes for {} entries",
                self.entries
            )));
        }
        Ok(())
    }

    /// Puts one entry into the tree; the inner error says why it is skipped.
    fn place(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<'_>,
    ) -> Result<Result<(), &'static str>, Fault> {
        let Some(path) = self.components(&entry.path)? else {
            return Ok(Err("its name holds `..` or NUL"));
        };
        let slash = entry.path.ends_with(b"/");
        let kind = match entry.kind {
            // Old tars mark directories by a slash only.
            EntryType::Regular | EntryType::Continuous if slash => EntryType::Directory,
            // What an incremental GNU tar writes for a directory.
            kind if kind.as_byte() == b'D' => EntryType::Directory,
            kind => kind,
        };
        let record = Record {
            mtime: entry.mtime,
            ..Record::default()
        };
        let Some((name, parents)) = path.split_last() else {
            // The version itself.
            if kind.is_dir() {
                self.growing.tree().set_directory(ROOT, entry.mtime);
                return Ok(Ok(()));
            }
            return Ok(Err("it has no name"));
        };
        match kind {
            EntryType::Directory => {
                let mut tree = self.growing.tree();
                let parent = make(&mut tree, parents)?;
                let node = tree.directory(parent, name).map_err(Fault::Limit)?;
                tree.set_directory(node, entry.mtime);
            }
            EntryType::Symlink => {
                if entry.link.len() > self.limits.target as usize {
                    return Err(Fault::Limit(format!(
                        "a symlink's target of {} bytes; {} are allowed",
                        entry.link.len(),
                        self.limits.target
                    )));
                }
                if entry.link.is_empty() || entry.link.contains(&0) {
                    return Ok(Err("a symlink without a usable target"));
                }
                self.proof.give_up();
                let mut tree = self.growing.tree();
                let parent = make(&mut tree, parents)?;
                let location = tree.store(&entry.link).map_err(Fault::Limit)?;
                let record = Record {
                    kind: format::SYMLINK,
                    size: entry.link.len() as u64,
                    location: u64::from(location),
                    ..record
                };
                tree.insert(parent, name, record).map_err(Fault::Limit)?;
            }
            EntryType::Link => {
                let path = self.components(&entry.link)?.unwrap_or_default();
                let mut tree = self.growing.tree();
                let Some(target) = find(&tree, &path) else {
                    return Ok(Err(
                        "a hard link to what the archive does not hold before it",
                    ));
                };
                // Its folder would have to take the target's place.
                if parents.starts_with(&path) {
                    return Ok(Err("a hard link below its own target"));
                }
                self.proof.give_up();
                let parent = make(&mut tree, parents)?;
                tree.link(parent, name, target).map_err(Fault::Limit)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Ok(Err("a device or fifo"));
            }
            kind if matches!(kind.as_byte(), b'V' | b'M' | b'N') => {
                return Ok(Err("a volume label or continuation"));
            }
            // POSIX: an unknown type is a regular file.
            _ => {
                let (location, blob) = self.packer.begin(entry.size)?;
                let mut flags = if blob { format::BLOB } else { 0 };
                if entry.mode & 0o111 != 0 {
                    flags |= format::EXECUTABLE;
                }
                let record = Record {
                    kind: format::FILE,
                    size: entry.size,
                    location,
                    flags,
                    ..record
                };
                // Before its content has come: it is readable as far as that has.
                let node = {
                    let mut tree = self.growing.tree();
                    let parent = make(&mut tree, parents)?;
                    tree.insert(parent, name, record).map_err(Fault::Limit)?
                };
                let digest = self.content(entries)?;
                if let Some(digest) = digest {
                    self.proof.add(node, digest);
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes the content of the entry begun; gives its digest.
    fn content(&mut self, entries: &mut Entries<'_>) -> Result<Option<[u8; 32]>, Fault> {
        let mut hash = self.proof.wanted().then(Sha256::new);
        loop {
            match entries.body()? {
                Piece::Data(data) => {
                    if let Some(hash) = &mut hash {
                        hash.update(data);
                    }
                    self.packer.write(data)?;
                }
                Piece::Hole(length) => {
                    if let Some(hash) = &mut hash {
                        let zeros = [0; 4096];
                        let mut left = length;
                        while left > 0 {
                            let n = left.min(4096);
                            hash.update(&zeros[..n as usize]);
                            left -= n;
                        }
                    }
                    self.packer.hole(length)?;
                }
                Piece::End => break,
            }
        }
        self.packer.end();
        Ok(hash.map(|hash| hash.finalize().into()))
    }

    /// A path's components; `None` where it must be skipped.
    fn components<'p>(&mut self, path: &'p [u8]) -> Result<Option<Vec<&'p [u8]>>, Fault> {
        let limit = |what: &str, is: usize, most: u32| {
            Err(Fault::Limit(format!("{what} of {is}; {most} are allowed")))
        };
        if path.len() > self.limits.path as usize {
            return limit("a path length", path.len(), self.limits.path);
        }
        // Before anything reads it through.
        self.paths += path.len() as u64;
        let allowed = PATHS + PATHS_ENTRY * self.entries;
        if self.paths > allowed {
            return Err(Fault::Limit(format!(
                "paths of more than {allowed} bytes for {} entries (a component counts {COMPONENT} more)",
                self.entries
            )));
        }
        if path.contains(&0) {
            return Ok(None);
        }
        let components: Vec<&[u8]> = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .collect();
        self.paths += COMPONENT * components.len() as u64;
        if components.contains(&&b".."[..]) {
            return Ok(None);
        }
        if let Some(name) = components
            .iter()
            .find(|name| name.len() > self.limits.name as usize)
        {
            return limit("a name length", name.len(), self.limits.name);
        }
        if components.len() > self.limits.depth as usize {
            return limit("a depth", components.len(), self.limits.depth);
        }
        Ok(Some(components))
    }
}

/// The directory of that path, made where it is missing.
fn make(tree: &mut Builder, parents: &[&[u8]]) -> Result<u32, Fault> {
    parents.iter().try_fold(ROOT, |dir, name| {
        tree.directory(dir, name).map_err(Fault::Limit)
    })
}

/// What a hard link may name: a file or symlink of that path.
fn find(tree: &Builder, path: &[&[u8]]) -> Option<u32> {
    let node = path
        .iter()
        .try_fold(ROOT, |dir, name| tree.child(dir, name))?;
    (tree.record(node)?.kind != format::DIRECTORY).then_some(node)
}
