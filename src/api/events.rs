//! The stream of a run's events.

use super::{
    failure::broke_off,
    sse::{Event, Parser},
    types::{AgentEvent, RunStatus},
};
use crate::{
    error::Result,
    http::{Silence, bad_answer},
    progress::Progress,
};
use reqwest::blocking::Response;
use serde::Deserialize;
use std::io::{BufRead, BufReader};

/// Bytes of one read.
const PIECE: usize = 16 << 10;

/// One event of a run's stream.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// The run's status, at the beginning and at each change.
    Status(RunStatus),
    /// The agent did or said something.
    Output(AgentEvent),
    /// The run failed, with the reason.
    Error(String),
    /// The run has ended with this status. The stream ends after this event.
    Complete(RunStatus),
    /// The stream lives, and there is no other event.
    Heartbeat,
}

/// An open stream of [`RunEvent`]s, read by one thread. Dropping it closes the
/// connection.
pub struct EventStream {
    body: BufReader<Response>,
    parser: Parser,
    ended: bool,
    label: String,
    silence: Silence,
    progress: Progress,
}

impl EventStream {
    pub(super) fn new(
        response: Response,
        label: String,
        silence: Silence,
        progress: &Progress,
    ) -> Self {
        Self {
            body: BufReader::with_capacity(PIECE, response),
            parser: Parser::default(),
            ended: false,
            label,
            silence,
            progress: progress.clone(),
        }
    }

    /// Waits for the next event. Returns `None` when the stream has ended, which can be
    /// before the run has. Unknown and undocumented events are skipped.
    ///
    /// # Errors
    /// [`crate::error::Error::Transport`] if the connection breaks, or no byte arrives for 40 s (or
    /// `--timeout`, if that is longer); [`crate::error::Error::BadAnswer`] for an event of more than
    /// 16 MiB. An error ends the stream.
    #[allow(clippy::should_implement_trait, reason = "it can fail, and then ends")]
    pub fn next(&mut self) -> Result<Option<RunEvent>> {
        while !self.ended {
            let sent = self.next_sent();
            self.ended = !matches!(sent, Ok(Some(_)));
            let event = sent?.and_then(|event| understand(&self.label, event));
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// The next event as sent.
    fn next_sent(&mut self) -> Result<Option<Event>> {
        loop {
            let read = self.body.fill_buf();
            let mut rest =
                read.map_err(|error| broke_off(&self.label, &error, self.silence).error())?;
            let length = rest.len();
            if length == 0 {
                return Ok(None);
            }
            let event = self.parser.next(&mut rest);
            let taken = length - rest.len();
            self.body.consume(taken);
            self.progress.advance(taken as u64);
            let event = event.map_err(|error| bad_answer(&self.label, error.to_string()))?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

#[derive(Deserialize)]
struct Standing {
    status: RunStatus,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
}

/// Decodes an event, if vm0fs knows it.
pub(super) fn understand(label: &str, event: Event) -> Option<RunEvent> {
    let data = &event.data;
    let standing = || serde_json::from_str(data).map(|Standing { status }| status);
    let understood = match event.name.as_str() {
        "status" => standing().map(RunEvent::Status),
        "complete" => standing().map(RunEvent::Complete),
        "output" => serde_json::from_str(data).map(RunEvent::Output),
        "error" => serde_json::from_str(data).map(|Reason { message }| RunEvent::Error(message)),
        "heartbeat" => Ok(RunEvent::Heartbeat),
        _ => return None,
    };
    understood
        .inspect_err(|error| {
            tracing::debug!(
                request = label,
                event = event.name,
                at = error.column(),
                "an event is passed over: not as documented"
            );
        })
        .ok()
}
