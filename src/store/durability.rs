//! Syncs sealed versions to the disk while they are already in use.
//!
//! Waiting for the disk would delay every reader, and only a crash of the
//! machine makes a difference: a killed process loses nothing. So a version
//! is sealed at once with the id of the machine's boot in its `meta.json`. A thread
//! syncs it a second later, and then marks it with the file `synced`. If the process ends
//! first, the next one that opens the cache syncs it. A version that
//! was sealed in an earlier boot and has no mark may have lost data: it is treated as
//! absent.

use super::{
    crash::crash_point,
    files::{self, META, PACK, SYNCED},
    meta::Meta,
};
use crate::{malloc, proc, sync::Mutex, threads};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

/// How long the thread that syncs waits before it begins: the first readers of the version
/// that started it need processors and disk. Tests kill a process at each step of
/// syncing, and would wait a second for it.
const DELAY: Duration = match cfg!(debug_assertions) {
    true => Duration::ZERO,
    false => Duration::from_secs(1),
};

/// The id of the machine's current boot, if the system has one.
pub(super) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    BOOT.get_or_init(proc::boot_id).as_deref()
}

/// Whether a version cannot have lost data in a crash of the machine. `marked` looks for
/// the mark.
pub(super) fn survived(meta: &Meta, marked: impl FnOnce() -> bool) -> bool {
    // A version without a boot id was synced before it was sealed.
    meta.boot.is_none() || meta.boot.as_deref() == boot() || marked()
}

/// Syncs and marks versions, one after another: a disk can be slower than the fetches.
#[derive(Clone, Default)]
pub(super) struct Syncer {
    /// The versions that wait; `None` while no thread syncs.
    waiting: Arc<Mutex<Option<VecDeque<PathBuf>>>>,
}

impl Syncer {
    /// Has the directories of versions synced and marked by the thread that does so, which
    /// is started if there is none.
    pub(super) fn sync_later(&self, versions: Vec<PathBuf>) {
        if versions.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if let Some(waiting) = &mut *waiting {
            waiting.extend(versions);
            return;
        }
        let syncer = self.clone();
        match threads::start("vm0fs-sync", move || syncer.run()) {
            Ok(_) => *waiting = Some(versions.into()),
            Err(error) => {
                tracing::debug!(%error, "could not start syncing; versions count until the next boot");
            }
        }
    }

    fn run(&self) {
        thread::sleep(DELAY);
        while let Some(version) = self.next() {
            work(&version);
            // Unpacking has allocated memory for each entry.
            malloc::give_back();
        }
    }

    /// The next version; without one, the thread ends.
    fn next(&self) -> Option<PathBuf> {
        let mut waiting = self.waiting.lock();
        let next = waiting.as_mut()?.pop_front();
        if next.is_none() {
            *waiting = None;
        }
        next
    }
}

fn work(version: &Path) {
    let Ok(directory) = File::open(version) else {
        // Evicted already.
        return;
    };
    match sync(&directory, version) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(
                path = %version.display(),
                "a version in the cache could not be brought to the disk and is given up: {error}"
            );
            files::remove(&directory, PACK);
        }
    }
}

/// Syncs all files in a version's directory and its name, and then makes the mark.
pub(super) fn sync(directory: &File, path: &Path) -> io::Result<()> {
    let meta = Meta::read(files::open(directory, META)?);
    if meta.is_none_or(|meta| meta.boot.is_some() && meta.boot.as_deref() != boot()) {
        // Sealed in an earlier boot: syncing now would not bring back what was lost.
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        match files::open(directory, &name.to_string_lossy()) {
            Ok(file) => file.sync_all()?,
            // Evicted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    directory.sync_all()?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    crash_point("synced");
    files::create(directory, SYNCED)?.sync_all()?;
    crash_point("marked");
    directory.sync_all()
}
