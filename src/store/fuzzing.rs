//! Doors for the fuzz targets `unpack` and `index` (`tests/fuzz`) and for the
//! test that runs their seeds. Each takes bytes that somebody has put into an
//! archive or a file of the cache, and panics where what comes of them breaks a
//! promise.

use super::{
    FetchRequest, Index, Limits, NodeKind, Store, StoreConfig, Version, VersionKey,
    audit::{self, Audit},
    build::ROOT,
    format::{self, BLOCK, HEADER, Header, NODE, Record, WORD},
    linger::Linger,
    meta::{Meta, Verified, Verify},
    sums::sum,
};
use crate::{error::Error, progress::Progress};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Bytes that the store may have: what an archive may take of the disk.
const CEILING: u64 = 8 << 20;

/// Small, so that a few hundred bytes pass each of them.
const LIMITS: Limits = Limits {
    entries: 64,
    depth: 16,
    name: 40,
    path: 300,
    target: 80,
    name_bytes: 2_000,
    slack_factor: 2,
    slack_bytes: 64 << 10,
};

fn key(version_id: &str) -> VersionKey {
    VersionKey {
        origin: "https://api.example".into(),
        kind: "artifacts",
        storage_id: "storage".into(),
        version_id: version_id.into(),
    }
}

/// A store that archives are unpacked into.
pub struct Unpacker {
    store: Store,
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
    /// An empty one, in the folder for temporary files.
    ///
    /// # Panics
    /// Where that cannot be written.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let config = StoreConfig {
            dir: folder.path().to_owned(),
            ceiling: CEILING,
            limits: LIMITS,
            timeout: Duration::from_secs(1),
            user_agent: "vm0fs/fuzz".into(),
            allow_http: false,
        };
        Self {
            store: Store::open(config).expect("a store"),
            _folder: folder,
        }
    }

    /// Takes an archive in as a download would be, and looks at all that comes of it.
    ///
    /// `data`: how (a byte), and the archive. Of how, bits 0 and 1: 0 for gzip as
    /// it is, 1 for a tar to be wrapped in it, else one whose headers get the
    /// checksums that belong to them before; bits 2 and 3: the declared size; 4 and
    /// 5: the proof of content; 6: whether it comes slowly; 7: whether the version's
    /// id is no hash. Gives whether it was taken in.
    ///
    /// # Panics
    /// Where the store breaks a promise.
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
        let request = FetchRequest {
            key: key(&id),
            declared_size: [None, None, Some(0), Some(1 << 20)][usize::from(how >> 2 & 3)],
            declared_files: None,
            url: &|| Err(Error::Stale),
            arrived: &|| self.look_at_what_grows(&key(&id)),
            verify: [Verify::Warn, Verify::Strict, Verify::Off, Verify::Warn]
                [usize::from(how >> 4 & 3)],
        };
        let length = Some(archive.len() as u64);
        let progress = Progress::new();
        let result = match how & 0x40 {
            0 => self
                .store
                .take_in(&request, &archive[..], length, &progress),
            _ => self
                .store
                .take_in(&request, Trickle(&archive), length, &progress),
        };
        let path = self.store.room.versions().join(request.key.directory());
        let staged = fs::read_dir(self.store.room.staging()).map(Iterator::count);
        assert_eq!(staged.ok(), Some(0), "nothing is left of the download");
        match result {
            Ok(()) => {
                let version = self.store.version(&request.key).expect("what was sealed");
                whole(&version);
                drop(version);
                self.store.linger.let_go();
                let name = request.key.directory();
                let audit = audit::audit(&path, &name, &mut |_| ());
                assert!(
                    matches!(audit, Audit::Complete | Audit::Proven),
                    "{audit:?}"
                );
                self.store.opened().pop(&request.key);
                self.store.room.discard(&path);
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

    /// As somebody who uses the version while it arrives.
    fn look_at_what_grows(&self, key: &VersionKey) {
        let Some(growing) = self.store.growing(key) else {
            return;
        };
        let mut bytes = [0; 100];
        for node in 0..LIMITS.entries + 1 {
            let kind = growing.node(node).map(|node| node.kind);
            let _ = growing.child(node, b"a");
            if let Some(content) = growing.open(node) {
                assert_eq!(kind, Some(NodeKind::File));
                for offset in [0, content.size() / 2, content.size()] {
                    let read = content.read_at(offset, &mut bytes);
                    assert!(read.is_ok(), "{read:?}");
                }
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
        assert!(
            !matches!(name, b"" | b"." | b"..")
                && name.len() <= LIMITS.name as usize
                && !name.iter().any(|byte| matches!(byte, b'/' | 0)),
            "{name:?} is no name"
        );
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
            bytes += entry.size;
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
    out.extend(sum(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// A version's directory whose files are anything.
pub struct Sealed {
    path: PathBuf,
    _folder: TempDir,
}

impl Sealed {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Panics
    /// Where that cannot be written.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let path = folder.path().join(key("v").directory());
        fs::create_dir(&path).expect("a directory");
        Self {
            path,
            _folder: folder,
        }
    }

    /// Opens a version with these files, and asks for everything that there could be.
    ///
    /// `data`: how (a byte), the length of a `meta.json` (two bytes) and the file,
    /// and a `tree`. Of how, bit 0: whether the tree gets the checksums and the
    /// length that belong to it; 1: whether also the sums of content do, which is
    /// all zeros; 2: whether the version is said to be proven. An empty `meta.json`
    /// stands for one that fits. The content has the length that the tree has for it.
    /// Gives whether there was a version.
    ///
    /// # Panics
    /// Where something is found that cannot be.
    pub fn run(&self, data: &[u8]) -> bool {
        let Some((&[how, low, high], rest)) = data.split_first_chunk() else {
            return false;
        };
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (meta, tree) = rest.split_at(length);
        let tree = match how & 1 {
            0 => tree.to_vec(),
            _ => with_tree_sums(tree, how & 2 != 0),
        };
        let meta = match meta {
            [] => fitting_meta(&tree, how & 4 != 0),
            meta => meta.to_vec(),
        };
        let put = |name: &str, bytes: &[u8]| fs::write(self.path.join(name), bytes);
        put("meta.json", &meta).expect("a file written");
        put("tree", &tree).expect("a file written");
        let version = Version::load(&self.path, &key("v"), &Linger::default());
        let Some(version) = version.map(Arc::new) else {
            return false;
        };
        let length = tree.len() as u64;
        assert!(version.index().loaded() <= length, "more than there is");
        self.ask_for_all(&version);
        assert!(version.index().loaded() <= length, "more than there is");
        self.put_content(&version);
        let name = key("v").directory();
        let _ = audit::audit(&self.path, &name, &mut |_| ());
        if let Some(sealed) = audit::sealed(version.index()) {
            assert!(sealed.dirents.len() <= version.index().dirents() as usize);
        }
        true
    }

    /// Content of zeros, of the lengths that the tree has for it, as far as the
    /// file system has such lengths.
    fn put_content(&self, version: &Version) {
        let sized = |name: &str, length: u64| {
            let file = File::create(self.path.join(name)).expect("a file made");
            let _ = file.set_len(length);
        };
        let index = version.index();
        sized("pack", index.pack_length());
        let blobs = (0..index.len()).filter_map(|node| index.record(node));
        let blobs = blobs.filter(|record| record.flags & format::BLOB != 0);
        for blob in blobs.filter(|record| record.location < 3) {
            sized(&format!("blob-{}", blob.location), blob.size);
        }
    }

    fn ask_for_all(&self, version: &Arc<Version>) {
        let index = version.index();
        self.put_content(version);
        for node in 0..index.len().saturating_add(2) {
            let entry = index.node(node);
            let kind = entry.map(|node| node.kind);
            let target = index.target(node);
            assert!(target.is_none() || kind == Some(NodeKind::Symlink));
            let count = index.child_count(node);
            assert!(count == 0 || kind == Some(NodeKind::Directory));
            for position in 0..count {
                let Some((name, child)) = index.child_at(node, position) else {
                    continue;
                };
                assert!(
                    !matches!(name, b"" | b"." | b"..")
                        && name.len() <= 255
                        && !name.iter().any(|byte| matches!(byte, b'/' | 0)),
                    "{name:?} is no name"
                );
                let _ = index.child(node, name);
                let child = index.node(child).filter(|_| child <= node);
                let is_above = child.is_some_and(|child| child.kind == NodeKind::Directory);
                assert!(!is_above, "a walk would go in circles");
            }
            let content = match version.open(node) {
                Ok(Some(content)) => content,
                Ok(None) => {
                    // Found damaged and given up: the next shall find it whole.
                    self.put_content(version);
                    continue;
                }
                Err(_) => continue,
            };
            assert_eq!(entry.map(|entry| entry.size), Some(content.size()));
            for offset in [
                0,
                content.size() / 2,
                content.size().saturating_sub(1),
                u64::MAX,
            ] {
                let _ = content.read_at(offset, &mut [0; 16]);
            }
        }
        assert_eq!(
            (index.target(u32::MAX), index.child(u32::MAX, b"")),
            (None, None)
        );
        let _ = (index.verify(), version.has_content(), version.hold());
    }
}

impl Default for Sealed {
    fn default() -> Self {
        Self::new()
    }
}

/// A `meta.json` that belongs to the tree.
fn fitting_meta(tree: &[u8], proven: bool) -> Vec<u8> {
    let key = key("v");
    let meta = Meta {
        origin: key.origin.to_string(),
        kind: key.kind.into(),
        storage_id: key.storage_id.to_string(),
        version_id: key.version_id.to_string(),
        file_count: 0,
        bytes: 0,
        declared_size: None,
        declared_files: None,
        sealed_at: jiff::Timestamp::UNIX_EPOCH,
        content_bytes: 0,
        tree_bytes: tree.len() as u64,
        archive_bytes: 0,
        verified: if proven {
            Verified::Yes
        } else {
            Verified::NotApplicable
        },
        skipped: 0,
        boot: None,
    };
    serde_json::to_vec(&meta).expect("JSON")
}

/// A tree with the counts of its header, all of whose checksums are right, and
/// whose arena is what is left. Where it is too short for the counts, it is what
/// it was.
fn with_tree_sums(tree: &[u8], of_content: bool) -> Vec<u8> {
    // Its own checksum may be wrong; the rest of it is read as it is.
    let mut head = tree.to_vec();
    head.resize(head.len().max(HEADER), 0);
    head[..8].copy_from_slice(&format::MAGIC);
    head[8..12].copy_from_slice(&format::VERSION.to_le_bytes());
    let checksum = Sha256::digest(&head[..96]);
    head[96..HEADER].copy_from_slice(&checksum);
    let Some(mut header) = Header::decode(&head) else {
        return tree.to_vec();
    };
    header.arena = 0;
    let mut body = head.split_off(HEADER);
    let counted: u64 = header.sections().iter().map(|(length, _)| length).sum();
    let Some(arena) = (body.len() as u64).checked_sub(counted) else {
        return tree.to_vec();
    };
    header.arena = arena;
    if of_content {
        sum_zeros(&header, &mut body);
    }
    let (mut rest, mut table) = (&body[..], Vec::new());
    for (length, chunk) in header.sections() {
        let (section, after) = rest.split_at(length as usize);
        rest = after;
        table.extend(section.chunks(chunk).map(sum).flat_map(u32::to_le_bytes));
    }
    header.table = Sha256::digest(&table).into();
    [&header.encode()[..], &body, &table].concat()
}

/// Writes the sums of content that is all zeros: of the pack, and of blobs where
/// the first node of each has them.
fn sum_zeros(header: &Header, body: &mut [u8]) {
    let [(nodes, _), (dirents, _), (words, _), _] = header.sections();
    let (nodes, rest) = body.split_at_mut(nodes as usize);
    let words = &mut rest[dirents as usize..][..words as usize];
    let (starts, sums) = words.split_at_mut(header.blobs as usize * WORD);
    let zeros = [0; BLOCK];
    let mut fill = |first: u64, length: u64| {
        for block in 0..length.div_ceil(BLOCK as u64) {
            let at = usize::try_from((first + block).saturating_mul(WORD as u64));
            let place = at.ok().and_then(|at| sums.get_mut(at..at + WORD));
            let Some(place) = place else { return };
            let left = (length - block * BLOCK as u64).min(BLOCK as u64);
            place.copy_from_slice(&sum(&zeros[..left as usize]).to_le_bytes());
        }
    };
    for record in nodes.chunks_exact(NODE).filter_map(Record::decode) {
        let blob = usize::try_from(record.location).ok();
        let blob = blob.filter(|_| record.flags & format::BLOB != 0);
        let start = blob.and_then(|blob| format::u32_at(starts, blob.checked_mul(WORD)?));
        if let Some(start) = start {
            fill(u64::from(start), record.size);
        }
    }
    fill(0, header.pack);
}
