//! Files with holes: made by programs that find the holes by themselves, and read
//! through the kernel.

use super::{HASHES, SUMS, mounted, node, python, shell, verified};
use crate::support::{Bench, Mount, archive::Tar};
use rustix::{fs::SeekFrom, io::Errno};
use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
};
use vm0fs::demo::{Kind, VersionSpec, World};

/// A file of 40 MB with a few bytes in it, one that is all hole, one that ends with
/// data, and a small one.
const SPARSE: &str = "
    mkdir src
    cd src
    for at in 3 40 41 5000 9000; do
        head -c 4096 /dev/urandom | dd of=holes bs=4096 seek=$at conv=notrunc status=none
    done
    truncate -s 40000001 holes
    truncate -s 100000000 nothing
    truncate -s 2000000 end
    echo end >> end
    truncate -s 100000 small
    printf x | dd of=small bs=1 seek=50000 conv=notrunc status=none
";

#[test]
fn holes_stay_holes_whichever_program_found_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell(folder, SPARSE);
    let gnu = |format: &str| format!("tar -C src -czSf $out.tar.gz {format} .");
    let makers = [
        ("gnu", gnu("--format=gnu")),
        ("gnu-old", gnu("--format=oldgnu")),
        ("pax-0-0", gnu("--format=pax --sparse-version=0.0")),
        ("pax-0-1", gnu("--format=pax --sparse-version=0.1")),
        ("pax-1-0", gnu("--format=pax --sparse-version=1.0")),
        ("bsd", "bsdtar -C src -czf $out.tar.gz .".into()),
        ("node", node()),
        ("python", python("PAX_FORMAT")),
    ];
    let (_bench, mount) = mounted(folder, &makers);
    let sums = shell(&folder.join("src"), SUMS);
    for (name, _) in &makers {
        let root = mount.join(&format!("artifacts/{name}/latest/"));
        assert_eq!(shell(&root, HASHES), sums, "{name}");
        for file in ["holes", "nothing", "end", "small"] {
            let (ours, theirs) = (root.join(file), folder.join("src").join(file));
            shell(
                folder,
                &format!("cmp {} {}", ours.display(), theirs.display()),
            );
        }
        assert_eq!(verified(&mount, name), "yes", "{name}");
        let blocks = |file: &str| fs::metadata(root.join(file)).unwrap().blocks() * 512;
        // Those that do not look for holes store zeros, which are content.
        if matches!(*name, "node" | "python") {
            assert!(blocks("nothing") >= 100_000_000, "{name}");
            continue;
        }
        assert!(blocks("holes") <= 6 * 65_536, "{name}: {}", blocks("holes"));
        assert!(blocks("nothing") <= 65_536, "{name}: {}", blocks("nothing"));
        let du = mount.run(&format!(
            "du -s --block-size=1 artifacts/{name}/latest/ | cut -f 1"
        ));
        assert!(du.trim().parse::<u64>().unwrap() < 1 << 20, "{name}: {du}");
        // A copy finds the holes again.
        let copy = folder.join(format!("copy-{name}"));
        let holes = root.join("holes");
        shell(
            folder,
            &format!("cp --sparse=auto {} {}", holes.display(), copy.display()),
        );
        assert!(
            fs::metadata(&copy).unwrap().blocks() * 512 <= 6 * 65_536,
            "{name}"
        );
    }
}

