//! The seek index of archives as programs make them: every span and every extent, alone.

use super::{archives::bad, entered::Entered, *};
use crate::store::{fuzzing::Seeks, seek::SeekIndex};
use format::Header;
use std::{
    fs::File,
    ops::Range,
    process::{Command, Stdio},
    sync::LazyLock,
    thread,
};

/// Words, which can be compressed, in an order that does not repeat.
pub(super) fn words(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut text = Vec::with_capacity(length + 20);
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = ((state >> 20) * (state >> 20)) >> 14;
        text.extend(format!("w{word:x} ").bytes());
    }
    text.truncate(length);
    text
}

/// Small and large files of words, noise and zeros: 12 MiB and more.
static TAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut tar = Tar::default().dir("d");
    for file in 0..600 {
        tar = tar.file(format!("d/{file}"), words(file * 7, file as u32));
    }
    tar = tar
        .file("text", words(5 << 20, 7))
        .file("noise", noise(2 << 20))
        .file("zeros", vec![0; 3 << 20]);
    for file in 0..300 {
        tar = tar.file(format!("e{file}"), words(file * 11, file as u32));
    }
    tar.raw(&[0; 1024]).0
});

pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What a program writes that reads the tar.
fn made_by(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || input.write_all(&TAR).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        output.stdout
    })
}

/// A member of the level that most programs use. Of zlib-rs's lowest one a member is one
/// block, which cannot be entered.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    made_at(6, bytes)
}

