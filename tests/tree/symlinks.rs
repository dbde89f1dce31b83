//! Symlinks of archives: those inside their version work, those that lead out
//! of it are shown but not followed.

use crate::support::{Bench, Who, archive::Tar, reason};
use vm0fs::demo::{Kind, VersionSpec, World};

const INSIDE: [(&str, &str, &str); 5] = [
    ("d/up", "../file", "content"),
    ("down", "d/own", "own"),
    ("d/around", "../d/../d/own", "own"),
    ("chain", "d/up", "content"),
    ("dotted", "./file", "content"),
];

const OUTSIDE: [(&str, &str); 6] = [
    ("absolute", "/etc/passwd"),
    ("above", "../x"),
    ("far", "../../../../../../etc/passwd"),
    ("d/above", "../../x"),
    ("through", "escape/passwd"),
    ("escape", "/etc"),
];

fn world() -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let mut tar = Tar::default().file("file", "content").file("d/own", "own");
    for (path, target, _) in INSIDE {
        tar = tar.symlink(path, target);
    }
    for (path, target) in OUTSIDE {
        tar = tar.symlink(path, target);
    }
    tar = tar.symlink("loop", "loop").symlink("nowhere", "missing");
    world.add_version(&id, VersionSpec::archive(tar.gz()).declared_file_count(15));
    world
}

#[test]
fn links_inside_a_version_work() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        for (path, target, content) in INSIDE {
            let path = format!("artifacts/a/latest/{path}");
            assert_eq!(mount.run(&format!("readlink {path}")).trim_end(), target);
            assert_eq!(mount.cat(&path), content, "{path}");
            assert_eq!(
                mount.run(&format!("stat -c %s {path}")).trim(),
                target.len().to_string()
            );
        }
        mount.fails(
            "cat artifacts/a/latest/loop",
            "Too many levels of symbolic links",
        );
        mount.fails("cat artifacts/a/latest/nowhere", reason::MISSING);
        assert_eq!(
            mount.run("readlink artifacts/a/latest/nowhere"),
            "missing\n"
        );
    }
}

#[test]
fn links_out_of_a_version_are_shown_but_not_followed() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let mount = bench.mount_as(who).start();
        for (path, _) in OUTSIDE {
            let path = format!("artifacts/a/latest/{path}");
            assert_eq!(mount.run(&format!("stat -c %F {path}")), "symbolic link\n");
            mount.fails(&format!("cat {path}"), reason::DENIED);
            mount.fails(&format!("readlink -v {path}"), reason::DENIED);
            mount.fails(&format!("stat -L {path}"), reason::DENIED);
        }
        mount.fails("ls artifacts/a/latest/escape/", reason::DENIED);
        mount.fails("cat artifacts/a/latest/escape/passwd", reason::DENIED);
        let kinds = mount.run("find artifacts/a/latest/ -type l | wc -l");
        assert_eq!(kinds.trim(), (INSIDE.len() + OUTSIDE.len() + 2).to_string());
        // Linux has no `user.*` attributes of symlinks: the directory
        // tells where the links in it lead.
        let told = |folder: &str| {
            mount.run(&format!(
                "getfattr --only-values -n user.vm0.symlinks {folder}"
            ))
        };
        for (folder, inside) in [
            ("artifacts/a/latest/", false),
            ("artifacts/a/latest/d", true),
        ] {
            let links = OUTSIDE
                .iter()
                .filter(|(path, _)| path.starts_with("d/") == inside);
            let mut lines: Vec<String> = links
                .map(|(path, target)| format!("{} -> {target}", path.trim_start_matches("d/")))
                .collect();
            lines.sort();
            assert_eq!(told(folder).lines().collect::<Vec<_>>(), lines);
        }
        let of_links = mount.run("cd artifacts/a/latest/ && getfattr -h -d -m - absolute down");
        assert_eq!(of_links, "", "no names that cannot be read");
    }
}

#[test]
fn allow_external_symlinks_shows_links_with_their_targets() {
    let bench = Bench::new(world());
    let mount = bench.mount().with(["--allow-external-symlinks"]).start();
    for (path, target) in OUTSIDE {
        let shown = mount.run(&format!("readlink artifacts/a/latest/{path}"));
        assert_eq!(shown.trim_end(), target);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    assert_eq!(mount.cat("artifacts/a/latest/absolute"), passwd);
}

#[test]
fn the_attribute_that_lists_external_links_is_cut_to_what_a_disk_takes() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let target = format!("/{}", "x".repeat(90));
    let tar = (0..2_000).fold(Tar::default(), |tar, n| {
        tar.symlink(format!("l\n{n:04}"), &target)
    });
    world.add_version(
        &id,
        VersionSpec::archive(tar.gz()).declared_file_count(2_000),
    );
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let told = mount.run("ls artifacts/a/latest/ | wc -l; getfattr --only-values -n user.vm0.symlinks artifacts/a/latest/");
    assert!((1_000..2_000).contains(&told.len()), "{}", told.len());
    assert!(told.contains(&format!("\nl\\x0a0007 -> {target}\n")));
    assert!(
        told.ends_with("\n... [cut: --allow-external-symlinks shows all]\n"),
        "{told}"
    );
    mount.run("getfattr -d -m - artifacts/a/latest/ > /dev/null");
}
