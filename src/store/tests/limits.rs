//! What an archive may be at most.

use super::*;

fn limit(result: Result<Arc<Version>>) -> String {
    match result {
        Err(Error::Limit { detail, .. }) => detail,
        other => panic!("not over a limit: {other:?}"),
    }
}

#[test]
fn an_archive_over_any_limit_is_refused() {
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
