//! What everything costs: requests counted, none of them timed.

mod folders;
mod listings;
mod versions;

use crate::support::Bench;
use crate::support::fake::{Port, Recorded};

/// The lines of all requests to the API so far, sorted; and forgets them.
fn calls(bench: &Bench) -> Vec<String> {
    let mut lines: Vec<String> = bench.api_calls().iter().map(Recorded::line).collect();
    lines.sort();
    bench.server.clear_requests();
    lines
}

/// How many requests have reached the object store.
fn downloads(bench: &Bench) -> usize {
    bench.server.requests_to(Port::Store, "").len()
}
