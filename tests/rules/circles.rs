//! No circle between files: none imports, over others, what imports it.
//!
//! A path counts for the file that defines what it names, also where others hand
//! that on. That a file declares a module, or hands on what is in it, does not
//! count; that it uses what is in it does, and so does a module's use of what its
//! parent defines.

use super::{
    paths::Names,
    source::{Source, sources},
};
use std::collections::{BTreeMap, BTreeSet};

/// The path of a module: `["store", "index"]`; that of the crate is empty.
type Module = Vec<String>;

/// What each file imports of which others, and a line that does.
type Arrows = BTreeMap<Module, BTreeMap<Module, usize>>;

/// What the files of `src` name, by their modules.
struct House(BTreeMap<Module, Names>);

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Home {
    /// To a module as such.
    Module(Module),
    /// To what is defined in the file of one.
    Item(Module),
}

impl House {
    fn of(sources: &[Source]) -> Self {
        // The program is a crate of its own, which only imports.
        let modules = sources.iter().filter(|source| source.path != "main.rs");
        let modules = modules.map(|source| {
            let path = source.path.strip_suffix(".rs").unwrap();
            let parts = path.split('/').filter(|part| *part != "lib");
            (parts.map(str::to_owned).collect(), Names::of(&source.code))
        });
        Self(modules.collect())
    }

    /// Where `path` leads that stands in `module`; `None` for what is of
    /// another crate, or of that file.
    fn home(&self, module: &Module, path: &[String], steps: usize) -> Option<Home> {
        let mut at = module.clone();
        for (position, word) in path.iter().enumerate() {
            let names = self.0.get(&at)?;
            let import = names.imports.iter().find(|import| import.name == *word);
            match word.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => {
                    at.pop()?;
                }
                word if names.children.contains(word) => at.push(word.to_owned()),
                _ => {
                    let defined = (position > 0).then_some(Home::Item(at.clone()));
                    // `use serde::{self}` brings a name that leads to itself.
                    let (Some(import), Some(steps)) = (import, steps.checked_sub(1)) else {
                        return defined;
                    };
                    let onward = [&import.from.path[..], &path[position + 1..]].concat();
                    return self.home(&at, &onward, steps).or(defined);
                }
            }
        }
        Some(Home::Module(at))
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, names) in &self.0 {
            let to = arrows.entry(module.clone()).or_default();
            // What is handed on counts where it is used, here or elsewhere.
            let imports = names.imports.iter();
            let imports = imports.filter(|import| !import.is_public || import.name == "*");
            for named in imports.map(|import| &import.from).chain(&names.paths) {
                if let Some(Home::Item(home)) = self.home(module, &named.path, 8)
                    && home != *module
                {
                    to.entry(home).or_insert(named.line);
                }
            }
        }
        arrows
    }
}

/// The files that can be reached from one by arrows.
fn reached(arrows: &Arrows, from: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(module) = waiting.pop() {
        for next in arrows.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next.clone()) {
                waiting.push(next);
            }
        }
    }
    reached
}

/// The groups of files that reach each other.
fn circles(arrows: &Arrows) -> BTreeSet<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<Module>> = arrows
        .keys()
        .map(|module| (module, reached(arrows, module)))
        .collect();
    let circle = |module: &Module| {
        let others = reached[module].iter();
        let others =
            others.filter(|other| reached.get(other).is_some_and(|to| to.contains(module)));
        others.cloned().collect::<BTreeSet<_>>()
    };
    let circles = arrows.keys().map(circle);
    circles.filter(|circle| !circle.is_empty()).collect()
}

/// A circle in words: each arrow of it.
fn drawn(circle: &BTreeSet<Module>, arrows: &Arrows) -> String {
    let mut lines = String::new();
    for module in circle {
        let within = arrows[module].iter().filter(|(to, _)| circle.contains(*to));
        for (to, line) in within {
            let (from, to) = (module.join("/"), to.join("/"));
            lines += &format!("\n  src/{from}.rs:{line} imports src/{to}.rs");
        }
    }
    lines
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let arrows = House::of(&sources()).arrows();
    let mut found = String::new();
    for circle in &circles(&arrows) {
        let (count, arrows) = (circle.len(), drawn(circle, &arrows));
        found += &format!("\n{count} files:{arrows}");
    }
    assert!(found.is_empty(), "files in circles: {found}");
}

#[test]
fn circles_are_found_by_what_defines_a_name() {
    let found = |files: &[(&str, &str)]| {
        let sources = files.iter().map(|(path, code)| Source {
            path: (*path).into(),
            code: (*code).into(),
        });
        let arrows = House::of(&Vec::from_iter(sources)).arrows();
        let circles = circles(&arrows);
        Vec::from_iter(circles.iter().map(|circle| drawn(circle, &arrows)))
    };
    let root = ("lib.rs", "mod a;");
    // Declared and handed on is not used.
    let handed = "mod b;\nmod c;\npub use b::B;\nuse std::fs;";
    let b = ("a/b.rs", "use super::fs::File;\npub struct B;");
    let c = ("a/c.rs", "use super::B;\nuse crate::a;\nfn c(_: a::B) {}");
    assert!(found(&[root, ("a.rs", handed), b, c]).is_empty());
    // Two children, by way of their parent.
    let b = ("a/b.rs", "use super::c;\npub struct B(c::C);");
    let circle = "\n  src/a/b.rs:2 imports src/a/c.rs\n  src/a/c.rs:1 imports src/a/b.rs";
    assert_eq!(found(&[root, ("a.rs", handed), b, c]), [circle]);
    // A parent and a child.
    let uses = "mod b;\nconst A: u8 = b::B;";
    let circle = "\n  src/a.rs:2 imports src/a/b.rs\n  src/a/b.rs:1 imports src/a.rs";
    for uses_back in [
        "use super::A;",
        "use super::*;",
        "const B: u8 = crate::a::A;",
    ] {
        assert_eq!(
            found(&[root, ("a.rs", uses), ("a/b.rs", uses_back)]),
            [circle]
        );
    }
    let ends = ("a/b.rs", "use serde::{self, de};\nconst B: u8 = serde::x;");
    assert!(found(&[root, ("a.rs", uses), ends]).is_empty());
}
