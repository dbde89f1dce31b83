//! The output before a point, as an index keeps it: what the stream behind the point refers to.
//!
//! A window is cut into *runs*: bytes that are referred to, and behind them bytes that are
//! not, which are kept as a number alone and read back as zeros. What is before the first run
//! is not kept at all. A stored window is raw deflate data: how many runs there are, for each
//! how many bytes of both sorts, as `varint` writes numbers; then all bytes kept. Both parts
//! have deflate blocks, and so codes, of their own. The bytes kept for the first of [`GROUP`]
//! points are the dictionary of the others: texts of one archive are alike. On archives of
//! text a window is a sixth smaller than with zeros between its runs and no dictionary.

use super::{
    candidate::WINDOW,
    contents::Point,
    deflated::{Deflater, inflate_after},
    varint,
};
use std::ops::Range;

/// So many points, one after another, share a dictionary.
pub(super) const GROUP: usize = 16;
/// The longest that a stored window is before it is deflated: a run of one byte each two.
const LONGEST: usize = 3 * WINDOW;

/// A window, or what is kept of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Bytes kept, and bytes behind them that are not.
    runs: Vec<(usize, usize)>,
    kept: Vec<u8>,
}

impl Window {
    /// What is kept of `bytes`: those that are `used`.
    pub(super) fn of(bytes: &[u8], used: &[bool]) -> Self {
        let mut window = Self::default();
        let used = used.get(..bytes.len()).unwrap_or(used);
        let mut parts = used.chunk_by(|one, next| one == next).peekable();
        let mut at = parts.next_if(|part| !part[0]).map_or(0, <[bool]>::len);
        while let Some(part) = parts.next() {
            let unused = parts.next().map_or(0, <[bool]>::len);
            window.kept.extend(&bytes[at..at + part.len()]);
            window.runs.push((part.len(), unused));
            at += part.len() + unused;
        }
        window
    }

    /// As it is stored; nothing for no bytes.
    pub(super) fn encode(&self, deflater: &mut Deflater, dictionary: &[u8]) -> Vec<u8> {
        if self.runs.is_empty() {
            return Vec::new();
        }
        let mut runs = Vec::new();
        varint::put(&mut runs, self.runs.len() as u64);
        for (kept, unused) in &self.runs {
            varint::put(&mut runs, *kept as u64);
            varint::put(&mut runs, *unused as u64);
        }
        deflater.deflate(&[&runs, &self.kept], dictionary)
    }

    /// Reads bytes that have not been checked.
    pub(super) fn decode(stored: &[u8], dictionary: &[u8]) -> Option<Self> {
        if stored.is_empty() {
            return Some(Self::default());
        }
        let bytes = inflate_after(dictionary, stored, LONGEST)?;
        let mut rest = &bytes[..];
        let count = varint::take(&mut rest).filter(|count| *count <= WINDOW as u64)?;
        let (mut runs, mut left) = (Vec::new(), WINDOW);
        let mut next = || {
            let length = usize::try_from(varint::take(&mut rest)?).ok()?;
            left = left.checked_sub(length)?;
            Some(length)
        };
        for _ in 0..count {
            runs.push((next()?, next()?));
        }
        let kept = rest.to_vec();
        let said: usize = runs.iter().map(|(kept, _)| kept).sum();
        (said == kept.len()).then_some(Self { runs, kept })
    }

    /// The output before the point, with zeros for what is not kept.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (mut bytes, mut left) = (Vec::with_capacity(WINDOW), &self.kept[..]);
        for (kept, unused) in &self.runs {
            let (part, rest) = left.split_at(*kept);
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len() + unused, 0);
            left = rest;
        }
        bytes
    }

    /// The dictionary that this is for others of its group.
    pub(super) fn into_dictionary(self) -> Vec<u8> {
        self.kept
    }
}

