//! Files with holes, in the four forms of GNU tar: old GNU headers, and pax records
//! of version 0.0, 0.1 and 1.0. Only their pieces are in the archive.

use super::{
    fault::Fault,
    numbers::{BLOCK, size},
    pax::{Sparse, decimal},
    stream::Stream,
};
use crate::store::index::holes::{Map, Pieces as _};
use std::sync::Arc;
use tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader, Header};

/// The largest file that Linux has a size for.
const LARGEST: u64 = i64::MAX as u64;
/// Maximum number of digits of a number in a 1.0 map: more than any u64 has.
const DIGITS: usize = 20;

/// The pieces of an old GNU entry, whose map may go on in blocks of its own.
pub(super) fn old(
    stream: &mut Stream<'_>,
    header: &Header,
    at: u64,
    most: usize,
) -> Result<Arc<Map>, Fault> {
    let gnu: &GnuHeader = header.as_gnu().ok_or_else(|| bad(at))?;
    let real = size(&gnu.realsize).ok_or_else(|| bad(at))?;
    let mut pieces = Vec::new();
    // Returns whether the field holds a piece.
    let mut add = |piece: &GnuSparseHeader| -> Result<bool, Fault> {
        if piece.offset[0] == 0 || piece.numbytes[0] == 0 {
            return Ok(false);
        }
        if pieces.len() == most {
            return Err(too_many(at, most));
        }
        let piece = (size(&piece.offset), size(&piece.numbytes));
        let (Some(offset), Some(length)) = piece else {
            return Err(bad(at));
        };
        pieces.push((offset, length));
        Ok(true)
    };
    let mut ended = false;
    for piece in &gnu.sparse {
        let is_piece = add(piece)?;
        // GNU tar stops at the first place without one, bsdtar does not.
        if ended && is_piece {
            return Err(bad(at));
        }
        ended |= !is_piece;
    }
    let mut goes_on = gnu.isextended[0] != 0;
    while goes_on {
        if ended {
            return Err(bad(at));
        }
        let block = stream.block("a sparse file's map")?;
        for piece in block[..BLOCK - 8].chunks_exact(size_of::<GnuSparseHeader>()) {
            let mut header = GnuSparseHeader {
                offset: [0; 12],
                numbytes: [0; 12],
            };
            header.offset.copy_from_slice(&piece[..12]);
            header.numbytes.copy_from_slice(&piece[12..]);
            let is_piece = add(&header)?;
            if ended && is_piece {
                return Err(bad(at));
            }
            ended |= !is_piece;
        }
        goes_on = block[std::mem::offset_of!(GnuExtSparseHeader, isextended)] != 0;
    }
    map(stream, real, &pieces, at, most)
}

/// The pieces of an entry with these pax records; `None` if they do not mention holes.
pub(super) fn pax(
    stream: &mut Stream<'_>,
    records: &Sparse,
    at: u64,
    most: usize,
) -> Result<Option<Arc<Map>>, Fault> {
    let real = match (records.size, records.major, records.pieces.is_empty()) {
        (Some(real), ..) => real,
        (None, 0, true) => return Ok(None),
        _ => return Err(bad(at)),
    };
    match (records.major, records.minor) {
        (0, 0 | 1) => map(stream, real, &records.pieces, at, most).map(Some),
        (1, 0) => {
            let pieces = map_in_body(stream, at, most)?;
            map(stream, real, &pieces, at, most).map(Some)
        }
        (major, minor) => Err(Fault::Bad(format!(
            "byte {at}: a sparse file in form {major}.{minor}, which vm0fs does not know"
        ))),
    }
}

/// The map before the content (form 1.0): decimal numbers, each with a newline behind it.
/// First the number of pieces, then each piece; filled up to a block.
fn map_in_body(stream: &mut Stream<'_>, at: u64, most: usize) -> Result<Vec<(u64, u64)>, Fault> {
    let mut block = [0; BLOCK];
    let mut next = BLOCK;
    let mut number = || -> Result<u64, Fault> {
        let mut digits = Vec::with_capacity(DIGITS);
        loop {
            if next == BLOCK {
                block = block_of_body(stream, at)?;
                next = 0;
            }
            let byte = block[next];
            next += 1;
            match byte {
                b'\n' => return decimal(&digits).ok_or_else(|| bad(at)),
                _ if digits.len() == DIGITS => return Err(bad(at)),
                _ => digits.push(byte),
            }
        }
    };
    let count = number()?;
    if count > most as u64 {
        return Err(too_many(at, most));
    }
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push((number()?, number()?));
    }
    Ok(pieces)
}

/// A whole block of the current body.
fn block_of_body(stream: &mut Stream<'_>, at: u64) -> Result<[u8; BLOCK], Fault> {
    if !stream.takes_from_body(BLOCK as u64) {
        return Err(bad(at));
    }
    stream.block("a sparse file's map")
}

/// The file of `real` bytes with these pieces, which must be all that is left of the
/// current body.
fn map(
    stream: &Stream<'_>,
    real: u64,
    pieces: &[(u64, u64)],
    at: u64,
    most: usize,
) -> Result<Arc<Map>, Fault> {
    if pieces.len() > most {
        return Err(too_many(at, most));
    }
    if real > LARGEST {
        return Err(bad(at));
    }
    let mut map = Map::new(real);
    for &(offset, length) in pieces {
        // GNU tar reads each piece in whole blocks, other programs read one right after
        // another: they differ on what follows a piece that ends within a block.
        let is_aligned = map.stored().is_multiple_of(BLOCK as u64);
        if !(is_aligned || length == 0) || !map.add(offset, length) {
            return Err(bad(at));
        }
    }
    match map.stored() == stream.body() {
        true => Ok(Arc::new(map)),
        false => Err(bad(at)),
    }
}

fn bad(at: u64) -> Fault {
    Fault::Bad(format!("byte {at}: malformed sparse file"))
}

fn too_many(at: u64, most: usize) -> Fault {
    Fault::Limit(format!(
        "byte {at}: a sparse file of more than {most} pieces"
    ))
}
