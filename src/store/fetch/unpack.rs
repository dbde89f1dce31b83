//! Unpacks a `tar.gz` stream into numbered files and an index. Names from the
//! archive go into the index only, never to the host's file system.
//!
//! As GNU tar does: leading slashes and `.` are removed, a hard link names an earlier
//! entry, and the last entry of a name wins. Execute is the only permission that is
//! kept. These entries are left out, counted, logged and listed in an attribute: names
//! with `..` or NUL, paths too long or too deep, devices, fifos, sockets, hard links
//! without their target, symlinks without one or with one that no system call returns.
//! A name too long for a directory is shortened. If an entry lies below a file or
//! symlink, a directory replaces that.

mod entries;
mod fault;
mod gzip;
mod hashing;
mod inflate;
mod kinds;
mod numbers;
mod paths;
mod pax;
mod sparse;
mod stream;

use super::{
    journal::Kind, packer::Packer, partial::PartialVersion, replay::Replay, request::FetchRequest,
    skeleton::Skeleton, staging::Staging,
};
use crate::store::cache::{HASHED_HOLES, Proof, Written, files_with_links};
use crate::store::index::format::{self, ROOT, Record};
use crate::store::index::{Builder, Index, Records, holes::Map};
use crate::store::meta::{Verified, Verify};
use crate::store::seek::{Draft, Extents, Recorder, Start, WAITING, prove_all};
use crate::store::{checksums::Packed, key::VersionKey, limits::Limits};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::one_line,
    threads,
};
use entries::{Entries, Entry};
use fault::{Fault, omit};
use hashing::Hashing;
use paths::{Component, Paths, enter, find, is_below};
use std::{
    io::Read,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
};
use stream::Stream;
use tar::EntryType;

/// Zeros after the end mark: tar pads to 10 KiB, tapes to some MiB.
const TRAILING: u64 = 64 << 20;
/// Maximum size of headers and padding beside content: a base, and for each
/// entry its own header, padding, and a pax header or long name of some blocks.
const OVERHEAD: u64 = 64 << 20;
const OVERHEAD_ENTRY: u64 = 16 << 10;
/// Entries left out that are listed one by one; the rest are only counted.
const TOLD: u64 = 10;
/// Characters of one in the list.
const TOLD_LENGTH: usize = 120;

/// The result of unpacking.
pub(super) struct Unpacked {
    pub(super) records: Records,
    pub(super) packed: Packed,
    pub(super) written: Option<Written>,
    /// Entries left out: how many, and the first ones with their reasons.
    pub(super) skipped: u64,
    pub(super) omitted: Vec<String>,
    proof: Proof,
    /// Files that the archive should have, if it ended without its end mark.
    expected: Option<u64>,
    extents: Extents,
}

