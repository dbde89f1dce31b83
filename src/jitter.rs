//! Randomness for pauses: many clients that have met the same failure are not to try
//! again in step.

use std::hash::{BuildHasher, RandomState};

/// A random number from 0 up to 1.
pub(crate) fn random() -> f64 {
    // A fresh hasher's keys are random; that is all the randomness jitter needs.
    (RandomState::new().hash_one(0) % 1000) as f64 / 1000.0
}
