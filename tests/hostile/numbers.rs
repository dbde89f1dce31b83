//! Sizes and times that cannot be, and the tricks of sparse files.

use super::{Trick, refused, shown};
use crate::support::{
    archive::{BLOCK, Tar, base256, gzip},
    reason,
};
use std::ops::Range;

const TOO_LARGE: &str = "File too large";
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
/// A sparse file's whole size, in an old GNU header.
const REAL: Range<usize> = 483..495;

pub(super) fn tricks() -> Vec<Trick> {
    let mut tricks = vec![
        shown(
            "absurd-times",
            [
                ("latest", &base256(i64::MAX)),
                ("earliest", &base256(i64::MIN)),
                ("before", &base256(-1)),
                ("too-many-bits", &[0x80 | 0x3f; 12]),
                ("no-number", b"last-tuesday"),
                ("octal", b"777777777777"),
            ]
            .into_iter()
            .fold(Tar::default(), |tar, (name, time)| {
                tar.header(b'0', name, "", 0o644, 0)
                    .edit(|block| block[MTIME].copy_from_slice(time))
            })
            .pax(b'x', &[("mtime", b"-0.000000001")])
            .file("a-nanosecond-before", "")
            .pax(b'x', &[("mtime", b"9223372036854775807.999999999")])
            .file("latest-of-all", "")
            .gz(),
            &[
                "f444 a-nanosecond-before@-1+999999999: ",
                "f444 before@-1: ",
                "f444 earliest@-9223372036854775808: ",
                "f444 latest@9223372036854775807: ",
                "f444 latest-of-all@9223372036854775807+999999999: ",
                "f444 no-number@0: ",
                "f444 octal@68719476735: ",
                "f444 too-many-bits@0: ",
            ],
        ),
        shown(
            "times-of-other-forms",
            [
                ("a-float", "1e-05"),
                ("half", ".5"),
                ("plus", "+17"),
                // The header's own counts.
                ("no-number", "nan"),
                ("nothing", ""),
                ("too-large", "99999999999999999999"),
                ("words", "yesterday"),
            ]
            .into_iter()
            .fold(Tar::default(), |tar, (name, time)| {
                tar.pax(b'x', &[("mtime", time.as_bytes())]).file(name, "x")
            })
            .gz(),
            &[
                "f444 a-float@0+10000: x",
                "f444 half@0+500000000: x",
                "f444 no-number: x",
                "f444 nothing: x",
                "f444 plus@17: x",
                "f444 too-large: x",
                "f444 words: x",
            ],
        ),
        refused(
            "size-of-8-exabytes",
            sized(&base256(i64::MAX)),
            TOO_LARGE,
            "it unpacks to at least 9223372036854775807 bytes",
        ),
        refused(
            "negative-size",
            sized(&base256(-512)),
            reason::IO,
            "byte 0: malformed size",
        ),
        refused(
            "size-of-too-many-bits",
            sized(&[0x80 | 0x3f; 12]),
            reason::IO,
            "byte 0: malformed size",
        ),
        refused(
            "size-in-words",
            sized(b"five-hundred"),
            reason::IO,
            "malformed size",
        ),
        refused(
            "pax-size-of-16-exabytes",
            Tar::default()
                .pax(b'x', &[("size", b"18446744073709551615")])
                .file("first", "x")
                .gz(),
            TOO_LARGE,
            "it unpacks to at least 18446744073709551615 bytes",
        ),
        refused(
            "pax-size-of-more-bits",
            Tar::default()
                .pax(b'x', &[("size", b"18446744073709551616")])
                .file("first", "x")
                .gz(),
            reason::IO,
            "malformed size",
        ),
        refused(
            "sizes-that-overflow-together",
            // Skipped entries count, too: their bodies would have to be read.
            Tar::default()
                .file("first", "x")
                .header(b'M', "continued", "", 0o644, 0)
                .edit(|block| block[SIZE].copy_from_slice(&base256(i64::MAX)))
                .gz(),
            TOO_LARGE,
            "it unpacks to at least 9223372036854775808 bytes",
        ),
        refused(
            "more-than-there-is",
            Tar::default()
                .header(b'0', "first", "", 0o644, 5000)
                .body("x")
                .gz(),
            reason::IO,
            "the archive ends inside a file's content",
        ),
        shown(
            "sizes-where-no-body-belongs",
            Tar::default()
                .file("file", "content")
                .header(b'5', "folder", "", 0o755, 7)
                .header(b'1', "hard", "file", 0o644, 7)
                .file("after", "x")
                .gz(),
            &[
                "f444 after: x",
                "f444 file: content",
                "d555 folder/",
                "f444 hard: content",
            ],
        ),
        shown(
            "a-size-for-a-link-in-a-pax-header",
            Tar::default()
                .file("file", "content")
                .pax(b'x', &[("size", b"11")])
                .hard_link("hard", "file")
                .body("passed over")
                .pax(b'x', &[("size", b"11")])
                .symlink("link", "file")
                .body("passed over")
                .gz(),
            &[
                "f444 file: content",
                "f444 hard: content",
                "l777 link -> file",
            ],
        ),
        refused(
            "a-size-for-all-entries",
            Tar::default()
                .pax(b'g', &[("size", b"1")])
                .file("first", "x")
                .gz(),
            reason::IO,
            "a pax header with a size for all entries",
        ),
        refused(
            "size-behind-a-nul",
            sized(b"\x0000000000001"),
            reason::IO,
            "byte 0: malformed size",
        ),
    ];
    tricks.extend(bodies());
    tricks.extend(sparse());
    tricks
}

