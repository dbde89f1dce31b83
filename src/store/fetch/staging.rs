//! A version in the making: a directory under `staging/` that one rename
//! turns into a sealed version, or that goes away whole.

use super::unpack::Unpacked;
use crate::store::{
    VersionKey,
    cache::{
        keepalive::Linger,
        quota::{OVERHEAD, PINNED, Room},
        version::Version,
    },
    crash::crash_point,
    durability::sync,
    index::format::HEADER,
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
    io::{self, BufWriter, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reserved at once beyond what is written: a scan of the cache for each step
/// is nothing beside writing this much.
const STEP: u64 = 32 << 20;
/// … but of a small cache no more than this part, or one download would take
/// the room of those beside it.
const STEP_SHARE: u64 = 16;

/// The directory, and the room that it has reserved.
pub(in crate::store) struct Staging {
    room: Arc<Room>,
    id: String,
    path: PathBuf,
    /// Held while this lives: what tells it from one that a crash left.
    lock: Flock<File>,
    reserved: u64,
    used: u64,
    sealed: bool,
}

impl Staging {
    pub(in crate::store) fn new(room: &Arc<Room>) -> Result<Self> {
        // Unguessable is not needed, unique is: the lock file is made exclusively.
        let random = RandomState::new().hash_one(std::time::Instant::now());
        let id = format!("{}-{random:016x}", std::process::id());
        let path = room.staging().join(&id);
        let context = || format!("making {}", path.display());
        // Under the lock: others take a directory without a held lock for dead.
        let accounts = room.lock()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path.with_extension("lock"))
            .map_err(|error| Error::io(context(), error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| Error::io(context(), error.into()))?;
        crash_point("staging-locked");
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io(context(), error))?;
        drop(accounts);
        crash_point("staging-made");
        Ok(Self {
            room: Arc::clone(room),
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

    /// Makes the `pack`, with the lock on it that keeps a version from being
    /// evicted: whoever reads it while it grows goes on afterwards.
    pub(in crate::store) fn create_pack(&self) -> Result<Flock<File>> {
        let file = self.create("pack")?;
        crash_point("pack-made");
        Flock::lock(file, FlockArg::LockSharedNonblock)
            .map_err(|(_, error)| Error::io("locking a file of the cache", error.into()))
    }

    /// The directory, to reach its files by wherever it is renamed to.
    pub(in crate::store) fn directory(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| Error::io("opening a directory of the cache", error))
    }

    /// Frees room on the disk where that is full below the ceiling; whether
    /// there was something to free.
    pub(in crate::store) fn relieve(&self) -> bool {
        self.room.relieve()
    }

    /// Refuses content that cannot fit at all.
    pub(in crate::store) fn check(&self, content: u64) -> Result<()> {
        self.room.check(content.saturating_add(OVERHEAD))
    }

    /// Reserves what is expected, before the first byte.
    pub(in crate::store) fn expect(&mut self, bytes: u64, progress: &Progress) -> Result<()> {
        let all = bytes.saturating_add(OVERHEAD);
        self.reserve(all, all, progress)
    }

    /// Accounts for bytes that are about to be written.
    pub(in crate::store) fn charge(&mut self, bytes: u64, progress: &Progress) -> Result<()> {
        let used = self.used.saturating_add(bytes);
        if used > self.reserved {
            let step = STEP.min(self.room.ceiling / STEP_SHARE);
            self.reserve(used, used.saturating_add(step), progress)?;
        }
        self.used = used;
        Ok(())
    }

    fn reserve(&mut self, least: u64, most: u64, progress: &Progress) -> Result<()> {
        let lock: &File = &self.lock;
        self.reserved = self
            .room
            .reserve(&self.id, least, most, progress, |bytes| {
                write_reservation(lock, bytes)
            })?;
        Ok(())
    }

    /// Writes the tree beside the content.
    pub(in crate::store) fn write_tree(
        &mut self,
        unpacked: &Unpacked,
        progress: &Progress,
    ) -> Result<()> {
        let length = unpacked.tree.file_length(&unpacked.packed);
        self.charge(length.saturating_add(OVERHEAD), progress)?;
        loop {
            match self.try_to_write(unpacked).map_err(failed) {
                Err(Error::NoSpace(_)) if self.relieve() => {
                    let _ = fs::remove_file(self.path.join("tree"));
                }
                result => break result?,
            }
        }
        progress.advance(0);
        crash_point("tree-written");
        Ok(())
    }

    /// Writes meta beside tree and content and makes all of it a version by
    /// one rename. Where another process was faster, its result stays. Gives
    /// the version's path where it is still to be synced.
    pub(in crate::store) fn seal(
        mut self,
        key: &VersionKey,
        meta: &Meta,
        progress: &Progress,
    ) -> Result<Option<PathBuf>> {
        // At once: unbuffered, each word would be a system call.
        let text = serde_json::to_vec_pretty(meta).map_err(|error| failed(error.into()))?;
        let mut file = self.create("meta.json")?;
        file.write_all(&text).map_err(failed)?;
        crash_point("meta-written");
        if meta.boot.is_none() {
            sync(&self.directory()?, &self.path).map_err(failed)?;
        }
        progress.advance(0);

        let target = self.room.versions().join(key.directory());
        let accounts = self.room.lock()?;
        crash_point("before-renames");
        if target.exists() {
            if Version::load(&target, key, &Linger::default())
                .is_some_and(|version| version.has_content())
            {
                return Ok(None);
            }
            if target.join(PINNED).exists() {
                // Under the lock: whoever pins meanwhile finds the new one.
                self.create(PINNED)?;
                File::open(&self.path)
                    .and_then(|dir| dir.sync_all())
                    .map_err(failed)?;
            }
            self.room.discard(&target);
            crash_point("old-removed");
        }
        fs::rename(&self.path, &target).map_err(failed)?;
        self.sealed = true;
        crash_point("sealed");
        let _ = fs::remove_file(self.path.with_extension("lock"));
        drop(accounts);
        Ok(Some(target).filter(|_| meta.boot.is_some()))
    }

    fn try_to_write(&self, unpacked: &Unpacked) -> io::Result<()> {
        let file = self.create("tree").map_err(io::Error::other)?;
        let mut writer = BufWriter::with_capacity(1 << 20, &file);
        writer.write_all(&[0; HEADER])?;
        let header = unpacked.tree.write_body(&mut writer, &unpacked.packed)?;
        writer.flush()?;
        drop(writer);
        crash_point("tree-half-written");
        (&file).rewind()?;
        (&file).write_all(&header.encode())
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("sealing a version in the cache", error)
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.sealed {
            // The lock file last: it is what says that the rest is alive.
            let _ = fs::remove_dir_all(&self.path);
            let _ = fs::remove_file(self.path.with_extension("lock"));
        }
    }
}

/// Writes a reservation in the form that [`read_reservation`] takes.
pub(in crate::store) fn write_reservation(mut file: &File, bytes: u64) -> io::Result<()> {
    // Fixed width: rewriting never leaves old digits behind.
    file.rewind()?;
    file.write_all(format!("{bytes:020}").as_bytes())
}

pub(in crate::store) fn read_reservation(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.parse().ok()
}
