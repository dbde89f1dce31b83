//! Pax extended headers (POSIX.1-2001, `pax` utility): the few records that
//! matter here.

use std::sync::Arc;

/// What extended headers say of an entry. Names are shared, since those of the global
/// header, of up to some mebibytes, count for every entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Arc<[u8]>>,
    pub(super) link: Option<Arc<[u8]>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    /// A file with holes in one of GNU tar's pax forms.
    pub(super) sparse: Option<Box<Sparse>>,
}

/// What GNU tar's records say of a file with holes (its manual, "Sparse Formats").
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: u64,
    pub(super) minor: u64,
    /// The file's own name: the entry's name is for programs that do not know this form.
    pub(super) name: Option<Arc<[u8]>>,
    /// Bytes of the file, holes included.
    pub(super) size: Option<u64>,
    /// Offset and length of each piece (forms 0.0 and 0.1).
    pub(super) pieces: Vec<(u64, u64)>,
    /// An offset whose length is still to come (form 0.0).
    offset: Option<u64>,
}

impl Pax {
    /// Adds the records of one header, each of the form `length key=value\n`.
    /// At most `most` pieces of a file with holes are kept.
    pub(super) fn parse(&mut self, mut records: &[u8], most: usize) -> Result<(), String> {
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
            self.set(&record[..equals], &record[equals + 1..], most)?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], most: usize) -> Result<(), String> {
        // An empty value cancels the key.
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = given.map(Arc::from),
            b"linkpath" => self.link = given.map(Arc::from),
            // Programs differ even on an empty one.
            b"size" => self.size = Some(decimal(value).ok_or("a pax header has a malformed size")?),
            // A malformed time is no reason to refuse the content: the header has
            // another.
            b"mtime" => self.mtime = time(value),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    let sparse = self.sparse.get_or_insert_default();
                    sparse
                        .set(key, value, most)
                        .ok_or("malformed sparse file: a record of its pax header is no number")?;
                }
            }
        }
        Ok(())
    }

    /// Adds from the global header what the entry's own header leaves open.
    pub(super) fn or(self, global: &Self) -> Self {
        Self {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size,
            mtime: self.mtime.or(global.mtime),
            sparse: self.sparse,
        }
    }
}

impl Sparse {
    /// Adds a record; `None` if it is malformed.
    fn set(&mut self, key: &[u8], value: &[u8], most: usize) -> Option<()> {
        match key {
            b"major" => self.major = decimal(value)?,
            b"minor" => self.minor = decimal(value)?,
            b"name" => self.name = Some(value.into()),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"offset" => self.offset = Some(decimal(value)?),
            b"numbytes" => {
                let piece = (self.offset.take()?, decimal(value)?);
                self.push(piece, most);
            }
            b"map" => {
                self.pieces.clear();
                let mut numbers = value.split(|&byte| byte == b',').map(decimal);
                // An empty map is one empty text.
                while let Some(offset) = numbers.next().filter(|_| !value.is_empty()) {
                    let piece = (offset?, numbers.next()??);
                    self.push(piece, most);
                }
            }
            // The number of pieces is not needed.
            _ => {}
        }
        Some(())
    }

    /// Keeps one piece more than allowed, so that the excess is noticed.
    fn push(&mut self, piece: (u64, u64), most: usize) {
        if self.pieces.len() <= most {
            self.pieces.push(piece);
        }
    }
}

/// A number in decimal digits alone.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Seconds with an optional sign and fraction. Digits beyond nanoseconds are dropped,
/// towards the past before 1970. Other forms of a number are read with the precision of a
/// float (Python's tarfile writes `1e-05`). Text behind a number is ignored.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    if let Some(time) = exact(value) {
        return Some(time);
    }
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let Ok(seconds) = text.parse::<f64>() else {
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let end = value.iter().position(|byte| !is_part(byte))?;
        return exact(&value[..end]);
    };
    let whole = seconds.floor();
    // Rounding does not matter so far from any real time.
    if !seconds.is_finite() || whole.abs() >= i64::MAX as f64 {
        return None;
    }
    let nanos = ((seconds - whole) * 1e9) as u32;
    Some((whole as i64, nanos.min(999_999_999)))
}

fn exact(value: &[u8]) -> Option<(i64, u32)> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_of_pax_are_read_to_the_nanosecond() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("12.1234567891", Some((12, 123_456_789))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.000000001", Some((-1, 999_999_999))),
            ("1e-05", Some((0, 10_000))),
            ("+17", Some((17, 0))),
            (".5", Some((0, 500_000_000))),
            ("5.", Some((5, 0))),
            ("-.5", Some((-1, 500_000_000))),
            ("1.7e9", Some((1_700_000_000, 0))),
            (" 12", Some((12, 0))),
            ("", None),
            ("x", None),
            ("12x", Some((12, 0))),
            ("1748089464.951928467a", Some((1_748_089_464, 951_928_467))),
            ("nan", None),
            ("-inf", None),
            ("1e400", None),
            ("99999999999999999999", None),
            ("-99999999999999999999.5", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(time(b"\xff"), None);
    }

    #[test]
    fn pax_records_are_read_and_malformed_ones_refused() {
        let mut pax = Pax::default();
        pax.parse(
            b"12 path=a/b\n15 linkpath=\xff\xfe\n20 SCHILY.xattr.a=b\n",
            9,
        )
        .unwrap();
        assert_eq!(pax.link.as_deref(), Some(&b"\xff\xfe"[..]));
        pax.parse(b"12 path=a\nb\n10 size=7\n", 9).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.size, Some(7));
        pax.parse(b"8 path=\n", 9).unwrap();
        assert_eq!(pax.path, None);
        for bad in [
            &b"5 a=b"[..],
            b"99 a=b\n",
            b"x a=b\n",
            b"0 a\n",
            b" a=b\n",
            b"11 size=-1\n",
            b"8 size=\n",
            b"11 size=+1\n",
            b"23 GNU.sparse.major=x\n",
            b"25 GNU.sparse.numbytes=1\n",
            b"22 GNU.sparse.map=1,x\n",
            b"20 GNU.sparse.map=1\n",
        ] {
            assert!(Pax::default().parse(bad, 9).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pieces_of_a_sparse_file_are_read_from_records() {
        let mut pax = Pax::default();
        pax.parse(
            b"23 GNU.sparse.offset=1\n25 GNU.sparse.numbytes=2\n\
              23 GNU.sparse.offset=5\n25 GNU.sparse.numbytes=1\n",
            9,
        )
        .unwrap();
        assert_eq!(pax.sparse.as_ref().unwrap().pieces, [(1, 2), (5, 1)]);
        pax.parse(b"26 GNU.sparse.map=0,1,7,2\n", 9).unwrap();
        assert_eq!(pax.sparse.as_ref().unwrap().pieces, [(0, 1), (7, 2)]);
        pax.parse(b"19 GNU.sparse.map=\n", 9).unwrap();
        assert!(pax.sparse.as_ref().unwrap().pieces.is_empty());
        let many = [(0, 1); 3];
        pax.parse(b"34 GNU.sparse.map=0,1,0,1,0,1,0,1\n", 2)
            .unwrap();
        assert_eq!(pax.sparse.unwrap().pieces, many);
    }
}
