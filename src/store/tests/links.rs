//! Where links lead, inside of a version and out of it.

use super::*;
use nix::time::{ClockId, clock_gettime};

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
    // By this thread, which follows them: others have their own tests to run.
    let cpu_time = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let before = cpu_time();
    let version = fixture.put("v", &tar.gz()).unwrap();
    assert!(cpu_time() - before < Duration::from_secs(30));
    assert_eq!(version.index().child_count(0), 5039);
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
