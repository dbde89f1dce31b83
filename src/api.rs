//! The client of the VM0 API: one method an endpoint. Methods block, for workers
//! that may wait, and return the raw JSON with what vm0fs understands of it;
//! paging, redirects and retries are done inside.
//!
//! Each method costs at least one of the 5,000 reads that the service allows an
//! hour; lists and logs cost one for each 100 rows. A request that starts or
//! cancels a run costs one of 500 writes, and is not sent again if the service may
//! have received it.

mod body;
mod call;
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
mod sse;
mod token;
mod transport;
pub mod types;

pub use self::{
    client::Client,
    config::ClientConfig,
    counters::{Calls, RateLimit},
    events::{EventStream, RunEvent},
    logs::{LogPosition, LogReader},
    token::{Token, begins_as_token, hide_secret, hide_tokens},
};

#[cfg(test)]
mod tests;
