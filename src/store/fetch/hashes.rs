//! The hashes of files that an index from the fleet lacks.

use super::{Fetcher, request::FetchRequest};
use crate::store::cache::{Cache, Version, hashes};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::sync::Arc;

impl Fetcher {
    /// The version with the digests of its files: from the fleet, or made of its content,
    /// all of which is fetched then.
    ///
    /// # Errors
    /// Those of [`Self::fetch`], and [`Error::BadArchive`] where the content has other
    /// digests than the index was sealed with.
    pub(in crate::store) fn fetch_digests(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        let Some(version) = self.known(cache, &request.key, progress)? else {
            return self.fetch(cache, request, progress);
        };
        let turn = self.turns.take(&request.key, progress);
        let index = version.index();
        if !index.lacks_digests() || self.exchange.take_digests(&version, progress)? {
            return Ok(version);
        }
        drop(turn);
        let version = self.fetch(cache, request, progress)?;
        if !version.index().lacks_digests() {
            return Ok(version);
        }
        let made = hashes(&version, &mut |_| progress.advance(0));
        let why = match made.map(|digests| version.add_digests(&digests)) {
            Ok(Ok(true)) => return Ok(version),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(false)) => "its content has other hashes than when it was sealed".into(),
            Err(why) => why,
        };
        version.give_up(&why);
        Err(Error::BadArchive {
            version: request.key.version_id.to_string(),
            detail: why,
        })
    }
}
