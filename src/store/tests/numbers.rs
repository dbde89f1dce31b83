//! The numbers of nodes stay when the archive of a version has been made anew.

use super::server::*;
use super::*;
use crate::store::fetch::exchange;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

const LARGE: usize = BLOB_SIZE as usize + 5;

/// One entry of an archive, put behind the others.
type Add = Box<dyn Fn(Tar) -> Tar>;

/// Entries of all kinds, each of which can stand anywhere but for the hard link.
fn entries() -> Vec<Add> {
    let long = "n".repeat(300);
    let mut entries: Vec<Add> = vec![
        Box::new(|tar| tar.file("a.txt", "I am a.txt")),
        Box::new(|tar| tar.file("b.txt", "I am b.txt")),
        Box::new(|tar| tar.file("large", vec![b'l'; LARGE])),
        Box::new(|tar| tar.file("other", vec![b'o'; LARGE])),
        Box::new(|tar| tar.symlink("d/link", "../a.txt")),
        Box::new(|tar| tar.symlink("d/kink", "../b.txt")),
        Box::new(|tar| tar.dir("empty")),
        Box::new(move |tar| {
            let tar = tar.pax(b'x', &[("path", long.as_bytes())]);
            tar.file("n", "a long name")
        }),
        Box::new(|tar| tar.raw(&seeds::sparse("sparse", 9000, &[(512, 3)], b"abc").0)),
        Box::new(|tar| tar.raw(&seeds::sparse("sparse2", 9000, &[(1024, 3)], b"xyz").0)),
        Box::new(|tar| tar.file("hard", "one content").hard("d/e/hard", "hard")),
    ];
    for number in 0..9 {
        let path = format!("d/{}/{number}", number % 3);
        entries.push(Box::new(move |tar| tar.file(&path, format!("is {number}"))));
    }
    entries
}

fn archive_of<'a>(entries: impl Iterator<Item = &'a Add>) -> Vec<u8> {
    entries.fold(Tar::default(), |tar, add| add(tar)).gz()
}

/// Each path with its number, and what it leads to.
fn everything(version: &Arc<Version>) -> Vec<(String, u32, Vec<u8>)> {
    let with_content = |path: String| {
        let index = version.index();
        let node = walk(index, &path).unwrap();
        let content = match index.node(node).unwrap().kind {
            NodeKind::Directory => Vec::new(),
            NodeKind::Symlink => index.target(node).unwrap().to_vec(),
            NodeKind::File => {
                let digest = index.digest(node).unwrap();
                [read(version, &path).unwrap(), digest.to_vec()].concat()
            }
        };
        (path, node, content)
    };
    listing(version).into_iter().map(with_content).collect()
}

/// The version `v`, of which this archive is fetched after its content has been evicted.
fn again(fixture: &Fixture, archive: &[u8]) -> Arc<Version> {
    fixture.store.cache.release();
    entries::remove_content(&fixture.path("v"));
    fixture.put("v", archive).unwrap()
}

#[test]
fn every_path_keeps_its_number_in_whatever_order_an_archive_is_made_anew() {
    let entries = entries();
    let fixture = Fixture::new();
    let archive = archive_of(entries.iter());
    let version = fixture.put("v", &archive).unwrap();
    let (expected, before) = (everything(&version), version.index().header().table);
    assert_eq!(expected.len(), 26);
    for round in 0..6 {
        let mut order: Vec<_> = (0..entries.len())
            .map(|at| at * 7 % entries.len())
            .collect();
        order.rotate_left(round * 3);
        let other = archive_of(order.iter().map(|at| &entries[*at]));
        let version = again(&fixture, &other);
        assert!(everything(&version) == expected, "round {round}");
        assert!(version.index().verify());
        // What another mount reads of the file.
        let store = Store::open(config(fixture.folder.path())).unwrap();
        let version = store.version(&key("v")).unwrap();
        assert!(everything(&version) == expected, "round {round}");
        // Once more, and nothing is to be numbered otherwise.
        let table = version.index().header().table;
        let version = again(&fixture, &other);
        assert!(everything(&version) == expected, "round {round}");
        assert_eq!(version.index().header().table, table);
    }
    assert_eq!(again(&fixture, &archive).index().header().table, before);
}