pub(super) fn made_at(level: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Makes the index of an archive and holds all of it against the stream; at least so many
/// spans, each of which is as long as `most` at most.
#[track_caller]
fn is_entered(what: &str, archive: &[u8], spans: usize, most: u64) {
    let entered = Entered::new(archive);
    entered.spans_are(archive, &TAR);
    entered.extents_are(&TAR);
    let index = &entered.index;
    let lengths = (0..index.spans()).map(|span| {
        let Range { start, end } = index.output(span);
        end - start
    });
    let longest = lengths.max().unwrap();
    assert!(index.spans() >= spans, "{what}: {} spans", index.spans());
    assert!(longest <= most, "{what}: a span of {longest} bytes");
    let bytes = fs::metadata(entered.path.join("seek")).unwrap();
    let allowed = archive.len() as u64 / 100 + 4 * 900;
    assert!(bytes.len() <= allowed, "{what}: an index of {bytes:?}");
}

const MIB: u64 = 1 << 20;

#[test]
fn archives_of_every_level_are_entered() {
    for level in [0, 2, 3, 4, 5, 6, 7, 8, 9] {
        is_entered(&format!("level {level}"), &made_at(level, &TAR), 4, 6 * MIB);
    }
    is_entered("level 1", &made_at(1, &TAR), 1, 20 * MIB);
}

#[test]
fn archives_of_gzip_and_pigz_are_entered() {
    for arguments in [&["-1"], &["-6"], &["-9"]] {
        is_entered("gzip", &made_by("gzip", arguments), 4, 6 * MIB);
    }
    for arguments in [
        &["-1", "-p2"][..],
        &["-6", "-p2", "-b", "256"],
        &["-6", "-p2", "-i"],
        &["-0"],
    ] {
        is_entered("pigz", &made_by("pigz", arguments), 4, 4 * MIB);
    }
}

/// Members of 64 KiB at most, each with its length in an extra field of its header.
#[test]
fn archives_of_bgzip_are_entered() {
    for arguments in [&["-c"][..], &["-c", "-@2", "-l1"], &["-c", "-l9"]] {
        is_entered("bgzip", &made_by("bgzip", arguments), 4, 6 * MIB);
    }
}

#[test]
fn archives_of_node_are_entered() {
    let script = "process.stdin.pipe(require('zlib').createGzip({level: 5})).pipe(process.stdout)";
    is_entered("node", &made_by("node", &["-e", script]), 4, 6 * MIB);
}

/// Flushed in all ways of zlib, and with all of its strategies.
#[test]
fn archives_of_python_are_entered() {
    let script = "
import sys, zlib
flush, strategy, step = (int(word) for word in sys.argv[1:])
data = sys.stdin.buffer.read()
made = zlib.compressobj(6, zlib.DEFLATED, 31, 8, strategy)
for at in range(0, len(data), step):
    sys.stdout.buffer.write(made.compress(data[at:at + step]) + made.flush(flush))
sys.stdout.buffer.write(made.flush())
";
    let (partial, sync, full, block) = ("1", "2", "3", "5");
    let (filtered, huffman, rle, fixed) = ("1", "2", "3", "4");
    for (flush, strategy, step) in [
        (partial, "0", "5000"),
        (sync, "0", "10000"),
        (sync, "0", "262144"),
        (full, "0", "100000"),
        (block, "0", "70000"),
        ("0", filtered, "1000000"),
        ("0", huffman, "1000000"),
        ("0", rle, "1000000"),
        ("0", fixed, "1000000"),
        (sync, fixed, "1000"),
    ] {
        let archive = made_by("python3", &["-c", script, flush, strategy, step]);
        is_entered(&format!("flush {flush} {strategy}"), &archive, 4, 6 * MIB);
    }
}

#[test]
fn archives_of_several_members_are_entered() {
    for (size, most) in [(65_280, 3 * MIB), (1 << 20, 4 * MIB), (5 << 20, 6 * MIB)] {
        let archive: Vec<u8> = TAR.chunks(size).flat_map(deflated).collect();
        // Followed by what is no member.
        let archive = [&archive[..], b"and more"].concat();
        is_entered(&format!("members of {size}"), &archive, 4, most);
    }
    // Members without content, at each end and between.
    let empty = gzip(b"");
    let (first, second) = TAR.split_at(5 << 20);
    let members = [
        &empty[..],
        &deflated(first),
        &empty,
        &deflated(second),
        &empty,
    ];
    is_entered("empty members", &members.concat(), 4, 6 * MIB);
}

#[test]
fn a_header_with_all_fields_is_passed() {
    let mut header = vec![0x1f, 0x8b, 8, 0b1_1111, 1, 2, 3, 4, 0, 3];
    header.extend([3, 0, b'x', b'y', b'z']);
    header.extend(b"name\0comment\0");
    let sum = crc32fast::hash(&header) as u16;
    header.extend(sum.to_le_bytes());
    let member = |content: &[u8]| [&header[..], &deflated(content)[10..]].concat();
    let (first, second) = TAR.split_at(3 << 20);
    is_entered(
        "fields",
        &[member(first), member(second)].concat(),
        4,
        6 * MIB,
    );
    let last = header.len() - 1;
    header[last] ^= 1;
    let wrong = [&header[..], &gzip(&TAR[..4096])[10..]].concat();
    assert!(bad(Fixture::new().put("v", &wrong)).contains("checksum of the gzip header"));
}

#[test]
fn an_archive_that_is_not_compressed_is_entered() {
    is_entered("tar", &TAR, 6, 2 * MIB);
    let index = Entered::new(&TAR).index;
    assert_eq!(index.input(1, 2 * MIB + 10), 2 * MIB..2 * MIB + 10);
}

/// A deflate block of the fixed codes (RFC 1951, 3.2.6) that holds all of a tar.
#[test]
fn a_block_without_end_makes_a_long_span() {
    let mut archive = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0b011_u64, 3);
    for byte in TAR.iter() {
        let (code, length) = match byte {
            0..144 => (0x30 + u64::from(*byte), 8),
            _ => (0x190 + u64::from(*byte) - 144, 9),
        };
        bits |= (code.reverse_bits() >> (64 - length)) << count;
        count += length;
        while count >= 8 {
            archive.push(bits as u8);
            (bits, count) = (bits >> 8, count - 8);
        }
    }
    // The end of the block is seven zeros.
    archive.extend([bits as u8, 0]);
    archive.truncate(archive.len() - usize::from(count == 0));
    archive.extend(crc32fast::hash(&TAR).to_le_bytes());
    archive.extend((TAR.len() as u32).to_le_bytes());
    let entered = Entered::new(&archive);
    assert_eq!(entered.index.spans(), 1);
    entered.spans_are(&archive, &TAR);
}

#[test]
fn files_with_holes_have_the_extents_of_their_pieces() {
    let pieces = [&noise(1024)[..], &words(300, 1)].concat();
    let tar = Tar::default()
        .file("a", "before")
        .raw(&super::seeds::sparse("s", 9000, &[(512, 1024), (5120, 300)], &pieces).0)
        .file("b", "after")
        .raw(&[0; 1024])
        .0;
    let entered = Entered::new(&gzip(&tar));
    entered.extents_are(&tar);
    let extents: Vec<_> = entered.index.extents_of_part(0, 0..u64::MAX).collect();
    assert_eq!(
        Vec::from_iter(extents.iter().map(|extent| extent.length)),
        [6, 1324, 5]
    );
}

