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
        refused(
            "a-time-that-is-none",
            Tar::default()
                .pax(b'x', &[("mtime", b"yesterday")])
                .file("first", "x")
                .gz(),
            reason::IO,
            "malformed mtime",
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
                .header(b'6', "fifo", "", 0o644, 0)
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
            "bodies-where-none-belong",
            Tar::default()
                .special(b'5', "folder", "passed over")
                .header(b'1', "hard", "folder/x", 0o644, 7)
                .header(b'2', "link", "folder", 0o777, 7)
                .body("passed over")
                .file("after", "x")
                .gz(),
            &["f444 after: x", "d555 folder/", "l777 link -> folder"],
        ),
    ];
    tricks.extend(sparse());
    tricks
}

fn sparse() -> Vec<Trick> {
    let bad = |name: &'static str, archive: Tar| {
        refused(name, archive.gz(), reason::IO, "malformed sparse file")
    };
    // 21 pieces in each block of a map that goes on.
    let extension = |piece: Piece| {
        let mut block = [0; BLOCK];
        for at in 0..21 {
            put(&mut block[at * 24..], piece);
        }
        block[504] = 1;
        block
    };
    vec![
        shown(
            "a-sparse-file",
            sparse_file(&[(2, 4), (10, 2), (20, 0)], 20, 6)
                .body("abcdef")
                .gz(),
            &[r"f444 first: \x00\x00abcd\x00\x00\x00\x00ef\x00\x00\x00\x00\x00\x00\x00\x00"],
        ),
        refused(
            "a-sparse-terabyte",
            sparse_file(&[(1 << 40, 0)], 1 << 40, 0).gz(),
            TOO_LARGE,
            "it unpacks to at least 1099511627776 bytes",
        ),
        bad(
            "sparse-overlapping",
            sparse_file(&[(0, 4), (2, 4)], 20, 8).body("abcdefgh"),
        ),
        bad(
            "sparse-backwards",
            sparse_file(&[(8, 4), (0, 4)], 20, 8).body("abcdefgh"),
        ),
        bad(
            "sparse-beyond-its-end",
            sparse_file(&[(18, 4)], 20, 4).body("abcd"),
        ),
        bad("sparse-with-less", sparse_file(&[(0, 4)], 20, 2).body("ab")),
        bad(
            "sparse-with-more",
            sparse_file(&[(0, 4)], 20, 600).body([b'x'; 600]),
        ),
        bad(
            "sparse-overflowing",
            sparse_file(&[(i64::MAX, i64::MAX)], i64::MAX, 0),
        ),
        bad(
            "sparse-negative",
            sparse_file(&[(-4, 4)], 20, 4).body("abcd"),
        ),
        refused(
            "sparse-in-a-million-pieces",
            (0..5000)
                .fold(endless_map(), |tar, at| {
                    let mut block = [0; BLOCK];
                    for piece in 0..21 {
                        put(&mut block[piece * 24..], (2 * (at * 21 + piece as i64), 1));
                    }
                    block[504] = 1;
                    tar.body(block)
                })
                .gz(),
            TOO_LARGE,
            "a sparse file of more than 100000 pieces",
        ),
        refused(
            "sparse-in-empty-pieces",
            // A map that says nothing, and never ends.
            (0..6000)
                .fold(endless_map(), |tar, _| tar.body(extension((0, 0))))
                .gz(),
            TOO_LARGE,
            "a sparse file of more than 100000 pieces",
        ),
        refused(
            "sparse-map-cut",
            gzip(&endless_map().bytes()),
            reason::IO,
            "the archive ends inside a sparse file's map",
        ),
        refused(
            "sparse-in-pax-form",
            Tar::default()
                .pax(
                    b'x',
                    &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")],
                )
                .file("first", "x")
                .gz(),
            reason::IO,
            "a sparse file in pax form",
        ),
    ]
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
fn endless_map() -> Tar {
    sparse_file(&[], 1 << 20, 0).edit(|block| block[482] = 1)
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
