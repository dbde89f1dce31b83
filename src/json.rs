//! JSON as services in JavaScript write it. Their strings are UTF-16, and one
//! that was cut inside a character ends with half of it, written as an escape
//! such as `\ud83d` (ECMA-262, `JSON.stringify`). Such text is taken as it was
//! meant: a half is shown as U+FFFD, as every terminal and browser does.

use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// What is written in the place of half a character.
const REPLACEMENT: &str = "\\ufffd";

/// Parses JSON, halves of characters or not.
///
/// # Errors
/// All that is wrong with it besides.
pub fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json).or_else(|error| match whole(json) {
        Cow::Owned(json) => serde_json::from_str(&json),
        Cow::Borrowed(_) => Err(error),
    })
}

/// The same JSON without halves of characters.
pub fn whole(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut taken, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let length = match unit(json, at) {
            Some(0xd800..0xdc00) if matches!(unit(json, at + 6), Some(0xdc00..0xe000)) => 12,
            Some(0xd800..0xe000) => {
                out.push_str(&json[taken..at]);
                out.push_str(REPLACEMENT);
                taken = at + 6;
                6
            }
            // An escape of one character, which may be a backslash.
            _ => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += length;
    }
    match taken {
        0 => json.into(),
        _ => (out + &json[taken..]).into(),
    }
}

/// The UTF-16 unit whose escape stands there.
fn unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_nothing_else() {
        for (json, expected) in [
            (r#""cut \ud83d""#, "cut \u{fffd}"),
            (
                r#""\uDE00 \ud83d\ud83d\ude00\udead""#,
                "\u{fffd} \u{fffd}😀\u{fffd}",
            ),
            (r#""\\ud83d \ud83d\\ude00""#, "\\ud83d \u{fffd}\\ude00"),
            (r#""\ud83d\n\"\u00e9""#, "\u{fffd}\n\"é"),
            (r#""é\ud83dé""#, "é\u{fffd}é"),
        ] {
            assert_eq!(parse::<String>(json).unwrap(), expected, "{json}");
        }
        let fine = r#""\ud83d\ude00 \\ud83d \u0041""#;
        assert!(matches!(whole(fine), Cow::Borrowed(_)));
        for broken in [
            "\"\\",
            "\"\\u",
            "\"\\ud83d",
            "\"\\ud8\u{e9}",
            "\\é",
            "{\"a\": \\ud83d}",
        ] {
            assert!(parse::<String>(broken).is_err(), "{broken}");
        }
    }
}