/// Bodies that GNU tar passes over and bsdtar does not, or the other way round: an
/// entry that is in one of them only would not be seen by who checks with the other.
fn bodies() -> Vec<Trick> {
    let entry = Tar::default().file("hidden", "x").bytes();
    let body = |name: &'static str, tar: Tar| {
        let tar = tar.body(&entry).file("after", "x");
        refused(name, tar.gz(), reason::IO, "a body where none belongs")
    };
    let header = |kind: u8, name: &str| {
        Tar::default()
            .file("file", "content")
            .header(kind, name, "file", 0o644, entry.len() as u64)
    };
    vec![
        body("body-of-a-symlink", header(b'2', "entry")),
        body("body-of-a-fifo", header(b'6', "entry")),
        body("body-of-a-device", header(b'3', "entry")),
        body("body-of-a-label", header(b'V', "entry")),
        body("body-of-a-folder-by-its-slash", header(b'0', "entry/")),
        body(
            "body-of-a-folder",
            Tar::default()
                .pax(b'x', &[("size", b"1024")])
                .directory("folder"),
        ),
        body(
            "body-of-a-hard-link-among-pax-headers",
            Tar::default()
                .pax(b'x', &[("comment", b"")])
                .file("file", "content")
                .header(b'1', "hard", "file", 0o644, entry.len() as u64),
        ),
    ]
}

