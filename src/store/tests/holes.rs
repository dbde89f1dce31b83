//! Files with holes, in all forms that archives have for them.

use super::*;
use std::os::unix::fs::MetadataExt;

/// Offset and length of each piece, and the size of the file.
type Pieces<'a> = (&'a [(u64, u64)], u64);

/// The bytes of the pieces together: no two blocks are the same.
fn stored((pieces, _): Pieces<'_>) -> Vec<u8> {
    let length: u64 = pieces.iter().map(|(_, length)| length).sum();
    (0..length)
        .map(|at| (at / 512 + at % 512) as u8 | 1)
        .collect()
}

/// The whole file.
fn whole(of: Pieces<'_>) -> Vec<u8> {
    let (stored, mut whole, mut at) = (stored(of), vec![0; of.1 as usize], 0);
    for (offset, length) in of.0 {
        whole[*offset as usize..][..*length as usize]
            .copy_from_slice(&stored[at..][..*length as usize]);
        at += *length as usize;
    }
    whole
}

/// GNU tar's old form, whose map goes on in blocks of its own.
fn old(of: Pieces<'_>) -> Tar {
    let number = |n: u64| {
        let mut field = [0; 12];
        field[4..].copy_from_slice(&n.to_be_bytes());
        field[0] = 0x80;
        field
    };
    let mut tar = Tar::default().header(b'S', b"f", b"", stored(of).len() as u64, 0o644);
    let mut pieces = of.0.iter();
    let mut put = |into: &mut [u8]| {
        for place in into.chunks_exact_mut(24) {
            if let Some((offset, length)) = pieces.next() {
                place[..12].copy_from_slice(&number(*offset));
                place[12..].copy_from_slice(&number(*length));
            }
        }
        pieces.len() > 0
    };
    let block = tar.0.last_chunk_mut::<512>().unwrap();
    block[257..265].copy_from_slice(b"ustar  \0");
    let mut goes_on = put(&mut block[386..482]);
    block[482] = u8::from(goes_on);
    block[483..495].copy_from_slice(&number(of.1));
    Tar::checksum(block);
    while goes_on {
        let mut block = [0; 512];
        goes_on = put(&mut block[..504]);
        block[504] = u8::from(goes_on);
        tar = tar.raw(&block);
    }
    tar.body(&stored(of))
}

/// Version 0.0 of the pax forms: a record for each number.
fn pax_0_0(of: Pieces<'_>) -> Tar {
    let size = of.1.to_string();
    let numbers: Vec<String> =
        of.0.iter()
            .flat_map(|(offset, length)| [offset.to_string(), length.to_string()])
            .collect();
    let keys = ["GNU.sparse.offset", "GNU.sparse.numbytes"];
    let pieces = numbers.iter().zip(keys.iter().cycle());
    let mut records = vec![
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", b"0"),
    ];
    records.extend(pieces.map(|(number, key)| (*key, number.as_bytes())));
    Tar::default().pax(b'x', &records).file("f", stored(of))
}

/// Version 0.1: one record for all.
fn pax_0_1(of: Pieces<'_>) -> Tar {
    let pieces = of.0.iter();
    let map: Vec<String> = pieces
        .map(|(offset, length)| format!("{offset},{length}"))
        .collect();
    let records = [
        ("GNU.sparse.size", of.1.to_string()),
        ("GNU.sparse.name", "f".into()),
        ("GNU.sparse.map", map.join(",")),
    ];
    let records = records
        .each_ref()
        .map(|(key, value)| (*key, value.as_bytes()));
    Tar::default()
        .pax(b'x', &records)
        .file("GNUSparseFile.1/f", stored(of))
}

/// Version 1.0: the map before the content.
fn pax_1_0(of: Pieces<'_>) -> Tar {
    let size = of.1.to_string();
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"f"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    let mut body = format!("{}\n", of.0.len()).into_bytes();
    for (offset, length) in of.0 {
        body.extend(format!("{offset}\n{length}\n").bytes());
    }
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend(stored(of));
    Tar::default()
        .pax(b'x', &records)
        .file("GNUSparseFile.1/f", body)
}

