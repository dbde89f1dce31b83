//! The key of a shared cache, which a fleet has in a file, or a machine from its token.

use crate::{
    error::{Error, Result},
    text::unmarked_text,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;

/// 32 random bytes, from which all other keys are derived. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey(pub(super) [u8; 32]);

impl SharedKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system has no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; 32];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| Error::Internal("the system gives no random bytes".into()))?;
        Ok(Self(bytes))
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`Error::Setup`] where it is not 32 bytes in base64. The message never shows it.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(unmarked_text(text.trim()).trim()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| Error::Setup("not a key of 32 bytes in base64".into()))
    }

    /// The text of a key file.
    pub fn to_text(&self) -> String {
        STANDARD.encode(self.0) + "\n"
    }
}

impl From<[u8; 32]> for SharedKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey([redacted])")
    }
}
