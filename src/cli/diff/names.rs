//! Names of files as git writes them: no name can break a line, or drive a terminal.

use std::fmt::Write;

/// A path, in double quotes with escapes where it has control characters, quotes,
/// backslashes or bytes that are no ASCII (git's `core.quotePath`).
pub(super) fn quoted(path: &[u8]) -> String {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if path.iter().all(is_plain) {
        return String::from_utf8_lossy(path).into_owned();
    }
    let mut out = String::from("\"");
    for byte in path {
        let escape = match byte {
            7 => 'a',
            8 => 'b',
            b'\t' => 't',
            b'\n' => 'n',
            11 => 'v',
            12 => 'f',
            b'\r' => 'r',
            b'"' => '"',
            b'\\' => '\\',
            b' '..=b'~' => {
                out.push(char::from(*byte));
                continue;
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\{byte:03o}");
                continue;
            }
        };
        out.extend(['\\', escape]);
    }
    out.push('"');
    out
}

/// The path with `side` (`a` or `b`) before it.
pub(super) fn sided(side: &str, path: &[u8]) -> String {
    quoted(&[side.as_bytes(), b"/", path].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_quotes_them() {
        for (name, expected) in [
            (&b"a b.txt"[..], "a b.txt"),
            (b"it's", "it's"),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"tab\tline\n\x1b[31m\x7f", r#""tab\tline\n\033[31m\177""#),
            ("ü".as_bytes(), r#""\303\274""#),
            (b"\x07\x08\x0b\x0c\r\xff\x01", r#""\a\b\v\f\r\377\001""#),
        ] {
            assert_eq!(quoted(name), expected);
        }
        assert_eq!(sided("a", b"\n"), r#""a/\n""#);
    }
}
