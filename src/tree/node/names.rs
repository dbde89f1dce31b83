//! How an object's name becomes one path component, and which names are worth
//! asking the API about.

use crate::text::hex;
use sha2::{Digest, Sha256};

/// The longest path component (`NAME_MAX` of Linux).
pub(crate) const NAME_MAX: usize = 255;

/// Bytes kept of a name that is too long: room for `~` and 16 hex digits.
const SHORTENED: usize = NAME_MAX - 17;

/// Writes a name as a path component: `/`, NUL and `%` become `%XX`, `.` and
/// `..` are escaped whole, an empty name is `%`, and one over 255 bytes is cut
/// and given a hash of the whole. Two different names never come out the same.
pub(crate) fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    match name {
        "" => return "%".into(),
        "." => return "%2E".into(),
        ".." => return "%2E%2E".into(),
        _ => {}
    }
    for character in name.chars() {
        match character {
            '/' => out.push_str("%2F"),
            '%' => out.push_str("%25"),
            // Control characters in a listing would reach the terminal.
            c if c.is_ascii_control() => out.push_str(&format!("%{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    if out.len() > NAME_MAX {
        let mut cut = SHORTENED;
        while !out.is_char_boundary(cut) {
            cut -= 1;
        }
        out.truncate(cut);
        out.push('~');
        let digest = Sha256::digest(name);
        out.push_str(&hex(&digest[..8]));
    }
    out
}

/// Whether a name has the form of an id of this API: a UUID, or the
/// documentation's `ag_…`, `run_…`, `vol_…`. Only such a name is worth a call
/// of its own.
pub(crate) fn looks_like_id(name: &str) -> bool {
    is_uuid(name) || is_prefixed_id(name)
}

/// Whether a name is a UUID.
pub(crate) fn is_uuid(name: &str) -> bool {
    name.len() == 36
        && name.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_prefixed_id(name: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('_') else {
        return false;
    };
    (1..=8).contains(&prefix.len())
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
        && (8..=64).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        // Words such as `test_fixtures` have none.
        && rest.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether a name can be that of a run at all: run ids are plain words.
pub(crate) fn may_be_run_id(name: &str) -> bool {
    looks_like_id(name)
        || ((4..=128).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            && name.bytes().any(|byte| byte.is_ascii_digit()))
}

/// The shortest version prefix that is looked for.
pub(crate) const PREFIX_MIN: usize = 8;

/// Whether a name may abbreviate a version id: hexadecimal, or of a form of
/// its own (`ver_…`) with a digit in it, which `node_modules` and `Makefile`
/// have not.
pub(crate) fn may_be_version_prefix(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    name.len() >= PREFIX_MIN
        && (name.bytes().all(|byte| byte.is_ascii_hexdigit())
            || name.bytes().all(is_word)
                && (name.starts_with("ver_") || name.bytes().any(|byte| byte.is_ascii_digit())))
}

/// Files that desktops, version control and Windows clients look for in every
/// folder. Names with a leading dot are probes by that alone. None follows the
/// service's rule for names, so none can hide an object that does.
const PROBES: [&str; 13] = [
    "autorun.inf",
    "Autorun.inf",
    "AUTORUN.INF",
    "desktop.ini",
    "Desktop.ini",
    "Thumbs.db",
    "thumbs.db",
    "folder.jpg",
    "Folder.jpg",
    "AlbumArt.jpg",
    "lost+found",
    "HEAD",
    "BDMV",
];

/// Whether programs look for this name in every folder: not worth a call while no
/// listing has it.
pub(crate) fn is_probe(name: &str) -> bool {
    name.starts_with('.') || PROBES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_path_components() {
        let table = [
            ("report", "report"),
            ("mein bericht", "mein bericht"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "..."),
            ("", "%"),
            ("%", "%25"),
            ("a\0b\n", "a%00b%0A"),
            ("\u{1b}[31m", "%1B[31m"),
            ("日本", "日本"),
        ];
        for (name, component) in table {
            assert_eq!(escape(name), component, "{name:?}");
        }
    }

    #[test]
    fn long_names_fit_and_stay_different() {
        let (a, b) = ("é".repeat(200) + "a", "é".repeat(200) + "b");
        let (a, b) = (escape(&a), escape(&b));
        assert!(a.len() <= NAME_MAX && b.len() <= NAME_MAX);
        assert_ne!(a, b);
        assert_eq!(escape(&"x".repeat(NAME_MAX)), "x".repeat(NAME_MAX));
    }

    #[test]
    fn only_names_with_the_form_of_an_id_are_worth_a_call() {
        for id in [
            "0b7f1c9e-3c1d-4a52-9b1e-2f0a6f4f9d11",
            "ag_abc123def456",
            "run_0123456789ab",
        ] {
            assert!(looks_like_id(id), "{id}");
            assert!(may_be_run_id(id), "{id}");
        }
        for name in [
            ".git",
            ".Trash-1000",
            ".hidden",
            "autorun.inf",
            "AUTORUN.INF",
            "HEAD",
        ] {
            assert!(is_probe(name), "{name}");
        }
        for name in [
            ".git",
            ".Trash-1000",
            ".hidden",
            "autorun.inf",
            "HEAD",
            "latest",
            "x_y",
            "test_fixtures",
        ] {
            assert!(!looks_like_id(name) && !may_be_run_id(name), "{name}");
        }
        assert!(may_be_version_prefix("0123abcd") && !may_be_version_prefix("0123abc"));
        assert!(may_be_version_prefix("ver_abcdefgh") && may_be_version_prefix("v-2026-01-02"));
        for name in [".versions.json", "node_modules", "Makefile", "package.json"] {
            assert!(!may_be_version_prefix(name), "{name}");
        }
    }
}
