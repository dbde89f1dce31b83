//! The listings of volumes and of artifacts: `GET /v1/volumes`, `GET /v1/artifacts`.

use crate::{
    api::types::{Storage, StorageKind},
    tree::answers::{
        listing::Listing,
        resource::{Ask, Bounds, LISTINGS, Outcome, Resource},
    },
};

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

    fn fetch(kind: &StorageKind, ask: &Ask<'_, Self>) -> Outcome<Self> {
        let rows = ask.api().storages(*kind, ask.progress)?;
        ask.listed(Listing::new(rows, ask.asked))
    }
}
