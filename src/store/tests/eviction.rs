//! What is evicted for a fetch, and what stays.

use super::cache::{KIB, archive, has, used};
use super::parts::{Evicted, range_of};
use super::*;
use crate::store::Present;
use std::time::SystemTime;

#[test]
fn the_least_recently_used_goes_and_its_tree_stays() {
    let fixture = Fixture::with(|config| config.ceiling = 400 * KIB);
    for (version, ago) in [("a", 100), ("b", 300), ("c", 200)] {
        fixture.put(version, &archive(100 * KIB)).unwrap();
        used(&fixture, version, ago);
    }
    assert_eq!(fixture.store.usage().with_content, 3);
    fixture.put("d", &archive(100 * KIB)).unwrap();
    assert_eq!(
        ["a", "b", "c", "d"].map(|v| has(&fixture, v).unwrap()),
        [true, false, true, true]
    );
    let evicted = fixture.store.version(&key("b")).unwrap();
    assert_eq!(listing(&evicted), ["f"]);
    assert!(evicted.open(1).unwrap().is_none());
    // Reading is use.
    used(&fixture, "a", 1000);
    assert!(read(&fixture.store.version(&key("a")).unwrap(), "f").is_some());
    fixture.put("e", &archive(100 * KIB)).unwrap();
    assert_eq!(
        ["a", "c", "d", "e"].map(|v| has(&fixture, v).unwrap()),
        [true, false, true, true]
    );
    // An evicted version comes back under the same numbers, an old handle on it sees none.
    fixture.put("b", &archive(100 * KIB)).unwrap();
    assert_eq!(has(&fixture, "b"), Some(true));
    assert!(!evicted.has_content() && evicted.open(1).unwrap().is_none());
    let usage = fixture.store.usage();
    assert!(usage.bytes <= usage.ceiling, "{usage:?}");
    assert_eq!((usage.versions, fixture.on_disk()), (5, (5, 0)));
}

#[test]
fn nothing_is_evicted_needlessly() {
    let fixture = Fixture::with(|config| config.ceiling = 400 * KIB);
    for version in ["a", "b", "c"] {
        fixture.put(version, &archive(100 * KIB)).unwrap();
    }
    let declared = |declared| FetchRequest {
        declared_size: Some(declared),
        ..request("v")
    };
    // A version that can never fit evicts none: an error with the figure and the option.
    for (declared_size, size) in [(500 * KIB, 1), (1, 500 * KIB)] {
        let error = fixture
            .take_in(&declared(declared_size), &archive(size))
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.errno(), libc::ENOSPC, "{text}");
        assert!(
            text.contains("--cache-size") && text.contains("may take 400 KiB"),
            "{text}"
        );
    }
    assert_eq!(fixture.store.usage().with_content, 3);
    // A corrupt download that would have fitted gives its room back.
    let before = fixture.store.usage();
    fixture.put("v", &archive(30 * KIB)[..100]).unwrap_err();
    assert_eq!(fixture.store.usage(), before);
}

#[test]
fn trees_count_too() {
    let fixture = Fixture::with(|config| config.ceiling = 200 * KIB);
    let many = |n: u32| {
        (0..n)
            .fold(Tar::default(), |tar, at| tar.file(format!("{at}"), ""))
            .gz()
    };
    for (at, version) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        fixture.put(version, &many(500)).unwrap();
        used(&fixture, version, 100 - at as u64);
        let usage = fixture.store.usage();
        assert!(usage.bytes <= usage.ceiling, "{usage:?}");
    }
    assert_eq!(has(&fixture, "a"), None);
    assert_eq!(has(&fixture, "e"), Some(true));
}

#[test]
fn content_that_is_held_stays_for_whoever_waits() {
    let fixture = Fixture::with(|config| config.ceiling = 300 * KIB);
    let version = fixture.put("a", &archive(200 * KIB)).unwrap();
    let hold = version.hold().unwrap();
    let error = fixture.put("b", &archive(200 * KIB)).unwrap_err();
    assert_eq!(error.errno(), libc::ENOSPC, "{error}");
    assert!(version.open(1).unwrap().is_some());
    fixture.store.cache.release();
    drop(hold);
    fixture.put("b", &archive(200 * KIB)).unwrap();
    assert!(version.hold().is_none(), "nothing to hold any more");
}

