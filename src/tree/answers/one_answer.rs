//! What is done with the answers of all resources.

use super::{
    persisted::Persisted,
    resource::{Ask, Fetch, Resource},
    value::Value,
};
use crate::{
    error::{Error, Result},
    tree::cache::{Cache, FOR_EVER, Lookup},
};
use std::time::{Duration, Instant};

/// The answer of a resource under a key.
pub(super) struct OneAnswer<'a, R: Resource> {
    pub(super) cache: &'a Cache<R::Key, R::Value>,
    pub(super) persisted: &'a Persisted,
    pub(super) key: &'a R::Key,
}

/// The same without the resource's type.
pub(crate) trait AnyAnswer {
    /// Whether it needs no fetch for a request that arrived at `since`: it is fresh,
    /// for good on disk, or a fetch failed a moment ago.
    fn is_settled(&self, since: Instant) -> bool;
    /// Why the last fetch failed, if no answer came after it.
    fn last_failure(&self) -> Option<Error>;
    /// Notes that a fetch has failed, and that none is to follow for `lasts`.
    fn fail(&self, error: &Error, lasts: Duration);
    /// Asks the service, and keeps the answer in memory and on disk.
    ///
    /// # Errors
    /// What the call fails with.
    fn fetch(&self, fetch: &Fetch<'_>) -> Result<()>;
    /// Reads the last answer from disk where memory has none, to be shown while the
    /// service cannot be reached.
    fn recall_last(&self);
    /// Writes the answer to disk, unless it may change and was written a moment ago.
    fn persist(&self);
}

impl<R: Resource> OneAnswer<'_, R> {
    fn recall(&self, asked: Instant, fresh_for: Duration) -> bool {
        let content = self.persisted.store.get(&R::stored_name(self.key));
        let value = content.and_then(|content| R::Value::decode(&content, asked));
        let Some(value) = value else {
            return false;
        };
        let weight = value.weight();
        self.cache
            .put(self.key.clone(), value, asked, fresh_for, weight);
        tracing::debug!("{} comes from the cache", R::title(self.key));
        true
    }
}

impl<R: Resource> AnyAnswer for OneAnswer<'_, R> {
    fn is_settled(&self, since: Instant) -> bool {
        !matches!(self.cache.get(self.key, since), Lookup::Missing)
            || R::STORES_FINAL_ONLY && self.recall(Instant::now(), FOR_EVER)
    }

    fn last_failure(&self) -> Option<Error> {
        self.cache.last_failure(self.key)
    }

    fn fail(&self, error: &Error, lasts: Duration) {
        self.cache
            .fail(self.key.clone(), error.clone(), Instant::now(), lasts);
    }

    fn fetch(&self, fetch: &Fetch<'_>) -> Result<()> {
        if R::CONTINUES {
            // What an earlier mount has fetched need not be fetched again.
            self.recall_last();
        }
        let asked = Instant::now();
        let ask = Ask {
            fetch,
            api: fetch.service.api(),
            progress: fetch.progress,
            asked,
            earlier: self.cache.last(self.key).map(|(value, _)| value),
        };
        let fetched = R::fetch(self.key, &ask)?;
        // Before the answer is seen: a process that sees it may read the lists next.
        if let Some((artifact, version)) = R::stored_version(&fetched.value) {
            (fetch.expect_version)(artifact, version);
        }
        let (key, lasts) = (self.key.clone(), fetched.fresh_for);
        if R::MERGES {
            let make = |earlier: Option<&R::Value>| {
                let value = match earlier {
                    Some(earlier) => R::merge(fetched.value, earlier),
                    None => fetched.value,
                };
                let weight = value.weight();
                (value, weight)
            };
            self.cache.merge(key, asked, lasts, make);
        } else {
            let weight = fetched.value.weight();
            self.cache.put(key, fetched.value, asked, lasts, weight);
        }
        self.persist();
        Ok(())
    }

    fn recall_last(&self) {
        if !R::STORES_FINAL_ONLY && self.cache.last(self.key).is_none() {
            self.recall(self.persisted.long_ago(), Duration::ZERO);
        }
    }

    fn persist(&self) {
        let name = R::stored_name(self.key);
        let value = match R::STORES_FINAL_ONLY {
            true => self.cache.last_for_good(self.key),
            false if !self.persisted.is_due(&name) => None,
            false => self.cache.last(self.key).map(|(value, _)| value),
        };
        if let Some(content) = value.and_then(|value| value.encode()) {
            self.persisted.store.put(&name, &content);
        }
    }
}