/// Files of these names, each with its name as content.
fn named(names: &[&str]) -> Vec<u8> {
    let add = |tar: Tar, name: &&str| tar.file(*name, *name);
    names.iter().fold(Tar::default(), add).gz()
}

#[test]
fn the_number_of_a_file_that_is_gone_stays_taken() {
    let fixture = Fixture::new();
    let version = fixture.put("v", &named(&["a", "b", "c"])).unwrap();
    let gone = walk(version.index(), "c").unwrap();
    let version = again(&fixture, &named(&["a", "b"]));
    assert!(version.index().node(gone).is_none());
    let table = version.index().header().table;
    // The same once more, and its index is the same.
    let version = again(&fixture, &named(&["a", "b"]));
    assert_eq!(version.index().header().table, table);
    let version = again(&fixture, &named(&["a", "b", "d"]));
    assert_ne!(walk(version.index(), "d"), Some(gone));
    let version = again(&fixture, &named(&["a", "b", "c"]));
    assert_ne!(walk(version.index(), "c"), Some(gone));
}

#[test]
fn an_archive_that_is_another_each_time_has_no_endless_index() {
    let fixture = Fixture::with(|config| config.limits.numbers = 10);
    fixture.put("v", &named(&["a", "b", "c"])).unwrap();
    let version = again(&fixture, &named(&["d", "e", "f"]));
    assert_eq!(version.index().len(), 7);
    drop(version);
    assert_eq!(again(&fixture, &named(&["g", "h", "i"])).index().len(), 10);
    fixture.store.cache.release();
    crate::store::cache::entries::remove_content(&fixture.path("v"));
    let error = fixture.put("v", &named(&["j"])).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert!(error.to_string().contains("11 numbers; 10 are"), "{error}");
}

#[test]
fn a_name_that_has_become_another_file_has_another_number() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("content", "one")
        .file("gone", "one")
        .file("kind", "one")
        .file("longer", "one")
        .symlink("link", "here")
        .file("same", "one");
    let version = fixture.put("v", &archive.gz()).unwrap();
    let old = everything(&version);
    let archive = Tar::default()
        .file("same", "one")
        .symlink("link", "away")
        .file("longer", "one and more")
        .file("kind/below", "one")
        .file("content", "two")
        .file("came", "one");
    let version = again(&fixture, &archive.gz());
    let new = everything(&version);
    for (path, number, content) in &old {
        let is_same = new.iter().find(|(_, found, _)| found == number);
        let is_same = is_same.map(|found| (&found.0, &found.2));
        match path == "same" {
            true => assert_eq!(is_same, Some((path, content))),
            false => {
                assert_eq!(is_same, None, "{path}");
                assert!(version.index().node(*number).is_none(), "{path}");
            }
        }
    }
    assert_eq!(new.len(), 7);
}

/// A version whose names are known, and a server with its archive, in another order by now.
fn made_anew() -> (Fixture, Server, Arc<AtomicBool>) {
    let entries = entries();
    let (one, other) = (archive_of(entries.iter()), archive_of(entries.iter().rev()));
    let changed = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&changed);
    let server = Server::new(
        move |_, asked, stream| match switch.load(Ordering::Relaxed) {
            false => serve(stream, asked, &one, "\"1\"", usize::MAX),
            true => serve(stream, asked, &other, "\"2\"", usize::MAX),
        },
    );
    (Fixture::new(), server, changed)
}

