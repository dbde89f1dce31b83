//! What archives become.

use super::*;
use sha2::{Digest, Sha256};

fn bad(result: Result<Arc<Version>>) -> String {
    match result {
        Err(Error::BadArchive { detail, .. }) => detail,
        other => panic!("not a bad archive: {other:?}"),
    }
}

fn limit(result: Result<Arc<Version>>) -> String {
    match result {
        Err(Error::Limit { detail, .. }) => detail,
        other => panic!("not over a limit: {other:?}"),
    }
}

#[test]
fn plain() {
    let fixture = Fixture::new();
    let big = vec![7; (pack::BLOB + 5) as usize];
    let archive = Tar::default()
        .file("b/one", "1")
        .file("./a", "two")
        .header(b'0', b"b/run", b"", 3, 0o4755)
        .body(b"#!x")
        .file("/b/deep/er/big", &big)
        .file("empty", "")
        .gz();
    let version = fixture.put("v", &archive).unwrap();
    assert_eq!(
        listing(&version),
        [
            "a",
            "b/",
            "b/deep/",
            "b/deep/er/",
            "b/deep/er/big",
            "b/one",
            "b/run",
            "empty"
        ]
    );
    assert_eq!(read(&version, "a").unwrap(), b"two");
    assert_eq!(read(&version, "b/one").unwrap(), b"1");
    assert_eq!(read(&version, "empty").unwrap(), b"");
    assert!(read(&version, "b/deep/er/big").unwrap() == big);
    let index = version.index();
    let node = |path: &str| index.node(walk(index, path).unwrap()).unwrap();
    assert!(node("b/run").executable && !node("a").executable);
    assert_eq!(node("a").mtime, (1_700_000_000, 0));
    // Implied directories have the time of what is in them, and are numbered when first seen.
    assert_eq!(node("b/deep").mtime, (1_700_000_000, 0));
    assert_eq!(node("").mtime, (1_700_000_000, 0));
    assert_eq!(walk(index, "b"), Some(1));
    assert_eq!(walk(index, "b/one"), Some(2));
    assert_eq!(
        (node("").nlink, node("b").nlink, node("a").nlink),
        (3, 3, 1)
    );
    assert_eq!(node("b/deep").parent, 1);
    let meta = version.meta();
    assert_eq!((meta.file_count, meta.bytes), (5, 7 + big.len() as u64));
    assert_eq!(meta.archive_bytes, archive.len() as u64);
    assert_eq!((meta.skipped, meta.verified), (0, Verified::NotApplicable));
    // Reads in pieces, across the end.
    let content = version.open(walk(index, "a").unwrap()).unwrap().unwrap();
    let mut buf = [0; 2];
    assert_eq!(content.read_at(1, &mut buf).unwrap(), 2);
    assert_eq!(&buf, b"wo");
    assert_eq!(content.read_at(2, &mut buf).unwrap(), 1);
    assert_eq!(content.read_at(3, &mut buf).unwrap(), 0);
    assert_eq!(content.read_at(u64::MAX, &mut buf).unwrap(), 0);
    assert_eq!(version.open(1).unwrap_err().errno(), libc::EISDIR);
    assert_eq!(version.open(99).unwrap_err().errno(), libc::ESTALE);
    // Owner only.
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(fixture.path("v")), 0o700);
    for file in ["meta.json", "tree", "pack", "blob-0"] {
        assert_eq!(mode(fixture.path("v").join(file)), 0o600, "{file}");
    }
    assert_eq!(fixture.on_disk(), (1, 0));
}

#[test]
fn made_by_the_tar_crate() {
    let fixture = Fixture::new();
    let source = TempDir::new().unwrap();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    fs::create_dir(source.path().join("d".repeat(200))).unwrap();
    fs::write(source.path().join(&long), "long").unwrap();
    std::os::unix::fs::symlink("t".repeat(300), source.path().join("link")).unwrap();
    // A real sparse file: the crate archives it as old GNU sparse.
    let sparse = fs::File::create(source.path().join("sparse")).unwrap();
    use std::os::unix::fs::FileExt;
    for at in 0..40_u64 {
        sparse.write_all_at(b"data", at * (1 << 20)).unwrap();
    }
    sparse.set_len(41 << 20).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("", source.path()).unwrap();
    let version = fixture
        .put("v", &gzip(&builder.into_inner().unwrap()))
        .unwrap();
    assert_eq!(read(&version, &long).unwrap(), b"long");
    let link = walk(version.index(), "link").unwrap();
    assert_eq!(
        version.index().target(link).unwrap(),
        "t".repeat(300).as_bytes()
    );
    assert!(read(&version, "sparse").unwrap() == fs::read(source.path().join("sparse")).unwrap());
}