fn sparse() -> Vec<Trick> {
    let bad = |name: &'static str, archive: Tar| {
        refused(name, archive.gz(), reason::IO, "malformed sparse file")
    };
    let hole = |piece: &[Piece], real: i64, content: &str| {
        sparse_file(piece, real, content.len() as u64).body(content)
    };
    vec![
        shown(
            "a-sparse-file",
            hole(&[(2, 4), (10, 0)], 10, "abcd").gz(),
            &[r"f444 first: \x00\x00abcd\x00\x00\x00\x00"],
        ),
        shown(
            "sparse-in-pax-forms",
            Tar::default()
                .pax(
                    b'x',
                    &[
                        ("GNU.sparse.size", b"5"),
                        ("GNU.sparse.offset", b"2"),
                        ("GNU.sparse.numbytes", b"2"),
                    ],
                )
                .file("first", "ab")
                .pax(
                    b'x',
                    &[
                        ("GNU.sparse.size", b"5"),
                        ("GNU.sparse.name", b"second"),
                        ("GNU.sparse.map", b"1,2"),
                    ],
                )
                .file("GNUSparseFile.7/second", "cd")
                .pax(
                    b'x',
                    &[
                        ("GNU.sparse.major", b"1"),
                        ("GNU.sparse.minor", b"0"),
                        ("GNU.sparse.name", b"third"),
                        ("GNU.sparse.realsize", b"5"),
                    ],
                )
                .file(
                    "GNUSparseFile.7/third",
                    ["1\n0\n2\n", &"\0".repeat(BLOCK - 6), "ef"].concat(),
                )
                .gz(),
            &[
                r"f444 first: \x00\x00ab\x00",
                r"f444 second: \x00cd\x00\x00",
                r"f444 third: ef\x00\x00\x00",
            ],
        ),
        bad(
            "sparse-overlapping",
            hole(&[(0, 4), (2, 4)], 20, "abcdefgh"),
        ),
        bad("sparse-backwards", hole(&[(8, 4), (0, 4)], 20, "abcdefgh")),
        // Where in the archive the second is, programs differ on.
        bad(
            "sparse-within-blocks",
            hole(&[(2, 4), (10, 2)], 20, "abcdef"),
        ),
        bad("sparse-beyond-its-end", hole(&[(18, 4)], 20, "abcd")),
        bad("sparse-with-less", hole(&[(0, 4)], 20, "ab")),
        bad("sparse-with-more", hole(&[(0, 4)], 20, &"x".repeat(600))),
        bad(
            "sparse-overflowing",
            sparse_file(&[(i64::MAX, i64::MAX)], i64::MAX, 0),
        ),
        bad("sparse-negative", hole(&[(-4, 4)], 20, "abcd")),
        bad(
            "sparse-behind-its-end",
            // The third place, with nothing in the second.
            sparse_file(&[(0, 4)], 2000, 4)
                .edit(|block| put(&mut block[386 + 48..], (1000, 0)))
                .body("abcd"),
        ),
        refused(
            "sparse-in-a-million-pieces",
            (0..48_000_i64)
                .fold(goes_on(&[(0, 0); 4]), |tar, _| tar.body(extension((0, 0))))
                .gz(),
            TOO_LARGE,
            "a sparse file of more than 1000000 pieces",
        ),
        // A map that says nothing, and never ends.
        bad("sparse-in-no-pieces", goes_on(&[]).body([0; BLOCK])),
        refused(
            "sparse-map-cut",
            gzip(&goes_on(&[(0, 0); 4]).bytes()),
            reason::IO,
            "the archive ends inside a sparse file's map",
        ),
        refused(
            "sparse-in-another-form",
            Tar::default()
                .pax(
                    b'x',
                    &[
                        ("GNU.sparse.major", b"2"),
                        ("GNU.sparse.minor", b"0"),
                        ("GNU.sparse.realsize", b"1"),
                    ],
                )
                .file("first", "x")
                .gz(),
            reason::IO,
            "a sparse file in form 2.0, which vm0fs does not know",
        ),
    ]
}

/// A block of a map that goes on, all of it the same piece.
fn extension(piece: Piece) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for at in 0..21 {
        put(&mut block[at * 24..], piece);
    }
    block[504] = 1;
    block
}

/// Offset and length of data.
type Piece = (i64, i64);

fn sparse_file(pieces: &[Piece], real: i64, stored: u64) -> Tar {
    Tar::default()
        .header(b'S', "first", "", 0o644, stored)
        .edit(|block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            for (at, &piece) in pieces.iter().enumerate() {
                put(&mut block[386 + at * 24..], piece);
            }
            block[REAL].copy_from_slice(&base256(real));
        })
}

/// A sparse file whose map goes on in the block after.
fn goes_on(pieces: &[Piece]) -> Tar {
    sparse_file(pieces, 1 << 20, 0).edit(|block| block[482] = 1)
}

fn put(into: &mut [u8], (offset, length): Piece) {
    into[..12].copy_from_slice(&base256(offset));
    into[12..24].copy_from_slice(&base256(length));
}

fn sized(size: &[u8; 12]) -> Vec<u8> {
    Tar::default()
        .header(b'0', "first", "", 0o644, 0)
        .edit(|block| block[SIZE].copy_from_slice(size))
        .gz()
}
