//! Versions in the cache: found again, shared, and removed.

use super::*;
use std::time::SystemTime;

pub(super) const KIB: u64 = 1 << 10;

/// An archive of one file of that many bytes which do not compress to nothing.
pub(super) fn archive(bytes: u64) -> Vec<u8> {
    Tar::default().file("f", vec![b'x'; bytes as usize]).gz()
}

/// Sets the time of last use to so many seconds ago.
pub(super) fn used(fixture: &Fixture, version: &str, ago: u64) {
    let file = fs::File::options()
        .write(true)
        .open(fixture.path(version).join("meta.json"))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(ago))
        .unwrap();
}

pub(super) fn has(fixture: &Fixture, version: &str) -> Option<bool> {
    let version = fixture.store.version(&key(version))?;
    Some(version.has_content())
}

#[test]
fn threads_may_share_all_of_it() {
    fn shared<T: Send + Sync>() {}
    shared::<Store>();
    shared::<Version>();
    shared::<Content>();
}

#[test]
fn survives_a_restart() {
    let fixture = Fixture::new();
    let archive = Tar::default().file("a/b", "1").symlink("c", "a").gz();
    let first = fixture.put("v", &archive).unwrap();
    let again = Store::open(config(fixture.folder.path())).unwrap();
    let second = again.version(&key("v")).unwrap();
    assert_eq!(listing(&first), listing(&second));
    assert_eq!(first.meta(), second.meta());
    assert_eq!(read(&second, "a/b").unwrap(), b"1");
    // A fetch asks for no link.
    again.fetch(&request("v"), &Progress::new()).unwrap();
    // Other keys are other versions.
    for other in [
        VersionKey {
            origin: "https://other".into(),
            ..key("v")
        },
        VersionKey {
            kind: "volumes",
            ..key("v")
        },
        VersionKey {
            storage_id: "s".into(),
            ..key("v")
        },
        key("w"),
    ] {
        assert!(again.version(&other).is_none());
    }
    assert!(fixture.folder.path().join("v1/CACHEDIR.TAG").exists());
}

#[test]
fn deletion_hurts_no_reader() {
    let fixture = Fixture::new();
    let big = vec![9; (BLOB_SIZE + 1) as usize];
    let tar = Tar::default().file("small", "s").file("big", &big);
    let version = fixture.put("a", &tar.gz()).unwrap();
    let open = |path: &str| {
        version
            .open(walk(version.index(), path).unwrap())
            .unwrap()
            .unwrap()
    };
    let (small, large) = (open("small"), open("big"));
    fs::remove_dir_all(fixture.path("a")).unwrap();
    let mut buf = vec![0; big.len()];
    assert_eq!(small.read_at(0, &mut buf).unwrap(), 1);
    assert_eq!(large.read_at(0, &mut buf).unwrap(), big.len());
    assert!(buf == big);
    assert!(fixture.store.version(&key("a")).is_none());
    assert_eq!(listing(&version), ["big", "small"]);
}

#[test]
fn damaged_content_is_a_miss() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("small", "s")
        .file("big", vec![9; (BLOB_SIZE + 1) as usize]);
    let cut = |name: &str, length: u64| {
        let file = fs::File::options()
            .write(true)
            .open(fixture.path("a").join(name))
            .unwrap();
        file.set_len(length).unwrap();
    };
    for name in ["pack", "blob-0"] {
        let version = fixture.put("a", &tar.clone().gz()).unwrap();
        assert!(read(&version, "big").is_some());
        fixture.store.cache.release();
        cut(name, 0);
        let big = walk(version.index(), "big").unwrap();
        assert!(version.open(big).unwrap().is_none(), "{name}");
        // So a fetch does not take it for present.
        assert!(!version.has_content());
    }
    // A version without its meta is none, and is replaced.
    fixture.put("a", &tar.clone().gz()).unwrap();
    fs::remove_file(fixture.path("a").join("meta.json")).unwrap();
    let fresh = Store::open(config(fixture.folder.path())).unwrap();
    assert!(fresh.version(&key("a")).is_none());
    let version = fixture.put("a", &tar.gz()).unwrap();
    assert_eq!(read(&version, "small").unwrap(), b"s");
    assert_eq!(fixture.on_disk(), (1, 0));
}