#[test]
fn an_open_file_is_read_on_from_an_archive_that_was_made_anew() {
    let (fixture, server, changed) = made_anew();
    let version = server.fetch(&fixture, &Progress::new()).unwrap();
    let numbers = ["a.txt", "b.txt"].map(|path| walk(version.index(), path).unwrap());
    fixture.store.cache.release();
    entries::remove_content(&fixture.path("v"));
    changed.store(true, Ordering::Relaxed);
    for (path, number) in ["a.txt", "b.txt"].into_iter().zip(numbers) {
        let found = parts::range_of(&fixture.store, &server, path, 0, 100).unwrap();
        assert_eq!(found, format!("I am {path}").as_bytes());
        let version = fixture.store.version(&key("v")).unwrap();
        assert_eq!(walk(version.index(), path), Some(number));
    }
}

#[test]
fn numbers_outlive_a_tree_that_has_vanished_from_the_disk() {
    let entries = entries();
    let fixture = Fixture::new();
    let archive = archive_of(entries.iter());
    let expected = everything(&fixture.put("v", &archive).unwrap());
    let other = archive_of(entries.iter().rev());
    // At once: another thread may be bringing it to the disk.
    let away = fixture.folder.path().join("away");
    fs::rename(fixture.path("v"), away).unwrap();
    // A look of a moment ago counts for as long.
    crashes::soon("gone", || fixture.store.version(&key("v")).is_none());
    // The index of a machine that has begun with the other archive is of no use here.
    let elsewhere = Fixture::new();
    let version = elsewhere.put("v", &other).unwrap();
    let object = exchange::object_of(&version).unwrap().unwrap();
    let take_in = || {
        let cache = &fixture.store.cache;
        exchange::take_in(&object[..], cache, &key("v"), &Progress::new()).unwrap()
    };
    assert!(!take_in());
    let version = fixture.put("v", &other).unwrap();
    assert!(everything(&version) == expected);
}

/// An archive that comes in thirty pieces, each after those before it have been unpacked and
/// told of.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(10));
        let most = buffer.len().min(self.1);
        (&mut self.0).take(most as u64).read(buffer)
    }
}

#[test]
fn an_archive_on_its_way_is_not_shown_under_other_numbers() {
    let fixture = Fixture::new();
    let files = |names: [&str; 3]| {
        let add = |tar: Tar, name: &str| tar.file(name, vec![name.as_bytes()[0]; LARGE]);
        names.into_iter().fold(Tar::default(), add).gz()
    };
    let before = files(["first", "a", "b"]);
    fixture.put("v", &before).unwrap();
    for (archive, is_shown) in [(before, true), (files(["first", "b", "a"]), false)] {
        fixture.store.cache.release();
        entries::remove_content(&fixture.path("v"));
        let (shown, held) = (Mutex::new(Vec::new()), OnceLock::new());
        let look = || {
            let partial = fixture.store.partial(&key("v"));
            // An operation has it in hand while more comes.
            let held = match &partial {
                Some(partial) => Some(held.get_or_init(|| Arc::clone(partial))),
                None => held.get(),
            };
            for partial in partial.iter().chain(held) {
                let number = |name: &str| partial.child(0, name.as_bytes());
                let known = ["first", "a", "b"].map(number);
                // No name leads to another number than the one that it is known by.
                let is_right =
                    |(found, number): (Option<u32>, u32)| found.is_none_or(|found| found == number);
                assert!(known.into_iter().zip(1..).all(is_right), "{known:?}");
                shown.lock().push(known[1]);
            }
        };
        let request = FetchRequest {
            on_partial: &look,
            ..request("v")
        };
        fixture.store.cache.release();
        let slowly = Incoming {
            source: Slowly(&archive, archive.len() / 30),
            length: None,
            etag: None,
        };
        let Store { fetcher, cache, .. } = &fixture.store;
        let taken = fetcher.take_in(cache, &request, slowly, &Progress::new());
        assert!(taken.is_ok());
        assert!(held.get().is_some());
        let shown = shown.lock();
        assert_eq!(shown.contains(&Some(2)), is_shown, "{shown:?}");
    }
}