/// Makes an archive of the file `f`.
type Maker = fn(Pieces<'_>) -> Tar;

const FORMS: [(&str, Maker); 4] = [
    ("old", old),
    ("0.0", pax_0_0),
    ("0.1", pax_0_1),
    ("1.0", pax_1_0),
];

/// Bytes that the files of a version take of the disk.
fn on_disk(fixture: &Fixture, version: &str) -> u64 {
    let files = fs::read_dir(fixture.path(version)).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap())
        .map(|data| data.blocks() * 512)
        .sum()
}

#[test]
fn every_form_reads_as_the_file_was() {
    let fixture = Fixture::new();
    let many: Vec<(u64, u64)> = (0..100).map(|at| (at * 2000, 512)).collect();
    let large: Vec<(u64, u64)> = (0..5).map(|at| (at * 1_000_000 + 7, 400 * 1024)).collect();
    for (number, of) in [
        (&[(0, 512), (4096, 1024), (9000, 3)][..], 9003),
        (&[(512, 512), (1024, 512)], 1536),
        (&[], 100_000),
        (&[], 0),
        (&[(0, 5)], 5),
        (&[(0, 512), (700, 0), (99_999, 1), (100_000, 0)], 100_000),
        (&many, 200_000),
        // More than the smallest blob, and a hole at its end.
        (&large, 6_000_000),
    ]
    .into_iter()
    .enumerate()
    {
        for (form, make) in FORMS {
            let what = format!("{number}-{form}");
            let archive = make(of).file("after", "x").gz();
            let version = fixture.put(&what, &archive).unwrap();
            assert_eq!(listing(&version), ["after", "f"], "{what}");
            assert!(read(&version, "f").unwrap() == whole(of), "{what}");
            assert_eq!(read(&version, "after").unwrap(), b"x", "{what}");
            let node = version.index().node(walk(version.index(), "f").unwrap());
            let stored = stored(of).len() as u64;
            assert_eq!(node.unwrap().stored, stored, "{what}");
            let meta = version.meta();
            assert_eq!((meta.content_bytes, meta.bytes), (stored + 1, stored + 1));
            let name = key(&what).directory();
            let audit = audit::audit(&fixture.path(&what), &name, &mut |_| ());
            assert_eq!(audit, Audit::Complete, "{what}");
        }
    }
}

