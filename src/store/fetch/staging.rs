//! The directory of a fetch below `staging/`: one rename makes it a sealed version, or it
//! is removed as a whole, or it is left for another fetch to go on with.

use super::{download::Object, journal::Journal};
use crate::store::cache::{Keepalive, OVERHEAD, Quota, Version, lock_of, write_reservation};
use crate::store::files::{self, INDEX, META, PACK, PINNED, SEEK, make_directory};
use crate::store::{
    checksums::Packed,
    content_lock::ContentLock,
    crash::crash_point,
    durability::sync,
    index::{Records, format::Header},
    key::VersionKey,
    meta::{Meta, Verify},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes reserved ahead of what is written. Each reservation scans the cache, which costs
/// nothing beside writing this much.
const STEP: u64 = 32 << 20;
/// Of a small cache no more than this share is reserved ahead, or one fetch would take
/// the space of others.
const STEP_SHARE: u64 = 16;

/// The directory, and the bytes that it has reserved.
pub(in crate::store) struct Staging {
    quota: Arc<Quota>,
    id: String,
    path: PathBuf,
    /// Held while the fetch lives: tells its directory from one that a crash left.
    lock: Flock<File>,
    reserved: u64,
    used: u64,
    /// `None` where the fetch cannot be gone on with.
    journal: Option<Arc<Journal>>,
    /// The content that an earlier fetch has left.
    kept: Kept,
    /// Whether the directory is to stay: it is a version by now, or it can be gone on with.
    stays: bool,
}

/// How much there is of the content that an earlier fetch has left.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Bytes of the pack.
    pub(super) pack: u64,
    /// Bytes of each blob.
    pub(super) blobs: Vec<u64>,
}

impl Staging {
    pub(in crate::store) fn new(quota: &Arc<Quota>) -> Result<Self> {
        // A user who needed the disk may have removed the cache meanwhile.
        make_directory(&quota.versions())?;
        make_directory(&quota.staging())?;
        // The id need not be unguessable, only unique: the lock file is made exclusively.
        let random = RandomState::new().hash_one(std::time::Instant::now());
        let id = format!("{}-{random:016x}", std::process::id());
        let path = quota.staging().join(&id);
        let context = || format!("making {}", path.display());
        // Under the lock: other processes remove a directory whose lock file is not locked.
        let guard = quota.lock()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(lock_of(&path))
            .map_err(|error| Error::io(context(), error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| Error::io(context(), error.into()))?;
        crash_point("staging-locked");
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io(context(), error))?;
        drop(guard);
        crash_point("staging-made");
        Ok(Self::locked(quota, path, lock))
    }

    /// A fetch in this directory, whose lock file is locked.
    fn locked(quota: &Arc<Quota>, path: PathBuf, lock: Flock<File>) -> Self {
        let id = path.file_name().unwrap_or_default();
        Self {
            quota: Arc::clone(quota),
            id: id.to_string_lossy().into_owned(),
            path,
            lock,
            reserved: 0,
            used: 0,
            journal: None,
            kept: Kept::default(),
            stays: false,
        }
    }

    /// Takes over the directory of a fetch that was left; `None` if another process has it.
    ///
    /// # Errors
    /// Those of the cache's lock.
    pub(super) fn adopt(quota: &Arc<Quota>, path: &Path) -> Result<Option<Self>> {
        let _guard = quota.lock()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(lock_of(path));
        let lock = file.ok().and_then(|file| {
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            lock.ok().filter(|_| path.exists())
        });
        Ok(lock.map(|lock| Self::locked(quota, path.to_path_buf(), lock)))
    }