#[test]
fn a_read_of_a_part_needs_no_more_than_way_points_tell() {
    let archive = deflated(&TAR);
    let index = Entered::new(&archive).index;
    let mut all = 0;
    for span in 0..index.spans() {
        let Range { start, end } = index.output(span);
        let whole = index.input(span, end);
        let few = index.input(span, start + 1);
        assert_eq!(few.start, whole.start);
        assert!(few.end - few.start <= 160 << 10, "span {span}: {few:?}");
        // Half of it, but where the proof is ahead or behind: then more or fewer windows
        // are counted.
        assert!(whole.end - whole.start <= MIB, "span {span}: {whole:?}");
        all += whole.end - whole.start;
    }
    let archive = archive.len() as u64;
    assert!(
        all <= archive + index.spans() as u64,
        "spans do not overlap"
    );
    assert!(index.memory() <= archive / 50);
}

#[test]
fn a_version_is_sealed_where_its_seek_index_does_not_fit() {
    let archive = deflated(&TAR);
    let full = |fixture: &Fixture| fixture.put("v", &archive).unwrap().meta().clone();
    let meta = full(&Fixture::new());
    assert!(meta.seek_bytes > 0);
    let least = meta.content_bytes + meta.tree_bytes + entries::OVERHEAD + 100;
    let fixture = Fixture::with(|config| config.ceiling = least);
    let meta = full(&fixture);
    assert_eq!(meta.seek_bytes, 0, "no space for it");
    assert!(!fixture.path("v").join("seek").exists());
}

#[test]
fn the_index_of_another_tree_is_none() {
    let entered = Entered::new(&deflated(&TAR));
    let file = || File::open(entered.path.join("seek")).unwrap();
    assert!(SeekIndex::read(&file(), &entered.header).is_some());
    let mut other = entered.header;
    other.table[0] ^= 1;
    assert!(SeekIndex::read(&file(), &other).is_none());
    for change in [
        |header: &mut Header| header.pack += 1,
        |header: &mut Header| header.blobs += 1,
    ] {
        let mut other = entered.header;
        change(&mut other);
        assert!(SeekIndex::read(&file(), &other).is_none());
    }
}

/// Thousands of indexes with random changes: each is refused, or all that it leads to is
/// bounded. None may panic or loop.
#[test]
fn changed_indexes_are_refused_or_bounded() {
    let seeks = Seeks::new();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let seeds = super::seeds::seek_indexes();
    let (mut read, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut data = seeds[round % seeds.len()].1.clone();
        for _ in 0..1 + random(3) {
            // Most of what can be changed lies behind the header.
            let at = random(data.len()).max(random(data.len()));
            match random(3) {
                0 => data[at] = random(256) as u8,
                1 => data[at] ^= 1 << random(8),
                _ => data[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
            }
        }
        match seeks.run(&data) {
            true => read += 1,
            false => refused += 1,
        }
    }
    assert!(
        read > 500 && refused > 500,
        "{read} read, {refused} refused"
    );
}

/// Every change and every cut of the file is noticed.
#[test]
fn a_damaged_file_is_none() {
    let entered = Entered::new(&gzip(&Tar::default().file("a", "content").0));
    let path = entered.path.join("seek");
    let whole = fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        SeekIndex::read(&File::open(&path).unwrap(), &entered.header)
    };
    assert!(read(&whole).is_some());
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        assert!(read(&changed).is_none(), "byte {at} changed");
        assert!(read(&whole[..at]).is_none(), "cut at {at}");
    }
    assert!(read(&[&whole[..], b"x"].concat()).is_none());
}

/// Offsets past 2^32: members of zeros that belong to an entry which is left out.
#[test]
fn offsets_past_four_gibibytes_are_right() {
    const COUNT: usize = 66;
    let zeros = vec![0; 64 << 20];
    let size = COUNT as u64 * zeros.len() as u64;
    let head = Tar::default().header(b'0', b"../zeros", b"", size, 0o644);
    let tail = Tar::default()
        .file("a", words(5 << 20, 3))
        .raw(&[0; 1024])
        .0;
    let mut archive = gzip(&head.0);
    let member = gzip(&zeros);
    (0..COUNT).for_each(|_| archive.extend(&member));
    archive.extend(deflated(&tail));
    let entered = Entered::new(&archive);
    let index = &entered.index;
    let extent = index.extents_of_part(1, 0..1).next().unwrap();
    assert_eq!(extent.tar, 512 + size + 512, "behind its own header");
    let mut span = index.span_at(extent.tar);
    while span < index.spans() {
        let Range { start, end } = index.output(span);
        let bytes = entered.inflate(&archive, span, end);
        for (at, byte) in (start..).zip(bytes) {
            let expected = at.checked_sub(512 + size).map_or(0, |at| tail[at as usize]);
            assert_eq!(byte, expected, "{at}");
        }
        span += 1;
    }
}
