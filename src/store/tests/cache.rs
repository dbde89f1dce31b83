//! What is kept, what goes, and what a crash leaves.

use super::*;
use crate::store::index::format::HEADER;
use sha2::{Digest, Sha256};
use std::time::SystemTime;

const KIB: u64 = 1 << 10;

/// An archive of one file of that many bytes which do not compress to nothing.
fn archive(bytes: u64) -> Vec<u8> {
    Tar::default().file("f", vec![b'x'; bytes as usize]).gz()
}

/// Sets the time of last use to so many seconds ago.
fn used(fixture: &Fixture, version: &str, ago: u64) {
    let file = fs::File::options()
        .write(true)
        .open(fixture.path(version).join("meta.json"))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(ago))
        .unwrap();
}

fn has(fixture: &Fixture, version: &str) -> Option<bool> {
    let version = fixture.store.version(&key(version))?;
    Some(version.has_content())
}

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
        for (length, _) in header.sections() {
            let Some(section) = bytes.get(at..at.saturating_add(length as usize)) else {
                break;
            };
            if length > 0 {
                table.extend(checksums::checksum(section).to_le_bytes());
            }
            at += length as usize;
        }
        if bytes.len() == at + table.len() {
            bytes[at..].copy_from_slice(&table);
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
    for length in [0, 1, HEADER - 1, HEADER, good.len() - 1] {
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
    // What can never fit takes nobody's place, with the figure and the option.
    for (declared_size, size) in [(500 * KIB, 1), (1, 500 * KIB)] {
        let error = fixture
            .take_in(&declared(declared_size), &archive(size))
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(error.errno(), libc::ENOSPC, "{text}");
        assert!(
            text.contains("--cache-size") && text.contains(&(400 * KIB).to_string()),
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
fn deletion_hurts_no_reader() {
    let fixture = Fixture::new();
    let big = vec![9; (packer::BLOB + 1) as usize];
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
        .file("big", vec![9; (packer::BLOB + 1) as usize]);
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
fn many_at_once() {
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
fn a_crash_leaves_a_version_or_nothing() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("big", vec![9; (packer::BLOB + 1) as usize])
        .file("f", "x");
    fixture.put("v", &tar.gz()).unwrap();
    let v1 = fixture.folder.path().join("v1");
    let staging = v1.join("staging");
    let whole = fixture.path("v");
    let copy = |to: &Path, names: &[&str]| {
        fs::create_dir(to).unwrap();
        for name in names {
            fs::copy(whole.join(name), to.join(name)).unwrap();
        }
    };
    let lock = |id: &str| {
        fs::write(
            staging.join(format!("{id}.lock")),
            format!("{:020}", 1 << 29),
        )
        .unwrap()
    };
    // Killed at each step of the way: the lock file, the directory, some of the files, all of them.
    lock("1-a");
    for (id, names) in [
        ("1-b", &[][..]),
        ("1-c", &["pack"]),
        ("1-d", &["pack", "blob-0", "tree", "meta.json"]),
    ] {
        lock(id);
        copy(&staging.join(id), names);
    }
    // Between taking an old version away and removing it.
    copy(&staging.join("trash-1-0"), &["tree"]);
    // After the rename, before the lock file went: nothing of the version is touched.
    lock("1-e");
    // In the middle of an eviction.
    let path = v1.join("versions").join(key("w").directory());
    copy(&path, &["blob-0", "tree"]);
    let reopened = Store::open(config(fixture.folder.path())).unwrap();
    assert_eq!(fixture.on_disk(), (2, 0));
    assert!(!path.join("blob-0").exists());
    assert!(reopened.version(&key("w")).is_none());
    let version = reopened.version(&key("v")).unwrap();
    assert_eq!(read(&version, "f").unwrap(), b"x");
    let usage = reopened.usage();
    assert!(
        usage.bytes < 2 << 20,
        "reservations of the dead do not count: {usage:?}"
    );
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

/// Names the cache directory to [`writes_until_killed`].
const CHILD: &str = "VM0FS_TEST_CACHE";

/// Not a test by itself: what [`killed_at_any_moment`] starts and kills.
#[test]
#[ignore = "run by another test"]
fn writes_until_killed() {
    let folder = std::env::var_os(CHILD).expect(CHILD);
    let config = StoreConfig {
        ceiling: 8 << 20,
        ..config(Path::new(&folder))
    };
    let store = Store::open(config).unwrap();
    for round in 0_u32.. {
        let tar = Tar::default()
            .file("big", vec![round as u8; (packer::BLOB + 1) as usize])
            .file("small", [round as u8; 100]);
        let name = format!("v{}", round % 12);
        let archive = tar.gz();
        take_in(&store, &request(&name), &archive[..], None).unwrap();
    }
}

#[test]
fn killed_at_any_moment() {
    let fixture = Fixture::with(|config| config.ceiling = 8 << 20);
    let mut seen = 0;
    for round in 0..12 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "store::tests::cache::writes_until_killed",
            ])
            .env(CHILD, fixture.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + round * 17));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let store = Store::open(StoreConfig {
            ceiling: 8 << 20,
            ..config(fixture.folder.path())
        })
        .unwrap();
        assert_eq!(fixture.on_disk().1, 0);
        let usage = store.usage();
        assert!(usage.bytes <= usage.ceiling, "{usage:?}");
        let mut there = 0;
        for at in 0..12 {
            let Some(version) = store.version(&key(&format!("v{at}"))) else {
                continue;
            };
            there += 1;
            assert_eq!(listing(&version), ["big", "small"]);
            if let (Some(big), Some(small)) = (read(&version, "big"), read(&version, "small")) {
                seen += 1;
                assert_eq!((big.len() as u64, small.len()), (packer::BLOB + 1, 100));
                assert!(big.iter().chain(&small).all(|byte| *byte == big[0]));
            }
        }
        // Whatever is there is a version.
        assert_eq!(fixture.on_disk().0, there);
    }
    assert!(seen > 0, "the child never came to sealing anything");
}

/// Waits for what another thread does some time.
fn soon(what: &str, mut test: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !test() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sealed_at_once_and_synced_soon() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("big", vec![9; (packer::BLOB + 1) as usize])
        .file("f", "x");
    let version = fixture.put("v", &tar.clone().gz()).unwrap();
    assert!(version.meta().boot.is_some());
    // By `take_in`, as every fetch does.
    let mark = fixture.path("v").join(files::SYNCED);
    soon("synced", || mark.exists());
    let reopen = || Store::open(config(fixture.folder.path())).unwrap();
    let meta = fixture.path("v").join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    let boot = durability::boot().unwrap();
    assert!(text.contains(boot));
    // After another boot: what was synced is there, what was not may have holes.
    fs::write(&meta, text.replace(boot, "another boot")).unwrap();
    assert_eq!(
        read(&reopen().version(&key("v")).unwrap(), "f").unwrap(),
        b"x"
    );
    fs::remove_file(&mark).unwrap();
    let store = reopen();
    assert!(store.version(&key("v")).is_none());
    assert_eq!(store.usage().with_content, 0);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!mark.exists(), "what a crash left is not taken for synced");
    // It is replaced, and older versions, synced before they were sealed, stay good.
    let archive = tar.gz();
    take_in(&store, &request("v"), &archive[..], None).unwrap();
    soon("synced again", || mark.exists());
    let mut meta: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&meta).unwrap()).unwrap();
    meta.as_object_mut().unwrap().remove("boot");
    fs::write(fixture.path("v").join("meta.json"), meta.to_string()).unwrap();
    fs::remove_file(&mark).unwrap();
    assert!(reopen().version(&key("v")).is_some());
}

#[test]
fn killed_between_seal_and_sync() {
    let fixture = Fixture::new();
    let path = fixture.path("v");
    let mark = path.join(files::SYNCED);
    fixture
        .put("v", &Tar::default().file("f", "x").gz())
        .unwrap();
    soon("synced", || mark.exists());
    // As a kill right after the rename leaves it: no mark, and a lock file.
    fs::remove_file(&mark).unwrap();
    fs::write(fixture.folder.path().join("v1/staging/1-a.lock"), "").unwrap();
    let store = Store::open(config(fixture.folder.path())).unwrap();
    assert_eq!(read(&store.version(&key("v")).unwrap(), "f").unwrap(), b"x");
    // The next process finishes it, and evicts it no later than others.
    soon("synced by the next", || mark.exists());
    assert_eq!(fixture.on_disk(), (1, 0));
    assert_eq!(store.usage().with_content, 1);
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
