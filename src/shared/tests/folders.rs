//! A folder as disks and other users make it.

use super::*;
use std::os::unix::fs::PermissionsExt;

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

#[test]
fn all_who_write_in_the_folder_write_below_it() {
    let parent = tempfile::tempdir().unwrap();
    for mode in [0o1777, 0o2775, 0o700] {
        let folder = parent.path().join(format!("{mode:o}"));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        put(&open(&folder, 1), "x", b"content");
        let file = files(&folder).remove(0);
        let above = file.ancestors().skip(1).take(2);
        for made in above {
            let found = fs::metadata(made).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{}: {found:o}", made.display());
        }
    }
}