#[test]
fn small_sparse_files() {
    let fixture = Fixture::new();
    let mut tar = Tar::default().header(b'S', b"s", b"", 6, 0o644);
    let block = tar.0.last_chunk_mut::<512>().unwrap();
    block[257..265].copy_from_slice(b"ustar  \0");
    for (at, (offset, length)) in [(2, 4), (10, 2), (20, 0)].into_iter().enumerate() {
        let at = 386 + at * 24;
        block[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        block[at + 12..at + 23].copy_from_slice(format!("{length:011o}").as_bytes());
    }
    block[483..494].copy_from_slice(format!("{:011o}", 20).as_bytes());
    Tar::checksum(block);
    let good = tar.clone().body(b"abcdef").file("after", "x");
    let version = fixture.put("v", &good.gz()).unwrap();
    assert_eq!(
        read(&version, "s").unwrap(),
        b"\0\0abcd\0\0\0\0ef\0\0\0\0\0\0\0\0"
    );
    assert_eq!(read(&version, "after").unwrap(), b"x");
    // A map that goes beyond the size.
    let block = tar.0.last_chunk_mut::<512>().unwrap();
    block[483..494].copy_from_slice(format!("{:011o}", 11).as_bytes());
    Tar::checksum(block);
    assert!(bad(fixture.put("w", &tar.body(b"abcdef").gz())).contains("sparse"));
    // GNU's pax forms are refused, not shown wrong.
    let pax = Tar::default()
        .pax(b'x', &[("GNU.sparse.major", b"1")])
        .file("GNUSparseFile.0/x", "x");
    assert!(bad(fixture.put("x", &pax.gz())).contains("sparse"));
}

#[test]
fn names_of_every_kind() {
    let fixture = Fixture::new();
    let long = [b"l".repeat(120), b"/".to_vec(), b"n".repeat(130)].concat();
    let mut prefixed = Tar::default().header(b'0', b"name", b"", 0, 0o644);
    let block = prefixed.0.last_chunk_mut::<512>().unwrap();
    block[345..351].copy_from_slice(b"pre/fx");
    Tar::checksum(block);
    let archive = prefixed
        .entry(b'L', "././@LongLink", [&long[..], b"\0"].concat())
        .file("ignored", "gnu")
        .entry(b'K', "././@LongLink", [&long[..], b"\0"].concat())
        .symlink("gnulink", "ignored")
        .pax(
            b'x',
            &[
                ("path", "päx/ü".as_bytes()),
                ("mtime", b"-1.5"),
                ("size", b"3"),
            ],
        )
        .header(b'0', b"ignored", b"", 0, 0o644)
        .body(b"pax")
        .pax(b'x', &[("linkpath", "é".as_bytes())])
        .symlink("paxlink", "ignored")
        .pax(b'g', &[("mtime", b"12.25")])
        .file("global1", "")
        .pax(b'x', &[("mtime", b"13")])
        .file("global2", "")
        .file(b"bytes\xff\x01\n\\ \"", "raw")
        .entry(0, "olddir/", "")
        .entry(b'7', "contiguous", "c")
        .entry(b'Z', "unknown", "u")
        .gz();
    let version = fixture.put("v", &archive).unwrap();
    let index = version.index();
    let node = |path: &str| index.node(walk(index, path).unwrap()).unwrap();
    assert_eq!(node("pre/fx/name").kind, NodeKind::File);
    assert_eq!(
        read(&version, std::str::from_utf8(&long).unwrap()).unwrap(),
        b"gnu"
    );
    assert_eq!(index.target(walk(index, "gnulink").unwrap()).unwrap(), long);
    assert_eq!(read(&version, "päx/ü").unwrap(), b"pax");
    assert_eq!(node("päx/ü").mtime, (-2, 500_000_000));
    assert_eq!(
        index.target(walk(index, "paxlink").unwrap()).unwrap(),
        "é".as_bytes()
    );
    assert_eq!(node("global1").mtime, (12, 250_000_000));
    assert_eq!(node("global2").mtime, (13, 0));
    assert!(index.child(0, b"bytes\xff\x01\n\\ \"").is_some());
    assert_eq!(node("olddir").kind, NodeKind::Directory);
    assert_eq!(read(&version, "contiguous").unwrap(), b"c");
    assert_eq!(read(&version, "unknown").unwrap(), b"u");
    assert_eq!(index.child(0, b"ignored"), None);
    assert_eq!(version.meta().skipped, 0);
}

#[test]
fn what_cannot_be_shown_is_skipped_and_counted() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("../up", "x")
        .file("a/../../up", "x")
        .file("a/..", "x")
        .pax(b'x', &[("path", b"nul\0name")])
        .file("ignored", "x")
        .entry(b'3', "char", "")
        .entry(b'4', "block", "")
        .entry(b'6', "fifo", "")
        .hard("dangling", "nowhere")
        .hard("out", "../up")
        .hard("of-dir", "d")
        .symlink("no-target", "")
        .file(".", "x")
        .entry(b'V', "label", "")
        .dir("d")
        .hard("of-dir", "d")
        .file("kept", "kept")
        .gz();
    let version = fixture.put(&"0".repeat(64), &archive).unwrap();
    assert_eq!(listing(&version), ["d/", "kept"]);
    assert_eq!(version.meta().skipped, 14);
    assert_eq!(version.meta().verified, Verified::NotApplicable);
    assert_eq!(read(&version, "kept").unwrap(), b"kept");
}

