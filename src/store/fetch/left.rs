//! A fetch that was left, by a process that has ended or because its download failed, and
//! how another goes on with it.

use super::{
    download::Object,
    journal::{Kind, Records},
    replay::Replay,
    skeleton::{self, HEADER, Part},
    staging::{Kept, Staging},
};
use crate::store::cache::Quota;
use crate::store::files;
use crate::store::key::VersionKey;
use crate::store::seek::{Checkpoints, Start};
use crate::{error::Result, proc::Process};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How often in a row processes may go on with a fetch and end before anything comes of
/// it: going on may be what ends them.
const IN_VAIN: u32 = 3;
/// How long the end of a process is waited for that was killed: its memory is freed before
/// its files are closed.
const ENDING: Duration = Duration::from_millis(500);
/// Time between two looks.
const TICK: Duration = Duration::from_millis(2);

/// A fetch to go on with.
pub(super) struct Left {
    /// The object that it is of.
    pub(super) object: Object,
    /// Where the archive is entered.
    pub(super) start: Start,
    /// The tar stream so far.
    pub(super) replay: Replay,
}

impl Left {
    /// Takes over the fetch that was left of a version; `None` if there is none, or none
    /// that is of use.
    ///
    /// # Errors
    /// Those of the cache's lock.
    pub(super) fn find(quota: &Arc<Quota>, key: &VersionKey) -> Result<Option<(Staging, Self)>> {
        let began = Instant::now();
        loop {
            let mut is_ending = false;
            for path in candidates(quota, key) {
                let Some(mut staging) = Staging::adopt(quota, &path)? else {
                    is_ending |= owner(&path).is_ending();
                    continue;
                };
                // One that is of no use is removed with its directory.
                if let Some((left, kept, length)) = Self::read(&path, key)
                    && staging.resume(kept, length)
                {
                    return Ok(Some((staging, left)));
                }
                let version = &key.version_id;
                tracing::info!(%version, "what is left of its download is of no use");
            }
            if !is_ending || began.elapsed() >= ENDING {
                return Ok(None);
            }
            thread::sleep(TICK);
        }
    }

    /// Reads what was left in a directory: also what of its content is of use, and the
    /// length of the journal about that.
    fn read(path: &Path, key: &VersionKey) -> Option<(Self, Kept, u64)> {
        let directory = File::open(path).ok()?;
        let mut records = Records::open(path).filter(|it| it.is_of(key))?;
        let mut checkpoints = Checkpoints::default();
        let (mut kept, mut end, mut length) = (Found::default(), 0, records.length);
        let (mut is_stored, mut in_vain) = (false, 0);
        while let Some((kind, record)) = records.next() {
            let taken = match kind {
                Kind::Object => None,
                Kind::Point => checkpoints.add(&record),
                Kind::Stored => {
                    is_stored = true;
                    Some(())
                }
                Kind::Left => {
                    in_vain = 0;
                    Some(())
                }
                Kind::Resumed => {
                    in_vain += 1;
                    // That process has numbered its points from there on.
                    checkpoints.cut(end);
                    Some(())
                }
                Kind::Skeleton => {
                    in_vain = 0;
                    kept.add(&record, &directory).map(|bytes| end += bytes)
                }
            };
            if taken.is_none() {
                break;
            }
            length = records.length;
        }
        if in_vain >= IN_VAIN {
            return None;
        }
        let start = match is_stored {
            true => Start::Stored(end),
            false => Start::Point(Box::new(checkpoints.enter(end)?)),
        };
        let left = Self {
            object: records.object,
            start,
            replay: Replay::new(directory, Records::open(path)?, end),
        };
        Some((left, kept.kept, length))
    }
}

/// The fetches of a version that may have been left, and those with a journal that is of no
/// use.
fn candidates(quota: &Quota, key: &VersionKey) -> Vec<PathBuf> {
    let mut all = files::list(&quota.staging()).unwrap_or_default();
    all.retain(|path| {
        let has_journal = path.join(files::JOURNAL).exists();
        has_journal && Records::open(path).is_none_or(|it| it.is_of(key))
    });
    all
}

/// The process that a fetch was begun by.
fn owner(path: &Path) -> Process {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let pid = name.split('-').next().unwrap_or_default();
    Process::new(pid.parse().unwrap_or(0))
}

/// The content that a journal is about and that is on disk.
#[derive(Default)]
struct Found {
    kept: Kept,
    /// Bytes of the pack that are there, and of the last blob.
    pack: Option<u64>,
    blob: u64,
}

impl Found {
    /// Adds the content of a record; gives how many bytes of the tar stream that is about.
    /// `None` if it is not there, or malformed.
    fn add(&mut self, record: &[u8], directory: &File) -> Option<u64> {
        let length = |name: &str| Some(files::open(directory, name).ok()?.metadata().ok()?.len());
        let (_, parts) = skeleton::read(record)?;
        let before = (
            self.kept.pack,
            self.kept.blobs.len(),
            self.kept.blobs.last().copied(),
        );
        let add = || -> Option<u64> {
            let mut bytes = 0;
            for part in parts {
                bytes += match part? {
                    Part::Zeros(length) => length,
                    Part::Bytes(data) => data.len() as u64,
                    Part::Header(_) => HEADER as u64,
                    Part::Content(None, more) => {
                        if self.pack.is_none() {
                            self.pack = length(files::PACK);
                        }
                        self.kept.pack += more;
                        (self.kept.pack <= self.pack?).then_some(more)?
                    }
                    Part::Content(Some(number), more) => {
                        let number = number as usize;
                        if number == self.kept.blobs.len() {
                            self.blob = length(&files::blob(number as u32))?;
                            self.kept.blobs.push(0);
                        }
                        let is_last = number + 1 == self.kept.blobs.len();
                        let kept = self.kept.blobs.last_mut().filter(|_| is_last)?;
                        *kept += more;
                        (*kept <= self.blob).then_some(more)?
                    }
                };
            }
            Some(bytes)
        };
        let added = add();
        if added.is_none() {
            // All of a record or nothing.
            let (pack, blobs, last) = before;
            self.kept.pack = pack;
            self.kept.blobs.truncate(blobs);
            if let (Some(kept), Some(last)) = (self.kept.blobs.last_mut(), last) {
                *kept = last;
            }
        }
        added
    }
}
