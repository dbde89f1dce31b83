//! Pins, and the cache as the commands see it.

use super::*;
use std::{os::unix::fs::FileExt, time::SystemTime};

const KIB: u64 = 1 << 10;

fn archive(bytes: u64) -> Vec<u8> {
    Tar::default().file("f", vec![b'x'; bytes as usize]).gz()
}

fn inventory(fixture: &Fixture) -> Inventory {
    Inventory::open(fixture.folder.path(), 1 << 30)
        .unwrap()
        .unwrap()
}

fn has(fixture: &Fixture, version: &str) -> Option<bool> {
    let version = fixture.store.version(&key(version))?;
    Some(version.has_content())
}

/// Room for that many bytes of content, and the rest of so many versions.
fn room(content: u64, versions: u64) -> impl FnOnce(&mut StoreConfig) {
    move |config| config.ceiling = content + versions * 2 * entries::OVERHEAD + 64 * KIB
}

#[test]
fn pinned_versions_stay() {
    let fixture = Fixture::with(room(600 * KIB, 3));
    let inventory = inventory(&fixture);
    fixture.put("a", &archive(300 * KIB)).unwrap();
    let a = key("a").directory();
    assert!(inventory.pin(&a).unwrap());
    assert!(!inventory.pin(&a).unwrap());
    for (n, version) in ["b", "c", "d"].into_iter().enumerate() {
        let old = SystemTime::now() - Duration::from_secs(100);
        let meta = fixture.path("a").join("meta.json");
        let meta = fs::File::options().write(true).open(meta).unwrap();
        meta.set_modified(old).unwrap();
        fixture.put(version, &archive(290 * KIB)).unwrap();
        assert_eq!(has(&fixture, "a"), Some(true), "{n}");
    }
    assert_eq!(has(&fixture, "c"), Some(false));
    // All that is left is pinned: said at once, and by name.
    assert!(inventory.pin(&key("d").directory()).unwrap());
    let started = std::time::Instant::now();
    let error = fixture.put("e", &archive(290 * KIB)).unwrap_err();
    assert!(matches!(error, Error::NoSpace(_)), "{error}");
    assert!(
        error.to_string().contains("pinned versions hold"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(inventory.unpin(&a).unwrap());
    assert!(!inventory.unpin(&a).unwrap());
    fixture.put("e", &archive(290 * KIB)).unwrap();
    assert_eq!(has(&fixture, "a"), Some(false));
}

#[test]
fn a_pin_outlives_its_content() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    fixture.put("a", &archive(10)).unwrap();
    let a = key("a").directory();
    inventory.pin(&a).unwrap();
    assert_eq!(inventory.clear(false, true).unwrap().versions, 1);
    assert_eq!(has(&fixture, "a"), Some(false));
    fixture.put("a", &archive(10)).unwrap();
    assert_eq!(has(&fixture, "a"), Some(true));
    let items = inventory.list().unwrap();
    assert!(items[0].pinned && items[0].present == Present::Whole);
    assert_eq!(inventory.breakdown().unwrap().pinned_versions, 1);
}

#[test]
fn only_a_key_is_a_key() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    fixture.put("a", &archive(10)).unwrap();
    for wrong in [
        "",
        ".",
        "../staging",
        &"0".repeat(64),
        "a/../../x",
        &"é".repeat(32),
    ] {
        let error = inventory.pin(wrong).unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{wrong}: {error}");
        assert!(inventory.unpin(wrong).is_err());
        assert_eq!(inventory.verify(wrong, &mut |_| {}), Audit::Gone);
        inventory.drop_damaged(wrong, true).unwrap();
    }
    assert_eq!(fixture.on_disk().0, 1);
}

#[test]
fn clearing_hurts_no_reader_and_no_pin() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    for version in ["open", "pinned", "idle"] {
        fixture.put(version, &archive(100)).unwrap();
    }
    inventory.pin(&key("pinned").directory()).unwrap();
    let version = fixture.store.version(&key("open")).unwrap();
    let content = version.open(1).unwrap().unwrap();
    let cleared = inventory.clear(true, false).unwrap();
    assert_eq!(
        (cleared.versions, cleared.pinned, cleared.in_use),
        (1, 1, 1)
    );
    assert!(cleared.bytes >= 100);
    let mut buffer = [0; 100];
    assert_eq!(content.read_at(0, &mut buffer).unwrap(), 100);
    assert_eq!(has(&fixture, "idle"), None);
    drop(content);
    let cleared = inventory.clear(false, false).unwrap();
    assert_eq!(
        (cleared.versions, cleared.bytes, cleared.pinned),
        (1, 100, 1)
    );
    assert_eq!(has(&fixture, "open"), Some(false));
    assert_eq!(inventory.clear(true, true).unwrap().versions, 2);
    assert_eq!(fixture.on_disk(), (0, 0));
}

