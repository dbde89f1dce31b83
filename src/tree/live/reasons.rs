//! Why runs have failed, as far as their streams have told: at once, while the
//! service's own record of a run may still lack it.

use crate::{sync::Mutex, tree::Tree};
use lru::LruCache;
use std::{num::NonZeroUsize, sync::Arc};

/// Runs remembered: far more than are followed at a time.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The reasons, by runs.
pub(in crate::tree) struct Reasons(Mutex<LruCache<Arc<str>, Arc<str>>>);

impl Default for Reasons {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Reasons {
    /// Notes what a run's stream has told.
    pub(in crate::tree) fn note(&self, id: &Arc<str>, reason: String) {
        self.0.lock().put(id.clone(), reason.into());
    }

    /// What it has told.
    pub(in crate::tree) fn get(&self, id: &str) -> Option<Arc<str>> {
        self.0.lock().peek(id).cloned()
    }
}

impl Tree {
    /// Why a run has failed, as far as it is known without asking: what the run
    /// itself says, else what its stream has told.
    pub fn why_failed(&self, id: &str) -> Option<Arc<str>> {
        let own = self.known.run.last(&id.into());
        let own = own.and_then(|(row, _)| row.value.error.as_deref().map(Arc::from));
        own.filter(|error: &Arc<str>| !error.is_empty())
            .or_else(|| self.reasons.get(id))
    }
}
