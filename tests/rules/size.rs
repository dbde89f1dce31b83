//! No file is longer than 500 lines: more is two files.

use super::source::{files, text};
use std::collections::BTreeSet;

const LONGEST: usize = 500;
/// The files that are longer today; none may be added.
const KNOWN: [&str; 3] = [
    "src/store/tests/archives.rs",
    "src/store/tests/cache.rs",
    "src/store/tests/downloads.rs",
];

/// Whether a file of the repository is code: Rust, Python or a shell script.
fn is_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap();
    let is_script = path.starts_with("scripts/") && !name.contains('.');
    is_script || [".rs", ".py", ".sh"].iter().any(|end| name.ends_with(end))
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let mut known = BTreeSet::from(KNOWN);
    let mut count = 0;
    for path in files(&["src", "tests", "scripts"]) {
        if is_code(&path) {
            let lines = text(&path).lines().count();
            count += 1;
            let is_known = lines <= LONGEST || known.remove(path.as_str());
            assert!(is_known, "{path} has {lines} lines");
        }
    }
    assert!(count > 200, "{count} files have been found");
    assert!(
        known.is_empty(),
        "not that long any more: take {known:?} out of KNOWN"
    );
}
