//! The room that is taken by what was left.

use super::*;

#[test]
fn what_is_left_is_counted_and_goes_first() {
    let bench = Bench::new(&ARCHIVE);
    let left = bench.fails(5 * MIB);
    let size = |path: &Path| {
        let files = fs::read_dir(path).unwrap().flatten();
        files
            .map(|file| file.metadata().unwrap().len())
            .sum::<u64>()
    };
    let bytes = size(&left);
    assert!(bytes > 4 * MIB as u64);
    let store = bench.store_of(20 * MIB as u64);
    assert_eq!(store.usage().bytes, bytes);
    let inventory = Inventory::open(bench.folder.path(), 1 << 30).unwrap();
    let inventory = inventory.unwrap();
    assert_eq!(inventory.breakdown().unwrap().reserved, bytes);
    assert_eq!(inventory.leftovers(true).unwrap(), (0, 0));
    // It leaves room for this.
    let noise = |length| Tar::default().file("f", seek::noise(length)).gz();
    take_in(&store, &request("a"), &noise(10 * MIB), None).unwrap();
    assert_eq!(bench.left(), Some(left.clone()));
    take_in(&store, &request("b"), &noise(7 * MIB), None).unwrap();
    assert_eq!(bench.left(), None);
    assert!(store.version(&key("a")).unwrap().has_content());
    // And is removed with all content, or once it is old.
    let bench = Bench::new(&ARCHIVE);
    let bytes = size(&bench.fails(5 * MIB));
    let inventory = Inventory::open(bench.folder.path(), 1 << 30).unwrap();
    let freed = inventory.unwrap().clear(false, false).unwrap();
    assert_eq!(
        (freed.versions, freed.bytes, bench.left()),
        (0, bytes, None)
    );
    let left = bench.fails(5 * MIB);
    let day = Duration::from_secs(24 * 60 * 60);
    let journal = fs::OpenOptions::new()
        .append(true)
        .open(left.join("journal"));
    let since = std::time::SystemTime::now() - day;
    let journal = journal.unwrap();
    journal
        .set_modified(since + Duration::from_secs(60))
        .unwrap();
    bench.store();
    assert_eq!(bench.left(), Some(left));
    journal
        .set_modified(since - Duration::from_secs(60))
        .unwrap();
    bench.store();
    assert_eq!(bench.left(), None);
}
