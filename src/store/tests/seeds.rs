//! The seeds of the fuzz targets that read what is not text (`tests/fuzz/corpus`):
//! they are made here, so that they are of today's format.
//! `VM0FS_MAKE_SEEDS=1 cargo test the_seeds_are_as_they_are_made` writes them anew.

use super::*;

/// Bytes of a way to be unpacked in `fuzzing::Unpacker`: a tar as it is, as it is
/// and slowly, and one whose checksums are mended.
const WRAP: u8 = 1;
const SLOWLY: u8 = 0x41;
const MEND: u8 = 2;

fn seed(name: &str, how: u8, bytes: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), [&[how], bytes].concat())
}

/// Words in an order that depends on `seed`: compresses as text does.
pub(super) fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let word = state >> 52;
        text.extend_from_slice(format!("word{word:x} ").as_bytes());
    }
    text.truncate(length);
    text
}

/// An old GNU sparse entry of these pieces (offset, length) and that size.
pub(super) fn sparse(path: &str, size: u64, pieces: &[(u64, u64)], content: &[u8]) -> Tar {
    let mut tar = Tar::default().header(b'S', path.as_bytes(), b"", content.len() as u64, 0o644);
    let block = &mut tar.0[..512];
    block[257..265].copy_from_slice(b"ustar  \0");
    let mut at = 386;
    for (offset, length) in pieces {
        block[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        block[at + 12..at + 23].copy_from_slice(format!("{length:011o}").as_bytes());
        at += 24;
    }
    block[483..494].copy_from_slice(format!("{size:011o}").as_bytes());
    Tar::checksum(block);
    tar.body(content)
}

fn archives() -> Vec<(String, Vec<u8>)> {
    let end = [0; 1024];
    let plain = Tar::default()
        .dir("d")
        .file("d/a", "content")
        .file("d/a", "once more")
        .entry(b'0', "b/c/d", "implied directories")
        .hard("h", "d/a")
        .symlink("s", "d/a")
        .symlink("d/up", "../../out")
        .symlink("loop", "loop/x")
        .raw(&end);
    let replaced = Tar::default()
        .file("a", "a file")
        .file("a/b", "that becomes a directory")
        .hard("x", "a/b")
        .symlink("a", "x")
        .dir("x")
        .raw(&end);
    let long = [b"long/".repeat(20), b"name".to_vec()].concat();
    let extended = Tar::default()
        .pax(b'g', &[("mtime", b"12.5")])
        .pax(
            b'x',
            &[("path", b"p/\xff"), ("size", b"3"), ("linkpath", b"l")],
        )
        .entry(b'0', "short", "abc")
        .entry(b'L', "././@LongLink", &long)
        .entry(b'0', "cut", "")
        .entry(b'K', "././@LongLink", "d/target")
        .symlink("link", "cut")
        .raw(&end);
    let skipped = Tar::default()
        .file("../up", "no")
        .file("/rooted", "yes")
        .header(b'3', b"device", b"", 0, 0o644)
        .header(b'6', b"fifo", b"", 0, 0o644)
        .hard("nothing", "nowhere")
        .symlink("none", "")
        .entry(b'D', "dumped", "a directory's list")
        .entry(b'V', "label", "")
        .raw(&end);
    let sparse = sparse("s", 3000, &[(512, 4), (2000, 3)], b"fourtwo")
        .raw(&sparse("big", 2 << 20, &[(1 << 20, 3)], b"end").0)
        .raw(&end);
    let links = Tar::default()
        .symlink("a/l", "../b")
        .symlink("b", "a/./c/..")
        .dir("a/c")
        .symlink("a/c/out", "../../b/../../etc")
        .raw(&end);
    let gz = gzip(&plain.0);
    vec![
        seed("plain", WRAP, &plain.0),
        seed("plain-strict", MEND | 0x10, &plain.0),
        seed("replaced", SLOWLY, &replaced.0),
        seed("extended", MEND, &extended.0),
        seed("skipped", WRAP | 0x80, &skipped.0),
        seed("sparse", MEND | 0x0c, &sparse.0),
        seed("links", MEND | 0x20, &links.0),
        seed("cut", MEND, &plain.0[..700]),
        seed("members", 0, &[&gz[..], &gz, b"and more"].concat()),
    ]
}

/// The trees of two versions, one small and one with all there can be; content is
/// zeros, as the target has it.
fn trees() -> Vec<(String, Vec<u8>)> {
    let small = Tar::default().file("a", [0; 10]).symlink("l", "a");
    let all = Tar::default()
        .file("d/e/f", [0; 70_000])
        .file("d/e/g", "")
        .symlink("d/out", "../../etc")
        .hard("same", "d/e/f")
        .file("big", vec![0; BLOB_SIZE as usize])
        .file("big2", vec![0; BLOB_SIZE as usize + 1]);
    let mut seeds = Vec::new();
    for (name, tar) in [("small", small), ("all", all)] {
        let fixture = Fixture::new();
        fixture.put("v", &tar.gz()).unwrap();
        let tree = fs::read(fixture.path("v").join("tree")).unwrap();
        let ways = [
            ("as-it-is", 0),
            ("mended", 1),
            ("proven", 7),
            ("without-digests", 8),
        ];
        for (way, how) in ways {
            let bytes = [&[0; 2], &tree[..]].concat();
            seeds.push(seed(&format!("{name}-{way}"), how, &bytes));
        }
        if name == "small" {
            let meta = br#"{"origin":"https://api.example","kind":"artifacts","storage_id":"storage","version_id":"v","file_count":1,"bytes":10,"declared_size":null,"declared_files":null,"sealed_at":"2026-01-02T03:04:05Z","content_bytes":10,"tree_bytes":"#;
            let rest = br#","archive_bytes":100,"verified":"n/a","skipped":0}"#;
            let meta = [&meta[..], tree.len().to_string().as_bytes(), rest].concat();
            let bytes = [&(meta.len() as u16).to_le_bytes(), &meta[..], &tree].concat();
            seeds.push(seed("small-meta", 0, &bytes));
        }
    }
    seeds
}

/// Seek indexes, made by hand so that no compressor decides on their bytes: how, pack
/// and blobs of the tree, header, numbers, and windows.
pub(super) fn seek_indexes() -> Vec<(String, Vec<u8>)> {
    // A last stored block: as a window of one run, and as what spans are read from.
    let window = b"\x01\x08\0\xf7\xff\x01\x05\0hello";
    let index = |name: &str, how: u8, length: u64, numbers: &[u8], windows: &[u8]| {
        let mut bytes = (numbers.len() as u16).to_le_bytes().to_vec();
        // The extents below: two files of 3 and 5 bytes, and a blob.
        bytes.extend(8_u64.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([0; 16]);
        for end in [length, length, 4 << 20] {
            bytes.extend(u64::to_le_bytes(end));
        }
        bytes.extend([0; 48]);
        bytes.extend(numbers);
        bytes.extend([0x80, 0x04, 3, 0xfd, 0x07, 5, 0x80, 0x10, 0x80, 0x80, 0x40]);
        bytes.extend(windows);
        let numbers = numbers.len() as u16 + 11;
        bytes[..2].copy_from_slice(&numbers.to_le_bytes());
        seed(name, how, &bytes)
    };
    // Points at 0 and at 2 MiB, in the middle of a byte and with a window; a way-point.
    let two = [
        2, 1, 10, 0, 0, 0, 0x80, 0x20, 0x80, 0x80, 0x80, 1, 3, 13, 0x80, 0x10, 0x80, 0x80, 0x40,
    ];
    vec![
        index("stored", 1, 4 << 20, &[], b""),
        index("one", 3, 1 << 20, &[1, 0, 10, 0, 0, 13], window),
        index("two", 3, 1 << 20, &two, window),
        index("none", 3, 1 << 20, &[0, 0], b""),
    ]
}

#[test]
fn the_seeds_are_as_they_are_made() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let make = std::env::var_os("VM0FS_MAKE_SEEDS").is_some();
    for (target, seeds) in [
        ("unpack", archives()),
        ("index", trees()),
        ("seek", seek_indexes()),
    ] {
        for (name, bytes) in seeds {
            let path = corpus.join(target).join(&name);
            if make {
                fs::create_dir_all(corpus.join(target)).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            // What a compressor makes differs with its version.
            let is_same = fs::read(&path).is_ok_and(|seed| seed == bytes || name == "members");
            assert!(
                is_same,
                "{target}/{name} is not what is made today: VM0FS_MAKE_SEEDS=1 makes it anew"
            );
        }
    }
}