#[test]
fn the_last_of_a_name_wins() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("same", "old")
        .hard("kept", "same")
        .file("same", "new")
        .file("to-dir", "x")
        .file("to-dir/in", "y")
        .file("to-file/a/b", "x")
        .hard("saved", "to-file/a/b")
        .file("to-file", "z")
        .symlink("link", "d")
        .file("link/in", "not through the link")
        .dir("d")
        .file("d/stays", "s")
        .header(b'5', b"d", b"", 0, 0o755)
        .hard("self/x", "self")
        .file("self", "s")
        .hard("self", "self")
        .hard("self/x", "self")
        .gz();
    let version = fixture.put("v", &archive).unwrap();
    assert_eq!(
        listing(&version),
        [
            "d/",
            "d/stays",
            "kept",
            "link/",
            "link/in",
            "same",
            "saved",
            "self",
            "to-dir/",
            "to-dir/in",
            "to-file"
        ]
    );
    let index = version.index();
    let nlink = |path: &str| index.node(walk(index, path).unwrap()).unwrap().nlink;
    assert_eq!(read(&version, "same").unwrap(), b"new");
    assert_eq!(read(&version, "self").unwrap(), b"s");
    assert_eq!(read(&version, "kept").unwrap(), b"old");
    assert_eq!((nlink("same"), nlink("kept"), nlink("saved")), (1, 1, 1));
    assert_eq!(read(&version, "saved").unwrap(), b"x");
    // Its first directory is gone: its parent is one that exists.
    let saved = index.node(walk(index, "saved").unwrap()).unwrap();
    assert_eq!(saved.parent, 0);
    assert_eq!(read(&version, "to-file").unwrap(), b"z");
    // Every number is either dead or reachable.
    let reachable = listing(&version).len() as u32 + 1;
    let live = (0..index.len()).filter(|&node| index.node(node).is_some());
    assert_eq!(live.count() as u32, reachable);
}

