//! What archives become.

use super::*;

pub(super) fn bad(result: Result<Arc<Version>>) -> String {
    match result {
        Err(Error::BadArchive { detail, .. }) => detail,
        other => panic!("not a bad archive: {other:?}"),
    }
}

#[test]
fn an_archive_gives_its_files_with_sizes_times_and_modes() {
    let fixture = Fixture::new();
    let big = vec![7; (BLOB_SIZE + 5) as usize];
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
fn archives_of_the_tar_crate_are_read() {
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
fn names_are_read_from_every_kind_of_header() {
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
fn what_is_no_archive_is_refused_and_an_empty_archive_is_not() {
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
