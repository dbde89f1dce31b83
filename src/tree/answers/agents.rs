//! The listing of agents: `GET /v1/agents`.

use super::{
    encoding,
    listing::Listing,
    resource::{Ask, Bounds, Fetched, LISTINGS, Resource},
};
use crate::{api::types::Agent, error::Result};
use std::time::Instant;

/// The resource.
pub(crate) struct Agents;

impl Resource for Agents {
    type Key = ();
    type Value = Listing<Agent>;

    const BOUNDS: Bounds = LISTINGS;
    const ALWAYS_EXISTS: bool = true;

    fn title((): &()) -> String {
        "list of agents".into()
    }

    fn stored_name((): &()) -> String {
        "agents".into()
    }

    fn fetch((): &(), ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let rows = ask.service.api().agents(ask.progress)?;
        Ok(Fetched::new(
            Listing::new(rows, ask.asked),
            ask.service.list_ttl(),
        ))
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
