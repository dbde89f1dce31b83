//! The numbers of headers in all forms, held against GNU tar and bsdtar.
//!
//! Both only list the archives. Where they find the same entries, so do we; where
//! they differ about what is in the archive, it is refused.

use crate::support::{
    Bench,
    archive::{BLOCK, Tar, gzip},
};
use std::{
    io::Write,
    ops::Range,
    process::{Command, Stdio},
};
use vm0fs::demo::{Kind, VersionSpec, World};

const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const SUM: Range<usize> = 148..156;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;

/// Forms of the number 5 (octal and otherwise), and what is none.
const FORMS: [&[u8]; 44] = [
    b"00000000005\0",
    b"0000005\0",
    b"5",
    b"5\0",
    b"5 ",
    b"    5 \0",
    b"   5   ",
    b"5 \0\0\0",
    b"5\0garbage",
    b"5 garbage",
    b"5 7",
    b"\x005",
    b"\x00000005",
    b"\0\x005",
    b"\0 5",
    b" \x005",
    b" \0",
    b"\t5",
    b"\n5",
    b"\x0b5",
    b"",
    b"0",
    b"        ",
    b"            ",
    b"-5",
    b" -5",
    b"+5",
    b"5-",
    b"0x5",
    b"0o5",
    b"5x",
    b"58",
    b"8",
    b"5.0",
    b"x",
    b"rwx",
    b"777777777777",
    b"\x80\0\0\0\0\0\0\x05",
    b"\x80\0\0\0\0\0\0\0\0\0\0\x05",
    b"\xff\xff\xff\xff\xff\xff\xff\xfb\xff\xff\xff\xfb",
    b"\x81\0\0\0\0\0\0\0\0\0\0\x05",
    b"\xc0\0\0\0\0\0\0\0\0\0\0\x05",
    b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80",
];

/// An entry with such a field, between two others.
fn archive(field: Range<usize>, form: &[u8]) -> Vec<u8> {
    Tar::default()
        .file("before", "x")
        .header(b'0', "odd", "", 0o644, 5)
        .edit(|block| {
            let form = &form[..form.len().min(field.len())];
            block[field.clone()].fill(0);
            block[field.start..field.start + form.len()].copy_from_slice(form);
        })
        .body("hello")
        .file("after", "y")
        .ended()
}

/// Forms of the checksum itself.
fn checksums() -> Vec<(String, Vec<u8>)> {
    let forms: [fn(u32) -> String; 13] = [
        |sum| format!("{sum:06o}\0 "),
        |sum| format!("{sum:06o} \0"),
        |sum| format!("{sum:7o} "),
        |sum| format!("{sum:08o}"),
        |sum| format!("{sum:o}\0\0\0\0"),
        |sum| format!("{sum:06o} 7"),
        |sum| format!("{sum:06o}\x007"),
        |sum| format!("\0{sum:06o} "),
        |sum| format!("\t{sum:06o} "),
        |sum| format!("{sum:06o}x "),
        |sum| format!("-{sum:06o} "),
        |sum| format!("{:06o}\0 ", sum + 1),
        |_| String::new(),
    ];
    forms
        .iter()
        .map(|form| {
            let mut tar = archive(MODE, b"0000644\0");
            let block = &mut tar[2 * BLOCK..3 * BLOCK];
            block[SUM].fill(b' ');
            let sum = block.iter().map(|byte| u32::from(*byte)).sum();
            let text = form(sum);
            block[SUM].fill(0);
            let length = text.len().min(SUM.len());
            block[SUM][..length].copy_from_slice(&text.as_bytes()[..length]);
            (format!("chksum {text:?}"), tar)
        })
        .collect()
}

/// What a program lists: names with sizes and modes; and whether it complained.
type Listed = (Vec<(String, String, String)>, bool);

fn listed(program: &str, arguments: &[&str], size: usize, tar: &[u8]) -> Listed {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may stop reading early.
    let _ = child.stdin.take().unwrap().write_all(tar);
    let output = child.wait_with_output().unwrap();
    let entries = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = (*words.last().unwrap()).to_owned();
            (name, words[size].to_owned(), words[0].to_owned())
        })
        .collect();
    let said = String::from_utf8_lossy(&output.stderr);
    // bsdtar goes on from the next header that it finds, and calls that a success.
    (
        entries,
        !output.status.success() || said.contains("Damaged"),
    )
}

#[test]
fn numbers_are_read_as_gnu_tar_and_bsdtar_agree() {
    let mut archives = checksums();
    let fields = [
        ("mode", MODE),
        ("uid", UID),
        ("gid", GID),
        ("size", SIZE),
        ("mtime", MTIME),
        ("devmajor", MAJOR),
        ("devminor", MINOR),
    ];
    for (name, field) in fields {
        archives.extend(FORMS.iter().map(|form| {
            let what = format!("{name} {}", form.escape_ascii());
            (what, archive(field.clone(), form))
        }));
    }
    let mut world = World::empty();
    // There are more than a page of them, and none may be missed.
    world.quirks.cursor_by_id = false;
    for (number, (_, tar)) in archives.iter().enumerate() {
        let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
        let spec = VersionSpec::archive(gzip(tar));
        world.add_version(&id, spec.declared_file_count(3));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for (number, (what, tar)) in archives.iter().enumerate() {
        let gnu = listed("tar", &["-tvf", "-", "--numeric-owner"], 2, tar);
        let bsd = listed("bsdtar", &["-tvf", "-"], 4, tar);
        let script =
            format!("cd artifacts/a{number}/latest/ && stat -c '%n %s %A' before odd after");
        let output = mount.try_run(&script);
        let ours = output.status.success().then(|| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    (
                        words[0].to_owned(),
                        words[1].to_owned(),
                        words[2].to_owned(),
                    )
                })
                .collect::<Vec<_>>()
        });
        let sizes = |of: &[(String, String, String)]| -> Vec<(String, String)> {
            let sizes = of
                .iter()
                .map(|(name, size, _)| (name.clone(), size.clone()));
            sizes.collect()
        };
        let can_run = |of: &[(String, String, String)]| -> Vec<bool> {
            let modes = of.iter().map(|(_, _, mode)| mode.contains(['x', 's', 't']));
            modes.collect()
        };
        let matters = what.starts_with("size") || what.starts_with("chksum");
        let is_right = match (&ours, gnu.1 || bsd.1) {
            // What either complains of, or both take differently.
            (None, true) => matters,
            (None, false) => matters && gnu.0 != bsd.0,
            (Some(ours), complained) if matters => {
                sizes(ours) == sizes(&gnu.0) && gnu.0 == bsd.0 && !complained
            }
            // The rest is no reason to refuse content; where they agree on it, it counts.
            (Some(ours), complained) => {
                let agreed = gnu.0 == bsd.0 && !complained;
                sizes(ours) == sizes(&gnu.0) && (!agreed || can_run(ours) == can_run(&gnu.0))
            }
        };
        refused += u32::from(ours.is_none());
        if !is_right {
            wrong.push(format!("{what}: ours {ours:?}, GNU {gnu:?}, BSD {bsd:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // As of both programs' present versions, some of each.
    assert!(
        refused > 10 && (refused as usize) < archives.len() / 4,
        "{refused}"
    );
}
