//! Directories: read in pieces and from anywhere, and the listings that change.

use super::{
    scene::{Mounted, Scene, lock},
    world::{Storage, Story},
};
use crate::support::seeds::Random;
use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom, open, seek};
use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
    time::Instant,
};

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) kind: FileType,
    pub(super) ino: u64,
    /// Where reading goes on after it.
    next: u64,
}

/// Reads a directory from where it stands, in pieces of `size` bytes; at most
/// `most` names.
fn listed(folder: &OwnedFd, size: usize, most: usize) -> io::Result<Vec<Listed>> {
    let mut all = Vec::new();
    let mut buffer = Vec::with_capacity(size);
    let mut entries = RawDir::new(folder.as_fd(), buffer.spare_capacity_mut());
    while all.len() < most
        && let Some(entry) = entries.next()
    {
        let entry = entry?;
        all.push(Listed {
            name: entry.file_name().to_bytes().to_vec(),
            kind: entry.file_type(),
            ino: entry.ino(),
            next: entry.next_entry_cookie(),
        });
    }
    Ok(all)
}

/// Reads a directory to its end, then from some places again, which must give
/// the same; gives what is in it.
pub(super) fn read(random: &mut Random, path: &Path) -> io::Result<Vec<Listed>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(path, flags, Mode::empty())?;
    // Too small for all at once, yet large enough for the longest name.
    let size = *random.pick(&[320, 1_000, 5_000, 40_000]);
    let all = listed(&folder, size, usize::MAX)?;
    for _ in 0..random.below(4) {
        let from = random.below(all.len() as u64) as usize;
        let most = 1 + random.below(20) as usize;
        seek(&folder, SeekFrom::Start(all[from].next))?;
        let size = *random.pick(&[320, 1_000, 5_000]);
        let again = listed(&folder, size, most)?;
        let expected: Vec<_> = all[from + 1..].iter().take(most).cloned().collect();
        assert_eq!(again, expected, "{path:?} from {from} of {}", all.len());
    }
    let names: BTreeSet<_> = all.iter().map(|entry| &entry.name).collect();
    assert_eq!(names.len(), all.len(), "{path:?} has a name twice: {all:?}");
    let (own, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|entry| matches!(&entry.name[..], b"." | b".."));
    assert_eq!(own.len(), 2, "{path:?}: {own:?}");
    Ok(rest)
}

impl Scene {
    /// A folder whose names change: no name that is none, none that was seen is
    /// gone, and soon all of them on a good wire.
    fn names(&self, random: &mut Random, at: &Mounted, folder: &str, truth: &BTreeSet<Vec<u8>>) {
        let path = at.mount.join(folder);
        let what = format!("listing {path:?}");
        self.until(at, &what, || {
            let workers = at.workers.load(Ordering::SeqCst);
            let shown = read(random, &path)?;
            let shown: BTreeSet<_> = shown.into_iter().map(|entry| entry.name).collect();
            let made_up: Vec<_> = shown.difference(truth).collect();
            assert!(made_up.is_empty(), "{what}: {made_up:?}");
            let mut names = lock(&self.seen.names);
            let before = names.entry((at.number, folder.to_owned())).or_default();
            let (then, before) = before;
            let gone: Vec<_> = before.difference(&shown).collect();
            let is_same_worker = *then == at.workers.load(Ordering::SeqCst);
            assert!(gone.is_empty() || !is_same_worker, "{what}: {gone:?} gone");
            let is_all = shown == *truth;
            (*then, *before) = (workers, shown);
            Ok(is_all)
        });
    }

    /// Any of the listings.
    pub(super) fn listing(&self, random: &mut Random, at: &Mounted) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let runs = self.truth.runs.iter().map(|run| bytes(&run.id));
        let storages = |kind| {
            let all = self.truth.storages.iter().filter(move |it| it.kind == kind);
            all.map(|it| bytes(it.component)).collect()
        };
        let (folder, truth): (String, BTreeSet<Vec<u8>>) = match random.below(8) {
            0 => {
                let hidden = [".by-status", ".runs.jsonl", ".runs.csv"].map(bytes);
                ("runs".into(), runs.chain(hidden).collect())
            }
            1 => (
                format!("agents/{}/runs", super::world::AGENT),
                runs.collect(),
            ),
            2 => ("volumes".into(), storages(vm0fs::demo::Kind::Volume)),
            3 => ("artifacts".into(), storages(vm0fs::demo::Kind::Artifact)),
            _ => {
                let number = random.below(self.truth.storages.len() as u64) as usize;
                let storage = &self.truth.storages[number];
                let versions = self.truth.versions.iter();
                let versions = versions.filter(|version| version.storage == number);
                let versions = versions.map(|version| bytes(&version.id));
                let latest = storage.latest.now().iter().map(|_| bytes("latest"));
                let names = versions.chain(latest).chain([bytes(".versions.json")]);
                (storage.folder(), names.collect())
            }
        };
        self.names(random, at, &folder, &truth);
    }

    /// The current version of a storage.
    pub(super) fn latest(&self, random: &mut Random, at: &Mounted) {
        let storage = random.pick(&self.truth.storages);
        if storage.latest.now().is_none() {
            return;
        }
        let what = format!("{}/latest", storage.folder());
        let path = at.mount.join(&what);
        let (asked, shown) = match self.attempt(at, None, &what, || {
            let asked = Instant::now();
            match std::fs::read_link(&path) {
                Ok(target) => Ok((asked, Some(target.to_str().unwrap().to_owned()))),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((asked, None)),
                Err(error) => Err(error),
            }
        }) {
            Some(both) => both,
            None => return,
        };
        self.is_current(at, &what, &storage.latest, &shown, asked);
    }

    /// Waits until a storage's current version is shown.
    pub(super) fn latest_comes(&self, at: &Mounted, storage: &Storage) {
        let what = format!("{}/latest", storage.folder());
        let path = at.mount.join(&what);
        let Some(latest) = storage.latest.now() else {
            return;
        };
        self.until(at, &what, || match std::fs::read_link(&path) {
            Ok(target) => Ok(target == Path::new(latest)),
            // The first of its versions.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        });
    }

    /// What is shown of something that changes was so a moment ago; in an outage
    /// it may be older, but never older than what was shown before.
    pub(super) fn is_current<T: PartialEq + std::fmt::Debug>(
        &self,
        at: &Mounted,
        what: &str,
        story: &Story<T>,
        shown: &T,
        asked: Instant,
    ) {
        let place = story.place(shown);
        let place = place.unwrap_or_else(|| panic!("{what} never was {shown:?}"));
        self.seen.goes_on(at, what, place, asked);
        assert!(
            story.was(shown, asked) || !self.wire.is_clean(),
            "{what} is {shown:?}, and should be {:?}; {}",
            story.now(),
            self.wire
        );
    }
}
