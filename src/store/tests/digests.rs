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
    let id = "0".repeat(64);
    for (version, verify) in [
        ("v", Verify::Warn),
        (&*id, Verify::Warn),
        ("w", Verify::Off),
    ] {
        let fixture = Fixture::with(|config| config.verify = verify);
        fixture.take_in(&request(version), &archive).unwrap();
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

/// Cuts off the digests of a version, as of an index from the fleet; gives all of it.
fn cut(fixture: &Fixture) -> (PathBuf, Vec<u8>) {
    let path = fixture.path("v").join("tree");
    let tree = fs::read(&path).unwrap();
    let header = format::Header::decode(&tree).unwrap();
    let short = tree.len() - header.digests_length() as usize;
    fs::write(&path, &tree[..short]).unwrap();
    (path, tree)
}

/// A sparse file, one that was not hashed, and many whose index is read in parts.
fn of_all_kinds(count: usize) -> Vec<u8> {
    let sparse = |path: &str, size: u64| seeds::sparse(path, size, &[(512, 1)], b"x");
    let tar = sparse("small", 2000).raw(&sparse("huge", HASHED_HOLES + 1).0);
    let name = |number: usize| format!("a-name-that-has-some-length-to-it-{number:05}");
    (0..count)
        .fold(tar, |tar, number| {
            tar.file(name(number), number.to_string())
        })
        .file("large", vec![7; BLOB_SIZE as usize + 3])
        .gz()
}

#[test]
fn digests_that_an_index_lacks_are_made_of_the_content() {
    for count in [3, 60_000] {
        let fixture = Fixture::new();
        fixture.put("v", &of_all_kinds(count)).unwrap();
        let (path, tree) = cut(&fixture);
        let open = || {
            let store = Store::open(config(fixture.folder.path())).unwrap();
            let version = store.version(&key("v")).unwrap();
            (store, version)
        };
        let ((store, version), (_, beside)) = (open(), open());
        let index = version.index();
        let node = |path: &str| walk(index, path).unwrap();
        assert!(index.lacks_digests() && !index.is_damaged());
        for (path, is_hashed) in [("small", true), ("large", true), ("huge", false)] {
            assert_eq!(
                (index.is_hashed(node(path)), digest(&version, path)),
                (is_hashed, None)
            );
        }
        // Others than those that it was sealed with are not taken.
        let whole = index.header().digests_length() as usize;
        let (short, digests) = tree.split_at(tree.len() - whole);
        let mut wrong = digests.to_vec();
        wrong[whole - 1] ^= 1;
        assert!(!version.add_digests(&wrong).unwrap());
        assert!(!version.add_digests(&digests[1..]).unwrap());
        assert!(fs::read(&path).unwrap() == short);
        // What another process has not yet written counts for nothing.
        fs::write(&path, &tree[..tree.len() - 1]).unwrap();
        assert!(index.lacks_digests() && digest(&version, "small").is_none());
        let whole = store
            .fetch_digests(&request("v"), &Progress::new())
            .unwrap();
        assert!(Arc::ptr_eq(&whole, &version));
        assert!(fs::read(&path).unwrap() == tree);
        for version in [&version, &beside] {
            assert!(!version.index().lacks_digests());
            let expected = hex(&Sha256::digest(vec![7; BLOB_SIZE as usize + 3]));
            assert_eq!(digest(version, "large"), Some(expected));
            assert!(digest(version, "small").is_some() && digest(version, "huge").is_none());
        }
    }
}

#[test]
fn digests_of_content_that_has_changed_are_not_taken() {
    let fixture = Fixture::new();
    fixture.put("v", &of_all_kinds(3)).unwrap();
    cut(&fixture);
    let pack = fixture.path("v").join("pack");
    let mut content = fs::read(&pack).unwrap();
    content[0] ^= 1;
    fs::write(&pack, content).unwrap();
    let store = Store::open(config(fixture.folder.path())).unwrap();
    // It is given up, and fetched again, to which there is no link here.
    let request = FetchRequest {
        url: &|| Err(Error::Internal("no link".into())),
        ..request("v")
    };
    let failed = store.fetch_digests(&request, &Progress::new());
    assert!(failed.unwrap_err().to_string().contains("no link"));
    let version = store.version(&key("v")).unwrap();
    assert!(version.index().lacks_digests() && !version.has_content());
}
