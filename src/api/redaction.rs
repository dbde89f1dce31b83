//! Keeps the secrets of a request out of messages.

use serde_json::Value;

/// Replaces a secret.
const HIDDEN: &str = "[secret]";

/// Texts that no message may show.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Every text below `value` that is not empty.
    pub(super) fn of(value: &Value) -> Self {
        let mut texts = Vec::new();
        collect(value, &mut texts);
        // The longest first, since one may be a part of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        Self(texts)
    }

    /// `text` without the secrets, which a server may echo.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        // One pass, so that the replacements are not searched.
        while let Some(character) = rest.chars().next() {
            match self.0.iter().find(|secret| rest.starts_with(&***secret)) {
                Some(secret) => {
                    shown.push_str(HIDDEN);
                    rest = &rest[secret.len()..];
                }
                None => {
                    shown.push(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
        shown
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => {
            // A server may repeat the body as it came.
            let escaped = value.to_string();
            let escaped = &escaped[1..escaped.len() - 1];
            if escaped != text {
                texts.push(escaped.to_owned());
            }
            texts.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(values) => values.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_replaced_also_as_json_escapes_them() {
        let secrets = Secrets::of(&json!({
            "A": "abc", "B": "abcdef", "C": "", "D": 7, "E": ["line\n\"2\""], "F": "secret", "G": "é",
        }));
        for (text, expected) in [
            ("", ""),
            ("nothing", "nothing"),
            ("xabcdefabcx", "x[secret][secret]x"),
            ("ababc", "ab[secret]"),
            ("line\n\"2\"", "[secret]"),
            (r#"{"E":"line\n\"2\""}"#, r#"{"E":"[secret]"}"#),
            ("secrets: 7 éè", "[secret]s: 7 [secret]è"),
        ] {
            assert_eq!(secrets.redact(text), expected);
        }
        assert_eq!(Secrets::default().redact("é x"), "é x");
    }
}
