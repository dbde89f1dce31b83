//! Text from outside. A file's bytes become text here, and what a server, an agent or
//! a process says is made fit for a message: it must not move a terminal's cursor or
//! begin a line of the log. And bytes as hexadecimal.

use std::{fmt::Write, os::unix::ffi::OsStrExt, path::Path};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What editors and shells, those of Windows above all, put before UTF-8 text
/// (Unicode, "byte order mark"): it says how the text is written, and is no part
/// of it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Characters of a path in a message.
const LONGEST_PATH: usize = 200;

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

/// Columns of a terminal that a line of text takes: characters of East Asian scripts and
/// most emoji take two (Unicode Standard Annex #11), combining ones none.
pub fn width(line: &str) -> usize {
    line.width()
}

/// Columns that a character adds to those before it, at most.
fn columns(c: char) -> usize {
    match c {
        // It makes what is before it an emoji, which takes two.
        '\u{fe0f}' => 1,
        _ => c.width().unwrap_or(0),
    }
}

/// A line of at most so many columns.
pub fn cut(line: &str, most: usize) -> String {
    if width(line) <= most {
        return line.to_owned();
    }
    let mut taken = 0;
    let end = line.char_indices().find(|(_, c)| {
        taken += columns(*c);
        taken >= most.max(1)
    });
    let end = end.map_or(line.len(), |(end, _)| end);
    format!("{}…", &line[..end])
}

/// The end of a path in at most so many columns: it tells more than the beginning.
pub fn cut_path(path: &str, most: usize) -> String {
    if width(path) <= most {
        return path.to_owned();
    }
    let mut taken = 0;
    let ends = path.char_indices().rev().take_while(|(_, c)| {
        taken += columns(*c);
        taken < most
    });
    // No combining character begins it.
    let begins = ends.filter(|(_, c)| c.width() != Some(0));
    let begin = begins.last().map_or(path.len(), |(begin, _)| begin);
    format!("…{}", &path[begin..])
}

/// A path on one line, fit for a message: users choose names of folders.
pub fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy(), LONGEST_PATH)
}

/// A path as a word for a shell, for commands that a user is told to type. One that would
/// drive a terminal is in `$'…'`, which bash, zsh and ksh read.
pub fn shell_path(path: &Path) -> String {
    let is_safe = |text: &&str| !text.chars().any(|c| c.is_control() || turns_text(c));
    match path.to_str().filter(is_safe) {
        Some(text) => shell_word(text),
        None => escaped(path.as_os_str().as_bytes()),
    }
}

/// A text as a word for any shell (POSIX, "Quoting").
pub fn shell_word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-=:@".contains(char);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Bytes as a word of a shell, those that are not plain by their numbers.
fn escaped(bytes: &[u8]) -> String {
    let mut word = String::from("$'");
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => word.extend(['\\', byte as char]),
            b' '..=b'~' => word.push(byte as char),
            // Three digits, so that it ends before what follows.
            _ => _ = write!(word, "\\{byte:03o}"),
        }
    }
    word + "'"
}

/// Whether a character is a mark of Unicode that reorders or breaks lines.
pub fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
            c if turns_text(c) => {
                let _ = write!(out, "\\u{{{:x}}}", character as u32);
            }
            c => out.push(c),
        }
    }
}

/// As [`push_visible`], line by line, with `between` between two lines.
pub fn push_visible_lines(out: &mut String, text: &str, between: &str) {
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push_str(between);
        }
        push_visible(out, line.strip_suffix('\r').unwrap_or(line));
    }
}

/// Text with no meaning in HTML and XML, in an attribute's value neither.
pub fn escape_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that no XML may hold.
            '\u{fffe}' | '\u{ffff}' | '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Which of `known` a mistyped `word` was most likely meant to be: the one that the
/// fewest edits lead to, at most a third of its letters; an edit puts in, leaves out or
/// changes one letter, or swaps two that stand together.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(LONGEST_WORD).collect();
    let near = known.into_iter().filter_map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        let most = letters.len().max(word.len()).div_ceil(3);
        // No word is compared to one that is much longer.
        let may_be_near = letters.len().abs_diff(word.len()) <= most;
        let edits = may_be_near.then(|| edits(&word, &letters))?;
        (edits <= most).then_some((edits, candidate))
    });
    near.min_by_key(|(edits, _)| *edits).map(|(_, near)| near)
}

/// Letters of a mistyped word that are compared.
const LONGEST_WORD: usize = 100;

/// How many edits make `a` of `b` (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1);
            least = least.min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Whether a text is a SHA-256 in hexadecimal.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    push_hex(bytes, &mut text);
    // ASCII only.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends lowercase hexadecimal to a text.
pub fn push_hex(bytes: &[u8], text: &mut Vec<u8>) {
    // By a table: formatting each byte took a tenth of unpacking small files.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS[usize::from(half & 15)];
    for part in bytes.chunks(32) {
        let mut digits = [[0; 2]; 32];
        for (byte, digits) in part.iter().zip(&mut digits) {
            *digits = [digit(byte >> 4), digit(*byte)];
        }
        text.extend_from_slice(digits[..part.len()].as_flattened());
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
    fn a_shell_reads_a_word_as_it_is() {
        for text in [
            "",
            "/a/b-c_d.e:f@g=h",
            "~",
            "a b",
            "it's; $(x)",
            "\n\x1b[2J\u{202e}'\\1é",
        ] {
            let word = shell_path(Path::new(text));
            let command = format!("printf %s {word}");
            let mut bash = std::process::Command::new("bash");
            let said = bash.arg("-c").arg(command).output().unwrap();
            assert_eq!(said.stdout, text.as_bytes(), "{word}");
            assert!(
                !word.chars().any(|c| c.is_control() || turns_text(c)),
                "{word}"
            );
        }
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/m/\xff1"));
        assert_eq!(shell_path(odd), "$'/m/\\3771'");
    }

    #[test]
    fn a_mistyped_word_is_near_one_that_is_known() {
        let known = ["pending", "running", "completed", "failed", "cancelled"];
        for (word, near) in [
            ("faild", Some("failed")),
            ("FAILED", Some("failed")),
            ("canceled", Some("cancelled")),
            ("runnign", Some("running")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
        assert_eq!(nearest("ab", ["ba"]), Some("ba"), "swapped");
        assert_eq!(edits(&['a', 'b', 'c'], &[]), 3);
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }

    #[test]
    fn a_line_is_cut_by_the_columns_of_a_terminal() {
        for (line, most, cut_line, cut_end) in [
            ("abc", 3, "abc", "abc"),
            ("abcd", 3, "ab…", "…cd"),
            ("報告書", 6, "報告書", "報告書"),
            ("報告書", 5, "報告…", "…告書"),
            ("報告書", 4, "報…", "…書"),
            ("ae\u{301}cd", 3, "ae\u{301}…", "…cd"),
            ("ab", 0, "…", "…"),
            ("❤️❤️❤️", 6, "❤️❤️❤️", "❤️❤️❤️"),
            ("❤️❤️❤️", 5, "❤️❤️…", "…❤️❤️"),
        ] {
            assert_eq!(cut(line, most), cut_line, "{line} {most}");
            assert_eq!(cut_path(line, most), cut_end, "{line} {most}");
        }
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line(" a\r\n\tb\u{202e}c ", 10), "a b c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("", 3), "");
    }
}
