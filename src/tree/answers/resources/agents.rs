//! The listing of agents: `GET /v1/agents`.

use super::prelude::*;

/// The resource.
pub(crate) struct Agents;

impl Resource for Agents {
    type Key = ();
    type Value = Listing<types::Agent>;

    const BOUNDS: Bounds = LISTINGS;
    const ALWAYS_EXISTS: bool = true;

    fn title((): &()) -> String {
        "list of agents".into()
    }

    fn stored_name((): &()) -> String {
        "agents".into()
    }

    fn fetch((): &(), ask: &Ask<'_, Self>) -> Outcome<Self> {
        ask.listed(Listing::new(ask.api().agents(ask.progress)?, ask.asked))
    }
}
