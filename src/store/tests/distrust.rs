//! No byte of an index or of what is known of it is trusted: a fault
//! reads as absent, and nothing panics or goes on for ever.

use super::*;
use crate::store::index::format::{DIRENT, HEADER, Header, NODE, WORD};
use sha2::{Digest, Sha256};

/// A version with an entry of each kind, its tree and its `meta.json`.
fn sealed(fixture: &Fixture) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let archive = Tar::default()
        .file("a", "content")
        .file("d/e/f", "more")
        .symlink("d/link", "../a")
        .hard("same", "a")
        .file("big", vec![7; BLOB_SIZE as usize])
        .gz();
    fixture.put("v", &archive).unwrap();
    let path = fixture.path("v");
    let tree = fs::read(path.join("tree")).unwrap();
    let meta = fs::read(path.join("meta.json")).unwrap();
    (path, tree, meta)
}

fn opened(path: &Path) -> Option<Arc<Version>> {
    Version::load(path, &key("v"), &Keepalive::default()).map(Arc::new)
}

/// A tree without its header and its table, the digests behind the rest.
fn body(tree: &[u8], header: &Header) -> Vec<u8> {
    let (rest, digests) = tree.split_at(tree.len() - header.digests_length() as usize);
    let table = header.chunks().unwrap() as usize * WORD;
    [&rest[HEADER..rest.len() - table], digests].concat()
}

/// Asks for everything that there could be.
fn ask_for_all(version: &Arc<Version>) {
    let index = version.index();
    for node in 0..index.len().saturating_add(2) {
        let kind = index.node(node).map(|node| node.kind);
        let _ = (index.target(node), index.child(node, b"f"));
        assert!(kind == Some(NodeKind::Directory) || index.child_count(node) == 0);
        for position in 0..index.child_count(node) {
            let Some((name, child)) = index.child_at(node, position) else {
                continue;
            };
            assert!(!name.is_empty() && !name.contains(&b'/') && !name.contains(&0));
            let child = index.node(child).filter(|_| child <= node);
            assert!(
                child.is_none_or(|child| child.kind != NodeKind::Directory),
                "a walk would go in circles"
            );
        }
        if let Ok(Some(content)) = version.open(node) {
            // Short only where the file on disk is.
            let _ = content.read_at(0, &mut [0; 16]);
            let _ = content.read_at(content.size().saturating_sub(1), &mut [0; 16]);
        }
    }
}

/// A tree with this body and header, as if it had been sealed so.
fn resealed(mut header: Header, body: &[u8]) -> Vec<u8> {
    let (mut rest, mut table) = (body, Vec::new());
    for (length, chunk) in header.sections() {
        let (section, after) = rest.split_at(rest.len().min(length as usize));
        rest = after;
        let sums = section.chunks(chunk).map(crc32fast::hash);
        table.extend(sums.flat_map(u32::to_le_bytes));
    }
    header.table = Sha256::digest(&table).into();
    let digests = body.len().saturating_sub(header.digests_length() as usize);
    let (before, digests) = body.split_at(digests);
    [&header.encode()[..], before, &table, digests].concat()
}

#[test]
fn no_flip_and_no_cut_of_a_tree_does_harm() {
    let fixture = Fixture::new();
    let (path, tree, _) = sealed(&fixture);
    for at in 0..tree.len() {
        let mut flipped = tree.clone();
        flipped[at] ^= 0x41;
        fs::write(path.join("tree"), &flipped).unwrap();
        match opened(&path) {
            Some(version) => ask_for_all(&version),
            None => continue,
        }
        assert!(at >= HEADER, "byte {at} of the header");
    }
    let digests = Header::decode(&tree).unwrap().digests_length();
    for at in 0..tree.len() {
        fs::write(path.join("tree"), &tree[..at]).unwrap();
        let opened = opened(&path);
        assert_eq!(
            opened.is_some(),
            at >= tree.len() - digests as usize,
            "{at} bytes"
        );
        // Without all digests it has none.
        assert!(opened.is_none_or(|version| version.index().digest(1).is_none()));
    }
    fs::write(path.join("tree"), &tree).unwrap();
    ask_for_all(&opened(&path).unwrap());
}

#[test]
fn a_tree_that_lies_under_a_good_checksum_does_no_harm() {
    let fixture = Fixture::new();
    let (path, tree, _) = sealed(&fixture);
    let pack = fs::read(path.join("pack")).unwrap();
    let header = Header::decode(&tree).unwrap();
    let body = body(&tree, &header);
    for at in 0..body.len() {
        for value in [0, 1, 0x2f, 0x7f, 0xff, body[at] ^ 1] {
            let mut changed = body.clone();
            changed[at] = value;
            fs::write(path.join("tree"), resealed(header, &changed)).unwrap();
            if let Some(version) = opened(&path) {
                ask_for_all(&version);
            }
            // What is found damaged is given up; the next shall find it whole.
            if !path.join("pack").exists() {
                fs::write(path.join("pack"), &pack).unwrap();
            }
        }
    }
    for nodes in [0, 1, header.nodes - 1, header.nodes + 1, u32::MAX] {
        for dirents in [0, header.dirents - 1, header.dirents + 1, u32::MAX] {
            for arena in [0, header.arena - 1, header.arena + 1, u64::MAX] {
                let lying = Header {
                    nodes,
                    dirents,
                    arena,
                    ..header
                };
                fs::write(path.join("tree"), resealed(lying, &body)).unwrap();
                assert!(opened(&path).is_none_or(|version| {
                    ask_for_all(&version);
                    true
                }));
            }
        }
    }
}

