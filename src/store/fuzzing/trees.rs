//! The files of a sealed version, opened and asked for everything.

use super::key::{is_name, key};
use crate::store::cache::{Keepalive, audit};
use crate::store::checksums::{BLOCK, checksum};
use crate::store::index::format::{self, HEADER, Header, NODE, Record, WORD};
use crate::store::index::{Location, restore};
use crate::store::meta::{Meta, Verified};
use crate::store::{NodeKind, Version};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
};
use tempfile::TempDir;

/// A version's directory with arbitrary files.
pub struct Sealed {
    path: PathBuf,
    _folder: TempDir,
}

impl Sealed {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder for temporary files");
        let path = folder.path().join(key("v").directory());
        fs::create_dir(&path).expect("a directory");
        Self {
            path,
            _folder: folder,
        }
    }

    /// Opens a version with these files, and reads everything that could be in it.
    ///
    /// `data`: how (a byte), the length of a `meta.json` (two bytes) and the file,
    /// and a `tree`. Of how, bit 0: whether the tree gets the checksums and the
    /// length that belong to it; 1: whether also the sums of content do, which is
    /// all zeros; 2: whether the version is said to be proven; 3: whether it is one whose
    /// digests have not come. An empty `meta.json` stands for one that fits. The content has
    /// the length that the tree has for it.
    /// Returns whether it could be opened.
    ///
    /// # Panics
    /// If the version has contents that cannot be.
    pub fn run(&self, data: &[u8]) -> bool {
        let Some((&[how, low, high], rest)) = data.split_first_chunk() else {
            return false;
        };
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (meta, tree) = rest.split_at(length);
        let mut tree = match how & 1 {
            0 => tree.to_vec(),
            _ => with_tree_sums(tree, how & 2 != 0),
        };
        let meta = match meta {
            [] => fitting_meta(&tree, how & 4 != 0),
            meta => meta.to_vec(),
        };
        if let Some(header) = Header::decode(&tree).filter(|_| how & 8 != 0) {
            tree.truncate(tree.len().saturating_sub(header.digests_length() as usize));
        }
        let put = |name: &str, bytes: &[u8]| fs::write(self.path.join(name), bytes);
        put("meta.json", &meta).expect("a file written");
        put("tree", &tree).expect("a file written");
        let version = Version::load(&self.path, &key("v"), &Keepalive::default());
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
        if let Ok(Some(digests)) = audit::hashes(&version, &mut |_| ()) {
            assert_eq!(
                digests.len() as u64,
                version.index().header().digests_length()
            );
        }
        if let Some(records) = restore(version.index()) {
            assert!(records.dirents.len() <= version.index().header().dirents as usize);
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
        sized("pack", index.header().pack);
        for node in 0..index.len() {
            if let Some((Location::Blob(number @ 0..3), stored)) = index.location(node) {
                sized(&format!("blob-{number}"), stored);
            }
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
                assert!(is_name(name, 255), "{name:?} is no name");
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
        tree_bytes: Header::decode(tree)
            .and_then(|header| header.file_length())
            .unwrap_or_default(),
        seek_bytes: 0,
        archive_bytes: 0,
        numbers: None,
        verified: if proven {
            Verified::Yes
        } else {
            Verified::NotApplicable
        },
        skipped: 0,
        omitted: Vec::new(),
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
    let digest = Sha256::digest(&head[..96]);
    head[96..HEADER].copy_from_slice(&digest);
    let Some(mut header) = Header::decode(&head) else {
        return tree.to_vec();
    };
    header.arena = 0;
    let mut body = head.split_off(HEADER);
    // More are refused.
    header.digests = header.digests.min(header.nodes);
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
        table.extend(
            section
                .chunks(chunk)
                .map(checksum)
                .flat_map(u32::to_le_bytes),
        );
    }
    header.table = Sha256::digest(&table).into();
    let digests = body.split_off(body.len() - header.digests_length() as usize);
    [&header.encode()[..], &body, &table, &digests].concat()
}

/// Writes the sums of content that is all zeros: of the pack, and of blobs where
/// the first node of each has them.
fn sum_zeros(header: &Header, body: &mut [u8]) {
    let [(nodes, _), (dirents, _), (words, _), ..] = header.sections();
    let (nodes, rest) = body.split_at_mut(nodes as usize);
    let words = &mut rest[dirents as usize..][..words as usize];
    let (starts, sums) = words.split_at_mut(header.blobs as usize * WORD);
    let zeros = [0; BLOCK];
    let mut fill = |first: u64, length: u64| {
        for block in 0..length.div_ceil(BLOCK as u64) {
            let at = usize::try_from((first + block).saturating_mul(WORD as u64));
            let place = at.ok().and_then(|at| sums.get_mut(at..)?.get_mut(..WORD));
            let Some(place) = place else { return };
            let left = (length - block * BLOCK as u64).min(BLOCK as u64);
            place.copy_from_slice(&checksum(&zeros[..left as usize]).to_le_bytes());
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
