//! The table of promises at the head of `tests/main.rs`.

use super::source::{rust_files, text};

/// All tests by their modules, such as `faults::connections::that_break`.
fn tests() -> Vec<String> {
    let mut all = Vec::new();
    for path in rust_files(&["src", "tests"]) {
        let module = path.trim_end_matches(".rs").split('/').skip(1);
        let module = module.collect::<Vec<_>>().join("::");
        all.extend(tests_in(&text(&path)).map(|name| format!("{module}::{name}")));
    }
    assert!(all.len() > 400, "{} tests have been found", all.len());
    all
}

/// The names of the functions that a file marks as tests.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]").skip(1).filter_map(|rest| {
        let mut lines = rest.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with("fn "))?;
        line["fn ".len()..].split('(').next()
    })
}

/// The words in backquotes of a text that are paths of tests: `a::b`.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |part: &str| {
        let mut bytes = part.bytes();
        !part.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(move |word| word.contains("::") && word.split("::").all(is_name))
}

#[test]
fn every_test_that_holds_a_promise_exists() {
    let tests = tests();
    let main = text("tests/main.rs");
    let named: Vec<&str> = named_tests(&main).collect();
    assert!(named.len() > 30, "{} are named", named.len());
    for name in named {
        let found = tests
            .iter()
            .any(|test| test == name || test.ends_with(&format!("::{name}")));
        assert!(found, "tests/main.rs names {name}, which is no test");
    }
}

#[test]
fn names_of_tests_are_found() {
    let text = "#[test]\n#[ignore]\nfn a() {}\nfn b() {}\n#[test]\nfn c_1() {}";
    assert_eq!(tests_in(text).collect::<Vec<_>>(), ["a", "c_1"]);
    let text = "`x` and `y::z`, not `Y::z`, `::` or y::x; `a::b_1::c`";
    assert_eq!(named_tests(text).collect::<Vec<_>>(), ["y::z", "a::b_1::c"]);
}
