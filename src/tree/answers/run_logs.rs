//! Every row of a run's log: `GET /v1/runs/:id/logs`.

use super::{
    encoding,
    resource::{Ask, Bounds, Fetched, Resource},
};
use crate::{
    error::Result,
    tree::{logs::Logs, node::Node},
};
use std::{sync::Arc, time::Instant};

/// The resource.
pub(crate) struct RunLogs;

impl Resource for RunLogs {
    type Key = Arc<str>;
    type Value = Logs;

    const BOUNDS: Bounds = (256, 96 << 20);
    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("logs of run {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("logs {id}")
    }

    fn folder(_: &Arc<str>) -> Option<Node> {
        Some(Node::Runs)
    }

    fn followed(id: &Arc<str>) -> Option<&Arc<str>> {
        Some(id)
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        (ask.logs)(id, ask.progress)
    }

    fn weight(logs: &Self::Value) -> usize {
        logs.weight()
    }

    fn encode(logs: &Self::Value) -> Option<Vec<u8>> {
        encoding::array(logs.rows().iter().map(|row| &*row.raw))
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self::Value> {
        Some(Logs::ended(encoding::rows(content)?))
    }
}
