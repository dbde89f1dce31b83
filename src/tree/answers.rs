//! Answers of the API: what is known, for how long, and what is kept on disk.

pub(super) mod breaker;
pub(super) mod failure_log;
pub(super) mod known;
pub(super) mod listing;
pub(super) mod persisted;
pub(super) mod rate_budget;