#[test]
fn the_first_to_seal_wins() {
    let fixture = Fixture::new();
    let archive = Tar::default().file("f", "same").gz();
    let first = fixture.put("v", &archive).unwrap();
    let content = first.open(1).unwrap().unwrap();
    let other = Store::open(config(fixture.folder.path())).unwrap();
    take_in(&other, &request("v"), &archive[..], None).unwrap();
    assert!(first.is_current());
    let mut byte = [0];
    assert_eq!(content.read_at(0, &mut byte).unwrap(), 1);
    assert_eq!(fixture.on_disk(), (1, 0));
}

#[test]
fn stores_that_share_a_small_cache_read_right_while_each_evicts() {
    let fixture = Fixture::with(|config| config.ceiling = 600 * KIB);
    let stores: Vec<_> = (0..3)
        .map(|_| {
            Store::open(StoreConfig {
                ceiling: 600 * KIB,
                ..config(fixture.folder.path())
            })
            .unwrap()
        })
        .collect();
    let archives: Vec<_> = (0..6)
        .map(|at| Tar::default().file("f", vec![at; 50 << 10]).gz())
        .collect();
    std::thread::scope(|scope| {
        for (seed, store) in stores.iter().enumerate() {
            for thread in 0..2 {
                let archives = &archives;
                scope.spawn(move || {
                    for round in 0..15 {
                        let at = (round * 7 + thread * 3 + seed) % archives.len();
                        let name = format!("v{at}");
                        loop {
                            let archive = &archives[at][..];
                            take_in(store, &request(&name), archive, None).unwrap();
                            let Some(version) = store.version(&key(&name)) else {
                                continue;
                            };
                            let Some(content) = version.open(1).unwrap() else {
                                continue;
                            };
                            let mut buf = vec![0; 50 << 10];
                            assert_eq!(content.read_at(0, &mut buf).unwrap(), buf.len());
                            assert!(buf.iter().all(|&byte| byte == at as u8));
                            break;
                        }
                        let usage = store.usage();
                        assert!(usage.bytes <= usage.ceiling, "{usage:?}");
                    }
                });
            }
        }
    });
    let usage = fixture.store.usage();
    assert!(usage.bytes <= usage.ceiling, "{usage:?}");
    assert_eq!(fixture.on_disk().1, 0);
}

#[test]
fn accounts_of_thousands_are_quick() {
    let fixture = Fixture::new();
    fixture.put("v", &archive(KIB)).unwrap();
    let versions = fixture.folder.path().join("v1/versions");
    for at in 0..3000 {
        let path = versions.join(format!("{at:064x}"));
        fs::create_dir(&path).unwrap();
        for name in ["meta.json", "pack"] {
            fs::copy(fixture.path("v").join(name), path.join(name)).unwrap();
        }
    }
    assert_eq!(fixture.store.usage().with_content, 3001);
    let started = std::time::Instant::now();
    assert_eq!(fixture.store.usage().versions, 3001);
    eprintln!("a look at 3001 versions: {:?}", started.elapsed());
    // No `meta.json` is read again: one that would not be understood is not noticed.
    fs::write(versions.join(format!("{:064x}", 9)).join("meta.json"), "?").unwrap();
    assert_eq!(fixture.store.usage().with_content, 3001);
    // What was kept does not outlive the file.
    fs::remove_file(versions.join(format!("{:064x}", 7)).join("meta.json")).unwrap();
    fs::remove_file(versions.join(format!("{:064x}", 8)).join("pack")).unwrap();
    assert_eq!(fixture.store.usage().with_content, 2999);
}

#[test]
fn content_that_was_removed_is_not_used_while_it_lingers() {
    let fixture = Fixture::new();
    let version = fixture
        .put("v", &Tar::default().file("f", "x").gz())
        .unwrap();
    assert_eq!(read(&version, "f").unwrap(), b"x");
    // As `vm0fs cache verify --fix` does in another process.
    fs::remove_file(fixture.path("v").join("pack")).unwrap();
    assert!(version.open(1).unwrap().is_none());
    assert!(!version.has_content());
}
