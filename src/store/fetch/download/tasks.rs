//! The tasks of a download: one for each part in flight, and one that starts them.

use super::{
    channel::{Chunks, Outlet},
    part::{Part, Source},
};
use std::{ops::Range, sync::Arc};
use tokio::{select, sync::mpsc::UnboundedSender, task::JoinSet};

/// Fetches an object: starts its parts in order, as far as the number of connections
/// and the window allow.
pub(super) async fn run(source: Arc<Source>, started: UnboundedSender<Chunks>) {
    // The tasks in it are aborted with this one.
    let mut parts = JoinSet::new();
    let start = |parts: &mut JoinSet<bool>, bytes: Range<u64>| {
        let (outlet, chunks) = Outlet::new(source.sizes.chunk);
        let _ = started.send(chunks);
        parts.spawn(Part::new(Arc::clone(&source), outlet, bytes).run());
    };
    if source.plan.get().is_none() {
        start(&mut parts, 0..source.sizes.first);
        select! {
            _ = source.plan.wait() => {}
            // The first part is complete, or has failed.
            _ = parts.join_next() => {}
        }
    }
    let Some(plan) = source.plan.get() else {
        return;
    };
    'rest: for bytes in plan.rest() {
        while parts.len() as u64 >= plan.connections {
            // The reader ends at a part that has failed: those after it are not wanted.
            if let Some(Ok(false)) = parts.join_next().await {
                break 'rest;
            }
        }
        if plan.connections > 1 {
            source.window.take(bytes.end - bytes.start).await;
        }
        start(&mut parts, bytes);
    }
    while parts.join_next().await.is_some() {}
}