    /// Removes all but what is `kept` in a directory that was taken over, and goes on with so
    /// many bytes of its journal; false if that fails.
    pub(super) fn resume(&mut self, kept: Kept, journal: u64) -> bool {
        let cut = || -> io::Result<()> {
            let names = (0..kept.blobs.len()).map(|number| files::blob(number as u32));
            let mut lengths: HashMap<String, u64> = names.zip(kept.blobs.iter().copied()).collect();
            lengths.insert(PACK.into(), kept.pack);
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                match lengths.get(&name) {
                    Some(length) => self.open(&name)?.set_len(*length)?,
                    None if name == files::JOURNAL => {}
                    None => fs::remove_file(entry.path())?,
                }
            }
            Ok(())
        };
        crash_point("left-taken");
        let cut = cut();
        crash_point("left-cut");
        self.journal = match cut {
            Ok(()) => Journal::resume(&self.path, journal).map(Arc::new),
            Err(_) => None,
        };
        self.kept = kept;
        self.journal.is_some()
    }

    /// Begins to note what it takes to go on with the fetch of this object.
    pub(super) fn begin_journal(&mut self, key: &VersionKey, object: &Object) {
        self.journal = Journal::new(&self.path, key, object).map(Arc::new);
    }

    /// What it takes to go on with the fetch.
    pub(super) fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.clone()
    }

    /// Leaves the directory for another fetch to go on with, if that can be.
    pub(super) fn leave(mut self) {
        self.stays = self.journal.as_ref().is_some_and(|it| it.leave());
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Makes a file in it.
    pub(in crate::store) fn create(&self, name: &str) -> Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name))
            .map_err(|error| Error::io("making a file in the cache", error))
    }

    /// Makes the `pack`, or opens what was left of it, and locks it: readers of the partial
    /// version keep the sealed one from being evicted. Gives how many bytes are there.
    pub(super) fn create_pack(&self) -> Result<(ContentLock, u64)> {
        let pack = match self.open(PACK) {
            Ok(pack) => pack,
            Err(_) => self.create(PACK)?,
        };
        crash_point("pack-made");
        let lock = ContentLock::lock(pack)
            .map_err(|error| Error::io("locking a file of the cache", error))?;
        Ok((lock, self.kept.pack))
    }

    /// Makes a blob, or opens what was left of it; gives how many bytes of it are there.
    pub(super) fn create_blob(&self, number: u32) -> Result<(File, u64)> {
        let name = files::blob(number);
        match self.kept.blobs.get(number as usize) {
            None => Ok((self.create(&name)?, 0)),
            Some(kept) => {
                let file = self.open(&name);
                let opened = file.map(|file| (file, *kept));
                opened.map_err(|error| Error::io("opening a file of the cache", error))
            }
        }
    }

    /// The open directory, by which its files are reached also after the rename.
    pub(super) fn directory(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| Error::io("opening a directory of the cache", error))
    }

    /// The limit of the cache that it is of.
    pub(super) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Refuses content that cannot fit at all.
    pub(super) fn check(&self, content: u64) -> Result<()> {
        self.quota.check(content.saturating_add(OVERHEAD))
    }

    /// Reserves what is expected, before the first byte.
    pub(in crate::store) fn expect(&mut self, bytes: u64, progress: &Progress) -> Result<()> {
        let all = bytes.saturating_add(OVERHEAD);
        self.reserve(all, all, progress)
    }

    /// Counts bytes that are about to be written, and reserves more if needed.
    pub(super) fn charge(&mut self, bytes: u64, progress: &Progress) -> Result<()> {
        let noted = self.journal.as_ref().map_or(0, |it| it.growth());
        let used = self.used.saturating_add(bytes).saturating_add(noted);
        if used > self.reserved {
            let step = STEP.min(self.quota.ceiling() / STEP_SHARE);
            self.reserve(used, used.saturating_add(step), progress)?;
        }
        self.used = used;
        Ok(())
    }

    fn reserve(&mut self, least: u64, most: u64, progress: &Progress) -> Result<()> {
        let lock: &File = &self.lock;
        self.reserved = self
            .quota
            .reserve(&self.id, least, most, progress, |bytes| {
                write_reservation(lock, bytes)
            })?;
        Ok(())
    }

    /// Writes the index beside the content; returns its header.
    pub(super) fn write_index(
        &mut self,
        records: &Records,
        packed: &Packed,
        progress: &Progress,
    ) -> Result<Header> {
        let length = records.file_length(packed);
        self.charge(length.saturating_add(OVERHEAD), progress)?;
        let header = self.quota.with_room(|| {
            let file = self.create(INDEX)?;
            records.write(&file, packed).map_err(|error| {
                // Another try makes it anew.
                let _ = fs::remove_file(self.path.join(INDEX));
                failed(error)
            })
        })?;
        progress.advance(0);
        crash_point("tree-written");
        Ok(header)
    }

    /// Writes bytes of a file, and makes room for them on a full disk.
    fn put(&self, file: &File, bytes: &[u8], at: u64) -> Result<()> {
        let write = || file.write_all_at(bytes, at).map_err(failed);
        self.quota.with_room(write)
    }

    /// Writes a file.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8], progress: &Progress) -> Result<File> {
        self.charge(bytes.len() as u64, progress)?;
        let file = self.create(name)?;
        self.put(&file, bytes, 0)?;
        Ok(file)
    }

    /// Writes the seek index; returns its length. A version is whole without it: if it
    /// cannot be written, there is none, of length 0.
    pub(super) fn write_seek(&mut self, bytes: &[u8], progress: &Progress) -> u64 {
        let length = bytes.len() as u64;
        match self.write(SEEK, bytes, progress) {
            Ok(_) => length,
            Err(error) => {
                tracing::debug!("a version is kept without its seek index: {error}");
                let _ = fs::remove_file(self.path.join(SEEK));
                0
            }
        }
    }

    /// Writes `meta.json` beside index and content and makes the directory a version by
    /// one rename. If another process was faster, its version stays, if `verify` lets it. Returns the
    /// version's path if it must still be synced.
    pub(super) fn seal(
        &mut self,
        key: &VersionKey,
        meta: &Meta,
        verify: Verify,
        progress: &Progress,
    ) -> Result<Option<PathBuf>> {
        // Serialized first: written directly, each word would be a system call.
        let text = serde_json::to_vec_pretty(meta).map_err(|error| failed(error.into()))?;
        if let Some(journal) = &self.journal {
            journal.remove();
        }
        let file = self.create(META)?;
        self.put(&file, &text, 0)?;
        crash_point("meta-written");
        if meta.boot.is_none() {
            sync(&self.directory()?, &self.path).map_err(failed)?;
        }
        progress.advance(0);

        let target = self.quota.versions().join(key.directory());
        let before = || Version::load(&target, key, &Keepalive::default());
        // Without the lock: it can take seconds.
        if verify == Verify::Strict
            && let Some(before) = before()
        {
            before.prove(verify);
        }
        let guard = self.quota.lock()?;
        crash_point("before-renames");
        if target.exists() {
            if before().is_some_and(|version| version.has_content() && version.passes(verify)) {
                return Ok(None);
            }
            if target.join(PINNED).exists() {
                // Under the lock: a process that pins it meanwhile finds the new copy.
                self.create(PINNED)?;
                File::open(&self.path)
                    .and_then(|dir| dir.sync_all())
                    .map_err(failed)?;
            }
            self.quota.discard(&target);
            crash_point("old-removed");
        }
        fs::rename(&self.path, &target).map_err(failed)?;
        self.stays = true;
        crash_point("sealed");
        let _ = fs::remove_file(lock_of(&self.path));
        drop(guard);
        Ok(Some(target).filter(|_| meta.boot.is_some()))
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("sealing a version in the cache", error)
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.stays {
            // The lock file last: it shows that the rest is in use.
            let _ = fs::remove_dir_all(&self.path);
            let _ = fs::remove_file(lock_of(&self.path));
        }
    }
}
