//! One run in full: `GET /v1/runs/:id`.

use super::prelude::*;
use jiff::Timestamp;

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

    const FOLDER: Option<Node> = Some(Node::Runs);
    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("run {id}")
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self>) -> Outcome<Self> {
        let row = ask.api().run(id, ask.progress)?;
        match row.value.status.is_terminal() {
            true => Ok((row, FOR_EVER)),
            false => ask.listed(row),
        }
    }

    fn stored_version(row: &Self::Value) -> Option<(&str, &str)> {
        let run = &row.value;
        run.artifact_name
            .as_deref()
            .zip(run.artifact_version.as_deref())
    }
}
