//! The format of the file `seek`.
//!
//! `header · ETag · numbers · windows · checksum`, little-endian. A change of anything
//! here must raise [`VERSION`]; a test pins the bytes.
//!
//! Numbers are deflated and hold, as `varint` writes them: how many points and
//! way-points there are; for each point the bytes of archive and of tar since the one
//! before, its bits, and the length of its window; for each way-point the bytes of
//! archive and of tar since the one before; and the extents to the end.
//! `window` says how each window is stored. The checksum is the CRC-32 of all before it: the
//! file is read as a whole.

use super::{
    contents::{Archive, Contents, Point, Way, WayPoint},
    deflated::{deflate, inflate},
    extents::Extents,
    varint,
};
use crate::store::checksums::checksum;
use crate::store::index::format::{Header, u32_at, u64_at};

/// First bytes of the file. The newline shows a transfer in text mode.
const MAGIC: [u8; 8] = *b"vm0seek\n";
/// Raised by every change of the format: an older file is then a miss.
const VERSION: u32 = 2;
/// magic 8 · version 4 · kind 4 · length of the archive 8 · end of its last member 8 ·
/// length of the tar stream 8 · sha256 of the table of the index 32 · length of the ETag 4 ·
/// length of the numbers 4 · length deflated 4 · zero 4.
const HEADER: usize = 88;
const CHECKSUM: usize = 4;
/// An archive that is not compressed; gzip.
const STORED: u32 = 0;
const GZIP: u32 = 1;

/// Maximum length of the file: that of an archive of more than 20 GiB.
pub(super) const LONGEST: u64 = 256 << 20;
/// Maximum length of an ETag.
const ETAG: usize = 1 << 10;
/// The most that a byte of deflate stands for.
const RATIO: usize = 1032;

