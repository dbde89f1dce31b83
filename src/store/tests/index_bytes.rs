//! The bytes of an index, and that none is trusted.

use super::*;
use crate::store::index::format::HEADER;
use sha2::{Digest, Sha256};

#[test]
fn bytes_of_a_small_index() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .header(b'0', b"d/f", b"", 3, 0o755)
        .body(b"abc")
        .symlink("l", "../x")
        .gz();
    fixture.put("v", &archive).unwrap();
    let tree = fs::read(fixture.path("v").join("tree")).unwrap();
    // A change of these bytes must raise `format::VERSION`.
    let expected = include_str!("tree.hex");
    assert_eq!(hex(&tree), expected.split_whitespace().collect::<String>());
}

/// Gives a small `tree` checksums that agree with what is in it.
fn agree(bytes: &mut [u8]) {
    if let Some(header) = format::Header::decode(&with_header(bytes)) {
        let mut at = HEADER;
        let mut table = Vec::new();
        let mut add = |at: usize, length: u64| -> Option<usize> {
            let end = at.checked_add(length as usize)?;
            let section = bytes.get(at..end)?;
            if length > 0 {
                table.extend(checksums::checksum(section).to_le_bytes());
            }
            Some(end)
        };
        let [.., (digests, _)] = header.sections();
        for (length, _) in &header.sections()[..6] {
            let Some(end) = add(at, *length) else { break };
            at = end;
        }
        let behind = bytes.len().saturating_sub(digests as usize);
        add(behind, digests);
        if behind == at + table.len() {
            bytes[at..behind].copy_from_slice(&table);
            bytes[48..80].copy_from_slice(&Sha256::digest(&table));
        }
    }
    let header = with_header(bytes);
    bytes[..HEADER].copy_from_slice(&header);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The header with the checksum that belongs to it.
fn with_header(bytes: &[u8]) -> [u8; HEADER] {
    let mut header: [u8; HEADER] = bytes[..HEADER].try_into().unwrap();
    let sum = Sha256::digest(&header[..96]);
    header[96..].copy_from_slice(&sum);
    header
}

#[test]
fn no_byte_of_a_tree_is_trusted() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("d/f", "content")
        .symlink("d/l", "f")
        .file("g", "")
        .gz();
    fixture.put("v", &archive).unwrap();
    let path = fixture.path("v").join("tree");
    let good = fs::read(&path).unwrap();
    let load = || Version::load(&fixture.path("v"), &key("v"), &Keepalive::default());
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        fs::write(&path, &bytes).unwrap();
        assert!(load().is_none(), "byte {at}");
    }
    let digests = 2 * format::DIGEST;
    for length in [0, 1, HEADER - 1, HEADER, good.len() - digests - 1] {
        fs::write(&path, &good[..length]).unwrap();
        assert!(load().is_none(), "length {length}");
    }
    // With checksums that agree: nothing may panic, loop or lead outside.
    for at in 12..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            agree(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let Some(version) = load().map(Arc::new) else {
                continue;
            };
            let index = version.index();
            for node in 0..index.len().min(20) {
                index.node(node);
                index.target(node);
                index.child(node, b"f");
                for position in 0..index.child_count(node).min(20) {
                    index.child_at(node, position);
                }
                if let Ok(Some(content)) = version.open(node) {
                    // Right, or none.
                    let mut bytes = [0; 100];
                    let read = content.read_at(0, &mut bytes);
                    let read = read.map(|read| &bytes[..read]);
                    let part = |read: &[u8]| read.is_empty() || contains(b"content", read);
                    assert!(read.is_none_or(part), "{read:?}");
                }
            }
            if !version.has_content() {
                fs::write(fixture.path("v").join("pack"), "content").unwrap();
            }
        }
    }
}
