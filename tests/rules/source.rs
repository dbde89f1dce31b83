//! What the rules read: the source without its tests.

use std::{fs, path::Path};

/// A source file without its tests.
pub(super) struct Source {
    /// Relative to `src`, such as `tree/names.rs`.
    pub(super) path: String,
    /// Everything before the test module at the end.
    pub(super) code: String,
}

impl Source {
    /// The first component, without its extension: `tree`.
    pub(super) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub(super) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == format!("{place}.rs") || self.path.starts_with(&format!("{place}/"))
        })
    }

    /// The lines that are code, numbered, comments cut off.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
    }

    /// The lines that name a crate, in a path or in a `use`.
    pub(super) fn naming(&self, name: &str) -> Vec<usize> {
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
    pub(super) fn importing(&self, module: &str) -> Vec<usize> {
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

/// The repository's folder.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub(super) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below some folders of the repository, such as `src/tree/names.rs`.
pub(super) fn files(folders: &[&str]) -> Vec<String> {
    let mut folders = Vec::from_iter(folders.iter().map(|folder| root().join(folder)));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(root()).unwrap();
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// Those that are written in Rust.
pub(super) fn rust_files(folders: &[&str]) -> Vec<String> {
    let mut files = files(folders);
    files.retain(|path| path.ends_with(".rs"));
    files
}

/// All of `src` but what is compiled for tests only.
pub(super) fn sources() -> Vec<Source> {
    let is_test = |path: &str| {
        path.split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    };
    let paths = rust_files(&["src"]).into_iter();
    let sources = paths.filter(|path| !is_test(path)).map(|path| {
        let text = text(&path);
        let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
        Source {
            path: path["src/".len()..].to_owned(),
            code: text[..end].to_owned(),
        }
    });
    let sources = Vec::from_iter(sources);
    assert!(sources.len() > 40, "the source has been found");
    sources
}
