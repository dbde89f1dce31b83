//! The metrics of a run: `GET /v1/runs/:id/metrics`.

use super::prelude::*;
use crate::tree::metrics::Metrics;

/// Metrics of a live run are shown this long without asking again: the service
/// takes a sample each 5 s.
const LIVE_TTL: Duration = Duration::from_secs(5);

/// The resource.
pub(crate) struct RunMetrics;

impl Resource for RunMetrics {
    type Key = Arc<str>;
    type Value = Metrics;

    const BOUNDS: Bounds = (256, 16 << 20);
    const FOLDER: Option<Node> = Some(Node::Runs);
    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("metrics of run {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("metrics {id}")
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self>) -> Outcome<Self> {
        // Before the call: a run that ends during it has more to say.
        let fresh_for = (ask.rest_lasts)(id).unwrap_or(LIVE_TTL);
        let raw = ask.api().run_metrics(id, ask.progress)?;
        Ok((Metrics::new(raw), fresh_for))
    }
}

impl Value for Metrics {
    fn weight(&self) -> usize {
        self.weight()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        Some(self.raw().get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        Some(Self::new(serde_json::from_slice(content).ok()?))
    }
}
