//! The listings of volumes and of artifacts: `GET /v1/volumes`, `GET /v1/artifacts`.

use super::prelude::*;

/// The resource.
pub(crate) struct Storages;

impl Resource for Storages {
    type Key = types::StorageKind;
    type Value = Listing<types::Storage>;

    const BOUNDS: Bounds = LISTINGS;
    const ALWAYS_EXISTS: bool = true;

    fn title(kind: &types::StorageKind) -> String {
        format!("list of {}", kind.plural())
    }

    fn stored_name(kind: &types::StorageKind) -> String {
        kind.plural().into()
    }

    fn fetch(kind: &types::StorageKind, ask: &Ask<'_, Self>) -> Outcome<Self> {
        let rows = ask.api().storages(*kind, ask.progress)?;
        ask.listed(Listing::new(rows, ask.asked))
    }
}
