//! Mounts that a machine makes by itself: by its table of mounts, by its service
//! manager, and in containers.

mod containers;
mod notices;
mod services;
mod tables;

/// `no COMMAND`, in a script that ends at the first command to fail: COMMAND must fail. (A
/// `!` before it would have bash go on if it succeeds.)
const NO: &str = r#"
no() { if "$@"; then echo "this should have failed: $*" >&2; exit 1; fi; }
"#;
