//! The pauses between two fetches for a live run.

use std::time::Duration;

/// How long the rows of a live run are shown without asking again: long enough for
/// the `stat`, `open`, `read` of one command to agree, short enough that a process
/// which follows the log sees a new line within two seconds.
pub(crate) const LIVE_TTL: Duration = Duration::from_secs(2);
/// The longest that they are shown where asking brings nothing new and no stream tells
/// when to ask.
pub(super) const QUIET_TTL: Duration = Duration::from_secs(10);
/// A process that reads again within this time follows the run, and stops following
/// when it has not read for so long.
pub(super) const FOLLOWING: Duration = Duration::from_secs(10);
