//! What both ports and the live runs share.

use super::{limits::Limits, world::World};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The world, and what the server keeps beside it.
pub(crate) struct ServerState {
    world: Mutex<World>,
    limits: Limits,
    key: String,
    store_url: String,
}

impl ServerState {
    pub(crate) fn new(world: World, key: String, store_url: String) -> Self {
        Self {
            world: Mutex::new(world),
            limits: Limits::default(),
            key,
            store_url,
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A test that panics while it holds the world has failed already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests counted so far, for the rate limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The key that signs presigned URLs.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The object store's base URL.
    pub(crate) fn store_url(&self) -> &str {
        &self.store_url
    }
}
