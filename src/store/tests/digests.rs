//! The SHA-256 of every file, as the index of a sealed version has it.

use super::*;
use crate::store::cache::HASHED_HOLES;
use sha2::{Digest, Sha256};

fn digest(version: &Version, path: &str) -> Option<String> {
    let index = version.index();
    index.digest(walk(index, path)?).map(|digest| hex(&digest))
}

#[test]
fn every_file_has_the_hash_of_what_is_read() {
    let large = vec![7; BLOB_SIZE as usize + 3];
    let archive = Tar::default()
        .dir("d")
        .file("d/a", "replaced later")
        .file("empty", "")
        .file("large", &large)
        .hard("d/hard", "large")
        .file("d/a", "content")
        .symlink("link", "d/a")
        .file("gone", "a file")
        .file("gone/below", "that becomes a directory")
        .gz();
    let fixture = Fixture::new();
    let id = "0".repeat(64);
    for (version, verify) in [
        ("v", Verify::Warn),
        (&*id, Verify::Warn),
        ("w", Verify::Off),
    ] {
        let request = FetchRequest {
            verify,
            ..request(version)
        };
        fixture.take_in(&request, &archive).unwrap();
        let version = fixture.store.version(&key(version)).unwrap();
        for (path, content) in [
            ("d/a", &b"content"[..]),
            ("empty", b""),
            ("large", &large),
            ("d/hard", &large),
            ("gone/below", b"that becomes a directory"),
        ] {
            assert_eq!(read(&version, path).unwrap(), content);
            let expected = hex(&Sha256::digest(content));
            assert_eq!(digest(&version, path), Some(expected), "{path}");
        }
        for path in ["", "d", "link", "gone"] {
            assert_eq!(digest(&version, path), None, "{path}");
        }
        // Of the two files that others replaced nothing is left.
        assert_eq!(version.index().header().digests, 4);
    }
}

#[test]
fn files_beyond_what_is_hashed_of_holes_have_none() {
    let sparse = |path: &str, size: u64| seeds::sparse(path, size, &[(512, 1)], b"x");
    let archive = sparse("small", 2000)
        .raw(&sparse("huge", HASHED_HOLES + 1).0)
        .raw(&sparse("small2", 3000).0)
        .file("after", "content")
        .gz();
    let version = Fixture::new().put(&"0".repeat(64), &archive).unwrap();
    let whole = |size: usize| {
        let mut whole = vec![0; size];
        whole[512] = b'x';
        Some(hex(&Sha256::digest(&whole)))
    };
    assert_eq!(digest(&version, "small"), whole(2000));
    assert_eq!(digest(&version, "small2"), whole(3000));
    assert_eq!(digest(&version, "huge"), None);
    let expected = hex(&Sha256::digest("content"));
    assert_eq!(digest(&version, "after"), Some(expected));
    assert_eq!(version.meta().verified, Verified::NotApplicable);
}

#[test]
fn hashes_stay_when_content_is_evicted() {
    let fixture = Fixture::new();
    let archive = Tar::default().file("a", "content").gz();
    fixture.put("v", &archive).unwrap();
    fs::remove_file(fixture.path("v").join("pack")).unwrap();
    let store = Store::open(config(fixture.folder.path())).unwrap();
    let version = store.version(&key("v")).unwrap();
    assert!(!version.has_content());
    let expected = hex(&Sha256::digest("content"));
    assert_eq!(digest(&version, "a"), Some(expected));
}
