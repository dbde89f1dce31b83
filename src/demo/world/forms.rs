//! How the service writes ids and times.

use crate::demo::digest::sha256_hex;
use jiff::{SignedDuration, Timestamp};

/// The UUID that follows from `seed`.
pub fn uuid(seed: &str) -> String {
    let hex = sha256_hex(seed);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// `at` plus so many milliseconds.
pub(crate) fn after(at: Timestamp, milliseconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(milliseconds))
        .unwrap_or(at)
}

/// A time as JavaScript's `toISOString` writes it.
pub(crate) fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}
