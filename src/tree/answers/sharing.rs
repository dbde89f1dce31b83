//! The answers that the fleet shares: those that can no longer change.

use crate::shared::{MOST, Name, SharedCache};
use std::sync::Arc;

/// The kind of shared answers. The number is raised when they are written in another
/// way.
const KIND: &str = "answer 1";

/// The fleet's shared cache, where there is one.
pub(crate) struct Sharing {
    cache: Option<Arc<SharedCache>>,
    /// The API's: a fleet may use several.
    origin: String,
}

impl Sharing {
    pub(crate) fn new(cache: Option<Arc<SharedCache>>, origin: &str) -> Self {
        let origin = origin.to_owned();
        Self { cache, origin }
    }

    /// An answer that another machine has shared. Waits for the network, shortly.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let cache = self.cache.as_ref()?;
        cache.get(&Name::new(KIND, &[&self.origin, name]), MOST)
    }

    /// Notes that the answer which another machine has shared is none.
    pub(super) fn give_up(&self, name: &str) {
        if let Some(cache) = &self.cache {
            cache.give_up(&Name::new(KIND, &[&self.origin, name]));
        }
    }

    /// Shares an answer, in the background.
    pub(super) fn put(&self, name: &str, content: Vec<u8>) {
        if let Some(cache) = &self.cache {
            cache.put_later(Name::new(KIND, &[&self.origin, name]), content);
        }
    }
}
