//! One run in full: `GET /v1/runs/:id`.

use super::{
    encoding,
    resource::{Ask, Fetched, Resource},
};
use crate::{
    api::types::{self, Row},
    error::Result,
    tree::{cache::FOR_EVER, node::Node},
};
use jiff::Timestamp;
use std::{sync::Arc, time::Instant};

/// When a run last changed, as far as its row tells.
pub(crate) fn last_change(run: &types::Run) -> Timestamp {
    run.completed_at
        .or(run.started_at)
        .unwrap_or(run.created_at)
}

/// The resource.
pub(crate) struct Run;

impl Resource for Run {
    type Key = Arc<str>;
    type Value = Row<types::Run>;

    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("run {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("run {id}")
    }

    fn folder(_: &Arc<str>) -> Option<Node> {
        Some(Node::Runs)
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let row = ask.service.api().run(id, ask.progress)?;
        let fresh_for = match row.value.status.is_terminal() {
            true => FOR_EVER,
            false => ask.service.list_ttl(),
        };
        Ok(Fetched::new(row, fresh_for))
    }

    fn stored_version(row: &Self::Value) -> Option<(&str, &str)> {
        let run = &row.value;
        run.artifact_name
            .as_deref()
            .zip(run.artifact_version.as_deref())
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
