//! Whether a version's id is the hash of its content: by whom its archive was made.

use super::*;
use sha2::{Digest, Sha256};

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The id of a version of `storage` with these files, in the order that is given.
pub(super) fn id_of(files: &[(&str, &[u8])]) -> String {
    let lines: Vec<String> = files
        .iter()
        .map(|(path, content)| format!("{path}:{}", hash(content)))
        .collect();
    hash(format!("storage:storage\n{}", lines.join("\n")).as_bytes())
}

fn verified(id: &str, tar: &Tar) -> Verified {
    let fixture = Fixture::new();
    let version = fixture.put(id, &tar.clone().gz()).unwrap();
    let verified = version.meta().verified;
    // Checked again from the disk, it comes out the same.
    let audit = audit::audit(&fixture.path(id), &key(id).directory(), &mut |_| ());
    let expected = match verified {
        Verified::Yes => Audit::Proven,
        Verified::No | Verified::NotApplicable => Audit::Complete,
    };
    assert_eq!(audit, expected);
    verified
}

#[test]
fn by_utf16_and_by_bytes() {
    // The emoji is before U+FF5E in UTF-16, after it in bytes.
    let names = ["a", "a:b", "d/x", "\u{1f600}", "\u{ff5e}"];
    let tar = names
        .iter()
        .fold(Tar::default(), |tar, name| tar.file(name, name));
    let files = |order: [usize; 5]| order.map(|at| (names[at], names[at].as_bytes()));
    // `a:` and a digest is before `a:b:`, as digits are before letters.
    let digest_first = hash(b"a").as_str() < "b:";
    let (one, two) = if digest_first { (0, 1) } else { (1, 0) };
    assert_eq!(
        verified(&id_of(&files([one, two, 2, 3, 4])), &tar),
        Verified::Yes
    );
    assert_eq!(
        verified(&id_of(&files([one, two, 2, 4, 3])), &tar),
        Verified::Yes
    );
    assert_eq!(
        verified(&id_of(&files([4, one, two, 2, 3])), &tar),
        Verified::No
    );
    assert_eq!(verified("ver_1", &tar), Verified::NotApplicable);
    let not_text = tar.file(b"\xff", "");
    assert_eq!(
        verified(&"3".repeat(64), &not_text),
        Verified::NotApplicable
    );
}

#[test]
fn an_id_proves_an_archive_as_gnu_tar_makes_it() {
    let tar = Tar::default()
        .dir("./")
        .dir("./empty/")
        .file("./a", "one")
        .dir("./d/")
        .hard("./d/hard", "./a")
        .file("./d/x", "two");
    let id = id_of(&[("a", b"one"), ("d/hard", b"one"), ("d/x", b"two")]);
    assert_eq!(verified(&id, &tar), Verified::Yes);
    // Hard links alone leave nothing open.
    let without = id_of(&[("a", b"one"), ("d/x", b"two")]);
    assert_eq!(verified(&without, &tar), Verified::No);
    assert_eq!(verified(&"0".repeat(64), &tar), Verified::No);
    // The last of a name counts.
    let doubled = Tar::default().file("a", "not this").raw(&tar.0);
    assert_eq!(verified(&id, &doubled), Verified::Yes);
    let empty = id_of(&[]);
    assert_eq!(verified(&empty, &Tar::default().dir("./")), Verified::Yes);
}

#[test]
fn an_id_proves_content_with_symlinks_left_out_or_followed() {
    let tar = Tar::default()
        .file("./a", "one")
        .file("./d/x", "two")
        .symlink("./d/up", "../a")
        .symlink("./link", "d")
        .symlink("./chain", "link/up")
        .symlink("./d/loop", "..")
        .symlink("./gone", "nowhere")
        .symlink("./out", "../../etc/passwd")
        .symlink("./abs", "/etc/passwd");
    let plain: [(&str, &[u8]); 2] = [("a", b"one"), ("d/x", b"two")];
    assert_eq!(verified(&id_of(&plain), &tar), Verified::Yes);
    let followed: [(&str, &[u8]); 6] = [
        ("a", b"one"),
        ("chain", b"one"),
        ("d/up", b"one"),
        ("d/x", b"two"),
        ("link/up", b"one"),
        ("link/x", b"two"),
    ];
    assert_eq!(verified(&id_of(&followed), &tar), Verified::Yes);
    // What else the id may be of cannot be told.
    assert_eq!(verified(&"0".repeat(64), &tar), Verified::NotApplicable);
    // A symlink whose entry was replaced plays no part.
    let replaced = Tar::default().symlink("a", "x").file("a", "one");
    assert_eq!(verified(&id_of(&[("a", b"one")]), &replaced), Verified::Yes);
    assert_eq!(verified(&"0".repeat(64), &replaced), Verified::No);
}

