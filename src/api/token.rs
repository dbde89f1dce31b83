//! The API token, which is never shown.

use crate::{
    error::{Error, Result},
    text::unmarked_text,
};
use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// Maximum length in bytes, longer than any token of the service. A user who names
/// another file by mistake gets an error, and the file is not sent.
const MAX_TOKEN: usize = 8 * 1024;

/// Stands for a token in a text.
const HIDDEN: &str = "[token]";

/// What all tokens of the service begin with, and what follows in each kind that is known.
const MARK: &str = "vm0_";
const KINDS: [&str; 3] = ["live_", "test_", "pat_"];

/// Characters that follow [`MARK`] in a token of another kind, at least: a shorter word is a
/// name.
const SECRET: usize = 16;

/// A bearer token. Neither `Debug` nor `Display` show it.
#[derive(Clone)]
pub struct Token {
    text: String,
    source: Option<Arc<str>>,
}

/// A part of a secret is hidden before the mark of a cut if it is this long; less is no use
/// to anyone, and can be a part of other words.
const LEAST_PART: usize = 4;

/// What stands where [`crate::text::one_line`] has cut a text.
const CUT: char = '…';

impl Token {
    /// Takes a token from a user's text, without white space around it and without a
    /// byte order mark.
    ///
    /// # Errors
    /// [`Error::Setup`] if it is empty or cannot be sent in a header. The message never
    /// shows the token.
    pub fn new(text: &str) -> Result<Self> {
        let text = unmarked_text(text.trim()).trim();
        let problem = if text.is_empty() {
            "is empty"
        } else if text.len() > MAX_TOKEN {
            "is longer than 8 KiB, which no token is"
        } else if text.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
            "has white space or control characters inside; it must be one word on one line"
        } else if !text.is_ascii() {
            "has characters outside ASCII"
        } else {
            return Ok(Self {
                text: text.to_owned(),
                source: None,
            });
        };
        Err(Error::Setup(format!("the token {problem}")))
    }

    /// The same token, which `source` has named: a file, or a variable.
    pub fn from_source(self, source: &str) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// What has named it, for a message about it.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The `Authorization` header, marked as sensitive so that no library logs it.
    pub(super) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.text))
            .map_err(|_| Error::Setup("the token cannot be sent in a header".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A one-way hash, which tells accounts apart without the secret.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.derive("account")
    }

    /// A one-way hash for a purpose, from which neither the secret nor those for other
    /// purposes can be told.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        Sha256::digest(format!("vm0fs {purpose} {}", self.text)).into()
    }

    /// `text` without this token, which a server may echo.
    pub(crate) fn redact(&self, text: &str) -> String {
        hide_secret(text, &self.text, HIDDEN)
    }
}

/// `text` with `word` for a secret, also for its beginning where a line has been cut (`…`).
pub fn hide_secret(text: &str, secret: &str, word: &str) -> String {
    let text = text.replace(secret, word);
    let mut parts = text.split(CUT);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let lengths = (LEAST_PART..secret.len()).rev();
        let mut begun = lengths.filter_map(|length| secret.get(..length));
        if let Some(begun) = begun.find(|begun| out.ends_with(begun)) {
            out.truncate(out.len() - begun.len());
            out += word;
        }
        out.push(CUT);
        out += part;
    }
    out
}

/// Whether a text begins as tokens of a known kind do.
pub fn begins_as_token(text: &[u8]) -> bool {
    let rest = text.strip_prefix(MARK.as_bytes());
    rest.is_some_and(|rest| KINDS.iter().any(|kind| rest.starts_with(kind.as_bytes())))
}

/// `text` without what looks like a token, also where its end has been cut off (`…`).
pub fn hide_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, found) = rest.split_at(at);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = found.find(|c| !is_part(c)).unwrap_or(found.len());
        let (word, after) = found.split_at(end);
        let is_token = begins_as_token(word.as_bytes())
            || word.len() >= MARK.len() + SECRET
            || word.len() > MARK.len() && after.starts_with(CUT);
        out += before;
        out += if is_token { HIDDEN } else { word };
        rest = after;
    }
    out + rest
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_shown_nowhere() {
        let token = Token::new(" vm0_live_secret\n").unwrap();
        let header = token.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer vm0_live_secret");
        for shown in [
            format!("{token:?}"),
            format!("{token:#?}"),
            token.to_string(),
            format!("{header:?}"),
        ] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        let marked = Token::new("\u{feff} vm0_live_secret\r\n").unwrap();
        assert_eq!(marked.header().unwrap(), header);
        assert_eq!(token.redact("bad vm0_live_secret!"), "bad [token]!");
    }

    #[test]
    fn what_looks_like_a_token_is_hidden() {
        let token = format!("vm0_{}", "0a".repeat(32));
        for (text, shown) in [
            (
                &*format!("a {token}, Bearer {token}\nb"),
                "a [token], Bearer [token]\nb",
            ),
            ("/x/vm0_live_s-3: no", "/x/[token]: no"),
            ("vm0_pat_x vm0_test_", "[token] [token]"),
            ("vm0_x vm0fs vm0_", "vm0_x vm0fs vm0_"),
            ("vm0_oth… vm0_…", "[token]… vm0_…"),
        ] {
            assert_eq!(hide_tokens(text), shown);
        }
    }

    #[test]
    fn a_text_that_cannot_be_a_token_is_refused() {
        for (text, word) in [
            ("", "empty"),
            (" \n", "empty"),
            ("a b", "white space"),
            ("a\nb", "white space"),
            ("a\u{7f}b", "control"),
            ("tökén", "ASCII"),
            (&"x".repeat(MAX_TOKEN + 1), "longer"),
        ] {
            let message = Token::new(text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
