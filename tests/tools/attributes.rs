//! Attributes are copied to a disk together with what has them.

use crate::support::{Bench, Mount, Who, archive::Tar};
use vm0fs::demo::{Kind, VersionSpec, World};

/// A message of 9.6 kB, and 150 symlinks that lead out in one folder.
fn world() -> (World, String) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let message = "Änderungen 🦀 an allem. ".repeat(360);
    let tar = (0..150).fold(Tar::default(), |tar, n| {
        tar.symlink(format!("link-{n:03}"), format!("/somewhere/else/{n}"))
    });
    let tar = tar.file("dir/file", "content\n");
    let spec = VersionSpec::archive(tar.gz()).declared_file_count(151);
    world.add_version(&id, spec.message(&message).created_by("agent:writer"));
    (world, message)
}

/// What the attributes of each file take on a disk, and the most of any file.
const SIZES: &str = "import os, sys
most = 0
for folder, folders, files in os.walk('.'):
    for name in folders + files:
        path = os.path.join(folder, name)
        if os.path.islink(path):
            continue
        attributes = os.listxattr(path)
        sizes = [16 + len(a) + len(os.getxattr(path, a)) for a in attributes]
        most = max(most, sum(sizes))
print(most)";

fn most(mount: &Mount) -> usize {
    let most = mount.run(&format!("python3 -c \"{SIZES}\""));
    most.trim().parse().unwrap()
}

#[test]
fn a_version_with_a_long_message_and_many_symlinks_can_be_copied_with_its_attributes() {
    for who in Who::all() {
        let (world, message) = world();
        let bench = Bench::new(world);
        let mount = bench
            .mount_as(who)
            .with(["--allow-external-symlinks"])
            .start();
        let out = bench.folder("out", who);
        let out = out.display();
        mount.run("cat artifacts/a/latest/dir/file > /dev/null; ls artifacts/a/latest/");
        let size = most(&mount);
        assert!((1_000..2_048).contains(&size), "{size}");
        // The folder is on a disk, as /tmp is; in memory there is no such limit.
        mount.run(&format!(
            "python3 -c \"import shutil
shutil.copytree('artifacts/a/latest/', '{out}/copytree', symlinks=True)\""
        ));
        mount.run(&format!(
            "rsync -aX --chmod=Du+w artifacts/a/latest/ {out}/rsync"
        ));
        mount.run(&format!(
            "cp -a --preserve=all artifacts/a/latest/ {out}/cp"
        ));
        let told = |path: &str, name: &str| {
            mount.run(&format!("getfattr --only-values -n user.vm0.{name} {path}"))
        };
        for name in ["message", "symlinks", "version", "created_by"] {
            let ours = told("artifacts/a/latest/", name);
            for copy in ["copytree", "rsync", "cp"] {
                assert_eq!(told(&format!("{out}/{copy}"), name), ours, "{copy} {name}");
            }
        }
        let cut = told("artifacts/a/latest/", "message");
        let (begin, end) = cut.split_once("... [cut").unwrap();
        assert!(message.starts_with(begin) && begin.len() > 300, "{cut}");
        assert!(end.contains(".versions.json"), "{cut}");
        // All of it is there.
        assert!(mount.cat("artifacts/a/.versions.json").contains(&message));
        mount.run(&format!("chmod -R u+w {out}"));
    }
}
