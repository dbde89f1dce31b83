//! Content: parts of files, files that stay open, and files in memory.

use super::{
    scene::{Mounted, Scene, inside},
    versions::attribute,
    world::Version,
};
use crate::support::seeds::Random;
use rustix::fs::{Advice, fadvise};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

/// A file that stays open while versions are evicted.
pub(super) struct Kept {
    what: String,
    /// Bytes of the cache that it keeps from being evicted.
    pub(super) holds: u64,
    /// It is of the large version, of which the cache has room for one copy.
    pub(super) is_large: bool,
    file: File,
    content: Arc<Vec<u8>>,
    /// Errors that it may meet: faults that were on while it was open. One that
    /// was opened while its archive was arriving does not survive a bad end.
    pub(super) may: BTreeSet<i32>,
}

/// Any part of a file, also past its end.
fn part(random: &mut Random, length: usize) -> (u64, usize) {
    let length = length as u64;
    let offset = match random.below(4) {
        0 => 0,
        1 => length.saturating_sub(random.below(5_000)),
        _ => random.below(length + 100),
    };
    let wanted = match random.below(3) {
        0 => random.below(100),
        1 => random.below(10_000),
        _ => random.below(300_000),
    };
    (offset, wanted as usize)
}

/// The first and the last bytes of a file.
fn ends(length: u64) -> Vec<(u64, usize)> {
    vec![(0, 100), (length.saturating_sub(100), 200)]
}

/// What a part of a content is.
fn expected(content: &[u8], offset: u64, length: usize) -> &[u8] {
    let start = content.len().min(offset as usize);
    &content[start..content.len().min(start.saturating_add(length))]
}

