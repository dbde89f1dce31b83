//! The embedded demo server: the VM0 API v1 with its quirks and a presigned
//! object store, as real HTTP on loopback.
//!
//! `vm0fs demo` serves [`World::demo`]; the tests serve worlds of their own and
//! change them while the server runs. Faults and the journal of requests belong to
//! the tests (`tests/support/fake`), which wrap this server by
//! [`Server::start_with`]. This module uses nothing of the client, so that neither
//! can hide a mistake of the other.

mod api;
mod archive;
mod digest;
mod events;
mod limits;
mod live;
mod objects;
mod reply;
mod runs;
mod scenario;
mod session;
mod state;
mod story;
mod world;

pub use archive::{File, Maker, version_id};
pub use session::{Claude, Codex, Events, Session, lifecycle};
pub use world::{
    Agent, AgentVersion, Kind, LogRow, Pace, Quirks, Run, Sample, Storage, Version, VersionSpec,
    World, is_terminal, uuid,
};

use crate::error::{Error, Result};
use axum::{Router, serve::ListenerExt};
use digest::sha256_hex;
use state::ServerState;
use std::{
    fmt,
    future::IntoFuture,
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Which of the server's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The API.
    Api,
    /// The object store behind the presigned URLs.
    Store,
}

/// A running server. Dropping it stops it at once, also while it answers.
pub struct Server {
    /// Present until the drop.
    runtime: Option<Runtime>,
    state: Arc<ServerState>,
    address: SocketAddr,
    token: String,
}

/// How long a drop waits for an archive that is being packed; everything else
/// ends without waiting.
const PACKING: Duration = Duration::from_millis(200);

/// Threads of the server: two are enough, since it mostly waits, and leave the
/// cores to the code under test.
const WORKERS: usize = 2;

impl Server {
    /// Serves `world` on two free ports of 127.0.0.1.
    ///
    /// # Errors
    /// Where no port can be bound or no thread started.
    pub fn start(world: World) -> Result<Self> {
        Self::start_on(world, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Serves `world` with the API on `address`, and the object store on a
    /// free port of the same IP address.
    ///
    /// # Errors
    /// Where a port cannot be bound or no thread started.
    pub fn start_on(world: World, address: SocketAddr) -> Result<Self> {
        Self::start_with(world, address, |_, listener, routes| {
            // Nagle's algorithm would delay small answers by 40 ms.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            tokio::spawn(axum::serve(listener, routes).into_future());
        })
    }

    /// Serves `world` as [`Server::start_on`] does, with the caller's own way to
    /// serve: the server calls `serve` once for each port, inside its runtime, and
    /// `serve` starts a task that answers requests by the routes.
    ///
    /// # Errors
    /// Where a port cannot be bound or no thread started.
    pub fn start_with(
        mut world: World,
        address: SocketAddr,
        serve: impl Fn(Port, tokio::net::TcpListener, Router),
    ) -> Result<Self> {
        let (api, address) = bind(address)?;
        let (store, store_address) = bind(SocketAddr::new(address.ip(), 0))?;
        let token = world
            .token
            .get_or_insert_with(|| format!("vm0_test_{}", secret()))
            .clone();
        let live = world.live.clone();
        let state = Arc::new(ServerState::new(world, secret(), url(store_address)));
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("vm0fs-demo")
            .enable_all()
            .build()
            .map_err(|error| Error::io("starting the demo server's threads", error))?;
        {
            let _inside = runtime.enter();
            let listener = |listener| {
                tokio::net::TcpListener::from_std(listener)
                    .map_err(|error| Error::io("starting the demo server", error))
            };
            let (api, store) = (listener(api)?, listener(store)?);
            serve(Port::Api, api, api::router(Arc::clone(&state)));
            serve(Port::Store, store, api::store_router(Arc::clone(&state)));
            for id in live {
                tokio::spawn(live::keep_logging(Arc::clone(&state), id));
            }
        }
        Ok(Self {
            runtime: Some(runtime),
            state,
            address,
            token,
        })
    }

    /// The API's base URL, without a slash at its end.
    pub fn api_url(&self) -> String {
        url(self.address)
    }

    /// The object store's base URL.
    pub fn store_url(&self) -> String {
        self.state.store_url().into()
    }

    /// The token that the API accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The world, to read and to change. Requests wait while the caller holds it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token, not even here.
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PACKING);
        }
    }
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|error: io::Error| Error::io(format!("listening on {address}"), error))
}

fn url(address: SocketAddr) -> String {
    // A server that listens on every address is reached by loopback.
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

/// 64 hex characters that cannot be guessed: the standard library seeds a
/// process's first hasher from the system's random source.
fn secret() -> String {
    let numbers: Vec<u64> = (0..4u64).map(|n| RandomState::new().hash_one(n)).collect();
    sha256_hex(format!("{numbers:?}{:?}", std::time::Instant::now()))
}

#[cfg(test)]
mod tests;