/// What `lseek` finds, or ENXIO.
fn seek(file: &File, from: SeekFrom) -> Option<u64> {
    match rustix::fs::seek(file, from) {
        Ok(offset) => Some(offset),
        Err(Errno::NXIO) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_file_of_a_tebibyte_of_hole_costs_next_to_nothing() {
    const TIB: u64 = 1 << 40;
    let size = TIB.to_string();
    let tar = Tar::default()
        .pax(
            b'x',
            &[
                ("GNU.sparse.size", size.as_bytes()),
                ("GNU.sparse.map", b"549755813888,5"),
            ],
        )
        .file("huge", "hello")
        .file("plain", "content");
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let spec = VersionSpec::archive(tar.gz()).declared_size(12);
    world.add_version(&id, spec.declared_file_count(2));
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--cache-size", "8MiB"]).start();
    let path = mount.join("artifacts/a/latest/huge");
    let data = fs::metadata(&path).unwrap();
    assert_eq!((data.len(), data.blocks()), (TIB, 1));
    let file = File::open(&path).unwrap();
    assert_eq!(seek(&file, SeekFrom::Data(0)), Some(TIB / 2));
    assert_eq!(seek(&file, SeekFrom::Hole(TIB / 2)), Some(TIB / 2 + 5));
    assert_eq!(seek(&file, SeekFrom::Data(TIB / 2 + 5)), None);
    assert_eq!(seek(&file, SeekFrom::Hole(TIB)), None);
    let mut buf = [1; 20];
    file.read_exact_at(&mut buf, TIB / 2 - 5).unwrap();
    assert_eq!(&buf, b"\0\0\0\0\0hello\0\0\0\0\0\0\0\0\0\0");
    file.read_exact_at(&mut buf, TIB - 20).unwrap();
    assert_eq!(buf, [0; 20]);
    assert_eq!(file.read_at(&mut buf, TIB).unwrap(), 0);
    // Programs that look for data read no more than there is.
    let copy = bench.dir().join("copy");
    mount.run(&format!(
        "cp --sparse=auto artifacts/a/latest/huge {}",
        copy.display()
    ));
    let copied = fs::metadata(&copy).unwrap();
    assert_eq!(copied.len(), TIB);
    assert!(copied.blocks() < 64);
    assert!(
        mount
            .run("tar -cSf - artifacts/a/latest/ | wc -c")
            .trim()
            .parse::<u64>()
            .unwrap()
            < 65_536
    );
    // What has no holes has the one at its end.
    for plain in [
        "artifacts/a/latest/plain",
        ".vm0fs/help.txt",
        "artifacts/a/.versions.json",
    ] {
        let file = File::open(mount.join(plain)).unwrap();
        let length = file.metadata().unwrap().len();
        assert_eq!(seek(&file, SeekFrom::Data(2)), Some(2), "{plain}");
        assert_eq!(seek(&file, SeekFrom::Hole(2)), Some(length), "{plain}");
        assert_eq!(seek(&file, SeekFrom::Data(length)), None, "{plain}");
    }
}

fn attribute(mount: &Mount, path: &str, name: &str) -> String {
    mount.run(&format!("getfattr --only-values -n user.vm0.{name} {path}"))
}

#[test]
fn shortened_names_and_omitted_entries_are_listed_in_attributes() {
    let own = "设计".repeat(60) + ".md";
    let tar = Tar::default()
        .pax(b'x', &[("path", format!("d/{own}").as_bytes())])
        .file("x", "one")
        .pax(b'x', &[("path", own.as_bytes())])
        .file("x", "two")
        .pax(b'x', &[("linkpath", "t".repeat(5000).as_bytes())])
        .symlink("link\n", "x")
        .special(b'6', "fifo", "");
    let many = (0..50).fold(Tar::default(), |tar, at| {
        tar.pax(b'x', &[("path", format!("{at}{own}").as_bytes())])
            .file("x", "x")
            .special(b'6', format!("fifo{at}"), "")
    });
    let mut world = World::empty();
    for (name, tar) in [("a", tar), ("many", many)] {
        let id = world.add_storage(Kind::Artifact, name);
        world.add_version(&id, VersionSpec::archive(tar.gz()));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let root = "artifacts/a/latest/";
    assert_eq!(mount.run(&format!("cat {root}*.md {root}d/*.md")), "twoone");
    let names = attribute(&mount, root, "names");
    let shown = mount
        .list(root)
        .into_iter()
        .find(|name| name.ends_with(".md"));
    let shown = shown.unwrap();
    let (stem, end) = shown.rsplit_once('~').unwrap();
    assert!(own.starts_with(stem));
    assert_eq!(names, format!("~{end} = {own}\n"));
    assert!(attribute(&mount, &format!("{root}d"), "names").ends_with(&format!(" = {own}\n")));
    let left_out = attribute(&mount, root, "left_out");
    assert_eq!(
        left_out,
        "2 entries of the archive cannot be shown:\n\
         link: a symlink's target of 5000 bytes; 4095 are shown\n\
         fifo: a device or fifo\n"
    );
    let root = "artifacts/many/latest/";
    assert_eq!(mount.list(root).len(), 50);
    for name in ["names", "left_out"] {
        let value = attribute(&mount, root, name);
        assert!(value.len() <= 900 && value.ends_with("...\n"), "{value}");
    }
    let log = mount.unmount();
    let told = |line: &&String| line.contains("archive entry left out");
    assert_eq!(log.iter().filter(told).count(), 2 + 10);
}
