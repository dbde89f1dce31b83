//! Names: paths that lead out, names that mean something to a host, a
//! terminal or a shell, and names without end.

use super::{Canary, Trick, refused, shown};
use crate::support::archive::Tar;

const TOO_LARGE: &str = "File too large";

pub(super) fn tricks(canary: &Canary) -> Vec<Trick> {
    vec![
        shown(
            "climbing-names",
            // From wherever an unpacker might stand.
            (0..12)
                .fold(Tar::default(), |tar, levels| {
                    tar.file(format!("x/../{}", canary.from(levels)), "overwritten")
                        .file(canary.from(levels + 1), "overwritten")
                })
                .file("a/..", "x")
                .file("..", "x")
                .directory("../")
                .file("..a", "a name like any other")
                .file("...", "so is this")
                .gz(),
            &["f444 ...: so is this", "f444 ..a: a name like any other"],
        ),
        shown(
            "absolute-names",
            Tar::default()
                .file("/etc/passwd", "root::0:0::/:/bin/sh")
                .file("//double", "2")
                .file("/./dotted/./x", "3")
                .directory("/")
                .gz(),
            &[
                "d555 dotted/",
                "f444 dotted/x: 3",
                "f444 double: 2",
                "d555 etc/",
                "f444 etc/passwd: root::0:0::/:/bin/sh",
            ],
        ),
        absolute_canary(canary),
        shown(
            "names-of-nothing",
            Tar::default()
                .file("", "x")
                .file(".", "x")
                .directory("./")
                .directory("///")
                .symlink("./.", "x")
                .file("kept", "kept")
                .gz(),
            &["f444 kept: kept"],
        ),
        shown(
            "names-for-terminals",
            Tar::default()
                .file("new\nline", "1")
                .file("\x1b[2J\x1b]0;owned\x07", "2")
                .file(b"\xff\xfe-invalid", "3")
                .file("\u{202e}reversed", "4")
                .file("back\\slash", "5")
                .file("-rf", "6")
                .file("%2e%2e", "7")
                .file(" spaces ", "8")
                .file("$(reboot)", "9")
                .file(b"\xed\xa0\x80surrogate", "10")
                .file("nul.txt", "11")
                .file("C:\\Windows\\x", "12")
                .gz(),
            &[
                r"f444 \x1b[2J\x1b]0;owned\x07: 2",
                "f444  spaces : 8",
                "f444 $(reboot): 9",
                "f444 %2e%2e: 7",
                "f444 -rf: 6",
                r"f444 C:\\Windows\\x: 12",
                r"f444 back\\slash: 5",
                r"f444 new\nline: 1",
                "f444 nul.txt: 11",
                r"f444 \xe2\x80\xaereversed: 4",
                r"f444 \xed\xa0\x80surrogate: 10",
                r"f444 \xff\xfe-invalid: 3",
            ],
        ),
        shown(
            "nul-in-names",
            Tar::default()
                .pax(b'x', &[("path", b"pax\0name")])
                .file("first", "x")
                .pax(b'x', &[("path", b"\0")])
                .file("second", "x")
                .special(b'L', "long", b"gnu\0name\0")
                .file("third", "names of GNU end at NUL")
                .file("cut\0off", "so do those of ustar")
                .gz(),
            &[
                "f444 cut: so do those of ustar",
                "f444 gnu: names of GNU end at NUL",
            ],
        ),
        shown(
            "name-of-255",
            named("n", 255).gz(),
            &[&format!("f444 {}: x", "n".repeat(255))],
        ),
        shown(
            "name-of-256",
            named("n", 256).gz(),
            &[&format!("f444 {}~342aaaf5a0fcb18c: x", "n".repeat(238))],
        ),
        shown(
            "chinese-name-of-363",
            named(&("设".repeat(120) + ".md"), 1).gz(),
            &[&format!(
                "f444 {}~be93fc04a693b8be.md: x",
                r"\xe8\xae\xbe".repeat(78)
            )],
        ),
        long_path(),
        shown(
            "path-of-70000-bytes",
            named("d/", 35_000).file("after", "x").gz(),
            &["f444 after: x"],
        ),
        refused(
            "longer-than-a-header",
            named("d/", 5_000_000).gz(),
            TOO_LARGE,
            "an extension header of 10000014 bytes",
        ),
        deep(),
        shown(
            "1025-deep",
            named("d/", 1025).file("after", "x").gz(),
            &["f444 after: x"],
        ),
        shown(
            "deep-by-a-link-name",
            Tar::default()
                .pax(b'x', &[("linkpath", "d/".repeat(1025).as_bytes())])
                .hard_link("x", "y")
                .file("after", "x")
                .gz(),
            &["f444 after: x"],
        ),
    ]
}

/// A file whose name is `part` so many times, in the folders that it names.
fn named(part: &str, times: usize) -> Tar {
    let name = part.repeat(times);
    Tar::default()
        .pax(b'x', &[("path", name.trim_end_matches('/').as_bytes())])
        .file("first", "x")
}

fn absolute_canary(canary: &Canary) -> Trick {
    let path = canary.path();
    let (folder, _) = path[1..].rsplit_once('/').unwrap();
    let folder = folder.strip_prefix("tmp/").unwrap();
    shown(
        "absolute-name-of-a-file",
        Tar::default().file(&path, "overwritten").gz(),
        &[
            "d555 tmp/",
            &format!("d555 tmp/{folder}/"),
            &format!("f444 tmp/{folder}/secret: overwritten"),
        ],
    )
}

/// 5,000 bytes: no system call takes it in one piece, step by step it is reached.
fn long_path() -> Trick {
    let part = "p".repeat(249);
    let path = [part.as_str(); 20].join("/");
    let folders = (1..20).map(|depth| format!("d555 {}/", [part.as_str(); 20][..depth].join("/")));
    let lines: Vec<String> = folders.chain([format!("f444 {path}: x")]).collect();
    let tar = Tar::default()
        .pax(b'x', &[("path", path.as_bytes())])
        .file("x", "x");
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    shown("path-of-5000-bytes", tar.gz(), &lines)
}

fn deep() -> Trick {
    let folders = (1..=1000).map(|depth| format!("d555 {}", "d/".repeat(depth)));
    let lines: Vec<String> = folders
        .chain([format!("f444 {}f: x", "d/".repeat(1000))])
        .collect();
    let path = "d/".repeat(1000) + "f";
    let tar = Tar::default()
        .pax(b'x', &[("path", path.as_bytes())])
        .file("x", "x");
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    shown("1000-deep", tar.gz(), &lines)
}
