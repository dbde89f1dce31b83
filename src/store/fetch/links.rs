//! The presigned URLs of versions that are read in parts: each costs a call of the API.

use super::request::FetchRequest;
use crate::store::key::VersionKey;
use crate::{error::Result, sync::Mutex};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};
use url::Url;

/// How long a link is used: the service's are good for an hour.
const AGE: Duration = Duration::from_secs(50 * 60);

/// The newest links.
pub(super) struct Links(Mutex<LruCache<VersionKey, (Url, Instant)>>);

impl Links {
    /// Of so many versions.
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    /// Gives the link of a version that is known, and asks for another where that is
    /// refused.
    pub(super) fn of<'r>(
        &'r self,
        request: &'r FetchRequest<'_>,
    ) -> impl Fn() -> Result<Url> + Sync + 'r {
        let mut links = self.0.lock();
        let known = links.get(&request.key);
        let known = known.filter(|(_, since)| since.elapsed() < AGE);
        let known = Mutex::new(known.map(|(url, _)| url.clone()));
        drop(links);
        move || {
            if let Some(url) = known.lock().take() {
                return Ok(url);
            }
            let url = (request.url)()?;
            let value = (url.clone(), Instant::now());
            self.0.lock().put(request.key.clone(), value);
            Ok(url)
        }
    }
}
