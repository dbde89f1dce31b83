//! What a listing tells of an object, and sums of objects.

use jiff::Timestamp;
use std::collections::BTreeMap;

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

/// What a shared cache holds, or what was removed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    /// Adds an object of so many bytes.
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// How removing objects has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// What was removed.
    pub sum: Sum,
    /// How many are left, for each user that alone may remove them.
    pub left: BTreeMap<String, u64>,
}

impl Removed {
    /// Adds an object that is left to its owner.
    pub(super) fn leave(&mut self, owner: String) {
        *self.left.entry(owner).or_default() += 1;
    }
}
