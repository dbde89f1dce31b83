//! Text from files and for people. A file's bytes become text here. Text from
//! outside is made fit for a message: a server, an agent or a process name must not
//! move a terminal's cursor or begin a line of the log. Sizes and times are written
//! in the unit that suits them.

use std::{fmt::Write, time::Duration};

/// What editors and shells, those of Windows above all, put before UTF-8 text
/// (Unicode, "byte order mark"): it says how the text is written, and is no part
/// of it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// `bytes` without a byte order mark of UTF-8 before them.
pub fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// `text` without a byte order mark before it.
pub fn unmarked_text(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The text that a file or a program's output holds: UTF-8, or UTF-16 of either
/// byte order where a byte order mark says so, as PowerShell's `>` writes it. A
/// mark is left out. `None` for what is no text in either.
pub fn decode(bytes: Vec<u8>) -> Option<String> {
    let wide = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = units.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        rest.is_empty()
            .then(|| String::from_utf16(&units).ok())
            .flatten()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, units @ ..] => wide(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => wide(units, u16::from_be_bytes),
        _ => match bytes.starts_with(MARK) {
            true => String::from_utf8(unmarked(&bytes).to_vec()).ok(),
            false => String::from_utf8(bytes).ok(),
        },
    }
}

/// `text` from its first character on that can be seen: not from white space,
/// control characters, or those that have no width.
pub fn from_visible(text: &str) -> &str {
    text.trim_start_matches(|c: char| {
        let is_invisible = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        is_invisible || c.is_whitespace() || c.is_control()
    })
}

/// `text` on one line of at most `max` characters: control characters and
/// those that reorder a terminal's line become spaces, runs of them one.
pub fn one_line(text: &str, max: usize) -> String {
    let reorders = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut line = String::new();
    let mut length = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control() || reorders(c))
        .filter(|word| !word.is_empty())
    {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= max {
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

/// Control characters (C0, DEL, C1) and the Unicode marks that reorder or break
/// lines are written as escapes: what an agent logs must not drive a terminal.
pub fn push_visible(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\t' => out.push('\t'),
            '\u{1b}' => out.push_str("\\e"),
            c if (c as u32) < 0x20 || ('\u{7f}'..='\u{9f}').contains(&c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", character as u32);
            }
            c => out.push(c),
        }
    }
}

/// Bytes as people read them: `17 B`, `1.5 MiB`, `20 GiB`. Binary units, as
/// those of the cache's size.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // What would be rounded up to 1024 is one of the next unit.
    while value >= 1023.5 {
        value /= 1024.0;
        unit = units.next();
    }
    let unit = unit.unwrap_or(&UNITS[5]);
    if value < 9.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// A length of time in its largest unit, rounded down: `3 s`, `5 min`, `2 h`, `4 d`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_says_how_text_is_written_and_is_left_out() {
        let text = "{\"é\": \"😀\"}\r\n";
        let wide = |unit: fn(u16) -> [u8; 2], mark: u16| -> Vec<u8> {
            let units = [mark].into_iter().chain(text.encode_utf16());
            units.flat_map(unit).collect()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            [MARK, text.as_bytes()].concat(),
            wide(u16::to_le_bytes, 0xfeff),
            wide(u16::to_be_bytes, 0xfeff),
        ] {
            assert_eq!(decode(bytes.clone()).as_deref(), Some(text), "{bytes:?}");
        }
        assert_eq!(decode(MARK.to_vec()).as_deref(), Some(""));
        assert_eq!(decode(Vec::new()).as_deref(), Some(""));
        for bytes in [
            &b"a\xff"[..],
            b"\xff\xfea",
            b"\xfe\xff\xd8\x00",
            b"\xef\xbb\xbf\xff",
        ] {
            assert_eq!(decode(bytes.to_vec()), None, "{bytes:?}");
        }
        assert_eq!(unmarked(b"\xef\xbb\xbf[]"), b"[]");
        assert_eq!(unmarked_text("\u{feff}a\u{feff}"), "a\u{feff}");
        assert_eq!(from_visible("\u{feff}\u{200b} \0\r\n{ }"), "{ }");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_199, "1 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line(" a\r\n\tb\u{202e}c ", 10), "a b c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("", 3), "");
    }
}