#[test]
fn hard_links_share_a_node() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("a", "content")
        .hard("d/b", "./a")
        .hard("c", "/d/b")
        .symlink("s", "a")
        .hard("s2", "s")
        .gz();
    let version = fixture.put("v", &archive).unwrap();
    let index = version.index();
    let a = walk(index, "a").unwrap();
    assert_eq!((walk(index, "d/b"), walk(index, "c")), (Some(a), Some(a)));
    assert_eq!(index.node(a).unwrap().nlink, 3);
    // A directory that holds nothing else has the time of what it holds, too.
    let d = index.node(walk(index, "d").unwrap()).unwrap();
    assert_eq!(d.mtime, (1_700_000_000, 0));
    let s = walk(index, "s").unwrap();
    assert_eq!(
        (walk(index, "s2"), index.node(s).unwrap().nlink),
        (Some(s), 2)
    );
    assert_eq!(read(&version, "c").unwrap(), b"content");
    assert_eq!((version.meta().file_count, version.meta().bytes), (3, 7));
}

#[test]
fn which_symlinks_escape() {
    let fixture = Fixture::new();
    let cases: &[(&str, &str, bool)] = &[
        ("absolute", "/etc/passwd", true),
        ("up", "..", true),
        ("a/up", "..", false),
        ("a/upup", "../..", true),
        ("a/b/far", "../../../x", true),
        ("a/b/in", "../../file", false),
        ("a/missing", "nowhere/../../file", false),
        ("a/missing-out", "nowhere/../../../file", true),
        ("dot", ".", false),
        ("slashes", "a//b/./..///b", false),
        ("loop1", "loop2", false),
        ("loop2", "loop1", false),
        ("loop-out", "loop1/../../x", true),
        ("self", "self", false),
        // Through another link: a/b/deep -> ../.. (the root), so one more is out.
        ("a/b/deep", "../..", false),
        ("via", "a/b/deep/..", true),
        ("via-in", "a/b/deep/a/..", false),
        ("to-absolute", "absolute", true),
        ("to-absolute-below", "a/../absolute/x", true),
        ("file/..", "", false),
        ("past-file", "file/../..", true),
    ];
    let mut tar = Tar::default().file("file", "x").dir("a/b");
    for (path, target, _) in cases.iter().filter(|case| !case.1.is_empty()) {
        tar = tar.symlink(path, target);
    }
    // Escapes from one of its two places only.
    let tar = tar.symlink("a/two", "../file").hard("two", "a/two");
    let version = fixture.put("v", &tar.gz()).unwrap();
    let index = version.index();
    for (path, target, escapes) in cases.iter().filter(|case| !case.1.is_empty()) {
        let node = index.node(walk(index, path).unwrap()).unwrap();
        assert_eq!(node.escapes, *escapes, "{path} -> {target}");
    }
    assert!(index.node(walk(index, "two").unwrap()).unwrap().escapes);
}

#[test]
fn chains_of_symlinks_cost_no_hours() {
    let fixture = Fixture::new();
    let mut tar = Tar::default();
    let long = "./".repeat(2000);
    for at in 0..39 {
        let target = format!("{long}l{}", at + 1);
        tar = tar
            .pax(b'x', &[("linkpath", target.as_bytes())])
            .symlink(format!("l{at}"), "x");
    }
    for at in 0..5000 {
        tar = tar.symlink(format!("s{at}"), "l0");
    }
    let started = std::time::Instant::now();
    let version = fixture.put("v", &tar.gz()).unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(version.index().child_count(0), 5039);
}

#[test]
fn gzip_as_gzip_reads_it() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("a", "1")
        .file("b", vec![b'x'; 300_000])
        .raw(&[0; 1024])
        .0;
    let whole = gzip(&tar);
    for (at, split) in [0, 1, 512, 700, tar.len()].into_iter().enumerate() {
        let members = [gzip(&tar[..split]), gzip(&tar[split..])].concat();
        let version = fixture.put(&format!("members{at}"), &members).unwrap();
        assert_eq!(listing(&version), ["a", "b"]);
    }
    for (at, trailing) in [
        &b"\0\0\0\0"[..],
        b"garbage",
        b"\x1f",
        b"\x1fxx",
        &[0; 400_000],
    ]
    .into_iter()
    .enumerate()
    {
        fixture
            .put(&format!("trailing{at}"), &[&whole, trailing].concat())
            .unwrap();
    }
    // The start of another member is not garbage.
    bad(fixture.put("v", &[&whole[..], b"\x1f\x8b"].concat()));
    let again = [&whole[..], &whole[..whole.len() - 1]].concat();
    bad(fixture.put("v", &again));
    // Checksum and length.
    for at in [whole.len() - 8, whole.len() - 1] {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        assert!(bad(fixture.put("v", &broken)).contains("compressed"));
    }
    // The store is unharmed by all of this.
    assert_eq!(fixture.on_disk(), (10, 0));
    assert!(!fixture.path("v").exists());
}