#[test]
fn an_inventory_sums_bytes_and_knows_names() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    fixture.put("a", &archive(1000)).unwrap();
    fixture.put("b", &archive(2000)).unwrap();
    fixture.store.note_name(&key("a"), "first");
    fixture.store.note_name(&key("a"), "wörk");
    fixture.store.note_name(&key("b"), &"x".repeat(5000));
    fixture.store.note_name(&key("none"), "x");
    entries::remove_content(&fixture.path("b"));
    let answers = fixture.folder.path().join("v1/answers/deep");
    fs::create_dir_all(&answers).unwrap();
    fs::write(answers.join("x"), [0; 77]).unwrap();
    let staging = Staging::new(fixture.store.cache.quota());
    let mut staging = staging.unwrap();
    staging.expect(5000, &Progress::new()).unwrap();
    let sum = inventory.breakdown().unwrap();
    assert_eq!((sum.content, sum.with_content, sum.versions), (1000, 1, 2));
    assert_eq!((sum.answers, sum.reserved), (77, 5000 + entries::OVERHEAD));
    assert_eq!(
        sum.total() - sum.answers,
        fixture.store.usage().bytes,
        "the same accounts"
    );
    let items = inventory.list().unwrap();
    let a = items
        .iter()
        .find(|item| item.present == Present::Whole)
        .unwrap();
    assert_eq!(a.name.as_deref(), Some("wörk"));
    assert!(items.iter().any(|item| item.name.is_none()));
    let files = fs::read_dir(fixture.path("a")).unwrap();
    assert_eq!(
        files
            .filter(|file| file.as_ref().unwrap().file_name() != "synced")
            .count(),
        5,
        "meta.json, tree, seek, pack and name"
    );
}

