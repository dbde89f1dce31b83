//! What archives become.

use super::*;

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
    let big = vec![7; (packer::BLOB + 5) as usize];
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
    let names = (0..50).fold(Tar::default(), |tar, at| {
        tar.pax(b'x', &[("linkpath", &b"n".repeat(300))])
            .symlink(format!("s{at}"), "")
    });
    limit(fixture.put("v", &names.gz()));
    let header = Tar::default()
        .entry(b'x', "pax", vec![b' '; (8 << 20) + 1])
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
fn what_is_too_long_is_shortened_or_left_out() {
    let fixture = Fixture::with(|config| {
        config.limits.depth = 10;
        config.limits.path = 3000;
    });
    let long = |length: usize, end: &str| "n".repeat(length) + end;
    let named = |tar: Tar, name: &str| tar.pax(b'x', &[("path", name.as_bytes())]);
    let (folder, file) = (long(300, ".d"), "设".repeat(120) + ".md");
    let mut tar = named(Tar::default(), &long(255, "")).file("x", "as it is");
    tar = named(tar, &file).file("x", "a file");
    tar = named(tar, &format!("{folder}/{file}")).file("x", "in a folder");
    tar = named(tar, &format!("{folder}/{}", long(256, ""))).dir("x");
    tar = named(tar, &long(400, ".link")).symlink("x", "y");
    tar = tar
        .pax(b'x', &[("linkpath", format!("{folder}/{file}").as_bytes())])
        .hard("hard", "x");
    // The last of a name counts here too.
    tar = named(tar, &file).file("x", "again");
    // Left out.
    tar = tar
        .file("d/".repeat(10) + "f", "")
        .file("d/".repeat(9) + "f", "");
    tar = named(tar, &long(3001, "")).file("x", "");
    tar = tar
        .pax(b'x', &[("linkpath", &b"t".repeat(4096))])
        .symlink("target", "y");
    let version = fixture.put("v", &tar.gz()).unwrap();
    let short = |name: &str| String::from_utf8(index::shorten(name.as_bytes(), 255)).unwrap();
    let (folder_shown, file_shown) = (short(&folder), short(&file));
    assert_eq!(read(&version, &file_shown).unwrap(), b"again");
    let inside = format!("{folder_shown}/{file_shown}");
    assert_eq!(read(&version, &inside).unwrap(), b"in a folder");
    assert_eq!(read(&version, "hard").unwrap(), b"in a folder");
    assert_eq!(read(&version, &long(255, "")).unwrap(), b"as it is");
    assert!(walk(version.index(), &short(&long(400, ".link"))).is_some());
    assert!(walk(version.index(), &("d/".repeat(9) + "f")).is_some());
    let (index, meta) = (version.index(), version.meta());
    let originals = |dir: u32| -> Vec<Option<String>> {
        let own = (0..index.child_count(dir)).map(|at| index.original(dir, at));
        own.map(|own| own.map(|own| String::from_utf8(own.to_vec()).unwrap()))
            .collect()
    };
    let link = long(400, ".link");
    // In the order of the shown names.
    assert_eq!(
        originals(0),
        [
            None,
            None,
            None,
            Some(folder.clone()),
            Some(link),
            Some(file.clone())
        ]
        .into_iter()
        .collect::<Vec<_>>()
    );
    let inside = originals(walk(index, &folder_shown).unwrap());
    assert_eq!(inside, [Some(long(256, "")), Some(file)]);
    assert_eq!(meta.skipped, 3);
    let told = [
        "a depth of 11; 10",
        "a path length of 3001; 3000",
        "a symlink's target of 4096",
    ];
    for (told, line) in told.iter().zip(&meta.omitted) {
        assert!(line.contains(told), "{line}");
        assert!(line.len() < 130, "{line}");
    }
}