#[test]
fn every_cut_and_every_flip() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("dir/a", "content of a")
        .symlink("l", "dir/a")
        .pax(b'x', &[("path", b"p")])
        .file("x", "y");
    let whole = tar.clone().gz();
    for cut in 0..whole.len() {
        bad(fixture.put("v", &whole[..cut]));
    }
    // Anything may come of a changed byte, but no panic, and nothing unsound.
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        if let Ok(version) = fixture.put(&format!("flip{at}"), &flipped) {
            assert_eq!(listing(&version), ["dir/", "dir/a", "l", "p"], "{at}");
        }
    }
    assert_eq!(fixture.on_disk().1, 0);
    // The tar cut, in sound gzip: fine at the ends of entries, else not.
    let ends = [1024, 1536, 3584, 3584 + 512];
    for cut in (0..=tar.0.len()).step_by(128) {
        let result = fixture.put(&format!("tar{cut}"), &gzip(&tar.0[..cut]));
        match ends.contains(&cut) {
            true => drop(result.unwrap()),
            false => drop(bad(result)),
        }
    }
}

#[test]
fn what_is_no_archive() {
    let fixture = Fixture::new();
    bad(fixture.put("v", b""));
    bad(fixture.put("v", b"<html>not found</html>"));
    assert!(bad(fixture.put("v", &gzip(b""))).contains("empty"));
    assert!(bad(fixture.put("v", &gzip(&[b'x'; 2048]))).contains("not a tar"));
    bad(fixture.put("v", &gzip(b"short")));
    // A header broken in the middle.
    let mut tar = Tar::default().file("a", "1").file("b", "2");
    tar.0[1024 + 3] ^= 1;
    assert!(bad(fixture.put("v", &tar.gz())).contains("byte 1024"));
    // An archive with nothing in it is one.
    let version = fixture.put("empty", &gzip(&[0; 10_240])).unwrap();
    assert_eq!(
        (version.index().len(), version.index().child_count(0)),
        (1, 0)
    );
}

#[test]
fn limits() {
    let fixture = Fixture::with(|config| {
        config.limits.entries = 100;
        config.limits.depth = 10;
        config.limits.name_bytes = 10_000;
        config.limits.slack_factor = 2;
        config.limits.slack_bytes = 1000;
    });
    let many = (0..100).fold(Tar::default(), |tar, at| tar.file(format!("f{at}"), ""));
    limit(fixture.put("v", &many.gz()));
    // Implied directories count.
    let implied = (0..30).fold(Tar::default(), |tar, at| {
        tar.file(format!("{at}/a/b/c/f"), "")
    });
    limit(fixture.put("v", &implied.gz()));
    // So does what is skipped, and what is replaced.
    let skipped = (0..101).fold(Tar::default(), |tar, _| tar.file("..", ""));
    limit(fixture.put("v", &skipped.gz()));
    let replaced = (0..101).fold(Tar::default(), |tar, _| tar.file("f", ""));
    limit(fixture.put("v", &replaced.gz()));
    limit(fixture.put("v", &Tar::default().file("d/".repeat(10) + "f", "").gz()));
    fixture
        .put("deep", &Tar::default().file("d/".repeat(9) + "f", "").gz())
        .unwrap();
    let name = |length: usize| {
        Tar::default()
            .pax(b'x', &[("path", &b"n".repeat(length))])
            .file("x", "")
            .gz()
    };
    limit(fixture.put("v", &name(256)));
    fixture.put("name", &name(255)).unwrap();
    let target = Tar::default()
        .pax(b'x', &[("linkpath", &b"n".repeat(4096))])
        .symlink("x", "y")
        .gz();
    assert!(limit(fixture.put("v", &target)).contains("target"));
    let names = (0..50).fold(Tar::default(), |tar, at| {
        tar.pax(b'x', &[("linkpath", &b"n".repeat(300))])
            .symlink(format!("s{at}"), "")
    });
    limit(fixture.put("v", &names.gz()));
    let header = Tar::default()
        .entry(b'x', "pax", vec![b' '; (1 << 20) + 1])
        .file("x", "");
    limit(fixture.put("v", &header.gz()));
    let extensions = (0..17).fold(Tar::default(), |tar, _| tar.pax(b'x', &[("a", b"b")]));
    limit(fixture.put("v", &extensions.file("x", "").gz()));
    // Bytes against what was declared: known from the header, before they come.
    let declared = |declared: u64, archive: Vec<u8>| {
        let request = FetchRequest {
            declared_size: Some(declared),
            ..request("v")
        };
        fixture.take_in(&request, &archive)
    };
    let huge = Tar::default().header(b'0', b"huge", b"", 1 << 30, 0o644).0;
    let error = declared(1000, gzip(&huge)).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    declared(1000, Tar::default().file("f", vec![1; 3000]).gz()).unwrap();
    // Many small ones together, of which each alone is fine.
    let sum = (0..4).fold(Tar::default(), |tar, at| {
        tar.file(format!("{at}"), vec![1; 1000])
    });
    let error = declared(1000, sum.gz()).unwrap_err();
    assert_eq!(error.errno(), libc::EFBIG, "{error}");
    assert_eq!(fixture.on_disk().1, 0);
}

