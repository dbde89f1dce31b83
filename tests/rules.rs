//! The rules of `src/lib.rs`, held against the source itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file without its tests.
struct Source {
    /// Relative to `src`, such as `tree/names.rs`.
    path: String,
    /// Everything before the test module at the end.
    code: String,
}

impl Source {
    /// The first component, without its extension: `tree`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == format!("{place}.rs") || self.path.starts_with(&format!("{place}/"))
        })
    }

    /// The lines that are code, numbered, comments cut off.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
    }

    /// The lines that name a crate, in a path or in a `use`.
    fn naming(&self, name: &str) -> Vec<usize> {
        let names = |line: &str| {
            let mut rest = line;
            let mut before = ' ';
            while let Some(at) = rest.find(name) {
                before = rest[..at].chars().next_back().unwrap_or(before);
                let after = &rest[at + name.len()..];
                let word = before.is_alphanumeric() || "_.\":".contains(before);
                if !word
                    && (after.starts_with("::")
                        || (line.contains("use ") && after.starts_with(';')))
                {
                    return true;
                }
                rest = after;
            }
            false
        };
        self.lines()
            .filter(|(_, line)| names(line))
            .map(|(number, _)| number)
            .collect()
    }

    /// The lines that import or name a module of this crate.
    fn importing(&self, module: &str) -> Vec<usize> {
        // Imports stand over several lines: statements, not lines.
        let mut found = Vec::new();
        let mut statement = String::new();
        let mut start = 0;
        for (number, line) in self.lines() {
            if statement.is_empty() && line.trim_start().starts_with("use crate::") {
                start = number;
            }
            if start > 0 {
                statement.push_str(line.trim());
                if line.contains(';') {
                    if imports(&statement, module) {
                        found.push(start);
                    }
                    statement.clear();
                    start = 0;
                }
            } else if line.contains(&format!("crate::{module}::")) {
                found.push(number);
            }
        }
        found
    }
}

/// Whether `use crate::{a, b::{c, d}};` names `module` at its first level.
fn imports(statement: &str, module: &str) -> bool {
    let list = statement
        .trim_start_matches("use crate::")
        .trim_end_matches(';');
    let Some(list) = list.strip_prefix('{') else {
        return list.split("::").next() == Some(module);
    };
    let mut depth = 0;
    let mut names = vec![String::new()];
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            character if depth == 0 => names.last_mut().unwrap().push(character),
            _ => {}
        }
    }
    names
        .iter()
        .any(|name| name.trim().split("::").next() == Some(module))
}

fn files(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

/// All of `src` but what is compiled for tests only.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let relative = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let is_test = |path: &str| {
        path.split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    };
    let mut all: Vec<Source> = paths
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).unwrap()))
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| {
            let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
            let code = text[..end].to_owned();
            Source { path, code }
        })
        .collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(all.len() > 40, "the source has been found");
    all
}

/// Asserts that a crate is named in these places only, and in each of them.
#[track_caller]
fn named_only_in(name: &str, places: &[&str]) {
    let sources = sources();
    for source in &sources {
        let lines = source.naming(name);
        assert!(
            lines.is_empty() || source.is_in(places),
            "src/{} names {name} in lines {lines:?}; only {places:?} may",
            source.path
        );
    }
    for place in places {
        let mut there = sources.iter().filter(|source| source.is_in(&[place]));
        assert!(
            there.any(|source| !source.naming(name).is_empty()),
            "{place} does not name {name} any more: this rule is out of date"
        );
    }
}

/// Asserts that no module but these imports `module`.
#[track_caller]
fn imported_only_by(module: &str, importers: &[&str]) {
    for source in sources() {
        let own = source.module();
        let lines = source.importing(module);
        assert!(
            own == module || lines.is_empty() || importers.contains(&own),
            "src/{} imports {module} in lines {lines:?}; only {importers:?} may",
            source.path
        );
    }
}

#[test]
fn crates_are_named_where_they_belong() {
    named_only_in("fuser", &["fs", "mount"]);
    named_only_in("reqwest", &["http", "api", "store/download"]);
    named_only_in("hyper_util", &["http/proxy"]);
    named_only_in("rustls", &["http/tls"]);
    named_only_in("tar", &["store/unpack"]);
    named_only_in("flate2", &["store/unpack", "demo"]);
    named_only_in("crc32fast", &["store/sums"]);
    named_only_in("axum", &["demo"]);
    named_only_in("plotters", &["tree/metrics"]);
    named_only_in("clap", &["cli", "main"]);
    named_only_in("pulldown_cmark", &["conversation"]);
}

#[test]
fn locks_are_those_of_one_module() {
    for source in sources() {
        // The demo's server shares no code with what it is to test.
        let is_apart = source.is_in(&["sync", "demo"]);
        let lines = source.naming("PoisonError");
        assert!(
            is_apart || lines.is_empty(),
            "src/{} names PoisonError in lines {lines:?}: use crate::sync",
            source.path
        );
    }
}

