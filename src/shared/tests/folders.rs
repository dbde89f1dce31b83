//! A folder as disks and other users make it.

use super::*;

#[test]
fn objects_that_another_machine_has_removed_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "x", b"content");
    let name = hex(&cache.0.sealer.address(&name("x")));
    for _ in 0..2 {
        cache.0.bucket.remove(vec![name.clone()]).unwrap();
    }
    assert_eq!(files(folder.path()).len(), 0);
}