/// Reads a part to its end, as those do who want all of it.
fn read_part(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0xaa; length];
    let mut read = 0;
    // Else most would come from the kernel's pages of an earlier read.
    fadvise(file, offset, None, Advice::DontNeed)?;
    while read < length {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

#[track_caller]
pub(super) fn is_same(shown: &[u8], expected: &[u8], what: &str) {
    if shown == expected {
        return;
    }
    let pairs = shown.iter().zip(expected);
    let first = pairs.take_while(|(a, b)| a == b).count();
    let some = |bytes: &[u8]| {
        let end = bytes.len().min(first + 40);
        bytes[first.min(end)..end].escape_ascii().to_string()
    };
    panic!(
        "{what}: {} bytes for {}, differing from {first} on: {:?} for {:?}",
        shown.len(),
        expected.len(),
        some(shown),
        some(expected)
    );
}

impl Scene {
    /// Opens a file and reads parts of it.
    pub(super) fn read(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let Some((path, content)) = version.tree.pick_file(random) else {
            return;
        };
        let full = self.path(random, at, version, path);
        let parts: Vec<_> = (0..1 + random.below(4))
            .map(|_| part(random, content.len()))
            .collect();
        self.read_parts(at, version, &full, content, &parts);
    }

    /// Reads a file as those do who want little of it, or go on for long; counts it where
    /// the version is there in part then.
    pub(super) fn read_in_parts(&self, random: &mut Random, at: &Mounted, version: &Version) {
        let Some((path, content)) = version.tree.pick_long_file(random) else {
            return;
        };
        let full = self.path(random, at, version, path);
        let length = content.len() as u64;
        let parts = match random.below(4) {
            0 => ends(length),
            1 | 2 => (0..1 + random.below(6))
                .map(|_| (random.below(length + 1), 1 + random.below(20_000) as usize))
                .collect(),
            _ => {
                let (first, each) = (random.below(length + 1), 50_000 + random.below(400_000));
                let count = 1 + random.below(12);
                let offsets = (0..count).map(|number| first + number * each);
                offsets.map(|offset| (offset, each as usize)).collect()
            }
        };
        self.read_parts(at, version, &full, content, &parts);
    }

    /// The first and the last bytes of a file.
    pub(super) fn read_ends(&self, at: &Mounted, version: &Version, path: &[u8]) {
        let full = inside(at, &version.folder, path);
        let content = version.tree.content(path);
        let parts = ends(content.len() as u64);
        self.read_parts(at, version, &full, content, &parts);
    }

    fn read_parts(
        &self,
        at: &Mounted,
        version: &Version,
        full: &Path,
        content: &[u8],
        parts: &[(u64, usize)],
    ) {
        let what = format!("reading {full:?}");
        let read = self.attempt(at, Some(version), &what, || {
            let file = File::open(full)?;
            assert_eq!(file.metadata()?.len(), content.len() as u64, "{what}");
            for &(offset, length) in parts {
                let shown = read_part(&file, offset, length)?;
                let what = format!("{what}, {length} at {offset}");
                is_same(&shown, expected(content, offset, length), &what);
            }
            Ok(())
        });
        let root = inside(at, &version.folder, b"");
        let cached = || attribute(&root, "cached").ok().flatten();
        if read.is_some() && cached().is_some_and(|cached| cached == "partly") {
            self.tally.in_parts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads a file as a whole.
    pub(super) fn read_whole(&self, at: &Mounted, version: &Version, path: &[u8], content: &[u8]) {
        let full = inside(at, &version.folder, path);
        let what = format!("reading all of {full:?}");
        let shown = self.attempt(at, Some(version), &what, || std::fs::read(&full));
        if let Some(shown) = shown {
            is_same(&shown, content, &what);
        }
    }

    /// Opens a file to keep it.
    pub(super) fn keep(&self, random: &mut Random, at: &Mounted) -> Option<Kept> {
        let version = self.version(random);
        let (path, content) = version.tree.pick_file(random)?;
        let full = self.path(random, at, version, path);
        let what = format!("keeping {full:?}");
        let file = self.attempt(at, Some(version), &what, || File::open(&full))?;
        let mut may = self.wire.errors();
        // Which the machine may be too busy for.
        may.insert(libc::ETIMEDOUT);
        if !self.wire.is_clean() {
            // A bad archive of its own, perhaps.
            may.insert(libc::EIO);
        }
        Some(Kept {
            what,
            holds: if version.is_large { 0 } else { version.size },
            is_large: version.is_large,
            file,
            content: content.clone(),
            may,
        })
    }
}

impl Kept {
    /// Whether there never was a fault while it was open.
    fn is_sure(&self) -> bool {
        self.may.len() == 1
    }

    /// Reads a part of it; false where it has met an error that it may.
    pub(super) fn is_well(&self, random: &mut Random) -> bool {
        let (offset, length) = part(random, self.content.len());
        let what = format!("{}, {length} at {offset}", self.what);
        let expected = expected(&self.content, offset, length);
        let result = match random.one_in(3) && self.is_sure() && !expected.is_empty() {
            true => self.mapped(offset as usize, expected.len()),
            false => read_part(&self.file, offset, length),
        };
        match result {
            Ok(shown) => is_same(&shown, expected, &what),
            Err(error) => {
                let is_promised = error.raw_os_error().is_some_and(|e| self.may.contains(&e));
                assert!(is_promised, "{what}: {error}; it may {:?}", self.may);
                return false;
            }
        }
        true
    }

    /// The same through memory. The kernel copies it out of there, since reading
    /// what cannot be had would end the process.
    #[allow(unsafe_code)]
    fn mapped(&self, offset: usize, length: usize) -> io::Result<Vec<u8>> {
        // First all of it is fetched: while a page is waited for, this process may
        // get no memory, and the server is in it.
        let whole = read_part(&self.file, 0, self.content.len())?;
        is_same(&whole, &self.content, &self.what);
        fadvise(&self.file, 0, None, Advice::DontNeed)?;
        // SAFETY: the mount's own files are never truncated under a reader.
        let map = unsafe { memmap2::Mmap::map(&self.file) }?;
        let mut copy = tempfile::tempfile()?;
        copy.write_all(&map[offset..offset + length])?;
        copy.rewind()?;
        let mut bytes = Vec::new();
        copy.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
