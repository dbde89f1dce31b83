//! The hashes of files that an index from the fleet lacks.

use super::{Fetcher, STARTS, request::FetchRequest};
use crate::store::cache::{Cache, Version, hashes};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{io, sync::Arc};

impl Fetcher {
    /// The version with the digests of its files: from the fleet or, where that has none, made
    /// of its content, all of which is fetched then.
    ///
    /// # Errors
    /// Those of [`Self::fetch`]; [`Error::Transport`] where the fleet may have them but does
    /// not answer; [`Error::BadArchive`] where the content has other digests than the index
    /// was sealed with; [`Error::NoSpace`] where other mounts evict it before it is hashed.
    pub(in crate::store) fn fetch_digests(
        &self,
        cache: &Cache,
        request: &FetchRequest<'_>,
        progress: &Progress,
    ) -> Result<Arc<Version>> {
        if cache.version(&request.key).is_none() {
            return self.fetch(cache, request, progress);
        }
        let turn = self.turns.take(&request.key, progress);
        // Another thread may have brought it anew.
        if let Some(version) = cache.version(&request.key) {
            let taken = match version.index().lacks_digests() {
                true => self.exchange.take_digests(&version, progress),
                false => Ok(true),
            };
            match taken {
                Ok(true) => return Ok(version),
                Ok(false) => {}
                Err(Error::Transport(_)) if version.has_content() => {}
                Err(error) => return Err(error),
            }
        }
        drop(turn);
        let mut differs = false;
        for _ in 0..STARTS {
            let version = self.fetch(cache, request, progress)?;
            if !version.index().lacks_digests() {
                return Ok(version);
            }
            match hashes(&version, &mut |_| progress.advance(0)) {
                // Another mount needed the space in that very moment.
                Ok(None) => differs = false,
                Ok(Some(digests)) if version.add_digests(&digests)? => {
                    self.exchange.offer_digests(&version);
                    return Ok(version);
                }
                Ok(Some(_)) => {
                    version.give_up("its files have other hashes than its index");
                    differs = true;
                }
                Err(why) => return Err(Error::io("hashing content", io::Error::other(why))),
            }
        }
        Err(match differs {
            true => Error::BadArchive {
                version: request.key.version_id.to_string(),
                detail: "its files have other hashes than the index says; \
                         `vm0fs cache verify` looks at all of it"
                    .into(),
            },
            false => request.is_evicted(),
        })
    }
}
