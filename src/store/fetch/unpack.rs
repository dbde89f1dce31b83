//! A `tar.gz` stream becomes numbered files and a tree. Names from the
//! archive go into the tree only, never to the host.
//!
//! As GNU tar where it matters: leading slashes and `.` are removed, a hard
//! link names an earlier entry, the last entry of a name wins, execute is the
//! only permission kept. Left out, counted, logged and told in an attribute: names
//! with `..` or NUL, paths too long or too deep, devices, fifos, sockets, hard links
//! without their target, symlinks without one or with one that no system call gives.
//! A name too long for a directory is shortened. An entry below something that is
//! not a directory replaces it by one.

mod entries;
mod gzip;
mod hashing;
mod inflate;
mod kinds;
mod numbers;
mod paths;
mod pax;
mod sparse;

use super::{
    pack::{Packed, Packer},
    partial::Growing,
    staging::Staging,
};
use crate::store::{
    Limits, VersionKey,
    cache::proof::{self, Proof},
    index::{
        builder::ROOT,
        format::{self, Record},
        holes::Map,
        records::Sealed,
    },
    meta::{Verified, Verify},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::one_line,
};
use entries::{Entries, Entry};
use hashing::Hashing;
use inflate::Inflated;
use kinds::Other;
use paths::{Paths, find, is_below, make};
use std::{
    io::{self, Read},
    sync::Arc,
};
use tar::EntryType;

