//! The service's client: one method an endpoint, blocking, made for workers
//! that may wait. Answers come with their raw JSON; paging, redirects and
//! retries are settled inside.
//!
//! Each method costs at least one of the 5,000 reads that the service allows
//! an hour; lists and logs cost one for each 100 rows. What starts or cancels a
//! run costs one of 500 writes, and is not sent again where it may have been
//! received.

mod body;
mod client;
mod clock;
mod config;
mod counters;
mod dialect;
mod error_body;
mod events;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod logs;
mod paging;
mod redaction;
mod request;
mod runs;
pub mod sse;
mod token;
mod transport;
pub mod types;

pub use self::{
    client::Client,
    config::ClientConfig,
    counters::{Calls, RateLimit},
    events::{EventStream, RunEvent},
    logs::LogReader,
    runs::{KnownRuns, RunFilter},
    token::Token,
};

#[cfg(test)]
mod tests;