/// Found by fuzzing: of a pack that is one large hole, every read counted all
/// blocks there would be.
#[test]
fn content_is_not_longer_than_its_checksums() {
    let fixture = Fixture::new();
    let (path, tree, _) = sealed(&fixture);
    let header = Header::decode(&tree).unwrap();
    let body = body(&tree, &header);
    let block = BLOCK as u64;
    let most = u64::from(header.sums) * block;
    for (pack, opens) in [
        (header.pack, true),
        (most, true),
        (most + 1, false),
        (1 << 45, false),
    ] {
        fs::write(
            path.join("tree"),
            resealed(Header { pack, ..header }, &body),
        )
        .unwrap();
        assert_eq!(opened(&path).is_some(), opens, "{pack} bytes");
    }
    // The one blob begins behind the only block of the pack.
    let found = |record: &&[u8]| record[41] & format::BLOB != 0;
    let at = body.chunks(NODE).position(|record| found(&record)).unwrap();
    for (size, is_there) in [
        (most - block, true),
        (most - block + 1, false),
        (u64::MAX, false),
    ] {
        let mut changed = body.clone();
        changed[at * NODE + 8..][..8].copy_from_slice(&size.to_le_bytes());
        fs::write(path.join("tree"), resealed(header, &changed)).unwrap();
        let version = opened(&path).unwrap();
        let location = version.index().location(at as u32);
        assert_eq!(location.is_some(), is_there, "{size} bytes");
    }
}

/// A tree whose files all have the same content would be read for as long as
/// their number is large.
#[test]
fn an_audit_reads_no_content_twice() {
    let fixture = Fixture::new();
    let (path, tree, _) = sealed(&fixture);
    let header = Header::decode(&tree).unwrap();
    let mut changed = body(&tree, &header);
    for record in changed.chunks_mut(NODE).take(header.nodes as usize) {
        if record[40] == format::FILE {
            record[41] |= format::BLOB;
            let size = (BLOB_SIZE).to_le_bytes();
            record[8..24].copy_from_slice(&[size, [0; 8]].concat());
        }
    }
    fs::write(path.join("tree"), resealed(header, &changed)).unwrap();
    let mut read = 0;
    let audit = audit::audit(&path, &key("v").directory(), &mut |bytes| read += bytes);
    assert!(audit.is_damage(), "{audit:?}");
    assert!(
        read <= u64::from(header.sums) * BLOCK as u64,
        "{read} bytes"
    );
}

#[test]
fn names_that_no_directory_can_hold_are_absent() {
    let fixture = Fixture::new();
    let (path, tree, _) = sealed(&fixture);
    let header = Header::decode(&tree).unwrap();
    let mut tree = [&tree[..HEADER], &body(&tree, &header)].concat();
    tree.truncate(tree.len() - header.digests_length() as usize);
    let header = Header {
        digests: 0,
        ..header
    };
    let arena = tree.len() - header.arena as usize;
    let names = HEADER + header.nodes as usize * NODE;
    // The first name of the root, `a`, gets other bytes of the arena.
    for (text, shown) in [
        (&b"b"[..], true),
        (b"", false),
        (b".", false),
        (b"..", false),
        (b"a/b", false),
        (b"a\0b", false),
        (&[b'n'; 255], true),
        (&[b'n'; 256], false),
    ] {
        let mut changed = tree.clone();
        let offset = (changed.len() - arena) as u32;
        changed[names..names + 4].copy_from_slice(&offset.to_le_bytes());
        let length = (text.len() as u16).to_le_bytes();
        changed[names + DIRENT - 4..names + DIRENT - 2].copy_from_slice(&length);
        changed.extend_from_slice(text);
        let header = Header {
            arena: header.arena + text.len() as u64,
            ..header
        };
        fs::write(path.join("tree"), resealed(header, &changed[HEADER..])).unwrap();
        let file = fs::File::open(path.join("tree")).unwrap();
        let index = Index::open(file).unwrap();
        let found = index.child_at(0, 0).map(|(name, _)| name);
        assert_eq!(found, shown.then_some(text));
        assert!(index.child_at(0, 1).is_some());
    }
}

#[test]
fn every_flip_and_every_cut_of_what_is_known_of_a_version() {
    let fixture = Fixture::new();
    let (path, _, meta) = sealed(&fixture);
    for at in 0..meta.len() {
        let mut flipped = meta.clone();
        flipped[at] ^= 0x05;
        fs::write(path.join("meta.json"), &flipped).unwrap();
        if let Some(version) = opened(&path) {
            assert!(version.meta().key() == Some(key("v")), "byte {at}");
            ask_for_all(&version);
        }
        fs::write(path.join("meta.json"), &meta[..at]).unwrap();
        assert!(opened(&path).is_none(), "{at} bytes");
    }
}