#[test]
fn open_content_is_kept_and_waited_for() {
    let fixture = Fixture::with(|config| config.ceiling = 300 * KIB);
    let version = fixture.put("a", &archive(200 * KIB)).unwrap();
    let content = version.open(1).unwrap().unwrap();
    // Another process, as far as locks go.
    let other = Store::open(StoreConfig {
        ceiling: 300 * KIB,
        ..config(fixture.folder.path())
    })
    .unwrap();
    let new = archive(200 * KIB);
    let error = take_in(&other, &request("b"), &new[..], None).unwrap_err();
    assert_eq!(error.errno(), libc::ENOSPC);
    assert!(error.to_string().contains("--cache-size"), "{error}");
    assert!(version.has_content());
    // Closed in time, the other goes on.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            let mut byte = [0];
            assert_eq!(content.read_at(5, &mut byte).unwrap(), 1);
            drop(content);
        });
        take_in(&other, &request("b"), &new[..], None).unwrap();
    });
    assert!(!version.has_content() && version.open(1).unwrap().is_none());
}

#[test]
fn a_living_download_is_left_alone_and_counted() {
    let fixture = Fixture::with(|config| config.ceiling = 300 * KIB);
    let mut staging = Staging::new(fixture.store.cache.quota()).unwrap();
    staging.expect(200 * KIB, &Progress::new()).unwrap();
    fs::write(
        fixture.folder.path().join("v1/staging").join("x"),
        "rubbish",
    )
    .unwrap();
    let other = Store::open(StoreConfig {
        ceiling: 300 * KIB,
        ..config(fixture.folder.path())
    })
    .unwrap();
    assert_eq!(other.usage().bytes, 200 * KIB + entries::OVERHEAD);
    let error = take_in(&other, &request("v"), &archive(150 * KIB)[..], None).unwrap_err();
    assert_eq!(error.errno(), libc::ENOSPC);
    assert!(staging.create("still-there").is_ok());
    drop(staging);
    take_in(&other, &request("v"), &archive(150 * KIB)[..], None).unwrap();
    assert_eq!(other.usage().versions, 1);
}

#[test]
#[ignore = "needs root"]
fn a_full_disk_evicts_before_it_fails() {
    let folder = TempDir::new().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
        .arg(folder.path())
        .status();
    assert!(mounted.unwrap().success());
    struct Unmount<'a>(&'a Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let unmount = std::process::Command::new("umount")
                .arg("-l")
                .arg(self.0)
                .status();
            assert!(unmount.unwrap().success());
        }
    }
    let _unmount = Unmount(folder.path());
    let store = Store::open(config(folder.path())).unwrap();
    let put = |name: &str, archive: &[u8]| take_in(&store, &request(name), archive, None);
    // Below the ceiling of a gigabyte all the while.
    let has = |name: &str| store.version(&key(name)).is_some_and(|v| v.has_content());
    for (name, ago) in [("a", 30), ("b", 20), ("c", 10)] {
        put(name, &archive(2000 * KIB)).unwrap();
        let path = folder
            .path()
            .join("v1/versions")
            .join(key(name).directory());
        let file = fs::File::open(path.join("meta.json")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(ago))
            .unwrap();
    }
    put("d", &archive(3000 * KIB)).unwrap();
    assert_eq!(["a", "b", "c", "d"].map(has), [false, true, true, true]);
    // More than there is even so.
    let error = put("e", &archive(9000 * KIB)).unwrap_err();
    assert_eq!(error.errno(), libc::ENOSPC, "{error}");
    assert!(error.to_string().contains("--cache-dir"), "{error}");
}

#[test]
fn what_came_in_parts_makes_room_for_the_whole_of_its_version() {
    let evicted = Evicted::new();
    let ceiling = evicted.version().meta().content_bytes * 3 / 2;
    let store = Store::open(StoreConfig {
        ceiling,
        ..config(evicted.fixture.folder.path())
    });
    let (store, server) = (store.unwrap(), &evicted.server);
    let reads = |(name, content): &(String, Vec<u8>)| {
        let found = range_of(&store, server, name, 0, content.len()).unwrap();
        assert!(found == *content, "{name}");
    };
    evicted.files[..110].iter().for_each(reads);
    // As another process finds it wrong. The reader of the next file holds what has come.
    fs::remove_file(evicted.fixture.path("v").join("seek")).unwrap();
    evicted.files[118..].iter().for_each(reads);
    let version = store.version(&key("v")).unwrap();
    assert_eq!(version.present(), Present::Whole);
    assert!(store.usage().bytes <= ceiling);
}
