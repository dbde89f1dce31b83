//! Live runs: which processes follow them, when the service is asked for them, and
//! what the streams of their events tell.
//!
//! [`Live`] owns what is known of that. [`schedule`] decides when to ask, [`stream`]
//! and [`rows`] do it.

mod owner;
mod rows;
mod runs;
mod schedule;
mod stream;
mod watch;

pub(super) use owner::Live;
pub(super) use rows::conclude;
pub(super) use schedule::{Event, Show};

#[cfg(test)]
mod tests;
