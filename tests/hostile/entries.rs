//! Kinds of entries that do not belong in a version, rights that no file may
//! get from one, and entries that contradict one another.

use super::{Canary, Trick, shown};
use crate::support::archive::Tar;

pub(super) fn tricks(canary: &Canary) -> Vec<Trick> {
    vec![
        shown(
            "devices-and-fifos",
            Tar::default()
                .special(b'3', "null", "")
                .edit(|block| block[329..345].copy_from_slice(b"0000001\x000000003\0"))
                .special(b'4', "disk", "")
                .special(b'6', "fifo", "")
                .special(b'V', "label", "")
                .special(b'M', "continued", "")
                .file("null-not", "a file")
                .gz(),
            &["f444 null-not: a file"],
        ),
        shown(
            "unknown-kinds-are-files",
            Tar::default()
                .special(b'7', "contiguous", "1")
                .special(0, "old", "2")
                .special(b'Z', "unknown", "3")
                .special(0xff, "no-letter", "4")
                .special(0, "old-folder/", "")
                .special(b'D', "dumped", "names\0")
                .gz(),
            &[
                "f444 contiguous: 1",
                "d555 dumped/",
                "f444 no-letter: 4",
                "f444 old: 2",
                "d555 old-folder/",
                "f444 unknown: 3",
            ],
        ),
        shown(
            "rights",
            Tar::default()
                .file_with_mode("setuid", 0o4755, "1")
                .file_with_mode("setgid", 0o2711, "2")
                .file_with_mode("sticky", 0o1777, "3")
                .file_with_mode("setuid-only", 0o6000, "4")
                .file_with_mode("none", 0, "5")
                .file_with_mode("all", 0o7777, "6")
                .file_with_mode("beyond", 0o177_644, "7")
                .header(b'5', "folder", "", 0o7777, 0)
                .header(b'5', "closed", "", 0, 0)
                .file_with_mode("closed/in", 0o200, "8")
                .header(b'0', "no-number", "", 0o644, 0)
                .edit(|block| block[100..107].copy_from_slice(b"rwxr-xr"))
                .gz(),
            &[
                "f555 all: 6",
                "f444 beyond: 7",
                "d555 closed/",
                "f444 closed/in: 8",
                "d555 folder/",
                "f444 no-number: ",
                "f444 none: 5",
                "f555 setgid: 2",
                "f555 setuid: 1",
                "f444 setuid-only: 4",
                "f555 sticky: 3",
            ],
        ),
        shown(
            "owners-and-attributes",
            Tar::default()
                .pax(
                    b'x',
                    &[
                        ("uid", b"0"),
                        ("uname", b"root"),
                        ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\xff\xff"),
                        ("SCHILY.xattr.user.vm0.id", b"forged"),
                        ("SCHILY.acl.access", b"user::rwx"),
                        ("SCHILY.fflags", b"immutable"),
                        ("comment", b"\x1b[2J"),
                    ],
                )
                .file_with_mode("program", 0o755, "x")
                .gz(),
            &["f555 program: x"],
        ),
        shown(
            "the-last-of-a-name-counts",
            Tar::default()
                .file("same", "first")
                .file("./same", "second")
                .file("/same", "third")
                .file("Same", "another")
                .file("SAME", "another still")
                .file("to-folder", "x")
                .file("to-folder/in", "y")
                .file("to-file/in", "x")
                .file("to-file", "y")
                .directory("to-link/in")
                .symlink("to-link", canary.path())
                .symlink("from-link", canary.path())
                .file("from-link", "overwritten")
                .file("by-slash", "x")
                .directory("by-slash/")
                .file("kept/a", "1")
                .directory("kept")
                .file("kept/b", "2")
                .gz(),
            &[
                "f444 SAME: another still",
                "f444 Same: another",
                "d555 by-slash/",
                "f444 from-link: overwritten",
                "d555 kept/",
                "f444 kept/a: 1",
                "f444 kept/b: 2",
                "f444 same: third",
                "f444 to-file: y",
                "d555 to-folder/",
                "f444 to-folder/in: y",
                "l777 to-link -> refused",
            ],
        ),
        shown(
            "extensions-that-contradict",
            Tar::default()
                .special(b'L', "long", "gnu")
                .pax(b'x', &[("path", b"pax-wins"), ("path", b"the-last-wins")])
                .file("neither", "1")
                .pax(b'g', &[("path", b"global")])
                .file("lost", "2")
                .pax(b'x', &[("path", b"own")])
                .file("lost", "3")
                .pax(b'g', &[("path", b"")])
                .file("taken-back", "4")
                .special(b'L', "long", canary.relative())
                .file("not-this-either", "5")
                .gz(),
            &[
                "f444 global: 2",
                "f444 own: 3",
                "f444 taken-back: 4",
                "f444 the-last-wins: 1",
            ],
        ),
        shown(
            "names-of-the-mount",
            Tar::default()
                .file(".versions.json", "forged")
                .file("latest", "forged")
                .file(".vm0fs/errors", "forged")
                .gz(),
            &[
                "f444 .versions.json: forged",
                "d555 .vm0fs/",
                "f444 .vm0fs/errors: forged",
                "f444 latest: forged",
            ],
        ),
    ]
}
