//! The listing of runs: `GET /v1/runs`, and no more of it than can have changed.

use super::{
    encoding,
    listing::Listing,
    resource::{Ask, Bounds, Fetched, LISTINGS, Resource},
};
use crate::{api::types::Run, error::Result};
use std::{sync::Arc, time::Instant};

/// The resource.
pub(crate) struct Runs;

impl Resource for Runs {
    type Key = ();
    type Value = Listing<Run>;

    const BOUNDS: Bounds = LISTINGS;
    const CONTINUES: bool = true;
    const ALWAYS_EXISTS: bool = true;

    fn title((): &()) -> String {
        "list of runs".into()
    }

    fn stored_name((): &()) -> String {
        "runs".into()
    }

    fn fetch((): &(), ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let items = ask.earlier.iter().flat_map(|listing| listing.items());
        let known = items.map(|item| &item.row.value).collect();
        let rows = ask.service.api().runs_since(&known, ask.progress)?;
        Ok(Fetched::new(
            Listing::new(rows, ask.asked),
            ask.service.list_ttl(),
        ))
    }

    /// Runs do not vanish, and only what may have changed was asked for. By now the
    /// earlier listing may have a run that was started meanwhile.
    fn merge(new: Arc<Self::Value>, earlier: &Self::Value) -> Arc<Self::Value> {
        new.with_earlier(earlier).into()
    }

    fn weight(listing: &Self::Value) -> usize {
        listing.weight()
    }

    fn encode(listing: &Self::Value) -> Option<Vec<u8>> {
        encoding::array(listing.raw())
    }

    fn decode(content: &[u8], asked: Instant) -> Option<Self::Value> {
        Some(Listing::new(encoding::rows(content)?, asked))
    }
}
