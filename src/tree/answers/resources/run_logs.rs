//! Every row of a run's log: `GET /v1/runs/:id/logs`.

use super::prelude::*;
use crate::{error::Error, tree::logs::Logs};

/// The resource.
pub(crate) struct RunLogs;

impl Resource for RunLogs {
    type Key = Arc<str>;
    type Value = Logs;

    const BOUNDS: Bounds = (256, 96 << 20);
    const FOLDER: Option<Node> = Some(Node::Runs);
    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("logs of run {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("logs {id}")
    }

    /// What live runs know decides which rows are asked for: `tree/live/rows` does it.
    fn fetch(_: &Arc<str>, _: &Ask<'_, Self>) -> Outcome<Self> {
        Err(Error::Internal("no log was to be fetched".into()))
    }
}

impl Value for Logs {
    fn weight(&self) -> usize {
        self.weight()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.rows().iter().map(|row| &*row.raw))
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        Some(Self::ended(rows(content)?))
    }
}