impl Unpacked {
    /// Whether the version's id is the hash of its content, as far as that can
    /// be known.
    ///
    /// # Errors
    /// [`Error::BadArchive`] if it is not and `verify` is strict, and if the archive is
    /// cut.
    pub(super) fn prove(&self, key: &VersionKey, verify: Verify) -> Result<Verified> {
        let verified = match self.proof.check(key, &self.records) {
            Some(true) => Verified::Yes,
            Some(false) => Verified::No,
            None => Verified::NotApplicable,
        };
        if verified != Verified::Yes
            && let Some(expected) = self.expected
        {
            let came = self.records.files().0;
            let is_whole = came == expected
                || came + self.skipped == expected
                || files_with_links(&self.records) == Some(expected);
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

    /// Gives the nodes the numbers that they are known by ([`Records::number_as`]).
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn number_as(&mut self, known: &Index, job: &Job<'_>) -> Result<bool> {
        let most = job.limits.numbers;
        let numbered = self.records.number_as(known, &self.packed, most);
        numbered.map_err(|error| Fault::from(error).of(&job.request.key))
    }
}

/// What to unpack, and under which limits.
pub(super) struct Job<'a> {
    pub(super) request: &'a FetchRequest<'a>,
    pub(super) verify: Verify,
    pub(super) limits: &'a Limits,
    /// Where readers find it meanwhile.
    pub(super) partial: &'a PartialVersion,
    pub(super) progress: &'a Progress,
}

/// Unpacks the whole of `source` into `staging`, after what is `left` there of an earlier
/// fetch; returns also how to read a part of it again.
pub(super) fn unpack(
    source: impl Read + Send,
    staging: &mut Staging,
    left: Option<(Start, Replay)>,
    job: &Job<'_>,
) -> Result<(Unpacked, Draft)> {
    let Job {
        request,
        verify,
        limits,
        partial,
        progress,
    } = *job;
    let key = &request.key;
    let allowed = request.declared_size.map_or(u64::MAX, |declared| {
        declared
            .saturating_mul(limits.slack_factor)
            .saturating_add(limits.slack_bytes)
    });
    let journal = staging.journal();
    let journal = journal.as_deref();
    let (mut start, replay) = match left {
        Some((start, replay)) => (start, Some(replay)),
        None => (Start::New, None),
    };
    let known = replay.as_ref().map_or(0, Replay::end);
    let skeleton = Skeleton::new(journal, partial.pack(), known);
    let blob_end = Arc::<AtomicU64>::default();
    let unpacker = Unpacker {
        packer: Packer::new(staging, partial, progress),
        request,
        limits,
        partial,
        progress,
        proof: Proof::new(key, verify),
        allowed,
        content: 0,
        entries: 0,
        paths: Paths::default(),
        holes: 0,
        skipped: 0,
        omitted: Vec::new(),
        extents: Extents::default(),
        blob_end: Arc::clone(&blob_end),
    };
    let (blocks, used, inflated) = inflate::pair(request.on_partial);
    let (candidates, to_prove) = sync_channel(WAITING);
    let windows = Arc::<AtomicU64>::default();
    let recorder = Recorder::new(candidates, Arc::clone(&windows), blob_end, &start);
    let proved = start.take_proved();
    let note = |record: &[u8]| {
        if let Some(journal) = journal {
            journal.note(Kind::Point, record);
        }
    };
    std::thread::scope(|scope| {
        let prove = || prove_all(to_prove, &windows, proved, note);
        let proving =
            threads::start_scoped(scope, "vm0fs-seek", prove).map_err(Error::no_thread)?;
        let inflate = || {
            let left = (start, replay);
            inflate::inflate(source, recorder, left, journal, (blocks, used))
        };
        let inflating =
            threads::start_scoped(scope, "vm0fs-inflate", inflate).map_err(Error::no_thread)?;
        let stream = Stream::new(inflated, skeleton);
        let mut unpacked = unpacker.run(stream).map_err(|fault| fault.of(key))?;
        let draft = Draft {
            recorded: inflating
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic)),
            proved: proving.join().unwrap_or_else(|panic| resume_unwind(panic)),
            extents: std::mem::take(&mut unpacked.extents),
        };
        Ok((unpacked, draft))
    })
}

/// Entries between two signs of progress: unpacking an archive that has arrived may take
/// long, and no deadline may end it.
const ALIVE: u64 = 1024;

struct Unpacker<'a> {
    packer: Packer<'a>,
    request: &'a FetchRequest<'a>,
    limits: &'a Limits,
    partial: &'a PartialVersion,
    progress: &'a Progress,
    proof: Proof,
    /// Maximum size of the content, in bytes.
    allowed: u64,
    content: u64,
    entries: u64,
    paths: Paths,
    /// Bytes of holes that were hashed so far.
    holes: u64,
    skipped: u64,
    omitted: Vec<String>,
    extents: Extents,
    /// Where the newest blob ends in the tar stream, for the thread that inflates.
    blob_end: Arc<AtomicU64>,
}