/// The dictionary of the point of this number, among `points` with their stored `windows`;
/// `None` if that is damaged.
pub(super) fn dictionary(points: &[Point], windows: &[u8], number: usize) -> Option<Vec<u8>> {
    let first = number / GROUP * GROUP;
    if first == number {
        return Some(Vec::new());
    }
    let stored = windows.get(points.get(first)?.window.clone())?;
    Window::decode(stored, &[]).map(Window::into_dictionary)
}

/// The output before the point of this number; `None` if what is stored of it is damaged.
pub(super) fn read(points: &[Point], windows: &[u8], number: usize) -> Option<Vec<u8>> {
    let place: Range<usize> = points.get(number)?.window.clone();
    let dictionary = match place.is_empty() {
        true => Vec::new(),
        false => dictionary(points, windows, number)?,
    };
    Some(Window::decode(windows.get(place)?, &dictionary)?.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of which all but the dots is used.
    fn window(text: &[u8]) -> Window {
        let used: Vec<_> = text.iter().map(|byte| *byte != b'.').collect();
        Window::of(text, &used)
    }

    fn encode(window: &Window, dictionary: &[u8]) -> Vec<u8> {
        window.encode(&mut Deflater::new(), dictionary)
    }

    #[test]
    fn what_is_used_comes_back_from_the_first_such_byte_on() {
        let (every_second, all) = (b".a".repeat(WINDOW / 2), b"a".repeat(WINDOW));
        for (text, expected) in [
            (&b""[..], &b""[..]),
            (b".....", b""),
            (b"abc", b"abc"),
            (b"..abc..de...", b"abc\0\0de\0\0\0"),
            (b".a....b", b"a\0\0\0\0b"),
            (&every_second, &b"a\0".repeat(WINDOW / 2)[..WINDOW - 1]),
            (&all, &all),
        ] {
            for dictionary in [&b""[..], b"abcde"] {
                let stored = encode(&window(text), dictionary);
                let again = Window::decode(&stored, dictionary).unwrap();
                assert_eq!(again, window(text));
                assert_eq!(again.bytes(), expected);
                assert_eq!(stored.is_empty(), expected.is_empty());
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let stored = |bytes: &[u8]| Deflater::new().deflate(&[bytes], &[]);
        let decode = |bytes: &[u8]| Window::decode(bytes, &[]);
        assert_eq!(decode(&stored(b"\x01\x02\x03ab")), Some(window(b"ab...")));
        for damaged in [
            &b""[..],
            b"\x01",
            b"\x01\x02",
            b"\x01\x02\x03a",
            b"\x01\x02\x03abc",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x01\x02\xff\xff\x01ab",
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02ab",
            &b"\0".repeat(LONGEST + 1),
        ] {
            assert_eq!(decode(&stored(damaged)), None, "{damaged:?}");
        }
        let whole = encode(&window(b"abc..de"), &[]);
        assert_eq!(decode(&whole[..whole.len() - 1]), None, "cut");
        assert_eq!(decode(b"no deflate"), None);
    }

    #[test]
    fn points_of_a_group_have_its_first_window_as_their_dictionary() {
        let texts: Vec<_> = (0..2 * GROUP + 3)
            .map(|n| format!("{n}: the text of all windows, but for their number").into_bytes())
            .collect();
        let (mut points, mut windows) = (Vec::new(), Vec::new());
        let mut lengths = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let dictionary = dictionary(&points, &windows, number).unwrap();
            let stored = encode(&window(text), &dictionary);
            lengths.push(stored.len());
            let start = windows.len();
            windows.extend(stored);
            points.push(Point {
                input: 0,
                output: 0,
                bits: 0,
                window: start..windows.len(),
            });
        }
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(read(&points, &windows, number).as_ref(), Some(text));
            let whole = lengths[number / GROUP * GROUP];
            assert_eq!(lengths[number] < whole / 2, number % GROUP > 0, "{number}");
        }
        windows[3] ^= 0xff;
        assert_eq!(
            read(&points, &windows, 1),
            None,
            "its dictionary is damaged"
        );
        assert_eq!(read(&points, &windows, GROUP), Some(texts[GROUP].clone()));
        assert_eq!(read(&points, &windows, texts.len()), None, "no such point");
    }
}
