//! The metrics of a run: `GET /v1/runs/:id/metrics`.

use super::{
    encoding,
    resource::{Ask, Bounds, Fetched, Resource},
};
use crate::{
    error::Result,
    tree::{metrics::Metrics, node::Node},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Metrics of a live run are shown this long without asking again: the service
/// takes a sample each 5 s.
const LIVE_TTL: Duration = Duration::from_secs(5);

/// The resource.
pub(crate) struct RunMetrics;

impl Resource for RunMetrics {
    type Key = Arc<str>;
    type Value = Metrics;

    const BOUNDS: Bounds = (256, 16 << 20);
    const STORES_FINAL_ONLY: bool = true;

    fn title(id: &Arc<str>) -> String {
        format!("metrics of run {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("metrics {id}")
    }

    fn folder(_: &Arc<str>) -> Option<Node> {
        Some(Node::Runs)
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        // Before the call: a run that ends during it has more to say.
        let fresh_for = (ask.rest_lasts)(id).unwrap_or(LIVE_TTL);
        let raw = ask.service.api().run_metrics(id, ask.progress)?;
        Ok(Fetched::new(Metrics::new(raw), fresh_for))
    }

    fn weight(metrics: &Self::Value) -> usize {
        metrics.weight()
    }

    fn encode(metrics: &Self::Value) -> Option<Vec<u8>> {
        Some(metrics.raw().get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self::Value> {
        Some(Metrics::new(encoding::one(content)?))
    }
}
