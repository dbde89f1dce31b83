//! One volume or artifact: `GET /v1/volumes/:id`, `GET /v1/artifacts/:id`.

use super::{
    encoding,
    resource::{Ask, Fetched, Resource},
};
use crate::{
    api::types::{self, Row},
    error::Result,
    tree::node::StorageId,
};
use std::time::Instant;

/// The resource.
pub(crate) struct Storage;

impl Resource for Storage {
    type Key = StorageId;
    type Value = Row<types::Storage>;

    fn title((kind, id): &StorageId) -> String {
        format!("{}/{id}", kind.plural())
    }

    fn stored_name((kind, id): &StorageId) -> String {
        format!("{} {id}", kind.plural())
    }

    fn fetch((kind, id): &StorageId, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let row = ask.service.api().storage(*kind, id, ask.progress)?;
        Ok(Fetched::new(row, ask.service.list_ttl()))
    }

    fn weight(row: &Self::Value) -> usize {
        encoding::weight(row)
    }

    fn encode(row: &Self::Value) -> Option<Vec<u8>> {
        Some(row.raw.get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self::Value> {
        encoding::row(content)
    }
}
