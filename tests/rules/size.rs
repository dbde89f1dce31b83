//! No file is longer than 500 lines: more is two files. The README is a first page.

use super::source::{files, text};

const LONGEST: usize = 500;
const FIRST_PAGE: usize = 250;

/// Whether a file of the repository is code: Rust, Python or a shell script.
fn is_code(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap();
    let is_script = path.starts_with("scripts/") && !name.contains('.');
    is_script || [".rs", ".py", ".sh"].iter().any(|end| name.ends_with(end))
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let mut count = 0;
    for path in files(&["src", "tests", "scripts"]) {
        if is_code(&path) {
            let lines = text(&path).lines().count();
            count += 1;
            assert!(lines <= LONGEST, "{path} has {lines} lines");
        }
    }
    assert!(count > 200, "{count} files have been found");
}

#[test]
fn the_readme_is_no_longer_than_a_first_page() {
    let lines = text("README.md").lines().count();
    assert!(
        lines <= FIRST_PAGE,
        "{lines} lines: the rest goes to src/guide"
    );
}