#[test]
fn links_that_multiply_end() {
    // Each folder leads to all others, by ways without number.
    let mut tar = Tar::default();
    for from in 0..12 {
        tar = tar.file(format!("d{from}/f"), "x");
        for to in 0..12 {
            tar = tar.symlink(format!("d{from}/to{to}"), format!("../d{to}"));
        }
    }
    assert_eq!(verified(&"0".repeat(64), &tar), Verified::NotApplicable);
}

#[test]
fn what_cannot_be_shown_may_be_covered() {
    let id = id_of(&[("a", b"one")]);
    let tar = Tar::default().file("a", "one").file("../b", "two");
    assert_eq!(verified(&id, &tar), Verified::Yes);
    assert_eq!(verified(&"0".repeat(64), &tar), Verified::NotApplicable);
}

#[test]
fn shortened_names_count_as_they_were() {
    let (folder, file) = ("d".repeat(300), "设".repeat(120) + ".md");
    let path = format!("{folder}/{file}");
    let tar = Tar::default()
        .pax(b'x', &[("path", path.as_bytes())])
        .file("x", "one")
        .symlink("link", "nowhere");
    assert_eq!(verified(&id_of(&[(&path, b"one")]), &tar), Verified::Yes);
    let linked = Tar::default()
        .pax(b'x', &[("path", path.as_bytes())])
        .file("x", "one")
        .pax(b'x', &[("linkpath", path.as_bytes())])
        .symlink("link", "x");
    let id = id_of(&[(&path, b"one"), ("link", b"one")]);
    assert_eq!(verified(&id, &linked), Verified::Yes);
}

#[test]
fn holes_are_part_of_the_content() {
    let tar = |size: u64| {
        let size = size.to_string();
        let records = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", b"700000,3"),
        ];
        Tar::default().pax(b'x', &records).file("f", "abc")
    };
    let mut content = vec![0; 2_000_000];
    content[700_000..700_003].copy_from_slice(b"abc");
    assert_eq!(
        verified(&id_of(&[("f", &content)]), &tar(2_000_000)),
        Verified::Yes
    );
    assert_eq!(verified(&"0".repeat(64), &tar(2_000_000)), Verified::No);
    // Hashing that many zeros would take hours.
    assert_eq!(
        verified(&"0".repeat(64), &tar(1 << 40)),
        Verified::NotApplicable
    );
}

#[test]
fn an_archive_without_its_end_is_cut_unless_all_files_came() {
    let tar = Tar::default()
        .file("./a", "one")
        .hard("./hard", "a")
        .file("./d/x", "two")
        .symlink("./link", "d");
    let taken_in = |tar: &Tar, id: &str, files: Option<u64>, ended: bool| {
        let end: &[u8] = if ended { &[0; 1024] } else { &[] };
        let request = FetchRequest {
            declared_files: files,
            ..request(id)
        };
        Fixture::new().take_in(&request, &gzip(&tar.clone().raw(end).0))
    };
    for (files, ended, good) in [
        (Some(3), false, true),
        // With what symlinks lead to.
        (Some(4), false, true),
        (None, false, true),
        (Some(2), false, false),
        (Some(5), false, false),
        (Some(100), false, false),
        // The end mark says that it is whole: what is declared is a hint.
        (Some(100), true, true),
    ] {
        for id in ["v", &"0".repeat(64)] {
            let result = taken_in(&tar, id, files, ended);
            assert_eq!(result.is_ok(), good, "{files:?} {ended}");
            if let Err(error) = result {
                let said = error.to_string();
                assert!(said.contains("it is cut"), "{said}");
                assert_eq!(error.errno(), libc::EIO);
            }
        }
    }
    // Left out, but come.
    let climbing = Tar::default().file("a", "").file("../b", "");
    taken_in(&climbing, "v", Some(2), false).unwrap();
    // Proven by its id: then other numbers are hints.
    let id = id_of(&[("a", b"one")]);
    let one = Tar::default().file("a", "one");
    taken_in(&one, &id, Some(7), false).unwrap();
}
