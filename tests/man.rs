//! The manual pages: each is drawn by the programs that users read them with.

use crate::{
    commands::{finish, script, shell},
    support::{Bench, Who},
};
use std::{fs, path::PathBuf};
use vm0fs::demo::World;

/// The pages, in a folder.
fn pages(bench: &Bench) -> (PathBuf, Vec<PathBuf>) {
    let folder = bench.folder("man", Who::Myself);
    let mut command = bench.command(Who::Myself);
    finish(command.arg("man").arg(&folder)).succeeded();
    let sections = fs::read_dir(&folder).unwrap();
    let pages = sections
        .flat_map(|section| fs::read_dir(section.unwrap().path()).unwrap())
        .map(|page| page.unwrap().path());
    let pages = Vec::from_iter(pages);
    assert!(pages.len() > 20, "{pages:?}");
    (folder, pages)
}

#[test]
fn every_page_is_drawn_without_a_warning() {
    let bench = Bench::new(World::empty());
    let (folder, pages) = pages(&bench);
    for page in &pages {
        let shown = page.display();
        let man = |width: u32, encoding: &str| {
            let man =
                format!("MANWIDTH={width} man --warnings -E {encoding} -l '{shown}' | col -bx");
            let said = finish(&mut script(Who::Myself, &man));
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{shown}");
            said
        };
        man(60, "ascii");
        let said = man(80, "UTF-8");
        for head in ["NAME", "SYNOPSIS", "SEE ALSO"] {
            let mut lines = said.out.lines();
            assert!(lines.any(|line| line == head), "{shown}: {}", said.out);
        }
        let lint = format!("mandoc -T lint -W warning '{shown}'");
        assert_eq!(shell(Who::Myself, &lint), "", "{shown}");
    }
    // By name, as installed; an alias shows the page of its command.
    for (name, expected) in [
        ("vm0fs", "vm0fs - "),
        ("vm0fs-mount", "vm0fs-mount - "),
        ("vm0fs-umount", "vm0fs-unmount, vm0fs-umount - "),
        ("mount.fuse.vm0fs", "mount.vm0fs, mount.fuse.vm0fs - "),
        ("vm0fs.toml", "vm0fs.toml - "),
    ] {
        let man = format!("man -M '{}' {name} | col -bx", folder.display());
        let text = shell(Who::Myself, &man);
        assert!(text.contains(expected), "{name}: {text}");
    }
}

/// The options that a text begins lines with.
fn options(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',', '.']).take(3));
    let mut options = Vec::from_iter(words.filter(|word| word.starts_with("--")));
    options.sort_unstable();
    options.dedup();
    options
}

#[test]
fn a_page_has_the_options_of_its_commands_help() {
    let bench = Bench::new(World::empty());
    let (folder, _) = pages(&bench);
    for (name, words) in [
        ("vm0fs-mount", &["mount"][..]),
        ("vm0fs-run", &["run"]),
        ("vm0fs-cache-clear", &["cache", "clear"]),
        ("vm0fs-shared-cache-prune", &["shared-cache", "prune"]),
    ] {
        let help = finish(bench.command(Who::Myself).args(words).arg("--help")).succeeded();
        let man = format!("MANWIDTH=80 man -M '{}' {name} | col -bx", folder.display());
        let page = shell(Who::Myself, &man);
        assert!(options(&help).len() > 2, "{help}");
        assert_eq!(options(&page), options(&help), "{page}");
    }
}

#[test]
fn the_date_is_that_of_a_reproducible_build() {
    let bench = Bench::new(World::empty());
    let folder = bench.folder("man", Who::Myself);
    let mut command = bench.command(Who::Myself);
    command.env("SOURCE_DATE_EPOCH", "86400");
    finish(command.arg("man").arg(&folder)).succeeded();
    let page = fs::read_to_string(folder.join("man1/vm0fs.1")).unwrap();
    assert!(page.contains("\n.TH vm0fs 1 1970-01-02 "), "{page}");
    // A file where the folder is to be.
    let file = folder.join("man1/vm0fs.1");
    let mut command = bench.command(Who::Myself);
    let said = finish(command.arg("man").arg(&file));
    said.failed(&["making", "man1/vm0fs.1", "Not a directory", "name a folder"]);
}
