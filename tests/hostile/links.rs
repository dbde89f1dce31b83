//! Links out of the version, of both kinds, straight, through one another and
//! through a parent that is a link; and links in circles.

use super::{Canary, Trick, shown};
use crate::support::archive::Tar;

pub(super) fn tricks(canary: &Canary) -> Vec<Trick> {
    vec![
        shown(
            "symlinks-out",
            Tar::default()
                .symlink("absolute", canary.path())
                .symlink("climbing", canary.relative())
                .symlink("d/climbing", format!("../{}", canary.relative()))
                .symlink("root", "/")
                .symlink("double-slash", "//tmp")
                .symlink("proc", "/proc/self/root")
                .symlink("above", "..")
                .symlink("to-another-version", "../../other/latest/x")
                .symlink("around", "d/../..")
                .symlink("through-nothing", "missing/../../x")
                .symlink("through-a-file", "file/../../x")
                .symlink("dots", "./.././../x")
                .file("file", "x")
                .gz(),
            &[
                "l777 above -> refused",
                "l777 absolute -> refused",
                "l777 around -> refused",
                "l777 climbing -> refused",
                "d555 d/",
                "l777 d/climbing -> refused",
                "l777 dots -> refused",
                "l777 double-slash -> refused",
                "f444 file: x",
                "l777 proc -> refused",
                "l777 root -> refused",
                "l777 through-a-file -> refused",
                "l777 through-nothing -> refused",
                "l777 to-another-version -> refused",
            ],
        ),
        shown(
            "symlinks-out-through-links",
            Tar::default()
                .directory("a/b")
                // Each of these alone stays inside.
                .symlink("a/b/top", "../..")
                .symlink("chain", "to-absolute")
                .symlink("to-absolute", "absolute")
                .symlink("absolute", canary.path())
                .symlink("below", "absolute/../x")
                .symlink("sum", format!("a/b/top/{}", canary.relative()))
                .symlink("inside", "a/b/top/file")
                .file("file", "x")
                .gz(),
            &[
                "d555 a/",
                "d555 a/b/",
                "l777 a/b/top -> ../..",
                "l777 absolute -> refused",
                "l777 below -> refused",
                "l777 chain -> refused",
                "f444 file: x",
                "l777 inside -> a/b/top/file",
                "l777 sum -> refused",
                "l777 to-absolute -> refused",
            ],
        ),
        shown(
            "a-symlink-in-two-places",
            // From `a` it stays inside, from the root it does not.
            Tar::default()
                .symlink("a/up", "../file")
                .hard_link("up", "a/up")
                .file("file", "x")
                .gz(),
            &[
                "d555 a/",
                "l777 a/up -> refused",
                "f444 file: x",
                "l777 up -> refused",
            ],
        ),
        shown(
            "made-to-lead-out-later",
            // Inside when it comes, outside once `d` has become another thing.
            Tar::default()
                .directory("d/e")
                .symlink("link", "d/e/../../file")
                .symlink("d", "/")
                .file("file", "x")
                .gz(),
            &["l777 d -> refused", "f444 file: x", "l777 link -> refused"],
        ),
        shown(
            "through-a-symlinked-parent",
            {
                let folder = canary.path();
                let folder = folder.strip_suffix("/secret").unwrap();
                let climbing = canary.relative();
                Tar::default()
                    .symlink("absolute", folder)
                    .file("absolute/secret", "overwritten")
                    .symlink("climbing", climbing.strip_suffix("/secret").unwrap())
                    .file("climbing/secret", "overwritten")
                    .symlink("kept", folder)
                    .hard_link("hard", "kept/secret")
                    .directory("kept/../x")
                    .symlink("nested", folder)
                    .symlink("nested/secret", canary.path())
            }
            .gz(),
            &[
                "d555 absolute/",
                "f444 absolute/secret: overwritten",
                "d555 climbing/",
                "f444 climbing/secret: overwritten",
                "l777 kept -> refused",
                "d555 nested/",
                "l777 nested/secret -> refused",
            ],
        ),
        shown(
            "hard-links-out",
            (0..10)
                .fold(Tar::default(), |tar, levels| {
                    tar.hard_link(format!("climbing{levels}"), canary.from(levels))
                })
                .hard_link("absolute", canary.path())
                .hard_link("before-it", "file")
                .file("file", "x")
                .hard_link("to-itself", "to-itself")
                .hard_link("to-a-folder", "d")
                .directory("d")
                .hard_link("to-a-folder", "d")
                .hard_link("to-the-root", ".")
                .hard_link("to-nothing", "")
                .hard_link("nul", "x")
                .hard_link("file/below", "file")
                .hard_link("good", "/./file")
                .gz(),
            &["d555 d/", "f444 file: x", "f444 good: x"],
        ),
        shown(
            "a-hard-link-over-its-own-folder",
            Tar::default().file("a/b", "x").hard_link("a", "a/b").gz(),
            &["f444 a: x"],
        ),
        shown(
            "a-file-written-through-a-hard-link",
            Tar::default()
                .symlink("link", canary.path())
                .hard_link("same", "link")
                .file("same", "overwritten")
                .gz(),
            &["l777 link -> refused", "f444 same: overwritten"],
        ),
        shown(
            "loops",
            Tar::default()
                .symlink("self", "self")
                .symlink("one", "two")
                .symlink("two", "one")
                .symlink("d/here", ".")
                .symlink("d/back", "../d")
                .symlink("grow", "grow/grow")
                .gz(),
            &[
                "d555 d/",
                "l777 d/back -> ../d",
                "l777 d/here -> .",
                "l777 grow -> grow/grow",
                "l777 one -> two",
                "l777 self -> self",
                "l777 two -> one",
            ],
        ),
        shown(
            "empty-targets",
            Tar::default()
                .symlink("empty", "")
                .pax(b'x', &[("linkpath", b"a\0b")])
                .symlink("nul", "x")
                .symlink("control", "a\nb\x1b[2J")
                .gz(),
            &[r"l777 control -> a\nb\x1b[2J"],
        ),
        shown(
            "target-of-4095-bytes",
            targeted(4095),
            &["l777 first -> 4095 bytes"],
        ),
        shown("target-of-4096-bytes", targeted(4096), &[]),
    ]
}

fn targeted(length: usize) -> Vec<u8> {
    Tar::default()
        .pax(b'x', &[("linkpath", "t".repeat(length).as_bytes())])
        .symlink("first", "x")
        .gz()
}
