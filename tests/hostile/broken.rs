//! Archives that break off, are damaged, or are none; and forms of gzip that
//! are rare but right.

use super::{Trick, refused, shown};
use crate::support::{
    archive::{BLOCK, Tar, gzip},
    noise, reason,
};

pub(super) fn tricks() -> Vec<Trick> {
    let tar = || {
        Tar::default()
            .file("first", "complete")
            .file("second", noise(300_000))
    };
    let lines = ["f444 first: complete", "f444 second: 300000 bytes"];
    let good = tar().gz();
    let plain = tar().ended();
    let broken = |name: &'static str, archive: Vec<u8>, said: &'static str| {
        refused(name, archive, reason::IO, said)
    };
    let changed = |at: usize| {
        let mut archive = good.clone();
        archive[at] ^= 0x10;
        archive
    };
    // The one type of block that deflate does not have.
    let mut reserved = good.clone();
    reserved[10] |= 6;
    let compressed = "the compressed data is broken";
    let header = |at: usize| {
        let mut tar = plain.clone();
        tar[at] ^= 1;
        gzip(&tar)
    };
    let third = plain.len() / 3;
    vec![
        broken(
            "cut-at-the-end",
            good[..good.len() - 1].to_vec(),
            compressed,
        ),
        broken(
            "cut-in-the-middle",
            good[..good.len() / 2].to_vec(),
            compressed,
        ),
        broken("cut-in-the-gzip-header", good[..5].to_vec(), compressed),
        broken("crc", changed(good.len() - 6), compressed),
        broken("length", changed(good.len() - 1), compressed),
        broken("deflate", reserved, compressed),
        broken("unknown-method", changed(2), compressed),
        broken("empty", Vec::new(), "it is empty"),
        broken("gzip-of-nothing", gzip(b""), "it is empty"),
        broken(
            "html",
            b"<html>not an archive</html>".to_vec(),
            "it is an HTML page, no archive",
        ),
        broken("json", b"{\"error\": {}}".to_vec(), "it is a JSON document"),
        broken(
            "xml",
            b"<?xml version=\"1.0\"?>".to_vec(),
            "it is an XML document",
        ),
        broken(
            "zstd",
            b"\x28\xb5\x2f\xfd\0".to_vec(),
            "it is zstd data; vm0fs reads tar",
        ),
        broken(
            "zip",
            b"PK\x03\x04".to_vec(),
            "it is a zip archive; vm0fs reads tar",
        ),
        broken(
            "words",
            b"Not Found".to_vec(),
            "neither gzip data nor a tar archive",
        ),
        broken(
            "compressed-twice",
            gzip(&good),
            "it is not a tar archive but, compressed, gzip data",
        ),
        // A store or a proxy may have undone the compression.
        shown("not-compressed", plain.clone(), &lines),
        broken(
            "not-compressed-and-cut",
            plain[..100_000].to_vec(),
            "the archive ends inside a file's content",
        ),
        broken("not-tar", gzip(&[b'x'; 2_000]), "it is not a tar archive"),
        broken("not-even-a-header", gzip(b"short"), "ends inside a header"),
        broken("first-header", header(3), "it is not a tar archive"),
        broken(
            "header-in-the-middle",
            header(2 * BLOCK + 3),
            "byte 1024: the header's checksum is wrong",
        ),
        broken(
            "checksum-in-the-middle",
            header(2 * BLOCK + 150),
            "byte 1024: the header's checksum is wrong",
        ),
        broken(
            "tar-cut-in-content",
            gzip(&plain[..100_000]),
            "the archive ends inside a file's content",
        ),
        broken(
            "tar-cut-in-a-header",
            gzip(&plain[..2 * BLOCK + 100]),
            "the archive ends inside a header",
        ),
        broken(
            "extension-of-nothing",
            Tar::default().pax(b'x', &[("path", b"x")]).gz(),
            "the archive ends after an extension header",
        ),
        broken(
            "pax-without-length",
            Tar::default()
                .special(b'x', "pax", "path=x\n")
                .file("first", "x")
                .gz(),
            "a pax header has a malformed record",
        ),
        refused(
            "extensions-without-end",
            (0..17)
                .fold(Tar::default(), |tar, _| tar.pax(b'x', &[("path", b"x")]))
                .file("first", "x")
                .gz(),
            "File too large",
            "more than 16 extension headers before one entry",
        ),
        shown(
            "several-members",
            [gzip(&plain[..third]), gzip(b""), gzip(&plain[third..])].concat(),
            &lines,
        ),
        broken(
            "second-member-cut",
            {
                let second = gzip(&plain[third..]);
                [gzip(&plain[..third]), second[..second.len() - 3].to_vec()].concat()
            },
            compressed,
        ),
        broken(
            "second-member-cut-in-its-header",
            [&good[..], b"\x1f\x8b"].concat(),
            compressed,
        ),
        shown("garbage-behind", [&good[..], b"garbage"].concat(), &lines),
        shown(
            "a-second-archive-behind",
            [&good[..], &Tar::default().file("late", "x").gz()].concat(),
            &lines,
        ),
        // One file is declared of each of these.
        broken(
            "without-an-end-mark",
            gzip(&tar().bytes()),
            "it ends without its end mark after 2 files, while 1 were declared: it is cut",
        ),
        shown(
            "whole-without-an-end-mark",
            gzip(&Tar::default().file("first", "complete").bytes()),
            &lines[..1],
        ),
        shown("an-end-mark-only", gzip(&[0; 10_240]), &[]),
    ]
}
