//! Archives, unpacked by a store as a download would be.

use super::key::{is_name, key};
use crate::store::cache::{Audit, audit};
use crate::store::{
    FetchRequest, Index, Limits, NodeKind, Store, StoreConfig, Verify, Version, VersionKey,
    checksums::checksum, fetch::Incoming, index::format::ROOT,
};
use crate::{error::Error, progress::Progress};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Maximum size of the cache, in bytes.
const CEILING: u64 = 8 << 20;

/// Small, so that a few hundred bytes exceed each of them.
const LIMITS: Limits = Limits {
    entries: 64,
    numbers: 128,
    depth: 16,
    name: 40,
    path: 300,
    target: 80,
    pieces: 40,
    name_bytes: 2_000,
    slack_factor: 2,
    slack_bytes: 64 << 10,
};

/// Stores that archives are unpacked into.
pub struct Unpacker {
    /// One for each way to treat the proof of content.
    stores: [Store; 3],
    _folder: TempDir,
}

/// Gives its bytes a few at a time, as a slow connection does.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(700);
        self.0.read(&mut into[..most])
    }
}

impl Unpacker {
    /// Empty ones, in the folder for temporary files.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let config = |verify| StoreConfig {
            dir: folder.path().join(format!("{verify:?}")),
            ceiling: CEILING,
            limits: LIMITS,
            timeout: Duration::from_secs(1),
            user_agent: "vm0fs/fuzz".into(),
            allow_http: false,
            verify,
        };
        let all = [Verify::Warn, Verify::Strict, Verify::Off];
        Self {
            stores: all.map(|verify| Store::open(config(verify)).expect("a store")),
            _folder: folder,
        }
    }

    /// Unpacks an archive as a download would be, and checks all of the result.
    ///
    /// `data`: how (a byte), and the archive. Of how, bits 0 and 1: 0 for gzip as
    /// it is, 1 for a tar to be wrapped in it, else one whose headers get the
    /// checksums that belong to them before; bits 2 and 3: the declared size; 4 and
    /// 5: the proof of content; 6: whether it comes slowly; 7: whether the version's
    /// id is no hash. Returns whether it was sealed.
    ///
    /// # Panics
    /// If the store breaks a promise.
    pub fn run(&self, data: &[u8]) -> bool {
        let Some((&how, archive)) = data.split_first() else {
            return false;
        };
        let archive = match how & 3 {
            0 => archive.to_vec(),
            1 => stored_gzip(archive),
            _ => stored_gzip(&with_header_sums(archive.to_vec())),
        };
        let id = if how & 0x80 == 0 {
            "5".repeat(64)
        } else {
            "v".into()
        };
        let store = &self.stores[usize::from(how >> 4 & 3) % 3];
        let request = FetchRequest {
            key: key(&id),
            declared_size: [None, None, Some(0), Some(1 << 20)][usize::from(how >> 2 & 3)],
            declared_files: None,
            url: &|| Err(Error::Stale),
            on_partial: &|| read_partial(store, &key(&id)),
        };
        let length = Some(archive.len() as u64);
        let progress = Progress::new();
        let Store { cache, fetcher } = store;
        let source: Box<dyn Read + Send> = match how & 0x40 {
            0 => Box::new(&archive[..]),
            _ => Box::new(Trickle(&archive)),
        };
        let archive = Incoming {
            source,
            length,
            etag: None,
        };
        let result = fetcher.take_in(cache, &request, archive, &progress);
        let quota = cache.quota();
        let path = quota.versions().join(request.key.directory());
        let staged = fs::read_dir(quota.staging()).map(Iterator::count);
        assert_eq!(staged.ok(), Some(0), "nothing is left of the download");
        match result {
            Ok(_) => {
                let version = store.version(&request.key).expect("what was sealed");
                whole(&version);
                drop(version);
                store.cache.release();
                let name = request.key.directory();
                let audit = audit::audit(&path, &name, &mut |_| ());
                assert!(
                    matches!(audit, Audit::Complete | Audit::Proven),
                    "{audit:?}"
                );
                store.cache.forget(&request.key);
                quota.discard(&path);
            }
            Err(error) => {
                let expected = matches!(
                    error,
                    Error::BadArchive { .. } | Error::Limit { .. } | Error::NoSpace(_)
                );
                assert!(expected, "{error}");
                assert!(!path.exists(), "a version that is none: {error}");
                return false;
            }
        }
        true
    }
}

