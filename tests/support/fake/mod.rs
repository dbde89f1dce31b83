//! The fake service: the demo's server with faults on its wire and a journal of
//! its requests, and the demo's worlds.
//!
//! Three crates compile this: the integration tests, the library's own tests
//! (`crate::fake`) and `scripts/bench-server.rs`. The program has none of it.

#![allow(dead_code)] // Each of the three uses a part.

mod body;
mod fault;
mod journal;
mod wire;

pub(crate) use fault::{Action, Fault};
pub(crate) use journal::Recorded;
#[allow(unused_imports)]
pub(crate) use vm0fs::demo::*;

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use vm0fs::{demo, error::Result};
use wire::Wire;

/// How often [`Server::wait_for`] checks.
const POLL: Duration = Duration::from_millis(5);

/// The demo's server, whose requests are recorded and can meet faults.
/// Dropping it stops it at once, also while it answers.
#[derive(Debug)]
pub(crate) struct Server {
    server: demo::Server,
    wire: Arc<Wire>,
}

impl Deref for Server {
    type Target = demo::Server;

    fn deref(&self) -> &demo::Server {
        &self.server
    }
}

impl Server {
    /// Serves `world` on two free ports of 127.0.0.1.
    pub(crate) fn start(world: World) -> Result<Self> {
        Self::start_on(world, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Serves `world` with the API on `address`, and the object store on a
    /// free port of the same IP address.
    pub(crate) fn start_on(world: World, address: SocketAddr) -> Result<Self> {
        let wire = Arc::new(Wire::default());
        let server = demo::Server::start_with(world, address, |port, listener, router| {
            wire::serve(&wire, port, listener, router);
        })?;
        Ok(Self { server, wire })
    }

    /// Every request on both ports since the start or the last clearing.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.wire.journal.snapshot()
    }

    /// The requests on one port whose path begins with `prefix`.
    pub(crate) fn requests_to(&self, port: Port, prefix: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.port == port && request.path.starts_with(prefix));
        requests
    }

    /// Waits until `wanted` is true of the requests; gives false if it is not within
    /// `limit`.
    pub(crate) fn wait_for(&self, limit: Duration, wanted: impl Fn(&[Recorded]) -> bool) -> bool {
        let start = Instant::now();
        while !wanted(&self.requests()) {
            if start.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_requests(&self) {
        self.wire.journal.clear();
    }

    /// Puts a fault on the wire.
    pub(crate) fn fault(&self, fault: Fault) {
        self.wire.faults.add(fault);
    }

    /// Removes all faults; answers that one already affects stay so.
    pub(crate) fn clear_faults(&self) {
        self.wire.faults.clear();
    }
}
