//! The pauses between two fetches for a live run.

use std::time::Duration;

/// The longest that the rows of a live run are shown without asking again, where asking
/// brings nothing new and no stream tells when to ask.
pub(super) const QUIET_TTL: Duration = Duration::from_secs(10);
/// A process that reads again within this time follows the run, and stops following
/// when it has not read for so long.
pub(super) const FOLLOWING: Duration = Duration::from_secs(10);