/// Zeros after the end mark: tar pads to 10 KiB, tapes to some MiB.
const TRAILING: u64 = 64 << 20;
/// What headers and padding may take beside content: a base, and for each
/// entry its own header, padding, and a pax header or long name of some blocks.
const OVERHEAD: u64 = 64 << 20;
const OVERHEAD_ENTRY: u64 = 16 << 10;
/// Zeros of holes that are hashed for the proof of content: half a second. The
/// content of more cannot be proven.
pub(in crate::store) const HASHED_HOLES: u64 = 1 << 30;
/// Entries left out that are told one by one; the rest are only counted.
const TOLD: u64 = 10;
/// Characters of what is told of one.
const TOLD_LENGTH: usize = 120;

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
        let inner = error.get_ref();
        if let Some(other) = inner.and_then(|error| error.downcast_ref::<Other>()) {
            return Self::Bad(other.to_string());
        }
        match inner.and_then(|error| error.downcast_ref::<Error>()) {
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
pub(in crate::store) struct Unpacked {
    pub(in crate::store) tree: Sealed,
    pub(in crate::store) packed: Packed,
    /// Entries left out: how many, and of the first ones which and why.
    pub(in crate::store) skipped: u64,
    pub(in crate::store) omitted: Vec<String>,
    proof: Proof,
    /// Files that the archive ought to have, where it ended without its end mark.
    expected: Option<u64>,
}

impl Unpacked {
    /// Whether the version's id is the hash of its content, as far as that can
    /// be told.
    ///
    /// # Errors
    /// [`Error::BadArchive`] where it is not, and is to be, and where the archive is
    /// not whole.
    pub(in crate::store) fn prove(&self, key: &VersionKey, verify: Verify) -> Result<Verified> {
        let verified = match self.proof.check(key, &self.tree) {
            Some(true) => Verified::Yes,
            Some(false) => Verified::No,
            None => Verified::NotApplicable,
        };
        if verified != Verified::Yes
            && let Some(expected) = self.expected
        {
            let came = self.tree.files().0;
            let is_whole = came == expected
                || came + self.skipped == expected
                || proof::files_with_links(&self.tree) == Some(expected);
            if !is_whole {
                let detail = format!(
                    "it ends without its end mark after {came} files, while {expected} were \
                     declared: it is cut"
                );
                return Err(Fault::Bad(detail).of(key));
            }
        }
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
pub(in crate::store) struct Job<'a> {
    pub(in crate::store) key: &'a VersionKey,
    pub(in crate::store) limits: &'a Limits,
    /// Bytes and files that the service declared.
    pub(in crate::store) declared: Option<u64>,
    pub(in crate::store) declared_files: Option<u64>,
    pub(in crate::store) verify: Verify,
    /// Where it may be looked at meanwhile.
    pub(in crate::store) growing: &'a Growing,
    /// Tells those who look.
    pub(in crate::store) arrived: &'a (dyn Fn() + Sync),
    pub(in crate::store) progress: &'a Progress,
}

/// Unpacks the whole of `source` into `staging`.
pub(in crate::store) fn unpack(
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
        progress: job.progress,
        growing: job.growing,
        proof: Proof::new(key, job.verify),
        limits,
        declared: job.declared,
        declared_files: job.declared_files,
        allowed,
        content: 0,
        entries: 0,
        paths: Paths::default(),
        holes: 0,
        skipped: 0,
        omitted: Vec::new(),
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

/// Entries between two signs of life: an archive that has come whole can take its
/// time to be unpacked, and no deadline is to end that.
const ALIVE: u64 = 1024;

struct Unpacker<'a> {
    packer: Packer<'a>,
    progress: &'a Progress,
    growing: &'a Growing,
    proof: Proof,
    limits: &'a Limits,
    declared: Option<u64>,
    declared_files: Option<u64>,
    /// Bytes of content that may come.
    allowed: u64,
    content: u64,
    entries: u64,
    paths: Paths,
    /// Bytes of holes so far.
    holes: u64,
    skipped: u64,
    omitted: Vec<String>,
}

impl Unpacker<'_> {
    fn run(mut self, inflated: Inflated<'_>, key: &VersionKey) -> Result<Unpacked, Fault> {
        let mut entries = Entries::new(inflated, self.limits);
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            if self.entries.is_multiple_of(ALIVE) {
                self.progress.advance(0);
            }
            self.check(&entry, entries.position())?;
            if let Err(why) = self.place(&entry, &mut entries)? {
                self.leave_out(&entry, &why, key);
            }
        }
        entries.drain(TRAILING)?;
        let packed = self.packer.finish()?;
        let tree = self.growing.take_tree().seal();
        Ok(Unpacked {
            tree,
            packed,
            skipped: self.skipped,
            omitted: self.omitted,
            proof: self.proof,
            expected: self.declared_files.filter(|_| !entries.has_ended()),
        })
    }

    /// Counts an entry that is not shown, and tells of it.
    fn leave_out(&mut self, entry: &Entry, why: &str, key: &VersionKey) {
        self.proof.doubt();
        self.skipped += 1;
        if self.skipped > TOLD {
            return;
        }
        let path = String::from_utf8_lossy(&entry.path);
        let path = one_line(&path, TOLD_LENGTH / 2);
        tracing::warn!(version = %key.version_id, path, "archive entry left out: {why}");
        self.omitted
            .push(one_line(&format!("{path}: {why}"), TOLD_LENGTH));
    }

    /// Holds the entry against the limits, before any of its content is read.
    fn check(&mut self, entry: &Entry, position: u64) -> Result<(), Fault> {
        if self.entries > u64::from(self.limits.entries) {
            return Err(Fault::Limit(format!(
                "more than {} entries",
                self.limits.entries
            )));
        }
        self.content = self.content.saturating_add(entry.stored);
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
    ) -> Result<Result<(), String>, Fault> {
        let omit = |why: &str| Ok(Err(why.to_owned()));
        let path = self
            .paths
            .components(&entry.path, self.limits, self.entries)?;
        let path = match path {
            Ok(path) => path,
            Err(why) => return Ok(Err(why)),
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
            return omit("it has no name");
        };
        match kind {
            EntryType::Directory => {
                let mut tree = self.growing.tree();
                let parent = make(&mut tree, parents)?;
                let node = tree.directory(parent, &name.name).map_err(Fault::Limit)?;
                name.note(&mut tree, parent)?;
                tree.set_directory(node, entry.mtime);
            }
            EntryType::Symlink => {
                if entry.link.len() > self.limits.target as usize {
                    let (is, most) = (entry.link.len(), self.limits.target);
                    return omit(&format!(
                        "a symlink's target of {is} bytes; {most} are shown"
                    ));
                }
                if entry.link.is_empty() || entry.link.contains(&0) {
                    return omit("a symlink without a usable target");
                }
                let mut tree = self.growing.tree();
                let parent = make(&mut tree, parents)?;
                let location = tree.store(&entry.link).map_err(Fault::Limit)?;
                let record = Record {
                    kind: format::SYMLINK,
                    size: entry.link.len() as u64,
                    location: u64::from(location),
                    ..record
                };
                tree.insert(parent, &name.name, record)
                    .map_err(Fault::Limit)?;
                name.note(&mut tree, parent)?;
            }
            EntryType::Link => {
                let target = self
                    .paths
                    .components(&entry.link, self.limits, self.entries)?;
                let target_path = match target {
                    Ok(path) => path,
                    Err(why) => return Ok(Err(format!("its target: {why}"))),
                };
                let mut tree = self.growing.tree();
                let Some(target) = find(&tree, &target_path) else {
                    return omit("a hard link to what the archive does not hold before it");
                };
                // Its folder would have to take the target's place.
                if is_below(parents, &target_path) {
                    return omit("a hard link below its own target");
                }
                let parent = make(&mut tree, parents)?;
                tree.link(parent, &name.name, target)
                    .map_err(Fault::Limit)?;
                name.note(&mut tree, parent)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return omit("a device or fifo");
            }
            kind if matches!(kind.as_byte(), b'V' | b'M' | b'N') => {
                return omit("a volume label or continuation");
            }
            // POSIX: an unknown type is a regular file.
            _ => {
                let (location, blob) = self.packer.begin(entry.stored)?;
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
                    let node = tree
                        .insert(parent, &name.name, record)
                        .map_err(Fault::Limit)?;
                    name.note(&mut tree, parent)?;
                    if let Some(holes) = &entry.holes {
                        tree.set_holes(node, Arc::clone(holes))
                            .map_err(Fault::Limit)?;
                    }
                    node
                };
                self.holes = self.holes.saturating_add(entry.size - entry.stored);
                if self.holes > HASHED_HOLES {
                    self.proof.give_up();
                }
                let digest = self.content(entries, entry.holes.as_deref())?;
                if let Some(digest) = digest {
                    self.proof.add(node, digest);
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes the content of the entry begun; gives its digest.
    fn content(
        &mut self,
        entries: &mut Entries<'_>,
        holes: Option<&Map>,
    ) -> Result<Option<[u8; 32]>, Fault> {
        let mut hash = self.proof.wanted().then(|| Hashing::new(holes));
        loop {
            let data = entries.next_of_body()?;
            if data.is_empty() {
                break;
            }
            if let Some(hash) = &mut hash {
                hash.add(data);
            }
            self.packer.write(data)?;
        }
        self.packer.end();
        Ok(hash.map(Hashing::finish))
    }
}
