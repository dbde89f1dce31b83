//! A cache whose entries have a lifetime: answers by key, each fresh, failed lately, or
//! outdated. It is bounded in number and in weight, and evicts the least recently
//! used entries first.

use crate::{error::Error, sync::Mutex};
use lru::LruCache;
use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// The lifetime of an answer that can no longer change.
pub(crate) const FOR_EVER: Duration = Duration::MAX;

/// Whether an answer with this much of its lifetime left can no longer change.
pub(crate) fn for_good(left: Duration) -> bool {
    left > FOR_EVER / 2
}

/// What a request finds under a key.
#[derive(Debug)]
pub(crate) enum Lookup<T> {
    /// A fresh answer, and how much of its lifetime is left.
    Fresh(Arc<T>, Duration),
    /// The last fetch failed a moment ago; another one so soon would not help.
    Failed(Error),
    /// No answer, or none that is fresh.
    Missing,
}

struct Slot<T> {
    value: Option<Known<T>>,
    /// The last failure, when it was, and for how long no fetch follows it.
    failure: Option<(Error, Instant, Duration)>,
}

impl<T> Slot<T> {
    fn weight(&self) -> usize {
        self.value.as_ref().map_or(0, |known| known.weight)
    }
}

struct Known<T> {
    value: Arc<T>,
    /// When the fetch that brought it began: what it says is at least as new.
    asked: Instant,
    fresh_for: Duration,
    weight: usize,
}

struct Inner<K: Hash + Eq, T> {
    slots: LruCache<K, Slot<T>>,
    weight: usize,
    answers: u64,
}

/// Answers by key.
pub(crate) struct Cache<K: Hash + Eq, T> {
    inner: Mutex<Inner<K, T>>,
    /// The most entries and the most weight.
    bounds: (usize, usize),
    /// Held while the next answer is made of the last one, which two fetches may do
    /// at once: taken before `inner`.
    changing: Mutex<()>,
}

impl<K: Hash + Eq + Clone, T> Cache<K, T> {
    /// An empty cache for this many entries and this much weight (bytes, roughly)
    /// in all. It always keeps one entry, however heavy.
    pub(crate) fn new(bounds: (usize, usize)) -> Self {
        let inner = Inner {
            slots: LruCache::unbounded(),
            weight: 0,
            answers: 0,
        };
        Self {
            inner: Mutex::new(inner),
            bounds,
            changing: Mutex::default(),
        }
    }

    /// What a request that arrived at `since` may use: an answer within its
    /// lifetime, or one asked for after the request arrived.
    pub(crate) fn get(&self, key: &K, since: Instant) -> Lookup<T> {
        let mut inner = self.inner.lock();
        let Some(slot) = inner.slots.get(key) else {
            return Lookup::Missing;
        };
        if let Some(known) = &slot.value {
            let left = known.fresh_for.saturating_sub(known.asked.elapsed());
            if !left.is_zero() || known.asked >= since {
                return Lookup::Fresh(known.value.clone(), left);
            }
        }
        match &slot.failure {
            Some((error, at, lasts)) if *at >= since || at.elapsed() < *lasts => {
                Lookup::Failed(error.clone())
            }
            _ => Lookup::Missing,
        }
    }

    /// The last answer, however old, and when it was asked for.
    pub(crate) fn last(&self, key: &K) -> Option<(Arc<T>, Instant)> {
        let inner = self.inner.lock();
        let known = inner.slots.peek(key)?.value.as_ref()?;
        Some((known.value.clone(), known.asked))
    }

    /// The answer, if it is one that cannot change any more.
    pub(crate) fn last_for_good(&self, key: &K) -> Option<Arc<T>> {
        let inner = self.inner.lock();
        let known = inner.slots.peek(key)?.value.as_ref()?;
        (known.fresh_for == FOR_EVER).then(|| known.value.clone())
    }

    /// The last failure, if no answer came after it.
    pub(crate) fn last_failure(&self, key: &K) -> Option<Error> {
        let inner = self.inner.lock();
        Some(inner.slots.peek(key)?.failure.as_ref()?.0.clone())
    }

    /// How many answers have been put so far. While the number stays the same, so
    /// does everything that was made of the answers.
    pub(crate) fn answers(&self) -> u64 {
        self.inner.lock().answers
    }

    /// Puts an answer that was asked for at `asked` and is fresh for `fresh_for`,
    /// unless the cache has one that was asked for later.
    pub(crate) fn put(
        &self,
        key: K,
        value: impl Into<Arc<T>>,
        asked: Instant,
        fresh_for: Duration,
        weight: usize,
    ) {
        if self.last(&key).is_some_and(|(_, last)| last > asked) {
            return;
        }
        let known = Known {
            value: value.into(),
            asked,
            fresh_for,
            weight,
        };
        let (value, failure) = (Some(known), None);
        self.store(key, Slot { value, failure });
    }

    /// Puts an answer that `make` makes of the last one, with its weight.
    pub(crate) fn merge(
        &self,
        key: K,
        asked: Instant,
        fresh_for: Duration,
        make: impl FnOnce(Option<&T>) -> (T, usize),
    ) {
        let _changing = self.changing.lock();
        let last = self.last(&key);
        let (value, weight) = make(last.as_ref().map(|(value, _)| &**value));
        self.put(key, value, asked, fresh_for, weight);
    }

