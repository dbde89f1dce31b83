//! The places of the source that its documentation names do exist.

use super::source::{files, text};
use std::collections::BTreeSet;

/// `a/{b,c}` as `a/b` and `a/c`.
fn expanded(place: &str) -> Vec<String> {
    match place.split_once('{') {
        None => vec![place.to_owned()],
        Some((before, rest)) => {
            let (choices, after) = rest.split_once('}').unwrap_or((rest, ""));
            let choices = choices.split(',');
            choices
                .map(|choice| format!("{before}{choice}{after}"))
                .collect()
        }
    }
}

/// The places in backticks: words with slashes of which the first is a module.
fn places(documentation: &str, modules: &BTreeSet<String>) -> Vec<String> {
    let quoted = documentation.split('`').skip(1).step_by(2);
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/{},".contains(c);
    let places = quoted.filter(|quoted| {
        let first = quoted.split('/').next().unwrap_or_default();
        quoted.contains('/') && quoted.chars().all(is_word) && modules.contains(first)
    });
    places.flat_map(expanded).collect()
}

#[test]
fn the_places_that_documentation_names_exist() {
    let sources: BTreeSet<String> = files(&["src"]).into_iter().collect();
    let modules = sources
        .iter()
        .filter_map(|path| path.split(['/', '.']).nth(1));
    let modules: BTreeSet<String> = modules.map(str::to_owned).collect();
    let mut count = 0;
    for path in sources.iter().filter(|path| path.ends_with(".rs")) {
        let text = text(path);
        let lines = text.lines().map(str::trim_start);
        let comments: Vec<&str> = lines.filter(|line| line.starts_with("//")).collect();
        for place in places(&comments.join("\n"), &modules) {
            count += 1;
            let file = format!("src/{place}.rs");
            let folder = format!("src/{place}/");
            let exists =
                sources.contains(&file) || sources.iter().any(|source| source.starts_with(&folder));
            assert!(exists, "{path} names {place}, which does not exist");
        }
    }
    assert!(count > 50, "{count} places have been found");
}

#[test]
fn a_place_is_told_from_other_text() {
    let modules = BTreeSet::from(["tree".to_owned()]);
    let text = "in `tree/ops/{a,b}` and `tree`, not `v1/agents` or `tree/A b`";
    assert_eq!(places(text, &modules), ["tree/ops/a", "tree/ops/b"]);
}