#[test]
fn a_symlink_to_a_shortened_name_leads_to_it() {
    let fixture = Fixture::new();
    let (folder, file) = ("d".repeat(300), "设".repeat(120) + ".md");
    let path = format!("{folder}/{file}");
    let linked = |tar: Tar, name: &str, target: &str| {
        tar.pax(b'x', &[("linkpath", target.as_bytes())])
            .symlink(name, "y")
    };
    let mut tar = Tar::default()
        .pax(b'x', &[("path", path.as_bytes())])
        .file("x", "here");
    tar = linked(tar, "link", &format!("./{path}"));
    tar = linked(tar, "sub/up", &format!("..//{folder}/"));
    // A text that a program keeps in a link names nothing here.
    tar = linked(tar, "text", &"t".repeat(400));
    // Out of the version by way of a shortened name, which is a link itself.
    let out = "o".repeat(300);
    tar = tar
        .pax(b'x', &[("path", out.as_bytes())])
        .symlink("x", "sub");
    tar = linked(tar, "climbs", &format!("{out}/../../outside"));
    tar = linked(tar, "absolute", &format!("/{folder}"));
    let version = fixture.put("v", &tar.gz()).unwrap();
    let index = version.index();
    let short = |name: &str| String::from_utf8(index::shorten(name.as_bytes(), 255)).unwrap();
    let target = |link: &str| {
        let target = index.target(walk(index, link).unwrap()).unwrap();
        String::from_utf8(target.to_vec()).unwrap()
    };
    let escapes = |link: &str| index.node(walk(index, link).unwrap()).unwrap().escapes;
    assert_eq!(
        target("link"),
        format!("./{}/{}", short(&folder), short(&file))
    );
    assert_eq!(target("sub/up"), format!("..//{}/", short(&folder)));
    assert_eq!(target("text"), "t".repeat(400));
    assert_eq!(target("absolute"), format!("/{folder}"));
    for link in ["link", "sub/up", "text"] {
        let node = index.node(walk(index, link).unwrap()).unwrap();
        assert_eq!(node.size, target(link).len() as u64, "{link}");
        assert!(!node.escapes, "{link}");
    }
    assert!(escapes("climbs") && escapes("absolute"));
    assert_eq!(version.meta().skipped, 0);
}

#[test]
fn an_archive_that_comes_unpacked_is_read() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .file("a", "1")
        .file("b", vec![b'x'; 300_000])
        .raw(&[0; 1024])
        .0;
    let version = fixture.put("plain", &tar).unwrap();
    assert_eq!(read(&version, "b").unwrap(), vec![b'x'; 300_000]);
    assert!(bad(fixture.put("v", &tar[..5000])).contains("ends inside"));
    for (head, named) in [
        (&b"\x28\xb5\x2f\xfdrest"[..], "zstd"),
        (b"\xfd7zXZ\0rest", "xz"),
        (b"BZh9rest", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"<!doctype html>", "HTML"),
        (b"{}", "JSON"),
        (b"<?xml", "XML"),
        (b"nothing known", "neither gzip data nor a tar"),
        (&[0; 2048], "neither gzip data nor a tar"),
        (b"", "empty"),
    ] {
        // As it is, and within gzip.
        let said = bad(fixture.put("v", head));
        assert!(said.contains(named), "{said}");
        if head.first().is_some_and(|byte| *byte != 0) && !named.starts_with("neither") {
            let padded = [head, &[b' '; 600]].concat();
            let said = bad(fixture.put("v", &gzip(&padded)));
            assert!(said.contains(named), "{said}");
        }
    }
    assert!(bad(fixture.put("v", &gzip(&gzip(&noise(4096))))).contains("compressed, gzip"));
}

/// Bytes that do not get smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
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
    // Zeros without end behind the archive.
    let tail = Tar::default().file("a", "b").raw(&vec![0; 80 << 20]);
    limit(fixture.put("v", &gzip(&tail.0)));
    assert_eq!(fixture.on_disk(), (0, 0));
    assert_eq!(fixture.store.usage().bytes, 0);
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
