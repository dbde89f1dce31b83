//! A tree as one machine sends it to another.

use super::*;
use crate::store::fetch::exchange;
use crate::store::index::{
    format::{HEADER, Header},
    wire,
};
use std::cell::RefCell;

/// A tree with records of all kinds, in several chunks.
fn tree() -> Vec<u8> {
    let fixture = Fixture::new();
    let (long, size) = ("n".repeat(300), (1_u64 << 20).to_string());
    let sparse: [(&str, &[u8]); 4] = [
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.offset", b"4096"),
        ("GNU.sparse.numbytes", b"3"),
    ];
    let mut archive = Tar::default()
        .pax(b'x', &sparse)
        .file("sparse", "abc")
        .pax(b'x', &[("path", long.as_bytes())])
        .file("n", "long")
        .file("large", vec![b'x'; BLOB_SIZE as usize])
        .symlink("l", "large");
    for number in 0..3000 {
        archive = archive.file(format!("d/{number}"), number.to_string());
    }
    fixture.put("v", &archive.gz()).unwrap();
    fs::read(fixture.path("v").join("tree")).unwrap()
}

/// What another machine has of the bytes that were sent; `None` if it leaves them aside.
fn receive(mut sent: &[u8], has_digests: bool) -> Option<Vec<u8>> {
    let mut head = [0; HEADER];
    sent.read_exact(&mut head).ok()?;
    let header = Header::decode(&head)?;
    let mut reading = wire::Reading::new(&mut sent, &header, has_digests);
    let tree = RefCell::new(Vec::new());
    wire::write(&header, &mut reading, |bytes, at| {
        let mut tree = tree.borrow_mut();
        assert_eq!(at, tree.len() as u64);
        tree.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    reading.finish().then(|| tree.into_inner())
}

#[test]
fn a_tree_comes_as_it_was_sent() {
    let tree = tree();
    let header = Header::decode(&tree).unwrap();
    let counts = (header.pieces, header.longs, header.blobs, header.digests);
    assert_eq!(counts, (2, 1, 1, 3003));
    assert!(header.chunks().unwrap() > 7, "a section has several chunks");
    let without = header.digests_at().unwrap() as usize;
    for (length, has_digests) in [(tree.len(), true), (without, false)] {
        let mut sent = tree[..length].to_vec();
        wire::encode(&mut sent, &header, has_digests);
        assert_ne!(sent, tree[..length]);
        assert_eq!(receive(&sent, has_digests).unwrap(), tree[..length]);
        assert!(receive(&sent[..length - 1], has_digests).is_none(), "cut");
    }
}

#[test]
fn the_bytes_that_are_sent_are_those_of_this_version() {
    let text = include_str!("tree.hex").split_whitespace();
    let text = text.collect::<String>();
    let digits = text.as_bytes().as_chunks::<2>().0.iter();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let tree: Vec<u8> = digits.map(byte).collect();
    let header = Header::decode(&tree).unwrap();
    let mut sent = tree.clone();
    wire::encode(&mut sent, &header, true);
    // A change of these bytes must change `exchange::KIND`.
    let expected = include_str!("sent.hex").split_whitespace();
    assert_eq!(hex(&sent), expected.collect::<String>());
    for at in 0..sent.len() {
        let mut other = sent.clone();
        other[at] ^= 0x80;
        assert!(receive(&other, true).is_none(), "byte {at}");
    }
}

#[test]
fn an_object_that_is_cut_or_changed_leaves_nothing() {
    let first = Fixture::new();
    let archive = Tar::default().file("d/f", "content").symlink("l", "d/f");
    let version = first.put("v", &archive.gz()).unwrap();
    let object = exchange::object_of(&version).unwrap().unwrap();
    let meta = u32::from_le_bytes(*object.first_chunk().unwrap());
    let second = Fixture::new();
    let take_in = |object: &[u8]| {
        let taken = exchange::take_in(object, &second.store.cache, &key("v"), &Progress::new());
        taken.unwrap()
    };
    let is_refused = |object: &[u8], what: &str, at: usize| {
        assert!(!take_in(object), "{what} at byte {at}");
        assert_eq!(second.on_disk(), (0, 0), "{what} at byte {at}");
    };
    for at in 12 + meta as usize..object.len() {
        is_refused(&object[..at], "cut", at);
        let mut changed = object.clone();
        changed[at] ^= 0x10;
        is_refused(&changed, "changed", at);
    }
    assert!(take_in(&object));
    let known = second.store.version(&key("v")).unwrap();
    assert_eq!(listing(&known), listing(&version));
    assert!(known.can_seek() && !known.has_content());
}
