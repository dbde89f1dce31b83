//! The listings of volumes and of artifacts: `GET /v1/volumes`, `GET /v1/artifacts`.

use super::{
    encoding,
    listing::Listing,
    resource::{Ask, Bounds, Fetched, LISTINGS, Resource},
};
use crate::{
    api::types::{Storage, StorageKind},
    error::Result,
};
use std::time::Instant;

/// The resource.
pub(crate) struct Storages;

impl Resource for Storages {
    type Key = StorageKind;
    type Value = Listing<Storage>;

    const BOUNDS: Bounds = LISTINGS;
    const ALWAYS_EXISTS: bool = true;

    fn title(kind: &StorageKind) -> String {
        format!("list of {}", kind.plural())
    }

    fn stored_name(kind: &StorageKind) -> String {
        kind.plural().into()
    }

    fn fetch(kind: &StorageKind, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let rows = ask.service.api().storages(*kind, ask.progress)?;
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
