//! The directory of a fetch below `staging/`: one rename makes it a sealed version, or it
//! is removed as a whole.

use crate::store::cache::{Keepalive, OVERHEAD, Quota, Version, lock_of, write_reservation};
use crate::store::files::{INDEX, META, PACK, PINNED, SEEK, make_directory};
use crate::store::{
    checksums::Packed,
    content_lock::ContentLock,
    crash::crash_point,
    durability::sync,
    index::{Records, format::Header},
    key::VersionKey,
    meta::Meta,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
};

/// Bytes reserved ahead of what is written. Each reservation scans the cache, which costs
/// nothing beside writing this much.
const STEP: u64 = 32 << 20;
/// Bytes that are copied at once: they stay in the CPU's cache.
const CHUNK: usize = 256 << 10;
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
    sealed: bool,
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
        Ok(Self {
            quota: Arc::clone(quota),
            id,
            path,
            lock,
            reserved: 0,
            used: 0,
            sealed: false,
        })
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

    /// Makes the `pack` and locks it: readers of the partial version keep the sealed one
    /// from being evicted.
    pub(super) fn create_pack(&self) -> Result<ContentLock> {
        let pack = self.create(PACK)?;
        crash_point("pack-made");
        ContentLock::lock(pack).map_err(|error| Error::io("locking a file of the cache", error))
    }

    /// The open directory, by which its files are reached also after the rename.
    pub(super) fn directory(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| Error::io("opening a directory of the cache", error))
    }

    /// Evicts for a disk that is full below the cache's maximum size; whether there was
    /// content to evict.
    pub(super) fn relieve(&self) -> bool {
        self.quota.relieve()
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
        let used = self.used.saturating_add(bytes);
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
        let header = loop {
            let file = self.create(INDEX);
            match file.and_then(|file| records.write(&file, packed).map_err(failed)) {
                Err(Error::NoSpace(_)) if self.relieve() => {
                    let _ = fs::remove_file(self.path.join(INDEX));
                }
                result => break result?,
            }
        };
        progress.advance(0);
        crash_point("tree-written");
        Ok(header)
    }

    /// Writes a file.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8], progress: &Progress) -> Result<File> {
        self.charge(bytes.len() as u64, progress)?;
        let mut file = self.create(name)?;
        file.write_all(bytes).map_err(failed)?;
        Ok(file)
    }

    /// Writes a file of so many bytes from a source; `None` if that has fewer or fails.
    pub(super) fn copy(
        &mut self,
        name: &str,
        source: &mut impl Read,
        length: u64,
        progress: &Progress,
    ) -> Result<Option<File>> {
        self.charge(length, progress)?;
        let mut file = self.create(name)?;
        let mut bytes = vec![0; CHUNK];
        let mut left = length;
        while left > 0 {
            let now = &mut bytes[..left.min(CHUNK as u64) as usize];
            if source.read_exact(now).is_err() {
                return Ok(None);
            }
            file.write_all(now).map_err(failed)?;
            left -= now.len() as u64;
        }
        Ok(Some(file))
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
    /// one rename. If another process was faster, its version stays. Returns the
    /// version's path if it must still be synced.
    pub(super) fn seal(
        mut self,
        key: &VersionKey,
        meta: &Meta,
        progress: &Progress,
    ) -> Result<Option<PathBuf>> {
        // Serialized first: written directly, each word would be a system call.
        let text = serde_json::to_vec_pretty(meta).map_err(|error| failed(error.into()))?;
        let mut file = self.create(META)?;
        file.write_all(&text).map_err(failed)?;
        crash_point("meta-written");
        if meta.boot.is_none() {
            sync(&self.directory()?, &self.path).map_err(failed)?;
        }
        progress.advance(0);

        let target = self.quota.versions().join(key.directory());
        let guard = self.quota.lock()?;
        crash_point("before-renames");
        if target.exists() {
            if Version::load(&target, key, &Keepalive::default())
                .is_some_and(|version| version.has_content())
            {
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
        self.sealed = true;
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
        if !self.sealed {
            // The lock file last: it shows that the rest is in use.
            let _ = fs::remove_dir_all(&self.path);
            let _ = fs::remove_file(lock_of(&self.path));
        }
    }
}