#[test]
fn errno_constants_are_in_one_table() {
    for source in sources() {
        for (number, line) in source.lines() {
            let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
            let found = words.any(|word| {
                let constant = word.strip_prefix("libc::E");
                constant.is_some_and(|rest| {
                    rest.bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
                })
            });
            assert!(
                !found || source.path == "error.rs",
                "src/{}:{number} has an errno constant: {line}",
                source.path
            );
        }
    }
}

#[test]
fn imports_go_downwards() {
    imported_only_by("demo", &["cli"]);
    imported_only_by("cli", &["main"]);
    imported_only_by("mount", &["main", "cli"]);
    imported_only_by("fs", &["mount"]);
    // `cli` for `vm0fs run`, which goes the way of a mount without the kernel.
    imported_only_by("park", &["fs", "mount", "cli"]);
    imported_only_by("tree", &["fs", "park", "mount", "cli"]);
    // `cli` for the token of the demo's server.
    imported_only_by("api", &["tree", "config", "mount", "cli"]);
    // `cli` for the commands on the cache, `config` for what is asked of the store.
    imported_only_by("store", &["tree", "mount", "cli", "config"]);
    imported_only_by("conversation", &["tree"]);
    // `cli` to tell which proxy is used.
    imported_only_by("http", &["api", "store", "cli"]);
    imported_only_by("config", &["main", "cli", "mount", "logging"]);
    imported_only_by("logging", &["main", "cli", "mount"]);
    imported_only_by("unmount", &["main", "cli", "mount"]);
}

/// Lines of a file without its tests: more is two files.
const LONGEST: usize = 500;
/// Begins the implementation of fuser's trait, which cannot be divided and is
/// mostly signatures: it counts as a file of its own.
const ADAPTER: &str = "impl Filesystem for Fs {";

/// How many lines a file has, and how many of them are [`ADAPTER`]'s.
fn length(source: &Source) -> (usize, usize) {
    let mut lines = source.code.lines();
    let all = lines.clone().count();
    let adapter = match lines.any(|line| line == ADAPTER) {
        true => 2 + lines.take_while(|line| *line != "}").count(),
        false => 0,
    };
    (all - adapter, adapter)
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    for source in sources() {
        let path = &source.path;
        assert!(
            source.code.starts_with("//! "),
            "src/{path} does not open with `//!`"
        );
        let opening = source
            .code
            .lines()
            .take_while(|line| line.starts_with("//!"));
        assert!(opening.count() >= 1);
        let (lines, adapter) = length(&source);
        assert!(
            lines <= LONGEST && adapter <= LONGEST,
            "src/{path} has {lines} lines without tests; {LONGEST} are the most"
        );
        assert!(adapter == 0 || path == "fs.rs");
        assert!(
            !path.ends_with("util.rs") && !path.ends_with("utils.rs"),
            "src/{path}"
        );
    }
}

#[test]
fn libraries_do_not_print() {
    for source in sources() {
        let may_print = source.is_in(&["main", "cli"]);
        for (number, line) in source.lines() {
            let prints = ["println!", "print!(", "eprint!(", "dbg!"]
                .iter()
                .any(|each| line.contains(each));
            assert!(
                !prints || may_print,
                "src/{}:{number} prints: {line}",
                source.path
            );
        }
    }
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All tests by their modules, such as `faults::connections::that_break`.
fn tests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        let mut paths = Vec::new();
        files(&root.join(folder), &mut paths);
        for path in paths {
            let text = fs::read_to_string(&path).unwrap();
            let module = path.strip_prefix(root.join(folder)).unwrap();
            let module = module.with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            all.extend(tests_in(&text).map(|name| format!("{module}::{name}")));
        }
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

/// Direct dependencies and all that are locked: more is a decision to be taken here.
const DEPENDENCIES: usize = 33;
const LOCKED: usize = 260;

#[test]
fn dependencies_are_few_and_locked() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let direct = manifest["dependencies"].as_table().unwrap();
    assert!(direct.len() <= DEPENDENCIES, "{} of them", direct.len());
    let lock: toml::Table = text("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() <= LOCKED, "{} packages", packages.len());
    let field = |package: &toml::Value, name: &str| {
        let value = package.get(name).and_then(toml::Value::as_str);
        value.map(str::to_owned)
    };
    for package in packages {
        let name = field(package, "name").unwrap();
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        let source = field(package, "source").unwrap_or_default();
        assert!(source.starts_with("registry+"), "{name} is from {source:?}");
        assert!(field(package, "checksum").is_some(), "{name}");
    }
    // What is built is what is locked.
    for script in ["test", "demo", "picture", "soak"] {
        let script = text(&format!("scripts/{script}"));
        for line in script.lines().filter(|line| !line.trim().starts_with('#')) {
            let builds = [
                "cargo build",
                "cargo test",
                "cargo clippy --all",
                "\"build\"",
            ];
            let builds = builds.iter().any(|each| line.contains(each));
            assert!(!builds || line.contains("--locked"), "{line}");
        }
    }
}

#[test]
fn tar_is_not_older_than_0_4_45() {
    let lock: toml::Table = text("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let versions: Vec<Vec<u64>> = packages
        .iter()
        .filter(|package| package["name"].as_str() == Some("tar"))
        .map(|package| {
            let numbers = package["version"].as_str().unwrap().split('.');
            numbers.map(|number| number.parse().unwrap()).collect()
        })
        .collect();
    assert_eq!(versions.len(), 1);
    assert!(versions[0] >= vec![0, 4, 45], "{versions:?}");
}

#[test]
fn nothing_listens() {
    for source in sources() {
        for (number, line) in source.lines() {
            let listens = ["UnixListener", "UnixDatagram", "TcpListener"]
                .iter()
                .any(|each| line.contains(each));
            assert!(
                !listens || source.module() == "demo",
                "src/{}:{number} listens: {line}",
                source.path
            );
        }
    }
}

/// Names and versions of the crates of a lock file.
fn locked(path: &str) -> Vec<(String, String)> {
    let lock: toml::Table = text(path).parse().unwrap();
    let text = |package: &toml::Value, key| package[key].as_str().unwrap().to_owned();
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| (text(package, "name"), text(package, "version")))
        .collect()
}

/// `tests/fuzz` has a lock file of its own, and is built by `scripts/fuzz` only.
#[test]
fn the_fuzz_targets_are_of_the_crates_that_are_used() {
    let used = locked("Cargo.lock");
    let remedy = "cp Cargo.lock tests/fuzz && cargo metadata --manifest-path tests/fuzz/Cargo.toml";
    for (name, version) in locked("tests/fuzz/Cargo.lock") {
        let mut here = used.iter().filter(|(used, _)| *used == name).peekable();
        assert!(
            here.peek().is_none() || here.any(|(_, used)| *used == version),
            "tests/fuzz has {name} {version}, vm0fs has not: {remedy}"
        );
    }
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let fuzzed = locked("tests/fuzz/Cargo.lock");
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        let is_there = fuzzed.iter().any(|(fuzzed, _)| fuzzed == name);
        assert!(is_there, "tests/fuzz lacks {name}: {remedy}");
    }
}

