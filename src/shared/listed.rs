//! What a listing tells of an object.

use jiff::Timestamp;

/// An object of the shared cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its address in hexadecimal.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub written: Timestamp,
}