#[test]
fn no_cache_is_none() {
    let folder = TempDir::new().unwrap();
    assert!(Inventory::open(folder.path(), 1).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A version whose id proves it: small files, a large one, folders.
fn proven(fixture: &Fixture) -> String {
    let files = [
        ("a:b", vec![b'1'; 3000]),
        ("d/a", vec![b'2'; (BLOB_SIZE + 5) as usize]),
        ("d/\u{1f600}", vec![b'3'; 10]),
        ("d/\u{ff5e}", vec![]),
    ];
    let hash = |bytes: &[u8]| hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let lines: Vec<String> = files
        .iter()
        .map(|(path, content)| format!("{path}:{}", hash(content)))
        .collect();
    let id = hash(format!("storage:storage\n{}", lines.join("\n")).as_bytes());
    let tar = files.iter().fold(Tar::default(), |tar, (path, content)| {
        tar.file(path, content)
    });
    let version = fixture.put(&id, &tar.gz()).unwrap();
    assert_eq!(version.meta().verified, Verified::Yes);
    id
}

#[test]
fn verifying_reads_all_of_it() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    let id = proven(&fixture);
    let mut read = 0;
    let name = key(&id).directory();
    assert_eq!(
        inventory.verify(&name, &mut |bytes| read += bytes),
        Audit::Proven
    );
    assert_eq!(read, 3010 + BLOB_SIZE + 5);
    let other = Tar::default().file("f", "abc").symlink("s", "f").gz();
    fixture.put("other", &other).unwrap();
    let verify = |version: &str| inventory.verify(&key(version).directory(), &mut |_| {});
    assert_eq!(verify("other"), Audit::Complete);
    entries::remove_content(&fixture.path("other"));
    assert_eq!(verify("other"), Audit::TreeOnly);
    assert_eq!(verify("gone"), Audit::Gone);
}

#[test]
fn every_kind_of_damage_is_found() {
    type Damage = fn(&Path);
    fn change(file: &Path, at: u64) {
        let file = fs::File::options()
            .write(true)
            .read(true)
            .open(file)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
    fn cut(file: &Path, bytes: u64) {
        let file = fs::File::options().write(true).open(file).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length - bytes).unwrap();
    }
    let in_content: [(&str, Damage); 6] = [
        ("a bit of the pack", |path| change(&path.join("pack"), 3005)),
        ("a bit of a blob", |path| {
            change(&path.join("blob-0"), BLOB_SIZE)
        }),
        ("the pack's end", |path| cut(&path.join("pack"), 1)),
        ("a blob's end", |path| cut(&path.join("blob-0"), 1)),
        ("a blob", |path| {
            fs::remove_file(path.join("blob-0")).unwrap()
        }),
        ("all but the pack's length", |path| {
            fs::write(path.join("pack"), [0; 3010]).unwrap();
        }),
    ];
    let in_all: [(&str, Damage); 5] = [
        ("a bit of the tree", |path| change(&path.join("tree"), 200)),
        // Digests that are cut off are as ones that have not come.
        ("the tree's table", |path| {
            let tree = fs::read(path.join("tree")).unwrap();
            let header = format::Header::decode(&tree).unwrap();
            cut(&path.join("tree"), header.digests_length() + 1);
        }),
        ("the tree", |path| {
            fs::remove_file(path.join("tree")).unwrap()
        }),
        ("the facts", |path| {
            fs::write(path.join("meta.json"), "{}").unwrap()
        }),
        ("whose facts", |path| {
            let meta = path.join("meta.json");
            let text = fs::read_to_string(&meta).unwrap();
            fs::write(meta, text.replace("\"storage\"", "\"starage\"")).unwrap();
        }),
    ];
    for (whole, damages) in [(false, &in_content[..]), (true, &in_all[..])] {
        for (what, damage) in damages {
            let fixture = Fixture::new();
            let inventory = inventory(&fixture);
            let id = proven(&fixture);
            inventory.pin(&key(&id).directory()).unwrap();
            damage(&fixture.path(&id));
            let name = key(&id).directory();
            let audit = inventory.verify(&name, &mut |_| {});
            assert!(audit.is_damage(), "{what}: {audit:?}");
            assert_eq!(
                matches!(audit, Audit::Broken(_)),
                whole,
                "{what}: {audit:?}"
            );
            // Looking changes nothing.
            assert!(fixture.path(&id).join("pack").exists(), "{what}");
            inventory.drop_damaged(&name, whole).unwrap();
            let left = inventory.verify(&name, &mut |_| {});
            let expected = if whole { Audit::Gone } else { Audit::TreeOnly };
            assert_eq!(left, expected, "{what}");
            assert_eq!(proven(&fixture), id, "{what}: it can be fetched again");
            assert_eq!(inventory.verify(&name, &mut |_| {}), Audit::Proven);
            assert_eq!(inventory.list().unwrap()[0].pinned, !whole, "{what}");
        }
    }
}

#[test]
fn verifying_adds_the_digests_that_an_index_lacks() {
    let fixture = Fixture::new();
    let inventory = inventory(&fixture);
    let id = proven(&fixture);
    let path = fixture.path(&id).join("tree");
    let tree = fs::read(&path).unwrap();
    let short = format::Header::decode(&tree).unwrap().digests_at().unwrap();
    fs::write(&path, &tree[..short as usize]).unwrap();
    let mut read = 0;
    let audit = inventory.verify(&key(&id).directory(), &mut |bytes| read += bytes);
    assert_eq!(audit, Audit::Proven);
    assert_eq!(read, 3000 + BLOB_SIZE + 5 + 10, "once");
    assert!(fs::read(&path).unwrap() == tree);
}

/// A version that a mount has open is verified beside it, and not evicted meanwhile.
#[test]
fn verifying_keeps_from_eviction() {
    let fixture = Fixture::with(room(1600 * KIB, 2));
    let inventory = inventory(&fixture);
    let id = proven(&fixture);
    let mut tried = false;
    let audit = inventory.verify(&key(&id).directory(), &mut |_| {
        if !tried {
            tried = true;
            let error = fixture.put("big", &archive(1400 * KIB)).unwrap_err();
            assert!(matches!(error, Error::NoSpace(_)), "{error}");
        }
    });
    assert_eq!(audit, Audit::Proven);
    assert!(tried);
    fixture.put("big", &archive(1400 * KIB)).unwrap();
    assert_eq!(has(&fixture, &id), Some(false));
}
