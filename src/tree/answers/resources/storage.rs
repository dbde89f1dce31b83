//! One volume or artifact: `GET /v1/volumes/:id`, `GET /v1/artifacts/:id`.

use super::prelude::*;

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

    fn fetch((kind, id): &StorageId, ask: &Ask<'_, Self>) -> Outcome<Self> {
        ask.listed(ask.api().storage(*kind, id, ask.progress)?)
    }
}
