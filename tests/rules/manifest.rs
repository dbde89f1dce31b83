//! What is built with: the crates, the version of Rust, the fuzz targets.

use super::source::text;
use std::{fs, path::Path};

/// Direct dependencies and all that are locked: more is a decision to be taken here.
const DEPENDENCIES: usize = 39;

const LOCKED: usize = 285;

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
