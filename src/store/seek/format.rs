//! The format of the file `seek`.
//!
//! `header · ETag · numbers · windows · checksum`, little-endian. A change of anything
//! here must raise [`VERSION`]; a test pins the bytes.
//!
//! Numbers are deflated and hold, as `varint` writes them: how many points and
//! way-points there are; for each point the bytes of archive and of tar since the one
//! before, its bits, and the length of its window; for each way-point the bytes of
//! archive and of tar since the one before; and the extents to the end.
//! Each window is deflated by itself, so that it can be used without the others. The
//! checksum is the CRC-32 of all before it: the file is read as a whole.

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
const VERSION: u32 = 1;
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
pub(super) fn decode(bytes: &[u8], tree: &Header) -> Option<Contents> {
    let (bytes, said) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let is_ours = header[..8] == MAGIC
        && u32_at(header, 8)? == VERSION
        && header[40..72] == tree.table
        && said == checksum(bytes).to_le_bytes();
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
    let mut numbers = Some(&numbers[..]).filter(|numbers| numbers.len() == count)?;
    let way = match u32_at(header, 12)? {
        STORED if rest.is_empty() && end.input == end.output => Way::Stored,
        GZIP => gzip(&mut numbers, rest, end)?,
        _ => return None,
    };
    let extents = Extents::decode(numbers.to_vec())?;
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

/// Takes points and way-points, which lie in order before `end`.
fn gzip(numbers: &mut &[u8], windows: &[u8], end: WayPoint) -> Option<Way> {
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
    (window.end == windows.len()).then(|| Way::Gzip {
        points,
        windows: windows.to_vec(),
        way_points,
    })
}

/// Moves on to the next point.
fn next(numbers: &mut &[u8], last: &mut WayPoint, end: WayPoint) -> Option<()> {
    last.input = last.input.checked_add(varint::take(numbers)?)?;
    last.output = last.output.checked_add(varint::take(numbers)?)?;
    (last.input <= end.input && last.output <= end.output).then_some(())
}