/// As a process that reads the version while it arrives.
fn read_partial(store: &Store, key: &VersionKey) {
    let Some(partial) = store.partial(key) else {
        return;
    };
    let mut bytes = [0; 100];
    for node in 0..LIMITS.entries + 1 {
        let kind = partial.node(node).map(|node| node.kind);
        let _ = partial.child(node, b"a");
        if let Some(content) = partial.open(node) {
            assert_eq!(kind, Some(NodeKind::File));
            for offset in [0, content.size() / 2, content.size()] {
                let read = content.read_at(offset, &mut bytes);
                assert!(read.is_ok(), "{read:?}");
            }
        }
    }
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

/// What any sealed version promises.
fn whole(version: &Arc<Version>) {
    let (index, meta) = (version.index(), version.meta());
    assert!(index.len() <= LIMITS.entries + 1 && !index.is_damaged());
    let mut names: HashMap<u32, u32> = HashMap::new();
    let mut files = 0;
    // Directories from the root to the one at work.
    let mut way = vec![(ROOT, 0)];
    while let Some((dir, position)) = way.last_mut() {
        let dir = *dir;
        if *position == index.child_count(dir) {
            way.pop();
            continue;
        }
        let (name, node) = index
            .child_at(dir, *position)
            .expect("an entry that is counted");
        let before = position
            .checked_sub(1)
            .and_then(|before| index.child_at(dir, before));
        assert!(before.is_none_or(|(before, _)| before < name), "in order");
        *position += 1;
        assert!(is_name(name, LIMITS.name), "{name:?} is no name");
        assert_eq!(index.child(dir, name), Some(node));
        let entry = index.node(node).expect("a node that has a name");
        *names.entry(node).or_default() += 1;
        match entry.kind {
            NodeKind::Directory => {
                assert_eq!(
                    (names[&node], entry.parent),
                    (1, dir),
                    "one name, one parent"
                );
                let subdirectories = (0..index.child_count(node))
                    .filter_map(|at| index.node(index.child_at(node, at)?.1))
                    .filter(|child| child.kind == NodeKind::Directory);
                assert_eq!(entry.nlink, 2 + subdirectories.count() as u32);
                assert!(way.len() <= LIMITS.depth as usize);
                way.push((node, 0));
            }
            NodeKind::File => files += 1,
            NodeKind::Symlink => {
                let target = index.target(node).expect("a symlink's target");
                let is_target = !target.is_empty() && !target.contains(&0);
                assert!(is_target && target.len() as u64 == entry.size);
                let dirs: Vec<u32> = way.iter().map(|(dir, _)| *dir).collect();
                assert!(entry.escapes || !leads_out(index, dirs, target));
            }
        }
    }
    let mut bytes = 0;
    for (&node, &count) in &names {
        let entry = index.node(node).expect("seen before");
        assert!(entry.kind == NodeKind::Directory || entry.nlink == count);
        if entry.kind == NodeKind::File {
            bytes += entry.stored;
            read_back(version, node, entry.size);
        }
    }
    assert_eq!((meta.file_count, meta.bytes), (files, bytes), "it adds up");
    assert!(meta.bytes <= meta.content_bytes && meta.content_bytes <= CEILING);
}

/// Reads a file's content in two ways.
fn read_back(version: &Arc<Version>, node: u32, size: u64) {
    let content = version.open(node).expect("a file").expect("its content");
    assert_eq!(content.size(), size);
    if size > CEILING {
        // It is mostly a hole, and more than there is memory.
        for offset in [0, size / 2, size - 1000] {
            assert_eq!(content.read_at(offset, &mut [0; 1000]), Some(1000));
        }
        return;
    }
    let mut all = vec![1; size as usize + 1];
    assert_eq!(content.read_at(0, &mut all), Some(size as usize));
    let middle = size / 2;
    let mut part = [2; 1000];
    let n = content
        .read_at(middle, &mut part)
        .expect("content that is there");
    assert_eq!(part[..n], all[middle as usize..][..n]);
    assert_eq!(n as u64, (size - middle).min(1000));
}

/// Whether a symlink in the last of these directories leads above the first: as
/// the kernel would follow it, with a stack instead of parents.
fn leads_out(index: &Index, mut way: Vec<u32>, target: &[u8]) -> bool {
    let mut rest: Vec<&[u8]> = Vec::new();
    let (mut next, mut links, mut unreal) = (Some(target), 0, 0);
    loop {
        if let Some(target) = next.take() {
            if target.starts_with(b"/") {
                return true;
            }
            rest.extend(target.split(|byte| *byte == b'/').rev());
        }
        let Some(name) = rest.pop() else {
            return false;
        };
        match name {
            b"" | b"." => {}
            b".." if unreal > 0 => unreal -= 1,
            b".." => {
                way.pop();
                if way.is_empty() {
                    return true;
                }
            }
            _ if unreal > 0 => unreal += 1,
            name => {
                let dir = way.last().copied().unwrap_or(ROOT);
                let child = index.child(dir, name);
                match child
                    .and_then(|child| index.node(child))
                    .map(|child| child.kind)
                {
                    Some(NodeKind::Directory) => way.extend(child),
                    Some(NodeKind::Symlink) if links < 39 => {
                        links += 1;
                        next = child.and_then(|child| index.target(child));
                    }
                    _ => unreal = 1,
                }
            }
        }
    }
}

/// A tar whose headers have the checksums that belong to them: mutations would
/// seldom come past those.
fn with_header_sums(mut tar: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + 512) {
        at += 512;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let size = str::from_utf8(&block[124..136]).unwrap_or_default();
        let body = usize::from_str_radix(size.trim_matches([' ', '\0']), 8).ok();
        let is_link = block[156] == b'1';
        let body = body.filter(|body| !is_link && *body < tar.len());
        at += body.unwrap_or(0).next_multiple_of(512);
    }
    tar
}

/// Gzip (RFC 1952) without compression.
fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in bytes.chunks(0xffff) {
        let length = block.len() as u16;
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    out.extend(checksum(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}