/// The whole file.
pub(super) fn encode(index: &Contents, tree: &Header) -> Vec<u8> {
    let (mut numbers, mut all_windows, mut kind) = (Vec::new(), &[][..], STORED);
    if let Way::Gzip {
        points,
        windows,
        way_points,
    } = &index.way
    {
        kind = GZIP;
        all_windows = windows;
        varint::put(&mut numbers, points.len() as u64);
        varint::put(&mut numbers, way_points.len() as u64);
        let mut last = WayPoint::default();
        for point in points {
            for number in [
                point.input - last.input,
                point.output - last.output,
                u64::from(point.bits),
                point.window.len() as u64,
            ] {
                varint::put(&mut numbers, number);
            }
            (last.input, last.output) = (point.input, point.output);
        }
        last = WayPoint::default();
        for point in way_points {
            varint::put(&mut numbers, point.input - last.input);
            varint::put(&mut numbers, point.output - last.output);
            last = *point;
        }
    }
    numbers.extend_from_slice(index.extents.bytes());
    let deflated = deflate(&numbers);
    let etag = index.archive.etag.as_deref().unwrap_or_default();
    let etag = if etag.len() > ETAG { "" } else { etag };
    let mut bytes = Vec::from(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    for number in [index.archive.length, index.end.input, index.end.output] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(tree.table);
    for length in [etag.len(), numbers.len(), deflated.len(), 0] {
        // Longer ones make a file that its reader refuses.
        bytes.extend((length as u32).to_le_bytes());
    }
    bytes.extend(etag.as_bytes());
    bytes.extend(deflated);
    bytes.extend(all_windows);
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

/// The index in a file of these bytes; `None` if it is damaged, or of another tree.
pub(super) fn decode(mut bytes: Vec<u8>, tree: &Header) -> Option<Contents> {
    let said = bytes.split_off(bytes.len().checked_sub(CHECKSUM)?);
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let is_ours = header[..8] == MAGIC
        && u32_at(header, 8)? == VERSION
        && header[40..72] == tree.table
        && said == checksum(&bytes).to_le_bytes();
    if !is_ours {
        return None;
    }
    let length = |at| u32_at(header, at).map(|length| length as usize);
    let end = WayPoint {
        input: u64_at(header, 24)?,
        output: u64_at(header, 32)?,
    };
    let (etag, rest) = rest.split_at_checked(length(72)?)?;
    let (deflated, rest) = rest.split_at_checked(length(80)?)?;
    let etag = str::from_utf8(etag)
        .ok()
        .filter(|etag| etag.len() <= ETAG)?;
    let archive = Archive {
        length: u64_at(header, 16)?,
        etag: Some(etag.to_owned()).filter(|etag| !etag.is_empty()),
    };
    let count = length(76)?;
    let is_possible = count as u64 <= LONGEST && count / RATIO <= deflated.len();
    let numbers = is_possible.then(|| inflate(deflated, count))??;
    let mut numbers = Some(numbers).filter(|numbers| numbers.len() == count)?;
    let mut left = &numbers[..];
    let (kind, windows) = (u32_at(header, 12)?, rest.len());
    let way = match kind {
        STORED if windows == 0 && end.input == end.output => Way::Stored,
        GZIP => {
            let (points, way_points) = gzip(&mut left, windows, end)?;
            let start = bytes.len() - windows;
            // No second copy of what is most of the file.
            bytes.drain(..start);
            bytes.shrink_to_fit();
            Way::Gzip {
                points,
                windows: bytes,
                way_points,
            }
        }
        _ => return None,
    };
    let start = count - left.len();
    numbers.drain(..start);
    numbers.shrink_to_fit();
    let extents = Extents::decode(numbers)?;
    let (pack, blobs, last) = extents.totals();
    let fits = (pack, blobs) == (tree.pack, tree.blobs as usize)
        && last <= end.output
        && end.input <= archive.length;
    fits.then_some(Contents {
        archive,
        way,
        end,
        extents,
    })
}

/// Takes points and way-points, which lie in order before `end`; the windows of all points
/// are so many bytes.
fn gzip(numbers: &mut &[u8], windows: usize, end: WayPoint) -> Option<(Vec<Point>, Vec<WayPoint>)> {
    let counts = (varint::take(numbers)?, varint::take(numbers)?);
    // Each has some bytes: no more than that can be there.
    let most = numbers.len() as u64;
    if counts.0 == 0 || counts.0.checked_add(counts.1)? > most {
        return None;
    }
    let (mut points, mut way_points) = (Vec::new(), Vec::new());
    let mut last = WayPoint::default();
    let mut window = 0..0_usize;
    for _ in 0..counts.0 {
        let before = last.output;
        next(numbers, &mut last, end)?;
        // The first is at the start of the stream, and each span has bytes.
        let is_next = match points.is_empty() {
            true => last.output == 0,
            false => last.output > before && last.output < end.output,
        };
        let bits = u8::try_from(varint::take(numbers)?).ok();
        let length = usize::try_from(varint::take(numbers)?).ok()?;
        window = window.end..window.end.checked_add(length)?;
        points.push(Point {
            input: last.input,
            output: last.output,
            bits: bits.filter(|bits| is_next && *bits < 8)?,
            window: window.clone(),
        });
    }
    last = WayPoint::default();
    for _ in 0..counts.1 {
        next(numbers, &mut last, end)?;
        way_points.push(last);
    }
    (window.end == windows).then_some((points, way_points))
}

/// Moves on to the next point.
fn next(numbers: &mut &[u8], last: &mut WayPoint, end: WayPoint) -> Option<()> {
    last.input = last.input.checked_add(varint::take(numbers)?)?;
    last.output = last.output.checked_add(varint::take(numbers)?)?;
    (last.input <= end.input && last.output <= end.output).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Header {
        Header {
            nodes: 1,
            dirents: 0,
            arena: 0,
            pack: 8,
            blobs: 1,
            sums: 0,
            table: *b"the table of a tree in 32 bytes.",
            pieces: 0,
            longs: 0,
            digests: 0,
        }
    }

    fn contents() -> Contents {
        let mut extents = Extents::default();
        [(512, 3), (1536, 5), (4096, 2 << 20)]
            .into_iter()
            .for_each(|(tar, length)| extents.push(tar, length));
        let point = |input, output, bits, window| Point {
            input,
            output,
            bits,
            window,
        };
        let archive = Archive {
            length: 1_000_100,
            etag: Some("\"tag\"".into()),
        };
        Contents {
            archive,
            way: Way::Gzip {
                points: vec![point(10, 0, 0, 0..0), point(500_000, 2 << 20, 3, 0..10)],
                windows: b"\x01\x05\0\xfa\xffhello".to_vec(),
                way_points: [(70_000, 300_000), (900_000, 3 << 20)]
                    .map(|(input, output)| WayPoint { input, output })
                    .to_vec(),
            },
            end: WayPoint {
                input: 1_000_000,
                output: 4 << 20,
            },
            extents,
        }
    }

    /// The file of [`contents`], but for the numbers, which a compressor writes.
    const HEAD: &[u8] = b"vm0seek\n\x02\0\0\0\x01\0\0\0\xa4\x42\x0f\0\0\0\0\0\
        \x40\x42\x0f\0\0\0\0\0\0\0\x40\0\0\0\0\0the table of a tree in 32 bytes.\
        \x05\0\0\0\x28\0\0\0";
    const NUMBERS: &[u8] = b"\x02\x02\x0a\0\0\0\x96\xc2\x1e\x80\x80\x80\x01\x03\x0a\
        \xf0\xa2\x04\xe0\xa7\x12\xb0\xd4\x32\xa0\xd8\xad\x01\
        \x80\x04\x03\xfd\x07\x05\xfb\x13\x80\x80\x80\x01";

    #[test]
    fn the_bytes_are_those_of_this_version() {
        let bytes = encode(&contents(), &tree());
        let (head, rest) = bytes.split_at(HEAD.len());
        assert_eq!(
            head.escape_ascii().to_string(),
            HEAD.escape_ascii().to_string()
        );
        let deflated = u32_at(rest, 0).unwrap() as usize;
        assert_eq!(&rest[4..13], b"\0\0\0\0\"tag\"");
        let (numbers, rest) = rest[13..].split_at(deflated);
        let numbers = inflate(numbers, 1000).unwrap();
        assert_eq!(
            numbers.escape_ascii().to_string(),
            NUMBERS.escape_ascii().to_string()
        );
        assert_eq!(rest[..10], *b"\x01\x05\0\xfa\xffhello");
        assert_eq!(
            rest[10..],
            checksum(&bytes[..bytes.len() - 4]).to_le_bytes()
        );
    }

    #[test]
    fn what_is_written_comes_back() {
        let mut contents = contents();
        let again = |contents: &Contents| decode(encode(contents, &tree()), &tree());
        let same = |again: Option<Contents>, contents: &Contents| {
            assert_eq!(format!("{:?}", again.unwrap()), format!("{contents:?}"));
        };
        same(again(&contents), &contents);
        contents.archive.etag = None;
        same(again(&contents), &contents);
        contents.way = Way::Stored;
        assert!(
            again(&contents).is_none(),
            "an archive shorter than its tar"
        );
        contents.end.input = contents.end.output;
        contents.archive.length = contents.end.output;
        same(again(&contents), &contents);
        contents.archive.etag = Some("x".repeat(2 * ETAG));
        assert_eq!(
            again(&contents).unwrap().archive.etag,
            None,
            "too long to keep"
        );
        contents.extents.push(5 << 20, 1);
        assert!(again(&contents).is_none(), "an extent past the end");
    }

    #[test]
    fn points_out_of_order_are_refused() {
        let refused = |change: &dyn Fn(&mut Vec<Point>, &mut Vec<WayPoint>)| {
            let mut contents = contents();
            let Way::Gzip {
                points, way_points, ..
            } = &mut contents.way
            else {
                unreachable!()
            };
            change(points, way_points);
            assert!(decode(encode(&contents, &tree()), &tree()).is_none());
        };
        refused(&|points, _| points.clear());
        refused(&|points, _| points[0].output = 1);
        refused(&|points, _| points[1].output = 0);
        refused(&|points, _| points[1].output = 4 << 20);
        refused(&|points, _| points[1].input = 1_000_001);
        refused(&|points, _| points[1].bits = 8);
        refused(&|points, _| points[1].window = 0..9);
        refused(&|points, _| points[1].window = 0..11);
        refused(&|_, way_points| way_points[1].input = 1_000_001);
        refused(&|_, way_points| way_points[1].output = (4 << 20) + 1);
    }
}
