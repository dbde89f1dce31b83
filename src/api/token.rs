//! The secret that opens the API: opaque, and never shown.

use crate::{
    error::{Error, Result},
    text::unmarked_text,
};
use reqwest::header::HeaderValue;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Longer than any token the service has given out; a whole file that was
/// named by mistake is refused rather than sent.
const MAX_TOKEN: usize = 8 * 1024;

/// A bearer token. Neither `Debug` nor `Display` show it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a token as a user has it: white space around it is dropped, and what
    /// editors put before a text.
    ///
    /// # Errors
    /// [`Error::Setup`] where it is empty or holds what no header may hold.
    /// The message never repeats the token.
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
            return Ok(Self(text.to_owned()));
        };
        Err(Error::Setup(format!("the token {problem}")))
    }

    /// The `Authorization` header, marked so that nothing below logs it.
    pub(super) fn header(&self) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0))
            .map_err(|_| Error::Setup("the token cannot be sent in a header".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Tells accounts apart without holding the secret: a hash, one way.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(format!("vm0fs account {}", self.0)).into()
    }

    /// `text` with this token blotted out, should a server echo it.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "[token]")
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
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
    fn shown_nowhere() {
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
    fn refused() {
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
