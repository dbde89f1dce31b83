//! The presigned URLs of versions that are read in parts: each costs a call of the API.

use super::{request::FetchRequest, turns::Turns};
use crate::store::key::VersionKey;
use crate::{error::Result, progress::Progress, sync::Mutex};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};
use url::Url;

/// How long a link is used: the service's are good for an hour.
const AGE: Duration = Duration::from_secs(50 * 60);

/// The newest links. One thread at a time asks for that of a version.
pub(super) struct Links {
    newest: Mutex<LruCache<VersionKey, (Url, Instant)>>,
    turns: Turns,
}

impl Links {
    /// Of so many versions.
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self {
            newest: Mutex::new(LruCache::new(most)),
            turns: Turns::default(),
        }
    }

    /// Gives the newest link of a version, and asks for another where that is refused, which
    /// is when it is called again.
    pub(super) fn of<'r>(
        &'r self,
        request: &'r FetchRequest<'_>,
        progress: &'r Progress,
    ) -> impl Fn() -> Result<Url> + Sync + 'r {
        let last = Mutex::new(None);
        move || {
            let mut last = last.lock();
            let url = match self.known(&request.key, last.as_ref()) {
                Some(url) => url,
                None => self.ask(request, last.as_ref(), progress)?,
            };
            *last = Some(url.clone());
            Ok(url)
        }
    }

    /// Forgets the link of a version: a download by it has failed for good.
    pub(super) fn forget(&self, key: &VersionKey) {
        self.newest.lock().pop(key);
    }

    /// The newest link, if it is another than the one that was refused.
    fn known(&self, key: &VersionKey, refused: Option<&Url>) -> Option<Url> {
        let mut newest = self.newest.lock();
        let (url, since) = newest.get(key)?;
        let is_good = since.elapsed() < AGE && Some(url) != refused;
        is_good.then(|| url.clone())
    }

    fn ask(
        &self,
        request: &FetchRequest<'_>,
        refused: Option<&Url>,
        progress: &Progress,
    ) -> Result<Url> {
        let _turn = self.turns.take(&request.key, progress);
        // Another thread may have asked meanwhile.
        if let Some(url) = self.known(&request.key, refused) {
            return Ok(url);
        }
        let url = (request.url)()?;
        let value = (url.clone(), Instant::now());
        self.newest.lock().put(request.key.clone(), value);
        Ok(url)
    }
}
