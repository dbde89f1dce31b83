//! The variables of the environment, and where users read of them.

use super::source::{sources, text};
use std::collections::BTreeSet;

/// Those that are of no use to users: of the system and of processes of other programs, of
/// builds, and of tests that break the program at a step.
const NOT_TOLD: [&str; 8] = [
    "CARGO_CRATE_NAME",
    "CARGO_PKG_VERSION",
    "LC_ALL",
    "REQUEST_METHOD",
    "SOURCE_DATE_EPOCH",
    "VM0FS_CRASH_AT",
    "VM0FS_PANIC_AT",
    "VM0FS_SHARED_PATIENCE",
];

/// The words of a line that are spelt as variables are and stand in quotes, or that name
/// certificates, which a crate reads.
fn variables(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = line.match_indices(is_part).map(|(at, _)| at);
    let starts = words.filter(move |at| !line[..*at].ends_with(is_part));
    starts.filter_map(move |at| {
        let rest = &line[at..];
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let is_quoted = line[..at].ends_with('"') && rest[word.len()..].starts_with('"');
        let is_large = !word.contains(|c: char| c.is_ascii_lowercase());
        let is_variable = is_large && word.trim_end_matches('_').contains('_');
        let is_told =
            is_quoted && (is_variable && !word.ends_with('_') || word.ends_with("_proxy"));
        (is_told || word.starts_with("SSL_CERT_")).then_some(word)
    })
}

#[test]
fn every_variable_that_the_code_reads_is_on_a_manual_page() {
    let mut found = BTreeSet::new();
    // What the demo's agents are told is no variable of ours.
    let sources = sources();
    let sources = sources.iter().filter(|source| source.module() != "demo");
    for source in sources.filter(|source| !source.path.starts_with("cli/man/")) {
        found.extend(source.lines().flat_map(|(_, line)| variables(line)));
    }
    for name in [
        "NO_COLOR",
        "SSL_CERT_FILE",
        "NOTIFY_SOCKET",
        "no_proxy",
        "AWS_PROFILE",
    ] {
        assert!(found.contains(name), "{name} is not found: {found:?}");
    }
    let words = text("src/cli/man/words.rs");
    // The page leads there for what has credentials.
    let fleets = text("src/guide/fleets.md");
    for name in found.iter().filter(|name| !NOT_TOLD.contains(*name)) {
        let is_told = words.contains(name)
            || words.contains(&name.to_ascii_lowercase())
            || name.starts_with("AWS_") && fleets.contains(name);
        assert!(is_told, "{name}: see src/cli/man/words.rs");
    }
    for name in NOT_TOLD {
        assert!(found.contains(name), "{name} is not read any more");
    }
}

#[test]
fn variables_are_found_in_a_line() {
    let line = r#"const A_B: &str = "VM0_X"; f("a_proxy", "XDG_", "text SSL_CERT_DIR")"#;
    let found: Vec<&str> = variables(line).collect();
    assert_eq!(found, ["VM0_X", "a_proxy", "SSL_CERT_DIR"]);
}
