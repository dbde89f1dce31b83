//! The stream of a run's events, read for as long as processes follow the run.

use super::{
    owner::Live,
    schedule::{End, Event, Schedule},
};
use crate::{
    api::{RunEvent, types::RunStatus},
    error::Result,
    progress::Progress,
    tree::answers::{Answers, Run, RunLogs},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Live {
    /// Reads the events of a run for as long as a process follows it, and takes in
    /// what they tell. Blocks for that long.
    pub(crate) fn follow(&self, answers: &Answers, id: &Arc<str>, progress: &Progress) {
        let end = self.read_events(answers, id, progress);
        let end = answers.service().note(end);
        if let Err(error) = &end {
            // Asking now and then serves as well: no failure to tell the user.
            tracing::info!("no stream of run {id}: {error}");
        }
        self.decide(id, Event::StreamEnded(end.unwrap_or(End::Failed)), 1);
    }

    fn read_events(&self, answers: &Answers, id: &Arc<str>, progress: &Progress) -> Result<End> {
        let logs = self.log(id);
        self.keep(id, &logs);
        let shown = logs.last_event();
        let told = self.look(id, |run| run.last_event(shown));
        let last = told.unwrap_or(shown);
        let mut stream = answers.service().api().run_events(id, last, progress)?;
        self.decide(id, Event::StreamOpened, 1);
        let mut end = End::Failed;
        let is_followed = |run: &Schedule| run.is_followed(Instant::now());
        while self.look(id, is_followed) == Some(true) {
            match stream.next()? {
                Some(RunEvent::Output(event)) => {
                    end = End::Cut;
                    let told = Event::StreamTold(event.sequence);
                    if self.decide(id, told, 1).log_event {
                        logs.add_event(event);
                    }
                }
                Some(RunEvent::Status(status)) => refresh(answers, id, &status, progress)?,
                Some(RunEvent::Complete(status)) => {
                    refresh(answers, id, &status, progress)?;
                    // The service has the rest of its log now.
                    answers
                        .of::<RunLogs>()
                        .expire(id, Instant::now(), Duration::ZERO);
                    // An answer that does not say so yet is no end to it.
                    let has_ended = answers.has_ended(id);
                    return Ok(if has_ended { End::Run } else { End::Failed });
                }
                Some(RunEvent::Heartbeat) => {
                    self.decide(id, Event::StreamLives, 1);
                    end = End::Cut;
                }
                Some(RunEvent::Error(reason)) => self.note_reason(id, reason),
                // The next stream goes on from the last event.
                None => return Ok(end),
            }
        }
        Ok(End::Followers)
    }
}

/// Asks for a run whose status has changed.
fn refresh(
    answers: &Answers,
    id: &Arc<str>,
    status: &RunStatus,
    progress: &Progress,
) -> Result<()> {
    match answers.standing(id) {
        Some((_, known)) if known == *status => Ok(()),
        _ => answers.fetch::<Run>(id, progress),
    }
}