    /// Notes that a fetch failed at `asked`, and that none is to follow for `lasts`.
    /// An older answer stays.
    pub(crate) fn fail(&self, key: &K, error: Error, asked: Instant, lasts: Duration) {
        let failure = Some((error, asked, lasts));
        if let Some(slot) = self.inner.lock().slots.get_mut(key) {
            slot.failure = failure;
            return;
        }
        let value = None;
        self.store(key.clone(), Slot { value, failure });
    }

    /// Changes an answer without making it fresher.
    pub(crate) fn amend(&self, key: &K, change: impl FnOnce(&T) -> T) {
        let _changing = self.changing.lock();
        let Some((value, _)) = self.last(key) else {
            return;
        };
        let changed = Arc::new(change(&value));
        if let Some(slot) = self.inner.lock().slots.get_mut(key)
            && let Some(known) = &mut slot.value
            // Another answer that has come meanwhile is newer.
            && Arc::ptr_eq(&known.value, &value)
        {
            known.value = changed;
        }
    }

    /// Ends the lifetime of an answer that is older than `min_age` and was asked
    /// for before `since`, so that the next request has it fetched again.
    pub(crate) fn expire(&self, key: &K, since: Instant, min_age: Duration) {
        if let Some(slot) = self.inner.lock().slots.get_mut(key)
            && let Some(known) = &mut slot.value
            && known.asked < since
            && known.asked.elapsed() >= min_age
        {
            known.fresh_for = Duration::ZERO;
        }
    }

    /// The key of the most recently used answer, however old, that `found` accepts.
    pub(crate) fn find(&self, found: impl Fn(&K, &T) -> bool) -> Option<K> {
        let inner = self.inner.lock();
        let mut slots = inner.slots.iter();
        let is_found = |(key, slot): &(&K, &Slot<T>)| {
            let known = slot.value.as_ref();
            known.is_some_and(|known| found(key, &known.value))
        };
        slots.find(is_found).map(|(key, _)| key.clone())
    }

    /// Forgets three quarters of the weight, what was not used for longest first.
    pub(crate) fn shed(&self) {
        let mut inner = self.inner.lock();
        let kept = inner.weight / 4;
        let mut gone = Vec::new();
        while inner.slots.len() > 1 && inner.weight > kept {
            let Some((_, slot)) = inner.slots.pop_lru() else {
                break;
            };
            inner.weight -= slot.weight();
            gone.push(slot);
        }
        // What is heavy is freed outside of the lock.
        drop(inner);
    }

    fn store(&self, key: K, slot: Slot<T>) {
        let mut inner = self.inner.lock();
        inner.answers += u64::from(slot.value.is_some());
        inner.weight += slot.weight();
        let replaced = inner.slots.put(key, slot);
        inner.weight -= replaced.map_or(0, |slot| slot.weight());
        let (most, heaviest) = self.bounds;
        while inner.slots.len() > 1 && (inner.slots.len() > most || inner.weight > heaviest) {
            let gone = inner.slots.pop_lru();
            inner.weight -= gone.map_or(0, |(_, slot)| slot.weight());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn fresh(lookup: Lookup<u32>) -> Option<u32> {
        match lookup {
            Lookup::Fresh(value, _) => Some(*value),
            _ => None,
        }
    }

    #[test]
    fn an_answer_asked_for_after_the_request_is_fresh_for_it() {
        let cache = Cache::new((10, 1000));
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        cache.put("a", 1, Instant::now(), Duration::ZERO, 1);
        assert_eq!(fresh(cache.get(&"a", before)), Some(1));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(fresh(cache.get(&"a", Instant::now())), None);
        assert_eq!(cache.last(&"a").map(|(value, _)| *value), Some(1));
        cache.put("a", 2, Instant::now(), FOR_EVER, 1);
        assert_eq!(fresh(cache.get(&"a", Instant::now())), Some(2));
    }

    #[test]
    fn a_failure_lasts_and_keeps_the_old_answer() {
        let cache = Cache::new((10, 1000));
        cache.put("a", 1, Instant::now(), Duration::ZERO, 1);
        std::thread::sleep(Duration::from_millis(2));
        let error = Error::NotFound("a".into());
        cache.fail(&"a", error.clone(), Instant::now(), HOUR);
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(cache.get(&"a", Instant::now()), Lookup::Failed(_)));
        assert!(cache.last(&"a").is_some() && cache.last_failure(&"a").is_some());
        cache.fail(&"a", error, Instant::now(), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(cache.get(&"a", Instant::now()), Lookup::Missing));
        cache.put("a", 2, Instant::now(), HOUR, 1);
        assert!(cache.last_failure(&"a").is_none());
    }

    #[test]
    fn the_cache_is_bounded_in_number_and_weight() {
        let cache = Cache::new((3, 100));
        for key in 0..10 {
            cache.put(key, key, Instant::now(), HOUR, 1);
        }
        let kept: Vec<u32> = (0..10).filter(|key| cache.last(key).is_some()).collect();
        assert_eq!(kept, [7, 8, 9]);
        cache.put(7, 7, Instant::now(), HOUR, 90);
        cache.put(8, 8, Instant::now(), HOUR, 90);
        let kept: Vec<u32> = (0..10).filter(|key| cache.last(key).is_some()).collect();
        assert_eq!(kept, [8]);
        cache.fail(&8, Error::Stale, Instant::now(), HOUR);
        cache.put(9, 9, Instant::now(), HOUR, 10);
        let kept: Vec<u32> = (0..10).filter(|key| cache.last(key).is_some()).collect();
        assert_eq!(
            kept,
            [8, 9],
            "a failure does not count the kept answer twice"
        );
    }
}
