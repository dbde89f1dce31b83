//! `GET /v1/runs/:id/events`: Server-Sent Events of one run, until it ends.

use super::{
    reply::{Failure, Query},
    state::ServerState,
    world::{Run, is_terminal, iso},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Path, State},
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

pub(crate) async fn stream(
    State(state): State<Arc<ServerState>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Query::of(&uri);
    let last = query.get("last_event_id").map_or(Some(0), parse_int);
    let (heartbeat, look) = {
        let world = state.world();
        if world.run(&id).is_none() {
            return Err(Failure::not_found("run", &id));
        }
        (world.heartbeat, world.look)
    };
    let stream = Stream {
        state,
        id,
        last,
        rows: 0,
        status: None,
        ended: false,
        queue: VecDeque::new(),
        heartbeat,
        look,
        beat: Instant::now() + heartbeat,
        sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
    ];
    Ok((headers, Body::new(stream)).into_response())
}

/// The number that a text begins with. The service reads it with JavaScript's `parseInt`, to
/// which a quoted one is no number.
fn parse_int(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let digits = text.find(|char: char| !char.is_ascii_digit());
    text[..digits.unwrap_or(text.len())].parse().ok()
}

/// One open stream. It reads the world at intervals, and so sees both runs that
/// progress by themselves and changes that a test makes.
struct Stream {
    state: Arc<ServerState>,
    id: String,
    /// Sequence of the last event given; `None` for a stream that began with what is no
    /// number, which the service answers with the status and no more.
    last: Option<u64>,
    /// Rows of the log when the stream last read it.
    rows: usize,
    /// The status last given.
    status: Option<String>,
    ended: bool,
    queue: VecDeque<Bytes>,
    heartbeat: Duration,
    look: Duration,
    beat: Instant,
    sleep: Pin<Box<Sleep>>,
}

fn event(name: &str, id: Option<u64>, data: &Value) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}

impl Stream {
    /// Queues events for what has changed since the last call.
    fn look(&mut self) {
        let state = Arc::clone(&self.state);
        let world = state.world();
        let Some(run) = world.run(&self.id) else {
            self.ended = true;
            return;
        };
        let first = self.status.is_none();
        if !first && self.last.is_none() {
            return;
        }
        let terminal = is_terminal(&run.status);
        // A run that had ended before the stream began gives no outputs.
        if !(first && terminal) {
            self.outputs(run);
        }
        if self.status.as_ref() != Some(&run.status) {
            let data = json!({"status": run.status, "run_id": run.id});
            let status = event("status", None, &data);
            if first {
                self.queue.push_front(status);
            } else {
                self.queue.push_back(status);
            }
            self.status = Some(run.status.clone());
        }
        if terminal {
            if let (Some(error), false) = (&run.error, first) {
                let data = json!({"code": "run_failed", "message": error});
                self.queue.push_back(event("error", None, &data));
            }
            let output = json!({
                "artifact_name": run.artifact_name, "artifact_version": run.artifact_version,
            });
            let data = json!({"status": run.status, "output": output, "error": run.error});
            self.queue.push_back(event("complete", None, &data));
            self.ended = true;
        }
    }

    fn outputs(&mut self, run: &Run) {
        let Some(last) = self.last else { return };
        if run.logs.len() == self.rows {
            return;
        }
        self.rows = run.logs.len();
        let mut news = Vec::new();
        for row in run.logs.iter().rev() {
            match row.sequence() {
                None => {}
                Some(sequence) if sequence <= last => break,
                Some(sequence) => news.push((sequence, row)),
            }
        }
        for (sequence, row) in news.into_iter().rev() {
            let metadata = row.metadata.as_ref();
            let part = |name| metadata.and_then(|metadata| metadata.get(name)).cloned();
            let data = json!({
                "sequence": sequence,
                "type": part("eventType"),
                "data": part("eventData"),
                "timestamp": row.timestamp,
            });
            self.queue.push_back(event("output", Some(sequence), &data));
            self.last = Some(sequence);
        }
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.queue.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            ready!(self.sleep.as_mut().poll(context));
            let now = Instant::now();
            let next = now + self.look;
            self.sleep.as_mut().reset(next);
            self.look();
            if self.queue.is_empty() && now >= self.beat && self.last.is_some() {
                let data = json!({"timestamp": iso(Timestamp::now())});
                self.queue.push_back(event("heartbeat", None, &data));
            }
            if !self.queue.is_empty() {
                self.beat = now + self.heartbeat;
            }
        }
    }
}
