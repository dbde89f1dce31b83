//! Bytes of the cache that are not those that were written.

use super::*;
use std::os::unix::fs::FileExt;

/// Turns over the bits of one byte.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// Bytes that repeat in no block.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Three files in the pack, of which the second lies over three blocks, and
/// one in a blob whose last block is not full.
const FILES: [(&str, usize); 4] = [
    ("a", 1000),
    ("b", 2 * BLOCK),
    ("c", BLOCK),
    ("d", BLOB_SIZE as usize + 10),
];

fn archive() -> Vec<u8> {
    let all = FILES.iter();
    all.fold(Tar::default(), |tar, (name, length)| {
        tar.file(name, noise(*length))
    })
    .gz()
}

#[test]
fn a_block_that_has_turned_is_never_given() {
    let (fixture, archive) = (Fixture::new(), archive());
    let block = BLOCK as u64;
    // The byte that is turned, and which files have its block.
    for (file, at, bad) in [
        ("pack", 0, "ab"),
        ("pack", 999, "ab"),
        ("pack", 1000, "ab"),
        ("pack", block, "b"),
        ("pack", 2 * block, "bc"),
        ("pack", 3 * block + 999, "c"),
        ("blob-0", 0, "d"),
        ("blob-0", BLOB_SIZE - 1, "d"),
        ("blob-0", BLOB_SIZE + 9, "d"),
    ] {
        for (name, length) in FILES {
            let version = fixture.put("v", &archive).unwrap();
            fixture.store.cache.release();
            flip(&fixture.path("v").join(file), at);
            let found = read(&version, name);
            assert_eq!(found.is_none(), bad.contains(name), "{file} {at} {name}");
            assert!(
                found.is_none_or(|found| found == noise(length)),
                "{file} {at} {name}"
            );
            assert_eq!(version.has_content(), !bad.contains(name));
            let blob = fixture.path("v").join("blob-0");
            assert_eq!(blob.exists(), !bad.contains(name), "it takes no room");
            // A fetch brings it back, also while files of it are open.
            fs::remove_file(fixture.path("v").join("pack")).ok();
        }
    }
}

#[test]
fn reads_of_all_kinds_are_checked() {
    let (fixture, archive) = (Fixture::new(), archive());
    let good = noise(FILES[1].1);
    let version = fixture.put("v", &archive).unwrap();
    let content = version.open(2).unwrap().unwrap();
    for (from, length) in [
        (0, 1),
        (0, good.len()),
        (64_536, 1),
        (64_535, 2),
        (64_535, 70_000),
        (good.len() - 1, 10),
        (good.len(), 10),
        (good.len() + 9, 10),
    ] {
        let fresh = Store::open(config(fixture.folder.path())).unwrap();
        let fresh = fresh.version(&key("v")).unwrap();
        for content in [&content, &fresh.open(2).unwrap().unwrap()] {
            let mut buffer = vec![0; length];
            let n = content.read_at(from as u64, &mut buffer).unwrap();
            let expected = &good[from.min(good.len())..(from + length).min(good.len())];
            assert_eq!(&buffer[..n], expected, "{from} {length}");
        }
    }
}

#[test]
fn what_changes_under_an_open_file_is_noticed() {
    let (fixture, archive) = (Fixture::new(), archive());
    for (file, name, node) in [("pack", "c", 3), ("blob-0", "d", 4)] {
        let version = fixture.put("v", &archive).unwrap();
        let content = version.open(node).unwrap().unwrap();
        assert!(read(&version, name).is_some());
        // The kernel's clock for files may stand for a tick.
        std::thread::sleep(Duration::from_millis(20));
        flip(&fixture.path("v").join(file), 3 * BLOCK as u64);
        let mut bytes = vec![0; 4 * BLOCK];
        assert_eq!(content.read_at(0, &mut bytes), None, "{file}");
        assert!(!version.has_content());
        assert!(version.open(node).unwrap().is_none());
    }
}

/// Names enough for an index that is not read whole when it is opened.
fn many() -> Vec<u8> {
    let names = (0..60_000).map(|n| format!("a-name-that-has-some-length-to-it-{n:05}"));
    names
        .fold(Tar::default(), |tar, name| tar.file(name, ""))
        .gz()
}

#[test]
fn a_large_index_is_read_where_it_is_wanted() {
    let fixture = Fixture::new();
    let archive = many();
    fixture.put("v", &archive).unwrap();
    let tree = fixture.path("v").join("tree");
    let good = fs::read(&tree).unwrap();
    assert!(good.len() > 5 << 20);
    let load = || {
        let store = Store::open(config(fixture.folder.path())).unwrap();
        let version = store.version(&key("v"))?;
        Some((store, version))
    };
    let (_, version) = load().unwrap();
    let loaded = version.index().loaded();
    assert!(loaded < 100_000, "{loaded} bytes to open it");
    let all = listing(&version);
    assert_eq!(all.len(), 60_000);
    // A chunk in the middle of nodes, of dirents, of names.
    let header = format::Header::decode(&good).unwrap();
    let names = good.len() as u64 - header.digests_length() - (1 << 20);
    for at in [1 << 20, 3 << 20, names] {
        fs::write(&tree, &good).unwrap();
        flip(&tree, at);
        let (store, version) = load().unwrap();
        let index = version.index();
        assert!(!index.is_damaged());
        let found = (0..60_000).filter_map(|position| {
            let (name, node) = index.child_at(0, position)?;
            index.node(node).map(|_| String::from_utf8(name.to_vec()))
        });
        assert!(found.count() < 60_000 && index.is_damaged(), "{at}");
        // From then on there is no such version, and a fetch makes it anew.
        assert!(store.version(&key("v")).is_none());
        take_in(&store, &request("v"), &archive[..], None).unwrap();
        assert!(listing(&store.version(&key("v")).unwrap()) == all);
        assert_eq!(fs::read(&tree).unwrap(), good);
    }
    // Cut under an open one: what was read stays, the rest is damaged.
    let (_, version) = load().unwrap();
    let index = version.index();
    assert!(index.child_at(0, 0).is_some());
    let file = fs::File::options().write(true).open(&tree).unwrap();
    file.set_len(200).unwrap();
    assert!(index.child_at(0, 0).is_some() && !index.is_damaged());
    assert!(index.child_at(0, 59_999).is_none() && index.is_damaged());
}

#[test]
fn indexes_of_many_versions_take_bounded_memory() {
    let fixture = Fixture::new();
    let archive = many();
    let mut held = 0;
    for at in 0..20 {
        let version = fixture.put(&format!("v{at}"), &archive).unwrap();
        let index = version.index();
        let read = |at| index.child_at(0, at).and_then(|(_, node)| index.node(node));
        assert!((0..60_000).all(|at| read(at).is_some()));
        let opened = fixture.store.cache.opened();
        held = opened.iter().map(|(_, v)| v.index().loaded()).sum();
        assert!(held <= crate::store::cache::INDEXES + (6 << 20), "{held}");
    }
    assert!(
        held > crate::store::cache::INDEXES / 2,
        "{held}: they are kept as long as they may be"
    );
}
