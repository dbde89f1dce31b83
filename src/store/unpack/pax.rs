//! Pax extended headers (POSIX.1-2001, `pax` utility): the few records that
//! matter here, and the numbers of tar headers.

use std::sync::Arc;

/// What extended headers say of an entry. Names are shared: the global header's,
/// of up to a mebibyte, are those of every entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Arc<[u8]>>,
    pub(super) link: Option<Arc<[u8]>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    /// A sparse file in one of GNU tar's pax forms, whose body is not the content.
    pub(super) sparse: bool,
}

impl Pax {
    /// Takes in the records of one header: `length key=value\n`, over and over.
    pub(super) fn parse(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let bad = || "a pax header has a malformed record".to_string();
            let space = records.iter().position(|&b| b == b' ').ok_or_else(bad)?;
            let length = decimal(&records[..space])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|&length| length > space + 1 && length <= records.len())
                .ok_or_else(bad)?;
            let record = records[space + 1..length]
                .strip_suffix(b"\n")
                .ok_or_else(bad)?;
            let equals = record.iter().position(|&b| b == b'=').ok_or_else(bad)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        // An empty value takes the key back.
        let given = (!value.is_empty()).then_some(value);
        let number = |what: &str| format!("a pax header has a malformed {what}");
        match key {
            b"path" => self.path = given.map(Arc::from),
            b"linkpath" => self.link = given.map(Arc::from),
            b"size" => {
                self.size = given
                    .map(|value| decimal(value).ok_or_else(|| number("size")))
                    .transpose()?;
            }
            b"mtime" => {
                self.mtime = given
                    .map(|value| time(value).ok_or_else(|| number("mtime")))
                    .transpose()?;
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }

    /// What a file's own header leaves open, from the global one.
    pub(super) fn or(self, global: &Self) -> Self {
        Self {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size.or(global.size),
            mtime: self.mtime.or(global.mtime),
            sparse: self.sparse || global.sparse,
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Seconds with an optional sign and fraction; digits beyond nanoseconds are
/// dropped towards the past, as the time before 1970 counts on from there.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(point) => (&value[..point], &value[point + 1..]),
        None => (value, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanos = 0;
    for position in 0..9 {
        let digit = fraction.get(position).copied().unwrap_or(b'0');
        nanos = nanos * 10 + digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
    }
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(match (negative, nanos) {
        (false, nanos) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

/// A numeric field of a tar header: octal between blanks, or GNU's base 256.
/// Blank is zero.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement below the marker bit, whose neighbour is the sign.
        let sign: i128 = if first & 0x40 != 0 { -1 } else { 0 };
        let start = (sign << 6) | i128::from(first & 0x3f);
        let value = rest.iter().try_fold(start, |value, &byte| {
            value.checked_mul(256)?.checked_add(i128::from(byte))
        })?;
        return i64::try_from(value).ok();
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !blank(byte));
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_i64, |value, digit| {
        let digit = (b'0'..=b'7')
            .contains(digit)
            .then(|| i64::from(digit - b'0'))?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("12.1234567891", Some((12, 123_456_789))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.000000001", Some((-1, 999_999_999))),
            ("", None),
            ("x", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(&[0; 12]), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        let mut field = [0xff; 12];
        assert_eq!(number(&field), Some(-1));
        field = [0; 12];
        (field[0], field[7]) = (0x80, 1);
        assert_eq!(number(&field), Some(1 << 32));
        assert_eq!(
            number(&[
                0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
            ]),
            None
        );
    }

    #[test]
    fn records() {
        let mut pax = Pax::default();
        pax.parse(b"12 path=a/b\n15 linkpath=\xff\xfe\n20 SCHILY.xattr.a=b\n")
            .unwrap();
        assert_eq!(pax.link.as_deref(), Some(&b"\xff\xfe"[..]));
        pax.parse(b"12 path=a\nb\n10 size=7\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.size, Some(7));
        pax.parse(b"8 path=\n").unwrap();
        assert_eq!(pax.path, None);
        for bad in [
            &b"5 a=b"[..],
            b"99 a=b\n",
            b"x a=b\n",
            b"0 a\n",
            b" a=b\n",
            b"11 size=-1\n",
        ] {
            assert!(Pax::default().parse(bad).is_err(), "{bad:?}");
        }
    }
}