#[test]
fn bombs_cost_no_disk() {
    let fixture = Fixture::with(|config| config.ceiling = 4 << 20);
    // Four gigabytes in a header's size, and a real one of 8 MiB.
    let huge = Tar::default().header(b'0', b"huge", b"", 1 << 32, 0o644).0;
    let error = fixture.put("v", &gzip(&huge)).unwrap_err();
    assert!(
        matches!(&error, Error::NoSpace(text) if text.contains("--cache-size")),
        "{error}"
    );
    let small = (0..80).fold(Tar::default(), |tar, at| {
        tar.file(format!("{at}"), vec![0; 100 << 10])
    });
    assert_eq!(
        fixture.put("v", &small.gz()).unwrap_err().errno(),
        libc::ENOSPC
    );
    // A sparse file of a terabyte.
    let mut sparse = Tar::default().header(b'S', b"s", b"", 0, 0o644);
    let block = sparse.0.last_chunk_mut::<512>().unwrap();
    block[257..265].copy_from_slice(b"ustar  \0");
    block[483..495].copy_from_slice(b"7777777777777"[..12].as_ref());
    Tar::checksum(block);
    assert_eq!(
        fixture.put("v", &sparse.gz()).unwrap_err().errno(),
        libc::ENOSPC
    );
    // Zeros without end behind the archive.
    let tail = Tar::default().file("a", "b").raw(&vec![0; 80 << 20]);
    limit(fixture.put("v", &gzip(&tail.0)));
    assert_eq!(fixture.on_disk(), (0, 0));
    assert_eq!(fixture.store.usage().bytes, 0);
}

#[test]
fn proof_of_content() {
    let fixture = Fixture::new();
    let hash = |bytes: &[u8]| meta::hex(&Sha256::digest(bytes));
    // In the order of UTF-16: the emoji before U+FF5E.
    let lines =
        ["a:b", "a", "d/x", "\u{1f600}", "\u{ff5e}"].map(|path| (path, hash(path.as_bytes())));
    let mut text: Vec<_> = lines
        .iter()
        .map(|(path, hash)| format!("{path}:{hash}"))
        .collect();
    text.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    let id = hash(format!("storage:storage\n{}", text.join("\n")).as_bytes());
    let tar = || {
        lines
            .iter()
            .fold(Tar::default(), |tar, (path, _)| tar.file(path, path))
    };
    let verified = |id: &str, tar: Tar| fixture.put(id, &tar.gz()).unwrap().meta().verified;
    assert_eq!(verified(&id, tar()), Verified::Yes);
    assert_eq!(verified(&"0".repeat(64), tar()), Verified::No);
    assert_eq!(verified("ver_1", tar()), Verified::NotApplicable);
    assert_eq!(
        verified(&"1".repeat(64), tar().symlink("s", "a")),
        Verified::NotApplicable
    );
    assert_eq!(
        verified(&"2".repeat(64), tar().hard("h", "a")),
        Verified::NotApplicable
    );
    assert_eq!(
        verified(&"3".repeat(64), tar().file(b"\xff", "")),
        Verified::NotApplicable
    );
    // The last of a name is what counts.
    let fixture = Fixture::new();
    let doubled = Tar::default()
        .file("a", "not this")
        .file("d/x", "nor this")
        .raw(&tar().0);
    assert_eq!(
        fixture.put(&id, &doubled.gz()).unwrap().meta().verified,
        Verified::Yes
    );
    let none = hash(b"storage:storage\n");
    assert_eq!(
        fixture
            .put(&none, &Tar::default().dir("d").gz())
            .unwrap()
            .meta()
            .verified,
        Verified::Yes
    );
}