impl Unpacker<'_> {
    fn run(mut self, stream: Stream<'_>) -> Result<Unpacked, Fault> {
        let mut entries = Entries::new(stream, self.limits);
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            if self.entries.is_multiple_of(ALIVE) {
                self.progress.advance(0);
            }
            self.check(&entry, entries.stream.position())?;
            match self.place(&entry, &mut entries) {
                Err(Fault::Entry(why)) => self.leave_out(&entry, &why),
                result => result?,
            }
        }
        // So that the compression is checked to its end.
        entries.stream.drain(TRAILING)?;
        let (packed, written) = self.packer.finish()?;
        let records = self.partial.take_index().seal();
        Ok(Unpacked {
            records,
            packed,
            written,
            skipped: self.skipped,
            omitted: self.omitted,
            proof: self.proof,
            extents: self.extents,
            expected: self.request.declared_files.filter(|_| !entries.has_ended()),
        })
    }

    /// Counts an entry that is left out, and lists it.
    fn leave_out(&mut self, entry: &Entry, why: &str) {
        self.proof.doubt();
        self.skipped += 1;
        if self.skipped > TOLD {
            return;
        }
        let path = String::from_utf8_lossy(&entry.path);
        let path = one_line(&path, TOLD_LENGTH / 2);
        let version = &self.request.key.version_id;
        tracing::warn!(%version, path, "archive entry left out: {why}");
        self.omitted
            .push(one_line(&format!("{path}: {why}"), TOLD_LENGTH));
    }

    /// Checks the entry against the limits, before any of its content is read.
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
                self.request.declared_size.unwrap_or(0),
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

    /// Puts one entry into the index; [`Fault::Entry`] if it is left out.
    fn place(&mut self, entry: &Entry, entries: &mut Entries<'_>) -> Result<(), Fault> {
        let path = self
            .paths
            .components(&entry.path, self.limits, self.entries)?;
        let kind = kind_of(entry);
        let Some((_, parents)) = path.split_last() else {
            // The version itself.
            if kind.is_dir() {
                self.partial.index().set_directory(ROOT, entry.mtime);
                return Ok(());
            }
            return omit("it has no name");
        };
        match kind {
            EntryType::Directory => {
                let mut index = self.partial.index();
                let node = enter(&mut index, &path, Builder::directory)?;
                index.set_directory(node, entry.mtime);
                Ok(())
            }
            EntryType::Symlink => self.symlink(entry, &path),
            EntryType::Link => {
                let target = self
                    .paths
                    .components(&entry.link, self.limits, self.entries)
                    .map_err(|fault| match fault {
                        Fault::Entry(why) => Fault::Entry(format!("its target: {why}")),
                        fault => fault,
                    })?;
                let mut index = self.partial.index();
                let Some(node) = find(&index, &target) else {
                    return omit("a hard link to what the archive does not hold before it");
                };
                // A directory would have to replace the target.
                if is_below(parents, &target) {
                    return omit("a hard link below its own target");
                }
                enter(&mut index, &path, |index, dir, name| {
                    index.link(dir, name, node).map(|()| node)
                })?;
                Ok(())
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => omit("a device or fifo"),
            kind if matches!(kind.as_byte(), b'V' | b'M' | b'N') => {
                omit("a volume label or continuation")
            }
            // POSIX: an unknown type is a regular file.
            _ => self.file(entry, &path, entries),
        }
    }

    fn symlink(&self, entry: &Entry, path: &[Component<'_>]) -> Result<(), Fault> {
        let (length, most) = (entry.link.len(), self.limits.target);
        if length > most as usize {
            return omit(format!(
                "a symlink's target of {length} bytes; {most} are shown"
            ));
        }
        if length == 0 || entry.link.contains(&0) {
            return omit("a symlink without a usable target");
        }
        enter(&mut self.partial.index(), path, |index, dir, name| {
            let record = Record {
                kind: format::SYMLINK,
                size: length as u64,
                location: u64::from(index.store(&entry.link)?),
                mtime: entry.mtime,
                ..Record::default()
            };
            index.insert(dir, name, record)
        })?;
        Ok(())
    }

    fn file(
        &mut self,
        entry: &Entry,
        path: &[Component<'_>],
        entries: &mut Entries<'_>,
    ) -> Result<(), Fault> {
        let (location, blob) = self.packer.begin(entry.stored)?;
        entries.stream.write_to(blob.then_some(location as u32));
        if blob {
            let end = entries.stream.position();
            let end = end.saturating_add(entries.stream.body());
            self.blob_end.store(end, Ordering::Relaxed);
        }
        let mut flags = if blob { format::BLOB } else { 0 };
        if entry.mode & 0o111 != 0 {
            flags |= format::EXECUTABLE;
        }
        let record = Record {
            kind: format::FILE,
            size: entry.size,
            location,
            flags,
            mtime: entry.mtime,
            ..Record::default()
        };
        // Before its content has come: readers can read what has come of it.
        let mut index = self.partial.index();
        let node = enter(&mut index, path, |index, dir, name| {
            index.insert(dir, name, record)
        })?;
        if let Some(holes) = &entry.holes {
            index.set_holes(node, Arc::clone(holes))?;
        }
        drop(index);
        let holes = self.holes.saturating_add(entry.size - entry.stored);
        let is_hashed = holes <= HASHED_HOLES;
        if is_hashed {
            self.holes = holes;
        }
        if let Some(digest) = self.content(entries, entry.holes.as_deref(), is_hashed)? {
            self.partial.index().set_digest(node, digest);
        }
        Ok(())
    }

    /// Writes the content of the current entry; returns its digest if it is to be hashed.
    fn content(
        &mut self,
        entries: &mut Entries<'_>,
        holes: Option<&Map>,
        is_hashed: bool,
    ) -> Result<Option<[u8; 32]>, Fault> {
        self.extents
            .push(entries.stream.position(), entries.stream.body());
        let mut hash = is_hashed.then(|| Hashing::new(holes));
        loop {
            let data = entries.stream.next_of_body()?;
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

/// The kind of an entry: that in its header, except for two ways to write a directory.
fn kind_of(entry: &Entry) -> EntryType {
    match entry.kind {
        // Old tar programs mark directories by a slash only.
        EntryType::Regular | EntryType::Continuous if entry.path.ends_with(b"/") => {
            EntryType::Directory
        }
        // An incremental GNU tar writes directories so.
        kind if kind.as_byte() == b'D' => EntryType::Directory,
        kind => kind,
    }
}