#[test]
fn each_fuzz_target_has_seeds_and_a_script_that_runs_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let script = fs::read_to_string(root.join("../../scripts/fuzz")).unwrap();
    let (_, rest) = script.split_once("\nall=(").unwrap();
    let mut ran: Vec<&str> = rest.split(')').next().unwrap().split(' ').collect();
    let names = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().path().with_extension(""))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    ran.sort();
    assert_eq!(names("fuzz_targets"), ran);
    assert_eq!(names("corpus"), ran);
}

#[test]
fn the_rules_notice_a_breach() {
    let source = Source {
        path: "tree/x.rs".into(),
        code: "use crate::{\n    api::types::{Run, store},\n    error::Error,\n};\nuse fuser::Errno;\n\
               // reqwest::get\nfn f() { vm0_tar::g(); crate::demo::h(); flate2::i() }\n"
            .into(),
    };
    assert_eq!(source.importing("api"), [1]);
    assert_eq!(source.importing("error"), [1]);
    assert_eq!(source.importing("demo"), [7]);
    assert!(source.importing("store").is_empty() && source.importing("types").is_empty());
    assert_eq!(source.naming("fuser"), [5]);
    assert_eq!(source.naming("flate2"), [7]);
    assert!(source.naming("tar").is_empty() && source.naming("reqwest").is_empty());
    assert_eq!(source.module(), "tree");
    let text = "#[test]\n#[ignore]\nfn a() {}\nfn b() {}\n#[test]\nfn c_1() {}";
    assert_eq!(tests_in(text).collect::<Vec<_>>(), ["a", "c_1"]);
    let text = "`x` and `y::z`, not `Y::z`, `::` or y::x; `a::b_1::c`";
    assert_eq!(named_tests(text).collect::<Vec<_>>(), ["y::z", "a::b_1::c"]);
}

/// A version of Rust as numbers: `1.95` and `1.95.0` are the same.
fn rust_version(text: &str) -> [u64; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

/// What cargo says of all packages that are built here, the locked ones.
fn packages() -> Vec<serde_json::Value> {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        let command = command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = [
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        host.unwrap(),
    ];
    let metadata: serde_json::Value = serde_json::from_str(&run(&cargo, &arguments)).unwrap();
    let built: Vec<&serde_json::Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| &node["id"])
        .collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .filter(|package| built.contains(&&package["id"]))
        .cloned()
        .collect()
}

#[test]
fn no_dependency_needs_a_newer_rust_than_we_say() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let package = manifest["package"].as_table().unwrap();
    let ours = package["rust-version"].as_str().unwrap();
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let Some(theirs) = package["rust_version"].as_str() else {
            continue;
        };
        assert!(
            rust_version(theirs) <= rust_version(ours),
            "{} {} needs Rust {theirs}, and rust-version says {ours}",
            package["name"],
            package["version"]
        );
    }
    // What the code itself needs, clippy looks at, as far as it is the library's.
    let lints = manifest["lints"]["clippy"].as_table().unwrap();
    assert_eq!(lints["incompatible_msrv"].as_str(), Some("warn"));
}