/// Not a test but a measurement: `cargo test --release -- --ignored --nocapture how_fast`.
#[test]
#[ignore = "measures"]
fn how_fast() {
    const WORDS: [&str; 32] = [
        "let", "mut", "return", "self", "function", "import", "const", "value", "if", "else",
        "for", "while", "struct", "string", "number", "async", "await", "export", "default",
        "class", "public", "static", "void", "null", "true", "false", "match", "enum", "impl",
        "trait", "where", "use",
    ];
    let mut state = 1_u64;
    let mut tar = Tar::default();
    for at in 0..100_000 {
        // Compresses about threefold, as text does.
        let mut content = Vec::with_capacity(2060);
        while content.len() < 2048 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1442);
            content.extend_from_slice(WORDS[(state >> 59) as usize].as_bytes());
            content.extend_from_slice(&[b" \n_.,"[(state >> 40) as usize % 5]]);
            content.extend_from_slice((state >> 44 & 0xff).to_string().as_bytes());
        }
        content.truncate(2048);
        tar = tar.file(
            format!("dir{}/sub{}/file{at}.txt", at / 1000, at / 100),
            content,
        );
    }
    let archive = tar.gz();
    let started = std::time::Instant::now();
    let mut inflated = flate2::read::MultiGzDecoder::new(&archive[..]);
    io::copy(&mut inflated, &mut io::sink()).unwrap();
    eprintln!("inflating alone: {:?}", started.elapsed());
    for id in ["v".to_string(), "0".repeat(64)] {
        let fixture = Fixture::new();
        let started = std::time::Instant::now();
        let version = fixture.put(&id, &archive).unwrap();
        let took = started.elapsed();
        let fresh = Store::open(config(fixture.folder.path())).unwrap();
        let started = std::time::Instant::now();
        let again = fresh.version(&key(&id)).unwrap();
        eprintln!(
            "{} entries, {} MB of gzip, hashed: {}: {took:?}; tree of {} bytes opens in {:?}",
            version.index().len(),
            archive.len() >> 20,
            id.len() == 64,
            again.meta().tree_bytes,
            started.elapsed()
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    eprintln!(
        "{:?}",
        status.lines().find(|line| line.starts_with("VmHWM"))
    );
}

/// As [`how_fast`], for memory: run it alone.
#[test]
#[ignore = "measures"]
fn a_million_files() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        line.unwrap().to_string()
    };
    // Made in pieces, each a member of its own: the tar is not in memory.
    let mut archive = Vec::new();
    for piece in 0..1000 {
        let files = (0..1000).fold(Tar::default(), |tar, at| {
            tar.file(format!("directory-{piece}/some-file-{at}.txt"), "content")
        });
        archive.extend(gzip(&files.0));
    }
    archive.extend(gzip(&[0; 1024]));
    let fixture = Fixture::new();
    let before = peak();
    let started = std::time::Instant::now();
    fixture.put(&"0".repeat(64), &archive).unwrap();
    eprintln!("{:?}, peak {} after {before}", started.elapsed(), peak());
    let fresh = Store::open(config(fixture.folder.path())).unwrap();
    let started = std::time::Instant::now();
    let version = fresh.version(&key(&"0".repeat(64))).unwrap();
    eprintln!(
        "tree of {} bytes opens in {:?}",
        version.meta().tree_bytes,
        started.elapsed()
    );
}
