//! Programs that hold inode numbers in a double: Node.js and what is written in
//! JavaScript.

use super::{artifact, project};
use crate::support::{Bench, Mount, Who, node_tar};
use std::{path::PathBuf, process::Command};
use vm0fs::demo::{Agent, File, LogRow, Run};

/// npm's packages, where every user can read them.
fn packages(bench: &Bench) -> PathBuf {
    let packages = node_tar();
    let packages = packages.parent().unwrap();
    let copy = bench.dir().join("npm");
    let copied = Command::new("cp")
        .arg("-r")
        .args([packages, &copy])
        .status();
    assert!(copied.unwrap().success());
    copy
}

/// Packs the mount by node-tar, and gives what is in the archive: kind, path, link.
fn packed(bench: &Bench, mount: &Mount, out: &str, what: &str) -> Vec<String> {
    let script = format!(
        "const tar = require(\"tar\"); (async () => {{
            await tar.c({{ file: \"{out}\", portable: false }}, [{what}]);
            await tar.t({{ file: \"{out}\", onReadEntry: entry =>
                console.log(`${{entry.type}} ${{entry.path}} ${{entry.linkpath || \"\"}}`) }});
        }})();"
    );
    let packages = packages(bench);
    let told = mount.run(&format!(
        "NODE_PATH='{}' node -e '{script}'",
        packages.display()
    ));
    told.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn every_inode_number_is_exact_in_a_double_and_its_own() {
    let mut world = artifact(project());
    for n in 0..40 {
        let at = world.ago(5_000 + n);
        world.add_agent(Agent::new(format!("agent-{n}"), at));
        world.add_run(Run::new(format!("agent-{n}"), at));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let told = || mount.run("find . -printf '%i %p\\n' | sort -k 2");
    let numbers = told();
    let mut seen = std::collections::HashMap::new();
    for line in numbers.lines() {
        let (number, path) = line.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        assert!(number < 1 << 53, "{line}");
        let other = seen.insert(number, path);
        assert!(other.is_none(), "{path} and {other:?} are both {number}");
    }
    // What is reached in another order, by another mount, has the same number.
    let again = bench.mount().start();
    again.run("ls -R artifacts > /dev/null; ls -lR runs > /dev/null");
    assert_eq!(again.run("find . -printf '%i %p\\n' | sort -k 2"), numbers);
}

#[test]
fn a_tar_by_node_tar_holds_every_file_and_no_link_that_is_none() {
    for who in Who::all() {
        let mut files = project();
        files.extend((0..1_500).map(|n| File::new(format!("many/{n:04}"), format!("{n}\n"))));
        let mut world = artifact(files);
        let at = world.ago(5_000);
        world.add_agent(Agent::new("writer", at));
        for n in 0..20 {
            let mut run = Run::new("writer", at).prompt(format!("prompt {n}"));
            run.log(LogRow::new(at, "system", "info", format!("row {n}")));
            world.add_run(run);
        }
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let out = bench.folder("out", who);
        let out = out.display();
        let entries = packed(
            &bench,
            &mount,
            &format!("{out}/all.tar"),
            "\"agents\", \"runs\", \"artifacts\", \"volumes\"",
        );
        let links: Vec<&String> = entries
            .iter()
            .filter(|entry| entry.starts_with("Link "))
            .collect();
        assert!(links.is_empty(), "{links:?}");
        let found = mount.run("find agents runs artifacts volumes -type f | sort");
        let mut packed: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry.strip_prefix("File "))
            .collect();
        packed.sort_unstable();
        assert_eq!(packed, found.lines().collect::<Vec<_>>());
        // And their content.
        mount.run(&format!(
            "mkdir {out}/x && tar -C {out}/x --delay-directory-restore -xf {out}/all.tar && \
             diff -r --no-dereference artifacts {out}/x/artifacts && chmod -R u+w {out}/x"
        ));
    }
}
