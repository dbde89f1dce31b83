//! Recognizes what came instead of a tar archive by its first bytes, so that an error can
//! name it.

use std::fmt;

/// The error for data that is no archive that vm0fs reads.
#[derive(Debug)]
pub(super) struct Other(String);

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Other {}

/// First bytes of formats that could be taken for an archive of the service.
const MAGIC: [(&[u8], &str); 12] = [
    (&[0x1f, 0x8b], "gzip data"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"BZh", "bzip2 data"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4 data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"LZIP", "lzip data"),
    (&[0x1f, 0x9d], "compress data (.Z)"),
    (b"\x89PNG", "a PNG image"),
];

impl Other {
    /// The error for data that begins so.
    pub(super) fn than_an_archive(head: &[u8]) -> Self {
        if head.is_empty() {
            return Self("it is empty".into());
        }
        Self(match (kind(head), is_text(head)) {
            (Some(kind), true) => format!(
                "it is {kind}, no archive: something on the way may have answered instead \
                 of the object store (a proxy, a sign-in page)"
            ),
            (Some(kind), false) => {
                format!("it is {kind}; vm0fs reads tar archives, as they are or as gzip")
            }
            (None, _) => "it is neither gzip data nor a tar archive".into(),
        })
    }
}

/// The kind of data that begins so; `None` if that is not known.
pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    if let Some((_, kind)) = known {
        return Some(kind);
    }
    let text = trimmed(head);
    let starts = |word: &str| {
        let start = text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    match text.first()? {
        b'<' if starts("<?xml") => Some("an XML document"),
        b'<' if starts("<!doctype html") || starts("<html") || starts("<head") => {
            Some("an HTML page")
        }
        b'<' => Some("an XML or HTML document"),
        b'{' | b'[' => Some("a JSON document"),
        _ => None,
    }
}

fn is_text(head: &[u8]) -> bool {
    matches!(trimmed(head).first(), Some(b'<' | b'{' | b'['))
}

/// Without a byte order mark and white space before it.
fn trimmed(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named() {
        for (head, named) in [
            (&b"\x28\xb5\x2f\xfd\0\0"[..], "zstd data; vm0fs reads"),
            (b"\xfd7zXZ\0\0", "xz data"),
            (b"BZh91AY", "bzip2 data"),
            (b"\x04\x22\x4d\x18", "lz4 data"),
            (b"PK\x03\x04", "a zip archive"),
            (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
            (
                b"<?xml version='1.0'?><Error>",
                "an XML document, no archive",
            ),
            (
                b"\xef\xbb\xbf\n <!DOCTYPE HTML>",
                "an HTML page, no archive",
            ),
            (b"<html>", "an HTML page"),
            (b"<Error>", "an XML or HTML document"),
            (b" {\"error\": 1}", "a JSON document, no archive"),
            (b"[]", "a JSON document"),
            (b"", "it is empty"),
            (b"Not Found", "neither gzip data nor a tar archive"),
        ] {
            let said = Other::than_an_archive(head).to_string();
            assert!(said.contains(named), "{said}");
        }
    }
}
