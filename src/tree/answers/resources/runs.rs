//! The listing of runs: `GET /v1/runs`, and no more of it than can have changed.

use super::prelude::*;

/// The resource.
pub(crate) struct Runs;

impl Resource for Runs {
    type Key = ();
    type Value = Listing<types::Run>;

    const BOUNDS: Bounds = LISTINGS;
    const CONTINUES: bool = true;
    const ALWAYS_EXISTS: bool = true;

    fn title((): &()) -> String {
        "list of runs".into()
    }

    fn stored_name((): &()) -> String {
        "runs".into()
    }

    fn fetch((): &(), ask: &Ask<'_, Self>) -> Outcome<Self> {
        let items = ask.earlier.iter().flat_map(|listing| listing.items());
        let known = items.map(|item| &item.row.value);
        let rows = ask.api().runs_since(known, ask.progress)?;
        ask.listed(Listing::new(rows, ask.asked))
    }

    /// Runs do not vanish, and the fetch asked only for what may have changed. A run
    /// that was started during the fetch is in the earlier listing only.
    fn merge(new: Self::Value, earlier: &Self::Value) -> Self::Value {
        new.with_earlier(earlier)
    }
}
