//! The numbers of tar headers, read as GNU tar and bsdtar (libarchive) read them.
//!
//! If two programs read different sizes from one header, they find different
//! entries after it. So an archive could show one thing to a program that checks it and
//! another to one that unpacks it. Both ways to read a number are here, from the sources
//! of GNU tar 1.34 (`from_header`) and libarchive 3.6 (`tar_atol`), and a number on which
//! they differ is refused. A test compares this with the programs themselves.

use std::sync::Arc;
use tar::Header;

/// The unit of tar.
pub(super) const BLOCK: usize = 512;

/// So many octal digits are no number too large.
const SURELY: usize = 20;

/// A number on which both programs agree.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    plain(field).or_else(|| gnu(field).filter(|number| *number == bsd(field)))
}

/// Digits from the first byte on, up to NUL, a blank or the end: both read them alike, and
/// nearly all numbers are so. `None` of one that is written in another way.
fn plain(field: &[u8]) -> Option<i64> {
    let mut value = 0;
    for (at, byte) in field.iter().enumerate().take(SURELY) {
        match byte {
            b'0'..=b'7' => value = value << 3 | i64::from(byte - b'0'),
            0 | b' ' if at > 0 => return Some(value),
            _ => return None,
        }
    }
    (1..=SURELY).contains(&field.len()).then_some(value)
}

/// A number of bytes on which both agree.
pub(super) fn size(field: &[u8]) -> Option<u64> {
    number(field).and_then(|size| u64::try_from(size).ok())
}

/// Whether a block has the checksum of a header.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    let place = 148..156;
    let field = &block[place.clone()];
    // libarchive accepts no other bytes here, GNU tar no base 256.
    if !field
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'7' | b' ' | 0))
    {
        return false;
    }
    let Some(expected) = number(field) else {
        return false;
    };
    // The field itself counts as blanks. It is subtracted from the sum of the whole block,
    // which the CPU adds up by vectors: archives have a million headers.
    let sum = |value: fn(&u8) -> i32| {
        let of = |bytes: &[u8]| bytes.iter().map(value).sum::<i32>();
        i64::from(of(block) - of(field) + 8 * i32::from(b' '))
    };
    // Some old tar programs summed signed characters.
    expected == sum(|byte| i32::from(*byte)) || expected == sum(|byte| i32::from(*byte as i8))
}

/// A header's own name: in ustar, two fields.
pub(super) fn path(header: &Header) -> Arc<[u8]> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat().into(),
        _ => name.into(),
    }
}

/// The text of a field that ends with NUL or is full.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// As GNU tar: one NUL and then white space may come first; the digits end with the
/// field, NUL or white space; base 256 begins with one of two bytes. Its base 64, of
/// versions of 1999, is not read.
fn gnu(field: &[u8]) -> Option<i64> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let rest = field.strip_prefix(&[0]).unwrap_or(field);
    let start = rest.iter().position(|byte| !is_space(byte))?;
    let rest = &rest[start..];
    if matches!(rest, [0x80 | 0xff, _, ..]) {
        return i64::try_from(base256(rest)?).ok();
    }
    let end = rest
        .iter()
        .position(|byte| *byte == 0 || is_space(byte))
        .unwrap_or(rest.len());
    rest[..end].iter().try_fold(0_i64, |value, digit| {
        let digit = matches!(digit, b'0'..=b'7').then(|| i64::from(digit - b'0'))?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

/// As libarchive: blanks and tabs may come first, then a sign; a byte that is no digit ends
/// the number, which may be empty. A number that is too large saturates.
fn bsd(field: &[u8]) -> i64 {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let largest = match field[0] & 0x40 {
            0 => i64::MAX,
            _ => i64::MIN,
        };
        let value = base256(field);
        return value
            .and_then(|value| i64::try_from(value).ok())
            .unwrap_or(largest);
    }
    let is_blank = |byte: &&u8| matches!(**byte, b' ' | b'\t');
    let mut rest = field.iter().skip_while(is_blank).peekable();
    let negative = rest.next_if(|byte| **byte == b'-').is_some();
    let digits = rest.take_while(|byte| matches!(byte, b'0'..=b'7'));
    let value = digits.fold(0_i64, |value, digit| {
        value
            .saturating_mul(8)
            .saturating_add(i64::from(digit - b'0'))
    });
    if negative { -value } else { value }
}

/// Two's complement below the marker bit, whose neighbour is the sign.
fn base256(field: &[u8]) -> Option<i128> {
    let (&first, rest) = field.split_first()?;
    let sign: i128 = if first & 0x40 != 0 { -1 } else { 0 };
    let start = (sign << 6) | i128::from(first & 0x3f);
    rest.iter().try_fold(start, |value, &byte| {
        value.checked_mul(256)?.checked_add(i128::from(byte))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_read_if_gnu_tar_and_libarchive_agree_on_them() {
        let base256 = |number: i64| {
            let mut field = [if number < 0 { 0xff } else { 0 }; 12];
            field[4..].copy_from_slice(&number.to_be_bytes());
            field[0] |= 0x80;
            field
        };
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  644 \0\0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\t644\0", Some(0o644)),
            (b"5 7\0", Some(5)),
            (b"5\x007\0", Some(5)),
            (&[0; 12], Some(0)),
            (b"\0\x005\0", Some(0)),
            (b" \x005\0", Some(0)),
            (&base256(-1), Some(-1)),
            (&base256(1 << 32), Some(1 << 32)),
            (&base256(i64::MAX), Some(i64::MAX)),
            (&base256(i64::MIN), Some(i64::MIN)),
            // GNU tar passes over one NUL, libarchive ends there.
            (b"\x005\0", None),
            (b"\x000000000005", None),
            (b"\0 5\0", None),
            // Blanks only: an error in GNU tar, zero in libarchive.
            (b"        ", None),
            (b"\n5\0", None),
            (b"-5\0", None),
            (b"+5\0", None),
            (b"5x\0", None),
            (b"58\0", None),
            (b"0x5\0", None),
            (b"x\0", None),
            (b"\x81\0\0\x05", None),
            (b"\xc0\0\0\x05", None),
            (b"\x80", None),
            (&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0x80 | 0x3f; 12], None),
            (b"", None),
        ] {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
        assert_eq!(size(&base256(-1)), None);
    }

    #[test]
    fn a_block_is_a_header_if_its_checksum_is_right() {
        let mut block = [0; BLOCK];
        block[..4].copy_from_slice(b"\xffame");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        for (field, good) in [
            (format!("{sum:06o}\0 "), true),
            (format!("{sum:7o} "), true),
            (format!("{sum:08o}"), true),
            (format!("{:06o}\0 ", sum - 256), true),
            (format!("{:06o}\0 ", sum + 1), false),
            (format!("\0{sum:06o}\0"), false),
            (format!("\t{sum:06o}\0"), false),
            (format!("{sum:06o}x "), false),
        ] {
            block[148..156].copy_from_slice(field.as_bytes());
            assert_eq!(is_header(&block), good, "{field:?}");
        }
    }
}
