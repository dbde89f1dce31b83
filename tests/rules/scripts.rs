//! The programs of `scripts/`.

use super::source::{files, root};
use std::process::Command;

#[test]
fn each_script_says_what_it_is_for() {
    let scripts = files(&["scripts"]);
    // Not what dpkg calls, which says what for.
    let is_of_package = |path: &String| path.contains("/debian/") || path.ends_with("Dockerfile");
    let is_script = |path: &&String| !path.contains('.') && !is_of_package(path);
    let scripts = scripts.iter().filter(is_script);
    let mut count = 0;
    for script in scripts {
        // From elsewhere, with nothing to read.
        let mut command = Command::new(root().join(script));
        let output = command.arg("--help").current_dir("/").output().unwrap();
        assert!(output.status.success(), "{script} --help: {output:?}");
        assert!(output.stdout.len() > 80, "{script} --help: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{script}");
        count += 1;
    }
    assert_eq!(count, 11, "scripts have been found");
}
