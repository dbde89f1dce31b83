//! What a crash leaves, of the process and of the machine.

use super::{parts::Evicted, *};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_crash_leaves_a_version_or_nothing() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("big", vec![9; (BLOB_SIZE + 1) as usize])
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
            .file("big", vec![round as u8; (BLOB_SIZE + 1) as usize])
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
    // On a busy machine the child comes to sealing late: each round gives it longer.
    for round in 0..40 {
        if round >= 12 && seen > 0 {
            break;
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "store::tests::crashes::writes_until_killed",
            ])
            .env(CHILD, fixture.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(150 + round * 17));
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
                assert_eq!((big.len() as u64, small.len()), (BLOB_SIZE + 1, 100));
                assert!(big.iter().chain(&small).all(|byte| *byte == big[0]));
            }
        }
        // All that is on disk is a version.
        assert_eq!(fixture.on_disk().0, there);
    }
    assert!(seen > 0, "the child never came to sealing anything");
}

/// Waits for what another thread does some time.
#[track_caller]
pub(super) fn soon(what: &str, mut test: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !test() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sealed_at_once_and_synced_soon() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("big", vec![9; (BLOB_SIZE + 1) as usize])
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
    thread::sleep(Duration::from_millis(50));
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
fn a_version_that_is_prepared_does_not_count_as_damaged() {
    let evicted = Evicted::new();
    let (version, is_over) = (evicted.version(), AtomicBool::new(false));
    // As a process that was killed in the middle of it leaves it.
    fs::write(evicted.fixture.path("v").join("new-pack"), "x").unwrap();
    let given_up = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(version.hold());
            }
        });
        let is_lost = |_: &u32| {
            entries::remove_content(&evicted.fixture.path("v"));
            let cache = &evicted.fixture.store.cache;
            cache.prepare(&version, &Progress::new()).unwrap();
            version.present() != Present::Partly
        };
        let given_up = (0..2000).filter(is_lost).count();
        is_over.store(true, Ordering::Relaxed);
        given_up
    });
    assert_eq!(given_up, 0, "preparations that a reader took for damage");
    let (name, content) = &evicted.files[60];
    let found = parts::range_of(
        &evicted.fixture.store,
        &evicted.server,
        name,
        0,
        content.len(),
    );
    assert!(found.unwrap() == *content);
}
