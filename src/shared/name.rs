//! What an object of the shared cache is: its kind, and what tells it from others of
//! that kind.

/// The name of an object. Only a hash of it under the cache's key leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// The object of a `kind` that these parts tell apart. All that the object depends
    /// on belongs into them, the version of its format too: an object never changes.
    pub fn new(kind: &str, parts: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for part in [kind].iter().chain(parts) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
