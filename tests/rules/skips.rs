//! A test that cannot run where it is says so: it is ignored with a reason, and
//! `scripts/test` runs it where it can. None returns early and counts as passed.

use super::{
    paths::{Token, tokens},
    source::{rust_files, text},
};

/// Why tests may be ignored; `scripts/test` runs those of the first reason as root.
const ROOT: &str = "needs root";
const REASONS: [&str; 3] = [ROOT, "measures", "run by another test"];

/// What a file says of a test.
struct Test {
    name: String,
    /// `Some("")` if it is ignored without a reason.
    ignored: Option<String>,
    /// The line of a `return` of the test itself.
    returns: Option<usize>,
}

/// The tests of a file.
fn tests_of(code: &str) -> Vec<Test> {
    let tokens = tokens(code);
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let starts = texts.windows(4).enumerate();
    let starts = starts.filter(|(_, window)| *window == ["#", "[", "test", "]"]);
    starts
        .map(|(start, _)| {
            let function = start
                + texts[start..]
                    .iter()
                    .position(|text| *text == "fn")
                    .unwrap();
            let lines = code.lines().skip(tokens[start].line - 1);
            let lines = lines.take(tokens[function].line - tokens[start].line);
            let ignored = lines.map(str::trim).find_map(|line| {
                let reason = line.strip_prefix("#[ignore")?.strip_suffix(']')?;
                let reason = reason.trim_start_matches(" = ").trim_matches('"');
                Some(reason.to_owned())
            });
            Test {
                name: texts[function + 1].to_owned(),
                ignored,
                returns: returns(&tokens[function..]),
            }
        })
        .collect()
}

/// The line of the first `return` in the function that begins here, outside of
/// its closures and of the functions within it.
fn returns(tokens: &[Token]) -> Option<usize> {
    // Whether each block that is open here is the body of a function.
    let mut blocks = Vec::new();
    let mut is_function = false;
    let mut before = "";
    for token in tokens {
        match token.text.as_str() {
            "fn" => is_function = true,
            "{" => {
                blocks.push(is_function || before == "|" || before == "async");
                is_function = false;
            }
            "}" => {
                blocks.pop();
                if blocks.is_empty() {
                    return None;
                }
            }
            // `|_| return`, without a block.
            "return" if before != "|" && blocks.iter().filter(|is| **is).count() == 1 => {
                return Some(token.line);
            }
            _ => {}
        }
        before = &token.text;
    }
    None
}

/// All tests, and the files that they are in.
fn tests() -> Vec<(String, Test)> {
    let files = rust_files(&["src", "tests"]).into_iter();
    let tests = files.flat_map(|path| {
        let tests = tests_of(&text(&path)).into_iter();
        tests.map(move |test| (path.clone(), test))
    });
    let tests = Vec::from_iter(tests);
    assert!(tests.len() > 800, "{} tests have been found", tests.len());
    tests
}

#[test]
fn no_test_returns_early() {
    let early = tests().into_iter().filter_map(|(path, test)| {
        let line = test.returns?;
        Some(format!("\n  {path}:{line} {}", test.name))
    });
    let early = Vec::from_iter(early);
    assert!(
        early.is_empty(),
        "these tests pass without a look: ignore them with a reason, and `scripts/test` runs \
         them where they can run{}",
        early.concat()
    );
}

#[test]
fn tests_are_ignored_with_a_reason_and_run_by_the_script() {
    let script = text("scripts/test");
    let skipped = script.split("--skip ").skip(1);
    let mut skipped = Vec::from_iter(skipped.map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap()]
    }));
    let mut of_root = 0;
    for (path, test) in tests() {
        let Some(reason) = test.ignored else { continue };
        let name = test.name;
        assert!(
            REASONS.contains(&reason.as_str()),
            "{path}: {name} is ignored for {reason:?}; {REASONS:?} are known"
        );
        if reason == ROOT {
            of_root += 1;
            let is_skipped = skipped.iter().any(|skipped| name.contains(skipped));
            assert!(!is_skipped, "scripts/test leaves out {name}");
        } else {
            let at = skipped.iter().position(|skipped| *skipped == name);
            let at = at.unwrap_or_else(|| panic!("scripts/test does not leave out {name}"));
            skipped.remove(at);
        }
    }
    assert!(of_root > 10, "{of_root} tests need root");
    assert!(script.contains("--include-ignored"));
    assert!(skipped.is_empty(), "scripts/test leaves out {skipped:?}");
}

#[test]
fn a_return_of_the_test_is_told_from_those_of_closures() {
    let of = |body: &str| {
        let code =
            format!("#[test]\n#[ignore = \"x\"]\nfn a() {{\n{body}\n}}\nfn b() {{ return; }}");
        let mut tests = tests_of(&code);
        assert_eq!(tests.len(), 1);
        let test = tests.remove(0);
        assert_eq!(
            (test.name.as_str(), test.ignored.as_deref()),
            ("a", Some("x"))
        );
        test.returns
    };
    assert_eq!(of("if b {\n    return;\n}"), Some(5));
    assert_eq!(of("let Some(x) = y else { return };"), Some(4));
    assert_eq!(of("match x {\n    A | B => return,\n}"), Some(5));
    assert_eq!(of("loop { if let A | B = x { return; } }"), Some(4));
    assert_eq!(of("let f = |x| { if x { return; } }; f(\"return;\")"), None);
    assert_eq!(
        of("x.map(|_| return); spawn(move || { for _ in y { return } })"),
        None
    );
    assert_eq!(
        of("fn c() -> u8 { return 1; }\nimpl A { fn d() { return; } }"),
        None
    );
    let none = tests_of("#[test]\nfn a() {}\n#[test]\n#[ignore]\nfn b() {}");
    let none: Vec<_> = none.iter().map(|test| test.ignored.as_deref()).collect();
    assert_eq!(none, [None, Some("")]);
}