#[test]
fn a_hole_of_a_tebibyte_costs_nothing() {
    let fixture = Fixture::with(|config| config.ceiling = 8 << 20);
    let of: Pieces<'_> = (&[(1 << 39, 1024)], 1 << 40);
    for (form, make) in FORMS {
        let request = FetchRequest {
            // Sizes and limits go by what is stored.
            declared_size: Some(1024),
            ..request(form)
        };
        fixture.take_in(&request, &make(of).gz()).unwrap();
        let version = fixture.store.version(&key(form)).unwrap();
        let content = version
            .open(walk(version.index(), "f").unwrap())
            .unwrap()
            .unwrap();
        assert_eq!(content.size(), 1 << 40);
        assert_eq!(content.seek(0, Seek::Data), Some(1 << 39));
        assert_eq!(content.seek(1 << 39, Seek::Hole), Some((1 << 39) + 1024));
        assert_eq!(content.seek((1 << 39) + 1024, Seek::Data), None);
        let mut buf = [1; 1024];
        assert_eq!(content.read_at(1 << 38, &mut buf), Some(1024));
        assert_eq!(buf, [0; 1024]);
        assert_eq!(content.read_at((1 << 39) - 10, &mut buf), Some(1024));
        assert_eq!(buf[10..], stored(of)[..1014]);
        assert_eq!(content.read_at((1 << 40) - 3, &mut buf), Some(3));
        assert!(on_disk(&fixture, form) < 32 << 10, "{form}");
        assert_eq!(version.meta().content_bytes, 1024, "{form}");
    }
    // The largest size that Linux has.
    let most = i64::MAX as u64;
    fixture.put("most", &pax_0_1((&[], most)).gz()).unwrap();
    assert!(fixture.put("more", &pax_0_1((&[], most + 1)).gz()).is_err());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let fixture = Fixture::with(|config| config.limits.pieces = 50);
    let refused = |what: &str, tar: Tar| match fixture.put("v", &tar.file("after", "x").gz()) {
        Err(Error::BadArchive { detail, .. } | Error::Limit { detail, .. }) => detail,
        other => panic!("{what}: {other:?}"),
    };
    for (form, make) in FORMS {
        for (what, of) in [
            ("overlapping", (&[(0, 512), (500, 512)][..], 2000)),
            ("backwards", (&[(1024, 512), (0, 512)], 2000)),
            ("not within blocks", (&[(0, 100), (1000, 512)], 2000)),
        ] {
            let what = format!("{form}: {what}");
            let said = refused(&what, make(of));
            assert!(said.contains("malformed sparse file"), "{what}: {said}");
        }
        // Made as if the file were longer.
        let said = refused(form, shorter(make((&[(0, 512), (4096, 512)], 8888)), form));
        assert!(said.contains("malformed sparse file"), "{form}: {said}");
        let many: Vec<(u64, u64)> = (0..51).map(|at| (at * 1000, 512)).collect();
        let said = refused(form, make((&many, 100_000)));
        assert!(said.contains("more than 50 pieces"), "{form}: {said}");
        // Several files together.
        let few: Vec<(u64, u64)> = (0..30).map(|at| (at * 1000, 512)).collect();
        let two = make((&few, 100_000)).raw(&make((&few, 100_000)).0);
        assert!(refused(form, two).contains("together"), "{form}");
    }
    let pax =
        |records: &[(&str, &[u8])], body: &[u8]| Tar::default().pax(b'x', records).file("f", body);
    for (what, tar) in [
        (
            "another form",
            pax(
                &[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"1")],
                b"",
            ),
        ),
        ("no size", pax(&[("GNU.sparse.map", b"0,1")], b"x")),
        ("no size in 1.0", pax(&[("GNU.sparse.major", b"1")], b"0\n")),
        (
            "less than its map",
            pax(
                &[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,2")],
                b"x",
            ),
        ),
        (
            "more than its map",
            pax(
                &[("GNU.sparse.size", b"9"), ("GNU.sparse.map", b"0,2")],
                b"xyz",
            ),
        ),
        (
            "a map that is none",
            pax(
                &[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")],
                &[b'x'; 512],
            ),
        ),
        (
            "a map that is cut",
            pax(
                &[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")],
                b"1\n0\n1\n",
            ),
        ),
    ] {
        let said = refused(what, tar);
        assert!(said.contains("sparse file"), "{what}: {said}");
    }
    // Nothing is said of holes: a name alone.
    let version = fixture
        .put("named", &pax(&[("GNU.sparse.name", b"own")], b"x").gz())
        .unwrap();
    assert_eq!(read(&version, "own").unwrap(), b"x");
}

/// The archive, with a file that ends before its last piece.
fn shorter(mut tar: Tar, form: &str) -> Tar {
    match form {
        "old" => {
            let block = tar.0.first_chunk_mut::<512>().unwrap();
            block[483..495].copy_from_slice(format!("{:011o}\0", 4100).as_bytes());
            Tar::checksum(block);
        }
        _ => {
            let at = tar.0.windows(4).position(|part| part == b"8888").unwrap();
            tar.0[at..at + 4].copy_from_slice(b"4100");
        }
    }
    tar
}

#[test]
fn a_damaged_piece_is_never_given() {
    let fixture = Fixture::new();
    let of: Pieces<'_> = (&[(100_000, 70_000)], 300_000);
    fixture.put("v", &pax_0_1(of).gz()).unwrap();
    let pack = fixture.path("v").join("pack");
    let mut bytes = fs::read(&pack).unwrap();
    bytes[66_000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    fixture.store.cache.forget(&key("v"));
    let version = fixture.store.version(&key("v")).unwrap();
    let content = version
        .open(walk(version.index(), "f").unwrap())
        .unwrap()
        .unwrap();
    let mut buf = [1; 1000];
    assert_eq!(content.read_at(0, &mut buf), Some(1000));
    assert_eq!(content.read_at(100_000, &mut buf), Some(1000));
    assert_eq!(content.read_at(169_500, &mut buf), None);
}
